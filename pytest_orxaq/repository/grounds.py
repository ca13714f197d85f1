"""Where locks are looked for, and on what terms: all that the gate has to know of them as long as there is none."""

from dataclasses import dataclass

from ..model import ReleasePolicy
from ..system.journal import Journal
from ..system.state import State
from .places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms locks are judged and released."""

    policy: ReleasePolicy = ReleasePolicy.PROOF
    floor: float = 300.0  # seconds without a change, before a lock may be dead by elimination
    tenancy: bool = False  # the operator declares that nobody else works in this repository
    insisted: bool = False  # and does so for this time: then a lock goes that keeps coming back, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Where locks are looked for, on what terms, and where it is written down."""

    places: Places
    state: State
    terms: Terms
    journal: Journal
