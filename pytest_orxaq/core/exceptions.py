"""Which exceptions say that the machine, the network or a busy server is to blame, by type, errno and status: never by words.

An exception is judged with what caused it, the outermost first. Wrappers of HTTP libraries hide a refused connection and an
expired certificate alike, so they are asked last (``weak``). What nobody knows is permanent.
"""

import errno

from collections.abc import Iterator
from typing import Final, NamedTuple

from ..actions import Action


_LONGEST_CHAIN = 50  # exceptions; a chain can be a circle


class Rule(NamedTuple):
    """One kind of exception; it matches by a type's name, an errno's name, or an HTTP status."""

    id: str
    action: Action
    advice: str
    source: str  # who else treats it so, or where it is specified
    types: tuple[str, ...] = ()  # module.qualname, of the type or of a base
    errnos: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    weak: bool = False  # only if nothing in the chain is known better


def rule_for(error: BaseException, *, explicit: bool = False) -> Rule | None:
    """The rule that an exception falls under, with what caused it; None if nobody knows it.

    A group falls under a rule for retries only if all in it do. If ``explicit``, a cause is only what an exception was
    raised from, and not what was being handled at that time.
    """
    links = tuple(chain(error, explicit=explicit))
    for weak in (False, True):
        for link in links:
            if isinstance(link, BaseExceptionGroup):
                found = _of_group(link, explicit=explicit)
            else:
                found = _of_one(link, weak=weak)
            if found is not None:
                return found
    return None


def transient(error: BaseException) -> bool:
    """Whether trying the same again can help: a type, an errno or a status of the exception or of its cause says so."""
    rule = rule_for(error)
    return rule is not None and rule.action is Action.RETRY


def caused_by(error: BaseException, types: tuple[type[BaseException], ...]) -> bool:
    """Whether the exception, or what it was raised from, is of one of the types; of a group, whether all in it are."""
    for link in chain(error, explicit=True):
        if isinstance(link, types):
            return True
        if isinstance(link, BaseExceptionGroup):
            return all(caused_by(member, types) for member in link.exceptions)
    return False


def chain(error: BaseException, *, explicit: bool = False) -> Iterator[BaseException]:
    """The exception and what caused it, until a group: that is judged as one."""
    link: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if link is None:
            return
        yield link
        if isinstance(link, BaseExceptionGroup):
            return
        link = _cause_of(link, explicit=explicit)


def _cause_of(error: BaseException, *, explicit: bool) -> BaseException | None:
    reason = getattr(error, "reason", None)  # URLError and urllib3 keep it there
    if isinstance(reason, BaseException):
        return reason
    if error.__cause__ is not None:  # not its truth: an exception may have a length
        return error.__cause__
    return None if explicit or error.__suppress_context__ else error.__context__


def _of_group(group: BaseExceptionGroup[BaseException], *, explicit: bool) -> Rule | None:
    found = [rule_for(member, explicit=explicit) for member in group.exceptions]
    others = [rule for rule in found if rule is None or rule.action is not Action.RETRY]
    return UNKNOWN_MEMBER if None in others else next(iter(others), found[0])


def _of_one(error: BaseException, *, weak: bool) -> Rule | None:
    if not isinstance(error, Exception):
        return CANCELLED
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    status, number, locked = status_of(error), _errno_of(error, names), _is_locked(error)
    for rule in RULES:
        if rule.weak is weak and (
            not names.isdisjoint(rule.types)
            or number in rule.errnos
            or status in rule.statuses
            or (locked and rule is LOCKED)
        ):
            return rule
    return None if status is None or weak else REFUSED


def status_of(error: BaseException) -> int | None:
    """The HTTP status from 400 on that an exception carries, itself or in its response, as the usual libraries do."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        response = response.get("ResponseMetadata")
        return _status(response.get("HTTPStatusCode")) if isinstance(response, dict) else None
    for holder in (error, response):
        for name in ("status", "status_code", "code"):
            found = _status(getattr(holder, name, None))
            if found is not None:
                return found
    return None


def _status(found: object) -> int | None:
    return int(found) if isinstance(found, int) and 400 <= found <= 599 else None


# Their numbers are of other tables: that of a certificate error is 1, which is EPERM.
_OTHER_NUMBERS = {"ssl.SSLError", "socket.gaierror", "socket.herror"}
_ADDRESSES: Final = {-3: "EAI_AGAIN", 2: "EAI_AGAIN", 11002: "EAI_AGAIN"}  # Linux, macOS, Windows: they do not overlap


def _errno_of(error: BaseException, names: set[str]) -> str | None:
    number = getattr(error, "errno", None)
    if not isinstance(error, OSError) or number is None:
        return None
    if "socket.gaierror" in names:
        return _ADDRESSES.get(number)
    return None if names & _OTHER_NUMBERS else errno.errorcode.get(number)


def _is_locked(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in {5, 6}  # SQLITE_BUSY, SQLITE_LOCKED, whatever their extension


# ---------------------------------------------------------------- the table, in order


UNKNOWN_MEMBER = Rule("group-unknown", Action.NO_RETRY, "One of the exceptions in the group is not known.", "none")
CANCELLED = Rule("cancelled", Action.NO_RETRY, "Somebody wants this to end.", "Python's exception hierarchy")
REFUSED = Rule("http-refused", Action.NO_RETRY, "The server answered; asking again changes nothing.", "RFC 9110 §15")
LOCKED = Rule(
    "database-locked", Action.RETRY, "Another connection writes; raise its busy timeout.", "sqlite.org/rescode"
)

RULES: Final = (
    Rule(
        "ours-ended",
        Action.NO_RETRY,
        "The deadline is over, or the circuit breaker is open.",
        "ours",
        types=(
            "pytest_orxaq.resilience.scope.DeadlineError",
            "pytest_orxaq.resilience.permit.BreakerOpenError",
        ),
    ),
    Rule(
        "certificate",
        Action.NO_RETRY,
        "Check the certificate, the CA bundle and the machine's clock.",
        "cargo maybe_spurious: not git2's class Certificate",
        types=("ssl.SSLCertVerificationError",),
    ),
    Rule(
        "programming",
        Action.NO_RETRY,
        "Mend the code, or the test's expectation.",
        "ours: the code's fault",
        types=(
            "builtins.AssertionError",
            "builtins.AttributeError",
            "builtins.ImportError",
            "builtins.LookupError",
            "builtins.NameError",
            "builtins.NotImplementedError",
            "builtins.RecursionError",
            "builtins.SyntaxError",
            "builtins.TypeError",
            "builtins.ArithmeticError",
            "builtins.ValueError",
        ),
    ),
    Rule(
        "http-busy",
        Action.RETRY,
        "The server is busy or being restarted; it may say when to come back.",
        "RFC 9110 §15.5.9, §15.6; RFC 6585 §4; RFC 8470 §5.2; uv-client retry.rs",
        statuses=(408, 425, 429, 500, 502, 503, 504),
    ),
    Rule(
        "connection-lost",
        Action.RETRY,
        "The network or the other side ended the connection.",
        "uv-client retry.rs; make-fetch-happen remote.js",
        types=(
            "builtins.ConnectionAbortedError",
            "builtins.ConnectionResetError",
            "builtins.BrokenPipeError",
            "asyncio.exceptions.IncompleteReadError",
            "http.client.IncompleteRead",
            "http.client.BadStatusLine",
            "ssl.SSLEOFError",
            "ssl.SSLZeroReturnError",
        ),
        errnos=("ECONNABORTED", "ECONNRESET", "EPIPE", "ENOTCONN", "ESHUTDOWN"),
    ),
    Rule(
        "connection-refused",
        Action.RETRY,
        "Nobody listens there: is the server up?",
        "cargo maybe_spurious; make-fetch-happen remote.js",
        types=("builtins.ConnectionRefusedError",),
        errnos=("ECONNREFUSED",),
    ),
    Rule(
        "connection",
        Action.RETRY,
        "Something is wrong with the connection.",
        "Python's exception hierarchy: what programs raise themselves",
        types=("builtins.ConnectionError",),
    ),
    Rule(
        "timed-out",
        Action.RETRY,
        "No answer in time.",
        "uv-client retry.rs",
        types=("builtins.TimeoutError",),
        errnos=("ETIMEDOUT",),
    ),
    Rule(
        "unreachable",
        Action.RETRY,
        "There is no way to that host right now.",
        "cargo maybe_spurious: git2's class Net",
        errnos=("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETRESET", "ENETUNREACH"),
    ),
    Rule("name-server-busy", Action.RETRY, "The name server did not answer.", "getaddrinfo(3)", errnos=("EAI_AGAIN",)),
    Rule(
        "name-unknown",
        Action.NO_RETRY,
        "Check the host's name and the name server.",
        "make-fetch-happen remote.js: do NOT retry ENOTFOUND",
        types=("socket.gaierror", "socket.herror"),
    ),
    Rule(
        "tls", Action.NO_RETRY, "Check what both sides offer in TLS.", "cargo maybe_spurious", types=("ssl.SSLError",)
    ),
    LOCKED,
    Rule(
        "busy",
        Action.RETRY,
        "The kernel or a file system is busy.",
        "golang/go#22315 for ETXTBSY",
        types=("builtins.BlockingIOError", "builtins.InterruptedError"),
        errnos=("EAGAIN", "EBUSY", "EINTR", "ENFILE", "ENOBUFS", "ESTALE", "ETXTBSY"),
    ),
    Rule(
        "out-of-memory",
        Action.RETRY_REDUCED,
        "Run less at the same time.",
        "ours",
        types=("builtins.MemoryError",),
        errnos=("ENOMEM",),
    ),
    Rule(
        "disk-full",
        Action.REPAIR,
        "Make room on the disk, or raise the quota.",
        "ours: the same disk stays full",
        errnos=("EDQUOT", "ENOSPC"),
    ),
    Rule(
        "files",
        Action.NO_RETRY,
        "Check the path and its permissions.",
        "ours",
        types=(
            "builtins.FileExistsError",
            "builtins.FileNotFoundError",
            "builtins.IsADirectoryError",
            "builtins.NotADirectoryError",
            "builtins.PermissionError",
        ),
        errnos=("EROFS", "EMFILE", "ENAMETOOLONG", "ELOOP", "EXDEV", "ENOTEMPTY", "EINVAL", "ENOEXEC"),
    ),
    Rule(
        "address-taken",
        Action.REPAIR,
        "Another program holds that address or port.",
        "ours",
        errnos=("EADDRINUSE", "EADDRNOTAVAIL"),
    ),
    Rule(
        "tls-wrapper",
        Action.NO_RETRY,
        "Check the certificate, the CA bundle and the machine's clock.",
        "uv-client retry.rs: the cause decides",
        types=(
            "requests.exceptions.SSLError",
            "urllib3.exceptions.SSLError",
            "aiohttp.client_exceptions.ClientSSLError",
            "botocore.exceptions.SSLError",
        ),
        weak=True,
    ),
    Rule(
        "http-wrapper",
        Action.RETRY,
        "The connection failed, and the HTTP library does not say more.",
        "uv-client retry.rs: the cause decides",
        types=(
            "requests.exceptions.ConnectionError",
            "requests.exceptions.Timeout",
            "requests.exceptions.ChunkedEncodingError",
            "urllib3.exceptions.ProtocolError",
            "urllib3.exceptions.TimeoutError",
            "httpx.NetworkError",
            "httpx.RemoteProtocolError",
            "httpx.TimeoutException",
            "httpcore.NetworkError",
            "httpcore.RemoteProtocolError",
            "httpcore.TimeoutException",
            "aiohttp.client_exceptions.ClientConnectionError",
            "aiohttp.client_exceptions.ClientPayloadError",
            "botocore.exceptions.ConnectionError",
            "botocore.exceptions.HTTPClientError",
        ),
        weak=True,
    ),
)
