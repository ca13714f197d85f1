"""Put failures of one cause together.

Two failures are alike when exception, message and place agree after everything is taken out that changes from
run to run. The same failures make the same groups in every order and every run.
"""

import hashlib
import re

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..model import Failure, TestResult


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failures with one normalised fingerprint; the first one stands for all."""

    fingerprint: str
    exception: str
    message: str  # the first meaningful line of the first failure, as it was
    place: str
    results: tuple[TestResult, ...]


_LONGEST = 500  # characters of a line that count
_VOLATILE = tuple(
    (re.compile(pattern), stand_in)
    for pattern, stand_in in (
        (r"\x1b\[[0-9;]*m", ""),
        (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "<uuid>"),
        (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?", "<time>"),
        (r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b", "<time>"),
        (r"0x[0-9a-fA-F]+", "<address>"),
        (r"(?:/private)?(?:/var/folders|/var/tmp|/tmp|/dev/shm)/[^\s'\":,;)\]}>]+", "<tmp>"),
        (r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{12,64}\b", "<hash>"),
        (r"\d+(?:\.\d+)?", "<n>"),
        (r"\s+", " "),
    )
)
_GENERIC = re.compile(
    r"(?:failed|failure|error|errors|exception|assertion ?error|assertion failed|test failed|none|null)?[.:!]?",
    re.IGNORECASE,
)
_RULER = re.compile(r"[\W_]*")
_PYTEST_ERROR = re.compile(r"E\s+(.*)")


def groups(results: Iterable[TestResult], place: Callable[[Failure], str]) -> tuple[FailureGroup, ...]:
    """The failures by cause, the largest group first; `place` names the innermost own frame of a failure."""
    found: dict[tuple[str, str, str], list[TestResult]] = {}
    for result in sorted(results, key=_order):
        failure = leading(result)
        key = (failure.exception, normalised(meaningful_line(failure)), place(failure))
        found.setdefault(key, []).append(result)
    made = [_group(key, members) for key, members in found.items()]
    return tuple(sorted(made, key=lambda group: (-len(group.results), group.results[0].id, group.fingerprint)))


def leading(result: TestResult) -> Failure:
    """The failure that speaks for a test: the first, because later ones follow from it."""
    return result.failures[0] if result.failures else Failure(phase="", exception="", message="", traceback="")


def _group(key: tuple[str, str, str], members: list[TestResult]) -> FailureGroup:
    digest = hashlib.sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()
    failure = leading(members[0])
    return FailureGroup(
        fingerprint=digest[:12],
        exception=failure.exception,
        message=meaningful_line(failure),
        place=key[2],
        results=tuple(members),
    )


def _order(result: TestResult) -> tuple[str, float, tuple[tuple[str, str, str], ...]]:
    return (result.id, result.duration, tuple((f.exception, f.message, f.traceback) for f in result.failures))


def meaningful_line(failure: Failure) -> str:
    """The first line of the message that says something, else of the traceback."""
    for line in failure.message.splitlines():
        said = line.strip().removeprefix(failure.exception).lstrip(": ")
        if not _GENERIC.fullmatch(said) and not _RULER.fullmatch(said):
            return line.strip()[:_LONGEST]
    lines = failure.traceback.splitlines()
    errors = [match[1] for line in lines if (match := _PYTEST_ERROR.match(line))]
    for line in (*errors, *reversed(lines)):
        said = line.strip()
        if not _GENERIC.fullmatch(said) and not _RULER.fullmatch(said):
            return said[:_LONGEST]
    return failure.message.strip()[:_LONGEST]


def normalised(line: str) -> str:
    """The line without what differs from run to run: addresses, ids, numbers, times, temporary paths."""
    for pattern, stand_in in _VOLATILE:
        line = pattern.sub(stand_in, line)
    return line.strip()
