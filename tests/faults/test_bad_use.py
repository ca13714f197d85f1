"""What is asked for wrongly is refused at the call, in words; nothing is made, and no test passes on it."""

import re
import shutil
import subprocess

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults import (
    After,
    Drip,
    Garbage,
    Ok,
    OnCommand,
    OnFile,
    OnOutput,
    Redirect,
    Refuse,
    Reset,
    Slow,
    Status,
    SweepFailed,
    Truncate,
)


Use = Callable[[Any], object]
NAN, ENDLESS = float("nan"), float("inf")


def accepted(uses: Mapping[str, tuple[Use, ...]], fixture: object) -> list[str]:
    """Those uses of a fixture that were not refused with the words under which they stand, and what was said instead."""
    wrong = []
    for words, several in uses.items():
        for number, use in enumerate(several):
            try:
                said = repr(use(fixture))
            except UsageError as error:
                if re.search(words, str(error)):
                    continue
                said = str(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, all the others are tried
                said = f"{type(error).__name__}: {error}"
            wrong.append(f"{words}, {number}: {said}")
    return wrong


# ---------------------------------------------------------------- repositories


def test_nothing_is_written_outside(isolated_git: object, tmp_path: Path) -> None:
    """A name that leads out of the test's folder, or of a repository, is none: what stands there is the user's."""
    uses: dict[str, tuple[Use, ...]] = {
        r"is no name of a repository below /.*\nNothing is written elsewhere": (
            lambda git: git("../outside"),
            lambda git: git("one/../../outside"),
            lambda git: git(str(tmp_path.parent / "outside")),
            lambda git: git("../outside", bare=True),
            lambda git: git("."),
        ),
        "is no name of a file below": (
            lambda git: git("one").write("../outside"),
            lambda git: git("two").write(str(tmp_path.parent / "outside")),
            lambda git: git("three").write("."),
        ),
        "is no name of a work tree below": (lambda git: git("four").worktree("../outside"),),
        "is no name of a submodule below": (lambda git: git("five").submodule("../outside"),),
    }
    assert accepted(uses, isolated_git) == []
    assert not (tmp_path.parent / "outside").exists()
    assert not (tmp_path / "outside").exists()


def test_repositories(isolated_git: object, merge_conflict: object) -> None:
    """Names, numbers and origins are looked at before anything is made."""
    uses: dict[str, tuple[Use, ...]] = {
        "is no name of a repository": (
            lambda git: git(name=""),
            lambda git: git(name=" "),
            lambda git: git(name="a\0b"),
            lambda git: git(name="x" * 300),
            lambda git: git(name=5),
        ),
    }
    assert accepted(uses, isolated_git) == []
    assert accepted(uses, merge_conflict) == []
    uses = {
        "commits=.* is no number of commits": (lambda git: git(commits=-1), lambda git: git(commits="2")),
        "clone_of='origin' is no repository of this test": (lambda git: git(clone_of="origin"),),
    }
    assert accepted(uses, isolated_git) == []


def test_remotes(git_remote: object) -> None:
    """What a remote cannot be, say, or be called."""
    uses: dict[str, tuple[Use, ...]] = {
        "is no name of a repository": (lambda make: make(name="../outside"), lambda make: make(name="/outside")),
        "There cannot be trouble": (lambda make: make("race", times="2"), lambda make: make("race", times=1.5)),
        "message='.*' says nothing": (
            lambda make: make("reject", message=""),
            lambda make: make("reject", message="a\0b"),
        ),
        "is no text": (lambda make: make("reject", message=5), lambda make: make(url_alias=5)),
        "is no URL": (lambda make: make(url_alias="https://x\ny"),),
        r"There is no mode of a remote None\.\nThere are": (lambda make: make(None),),
    }
    assert accepted(uses, git_remote) == []


# ---------------------------------------------------------------- commands


def test_commands(flaky_command: object) -> None:
    """What no command is called, what is no number, no text, and says nothing of calls."""
    uses: dict[str, tuple[Use, ...]] = {
        "no command 'gti' on the PATH. Did you mean 'git'": (lambda make: make("gti"),),
        "is no name of a command": (lambda make: make("git\n"), lambda make: make("x" * 300, then="ok")),
        "is no text": (
            lambda make: make(5),
            lambda make: make(b"git"),
            lambda make: make("git", stderr=None),
            lambda make: make("git", stdout=5),
        ),
        "A whole number from 0 to 1,000,000": (
            lambda make: make("git", fail="2"),
            lambda make: make("git", fail=1.5),
            lambda make: make("git", skip=None),
        ),
        "is no exit code": (lambda make: make("git", rc=None), lambda make: make("git", rc=True)),
        r"There is no signal (0|None|-9)\.\nSuch are": (
            lambda make: make("git", signal=0),
            lambda make: make("git", signal=-9),
        ),
        "Seconds, from 0": (
            lambda make: make("git", delay="1"),
            lambda make: make("git", delay=NAN),
            lambda make: make("git", delay=ENDLESS),
        ),
        "says nothing about calls": (
            lambda make: make("git", match=[]),
            lambda make: make("git", match=[5]),
            lambda make: make("git", match=5),
            lambda make: make("git", match=b"push"),
        ),
        "ok takes no argument": (lambda make: make("git", plan="ok(3)"),),
        "no value of then 'rael'. Did you mean 'real'": (lambda make: make("git", then="rael"),),
    }
    assert accepted(uses, flaky_command) == []


def test_moments(killed_process: object, tmp_path: Path) -> None:
    """Moments that cannot be waited for, and what cannot be run."""
    nap = ["sleep", "60"]
    uses: dict[str, tuple[Use, ...]] = {
        "Seconds, from 0": (
            lambda kill: kill(nap, when=After(-1)),
            lambda kill: kill(nap, when=After("1")),  # type: ignore[arg-type]
            lambda kill: kill(nap, when=After(NAN)),
        ),
        "Seconds, more than 0": (
            lambda kill: kill(nap, when=After(0), timeout=0),
            lambda kill: kill(nap, when=After(0), timeout="x"),
        ),
        "finds something before anything is said": (
            lambda kill: kill(nap, when=OnOutput("")),
            lambda kill: kill(nap, when=OnOutput("x*")),
        ),
        "is no text": (lambda kill: kill(nap, when=OnOutput(5)),),  # type: ignore[arg-type]
        "is no moment": (lambda kill: kill(nap, when=OnFile("")), lambda kill: kill(nap, when=OnFile("."))),
        "A whole number from 1": (
            lambda kill: kill(nap, when=OnCommand("git", 0)),
            lambda kill: kill(nap, when=OnCommand("git", "1")),  # type: ignore[arg-type]
        ),
        "There is no folder /.*nowhere": (lambda kill: kill(nap, when=After(0), cwd=tmp_path / "nowhere"),),
        "no command 'gti' on the PATH. Did you mean 'git'": (lambda kill: kill(["gti"], when=After(0)),),
        "is no environment": (lambda kill: kill(nap, when=After(0), env=5),),
        r"env\['A'\]=1 is no text": (lambda kill: kill(nap, when=After(0), env={"A": 1}),),
        "is no path": (lambda kill: kill(nap, when=OnFile(5)),),  # type: ignore[arg-type]
        "is no command": (lambda kill: kill("sleep 60", when=After(0)), lambda kill: kill(5, when=After(0))),
        "is no word of a command": (
            lambda kill: kill(["sleep", 60], when=After(0)),
            lambda kill: kill(["sleep\0"], when=After(0)),
        ),
    }
    assert accepted(uses, killed_process) == []


def test_sweeps(crash_sweep: object, tmp_path: Path) -> None:
    """Functions that cannot be called, and numbers that are none; a check that takes something else is told of, like any."""

    def sweep(**options: object) -> Use:
        return lambda make: make(["git", "version"], **{"setup": lambda: tmp_path, "check": lambda *_: None, **options})

    uses: dict[str, tuple[Use, ...]] = {
        "cannot be called": (sweep(setup=5), sweep(check=5)),
        "A whole number from 1": (sweep(max_points="1"), sweep(max_points=0), sweep(reruns=1.5)),
        "Seconds, more than 0": (sweep(timeout=0), sweep(timeout="1")),
    }
    assert accepted(uses, crash_sweep) == []
    with pytest.raises(SweepFailed, match=r"TypeError at sweeps\.py:\d+: .*takes 0 positional arguments"):
        sweep(check=lambda: None)(crash_sweep)


# ---------------------------------------------------------------- the machine, the clock, calls


def test_disks(full_disk: Any) -> None:
    """What a shell would take for a command, and end like one that has no room."""
    uses: dict[str, tuple[Use, ...]] = {
        "'git gc' is no command": (lambda disk: disk.run("git gc"),),
        "no command 'gti' on the PATH. Did you mean 'git'": (lambda disk: disk.run(["gti", "gc"]),),
        "is no size of a disk": (lambda disk: disk.run(["ls"], size=256), lambda disk: disk.run(["ls"], size=None)),
        "is no text": (lambda disk: disk.run(["ls"], setup=["true"]), lambda disk: disk.run(["ls"], env={"A": 1})),
        "has a zero byte": (lambda disk: disk.run(["ls"], setup="a\0b"),),
        "is no environment": (lambda disk: disk.run(["ls"], env=5),),
        "timeout=.* is not possible": (
            lambda disk: disk.run(["ls"], timeout=None),
            lambda disk: disk.run(["ls"], timeout=0),
        ),
        "could not be set up: a line ended with 3": (lambda disk: disk.run(["ls"], setup="exit 3"),),
        "is no number of bytes": (lambda disk: disk.quota(2**70).__enter__(),),
    }
    assert accepted(uses, full_disk) == []


def test_trees(readonly_tree: object) -> None:
    """What is no path is not the folder in which the tests run."""
    uses: dict[str, tuple[Use, ...]] = {
        "is no path": (lambda make: make(""), lambda make: make(None), lambda make: make("a\0b")),
    }
    assert accepted(uses, readonly_tree) == []


def test_clocks(virtual_clock: object) -> None:
    """What is no limit, no list of places, and no time."""
    uses: dict[str, tuple[Use, ...]] = {
        "Seconds, more than 0": (
            lambda make: make(limit="60"),
            lambda make: make(limit=None),
            lambda make: make(limit=True),
        ),
        r"It is a list: \['bot:sleep'\]": (lambda make: make(also="bot:sleep"),),
        "also=5 is no list": (lambda make: make(also=5),),
        "is no text": (lambda make: make(also=[5]),),
        "Seconds, from 0": (lambda make: make().advance("1"),),
    }
    assert accepted(uses, virtual_clock) == []


def test_calls(transient_failures: object) -> None:
    """A path is a text; of many names, only the near ones are said."""
    uses: dict[str, tuple[Use, ...]] = {
        "is no text": (
            lambda make: make("EPIPE", target=5),
            lambda make: make("EPIPE", target=len),
            lambda make: make(plan=5),
        ),
        r"says 'ECONRESET'. Did you mean 'ECONNRESET'\?\n.{0,160}\Z": (lambda make: make(plan="2*ECONRESET->ok"),),
        "no value of then 'okay'": (lambda make: make("EPIPE", then="okay"),),
    }
    assert accepted(uses, transient_failures) == []


# ---------------------------------------------------------------- the server


def test_steps(fault_server: object) -> None:
    """What would fail when it is to be sent, in a thread of the server's, is refused where it is written."""
    uses: dict[str, tuple[Use, ...]] = {
        "is no text": (
            lambda _: Ok(5),  # type: ignore[arg-type]
            lambda _: Ok(headers={"a": 5}),  # type: ignore[dict-item]
            lambda _: Status(503, body=5),  # type: ignore[arg-type]
            lambda _: Garbage(5),  # type: ignore[arg-type]
            lambda _: Redirect(5),  # type: ignore[arg-type]
        ),
        "cannot stand in a header": (
            lambda _: Ok(headers={"a": "b\r\nc: d"}),
            lambda _: Ok(headers={"a": "\u2603"}),
            lambda _: Status(503, retry_after="1\r\nc: d"),
            lambda _: Redirect("/\r\nc: d"),
        ),
        "A dict": (lambda _: Ok(headers=[("a", "b")]),),  # type: ignore[arg-type]
        "Seconds, from 0": (
            lambda _: Status(503, retry_after=NAN),
            lambda _: Status(503, retry_after=ENDLESS),
            lambda _: Status(503, retry_after=-1),
            lambda _: Slow("1"),  # type: ignore[arg-type]
            lambda _: Slow(ENDLESS),
            lambda _: Refuse("1"),  # type: ignore[arg-type]
        ),
        "A whole number from 0": (
            lambda _: Reset("1"),  # type: ignore[arg-type]
            lambda _: Truncate("1"),  # type: ignore[arg-type]
            lambda _: Truncate(1, "2"),  # type: ignore[arg-type]
        ),
        "A number, more than 0": (lambda _: Drip("1"), lambda _: Drip(0)),  # type: ignore[arg-type]
        r"says status\(abc\).\nIn brackets stands a whole number, a text": (
            lambda server: server.script("status(abc)"),
        ),
    }
    assert accepted(uses, fault_server) == []


def test_addresses(fault_server: Any) -> None:
    """Where nothing can be passed on to, a server that would ask itself for ever among it."""
    uses: dict[str, tuple[Use, ...]] = {
        "cannot be passed on to": (
            lambda server: server.proxy("http://127.0.0.1:99999"),
            lambda server: server.proxy("http://127.0.0.1:abc"),
        ),
        "is this server itself": (lambda server: server.proxy(server.url),),
        "is no text": (lambda server: server.proxy(5), lambda server: server.route(5)),
        "has more than a path": (lambda server: server.route("/a?b"),),
        "is no address": (
            lambda server: server.tcp(upstream=5),
            lambda server: server.tcp(upstream="127.0.0.1:80"),
            lambda server: server.tcp(upstream=("127.0.0.1", "80")),
            lambda server: server.tcp(upstream=("127.0.0.1", 99999)),
        ),
    }
    assert accepted(uses, fault_server) == []


# ---------------------------------------------------------------- what they share


def test_what_they_share(faults: object) -> None:
    """Truths, probabilities and functions of one's own."""
    uses: dict[str, tuple[Use, ...]] = {
        "no truth of a fault 'transeint'. Did you mean 'transient'": (
            lambda own: own.arm("x", truth="transeint"),
            lambda own: own.note("x", "transeint"),
        ),
        "cannot be called": (
            lambda own: own.listen([]),
            lambda own: own.on_heal(5),
            lambda own: own.arm("x", times=5),
        ),
        "is no text": (lambda own: own.arm(5),),
        "is a probability": (lambda own: own.buggify("x", p_fire="1"), lambda own: own.buggify("x", p_active=NAN)),
    }
    assert accepted(uses, faults) == []


def test_a_log_that_cannot_be_read(pytester: pytest.Pytester) -> None:
    """What a source or a count raises fails its own test, not the whole run; all else is undone."""
    pytester.makepyfile(
        """
        def test_one(faults, tmp_path):
            faults.stack.callback((tmp_path.parent / "undone").touch)
            faults.listen(lambda: 1 / 0)
            faults.arm("mine", times=lambda: 1 / 0)

        def test_two(faults):
            faults.listen(lambda: 1 / 0)
            assert 0

        def test_three(faults):
            assert faults.log == []
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly", "--basetemp=base")
    result.assert_outcomes(passed=2, failed=1, errors=2)
    result.stdout.fnmatch_lines(
        [
            "What the faults did cannot be told: ZeroDivisionError: *",
            "1. (what happened cannot be told: ZeroDivisionError*",
        ]
    )
    assert (pytester.path / "base" / "undone").exists()


def test_a_test_that_removes_its_folder(pytester: pytest.Pytester) -> None:
    """It passes if nothing was to be counted there; else it is told that nobody can know, and not that nothing fired."""
    pytester.makepyfile(
        """
        import shutil, subprocess

        def test_passes(flaky_command, tmp_path):
            flaky_command("ls", required=False)
            shutil.rmtree(tmp_path)
            assert subprocess.run(["ls"]).returncode == 0

        def test_fails(flaky_command, tmp_path):
            flaky_command("ls")
            subprocess.run(["ls"])
            shutil.rmtree(tmp_path)

        def test_takes_a_lock(live_git_lock, merge_conflict, full_disk, tmp_path):
            live_git_lock(merge_conflict())
            full_disk.file
            shutil.rmtree(tmp_path)
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(
        [
            "Never fired: flaky_command: ls=1*fail. Or nobody can know: the test has removed *",
            "The live lock *index.lock was removed.*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert shutil.which("ls")
    assert subprocess.run(["ls"], check=False, capture_output=True).returncode == 0
