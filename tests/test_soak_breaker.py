"""The torture of the circuit breaker holds for a while, and can fail: it catches what lets two in, or nobody."""

import importlib.util
import os
import shutil
import subprocess
import sys

from pathlib import Path
from types import ModuleType

import pytest

import pytest_orxaq


SCRIPT = Path(__file__).parent.parent / "benchmarks" / "soak_breaker.py"


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("soak_breaker", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for what annotations mean
    spec.loader.exec_module(module)
    return module


def run(probes: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """A short soak."""
    command = [sys.executable, str(SCRIPT), str(probes), "--seed", "1", "--workers", "6"]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


def test_a_few_seconds_of_torture() -> None:
    """No epoch has two probes, none overlap, and they do not stop, though their holders are killed."""
    done = run(50)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 duplicate probes, 0 overlapping, 0 wedges." in done.stdout
    assert " processes were killed" in done.stdout
    assert "\n0 processes were killed" not in done.stdout


def test_a_breaker_that_lets_two_in_is_caught(tmp_path: Path) -> None:
    """One that is wrong in a single rule fails the run."""
    shutil.copytree(
        Path(pytest_orxaq.__file__).parent, tmp_path / "pytest_orxaq", ignore=shutil.ignore_patterns("__pycache__")
    )
    core = tmp_path / "pytest_orxaq" / "core" / "breaker.py"
    right = "return row.state in {State.OPEN, State.HALF_OPEN} and remaining(row, now) <= 0"
    assert right in core.read_text()
    core.write_text(core.read_text().replace(right, "return row.state in {State.OPEN, State.HALF_OPEN}"))
    done = run(40, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "OVERLAP: the probe of epoch" in done.stdout


TOLD = """\
call 0 1 10.0
begin 2 1 11.0 10.9
end 2 1 11.1 other
begin 4 2 11.2 11.14
begin 5 3 11.45 11.4
end 5 3 11.46 ok
call 6 3 11.5
"""


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", ""),
        ("begin 5 4 11.9 11.9", "DUPLICATE: epoch 5 has a probe of 3 and one of 4"),
        ("begin 6 4 11.455 11.4", "OVERLAP: the probe of epoch 6 began 0.005 s before that of 5 was over"),
        ("begin 6 4 40.0 39.9", "WEDGE: no probe for 28.6 s after epoch 5"),
        ("call 5 4 11.6", "CALL: one was made in epoch 5, in which it was not closed"),
        ("end 9 9 11.6 ok", ""),
    ],
    ids=["nothing", "two of an epoch", "too early", "too late", "not closed", "of nobody"],
)
def test_a_story_is_judged(soak: ModuleType, more: str, found: str) -> None:
    """A probe may begin when the one before it has ended or its lease is over, and must begin some time."""
    told = soak.read([*TOLD.splitlines(), *more.splitlines()])
    words = list(soak.violations(told))
    assert words == ([found] if found else [])


def test_whoever_is_killed_blocks_for_a_lease(soak: ModuleType) -> None:
    """Its probe is over when its lease is, counted from before it asked."""
    early = soak.read(["begin 2 1 11.0 10.9", "begin 3 2 11.19 11.0"])
    late = soak.read(["begin 2 1 11.0 10.9", "begin 3 2 11.21 11.0"])
    assert len(list(soak.violations(early))) == 1
    assert not list(soak.violations(late))
