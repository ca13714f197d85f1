"""Retries through real circuit breakers: what one process learns, the others know."""

import subprocess
import sys

from pathlib import Path

import pytest

from pytest_orxaq import Breaker, BreakerOpenError, DeadlineError, Retry, deadline, transient
from pytest_orxaq.model import Verdict
from pytest_orxaq.testing import instant


BOUND = 60.0


def lose() -> None:
    """Raise something transient."""
    raise ConnectionResetError("reset")


def test_retries_stop_when_the_breaker_opens(tmp_path: Path) -> None:
    """The attempt that opens it is the last one; later calls are not made, and say why."""
    net = Breaker("pypi", threshold=3, store=tmp_path / "breakers.db")
    calls: list[int] = []

    def fetch() -> None:
        calls.append(1)
        lose()

    again = Retry(attempts=10, breaker=net)
    with instant():
        with pytest.raises(ConnectionResetError) as caught:
            again(fetch)()
        assert len(calls) == 3
        assert "the circuit breaker is open" in caught.value.__notes__[0]
        with pytest.raises(BreakerOpenError, match="'pypi' is open"):
            again(fetch)()
        skipped = again.run(fetch, fallback=lambda: "cached")
    assert (skipped.value, skipped.degraded, skipped.verdict) == ("cached", True, Verdict.SKIPPED)
    assert len(calls) == 3


def test_an_open_breaker_is_not_transient(tmp_path: Path) -> None:
    """A retry further out does not hammer at it, nor at a deadline that is over."""
    net = Breaker("pypi", threshold=1, store=tmp_path / "breakers.db")
    net.force_open("maintenance")
    inner = Retry(breaker=net)(lose)
    calls: list[int] = []

    def outer() -> None:
        calls.append(1)
        inner()

    with instant(), pytest.raises(BreakerOpenError) as caught:
        Retry(attempts=5)(outer)()
    assert len(calls) == 1
    assert not transient(caught.value)

    def late() -> None:
        calls.append(1)
        with deadline(0):
            Retry()(lose)()

    with instant(), pytest.raises(TimeoutError):
        Retry(attempts=5)(late)()
    assert len(calls) == 2


@pytest.mark.parametrize("last", [BreakerOpenError("pypi", 5.0, "so"), DeadlineError("over")])
def test_what_was_ended_by_us_is_final_whatever_went_before(last: Exception) -> None:
    """A refusal while a lost connection is handled is still a refusal: what went before does not make it transient."""
    calls: list[int] = []

    def job() -> None:
        calls.append(1)
        try:
            lose()
        except ConnectionResetError:
            raise last  # noqa: B904 - the context is the point

    with instant(), pytest.raises(type(last)):
        Retry(attempts=3)(job)()
    assert len(calls) == 1


def test_other_processes_know(tmp_path: Path) -> None:
    """What failed here is not tried there."""
    store = tmp_path / "breakers.db"
    with pytest.raises(ConnectionResetError):
        Retry(attempts=5, base=0, breaker=Breaker("pypi", threshold=2, store=store))(lose)()
    code = (
        "import sys; from pytest_orxaq import Breaker, Retry\n"
        "again = Retry(breaker=Breaker('pypi', threshold=2, store=sys.argv[1]))\n"
        "print(again.run(print, 'called', fallback=lambda _: 'skipped').value)"
    )
    command = [sys.executable, "-c", code, str(store)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, check=True)
    assert done.stdout == "skipped\n"


def test_a_bug_says_that_the_other_side_answers(tmp_path: Path) -> None:
    """An exception that is not transient closes the gap in the failures: they were not in a row."""
    net = Breaker("pypi", threshold=2, store=tmp_path / "breakers.db")
    again = Retry(attempts=1, breaker=net)
    for error in (ConnectionResetError(), ValueError(), ConnectionResetError()):

        def fail(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error)):
            again(fail)()
    assert again(lambda: "called")() == "called"


def test_an_interrupted_probe_is_given_back(tmp_path: Path) -> None:
    """Ctrl-C in the one call that decides leaves the decision to the next one, at once."""
    net = Breaker("pypi", threshold=1, cooldown=30, store=tmp_path / "breakers.db")
    again = Retry(attempts=1, breaker=net)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with instant() as clock:
        with pytest.raises(ConnectionResetError):
            again(lose)()
        clock.advance(60)
        with pytest.raises(KeyboardInterrupt):
            again(interrupted)()
        assert again(lambda: "called")() == "called"
        assert net.snapshot().failures == 0
