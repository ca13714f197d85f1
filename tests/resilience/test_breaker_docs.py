"""What docs/breaker.md shows is true: each block of code runs, each command works, each number is the default."""

import re
import shlex

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq import Breaker
from pytest_orxaq.__main__ import main
from pytest_orxaq.core.breaker import State


TEXT = (Path(__file__).parents[2] / "docs" / "breaker.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^\$ orxaq (.*?)(?: +#.*)?$", TEXT, re.MULTILINE)


@pytest.fixture(autouse=True)
def _here(project: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a repository of our own."""
    monkeypatch.chdir(project().top)


def shown(words: str) -> dict[str, Any]:
    """What the one block with these words defines."""
    (block,) = [block for block in BLOCKS if words in block]
    names: dict[str, Any] = {}
    exec(compile(block, "docs/breaker.md", "exec"), names)  # noqa: S102 - what is shown is run
    return names


def refuse(*_: object) -> None:
    """Nobody is there."""
    raise ConnectionRefusedError


def test_the_first_block() -> None:
    """A function and a block share what they learn."""
    names = shown("def fetch(url)")
    names["fetch"]("url")
    for _ in range(5):
        with pytest.raises(ConnectionRefusedError):
            names["ping"](refuse)
    assert names["net"].snapshot().state is State.OPEN


def test_the_refusal_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """The cached value is taken, and why."""
    names = shown("def newest")
    names["net"].force_open("maintenance")
    assert names["newest"](refuse, lambda url: f"old {url}", "url") == "old url"
    assert capsys.readouterr().out == "the circuit breaker 'pypi' is open (maintenance); until it is reset\n"
    names["net"].reset()
    assert names["newest"](lambda url: f"new {url}", refuse, "url") == "new url"


def test_the_permit_is_settled() -> None:
    """Busy is a failure, an answer is none, and so is an exception that is not transient."""
    names = shown("def poll")
    assert names["poll"](lambda: "busy") == "busy"
    assert names["net"].snapshot().failures == 1
    assert names["poll"](lambda: "ready") == "ready"
    assert names["net"].snapshot().failures == 0
    with pytest.raises(ConnectionRefusedError):
        names["poll"](refuse)
    assert names["net"].snapshot().failures == 1


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_works(line: str) -> None:
    """As it stands, where the breaker is known."""
    Breaker("pypi").snapshot()
    assert main(shlex.split(line)) == 0


def test_said_numbers_and_states_are_ours() -> None:
    """The text says what the code does."""
    assert len(COMMANDS) == 5
    rules = Breaker("x").rules
    assert f"`minimum_calls` ({rules.minimum_calls})" in TEXT
    assert all(f"\n| {state} |" in TEXT for state in State)
    assert (rules.threshold, rules.window, rules.cooldown) == (5, 60, 30)
