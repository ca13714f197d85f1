"""Which exceptions are worth another attempt."""

import asyncio
import errno
import http.client
import socket
import sqlite3
import ssl
import urllib.error

from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_orxaq.actions import Action
from pytest_orxaq.core.exceptions import RULES, Rule, rule_for, status_of, transient


def http_error(status: int) -> urllib.error.HTTPError:
    """What urllib raises for an answer."""
    return urllib.error.HTTPError("http://x.invalid/", status, "words", Message(), None)


def caused(error: BaseException, cause: BaseException) -> BaseException:
    """An exception that says what caused it."""
    error.__cause__ = cause
    return error


def amid(error: BaseException, context: BaseException) -> BaseException:
    """An exception that was raised while another one was handled."""
    error.__context__ = context
    return error


def foreign(module: str, name: str, *bases: type[Exception]) -> Exception:
    """An exception of a library that is not installed here."""
    kind: type[Exception] = type(name, bases or (Exception,), {"__module__": module})
    return kind("words")


CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate verify failed")
RETRIED = [
    ("connection-lost", ConnectionResetError(errno.ECONNRESET, "reset")),
    ("connection-lost", ConnectionResetError("without a number")),
    ("connection-lost", BrokenPipeError()),
    ("connection-lost", ConnectionAbortedError()),
    ("connection-lost", http.client.RemoteDisconnected("x")),
    ("connection-lost", http.client.IncompleteRead(b"")),
    ("connection-lost", http.client.BadStatusLine("x")),
    ("connection-lost", asyncio.IncompleteReadError(b"", 5)),
    ("connection-lost", ssl.SSLEOFError(8, "EOF occurred in violation of protocol")),
    ("connection-refused", ConnectionRefusedError()),
    ("timed-out", TimeoutError()),
    ("timed-out", OSError(errno.ETIMEDOUT, "x")),
    ("unreachable", OSError(errno.EHOSTUNREACH, "x")),
    ("unreachable", OSError(errno.ENETUNREACH, "x")),
    ("name-server-busy", socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")),
    ("busy", BlockingIOError(errno.EAGAIN, "x")),
    ("busy", OSError(errno.ETXTBSY, "x")),
    ("busy", OSError(errno.ESTALE, "x")),
    ("http-wrapper", foreign("requests.exceptions", "ConnectionError", OSError)),
    ("connection-lost", urllib.error.URLError(ConnectionResetError())),
    ("connection-lost", caused(RuntimeError("the download failed"), ConnectionResetError())),
    ("connection-lost", amid(RuntimeError("the download failed"), ConnectionResetError())),
    ("connection-lost", ExceptionGroup("g", [ConnectionResetError(), BrokenPipeError()])),
    ("connection-lost", caused(RuntimeError("x"), ExceptionGroup("g", [ConnectionResetError()]))),
    *(("http-busy", http_error(status)) for status in (408, 425, 429, 500, 502, 503, 504)),
]
NOT_RETRIED = [
    ("programming", AssertionError("expected 1")),
    ("programming", amid(KeyError("x"), ConnectionResetError())),
    ("programming", amid(ValueError("no JSON"), ConnectionResetError())),
    ("certificate", CERTIFICATE),
    ("certificate", urllib.error.URLError(CERTIFICATE)),
    ("certificate", amid(foreign("requests.exceptions", "ConnectionError", OSError), CERTIFICATE)),
    ("tls-wrapper", foreign("requests.exceptions", "SSLError", OSError)),
    ("tls", ssl.SSLError(1, "wrong version number")),
    ("tls", ssl.SSLError(errno.EPIPE, "a number of another table")),
    ("name-unknown", socket.gaierror(socket.EAI_NONAME, "Name or service not known")),
    ("name-unknown", socket.herror(1, "Unknown host")),
    ("files", FileNotFoundError(errno.ENOENT, "x")),
    ("files", PermissionError(errno.EACCES, "x")),
    ("files", OSError(errno.EROFS, "x")),
    ("disk-full", OSError(errno.ENOSPC, "x")),
    ("address-taken", OSError(errno.EADDRINUSE, "x")),
    ("out-of-memory", MemoryError()),
    ("out-of-memory", OSError(errno.ENOMEM, "x")),
    ("cancelled", KeyboardInterrupt()),
    ("cancelled", asyncio.CancelledError()),
    ("cancelled", caused(RuntimeError("x"), KeyboardInterrupt())),
    ("cancelled", BaseExceptionGroup("g", [ConnectionResetError(), KeyboardInterrupt()])),
    ("programming", ExceptionGroup("g", [ConnectionResetError(), TypeError()])),
    ("group-unknown", ExceptionGroup("g", [ConnectionResetError(), RuntimeError()])),
    *(("http-refused", http_error(status)) for status in (400, 401, 403, 404, 409, 422, 501, 505)),
    (None, RuntimeError("Connection reset by peer")),
    (None, OSError("no number")),
    (None, OSError(99999, "no such number")),
    (None, Exception()),
]


@pytest.mark.parametrize(("id", "error"), RETRIED)
def test_what_passes_is_transient(id: str, error: BaseException) -> None:
    """The machine's, the network's and a busy server's trouble is worth another attempt."""
    rule = rule_for(error)
    assert rule is not None
    assert (rule.id, rule.action) == (id, Action.RETRY)
    assert transient(error)


@pytest.mark.parametrize(("id", "error"), NOT_RETRIED)
def test_what_stays_is_permanent(id: str | None, error: BaseException) -> None:
    """The code's fault, a refusal, a full disk, a cancellation and the unknown are not."""
    rule = rule_for(error)
    assert (rule and rule.id) == id
    assert not transient(error)


@pytest.mark.parametrize(("name", "code"), [("SQLITE_BUSY", 5), ("SQLITE_LOCKED", 6), ("SQLITE_BUSY_SNAPSHOT", 517)])
def test_a_locked_database_is_transient(name: str, code: int) -> None:
    """By SQLite's code with any extension, not by its words."""
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = code
    assert transient(error)
    error.sqlite_errorcode = 1
    assert not transient(error)


def test_a_number_on_something_else_is_none() -> None:
    """Only the operating system's exceptions carry an errno."""
    error = RuntimeError()
    error.errno = errno.ECONNRESET  # type: ignore[attr-defined]
    assert rule_for(error) is None


def test_a_real_locked_database_is_transient(tmp_path: Path) -> None:
    """The exception of a database that another connection writes to."""
    holder, other = (sqlite3.connect(tmp_path / "x.db", timeout=0, isolation_level=None) for _ in range(2))
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError) as caught:
        other.execute("BEGIN EXCLUSIVE")
    holder.close()
    other.close()
    assert transient(caught.value)


@pytest.mark.parametrize(
    "carrier",
    [
        {"status": 503},
        {"status_code": 503},
        {"code": 503},
        {"response": SimpleNamespace(status_code=503)},
        {"response": SimpleNamespace(status=503)},
        {"response": {"ResponseMetadata": {"HTTPStatusCode": 503}}},
    ],
)
def test_a_status_is_found(carrier: dict[str, object]) -> None:
    """Where HTTP libraries keep it: on the exception or its response."""
    error = Exception()
    error.__dict__.update(carrier)
    assert status_of(error) == 503
    assert transient(error)


@pytest.mark.parametrize("status", [400, 599])
def test_the_first_and_the_last_status(status: int) -> None:
    """From 400 to 599."""
    error = Exception()
    error.__dict__["status"] = status
    assert status_of(error) == status


@pytest.mark.parametrize(
    "carrier",
    [
        {"code": 200},
        {"code": 399},
        {"code": 600},
        {"code": "503"},
        {"response": {}},
        {"response": {"ResponseMetadata": {}}},
    ],
)
def test_other_numbers_are_no_status(carrier: dict[str, object]) -> None:
    """An exit code, a text or a good status is none."""
    error = Exception()
    error.__dict__.update(carrier)
    assert status_of(error) is None


def test_a_cause_wins_over_a_wrapper() -> None:
    """A wrapper that may hide anything is asked only where nothing in the chain is known better."""
    wrapper = foreign("httpx", "NetworkError")
    assert transient(wrapper)
    assert not transient(caused(wrapper, CERTIFICATE))
    assert not transient(caused(wrapper, FileNotFoundError()))


def test_a_circle_has_an_end() -> None:
    """A chain that leads back to itself is judged all the same."""
    one, two = RuntimeError(), RuntimeError()
    one.__cause__, two.__cause__ = two, one
    assert not transient(one)


def test_a_suppressed_context_does_not_count() -> None:
    """``raise ... from None`` says that what was handled has nothing to do with it."""
    error = amid(RuntimeError(), ConnectionResetError())
    error.__suppress_context__ = True
    assert not transient(error)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.id))
def test_rules_are_whole(rule: Rule) -> None:
    """Each rule says what helps and who says so, matches something, has an id of its own, and knows errnos by real names."""
    assert rule.advice.endswith((".", "?"))
    assert rule.source
    assert rule.types or rule.errnos or rule.statuses or rule.id == "database-locked"
    assert [each.id for each in RULES].count(rule.id) == 1
    assert set(rule.errnos) <= {*errno.errorcode.values(), "EAI_AGAIN", "ENOTCONN"}
