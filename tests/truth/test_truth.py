"""The product against itself: what it makes of a fault is what the fault is."""

import os

import pytest

from pytest_orxaq.faults.troubles import Faults

from .cases import CASES, PAGE, Case, page
from .trials import Stage, tried


WHOLE = "ORXAQ_WHOLE_TRUTH" in os.environ  # `make truth`


@pytest.mark.parametrize("case", [case for case in CASES if WHOLE or not case.whole], ids=lambda case: case.id)
def test_the_answer_fits_the_truth(case: Case, request: pytest.FixtureRequest, faults: Faults) -> None:
    """Cause and conduct are those that the fault's own truth calls for; where they are known not to be, they are as written."""
    answer = tried(Stage(request, case))
    request.node.user_properties.append(("answer", answer))
    assert {event.truth for event in faults.log} <= {case.truth}
    assert answer == (case.answer or case.expected)


def test_what_differs_is_said() -> None:
    """A case that is known to differ really does, and says why; no two cases are the same."""
    for case in CASES:
        assert bool(case.why) == bool(case.answer)
        assert case.answer != case.expected
    assert len({case.id for case in CASES}) == len(CASES)


def test_the_page_says_it() -> None:
    """docs/faults/truth.md is what the table of cases says; `make truth` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page()
