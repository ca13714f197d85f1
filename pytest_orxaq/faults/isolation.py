"""Git repositories that nothing of the user's reaches, and that reach nothing of the user's."""

import os

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Self

from ..core.environment import without_git_locals
from ..errors import UsageError
from ..system.process import Completed, ask, completed
from .shim import ASIDE


EPOCH = 1_700_000_000  # of the first commit, Unix time
_LONGEST = 255  # bytes of one name in a folder
TICK = 60  # seconds from one commit to the next
LOCK_SUFFIX = ".lock"
BLOCKING = frozenset({"packed-refs.new", "gc.pid"})  # no locks by name, yet they block like some

_CONFIG = """\
[user]
\tname = A Tester
\temail = tester@example.invalid
[init]
\tdefaultBranch = main
\ttemplateDir = {template}
[core]
\tfsmonitor = false
[credential]
\thelper =
[commit]
\tgpgSign = false
[tag]
\tgpgSign = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[safe]
\tdirectory = *
[protocol "file"]
\tallow = always
"""


# ---------------------------------------------------------------- repository


class Git:
    """A repository's work tree (or a bare repository), and git in it: ``repo("status", "-s").stdout``."""

    def __init__(self, path: Path, env: Mapping[str, str]) -> None:
        """``env`` is what code under test should be given as its environment."""
        self.path = path
        self._env = dict(env)
        self._search = self._env.get("PATH")
        self._commits = 0

    def __repr__(self) -> str:
        return f"Git({str(self.path)!r})"

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    @property
    def env(self) -> dict[str, str]:
        """What code under test should be given as its environment; it may be changed. The PATH, unless changed, is that of now."""
        if self._env.get("PATH") == self._search and "PATH" in os.environ:
            self._env["PATH"] = self._search = os.environ["PATH"]
        return self._env

    def __call__(
        self, *argv: str, check: bool = True, timeout: float = 60, env: Mapping[str, str] | None = None
    ) -> Completed:
        """Run git here: the real one, also where ``flaky_command`` has another. Commits bear fixed dates. Raises CalledProcessError with git's words, or TimeoutExpired."""
        moment = f"{EPOCH + TICK * self._commits} +0000"
        dates = {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
        command = ("git", *argv)
        environment = self.env | dates | {ASIDE: "1"} | dict(env or {})
        answer = ask(command, directory=self.path, environment=environment, timeout=timeout)
        done = completed(command, answer, timeout)
        if check:
            try:
                done.check_returncode()
            except Exception as error:
                error.add_note(done.stderr)
                raise
        return done

    def write(self, name: str, content: str | bytes = "") -> Path:
        """Write a file, by its name within the work tree. Raises UsageError for a name that leads out of it."""
        path = within(self.path, name, "file")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(content))
        return path

    def commit(self, message: str = "", **files: str | bytes) -> str:
        """Commit everything, after writing the files named; the commit's id. Each is a minute after the one before."""
        self._commits += 1
        for name, content in files.items():
            self.write(name, content)
        self("add", "-A")
        self("commit", "-q", "--allow-empty", "-m", message or f"commit {self._commits}")
        return self("rev-parse", "HEAD").stdout.strip()

    @cached_property
    def dir(self) -> Path:
        """Git's own folder of this work tree."""
        return Path(self("rev-parse", "--absolute-git-dir").stdout.removesuffix("\n"))

    @cached_property
    def common(self) -> Path:
        """Git's folder that all work trees of the repository share."""
        return (self.path / self("rev-parse", "--git-common-dir").stdout.removesuffix("\n")).resolve()

    @cached_property
    def bare(self) -> bool:
        """Whether there is no work tree."""
        return self("rev-parse", "--is-bare-repository").stdout.strip() == "true"

    def locks(self) -> tuple[Path, ...]:
        """Every lock file of the repository, its linked work trees and submodules, and what blocks like one; sorted."""
        found = {
            Path(folder, name)
            for folder, _, names in os.walk(self.common)
            for name in names
            if name.endswith(LOCK_SUFFIX) or name in BLOCKING
        }
        # Where the index is a symbolic link, git puts the lock beside its target.
        beside = Path(os.path.realpath(self.dir / "index") + LOCK_SUFFIX)
        return tuple(sorted(found | ({beside} if os.path.lexists(beside) else set())))

    def worktree(self, name: str = "linked", *, branch: str = "") -> Self:
        """Add a linked work tree beside this one, on a new branch; of the same name unless told."""
        path = within(self.path.parent, name, "work tree")
        self("worktree", "add", "-q", "-b", branch or name, str(path))
        return type(self)(path, self.env)

    def submodule(self, name: str = "module") -> Self:
        """Add a submodule, and commit that."""
        place = within(self.path, name, "submodule")
        source = self.path.parent / f".source-of-{self.path.name}-{name}"
        self("init", "-q", str(source))
        type(self)(source, self.env).commit("the submodule's", file="content\n")
        self("submodule", "--quiet", "add", str(source), name)
        self.commit(f"add submodule {name}")
        return type(self)(place, self.env)


def within(folder: Path, name: object, what: str) -> Path:
    """A path below a folder. Raises UsageError for what is no name, or leads out: all else on this machine is the user's."""
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise UsageError(f"{name!r} is no name of a {what}.", advice="Say it as a text, such as 'one'.")
    path = folder / name
    if any(len(os.fsencode(part)) > _LONGEST for part in path.parts):
        raise UsageError(f"{name!r} is no name of a {what}.", advice=f"It is longer than {_LONGEST} bytes.")
    if Path(os.path.normpath(folder)) not in Path(os.path.normpath(path)).parents:
        raise UsageError(f"{name!r} is no name of a {what} below {folder}.", advice="Nothing is written elsewhere.")
    return path


# ---------------------------------------------------------------- isolation


class Isolation:
    """A home of its own, with a git configuration of its own, and repositories beside it."""

    def __init__(self, top: Path) -> None:
        """``top`` is an empty folder, or one of a test; what is ours stands in ``.orxaq`` there."""
        self.top = top
        self.room = top / ".orxaq"
        self.home = self.room / "home"
        template = self.room / "template"
        for folder in (self.home, template):
            folder.mkdir(parents=True)
        quoted = str(template).replace("\\", "\\\\").replace('"', '\\"')
        (self.home / ".gitconfig").write_text(_CONFIG.format(template=f'"{quoted}"'), encoding="utf-8")
        self._rooms = 0
        self.variables = {
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_DATA_HOME": str(self.home / ".local" / "share"),
            "XDG_STATE_HOME": str(self.home / ".local" / "state"),
            "GCM_INTERACTIVE": "never",
            "GIT_ASKPASS": "true",
            # The folder above it too: a ceiling is none for git that starts in it.
            "GIT_CEILING_DIRECTORIES": os.pathsep.join(map(str, (top.resolve(), top.resolve().parent))),
            "GIT_CONFIG_GLOBAL": str(self.home / ".gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": ":",
            "GIT_PAGER": "cat",
            "GIT_SEQUENCE_EDITOR": ":",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
            "SSH_ASKPASS_REQUIRE": "never",
        }

    def scrubbed(self, inherited: Mapping[str, str]) -> set[str]:
        """The names in an environment that could lead git elsewhere, or make it chatter."""
        kept = without_git_locals(inherited)
        # Where git was installed may have to be said; all else of git's is a stranger's wish.
        return {name for name in inherited if name not in kept or name.startswith("GIT_")} - {"GIT_EXEC_PATH"}

    @cached_property
    def env(self) -> dict[str, str]:
        """The environment of this process, isolated."""
        scrubbed = self.scrubbed(os.environ)
        return {name: value for name, value in os.environ.items() if name not in scrubbed} | self.variables

    def new_room(self) -> Path:
        """A new folder for what a fixture needs besides the repositories."""
        self._rooms += 1
        room = self.room / f"room{self._rooms}"
        room.mkdir()
        return room

    def make(self, name: str = "repo", *, bare: bool = False, clone_of: Git | None = None, commits: int = 1) -> Git:
        """A new repository; a clone has the commits of its origin. Raises UsageError for a name that is taken or leads out."""
        path = within(self.top, name, "repository")
        if type(commits) is not int or commits < 0:
            raise UsageError(f"commits={commits!r} is no number of commits.", advice="A whole number from 0.")
        if clone_of is not None and not isinstance(clone_of, Git):
            advice = "Give what isolated_git() has returned."
            raise UsageError(f"clone_of={clone_of!r} is no repository of this test.", advice=advice)
        if path.exists():
            raise UsageError(f"There is a {name} already.", advice="Give each repository a name of its own.")
        if clone_of is None and bare and commits:
            clone_of = self.make(f".orxaq/origin-of-{name}", commits=commits)
        here = Git(self.top, self.env)
        if clone_of is not None:
            here("clone", "-q", *(["--bare"] if bare else []), str(clone_of.path), str(path))
            return Git(path, self.env)
        here("init", "-q", *(["--bare"] if bare else []), str(path))
        made = Git(path, self.env)
        for number in range(1, commits + 1):
            made.commit(**{f"file{number}": f"content {number}\n"})
        return made
