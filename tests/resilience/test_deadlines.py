"""One deadline for everything inside of it: nested, in threads, and in real child processes."""

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
import time

from collections.abc import Iterator
from typing import Any

import pytest

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq import DeadlineError, Retry, deadline
from pytest_orxaq.core import environment
from pytest_orxaq.resilience import scope as module
from pytest_orxaq.system import resources
from pytest_orxaq.testing import FakeClock, instant


BOUND = 60.0  # seconds after which a child counts as hung
LEFT = "from pytest_orxaq import deadline; print(deadline.remaining())"


@pytest.fixture(autouse=True)
def _nothing_handed_down(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins without a deadline, and leaves none behind."""
    monkeypatch.delenv(module.VARIABLE, raising=False)
    yield
    assert module.VARIABLE not in os.environ
    assert not module._running


def child(code: str, environ: dict[str, str] | None = None) -> str:
    """What a real child process prints, without its end."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=BOUND, check=True
    )
    return done.stdout.strip()


# ---------------------------------------------------------------- P2


@given(
    seconds=some.just(0.0) | some.floats(0.01, 50),
    durations=some.lists(some.floats(0, 10), min_size=1, max_size=12),
    base=some.floats(0, 20),
    told=some.booleans(),
)
def test_no_attempt_begins_after_the_deadline(seconds: float, durations: list[float], base: float, told: bool) -> None:
    """Whatever attempts take, each begins in time, and no pause is longer than what is left (P2)."""
    begun: list[float] = []
    with instant() as clock:
        at = clock.now() + seconds

        def work() -> None:
            begun.append(clock.now())
            clock.advance(durations[len(begun) % len(durations)])
            raise ConnectionResetError

        again = Retry(attempts=30, base=base, on_event=(lambda _: None) if told else None)
        with deadline(seconds), pytest.raises((ConnectionResetError, DeadlineError)):
            again(work)()
    assert all(moment < at for moment in begun)
    assert bool(begun) == (seconds > 0)
    assert sum(clock.slept) <= seconds + 1e-6  # the clock stands at a large number


# ---------------------------------------------------------------- nested


def test_a_deadline_only_shortens() -> None:
    """One inside never ends after the one around it, and afterwards that one is in force again."""
    with instant():
        assert deadline.remaining() is None
        with deadline(100):
            with deadline(10):
                assert deadline.remaining() == 10
                with deadline(1000) as inner:
                    assert deadline.remaining() == 10
                    assert inner.seconds == 1000
            assert deadline.remaining() == 100
        assert deadline.remaining() is None


def test_remaining_has_bounds() -> None:
    """It is never below nothing, nor above what the caller would wait anyway."""
    with instant() as clock:
        assert deadline.remaining(30) == 30
        with deadline(10):
            assert (deadline.remaining(30), deadline.remaining(5)) == (10, 5)
            clock.advance(60)
            assert deadline.remaining(5) == 0


@pytest.mark.parametrize("seconds", [-1, float("nan"), "3", None, True])
def test_nonsense_is_refused(seconds: Any) -> None:
    """A deadline in the past is a mistake, and so is one that is no number."""
    with pytest.raises(ValueError, match="0 or more seconds"):
        deadline(seconds)


def test_a_deadline_without_end_is_none() -> None:
    """Who bounds nothing has no end, rather than an infinite one that no timeout takes."""
    with deadline(float("inf")):
        assert (deadline.remaining(), deadline.remaining(5)) == (None, 5)


def test_a_deadline_runs_once_at_a_time() -> None:
    """One that is running cannot be entered again; one that has ended can, and counts anew."""
    mine = deadline(10)
    with mine, pytest.raises(RuntimeError, match="already running"):
        mine.__enter__()
    with instant(), mine:
        assert deadline.remaining() == 10


def test_an_attempt_is_a_deadline_for_what_is_inside() -> None:
    """A function cannot be cut, but finds its bound, and retries inside keep it."""
    begun = []

    def inner() -> None:
        begun.append(deadline.remaining())
        clock.advance(2)
        raise ConnectionResetError

    with instant() as clock, pytest.raises(ConnectionResetError):
        Retry(attempts=1, per_attempt=5)(Retry(attempts=9, base=0.5)(inner))()
    assert begun == [5, 2.5]


def test_an_attempt_ends_with_the_deadline_around_it() -> None:
    """Its own bound never lengthens that."""
    with instant(), deadline(3):
        assert Retry(per_attempt=5)(deadline.remaining)() == 3
        assert Retry(per_attempt=2)(deadline.remaining)() == 2


def test_a_deadline_within_an_attempt_stands_for_the_one_around_it() -> None:
    """Children that are started in there have only the nearest one; afterwards, the other is in force again."""
    found: list[set[deadline]] = []

    def work() -> None:
        if not clock.slept:
            raise ConnectionResetError
        with deadline(5) as inner:
            assert module._running == {inner}
        found.append({*module._running})

    with instant() as clock, deadline(100) as outer:
        Retry(base=1.0)(work)()
    assert found == [{outer}]


def test_a_subprocess_is_cut() -> None:
    """The documented way: a child gets what is left as its timeout, and is gone afterwards."""

    def work() -> None:
        subprocess.run(
            [sys.executable, "-c", "import time; time.sleep(3600)"], timeout=deadline.remaining(), check=True
        )

    with pytest.raises(subprocess.TimeoutExpired):
        Retry(per_attempt=0.5)(work)()


# ---------------------------------------------------------------- children


def test_children_inherit_a_deadline() -> None:
    """A child that is started within a deadline has no more time than is left; one started after it has no deadline."""
    with deadline(1000):
        began = time.monotonic()
        outer = float(child(LEFT))
        with deadline(100):
            inner = float(child(LEFT))
        again = float(child(LEFT))
        elapsed = time.monotonic() - began
    assert 1000 - elapsed - 0.01 <= outer <= 1000
    assert 100 - elapsed - 0.01 <= inner <= 100
    assert 1000 - elapsed - 0.01 <= again <= outer
    assert child(LEFT) == "None"


def test_children_of_children_inherit_it() -> None:
    """Through any number of processes, and none of them can extend it."""
    code = f"import subprocess, sys\nfrom pytest_orxaq import deadline\nwith deadline(3600): print(subprocess.run([sys.executable, '-c', {LEFT!r}], capture_output=True, text=True).stdout)\nprint(deadline.remaining())"
    with deadline(100):
        grandchild, child_afterwards = map(float, child(code).split())
    assert 0 < child_afterwards <= grandchild <= 100


def test_a_child_makes_no_attempt_after_the_deadline() -> None:
    """Its retries end with the time of its parent."""
    code = "from pytest_orxaq import Retry, DeadlineError\ntry: Retry()(print)('called')\nexcept DeadlineError: print('late')"
    with deadline(0):
        assert child(code) == "late"
    with deadline(1000):
        assert child(code) == "called"


def test_the_gate_and_the_library_speak_of_the_same_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that the gate gives to a checkpoint is the deadline of what runs in it, and the other way round."""
    spelled = environment.spell_deadline(time.monotonic() + 500, resources.boot_id())
    given_by_gate = dict(os.environ, ORXAQ_DEADLINE=spelled)
    assert 490 - BOUND < float(child(LEFT, given_by_gate)) <= 500
    with deadline(100):
        read = environment.read_deadline(os.environ["ORXAQ_DEADLINE"], resources.boot_id())
    assert read == pytest.approx(time.monotonic() + 100, abs=BOUND)
    monkeypatch.undo()


@pytest.mark.parametrize("spelled", ["nonsense", "", "5.0@another-boot", "@", "nan@x"])
def test_what_is_no_deadline_is_none(spelled: str) -> None:
    """A variable of another boot, or one that makes no sense, is no deadline."""
    assert child(LEFT, dict(os.environ, ORXAQ_DEADLINE=spelled)) == "None"


def test_what_was_handed_down_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a deadline, the environment says again what it said before."""
    monkeypatch.setenv(module.VARIABLE, "as before")
    with deadline(10):
        assert os.environ[module.VARIABLE] != "as before"
    assert os.environ[module.VARIABLE] == "as before"
    monkeypatch.delenv(module.VARIABLE)


def test_the_exact_deadline_can_be_handed_over() -> None:
    """Within an attempt, the environment that is asked for carries the attempt's bound, the process's own does not."""
    handed = Retry(per_attempt=7)(deadline.environment)()
    read = environment.read_deadline(handed[module.VARIABLE], resources.boot_id())
    assert read is not None
    assert 7 - BOUND < read - time.monotonic() < 7.001  # it is spelled in milliseconds
    assert module.VARIABLE not in os.environ
    assert module.VARIABLE not in deadline.environment()


def test_a_fake_clock_hands_down_real_time() -> None:
    """A child knows nothing of the clock of its parent's tests."""
    with instant(FakeClock(at=5.0)), deadline(1000):
        assert 900 < float(child(LEFT)) <= 1000


# ---------------------------------------------------------------- threads and tasks


def test_threads_have_their_own_deadlines() -> None:
    """A thread starts without one; what the environment says is the latest, for nobody's child may end too early."""

    def shown() -> float:
        read = environment.read_deadline(os.environ[module.VARIABLE], resources.boot_id())
        assert read is not None
        return read - time.monotonic()

    def work() -> None:
        seen.append(deadline.remaining())
        with deadline(1000):
            seen.append(shown())
            entered.set()
            assert leave.wait(BOUND)

    seen: list[float | None] = []
    entered, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=work)
    with deadline(100):
        thread.start()
        assert entered.wait(BOUND)
        assert shown() > 100
        leave.set()
        thread.join(BOUND)
        assert shown() < 100.001  # it is spelled in milliseconds
    assert seen[0] is None
    assert seen[1] is not None
    assert seen[1] > 100


def test_a_task_does_not_shorten_its_siblings() -> None:
    """A shorter deadline in one task leaves the longer one to the children of the others."""

    async def short() -> None:
        with deadline(10):
            entered.set()
            await leave.wait()

    async def main() -> None:
        with deadline(1000):
            task = asyncio.ensure_future(short())
            await entered.wait()
            read = environment.read_deadline(os.environ[module.VARIABLE], resources.boot_id())
            assert read is not None
            assert read - time.monotonic() > 100
            leave.set()
            await task

    entered, leave = asyncio.Event(), asyncio.Event()
    asyncio.run(main())


def test_deadlines_that_end_out_of_turn() -> None:
    """An outer one that is left before an inner one is not put back when that one ends, nor does leaving twice do harm."""

    def work() -> None:
        outer, inner = deadline(10), deadline(5)
        outer.__enter__()
        inner.__enter__()
        outer.__exit__(None, None, None)
        inner.__exit__(None, None, None)
        inner.__exit__(None, None, None)

    contextvars.copy_context().run(work)
