"""The product against itself: what it makes of a fault is what the fault is."""

import os
import subprocess
import sys

from pathlib import Path

import pytest

from pytest_orxaq.faults.troubles import Faults

from .cases import CASES, PAGE, Case, page
from .trials import Stage, tried


SCRIPT = Path(__file__).parents[2] / "benchmarks" / "truth.py"
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


def test_the_script_tells() -> None:
    """What was answered stands beside the truth, case by case; what was not asked is said not to be."""
    command = [sys.executable, str(SCRIPT), "-p", "no:cacheprovider", "-k", "Breaker and transient_failures"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert "transient_failures EIO | environment | Breaker | environment: not counted | agrees" in lines
    assert "transient_failures ESTALE | environment | Breaker | environment: counted | as known, differs" in lines
    assert "transient_failures EIO | environment | Retry | not chosen | not made" in lines
    assert lines[-1] == f"{len(CASES)} cases, {sum(line.endswith('| agrees') for line in lines)} agree with the truth"
