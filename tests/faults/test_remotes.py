"""Every mode of a remote, with real git over real HTTP: what each command meets, how often, and that it is over."""

import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import git
import pytest

from pytest_orxaq.errors import MachineError, UsageError
from pytest_orxaq.faults import Faults, Git, Remote, RemoteMode
from pytest_orxaq.faults.gitserver import GitServer, Request, serve
from pytest_orxaq.faults.remotes import MODES


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fixtures need a POSIX system")

Make = Callable[..., Remote]
ALIAS = "https://github.com/org/x"
BOUND = 60.0  # seconds after which a command counts as hung

# What each command meets, in git's own words; the commands that are not here meet nothing.
MET: dict[RemoteMode, dict[str, str]] = {
    "ok": {},
    "reject": {"push": r"(?s)remote: This branch is protected.*\[remote rejected\] .*\(pre-receive hook declined\)"},
    "non-ff": {"push": r"\[rejected\] .*\((fetch first|non-fast-forward)\)"},
    "race": {"push": r"cannot lock ref 'refs/heads/main': is at [0-9a-f]{40} but expected [0-9a-f]{40}"},
    "auth": dict.fromkeys(("ls-remote", "fetch", "clone", "push"), r"fatal: Authentication failed for 'http"),
    "flaky": {
        "ls-remote": r"RPC failed; curl 18 .*transfer closed",
        "fetch": r"RPC failed; curl 18 .*transfer closed",
        "clone": r"(?s)RPC failed; curl 18 .*fatal: early EOF",
        "push": r"(?s)RPC failed; curl 52 .*fatal: the remote end hung up unexpectedly",
    },
    "gone": dict.fromkeys(("ls-remote", "fetch", "clone", "push"), r"fatal: repository 'http\S+' not found"),
    "http-503": dict.fromkeys(("ls-remote", "fetch", "clone", "push"), r"The requested URL returned error: 503"),
    "lock": {"push": r"cannot lock ref 'refs/heads/main': Unable to create '\S+/refs/heads/main\.lock': File exists"},
}
TRUTHS = {
    "reject": "permanent",
    "non-ff": "permanent",
    "race": "transient",
    "hang": "transient",
    "auth": "permanent",
    "flaky": "transient",
    "gone": "permanent",
    "http-503": "transient",
    "lock": "stale-state",
}


def run(*argv: str, cwd: Path, **variables: str) -> CompletedProcess[str]:
    """Run git as code under test would: with this process's environment."""
    command = ["git", *argv]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | variables, capture_output=True, text=True, timeout=BOUND, check=False
    )


def commands(remote: Remote, number: int = 0) -> dict[str, tuple[str, ...]]:
    """The four ways to come to a remote."""
    copy = remote.clone.path.with_name(f"copy{number}")
    return {
        "ls-remote": ("ls-remote", "origin"),
        "fetch": ("fetch", "origin"),
        "clone": ("clone", remote.url, str(copy)),
        "push": ("push", "origin", "main"),
    }


# ---------------------------------------------------------------- every mode


@pytest.mark.parametrize("verb", ["ls-remote", "fetch", "clone", "push"])
@pytest.mark.parametrize("mode", MET)
def test_what_a_command_meets(mode: RemoteMode, verb: str, git_remote: Make, faults: Faults) -> None:
    """The trouble is git's own, where the table says so and nowhere else; it is counted, logged, and over with peace."""
    remote = git_remote(mode, required=False)
    remote.clone.commit("mine")
    done = run(*commands(remote)[verb], cwd=remote.clone.path)
    assert (done.returncode != 0) == (verb in MET[mode])
    assert re.search(MET[mode].get(verb, ""), done.stdout + done.stderr)
    assert (remote.attempts, remote.troubles) == (1, int(verb in MET[mode]))
    told = [str(event) for event in faults.log if event.kind == "git_remote"]
    met = "push" if verb == "push" else "fetch"
    assert told == ([f"git_remote: {mode}, {met} [{TRUTHS[mode]}]"] if verb in MET[mode] else [])
    faults.heal()
    if mode in {"non-ff", "race"}:
        assert run("pull", "-q", "--rebase", cwd=remote.clone.path).returncode == 0
    before = remote.troubles
    for command in commands(remote, 1).values():
        assert run(*command, cwd=remote.clone.path).returncode == 0
    assert remote.troubles == before
    assert remote.bare("rev-parse", "main").stdout == remote.clone("rev-parse", "main").stdout


@pytest.mark.parametrize("verb", ["ls-remote", "fetch", "clone", "push"])
def test_a_remote_that_hangs(verb: str, git_remote: Make) -> None:
    """It takes the connection and never answers; git waits, until peace hangs up on it."""
    remote = git_remote("hang")
    with subprocess.Popen(
        ["git", *commands(remote)[verb]], cwd=remote.clone.path, stderr=subprocess.PIPE, text=True
    ) as waiting:
        wait_until(lambda: remote.troubles == 1)
        assert waiting.poll() is None
        remote.heal()
        _, said = waiting.communicate(timeout=BOUND)
    assert waiting.returncode
    assert "Empty reply from server" in said
    assert (remote.attempts, remote.troubles) == (1, 1)
    assert run("fetch", cwd=remote.clone.path).returncode == 0


@pytest.mark.parametrize(
    ("mode", "verb"), [("race", "push"), ("flaky", "push"), ("flaky", "clone"), ("http-503", "fetch"), ("lock", "push")]
)
def test_some_times(mode: RemoteMode, verb: str, git_remote: Make, faults: Faults) -> None:
    """Twice there is trouble, and from the third time on none."""
    remote = git_remote(mode, times=2)
    remote.clone.commit("mine")
    found = []
    for number in range(4):
        found.append(run(*commands(remote, number)[verb], cwd=remote.clone.path).returncode != 0)
        if mode == "race":
            run("pull", "--rebase", cwd=remote.clone.path)
    assert found == [True, True, False, False]
    assert remote.troubles == 2
    truth = "live-contention" if mode == "lock" else "transient"
    told = [event for event in faults.log if event.kind == "git_remote"]
    assert [event.truth for event in told] == [truth, truth]
    assert remote.lock is None or not remote.lock.held


def test_a_hang_that_ends(git_remote: Make) -> None:
    """Who gives up waiting and comes again is served."""
    remote = git_remote("hang", times=1)
    with subprocess.Popen(["git", "fetch"], cwd=remote.clone.path) as waiting:
        wait_until(lambda: remote.troubles == 1)
        waiting.terminate()
    assert run("fetch", cwd=remote.clone.path).returncode == 0
    assert (remote.attempts, remote.troubles) == (2, 1)


@pytest.mark.parametrize("mode", ["race", "flaky"])
def test_once_unless_told(mode: RemoteMode, git_remote: Make) -> None:
    """A race is lost once, and a flaky connection breaks once, if nothing is said."""
    remote = git_remote(mode)
    remote.clone.commit("mine")
    assert run("push", cwd=remote.clone.path).returncode
    assert run("pull", "--rebase", cwd=remote.clone.path).returncode == 0
    assert run("push", cwd=remote.clone.path).returncode == 0


def test_nobody_meets_one_too_many(git_remote: Make) -> None:
    """Of many who come at once, as many meet trouble as were to."""
    remote = git_remote("http-503", times=3)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: run("ls-remote", cwd=remote.clone.path).returncode, range(8)))
    assert sum(map(bool, done)) == 3
    assert (remote.attempts, remote.troubles) == (8, 3)


# ---------------------------------------------------------------- particular modes


def test_a_race_is_won_by_somebody(git_remote: Make) -> None:
    """Each push finds another commit there, of somebody else; in every repository with the same ids; a new branch too."""
    ids = []
    for name in ("one", "two"):
        remote = git_remote("race", times=2, name=name)
        assert run("push", "origin", "HEAD:new", "HEAD:refs/tags/v1", cwd=remote.clone.path).returncode
        remote.clone.commit("mine")
        assert run("push", cwd=remote.clone.path).returncode
        ids.append(remote.bare("rev-parse", "main", "new").stdout)
        assert remote.bare("log", "-1", "--format=%an %s", "main").stdout == "Somebody Else somebody else's 2\n"
        assert remote.bare("ls-tree", "--name-only", "main").stdout.split() == ["file1", "somebody-else-2"]
        assert remote.bare("tag").stdout == "v1\n"
        assert remote.bare("fsck", "--strict").returncode == 0
    assert ids[0] == ids[1]


def test_credentials_do_not_help(git_remote: Make) -> None:
    """git comes again with what it knows, which counts as once; with nobody to ask it says so; the message is shown."""
    remote = git_remote("auth", message="Go away.")
    for number, url in enumerate((remote.url, remote.url.replace("://", "://me:word@")), 1):
        done = run("ls-remote", url, cwd=remote.clone.path)
        assert "remote: Go away." in done.stderr
        assert "Authentication failed" in done.stderr
        assert remote.attempts == remote.troubles == number
    nobody = {name: value for name, value in os.environ.items() if name != "GIT_ASKPASS"}
    done = subprocess.run(
        ["git", "fetch"],
        cwd=remote.clone.path,
        env=nobody,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
        start_new_session=True,
    )
    assert "could not read Username" in done.stderr


def test_the_server_says_when_to_come_again(git_remote: Make) -> None:
    """A 503 bears Retry-After, for whoever honours it: git does not."""
    remote = git_remote("http-503", times=1, message="Busy.")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{remote.served_at}/info/refs?service=git-upload-pack", timeout=BOUND)  # noqa: S310 - our own
    with caught.value as answer:
        assert (answer.code, answer.headers["Retry-After"], answer.read()) == (503, "1", b"Busy.\n")


@pytest.mark.parametrize("times", [None, 1])
def test_the_lock_is_real(times: int | None, git_remote: Make) -> None:
    """It is git's own, of `main`: of a dead git for good, of a living one for some times; other branches can be pushed."""
    remote = git_remote("lock", times=times, required=False)
    assert remote.lock is not None
    assert remote.lock.path == remote.bare.path / "refs/heads/main.lock"
    assert (remote.lock.held, remote.lock.live, remote.lock.organic) == (True, times is not None, True)
    assert remote.bare("symbolic-ref", "HEAD").stdout == "refs/heads/main\n"
    assert run("push", "origin", "HEAD:other", cwd=remote.clone.path).returncode == 0
    assert remote.troubles == 0
    remote.heal()
    assert not remote.bare.locks()


def test_a_push_that_comes_in_pieces(git_remote: Make) -> None:
    """A pack above git's buffer is announced first and comes in chunks: broken off it is one trouble, and then it arrives."""
    remote = git_remote("flaky")
    remote.clone.commit("large", large=os.urandom(3_000_000))
    done = run("push", cwd=remote.clone.path)
    assert "hung up unexpectedly" in done.stderr
    assert remote.troubles == 1
    assert run("push", cwd=remote.clone.path).returncode == 0
    assert remote.attempts == 2


# ---------------------------------------------------------------- the URL


def test_the_alias_is_the_remote(git_remote: Make, tmp_path: Path) -> None:
    """By the URL that a bot knows, with or without suffix, all goes to this machine: git, GitPython, and Python's children."""
    remote = git_remote("ok", url_alias=ALIAS)
    assert remote.url == ALIAS
    assert remote.clone("config", "remote.origin.url").stdout == f"{ALIAS}\n"
    for number, url in enumerate((ALIAS, f"{ALIAS}.git", f"{ALIAS}/")):
        assert run("clone", url, f"copy{number}", cwd=tmp_path).returncode == 0
    made = git.Repo.clone_from(ALIAS, tmp_path / "by-gitpython")
    Git(tmp_path / "by-gitpython", os.environ).commit("mine")
    made.remote().push().raise_if_error()
    made.close()
    assert remote.attempts == 5
    assert remote.bare("log", "-1", "--format=%s", "main").stdout == "mine\n"


def test_a_push_url_of_the_users(git_remote: Make) -> None:
    """A rule of the user's that sends pushes elsewhere does not win over the alias."""
    remote = git_remote("ok", url_alias=f"{ALIAS}.git")
    run("config", "url.git@example.invalid:.pushInsteadOf", "https://github.com/", cwd=remote.clone.path)
    remote.clone.commit("mine")
    assert run("push", cwd=remote.clone.path).returncode == 0


def test_other_repositories_are_not_there(git_remote: Make, tmp_path: Path) -> None:
    """A URL that begins like the alias leads to this machine as well, and to nothing; that is no attempt."""
    remote = git_remote("ok", url_alias=ALIAS)
    done = run("clone", f"{ALIAS}yz", "copy", cwd=tmp_path)
    assert "not found" in done.stderr
    assert remote.attempts == 0


def test_a_proxy_is_not_asked(git_remote: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user's environment says of proxies does not hold for this machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    remote = git_remote("ok", url_alias=ALIAS)
    assert run("fetch", cwd=remote.clone.path).returncode == 0


def test_several_remotes(git_remote: Make) -> None:
    """Each has its own name, URL and trouble."""
    well, gone = git_remote("ok", name="well"), git_remote("gone", name="gone")
    assert run("fetch", cwd=well.clone.path).returncode == 0
    assert run("fetch", cwd=gone.clone.path).returncode
    assert (well.attempts, gone.attempts) == (1, 1)


# ---------------------------------------------------------------- use


def test_what_there_is_not(git_remote: Make) -> None:
    """What does not go together is refused at the call, with what does; nothing has been made then."""
    with pytest.raises(
        UsageError, match=r"(?s)no mode of a remote 'rejects'\. Did you mean 'reject'\?.*http-503, lock"
    ):
        git_remote("rejects")
    with pytest.raises(UsageError, match=r"(?s)in the mode 'gone' does not count\..*race, hang, flaky, http-503, lock"):
        git_remote("gone", times=1)
    with pytest.raises(UsageError, match="cannot be trouble 0 times"):
        git_remote("race", times=0)
    with pytest.raises(UsageError, match=r"(?s)in the mode 'race' says nothing\..*reject, auth, gone, http-503"):
        git_remote("race", message="no")
    with pytest.raises(UsageError, match="alias is empty"):
        git_remote(url_alias="")
    git_remote()
    with pytest.raises(UsageError, match=r"There is a project\.git already"):
        git_remote()


def test_trouble_has_to_be_met(pytester: pytest.Pytester) -> None:
    """A test in which nobody met the trouble fails, unless it is allowed; one with a well remote passes."""
    pytester.makepyfile(
        """
        def test_idle(git_remote): git_remote("reject").clone("fetch")
        def test_allowed(git_remote): git_remote("gone", required=False)
        def test_well(git_remote): git_remote()
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*Never fired: git_remote: a remote in the mode 'reject'.*required=False*"])


def test_without_http(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git cannot be served over HTTP, the test is skipped and says what is missing."""
    real = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, timeout=BOUND, check=True).stdout
    folder = pytester.mkdir("bin")
    (folder / "git-remote-http").touch()
    (folder / "git").write_text(
        f'#!/bin/sh\n[ "$1" = --exec-path ] && echo {folder} && exit\nexec {real.strip()}/git "$@"\n'
    )
    (folder / "git").chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    pytester.makepyfile("def test_one(git_remote): git_remote()")
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*git on this machine has no git-http-backend: remotes cannot be served."])


@pytest.mark.parametrize(("error", "told"), [(ZeroDivisionError, True), (ConnectionResetError, False)])
def test_what_breaks_in_the_server(error: type[Exception], told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours is one of its thread, which pytest tells; that a client has hung up is none."""
    broken: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", broken.append)

    def answer(_: Request) -> None:
        raise error

    server = GitServer(answer)
    with pytest.raises(OSError, match="without response"):
        urllib.request.urlopen(server.root, timeout=BOUND)  # noqa: S310 - our own
    server.close()
    assert [one.exc_type for one in broken] == ([error] if told else [])


def test_what_is_no_request(git_remote: Make) -> None:
    """Who sends something else is told so, and counted as nobody."""
    remote = git_remote("ok")
    with socket.create_connection(("127.0.0.1", int(remote.served_at.split(":")[2].split("/")[0]))) as stranger:
        stranger.sendall(b"HELO\r\n")
        assert stranger.makefile("rb").readline() == b"HTTP/1.1 400 Bad Request\r\n"
    assert remote.attempts == 0


def test_a_client_that_says_nothing() -> None:
    """Who has connected and asks nothing is not waited for at the end."""
    server = GitServer(lambda _: None)
    with socket.create_connection(("127.0.0.1", int(server.root.rpartition(":")[2]))) as silent:
        with pytest.raises(OSError, match="without response"):
            urllib.request.urlopen(server.root, timeout=BOUND)  # noqa: S310 - our own; the silent one came first
        server.close()
        assert silent.recv(1) == b""


def test_a_git_that_cannot_serve(git_remote: Make, tmp_path: Path) -> None:
    """If git gives no answer, its words are told."""
    bare = git_remote("ok").bare
    broken = Git(bare.path, bare.env | {"GIT_EXEC_PATH": str(tmp_path)})
    request = Request(method="GET", path="/project.git/info/refs", query="", headers={}, body=b"")
    with pytest.raises(MachineError, match=r"gave no answer: .*not a git command"):
        serve(request, broken, {})


# ---------------------------------------------------------------- clean-up


def wait_until(reached: Callable[[], bool]) -> None:
    """Wait until something is so; fail if it never is."""
    gate = threading.Event()
    for _ in range(6000):
        if reached():
            return
        gate.wait(0.005)
    pytest.fail("it never was")


def bearers(word: str) -> list[str]:
    """The command lines of what lives with a variable."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return [command for command in found if "pytest" not in command]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("end", ["assert False", "raise KeyboardInterrupt", "os.kill(os.getpid(), 9)"])
def test_nothing_is_left(end: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the test ends, nobody who waited for the remote does so for long, its killed git's children neither; no lock."""
    word = f"ORXAQ_TESTED={os.getpid()}-{end}"
    monkeypatch.setenv(*word.split("=", 1))
    pytester.makepyfile(
        f"""
        import os, subprocess, threading, time
        from pytest_orxaq.faults.remotes import MODES

        def test_ends(git_remote):
            remotes = {{mode: git_remote(mode, name=mode, required=False) for mode in MODES}}
            hung = remotes["hang"]
            orphaned = subprocess.Popen(["git", "fetch"], cwd=hung.clone.path)
            subprocess.Popen(["git", "fetch"], cwd=hung.clone.path, start_new_session=True)
            while hung.troubles < 2: time.sleep(0.005)
            orphaned.kill()
            {end}
        """,
    )
    pytester.makeconftest(
        "import threading\n"
        "def pytest_unconfigure(): print('left', [t.name for t in threading.enumerate() if 'git-server' in t.name])\n"
    )
    result = pytester.runpytest_subprocess("--basetemp=tmp", "-p", "no:cacheprovider")
    killed = "kill" in end
    assert result.ret == (-9 if killed else 2 if "Keyboard" in end else 1)
    assert killed or "left []" in result.stdout.str()
    wait_until(lambda: not bearers(word))
    locks = [path.name for path in (pytester.path / "tmp").rglob("*.lock")]
    assert locks == (["main.lock"] if killed else [])
    assert set(MODES) == {path.name.removesuffix(".git") for path in (pytester.path / "tmp").glob("test_ends0/*.git")}
