"""Measure retries beside their peers: a call that succeeds, and one that has to be tried twice, sync and async, in turn.

Usage: python benchmarks/retry.py [ROUNDS]   (needs a package index the first time; adds its table to benchmarks/results.md)
"""

import asyncio
import gc
import importlib
import statistics
import subprocess
import sys
import time
import traceback

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest_orxaq


ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results.md"
HEADING = "## Retries, beside other libraries"
PEERS = ("nopanic", "backoff", "opnieuw", "stamina", "tenacity")
CALLS = 300  # in a round
Wrap: TypeAlias = Callable[[Any], Any]


# ---------------------------------------------------------------- who is measured


def wrappers() -> dict[str, Wrap]:
    """A decorator of each library, with three attempts, for the same exceptions."""
    again = pytest_orxaq.Retry(attempts=3, on=ConnectionError)
    found: dict[str, Wrap] = {"plain call": lambda function: function, "orxaq": again}
    for name in PEERS:
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            print(f"{name} is not there", file=sys.stderr)
        else:
            found[f"{name} {version(name)}"] = MAKERS[name](module)
    return found


def version(name: str) -> str:
    """That of an installed distribution."""
    from importlib import metadata  # noqa: PLC0415

    return metadata.version(name)


MAKERS: dict[str, Callable[[Any], Wrap]] = {
    "nopanic": lambda module: module.retry(attempts=3, on=ConnectionError),
    "backoff": lambda module: module.on_exception(module.expo, ConnectionError, max_tries=3, logger=None),
    "opnieuw": lambda module: module.retry(
        retry_on_exceptions=ConnectionError, max_calls_total=3, retry_window_after_first_call_in_seconds=1
    ),
    "stamina": lambda module: quiet(module).retry(on=ConnectionError, attempts=3),
    "tenacity": lambda module: module.retry(
        stop=module.stop_after_attempt(3),
        retry=module.retry_if_exception_type(ConnectionError),
        wait=module.wait_random_exponential(),
        reraise=True,
    ),
}


def quiet(module: Any) -> Any:
    """stamina without its hook, which logs."""
    module.instrumentation.set_on_retry_hooks([])
    return module


# ---------------------------------------------------------------- what is measured


def steady() -> Callable[[], int]:
    """A function that succeeds."""

    def function() -> int:
        return 1

    return function


def flaky() -> Callable[[], int]:
    """A function that fails at every other call."""
    count = 0

    def function() -> int:
        nonlocal count
        count += 1
        if count & 1:
            raise ConnectionError("reset")
        return 1

    return function


def as_coroutine(made: Callable[[], int]) -> Callable[[], Awaitable[int]]:
    """The same as a coroutine function."""

    async def function() -> int:
        return made()

    return function


def each(function: Callable[[], object]) -> float:
    """Microseconds of one call."""
    numbers = range(CALLS)
    began = time.perf_counter()
    for _ in numbers:
        function()
    return (time.perf_counter() - began) / CALLS * 1e6


async def each_awaited(function: Callable[[], Awaitable[object]]) -> float:
    """The same of a coroutine function."""
    numbers = range(CALLS)
    began = time.perf_counter()
    for _ in numbers:
        await function()
    return (time.perf_counter() - began) / CALLS * 1e6


def measured(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Microseconds of each library by what was measured, all in turn so that the machine's moods hit all alike."""
    figures: dict[str, dict[str, list[float]]] = {}
    by_name = wrappers()
    with asyncio.Runner() as runner:
        for kind, make in (("success", steady), ("one retry", flaky)):
            sync = {name: wrap(make()) for name, wrap in by_name.items() if (name, kind) != ("plain call", "one retry")}
            coroutines = {name: by_name[name](as_coroutine(make())) for name in sync}
            for _ in range(rounds):
                gc.collect()
                for name, function in sync.items():
                    figures.setdefault(kind, {}).setdefault(name, []).append(each(function))
                for name, function in coroutines.items():
                    figures.setdefault(f"{kind}, async", {}).setdefault(name, []).append(
                        runner.run(each_awaited(function))
                    )
    return figures


def frames(wrap: Wrap) -> int:
    """How many lines of a traceback a library adds to the last failure."""

    def fail() -> None:
        raise ConnectionError("reset")

    try:
        wrap(fail)()
    except Exception as error:  # noqa: BLE001 - some have one of their own
        return len(traceback.extract_tb(error.__traceback__)) - 2
    raise AssertionError("it did not fail")


async def no_pause(*_: object) -> None:
    """Instead of asyncio.sleep."""


def without_pauses() -> None:
    """Let nobody sleep: what is measured is all that is not the pause. To be called before a peer is imported."""
    time.sleep = lambda _: None
    asyncio.sleep = no_pause  # type: ignore[assignment]


# ---------------------------------------------------------------- the table


def table(rounds: int) -> str:
    """Measure, and set it out."""
    without_pauses()
    figures = measured(rounds)
    added = {name: frames(wrap) for name, wrap in wrappers().items() if name != "plain call"}
    kinds = list(figures)
    lines = [f"| µs a call: least / median | {' | '.join(kinds)} | frames added |", f"|---|{'--:|' * (len(kinds) + 1)}"]
    for name in figures["success"]:
        cells = [
            f"{min(times):.2f} / {statistics.median(times):.2f}" if (times := figures[kind].get(name)) else ""
            for kind in kinds
        ]
        lines.append(f"| {name} | {' | '.join(cells)} | {added.get(name, 0)} |")
    lines.append(
        f"| orxaq against the fastest other, medians | {' | '.join(ratio(figures[kind]) for kind in kinds)} | |"
    )
    return "\n".join(lines)


def ratio(times: dict[str, list[float]]) -> str:
    """Our median over the best of the others'."""
    medians = {name: statistics.median(values) for name, values in times.items() if name != "plain call"}
    ours = medians.pop("orxaq")
    return f"{ours / min(medians.values()):.2f}" if medians else "alone"


def write(text: str, heading: str) -> None:
    """Put the table into the results, in place of the last one."""
    before, _, after = RESULTS.read_text(encoding="utf-8").partition(f"\n{heading}")
    rest = after.partition("\n## ")
    others = f"\n## {rest[2]}" if rest[1] else ""
    RESULTS.write_text(f"{before.rstrip()}\n{others.rstrip()}\n\n{heading}\n\n{text}\n", encoding="utf-8")


def elsewhere(script: Path, name: str, peers: tuple[str, ...], rounds: int) -> int | None:
    """How a script ended in a room of its own, where the peers are installed; None if that is where we are."""
    room = ROOT / "build" / name
    if Path(sys.prefix) == room:
        return None
    python = str(room / "bin" / "python")
    if not Path(python).exists():
        subprocess.run([sys.executable, "-m", "venv", str(room)], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *peers], check=True)
    subprocess.run([*pip, "--force-reinstall", "--no-deps", str(ROOT)], check=True)
    return subprocess.run([python, str(script), str(rounds)], check=False).returncode


def main() -> int:
    """In a room of its own, where the peers are installed, measure; else furnish the room and go there."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    if (code := elsewhere(Path(__file__), "bench-retry", PEERS, rounds)) is not None:
        return code
    text = table(rounds)
    print(text)
    write(text, HEADING)
    return 0


if __name__ == "__main__":
    sys.exit(main())
