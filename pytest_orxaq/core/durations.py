"""Durations as people write them: ``30m``, ``1h30m``, ``90s``, ``45``."""

import re


_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_WRITTEN = re.compile(
    r"(?:(?P<d>N)d)?(?:(?P<h>N)h)?(?:(?P<m>N)m)?(?:(?P<s>N)s)?(?:(?P<ms>N)ms)?".replace(
        "N", r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
    )
)
_LONGEST = 1e9  # 31 years: beyond it is a slip of the finger, and not every clock can add it


def parse(written: object) -> float:
    """Seconds of a duration: a number of seconds, or numbers with units, largest unit first.

    Raises ValueError with a sentence for everything else.
    """
    match written:
        case bool():
            raise ValueError(f"{str(written).lower()} is not a duration")
        case int() | float():
            seconds = _bounded(written)
        case str():
            seconds = _bounded(_sum(written))
        case _:
            raise ValueError(f"a duration is text such as '30m' or a number of seconds, not {type(written).__name__}")
    return seconds


def spell(seconds: float) -> str:
    """A duration in the largest units that fit, to the millisecond: ``1h30m``, ``1.5s``, ``0s``."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    whole = "".join(f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m")) if count)
    rest = f"{milliseconds // 1000}.{milliseconds % 1000:03}".rstrip("0").rstrip(".")
    return f"{whole}{rest}s" if milliseconds or not whole else whole


def _sum(written: str) -> float:
    text = written.strip()
    found = _WRITTEN.fullmatch(text)
    if found is None or not text:
        raise ValueError(f"'{written}' is not a duration; write '30m', '90s', '1h30m' or a number of seconds")
    return sum(float(count) * _SECONDS[unit] for unit, count in found.groupdict().items() if count is not None)


def _bounded(seconds: float) -> float:
    if seconds < 0:
        raise ValueError("a duration cannot be negative")
    if not seconds <= _LONGEST:  # also true of NaN
        raise ValueError(f"{seconds} seconds is no sensible duration")
    return float(seconds)
