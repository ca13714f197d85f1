"""The library from outside: what it exports, what its import costs, instant mode, and adapters."""

import subprocess
import sys

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stamina
import tenacity

import pytest_orxaq

from pytest_orxaq import Retry, resilience, subscribe
from pytest_orxaq.resilience import Event, Kind, adapters, contract
from pytest_orxaq.resilience.budget import Budget
from pytest_orxaq.resilience.clock import clocks
from pytest_orxaq.testing import FakeClock, instant


def test_public_names_are_sorted_and_there() -> None:
    """Each name that is promised exists, and one that is not says so."""
    for package in (pytest_orxaq, resilience):
        assert sorted(package.__all__) == list(package.__all__)
        assert all(hasattr(package, name) for name in package.__all__)
        assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'retry'"):
        _ = pytest_orxaq.retry


def modules_after(statement: str) -> set[str]:
    """What a statement loads into a fresh Python."""
    code = f"import sys; before = {{*sys.modules}}; {statement}; print(*{{*sys.modules}} - before)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_what_retries_need_is_said(tmp_path: Path) -> None:
    """Our budget is one of the things that fulfil the contract."""
    shared: contract.Shared = Budget("x", folder=tmp_path)
    assert shared.take()


def test_the_import_loads_little() -> None:
    """Neither pytest nor anything that is dear and not needed by everybody is imported with the library."""
    loaded = modules_after("from pytest_orxaq import Retry, deadline, transient, Outcome")
    assert "pytest_orxaq.resilience.retry" in loaded
    dear = {
        "pytest",
        "asyncio",
        "sqlite3",
        "logging",
        "dataclasses",
        "inspect",
        "subprocess",
        "email",
        "pytest_orxaq.model",
    }
    assert not loaded & dear


def test_a_bare_import_loads_no_library() -> None:
    """Who imports the package for something else does not pay for retries."""
    loaded = modules_after("import pytest_orxaq")
    assert "pytest_orxaq.resilience" not in loaded


# ---------------------------------------------------------------- instant mode


def test_instant_mode_ends() -> None:
    """Afterwards, the machine's clock is used again, also after an exception; modes can be nested."""
    before = clocks.current
    with pytest.raises(KeyError), instant() as outer:  # noqa: PT012 - the nesting is what is tested
        with instant(FakeClock(at=5.0)) as inner:
            assert clocks.current is inner
        assert clocks.current is outer
        raise KeyError
    assert clocks.current is before


def test_jitter_is_what_a_test_says() -> None:
    """Pauses in tests are the same every time."""
    with instant(FakeClock(jitter=0.25)) as clock, pytest.raises(ConnectionResetError):
        Retry(attempts=2, base=4.0)(lose)()
    assert clock.slept == [1.0]


def lose() -> None:
    """Raise something transient."""
    raise ConnectionResetError


# ---------------------------------------------------------------- adapters


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    """What listeners are told."""
    events: list[Event] = []
    end = subscribe(events.append)
    yield events
    end()


def failing(calls: list[int], error: BaseException) -> Callable[[], None]:
    """A function that counts its calls, and fails."""

    def fail() -> None:
        calls.append(1)
        raise error

    return fail


CASES = [(ConnectionResetError(), 3), (ValueError(), 1), (KeyboardInterrupt(), 1), (SystemExit(), 1)]


@pytest.mark.parametrize(("error", "attempts"), CASES, ids=lambda value: type(value).__name__)
def test_tenacity_learns_what_is_transient(error: BaseException, attempts: int, heard: list[Event]) -> None:
    """With our predicate, it retries what passes, and lets Ctrl-C through; its retries are heard by our listeners."""
    calls: list[int] = []
    again = tenacity.retry(
        retry=adapters.tenacity_retry,
        before_sleep=adapters.tenacity_before_sleep,
        retry_error_callback=adapters.tenacity_retry_error_callback,
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_fixed(1.5),
        sleep=lambda _: None,
    )
    with pytest.raises(type(error)) as caught:
        again(failing(calls, error))()
    assert caught.value is error
    assert len(calls) == attempts
    told = [(event.kind, event.attempt, event.delay) for event in heard]
    assert told == ([(Kind.RETRY, 1, 1.5), (Kind.RETRY, 2, 1.5), (Kind.GAVE_UP, 3, None)] if attempts > 1 else [])
    assert all(event.error is error and "fail" in event.name for event in heard)


def test_tenacity_asks_about_results_too() -> None:
    """A result is no reason for another attempt."""
    assert tenacity.retry(retry=adapters.tenacity_retry)(lambda: None)() is None


@pytest.mark.parametrize(("error", "attempts"), CASES, ids=lambda value: type(value).__name__)
def test_stamina_learns_what_is_transient(error: BaseException, attempts: int, heard: list[Event]) -> None:
    """The same, where it would ask a function about Ctrl-C too."""
    calls: list[int] = []
    before = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([adapters.stamina_hook])
    try:
        with pytest.raises(type(error)) as caught:
            stamina.retry(on=adapters.stamina_on, attempts=3, wait_initial=0.0, wait_max=0.0, wait_jitter=0.0)(
                failing(calls, error)
            )()
    finally:
        stamina.instrumentation.set_on_retry_hooks(before)
    assert caught.value is error
    assert len(calls) == attempts
    assert [(event.kind, event.attempt) for event in heard] == [(Kind.RETRY, number) for number in range(1, attempts)]
    assert all(event.error is error and "fail" in event.name for event in heard)
