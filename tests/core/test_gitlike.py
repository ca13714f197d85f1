"""What names and arguments tell of a process."""

import pytest

from pytest_orxaq.core.gitlike import (
    Aim,
    aim_of,
    has_git_library,
    has_java,
    has_python_library,
    is_called_like_git,
    is_git,
    is_python,
    may_be_git,
    names_git,
    needs_no_repository,
    places_named,
    serves_files,
    why_harmless,
)
from pytest_orxaq.model import LockKind


@pytest.mark.parametrize(
    ("name", "command", "program"),
    [
        ("git", ("git", "commit"), "/usr/bin/git"),
        ("x", ("/opt/git/bin/git", "add"), None),
        ("git-remote-http", ("y",), None),
        ("x", (), "/usr/lib/git-core/git (deleted)"),
        ("x", ("/usr/lib/git-core/git-upload-pack", "/r"), None),
    ],
)
def test_git_is_known_by_any_of_its_names(name: str, command: tuple[str, ...], program: str | None) -> None:
    """The kernel's name, the first argument or the program: one is enough."""
    assert is_git(name, command, program)


@pytest.mark.parametrize(("name", "command"), [("gitk", ("wish",)), ("vim", ("vim", "git")), ("legit", ())])
def test_others_are_not_git(name: str, command: tuple[str, ...]) -> None:
    """A name that only resembles git's is none of it."""
    assert not is_git(name, command, "/usr/bin/vim")


@pytest.mark.parametrize("name", ["git.real", "git", "Git-Distrib", "gitea", "legit"])
def test_whoever_has_git_in_a_name_is_called_like_it(name: str) -> None:
    """By any of the three names."""
    assert is_called_like_git(name, (), None)
    assert is_called_like_git("x", (f"/opt/{name}",), None)
    assert is_called_like_git("x", (), f"/opt/{name} (deleted)")


@pytest.mark.parametrize("name", ["vim", "gitstatusd-linux-x86_64", "lazygit", "gitk"])
def test_whoever_only_looks_is_not(name: str) -> None:
    """They have git itself do what they do, or write to no repository."""
    assert not is_called_like_git(name, (name, "git"), f"/usr/bin/{name}")


def test_libraries_that_write_as_git_does() -> None:
    """By the names of what is mapped, whatever its version; data is no library, nor is a digit git."""
    for name in (
        "libgit2.so.1.5",
        "libgit2-3f2a1c.so.1.9",
        "nodegit.node",
        "_pygit2.abi3.so",
        "libjvm.so",
        "libgit2.dylib",
    ):
        assert has_git_library(["libc.so.6", name]), name
    assert not has_git_library(["libc.so.6", "libdigits.so", "git.mo", "gitlab.db", "libjvmti-notes"])
    assert not has_git_library([])


def test_pythons_are_known_by_any_name() -> None:
    """Of whatever version and make."""
    assert is_python("python3.13", (), None)
    assert is_python("x", ("/opt/python3", "y"), None)
    assert is_python("gunicorn: master", ("gunicorn",), "/usr/bin/pypy3")
    assert not is_python("node", ("x.python",), "/usr/bin/node")


def test_what_runs_python_or_java_inside() -> None:
    """Told by the libraries that are mapped, whatever the program is called."""
    assert has_python_library(["libc.so.6", "libpython3.11.so.1.0"])
    assert has_python_library(["_json.cpython-311-x86_64-linux-gnu.so"])
    assert not has_python_library(["libc.so.6", "python.txt"])
    assert has_java(["libjvm.so"])
    assert not has_java(["libjvmti-notes", "java"])


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("git", Aim()),
        ("git status", Aim(subcommand="status")),
        ("git -C a -C /b -c x=y --no-pager commit -a", Aim(subcommand="commit", rest=("-a",))),
        ("git --git-dir=/g --work-tree /t add f", Aim(subcommand="add", git_folder="/g", work_tree="/t", rest=("f",))),
        ("git --git-dir g --exec-path=/x gc", Aim(subcommand="gc", git_folder="g")),
        ("git --shallow-file s.lock index-pack", Aim(subcommand="index-pack")),
        ("git -c", Aim()),
        ("/bin/sh /shims/git -C a gc", Aim(subcommand="gc")),
        ("python3.13 -I /shims/git-gc x", Aim(subcommand="gc", rest=("x",))),
        ("sh x y", Aim(subcommand="x", rest=("y",))),
        ("sh x y git gc", Aim(subcommand="x", rest=("y", "git", "gc"))),
        ("/usr/lib/git-upload-pack --strict /r", Aim(subcommand="upload-pack", rest=("--strict", "/r"))),
    ],
)
def test_command_lines_are_read_as_git_reads_them(command: str, expected: Aim) -> None:
    """Options before the subcommand say where; what comes after it is the rest."""
    assert aim_of(command.split(), {}) == expected


def test_variables_say_where_unless_options_do() -> None:
    """GIT_DIR, GIT_COMMON_DIR and GIT_WORK_TREE count, and an option wins."""
    variables = {"GIT_DIR": "/e", "GIT_COMMON_DIR": "/c", "GIT_WORK_TREE": "/w"}
    expected = Aim(subcommand="gc", git_folder="/e", common_folder="/c", work_tree="/w")
    assert aim_of(("git", "gc"), variables) == expected
    assert aim_of(("git", "--git-dir=/o", "gc"), variables).git_folder == "/o"
    assert aim_of(("git", "--work-tree=/o", "gc"), variables).work_tree == "/o"
    assert aim_of(("git-gc",), variables) == expected
    assert aim_of((), {}) == Aim()


@pytest.mark.parametrize(
    ("command", "kind", "ancestor", "harmless"),
    [
        ("git fsmonitor--daemon run", LockKind.INDEX, False, True),
        ("git cat-file --batch-check", LockKind.REF, False, True),
        ("git cat-file blob x", LockKind.REF, False, False),
        ("git log -p", LockKind.INDEX, False, True),
        ("git log -p", LockKind.REF, False, False),
        ("git status", LockKind.INDEX, False, False),
        ("git diff", LockKind.INDEX, False, False),
        ("git push", LockKind.INDEX, True, True),
        ("git push", LockKind.INDEX, False, False),
        ("git commit -a", LockKind.INDEX, True, False),
        ("git bisect run orxaq gate", LockKind.INDEX, True, True),
        ("git bisect run orxaq gate", LockKind.INDEX, False, False),
        ("git bisect start", LockKind.INDEX, True, False),
    ],
)
def test_who_cannot_hold_a_lock(command: str, kind: LockKind, *, ancestor: bool, harmless: bool) -> None:
    """Readers, whoever shows history to a person, a push and a bisection that wait for us; never a commit, nor status."""
    why = why_harmless(aim_of(command.split(), {}), kind, ancestor=ancestor)
    git, subcommand, *_ = command.split()
    assert why.startswith(f"{git} {subcommand} ") if harmless else why == ""


@pytest.mark.parametrize(
    ("command", "needs_none"),
    [
        ("git --version", True),
        ("git clone x y", True),
        ("git-credential-cache exit", True),
        ("git credential fill", True),
        ("git remote-https origin x", True),
        ("git remote-mine origin x", False),
        ("git config --global a.b c", True),
        ("git config a.b c", False),
        ("git commit --global", False),
        ("git update-ref --stdin", False),
    ],
)
def test_who_runs_outside_of_any_repository(command: str, *, needs_none: bool) -> None:
    """Whoever takes no lock of a repository that he has not found; a git of somebody's making may take any."""
    assert needs_no_repository(aim_of(command.split(), {})) is needs_none


@pytest.mark.parametrize(
    ("command", "places"),
    [
        ("git add -f --x=y --z", ["y"]),
        ("git clone -q host:x/made.git", ["host:x/made.git", "made.git", "made", "made.git.git"]),
        ("git clone host:made", ["host:made", "made", "made", "made.git"]),
        ("git clone /a/made/.git/", ["/a/made/.git/", "made", "made", "made.git"]),
        ("git clone /a/linuX//", ["/a/linuX//", "linuX", "linuX", "linuX.git"]),
    ],
)
def test_places_are_named_by_arguments(command: str, places: list[str]) -> None:
    """Values of options, other words, and for a clone the folder that it calls after its source."""
    assert places_named(aim_of(command.split(), {})) == places


@pytest.mark.parametrize("command", ["git diff", "git status"])
def test_who_refreshes_the_index_has_it_open_meanwhile(command: str) -> None:
    """So that it holds no index's lock that nobody has open; nothing is said of others."""
    assert why_harmless(aim_of(command.split(), {}), LockKind.INDEX, ancestor=False, closed=True)
    assert not why_harmless(aim_of(command.split(), {}), LockKind.REF, ancestor=False, closed=True)
    assert not why_harmless(aim_of(("git", "commit"), {}), LockKind.INDEX, ancestor=False, closed=True)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("java", ("java", "-jar", "x")),
        ("python3.11", ("/usr/bin/python3.11", "x")),
        ("x", ("-bash",)),
        ("node18", ("x",)),
        ("github-desktop", ("x",)),
        ("x", ("sleep", "/srv/git/r")),
    ],
)
def test_who_may_be_git_under_another_name(name: str, command: tuple[str, ...]) -> None:
    """Interpreters and shells run what their names do not tell, and so may who speaks of git."""
    assert may_be_git(name, command)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("systemd", ("/sbin/init",)),
        ("sshd", ("sshd: u [priv]",)),
        ("ssh-agent", ()),
        ("x", ("",)),
        ("less", ("less", "python")),
    ],
)
def test_who_may_not(name: str, command: tuple[str, ...]) -> None:
    """The daemons of an ordinary machine are none of it, nor who only has the name of an interpreter to read."""
    assert not may_be_git(name, command)


def test_the_word_git_is_a_word() -> None:
    """Git stands alone, not inside of another word."""
    assert names_git("x", ("sudo", "git", "commit"))
    assert names_git("git-x", ())
    assert names_git("x", ("/srv/r.git/x",))
    assert not names_git("legit", ("--digits",))


def test_who_serves_files() -> None:
    """Whoever lets another machine write here is known by name."""
    assert serves_files("nfsd", ())
    assert serves_files("x", ("/usr/sbin/smbd", "-D"))
    assert serves_files("init", ("plan9:", "x"))
    assert serves_files("sshd", ("sshd: ann@internal-sftp",))
    assert serves_files("qemu-system-x86", ("qemu-system-x86_64", "-virtfs", "local,path=/x"))
    assert serves_files("qemu-system-x86", ("qemu-system-x86_64", "-fsdev", "local,path=/x"))
    assert serves_files("exe", ("runsc-gofer", "--root=/x", "gofer"))
    assert serves_files("limactl", ("limactl", "hostagent"))
    assert not serves_files("grep", ("grep", "smbd"))
    assert not serves_files("sshd", ("sshd",))
    assert not serves_files("sshd", ("sshd: ann@pts/0",))
    assert not serves_files("qemu-system-x86", ("qemu-system-x86_64", "-drive", "file=x"))
