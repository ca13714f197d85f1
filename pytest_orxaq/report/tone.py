"""Two words that the terminal needs too, which must not wait for those of the page."""

from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """How a reader should feel about something; never the only sign of it."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to do, in words or as a command."""

    text: str
    command: str = ""
