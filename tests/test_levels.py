"""Calls, tests and checkpoints that are tried again share one budget of retries and one deadline of the gate."""

import json
import re

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest


PROOF = "\t{python} -m pytest -q -p no:cacheprovider -p orxaq"
# Each attempt at the checkpoint calls something that never works, notes each call, and ends as curl does.
CALLS = """
import os, sys
from pytest_orxaq import Retry
@Retry(attempts=4, base=0.001, cap=0.001)
def fetch():
    with open(os.environ["SEEN"], "a") as file:
        file.write("x")
    raise ConnectionResetError("the server hangs up")
try:
    fetch()
except ConnectionResetError as error:
    print(*error.__notes__, file=sys.stderr)
print("curl: (56) Recv failure: Connection reset by peer", file=sys.stderr)
sys.exit(56)
"""
FAILING = """
import os
def test_network():
    with open(os.environ["SEEN"], "a") as file:
        file.write("x")
    raise ConnectionError("the network is down")
"""


def settings(*lines: str, budget: int | None = None) -> str:
    """A configuration of the checkpoint ``test`` that waits for nothing."""
    top = ['checkpoints = ["test"]', 'first-delay = "0.01s"', 'longest-delay = "0.01s"']
    top += [] if budget is None else [f"retry-budget = {budget}"]
    return "\n".join((*top, "[checkpoint.test]", *lines))


def files(recipe: str, configuration: str, **more: str) -> dict[str, str]:
    """A project whose checkpoint is this recipe."""
    named = {f"{name}.py": text for name, text in more.items()}
    return {
        "Makefile": f".PHONY: test\ntest:\n{recipe}\n",
        "orxaq.toml": configuration,
        ".gitignore": "__pycache__/\n",
        **named,
    }


def seen(tmp_path: Path) -> Mapping[str, str]:
    """The variable that names the file in which calls are noted."""
    return {"SEEN": str(tmp_path / "seen")}


def calls(tmp_path: Path) -> int:
    """How often it was called."""
    return (tmp_path / "seen").stat().st_size


SPENT = "all retries of this run are spent (4, by retry-budget)"


def test_calls_and_checkpoints_do_not_multiply(project: Callable[..., Any], tmp_path: Path) -> None:
    """Four attempts at a checkpoint of four calls each are no sixteen calls: a budget of four allows 1 + 4 of all kinds."""
    here = project(files("\t@{python} fetch.py", settings("retries = 3", budget=4), fetch=CALLS))
    ran = here.gate(environment=seen(tmp_path))
    assert (ran.record["verdict"], ran.code) == ("infrastructure", 4), ran.err
    attempts = ran.outcomes["test"]["attempts"]
    # Three retries are of the first call, the fourth is the gate's: then nobody has any.
    assert (len(attempts), calls(tmp_path)) == (2, 5)
    assert "the retry budget is spent" in attempts[-1]["output_tail"]
    assert "not tried again: the retries of this run are spent" in attempts[-1]["evidence"]["notes"]
    assert any(SPENT in note for note in ran.record["notes"])
    explained = here.orxaq("runs", "explain").out
    assert "note: not tried again: the retries of this run are spent" in explained
    assert SPENT in explained
    assert SPENT in (here.top / ".orxaq" / "report.md").read_text(encoding="utf-8")


def test_tests_spend_from_it_too(project: Callable[..., Any], tmp_path: Path) -> None:
    """A test is tried again as often as the run may, says why not more often, and the gate says so too."""
    recipe = f"{PROOF} --orxaq-retries=5 --orxaq-retry-delay=0"
    here = project(files(recipe, settings(budget=2), test_it=FAILING))
    ran = here.gate(environment=seen(tmp_path))
    assert (ran.record["verdict"], calls(tmp_path)) == ("failed", 3), ran.err
    (failed,) = ran.outcomes["test"]["attempts"][0]["evidence"]["failures"]
    assert "ORXAQ_RETRIES" in json.dumps(failed)
    assert any("all retries of this run are spent (2, by retry-budget)" in note for note in ran.record["notes"])


def test_tests_of_the_library_are_no_burden(project: Callable[..., Any], tmp_path: Path) -> None:
    """What is retried on a clock that a test has stopped costs nothing of the run."""
    body = "from pytest_orxaq.testing import instant\nwith instant():\n    exec(open('fetch.py').read())\n"
    here = project(files("\t@{python} calm.py", settings("retries = 0", budget=1), fetch=CALLS, calm=body))
    ran = here.gate(environment=seen(tmp_path))
    assert ran.code == 4, ran.err
    assert calls(tmp_path) == 4
    assert not any("spent" in note for note in ran.record["notes"])


def test_a_gate_below_spends_from_the_one_above(project: Callable[..., Any], tmp_path: Path) -> None:
    """The budget of an outer gate bounds an inner one, whatever the inner one would allow."""
    here = project(files("\t@{python} fetch.py", settings("retries = 3"), fetch=CALLS))
    (tmp_path / "outer").touch()
    around = {"ORXAQ_RETRIES": f"1:{tmp_path / 'outer'}"}
    ran = here.gate(environment={**seen(tmp_path), **around})
    assert (len(ran.outcomes["test"]["attempts"]), calls(tmp_path)) == (1, 2)
    assert any("all retries of this run are spent (1, by" in note for note in ran.record["notes"])


def test_a_recipe_that_takes_the_file_away(project: Callable[..., Any], tmp_path: Path) -> None:
    """Then its calls are not bounded any more, and the gate's own attempts still are."""
    gone = "\t@{python} -c \"import os; os.unlink(os.environ['ORXAQ_RETRIES'].partition(':')[2])\" 2>/dev/null; {python} fetch.py"
    here = project(files(gone, settings("retries = 5", budget=2), fetch=CALLS))
    ran = here.gate(environment=seen(tmp_path))
    assert (len(ran.outcomes["test"]["attempts"]), calls(tmp_path)) == (3, 12), ran.err


def test_more_by_hand(project: Callable[..., Any]) -> None:
    """Whoever asks for so many retries on the command line gets them."""
    here = project({"orxaq.toml": settings(budget=0)})
    script = "echo 'curl: (56) Recv failure: Connection reset by peer'; exit 56"
    ran = here.orxaq("run", "--retries", "1", "--format", "json", "--", "sh", "-c", script)
    assert len(ran.outcomes["run"]["attempts"]) == 2, ran.err


LATE = """
from pytest_orxaq import Retry
def test_call():
    @Retry(attempts=3, backoff="equal", base=1e9, cap=1e9)
    def fetch():
        raise ConnectionResetError("the server hangs up")
    fetch()
def test_tried_again():
    raise ConnectionError("the network is down")
"""


def test_one_deadline(project: Callable[..., Any]) -> None:
    """A call and a test below a gate know when its time is up, and begin nothing after that."""
    recipe = f"{PROOF} --orxaq-retries=5 --orxaq-retry-delay=1000000000"
    here = project(files(recipe, settings('timeout = "100s"'), test_late=LATE))
    ran = here.gate()
    assert ran.record["verdict"] == "failed", ran.err  # and not timed out: nobody waited
    failures = {test["id"]: json.dumps(test) for test in ran.outcomes["test"]["attempts"][0]["evidence"]["failures"]}
    assert "the next would begin after the deadline" in failures["test_late.py::test_call"]
    assert re.search(r"the time of this run \(ORXAQ_DEADLINE\)", failures["test_late.py::test_tried_again"])


@pytest.mark.parametrize("value", ["-1", "1001", '"3"', "true"])
def test_a_budget_that_makes_no_sense(project: Callable[..., Any], value: str) -> None:
    """It is refused with its place."""
    here = project({"orxaq.toml": f"retry-budget = {value}\n"})
    ran = here.gate()
    assert ran.code == 2
    assert "orxaq.toml:1: retry-budget must be a whole number from 0 to 1000" in ran.err
