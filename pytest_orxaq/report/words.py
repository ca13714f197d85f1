"""Say figures and lists the way people read them."""

import shlex
import signal

from collections.abc import Sequence
from datetime import UTC, datetime

from ..model import Counts, Exit


def seconds(value: float) -> str:
    """A length of time."""
    if value < 0.0095:
        return "under 10 ms" if value > 0 else "0 s"
    if value < 0.995:
        return f"{value:.2f} s"
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(value: float) -> str:
    """A number of bytes."""
    if value < 1024:
        return f"{value:.0f} B"
    units = ["KiB", "MiB", "GiB", "TiB"]
    value /= 1024
    while value >= 1023.5 and len(units) > 1:
        value /= 1024
        del units[0]
    return f"{value:.0f} {units[0]}" if value >= 99.5 else f"{value:.1f} {units[0]}"


def number(value: int) -> str:
    """A whole number, its thousands set apart."""
    return f"{value:,}"


def count(value: int, noun: str, plural: str = "") -> str:
    """So many of something."""
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def percent(share: float) -> str:
    """A share of 1."""
    return "under 1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"


def moment(at: float) -> str:
    """A moment on the clock, in UTC: the reader may sit anywhere."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "at no known time"  # a clock that jumped, or a damaged record


def ago(at: float, now: float) -> str:
    """How long before `now` something was."""
    passed = now - at
    if passed < 0:
        return "in the future, by this machine's clock"
    days = int(passed // 86400)
    return f"{count(days, 'day')} ago" if days else f"{seconds(round(passed))} ago"


def listing(names: Sequence[str], most: int = 3) -> str:
    """Names in a sentence: a, b and 7 more."""
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most:,} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def counts(value: Counts) -> str:
    """Tests by outcome, in words."""
    parts = [
        (value.passed, "passed"),
        (value.failed, "failed"),
        (value.errors, "with errors"),
        (value.skipped, "skipped"),
        (value.xfailed, "failed as expected"),
        (value.xpassed, "passed against expectation"),
    ]
    return ", ".join(f"{n:,} {word}" for n, word in parts if n) or "no test counted"


def ending(exit: Exit) -> str:
    """How a command ended."""
    if exit.not_started:
        return f"could not be started: {exit.not_started}"
    if exit.cancelled is not None:
        return f"cancelled by {signal_name(exit.cancelled)}"
    if exit.timed_out:
        return f"stopped when its time ran out, after {seconds(exit.duration)}"
    if exit.signal is not None:
        return f"ended by {signal_name(exit.signal)}"
    return "end unknown" if exit.code is None else f"exit code {exit.code}"


def signal_name(value: int) -> str:
    """The name of a signal."""
    try:
        return signal.Signals(value).name
    except ValueError:
        return f"signal {value}"


def sentence(text: str) -> str:
    """The text with its first letter large, where it begins with a word."""
    first = text.partition(" ")[0]
    return text[0].upper() + text[1:] if first.isalpha() else text


def shortened(text: str, head: int, tail: int = 0) -> str:
    """The text, or its two ends with a line between them that says how much is missing."""
    missing = len(text) - head - tail
    if missing <= 0:
        return text
    end = text[-tail:] if tail else ""
    return f"{text[:head]}\n… {missing:,} characters left out …\n{end}"


def brief(text: str, most: int = 300) -> str:
    """One line of text for a heading or a list."""
    line = " ".join(text[: most * 4].split())
    return line if len(line) <= most and len(text) <= most * 4 else f"{line[:most]}… ({len(text):,} characters)"


def shell(words: Sequence[str]) -> str:
    """A command as one types it into a shell; what cannot be seen is escaped in the way of bash."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if c.isprintable() else _bytes(c) for c in escaped) + "'"


def _bytes(character: str) -> str:
    # A byte that is not UTF-8 travels through Python as a lone surrogate.
    errors = "surrogateescape" if "\udc80" <= character <= "\udcff" else "replace"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", errors))


_TESTS_AT_ONCE = 8
_LONGEST_COMMAND = 2_000


def repeating(ids: Sequence[str]) -> str:
    """The command that runs these pytest tests again, the first of them where they are many; empty if none can be said."""
    usable = [id for id in ids[:_TESTS_AT_ONCE] if id and not id.startswith("-") and "\0" not in id]
    for some in (usable, usable[:1]):
        command = shell(("python", "-m", "pytest", *some))
        if some and len(command) <= _LONGEST_COMMAND:
            return command
    return ""
