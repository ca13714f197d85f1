"""The library from outside: what it exports, what its import costs, instant mode, and adapters."""

import subprocess
import sys

from pathlib import Path
from types import SimpleNamespace

import pytest

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
    code = "import sys; from pytest_orxaq import Retry, deadline, transient, Outcome; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
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
    code = "import sys, pytest_orxaq; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
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


def state(error: BaseException | None) -> SimpleNamespace:
    """What tenacity hands to its callbacks."""

    def result() -> object:
        if error is not None:
            raise error
        return None

    outcome = SimpleNamespace(exception=lambda: error, result=result)
    return SimpleNamespace(outcome=outcome, fn=lose, attempt_number=2, upcoming_sleep=1.5)


@pytest.mark.parametrize(
    ("error", "retried"),
    [(ConnectionResetError(), True), (ValueError(), False), (KeyboardInterrupt(), False), (SystemExit(), False)],
)
def test_adapters_judge(error: BaseException, retried: bool) -> None:
    """What is transient is retried by others too, and Ctrl-C is not."""
    assert adapters.tenacity_retry(state(error)) is retried
    assert adapters.stamina_on(error) is retried


def test_a_result_is_no_reason() -> None:
    """tenacity asks about results too."""
    assert adapters.tenacity_retry(state(None)) is False


def test_adapters_tell() -> None:
    """Retries of others are heard by our listeners."""
    heard: list[Event] = []
    end = subscribe(heard.append)
    error = ConnectionResetError()
    try:
        adapters.tenacity_before_sleep(state(error))
        with pytest.raises(ConnectionResetError):
            adapters.tenacity_retry_error_callback(state(error))
        adapters.stamina_hook(SimpleNamespace(name="f", retry_num=1, wait_for=0.5, caused_by=error))
    finally:
        end()
    assert [(event.kind, event.name, event.attempt, event.delay) for event in heard] == [
        (Kind.RETRY, "lose", 2, 1.5),
        (Kind.GAVE_UP, "lose", 2, None),
        (Kind.RETRY, "f", 1, 0.5),
    ]
    assert all(event.error is error for event in heard)
