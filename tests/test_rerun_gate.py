"""Tests that pass at their second attempt, as the gate sees them: flaky, and told in all reports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


RECIPE = "\t{python} -m pytest -q -p no:cacheprovider -p orxaq"
FLAKY = """
import os
def test_steady(): pass
def test_network():
    with open(os.environ["SEEN"], "ab") as file:
        file.write(b".")
        if file.tell() < 2: raise ConnectionError("the network hiccups")
"""
JUNIT = """<testsuite name="other"><testcase classname="a.B" name="t">
<flakyFailure type="IOException" message="the network hiccups"><stackTrace>at B</stackTrace></flakyFailure>
</testcase></testsuite>"""


def configured(*lines: str) -> str:
    """A configuration with one checkpoint."""
    return "\n".join(('checkpoints = ["test"]', "[checkpoint.test]", *lines))


@pytest.mark.parametrize("workers", ["", " -n2"])
def test_a_test_that_passed_on_retry_makes_a_flaky_run(
    project: Callable[..., Any], tmp_path: Path, workers: str
) -> None:
    """Verdict, reports and history say flaky; nothing is stored; --fail-on-flaky fails."""
    recipe = f"{RECIPE} --orxaq-retries=1 --orxaq-retry-delay=0{workers}"
    here = project(
        {
            "Makefile": f".PHONY: test\ntest:\n{recipe}\n",
            "test_a.py": FLAKY,
            "orxaq.toml": configured(),
            ".gitignore": "__pycache__\n",
        }
    )
    seen = {"SEEN": str(tmp_path / "seen")}
    ran = here.gate(environment=seen)
    assert (ran.record["verdict"], ran.code) == ("flaky", 0), ran.err
    (attempt,) = ran.outcomes["test"]["attempts"]
    assert attempt["evidence"]["counts"]["passed"] == 2
    (again,) = attempt["evidence"]["recovered"]
    assert (again["id"], again["failures"][0]["exception"]) == ("test_a.py::test_network", "ConnectionError")
    for name in ("report.html", "report.md"):
        report = (here.top / ".orxaq" / name).read_text(encoding="utf-8")
        assert "the network hiccups" in report
        assert "flaky" in report.lower()
    listed = [line.strip() for line in ran.err.splitlines() if line.startswith("      ")]
    assert listed == ["test_a.py::test_network", "test_a.py:7: the network hiccups"], ran.err
    explained = here.orxaq("runs", "explain").out
    assert (
        "failed first, passed when run again: test_a.py::test_network: ConnectionError: the network hiccups"
        in explained
    )
    assert "taken for a failure here" not in ran.err
    shown = here.orxaq("runs", "show")
    assert "flaky" in shown.out + shown.err
    (tmp_path / "seen").unlink()
    strict = here.gate("--fail-on-flaky", environment=seen)
    assert strict.code == 1  # and not a stored pass
    assert "flaky is taken for a failure here, by --fail-on-flaky" in strict.err
    assert "blocks" not in strict.err
    steady = here.gate(environment=seen)
    assert (steady.record["verdict"], steady.code) == ("passed", 0)


def test_a_variable_is_named_where_it_makes_no_sense(project: Callable[..., Any]) -> None:
    """Who has typed no option is told where its value is from."""
    ran = project({"Makefile": ""}).gate(environment={"ORXAQ_FAIL_ON_FLAKY": "perhaps"})
    assert ran.code == 2
    assert "ORXAQ_FAIL_ON_FLAKY" in ran.err


def test_another_runner_says_so(project: Callable[..., Any]) -> None:
    """What another runner repeated, and wrote into its JUnit file as surefire does, is flaky too."""
    recipe = "\tcp other.xml out.xml\n"
    here = project(
        {
            "Makefile": f".PHONY: test\ntest:\n{recipe}",
            "other.xml": JUNIT,
            "orxaq.toml": configured('junit = ["out.xml"]'),
            ".gitignore": "out.xml\n",
        }
    )
    ran = here.gate()
    assert (ran.record["verdict"], ran.code) == ("flaky", 0), ran.err
    assert "the network hiccups" in (here.top / ".orxaq" / "report.md").read_text(encoding="utf-8")
