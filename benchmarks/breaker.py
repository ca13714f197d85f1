"""Measure circuit breakers beside their peers: closed, with a failure, and refused; sync and async, in turn.

Ours is shared by processes, the others are each process's own.

Usage: python benchmarks/breaker.py [ROUNDS]   (needs a package index the first time; adds its table to benchmarks/results.md)
"""

import asyncio
import gc
import importlib
import inspect
import statistics
import sys
import tempfile

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import retry

from retry import as_coroutine, each, each_awaited, steady, version

from pytest_orxaq.resilience import Breaker


HEADING = "## Closed circuit breakers, beside other libraries"
PEERS = ("pybreaker", "circuitbreaker", "purgatory", "aiobreaker", "interlock-cb", "nopanic")
OURS = "orxaq, shared by processes"
NEVER = 10**9  # failures
LONG = 3600  # seconds
Wrap: TypeAlias = Callable[[Any], Any]


# ---------------------------------------------------------------- who is measured


def interlock(module: Any, threshold: int) -> Wrap:
    """Its rates begin to mean something after so many calls."""
    config = module.Config(minimum_number_of_calls=threshold, wait_duration_in_open=LONG)
    wrap: Wrap = module.CircuitBreaker(name="net", config=config)
    return wrap


def purgatory(module: Any, threshold: int) -> Wrap:
    """It has two kinds."""
    sync = module.SyncCircuitBreakerFactory(default_threshold=threshold, default_ttl=LONG)
    other = module.AsyncCircuitBreakerFactory(default_threshold=threshold, default_ttl=LONG)
    return lambda function: (other if inspect.iscoroutinefunction(function) else sync)("net")(function)


MAKERS: dict[str, Callable[[Any, int], Wrap]] = {
    "pybreaker": lambda module, threshold: module.CircuitBreaker(fail_max=threshold, reset_timeout=LONG),
    "circuitbreaker": lambda module, threshold: module.CircuitBreaker(
        failure_threshold=threshold, recovery_timeout=LONG, expected_exception=ConnectionError
    ),
    "purgatory": purgatory,
    "aiobreaker": lambda module, threshold: module.CircuitBreaker(
        fail_max=threshold, timeout_duration=timedelta(seconds=LONG)
    ),
    "interlock-cb": interlock,
    "nopanic": lambda module, threshold: module.CircuitBreaker(min_calls=threshold, reset_timeout=LONG, name="net"),
}
SYNC_ONLY = {"pybreaker"}  # its coroutines need tornado


def makers(room: str) -> dict[str, Callable[[int], Wrap]]:
    """By name, what makes a decorator that opens at so many failures, for all that could be installed."""
    numbers = iter(range(NEVER))

    def ours(threshold: int) -> Wrap:
        return Breaker(f"net{next(numbers)}", threshold=threshold, cooldown=LONG, store=f"{room}/breakers.db")

    found: dict[str, Callable[[int], Wrap]] = {OURS: ours}
    for name in PEERS:
        try:
            module = importlib.import_module(name.removesuffix("-cb"))
        except ImportError:
            print(f"{name} is not there", file=sys.stderr)
        else:
            found[f"{name} {version(name)}"] = lambda threshold, name=name, module=module: MAKERS[name](
                module, threshold
            )  # type: ignore[misc]
    return found


# ---------------------------------------------------------------- what is measured


def failing() -> Callable[[], int]:
    """A function that fails."""

    def function() -> int:
        raise ConnectionError("reset")

    return function


def caught(function: Callable[[], object]) -> Callable[[], object]:
    """The same without its exception."""

    def call() -> object:
        with suppress(Exception):  # whatever a library raises instead
            return function()
        return None

    return call


def opened(wrap: Wrap) -> Callable[[], object]:
    """A call that is refused."""
    call = caught(wrap(failing()))
    for _ in range(3):
        call()
    return call


def measured(rounds: int, room: str) -> dict[str, dict[str, list[float]]]:
    """Microseconds of each library by what was measured, all in turn so that the machine's moods hit all alike."""
    by_name = makers(room)
    plain: dict[str, Callable[[], object]] = {"plain call": steady()}
    sync: dict[str, dict[str, Callable[[], object]]] = {
        "closed": plain | {name: make(NEVER)(steady()) for name, make in by_name.items()},
        "a failure": {"plain call": caught(failing())}
        | {name: caught(make(NEVER)(failing())) for name, make in by_name.items()},
        "refused": {name: opened(make(1)) for name, make in by_name.items()},
    }
    coroutines = {"plain call": as_coroutine(steady())} | {
        name: make(NEVER)(as_coroutine(steady())) for name, make in by_name.items() if name.split()[0] not in SYNC_ONLY
    }
    figures: dict[str, dict[str, list[float]]] = {
        kind: {} for kind in ("closed", "closed, async", "a failure", "refused")
    }
    with asyncio.Runner() as runner:
        for _ in range(rounds):
            gc.collect()
            for kind, functions in sync.items():
                for name, function in functions.items():
                    figures[kind].setdefault(name, []).append(each(function))
            for name, coroutine in coroutines.items():
                figures["closed, async"].setdefault(name, []).append(runner.run(each_awaited(coroutine)))
    return figures


# ---------------------------------------------------------------- the table


def table(rounds: int) -> str:
    """Measure, and set it out."""
    with tempfile.TemporaryDirectory(prefix="breakers-") as room:
        figures = measured(rounds, room)
    lines = [f"| µs a call: least / median | {' | '.join(figures)} |", f"|---|{'--:|' * len(figures)}"]
    for name in figures["closed"]:
        cells = [
            f"{min(times):.2f} / {statistics.median(times):.2f}" if (times := kind.get(name)) else ""
            for kind in figures.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(f"| ours against the fastest other, medians | {' | '.join(map(ratio, figures.values()))} |")
    return "\n".join(lines)


def ratio(times: dict[str, list[float]]) -> str:
    """Our median over the best of the others'."""
    medians = {name: statistics.median(values) for name, values in times.items() if name != "plain call"}
    ours = medians.pop(OURS)
    return f"{ours / min(medians.values()):.2f}" if medians else "alone"


def main() -> int:
    """In a room of its own, where the peers are installed, measure; else furnish the room and go there."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    if (code := retry.elsewhere(Path(__file__), "bench-breaker", PEERS, rounds)) is not None:
        return code
    text = table(rounds)
    print(text)
    retry.write(text, HEADING)
    return 0


if __name__ == "__main__":
    sys.exit(main())
