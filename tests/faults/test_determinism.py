"""The same seed makes the same faults, in whatever order, selection or worker a test runs."""

import importlib.util
import sys

from pathlib import Path
from types import ModuleType

import pytest


SCRIPT = Path(__file__).parents[2] / "benchmarks" / "soak_faults.py"


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("soak_faults", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_seed_makes_the_same_faults(soak: ModuleType, tmp_path: Path) -> None:
    """In order, by four workers, in random order, and a few alone: each test has the same events and the same chance."""
    assert not list(soak.differences(tmp_path, len(soak.WAYS), 5))


def test_another_seed_makes_others(soak: ModuleType, tmp_path: Path) -> None:
    """What is left to chance differs then, and is told as a difference."""
    way = soak.WAYS["some"]
    one, other = (soak.told(tmp_path / str(seed), way, seed) for seed in (1, 2))
    assert one.keys() == other.keys()
    assert all(one[test] != other[test] for test in one)


def test_a_difference_is_told(soak: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test whose trouble hangs on the moment is found."""
    moment = "import time\ndef test_chance(faults):\n    faults.note('mine', 'transient', str(time.monotonic_ns()))\n"
    monkeypatch.setattr(soak, "TESTS", moment)
    (found,) = soak.differences(tmp_path, 2, 5)
    assert found.startswith("run 2, four workers: test_chance: ")


def test_a_run_that_fails_says_why(soak: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compared then."""
    monkeypatch.setattr(soak, "TESTS", "def test_it(faults):\n    assert not 'good'\n")
    with pytest.raises(RuntimeError, match="assert not 'good'"):
        list(soak.differences(tmp_path, 2, 5))


def test_the_script_says_how_it_went(
    soak: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One repetition is like itself."""
    monkeypatch.setattr(soak, "TESTS", "def test_it(faults):\n    pass\n")
    monkeypatch.setattr(sys, "argv", ["soak_faults.py", "1"])
    assert soak.main() == 0
    assert capsys.readouterr().out == "1 runs: every test had the same trouble in each\n"
