"""Processes that are killed or interrupted at a moment that is known, and that leave nobody."""

import os
import signal
import sys

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults import (
    After,
    Faults,
    Interrupted,
    Killed,
    NeverCame,
    OnCommand,
    OnFile,
    OnOutput,
    killing,
)
from pytest_orxaq.system import process


Kill = Callable[..., Killed]
Interrupt = Callable[..., Interrupted]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

WAITS = "read -r _ <&3"  # for what never comes: nobody writes to its own pipe


def waiting(script: str) -> list[str]:
    """A shell that does something and then waits for ever."""
    return ["sh", "-c", f"{script}; mkfifo never; exec 3<>never; {WAITS}"]


# ---------------------------------------------------------------- moments


def test_on_output(killed_process: Kill, faults: Faults, tmp_path: Path) -> None:
    """At the words it dies of SIGKILL; all it had said is there, and the log has it."""
    done = killed_process(waiting("echo one; echo ready >&2"), when=OnOutput("rea.y"), cwd=tmp_path)
    assert (done.returncode, done.output, done.survivors) == (-signal.SIGKILL, "one\nready\n", ())
    assert done.at == OnOutput("rea.y")
    assert not process._lives(done.pid)
    assert [str(event) for event in faults.log] == ["killed_process: SIGKILL on output 'rea.y' [environment]"]


def test_after_a_while(killed_process: Kill, tmp_path: Path) -> None:
    """Time alone is a moment too, also of one that has closed its output."""
    done = killed_process(waiting("exec >&- 2>&-"), when=After(0.2), cwd=tmp_path)
    assert (done.returncode, done.output) == (-signal.SIGKILL, "")
    done = killed_process(waiting("true"), when=After(0.05), cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("name", ["made", "one/two/made"])
def test_on_a_file(killed_process: Kill, tmp_path: Path, name: str) -> None:
    """When a file comes to be, in folders that may have to come first, it is killed."""
    script = f"mkdir -p one/two; echo x > other; mv other {name}"
    done = killed_process(waiting(script), when=OnFile(name), cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / name).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only its kernel tells of files that are gone")
def test_on_a_file_that_is_gone_at_once(killed_process: Kill, tmp_path: Path) -> None:
    """The file was there for an instant: that is enough."""
    done = killed_process(waiting("echo x > lock; rm lock"), when=OnFile(tmp_path / "lock"), cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL


def test_on_a_file_where_the_kernel_does_not_tell(
    killed_process: Kill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for again and again then; one that is there already counts."""
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    assert killed_process(waiting("echo > made"), when=OnFile("made"), cwd=tmp_path).returncode == -9
    (tmp_path / "never").unlink(missing_ok=True)
    assert killed_process(waiting("true"), when=OnFile("made"), cwd=tmp_path).returncode == -9


@pytest.mark.parametrize("n", [1, 2, 3])
def test_on_a_command(killed_process: Kill, isolated_git: Callable[..., Any], tmp_path: Path, n: int) -> None:
    """It is killed as it calls git for the nth time, before that runs; what came before is done."""
    repo = isolated_git(commits=1)
    script = "git commit -q --allow-empty -m one; git commit -q --allow-empty -m two; git commit -q --allow-empty -m 3; echo done"
    path = os.environ["PATH"]
    done = killed_process(["sh", "-c", script], when=OnCommand("git", n), cwd=repo.path, env=repo.env)
    assert (done.returncode, done.output) == (-signal.SIGKILL, "")
    assert int(repo("rev-list", "--count", "HEAD").stdout) == n
    assert repo.locks() == ()
    assert os.environ["PATH"] == path
    assert not process.bearers("PWD", str(tmp_path))


def test_when_a_command_has_run(killed_process: Kill, isolated_git: Callable[..., Any]) -> None:
    """After the call: the real command has done its work, and who called it never learns of it."""
    repo = isolated_git(commits=1)
    script = "git commit -q --allow-empty -m one; echo went on; git commit -q --allow-empty -m two; echo went on"
    done = killed_process(["sh", "-c", script], when=OnCommand("git", 2, "after"), cwd=repo.path)
    assert (done.returncode, done.output) == (-signal.SIGKILL, "went on\n")
    assert int(repo("rev-list", "--count", "HEAD").stdout) == 3


def test_when_a_command_is_at_work(killed_process: Kill, isolated_git: Callable[..., Any], faults: Faults) -> None:
    """During the call: git dies with its locks, and with settings of the user's own; the first call takes none."""
    repo = isolated_git(commits=1)
    setting = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Another"}
    script = "git status -s; git commit -q --allow-empty -m one; git commit -q --allow-empty -m two"
    moment = OnCommand("git", 3, "during")
    done = killed_process(["sh", "-c", script], when=moment, cwd=repo.path, env=repo.env | setting)
    assert (done.returncode, done.output) == (-signal.SIGKILL, "")
    assert repo("log", "-1", "--format=%s %an").stdout == "one Another\n"
    assert {path.name for path in repo.locks()} == {"HEAD.lock", "main.lock"}
    assert [str(event) for event in faults.log] == ["killed_process: SIGKILL during call 3 of git [environment]"]
    with pytest.raises(NeverCame, match=r"during call 1 of git: it ended with 0 before that"):
        killed_process(["git", "status", "-s"], when=OnCommand("git", 1, "during"), cwd=repo.path)


def test_what_comes_too_late(killed_process: Kill, tmp_path: Path) -> None:
    """A command that ends before the moment fails the test, with its words; one that comes to it at its end does not."""
    with pytest.raises(
        NeverCame, match=r"(?s)^sh -c echo no; exit 7 never came to the moment, on call 2 of git: it ended with 7.*no$"
    ):
        killed_process(["sh", "-c", "echo no; exit 7"], when=OnCommand("git", 2), cwd=tmp_path)
    with pytest.raises(NeverCame, match=r"after 600 s: it ended with 0 before that\.\nIt said nothing"):
        killed_process(["true"], when=After(600))
    with pytest.raises(NeverCame, match="it ended with 3 before that"):
        killed_process(["sh", "-c", "sleep 600 & exit 3"], when=OnOutput("x"))
    assert killed_process(["echo", "bye"], when=OnOutput("bye")).output == "bye\n"
    with pytest.raises(NeverCame, match=r"on file x: 0\.05 s have passed"):
        killed_process(waiting("true"), when=OnFile("x"), cwd=tmp_path, timeout=0.05)


# ---------------------------------------------------------------- who is killed


CHILD = "sh -c 'trap \"echo child got TERM; exit\" TERM; echo child; read -r _ <&3' 3<>never & "


@pytest.mark.parametrize(("group", "told"), [(True, "child\nchild got TERM\n"), (False, "child\n")])
def test_group_or_leader(
    killed_process: Kill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: bool, told: str
) -> None:
    """The group gets the signal, or the leader alone; then its child lives on for a moment, is named, and is ended."""
    monkeypatch.setattr(killing, "GRACE", 0.1)
    os.mkfifo(tmp_path / "never")
    command = ["sh", "-c", f"{CHILD} exec 3<>never; read -r _ <&3"]
    done = killed_process(command, when=OnOutput("child"), sig=signal.SIGTERM, group=group, cwd=tmp_path)
    assert (done.returncode, done.output) == (-signal.SIGTERM, told)
    assert len(done.survivors) == (0 if group else 1)
    assert all("child got TERM" in line for line in done.survivors)
    assert not process.bearers("PWD", str(tmp_path))


def test_a_leader_that_dies_while_its_command_hangs(killed_process: Kill, isolated_git: Callable[..., Any]) -> None:
    """Killed alone, it leaves the call that it had begun, which fails, and nobody."""
    repo = isolated_git()
    command = ["sh", "-c", "git commit -q --allow-empty -m one; echo on"]
    done = killed_process(command, when=OnCommand("git"), group=False, cwd=repo.path)
    assert (done.returncode, done.output, done.survivors) == (-signal.SIGKILL, "", ())
    assert int(repo("rev-list", "--count", "HEAD").stdout) == 1


def test_a_leader_that_dies_while_its_git_is_held(killed_process: Kill, isolated_git: Callable[..., Any]) -> None:
    """Killed alone, it leaves a git with its locks, which ends its work then, and takes them away."""
    repo = isolated_git()
    command = ["sh", "-c", "git commit -q --allow-empty -m one; echo on"]
    done = killed_process(command, when=OnCommand("git", 1, "during"), group=False, cwd=repo.path)
    assert (done.returncode, done.output, done.survivors) == (-signal.SIGKILL, "", ())
    assert repo("log", "-1", "--format=%s").stdout == "one\n"
    assert repo.locks() == ()


def test_who_does_not_end(killed_process: Kill, tmp_path: Path) -> None:
    """A command that outlives its signal fails the test, and is killed."""
    with pytest.raises(NeverCame, match=r"(?s)did not end: 0\.2 s after SIGTERM, on output 'x', it lived\..*x"):
        killed_process(
            waiting("trap '' TERM; echo x"), when=OnOutput("x"), sig=signal.SIGTERM, timeout=0.2, cwd=tmp_path
        )
    assert not process.bearers("PWD", str(tmp_path))


def test_nothing_is_left_of_a_killed_test(pytester: pytest.Pytester) -> None:
    """When pytest is killed in the middle, the next one ends what it had started."""
    pytester.makepyfile(
        """
        import os, pytest, signal
        from pytest_orxaq.faults import OnOutput
        from pytest_orxaq.faults.killing import _Listening

        def test_one(killed_process, monkeypatch):
            monkeypatch.setattr(_Listening, "listen", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            killed_process(["sleep", "600"], when=OnOutput("x"))

        def test_two(faults): pass
        """
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORXAQ_TESTED_HERE", str(pytester.path))
        assert pytester.runpytest_subprocess("-k", "one").ret == -signal.SIGKILL
        assert process.bearers("ORXAQ_TESTED_HERE", str(pytester.path))
        assert pytester.runpytest_subprocess("-k", "two").ret == 0
    assert not process.bearers("ORXAQ_TESTED_HERE", str(pytester.path))


# ---------------------------------------------------------------- interrupted runs


def test_pytest_is_interrupted(interrupted_run: Interrupt, faults: Faults, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a test: pytest says so in its exit code and output, and leaves its report."""
    (tmp_path / "test_it.py").write_text(
        "import signal\ndef test_slow():\n    print('slow', flush=True)\n    signal.pause()\n"
    )
    command = ["pytest", "-s", "-p", "no:randomly", "-p", "no:cacheprovider", "--junitxml=out.xml"]
    done = interrupted_run(command, at=OnOutput("slow"), cwd=tmp_path)
    assert (done.returncode, done.survivors, done.where) == (2, (), tmp_path)
    assert "KeyboardInterrupt" in done.output
    assert "out.xml" in done.left
    assert "test_it.py" not in done.left
    assert [str(event) for event in faults.log] == ["interrupted_run: SIGINT on output 'slow' [environment]"]


def test_the_gate_is_interrupted(interrupted_run: Interrupt, project: Callable[..., Any]) -> None:
    """The gate ends with its own code, and has ended its checkpoint with all that it had started."""
    here = project({"Makefile": "test:\n\t@echo begun > begun; sleep 600\n", "orxaq.toml": 'checkpoints = ["test"]\n'})
    done = interrupted_run(["orxaq", "gate"], at=OnFile("begun"), sig=signal.SIGTERM, group=False, cwd=here.top)
    assert (done.returncode, done.survivors) == (143, ())
    assert "begun" in done.left


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("command", "options", "told"),
    [
        ("sleep 1", {}, "'sleep 1' is no command"),
        ([], {}, "is no command"),
        (["true"], {"when": After(-1)}, "seconds=-1 is not possible"),
        (["true"], {"when": OnCommand("git", 0)}, "n=0 is not possible"),
        (["true"], {"when": OnCommand("git", 1, "befor")}, "no phase of a call 'befor'. Did you mean 'before'"),  # type: ignore[arg-type]
        (["true"], {"when": OnCommand("make", 1, "during")}, "Nobody knows when make is in the middle"),
        (["true"], {"when": "later"}, "'later' is no moment(?s:.*)OnFile"),
        (["true"], {"when": OnOutput("(")}, r"OnOutput\('\('\) cannot be read"),
        (["true"], {"when": OnCommand("gitt", 2)}, "Did you mean 'git'"),
        (["true"], {"sig": 0}, "There is no signal 0"),
        (["true"], {"sig": signal.SIGSTOP}, "SIGSTOP does not end a process"),
    ],
)
def test_bad_input(killed_process: Kill, command: Any, options: dict[str, Any], told: str) -> None:
    """What cannot be meant is refused before anything is started."""
    with pytest.raises(UsageError, match=told):
        killed_process(command, **{"when": After(0), **options})


def test_another_system(pytester: pytest.Pytester) -> None:
    """Where there are no such signals, that is said."""
    pytester.makepyfile(
        """
        def test_one(killed_process, monkeypatch):
            monkeypatch.setattr("sys.platform", "win32")
            killed_process(["true"], when=None)
        """
    )
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs a POSIX system*"])
