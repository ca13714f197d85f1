"""What docs/retry.md shows is true: each block of code in it runs."""

import re
import subprocess

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina

from pytest_orxaq import Budget, Retry, deadline
from pytest_orxaq.model import Verdict
from pytest_orxaq.resilience import Event, subscribe
from pytest_orxaq.resilience.events import listeners
from pytest_orxaq.testing import instant


TEXT = (Path(__file__).parents[2] / "docs" / "retry.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Listeners and hooks that a block sets are taken away again."""
    before, hooks = list(listeners), stamina.instrumentation.get_on_retry_hooks()
    yield
    listeners[:] = before
    stamina.instrumentation.set_on_retry_hooks(hooks)


def shown(words: str) -> dict[str, Any]:
    """What the one block with these words defines."""
    (block,) = [block for block in BLOCKS if words in block]
    names: dict[str, Any] = {}
    exec(compile(block, "docs/retry.md", "exec"), names)  # noqa: S102 - what is shown is run
    return names


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(BLOCKS.index(block) + 1))
def test_every_block_runs(block: str) -> None:
    """As it stands."""
    names: dict[str, Any] = {}
    exec(compile(block, "docs/retry.md", "exec"), names)  # noqa: S102 - what is shown is run
    for name, found in names.items():
        if name.startswith("test_"):
            found()


class Flaky:
    """A function that fails a number of times, and then gives its arguments back."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self, *args: object) -> object:
        """Fail, or not."""
        self.failures -= 1
        if self.failures >= 0:
            raise ConnectionResetError
        return args


def test_the_block_and_the_deadline_retry() -> None:
    """The loop, and the call within a deadline, go on until there is a success."""
    with instant():
        clone = Flaky(3)
        shown("block(")["job"](clone)
        assert clone.failures == -1
        assert shown("with deadline(300)")["job"](Flaky(3), "url") == ("url",)


def test_the_push_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """It hands on what is left of its attempt, and the deadline."""
    given: list[dict[str, Any]] = []
    push = shown("git")["push"]
    monkeypatch.setattr(subprocess, "run", lambda _, **options: given.append(options))
    push()
    assert 0 < given[0]["timeout"] <= 60
    assert "ORXAQ_DEADLINE" in given[0]["env"]
    assert deadline.remaining() is None


def test_the_fallback_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """A degraded outcome is told with its attempts."""
    newest = shown("degraded")["newest"]
    with instant():
        assert newest(Flaky(9), lambda url: f"old {url}", "url") == "old url"
    out = capsys.readouterr().out
    assert out.startswith("an old copy:\n  failed\n")
    assert out.count("ConnectionResetError") == 4
    assert newest(Flaky(0), lambda _: "old", "url") == ("url",)


def test_the_subscription_hears(capsys: pytest.CaptureFixture[str]) -> None:
    """The listener prints, until it is told to stop."""
    names = shown("unsubscribe")
    with instant():
        Retry()(Flaky(1))()
    assert "retry Flaky 2 0.2" in capsys.readouterr().out
    names["unsubscribe"]()
    Retry()(Flaky(0))()
    assert not capsys.readouterr().out


def test_the_note_reads_as_shown() -> None:
    """The example of a note has the form of a real one."""
    (example,) = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
    number = r"[0-9.e-]+"
    form = re.sub(r"[0-9.]+(?= s\b)", "N", "\n".join(example.splitlines()[1:3]))
    with instant() as clock, pytest.raises(ConnectionResetError) as caught:
        Retry(on_event=lambda _: None)(failing(clock.advance))()
    real = "\n".join(caught.value.__notes__[0].splitlines()[:2])
    assert re.sub(rf"{number}(?= s\b)", "N", real) == form


def failing(advance: Any) -> Any:
    """A function that takes its time to fail."""

    def fail() -> None:
        advance(0.12)
        raise ConnectionResetError(104, "Connection reset by peer")

    return fail


def test_said_numbers_are_the_defaults() -> None:
    """Attempts, base, cap, and the budget's fifth and tenth are what the text says."""
    pauses = Retry()._policy.pauses
    assert (pauses.base, pauses.cap, pauses.backoff) == (0.2, 20.0, "full")
    terms = Budget("x")._terms
    assert (terms.ratio, terms.trickle) == (0.2, 0.1)
    assert "a fifth of all calls" in TEXT
    assert all(verdict.value in TEXT for verdict in (Verdict.FLAKY, Verdict.TIMED_OUT, Verdict.SKIPPED))


def test_subscribing_gives_a_way_out() -> None:
    """What was subscribed can be ended, twice without harm."""
    heard: list[Event] = []
    end = subscribe(heard.append)
    end()
    end()
    Retry(on_event=lambda _: None)(Flaky(0))()
    assert not heard
