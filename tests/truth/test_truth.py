"""The product against itself: what it makes of a fault is what the fault is."""

import os

import pytest

from .cases import CASES, Case
from .trials import Stage, tried


WHOLE = "ORXAQ_WHOLE_TRUTH" in os.environ  # `make truth`


@pytest.mark.parametrize("case", [case for case in CASES if WHOLE or not case.whole], ids=lambda case: case.id)
def test_the_answer_fits_the_truth(case: Case, request: pytest.FixtureRequest, faults: object) -> None:
    """Cause and conduct are those that the fault's own truth calls for; where they are known not to be, they are as written."""
    answer = tried(Stage(request, case))
    request.node.user_properties.append(("answer", answer))
    assert answer == (case.answer or case.expected)
