"""The faults of a failing test on their way through the gate: journal, run record, JUnit, page and Markdown."""

import xml.etree.ElementTree as ET

from collections.abc import Callable
from typing import Any

import pytest


FAULTY = """
import pytest

@pytest.mark.parametrize("n", [1])
def test_bot(faults, isolated_git, stale_git_lock, n):
    stale_git_lock(isolated_git())
    faults.note("mine", "permanent", "<b>second</b>")
    for number in range(40):
        print("noise", number)
    assert False, "the bot gave up"
"""
TOLD = [
    "1. stale_git_lock: index [stale-state]",
    "2. mine: <b>second</b> [permanent]",
    "The same again: --orxaq-fault-seed=11",
]


@pytest.mark.parametrize("workers", ["", " -n 1"])
def test_the_gate_tells_of_faults(project: Callable[..., Any], workers: str) -> None:
    """They stand in the run record, in JUnit's properties, in the page as text, in order, with the way to have them again."""
    made = project(
        {
            "Makefile": f".PHONY: test\ntest:\n\t{{python}} -m pytest -q -p no:cacheprovider --orxaq-fault-seed=11{workers}\n",
            "test_it.py": FAULTY,
            "pyproject.toml": '[tool.orxaq]\ncheckpoints = ["test"]\n',
            ".gitignore": "__pycache__/\n",
        }
    )
    ran = made.gate()
    assert ran.code == 1, ran.err
    (attempt,) = ran.outcomes["test"]["attempts"]
    (result,) = attempt["evidence"]["failures"]
    title, text = (result["failures"][0]["sections"][0][key] for key in ("title", "text"))
    assert (title, text.splitlines()) == ("faults (pytest-orxaq)", TOLD)
    (junit,) = (made.top / ".git" / "orxaq" / "runs").rglob("*.xml")
    told = [(p.get("name", ""), p.get("value")) for p in ET.parse(junit).iter("property")]  # noqa: S314 - our own
    assert [pair for pair in told if pair[0].startswith("orxaq.fault")] == [
        ("orxaq.fault_seed", "11"),
        ("orxaq.fault", TOLD[0]),
        ("orxaq.fault", TOLD[1]),
    ]
    page = (made.top / ".orxaq" / "report.html").read_text()
    assert "faults (pytest-orxaq)" in page
    assert "2. mine: &lt;b&gt;second&lt;/b&gt; [permanent]" in page
    assert "--orxaq-fault-seed=11" in page
