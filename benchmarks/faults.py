"""Measure what the fault fixtures cost: loaded and unused, a lock, a command; and that unused they change no outcome of real projects.

Usage: python benchmarks/faults.py [ROUNDS]   (needs a package index the first time; adds its tables to benchmarks/results.md)

Instructions, where valgrind is installed, are those of one more passing test, without the start-up, and of a start-up
without tests. Times are of whole runs, or of calls, in turn.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import real
import rerun
import retry


ROOT = Path(__file__).parent.parent
HEADING = "## Fault fixtures"
FEW, MANY = 200, 600  # tests, between which instructions are counted
TESTS = 3000  # in a run that is timed
BARE, LOADED = "without the plugin", "loaded and unused"
ALONE = ("-p", "no:orxaq", "-p", "no:cacheprovider")
PLUGIN = {BARE: ("-p", "no:orxaq_faults"), LOADED: ()}
UNUSED, LOCK, COMMAND = 1.01, 500.0, 50.0  # what may be: a ratio, and milliseconds twice
PROJECTS = (
    *(project for project in real.PROJECTS if project.runner == "pytest"),
    real.Project(name="more-itertools", runner="pytest", tests="-m pytest -q tests"),
)

# What is timed in a test of its own, by the fixture's own clock: the median of each list.
TIMED = """
import json, os, statistics, subprocess, time

def spent(call):
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000

def test_one(isolated_git, stale_git_lock, live_git_lock, flaky_command, request):
    figures = {name: [] for name in ("repository", "stale", "live", "bare", "passed on", "failed")}
    git = ["git", "version"]
    def run():
        subprocess.run(git, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for number in range(ROUNDS):
        figures["repository"].append(spent(lambda: isolated_git(f"r{number}")))
        repo = isolated_git(f"s{number}")
        figures["stale"].append(spent(lambda: stale_git_lock(repo)))
        repo = isolated_git(f"l{number}")
        figures["live"].append(spent(lambda: live_git_lock(repo)))
    for _ in range(5 * ROUNDS):
        figures["bare"].append(spent(run))
    flaky_command("git", fail=5 * ROUNDS, match=["version"])
    for name in ("failed", "passed on"):
        for _ in range(5 * ROUNDS):
            figures[name].append(spent(run))
    with open("figures.json", "w") as file:
        json.dump({name: statistics.median(values) for name, values in figures.items()}, file)
"""


# ---------------------------------------------------------------- loaded and unused


def command(python: str, which: str, tests: int) -> list[str]:
    """A run of so many passing tests."""
    return [python, "-m", "pytest", "-q", *ALONE, *PLUGIN[which], f"test_{tests}.py"]


def instructions(python: str, which: str, tests: int, cwd: Path) -> int:
    """Instructions of a whole run."""
    out = cwd / "cachegrind.out"
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={out}"]
    rerun.run([*valgrind, *command(python, which, tests)], cwd)
    summary = next(line for line in out.read_text(encoding="utf-8").splitlines() if line.startswith("summary:"))
    return int(summary.split()[1])


def unused(python: str, place: Path, rounds: int) -> tuple[str, bool]:
    """What the plugin costs those who do not use it, as a table; whether that is little enough."""
    for tests in (FEW, MANY, TESTS):
        (place / f"test_{tests}.py").write_text("".join(f"def test_{n}(): pass\n" for n in range(tests)))
        for which in PLUGIN:  # the first run of a file, and of a plugin, compiles it
            rerun.run(command(python, which, tests), place)
    counted: dict[str, list[int]] = {}
    if shutil.which("valgrind"):
        counted = {which: [instructions(python, which, tests, place) for tests in (FEW, MANY)] for which in PLUGIN}
    times: dict[str, list[float]] = {which: [] for which in PLUGIN}
    for _ in range(rounds):
        for which, values in times.items():
            values.append(rerun.run(command(python, which, TESTS), place))
    lines = [f"| pytest {BARE}, and with it | {BARE} | {LOADED} | ratio |", "|---|--:|--:|--:|"]
    ratios = []
    if counted:
        few, many = ([counted[which][number] for which in PLUGIN] for number in (0, 1))
        one = [(more - less) / (MANY - FEW) for less, more in zip(few, many, strict=True)]
        for name, (bare, loaded) in (("one more passing test", one), (f"a run of {MANY} passing tests", many)):
            ratios.append(loaded / bare)
            lines.append(f"| instructions of {name} | {bare:,.0f} | {loaded:,.0f} | {loaded / bare:.4f} |")
    middle = [statistics.median(values) for values in times.values()]
    ratio = statistics.median(loaded / bare for bare, loaded in zip(*times.values(), strict=True))
    lines.append(
        f"| processor time of {TESTS} passing tests, median s | {middle[0]:.2f} | {middle[1]:.2f} | {ratio:.3f} |"
    )
    return "\n".join(lines), all(one <= UNUSED for one in ratios or [ratio])


# ---------------------------------------------------------------- used


def used(python: str, place: Path, rounds: int) -> tuple[str, bool]:
    """What a lock and a call of a command that fails cost, as a table; whether that is little enough."""
    (place / "test_timed.py").write_text(TIMED.replace("ROUNDS", str(rounds)))
    rerun.run([python, "-m", "pytest", "-q", *ALONE, "test_timed.py"], place)
    figures = json.loads((place / "figures.json").read_text(encoding="utf-8"))
    added = {
        "`git version` that the fixture passes on": figures["passed on"] - figures["bare"],
        "one that fails by plan": figures["failed"] - figures["bare"],
    }
    lines = [
        "| | median ms | may be |",
        "|---|--:|--:|",
        f"| a repository of `isolated_git`, for comparison | {figures['repository']:.0f} | |",
        f"| a lock of `stale_git_lock` | {figures['stale']:.0f} | {LOCK:.0f} |",
        f"| a lock of `live_git_lock` | {figures['live']:.0f} | {LOCK:.0f} |",
        f"| `git version`, for comparison | {figures['bare']:.1f} | |",
        *(f"| {name}, on top of that | {cost:.1f} | {COMMAND:.0f} |" for name, cost in added.items()),
    ]
    little = max(figures["stale"], figures["live"]) <= LOCK and max(added.values()) <= COMMAND
    return "\n".join(lines), little


# ---------------------------------------------------------------- real projects


def outcomes(python: Path, top: Path, tests: str, which: str) -> Counter[tuple[str, str]]:
    """How each test of a project ended."""
    report = top / "outcomes.xml"
    words = [str(python), *tests.split(), *ALONE, *PLUGIN[which], f"--junitxml={report}"]
    real.run(*words, cwd=top, check=False)
    found: Counter[tuple[str, str]] = Counter()  # names may come twice
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest's own
        kinds = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
        found[f"{case.get('classname')}.{case.get('name')}", kinds[0] if kinds else "passed"] += 1
    report.unlink()
    return found


def projects(room: Path) -> tuple[str, bool]:
    """The outcomes of real projects with and without the plugin, as a table; whether they are the same, test by test."""
    lines, all_same = [f"| project | tests {BARE} | {LOADED} | the same |", "|---|--:|--:|---|"], True
    for project in PROJECTS:
        real.say(f"{project.name}: fetching, installing")
        top = real.fetch(project, room)
        python = room / f"{project.name}-env" / "bin" / "python"
        real.run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", str(ROOT), cwd=ROOT)
        found = [outcomes(python, top, project.tests, which) for which in PLUGIN]
        counts = [Counter(kind for _, kind in one.elements()) for one in found]
        same = found[0] == found[1] and counts[0]["passed"] > 0
        all_same = all_same and same
        cells = [", ".join(f"{number} {kind}" for kind, number in one.items()) for one in counts]
        lines.append(f"| {top.name} | {' | '.join(cells)} | {'yes' if same else 'NO'} |")
    return "\n".join(lines), all_same


def main() -> int:
    """Measure, print, write; fail if anything costs more than it may, or changes an outcome."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    room = Path(tempfile.mkdtemp(prefix="orxaq-bench-"))
    try:
        python = str(real.environment(room / "env", "pytest", str(ROOT)))
        place = room / "place"
        place.mkdir()
        (place / "pytest.ini").write_text("[pytest]\n")
        found = [unused(python, place, rounds), used(python, place, rounds), projects(room)]
    finally:
        shutil.rmtree(room, ignore_errors=True)
    text = "\n\n".join(table for table, _ in found)
    print(text)
    retry.write(f"{rounds} rounds, in turn; {os.cpu_count()} processors.\n\n{text}", HEADING)
    return int(not all(well for _, well in found))


if __name__ == "__main__":
    sys.exit(main())
