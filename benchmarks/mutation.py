"""Measure what the tests of core/ notice: change a module in every small way, and count the changes that pass its tests.

Each module is judged by its own tests alone (tests/core/test_MODULE.py), in a room of its own
(build/mutation/MODULE), where ``survivors.diff`` shows what nobody noticed. Fails where a score is below FLOOR.
Functions are changed; module-level tables and decorated functions, properties among them, are not.

Usage: python benchmarks/mutation.py [MODULE...]
"""

import json
import shutil
import subprocess
import sys

from dataclasses import dataclass
from pathlib import Path


FLOOR = 90  # per cent of a module's mutants that its tests must notice; what is left is wording and equivalence
BOUND = 3600.0  # seconds after which one module's run counts as hung

ROOT = Path(__file__).parent.parent
ROOMS = ROOT / "build" / "mutation"
MUTMUT = Path(sys.executable).parent / "mutmut"
ROW = "{:<12} {:>8} {:>8} {:>9} {:>10} {:>8}"


class NoMeasureError(Exception):
    """A module could not be measured: it counts as one whose tests notice nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How the mutants of one module fared."""

    module: str
    mutants: int
    killed: int
    timed_out: int

    @property
    def survived(self) -> int:
        """All that is not known to have been noticed: also mutants that no test reached."""
        return self.mutants - self.killed - self.timed_out

    @property
    def percent(self) -> float:
        """The share that a test failed for. A time-out is counted apart: mutmut calls its own troubles so too."""
        return 100 * self.killed / self.mutants if self.mutants else 0.0

    def __str__(self) -> str:
        return ROW.format(
            self.module, self.mutants, self.killed, self.survived, self.timed_out, f"{self.percent:.1f} %"
        )


def main(wanted: list[str]) -> int:
    """Print a line for each module; 1 if one is below the floor, 2 for a module that there is not."""
    known = sorted(path.stem for path in (ROOT / "pytest_orxaq" / "core").glob("[!_]*.py"))
    if strangers := sorted({*wanted} - {*known}):
        print(f"no such module in core/: {', '.join(strangers)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    print(ROW.format("module", "mutants", "killed", "survived", "timed out", "score"))
    low = []
    for module in wanted or known:
        try:
            score = measure(module)
        except NoMeasureError as error:
            print(error, file=sys.stderr)
            score = Score(module=module, mutants=0, killed=0, timed_out=0)
        print(score, flush=True)
        if score.percent < FLOOR:
            low.append(module)
    if low:
        print(
            f"below {FLOOR} %: {', '.join(low)}; see {ROOMS.relative_to(ROOT)}/MODULE/survivors.diff", file=sys.stderr
        )
    return 1 if low else 0


def measure(module: str) -> Score:
    """Mutate one module and run its tests against each mutant."""
    room = furnish(module)
    # One at a time: on a busy machine tests are slow, and slow looks like noticed.
    # The pattern makes mutmut run the tests by their names before it begins: a name that it cannot use ends the
    # measurement, where else every mutant would look killed.
    mutmut(room, "run", "--max-children", "1", f"pytest_orxaq.core.{module}.*")
    mutmut(room, "export-cicd-stats")
    counts = json.loads((room / "mutants" / "mutmut-cicd-stats.json").read_text())
    keep_survivors(room)
    return Score(module=module, mutants=counts["total"], killed=counts["killed"], timed_out=counts["timeout"])


def furnish(module: str) -> Path:
    """A fresh copy of the sources and tests, with the settings for one module."""
    room = ROOMS / module
    shutil.rmtree(room, ignore_errors=True)
    for part in ("pytest_orxaq", "tests"):
        shutil.copytree(ROOT / part, room / part, ignore=shutil.ignore_patterns("__pycache__"))
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (room / "pyproject.toml").write_text(settings.replace("MODULE", module), encoding="utf-8")
    return room


def keep_survivors(room: Path) -> None:
    """Write down what each survivor changed."""
    lines = mutmut(room, "results").splitlines()
    names = [line.split(":")[0].strip() for line in lines if ": " in line]
    (room / "survivors.diff").write_text("\n".join(mutmut(room, "show", name) for name in names), encoding="utf-8")


def mutmut(room: Path, *arguments: str) -> str:
    """What mutmut prints; NoMeasureError if it fails, say because the tests fail without any mutant."""
    done = subprocess.run(
        [MUTMUT, *arguments],
        cwd=room,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    if done.returncode:
        end = f"{done.stdout}{done.stderr}"[-4000:]
        raise NoMeasureError(f"mutmut {' '.join(arguments)} failed in {room}:\n{end}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
