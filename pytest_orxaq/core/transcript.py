"""Which part of an attempt's output was written outside of tests.

A test can print anything, also "Connection reset by peer". Only words that tests had no hand in may excuse a failure.
"""

from ..model import ClosingLine, Exit, Session


def decode(data: bytes) -> str:
    """*data* as text; what is not UTF-8 becomes U+FFFD, so offsets are characters from here on."""
    return data.decode("utf-8", errors="replace")


def outside_tests(data: bytes, exit: Exit, sessions: tuple[Session, ...], closing: tuple[ClosingLine, ...]) -> str:
    """The output before the first test runner began and after the last one ended; every line keeps its number.

    A pytest that the witness saw began when its journal says so, and what had been written by then is known.
    Other runners are known by their words only. Without any runner everything is outside.
    """
    text = decode(data)
    if not sessions and not closing:
        return text
    before = min([*_written_before(exit, sessions), *(_opening(line) for line in closing)])
    after = max((line.offset + len(line.line) for line in closing), default=len(text))
    # A cut in the middle of a character decodes to one U+FFFD more or less, which no signature minds.
    head, rest = decode(data[:before]) if sessions else text[:before], text[after:]
    left_out = text.count("\n") - head.count("\n") - rest.count("\n")
    joined = head[-1:] not in {"", "\n"} and rest[:1] not in {"", "\n"}  # two halves of lines must not become one
    return head + "\n" * max(left_out, int(joined)) + rest


def _written_before(exit: Exit, sessions: tuple[Session, ...]) -> list[int]:
    """Bytes of output that were there when each session opened."""
    return [max((size for at, size in exit.marks if at <= session.opened_at), default=0) for session in sessions]


def _opening(line: ClosingLine) -> int:
    return line.offset if line.opened is None else line.opened


def tail(text: str, *, lines: int, characters: int) -> str:
    """The last *lines* lines of *text*, and of these no more than the last *characters*."""
    return "\n".join(text.rstrip().splitlines()[-lines:])[-characters:]
