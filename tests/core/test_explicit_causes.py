"""Which exceptions are transient where only an explicit cause counts, as for tests: causes, groups, circles."""

import errno
import itertools
import socket
import ssl
import subprocess

from typing import TypeVar

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.actions import Action
from pytest_orxaq.core.exceptions import caused_by, rule_for


E = TypeVar("E", bound=BaseException)
TRANSIENT: list[Exception] = [
    ConnectionError("refused"),
    ConnectionResetError(),
    ConnectionRefusedError(),
    BrokenPipeError(),
    TimeoutError(),
    BlockingIOError(errno.EAGAIN, "busy"),
    InterruptedError(errno.EINTR, "interrupted"),
    OSError(errno.EHOSTUNREACH, "no way"),
    OSError(errno.ENETDOWN, "down"),
    OSError(errno.ETXTBSY, "busy"),
    socket.gaierror(socket.EAI_AGAIN, "later"),
]
PERMANENT: list[BaseException] = [
    AssertionError("ConnectionError"),
    ValueError("ConnectionError: refused"),
    OSError("of no number"),
    OSError(errno.ENOENT, "gone"),
    OSError(errno.ENOSPC, "full"),
    PermissionError(errno.EPERM, "no"),
    FileNotFoundError(),
    socket.gaierror(socket.EAI_NONAME, "no such name"),
    ssl.SSLCertVerificationError(errno.EAGAIN, "bad certificate"),
    subprocess.TimeoutExpired("make", 1),
    MemoryError(),
    SystemExit(0),
    KeyboardInterrupt(),
    pytest.fail.Exception("by hand"),
]


def transient(error: BaseException) -> bool:
    """Whether the rule for it says that trying again helps."""
    rule = rule_for(error, explicit=True)
    return rule is not None and rule.action is Action.RETRY


def caused(error: E, cause: BaseException) -> E:
    """The exception, raised from the cause."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", TRANSIENT, ids=repr)
def test_transient(error: Exception) -> None:
    """The machine's and the network's doing, itself, as a cause, and in a group."""
    assert transient(error)
    assert transient(caused(RuntimeError(), error))
    assert transient(ExceptionGroup("all", [caused(RuntimeError(), error), TimeoutError()]))


@pytest.mark.parametrize("error", PERMANENT, ids=repr)
def test_permanent(error: BaseException) -> None:
    """Everything else, also beside something transient."""
    assert not transient(error)
    assert not transient(BaseExceptionGroup("mixed", [TimeoutError(), error]))


@pytest.mark.parametrize("error", [AssertionError(), SystemExit(), KeyboardInterrupt()], ids=repr)
def test_what_is_never_transient_is_not_for_its_cause(error: BaseException) -> None:
    """An assertion that fails because of a lost connection is an assertion; who wants to end ends."""
    assert not transient(caused(error, ConnectionError()))


def test_only_a_cause_counts() -> None:
    """What was being handled when the exception was raised is not its cause."""
    error = ValueError()
    error.__context__ = ConnectionError()
    assert not transient(error)
    assert not caused_by(error, (ConnectionError,))


def test_a_group_can_have_a_cause_too() -> None:
    """The members decide about a group, and not what it was raised from."""
    assert not transient(caused(ExceptionGroup("it", [ValueError()]), ConnectionError()))


@given(st.lists(st.sampled_from([ValueError, RuntimeError, KeyError]), min_size=1, max_size=8), st.integers(0, 7))
def test_a_circle_of_causes_ends(kinds: list[type[Exception]], back: int) -> None:
    """A chain that comes back to itself is permanent, and is left."""
    links = [kind() for kind in kinds]
    for one, other in itertools.pairwise(links):
        one.__cause__ = other
    links[-1].__cause__ = links[back % len(links)]
    assert not transient(links[0])
    assert not caused_by(links[0], (ConnectionError,))
    assert caused_by(links[0], (kinds[-1],))


def test_caused_by() -> None:
    """An exception of a type, from one of it, or a group of nothing else."""
    assert caused_by(ConnectionResetError(), (ConnectionError, KeyError))
    assert caused_by(caused(RuntimeError(), KeyError()), (KeyError,))
    assert not caused_by(RuntimeError(), (KeyError,))
    assert caused_by(ExceptionGroup("all", [KeyError(), caused(ValueError(), KeyError())]), (KeyError,))
    assert not caused_by(ExceptionGroup("some", [KeyError(), ValueError()]), (KeyError,))
    assert caused_by(ExceptionGroup("itself", [ValueError()]), (ExceptionGroup,))
    assert caused_by(pytest.fail.Exception("by hand"), (pytest.fail.Exception,))
