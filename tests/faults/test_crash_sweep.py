"""An automation is killed at every step, repeated, and looked at; what does not recover is told."""

import itertools
import os
import signal
import subprocess
import sys

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults import CrashPoint, Faults, Git, SweepFailed, SweepWarning
from pytest_orxaq.system import process


Sweep = Callable[..., list[CrashPoint]]
MakeGit = Callable[..., Git]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

# Adds and commits what is there; a repetition finds nothing to commit, and is content.
GOOD = "git add -A && { git diff --cached --quiet || git commit -qm work; }"
BAD = "git add -A && git commit -qm work"


def sh(script: str) -> list[str]:
    """A command of a shell."""
    return ["sh", "-c", script]


@pytest.fixture
def fresh(isolated_git: MakeGit) -> Callable[[], Path]:
    """Makes a repository with something to commit, another each time."""
    numbers = itertools.count(1)

    def make() -> Path:
        repo = isolated_git(f"repo{next(numbers)}")
        repo.write("new", "content\n")
        return repo.path

    return make


def git(path: Path, *words: str) -> str:
    """What git says."""
    return subprocess.run(["git", *words], cwd=path, check=True, capture_output=True, text=True).stdout


def committed_once(path: Path, _: CrashPoint) -> None:
    """The work is done, and done once."""
    assert git(path, "log", "--format=%s") == "work\ncommit 1\n"
    assert git(path, "status", "--porcelain") == ""


# ---------------------------------------------------------------- the sweep


def test_every_call_is_a_point(crash_sweep: Sweep, fresh: Callable[[], Path], faults: Faults) -> None:
    """A good automation recovers from all: three calls, before and after each; the order is theirs, the log has them."""
    points = crash_sweep(sh(GOOD), setup=fresh, check=committed_once)
    assert [(point.n, point.phase, point.argv[:2]) for point in points] == [
        (n, phase, ("git", word))
        for n, word in enumerate(("add", "diff", "commit"), 1)
        for phase in ("before", "after")
    ]
    assert {(point.returncode, point.output) for point in points} == {(0, "")}
    assert [str(event) for event in faults.log] == [
        f"crash_sweep: SIGKILL {'on' if phase == 'before' else phase} call {n} of git [environment]"
        for n in (1, 2, 3)
        for phase in ("before", "after")
    ]
    assert str(points[-1]) == "after call 3, git commit -qm work"


def test_the_real_command_has_run_or_not(crash_sweep: Sweep, fresh: Callable[[], Path]) -> None:
    """Before: nothing of the call has happened. After: all of it, and who called does not know."""
    seen = []
    script = "git rev-list --count HEAD >> seen; git commit -q --allow-empty -m x; echo went on >> seen"

    def check(path: Path, point: CrashPoint) -> None:
        seen.append((point.n, point.phase, (path / "seen").read_text(encoding="utf-8").split("\n")))

    crash_sweep(sh(script), setup=fresh, check=check)
    assert seen == [
        (0, "none", ["1", "went on", ""]),
        (1, "before", ["1", "went on", ""]),
        (1, "after", ["1", "1", "went on", ""]),
        (2, "before", ["1", "1", "went on", ""]),
        (2, "after", ["1", "2", "went on", ""]),
    ]


def test_in_the_middle(crash_sweep: Sweep, fresh: Callable[[], Path]) -> None:
    """During: git dies with its locks; calls that change no ref are no points, and what is repeated meets the locks."""

    def check(path: Path, point: CrashPoint) -> None:
        left = sorted(lock.name for lock in (path / ".git").rglob("*.lock"))
        assert left == ([] if point.n == 0 else ["HEAD.lock", "main.lock"]), left

    with pytest.raises(SweepFailed) as failed:
        crash_sweep(sh(GOOD), setup=fresh, check=check, phases=["during"])
    (failure,) = failed.value.failures
    assert (failure.point.n, failure.point.phase, failure.point.returncode) == (3, "during", 128)
    assert failure.why == "The repeated run ended with 128."
    assert "HEAD.lock': File exists" in failure.point.output


def test_what_does_not_recover(crash_sweep: Sweep, fresh: Callable[[], Path]) -> None:
    """One report: where, how the repeated run ended, what it said; all points were tried."""
    with pytest.raises(SweepFailed) as failed:
        crash_sweep(sh(BAD), setup=fresh, check=committed_once)
    assert [(failure.point.n, failure.point.phase) for failure in failed.value.failures] == [(2, "after")]
    assert len(failed.value.points) == 4
    assert str(failed.value) == (
        "It does not recover from 1 of 4 crashes (git is called twice).\n"
        "after call 2, git commit -qm work:\n"
        "  The repeated run ended with 1.\n"
        "  It said:\n"
        "    On branch main\n"
        "    nothing to commit, working tree clean"
    )


def test_what_the_check_says(crash_sweep: Sweep, fresh: Callable[[], Path]) -> None:
    """Failed checks of any kind are told, the first few whole; the first is the cause."""

    def check(_: Path, point: CrashPoint) -> None:
        if point.n == 1:
            pytest.fail("two\nlines")
        if point.n:
            raise ValueError

    with pytest.raises(SweepFailed) as failed:
        crash_sweep(sh("git version; " * 4), setup=fresh, check=check)
    told = str(failed.value).splitlines()
    assert told[0] == "It does not recover from 8 of 8 crashes (git is called 4 times)."
    assert told[1] == "before call 1, git version:"
    assert told[2].startswith("  Failed at test_crash_sweep.py:")
    assert told[2].endswith(": two")
    assert told[3] == "  lines"
    assert told[-4:] == [
        "and:",
        "  after call 3, git version",
        "  before call 4, git version",
        "  after call 4, git version",
    ]
    assert isinstance(failed.value.__cause__, pytest.fail.Exception)


def test_several_commands(crash_sweep: Sweep, fresh: Callable[[], Path], tmp_path: Path) -> None:
    """Calls of all named commands count together, in their order; others do not."""
    script = "git version; touch one; git version; mv one two"
    points = crash_sweep(
        lambda path: [*sh(script), path],
        setup=fresh,
        check=lambda *_: None,
        command=("git", "touch", "mv"),
        phases=["before"],
    )
    assert [point.argv for point in points] == [
        ("git", "version"),
        ("touch", "one"),
        ("git", "version"),
        ("mv", "one", "two"),
    ]
    assert not process.bearers("PWD", str(tmp_path))


def test_a_choice(crash_sweep: Sweep, fresh: Callable[[], Path], faults: Faults) -> None:
    """More points than there may be: an evenly spread choice that follows the seed, and it is said."""
    with pytest.warns(SweepWarning, match=rf"tries 3 of 12 points, chosen by the seed {faults.seed}\. .*max_points=12"):
        points = crash_sweep(sh("git version; " * 6), setup=fresh, check=lambda *_: None, max_points=3)
    places = [2 * point.n + (point.phase == "after") for point in points]
    assert {later - earlier for earlier, later in itertools.pairwise(places)} == {4}


def test_the_last_of_several_repetitions_counts(crash_sweep: Sweep, fresh: Callable[[], Path]) -> None:
    """What needs two runs to recover does so with reruns=2, and not with one."""
    script = "echo >> runs; git version; [ $(wc -l < runs) != 2 ] || exit 3"
    with pytest.raises(SweepFailed, match=r"The repeated run ended with 3\."):
        crash_sweep(sh(script), setup=fresh, check=lambda *_: None)
    assert len(crash_sweep(sh(script), setup=fresh, check=lambda *_: None, reruns=2)) == 2


# ---------------------------------------------------------------- ends


def test_it_fails_without_a_crash(crash_sweep: Sweep, fresh: Callable[[], Path]) -> None:
    """Then nothing is to be learned of crashes, and that is said."""
    with pytest.raises(
        SweepFailed, match=r"(?s)^It fails without any crash\..*The run ended with 4.*It said:\n.*\n    why"
    ):
        crash_sweep(sh("git version; echo why; exit 4"), setup=fresh, check=lambda *_: None)
    with pytest.raises(SweepFailed, match=r"^It never calls git or touch: nothing was tried"):
        crash_sweep(["true"], setup=fresh, check=lambda *_: None, command=("git", "touch"))


def test_a_run_that_does_not_end(crash_sweep: Sweep, fresh: Callable[[], Path], tmp_path: Path) -> None:
    """Each run has its time: the first, one on its way to the point, and the repeated one."""
    forever = "mkfifo never; exec 3<>never; read -r _ <&3"
    with pytest.raises(SweepFailed, match=r"without any crash:\n  The run did not end within 0\.5 s"):
        crash_sweep(sh(f"git version; {forever}"), setup=fresh, check=lambda *_: None, timeout=0.5)
    with pytest.raises(SweepFailed, match=r"(?s)from 1 of 1 crashes.*The repeated run did not end within 2 s"):
        crash_sweep(
            sh(f"if [ -e began ]; then {forever}; fi; touch began; git version"),
            setup=fresh,
            check=lambda *_: None,
            phases=["before"],
            timeout=2,
            reruns=2,
        )
    assert not process.bearers("PWD", str(tmp_path))


def test_one_that_does_not_do_the_same_again(crash_sweep: Sweep, fresh: Callable[[], Path], tmp_path: Path) -> None:
    """If it does not come to the call again, that fails: it was never killed there."""
    script = f"[ -e {tmp_path}/other ] || git version; touch {tmp_path}/other; git version"
    with pytest.raises(SweepFailed, match=r"(?s)before call 2.*never killed there\. .*never came to the moment"):
        crash_sweep(sh(script), setup=fresh, check=lambda *_: None, phases=["before", "during"])


@pytest.mark.usefixtures("no_leaks")
def test_nothing_is_left(crash_sweep: Sweep, fresh: Callable[[], Path], tmp_path: Path) -> None:
    """Neither of those who were killed, in whatever group, nor of the repeated runs; nor on the PATH."""
    path = os.environ["PATH"]
    script = "setsid sleep 600 & sleep 600 & git version"
    crash_sweep(sh(script), setup=fresh, check=lambda *_: None)
    assert os.environ["PATH"] == path
    assert not process.bearers("PWD", str(tmp_path))


def test_a_test_that_is_killed(pytester: pytest.Pytester) -> None:
    """When pytest dies in the middle of a sweep, the next one ends what was held."""
    pytester.makepyfile(
        """
        import os, signal
        from pytest_orxaq.faults.killing import Doomed

        def test_one(crash_sweep, tmp_path, monkeypatch):
            monkeypatch.setattr(Doomed, "_strike", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            crash_sweep(["sh", "-c", "sleep 600 & git version"], setup=lambda: tmp_path, check=print)

        def test_two(faults): pass
        """
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORXAQ_TESTED_HERE", str(pytester.path))
        assert pytester.runpytest_subprocess("-k", "one").ret == -signal.SIGKILL
        assert process.bearers("ORXAQ_TESTED_HERE", str(pytester.path))
        assert pytester.runpytest_subprocess("-k", "two").ret == 0
    assert not process.bearers("ORXAQ_TESTED_HERE", str(pytester.path))


def test_the_same_again(pytester: pytest.Pytester) -> None:
    """With a seed, two runs make the same choice and the same log."""
    pytester.makepyfile(
        """
        def test_one(crash_sweep, tmp_path, faults):
            places = crash_sweep(
                ["sh", "-c", "git version; git version; git version; git version"],
                setup=lambda: tmp_path, check=lambda *_: None, max_points=3,
            )
            print("TOLD", [str(point) for point in places], [str(event) for event in faults.log])
        """
    )
    told = [
        [line for line in pytester.runpytest_subprocess("-s", "--orxaq-fault-seed=7").outlines if "TOLD" in line]
        for _ in range(2)
    ]
    assert told[0] == told[1]
    assert len(told[0]) == 1


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"phases": ["befor"]}, "no phase of a call 'befor'(?s:.*)'before'"),
        ({"phases": []}, "nothing to sweep"),
        ({"command": ()}, "nothing to sweep"),
        ({"command": "gti"}, "There is no command 'gti' on the PATH(?s:.*)is installed"),
        ({"command": "touch", "phases": ["during"]}, "Nobody knows when touch is in the middle"),
        ({"max_points": 0}, "max_points=0 is not possible"),
        ({"reruns": 0}, "reruns=0 is not possible"),
        ({"timeout": 0}, "timeout=0 is not possible"),
        ({"setup": lambda: None}, "setup returned None"),
        ({"cmd": "git pull"}, "'git pull' is no command"),
        ({"cmd": lambda _: "git pull"}, "'git pull' is no command"),
    ],
)
def test_bad_input(crash_sweep: Sweep, tmp_path: Path, options: dict[str, Any], told: str) -> None:
    """What cannot be meant is refused before anything is killed."""
    cmd: Sequence[str] = options.pop("cmd", ["true"])
    with pytest.raises(UsageError, match=told):
        crash_sweep(cmd, **{"setup": lambda: tmp_path, "check": lambda *_: None, **options})


def test_another_system(pytester: pytest.Pytester) -> None:
    """Where there are no such signals, that is said."""
    pytester.makepyfile(
        """
        def test_one(crash_sweep, monkeypatch):
            monkeypatch.setattr("sys.platform", "win32")
            crash_sweep(["true"], setup=None, check=None)
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(skipped=1)
