"""Measure what the repetition of tests costs tests that pass, beside other plugins that repeat tests, all in one run.

Usage: python benchmarks/rerun.py [TESTS [ROUNDS]]   (needs a package index the first time; writes benchmarks/rerun.md)

Instructions, where valgrind is installed, are the slope between two numbers of tests, and so without the start-up: they
do not depend on the machine's mood. Times are the processor time of whole runs of TESTS (5,000) passing tests, in turn.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from pathlib import Path


ROOT = Path(__file__).parent.parent
VENV = ROOT / "build" / "rerun-bench"
PEERS = ("pytest-rerunfailures", "pytest-retry", "flaky")
FEW, MANY = 200, 600  # tests, between which instructions are counted
PLUGINS = (
    "-p",
    "no:orxaq",
    "-p",
    "no:orxaq_faults",
    "-p",
    "no:rerunfailures",
    "-p",
    "no:pytest-retry",
    "-p",
    "no:flaky",
)
OURS = ("-p", "orxaq")
BARE = "bare pytest"
RUNS = {
    BARE: (),
    "orxaq, loaded and idle": OURS,
    "orxaq, `--orxaq-retries 2`": (*OURS, "--orxaq-retries", "2"),
    "pytest-rerunfailures, `--reruns 2`": ("-p", "rerunfailures", "--reruns", "2"),
    "pytest-retry, `--retries 2`": ("-p", "pytest-retry", "--retries", "2"),
    "flaky, `--force-flaky`": ("-p", "flaky", "--force-flaky"),
}


def install() -> str:
    """An environment with pytest, ours from its wheel, and the peers; its interpreter."""
    python = str(VENV / "bin" / "python")
    if not Path(python).exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True, timeout=300)
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, str(ROOT), *PEERS], check=True, timeout=600)
    subprocess.run([*pip, "--force-reinstall", "--no-deps", str(ROOT)], check=True, timeout=600)
    return python


def command(python: str, arguments: tuple[str, ...], tests: int) -> list[str]:
    """A run of so many passing tests with one plugin at most."""
    return [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *PLUGINS, *arguments, f"test_{tests}.py"]


def run(words: list[str], cwd: Path) -> float:
    """Seconds of processor time that a run took; it must pass."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ORXAQ", "PYTEST", "PYTHON"))}
    environment = {**clean, "PYTHONHASHSEED": "0"}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} exited {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def instructions(python: str, arguments: tuple[str, ...], cwd: Path) -> float:
    """Instructions of one more passing test."""
    counted = []
    for tests in (FEW, MANY):
        out = cwd / "cachegrind.out"
        valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={out}"]
        run([*valgrind, *command(python, arguments, tests)], cwd)
        summary = next(line for line in out.read_text(encoding="utf-8").splitlines() if line.startswith("summary:"))
        counted.append(int(summary.split()[1]))
    return (counted[1] - counted[0]) / (MANY - FEW)


def main() -> int:
    """Measure, print, write; fail if ours costs more than it may."""
    tests = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    python = install()
    place = Path(tempfile.mkdtemp(prefix="orxaq-bench-"))
    try:
        for number in {tests, FEW, MANY}:
            (place / f"test_{number}.py").write_text("".join(f"def test_{n}(): pass\n" for n in range(number)))
        (place / "pytest.ini").write_text("[pytest]\n")
        for number in {tests, FEW, MANY}:  # the first run of a file, and of a plugin, compiles it
            run(command(python, (), number), place)
        for arguments in RUNS.values():
            run(command(python, arguments, FEW), place)
        counted = {name: instructions(python, words, place) for name, words in RUNS.items() if shutil.which("valgrind")}
        times: dict[str, list[float]] = {name: [] for name in RUNS}
        for number in range(rounds):
            for name, arguments in RUNS.items():
                times[name].append(run(command(python, arguments, tests), place))
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    finally:
        shutil.rmtree(place)
    text = table(counted, times, tests)
    print(text)
    (ROOT / "benchmarks" / "rerun.md").write_text(
        f"# What retries cost tests that pass\n\nMade by `make bench-rerun`: {tests} passing tests, {rounds} rounds in turn,"
        f" {os.cpu_count()} processors, Python {sys.version.split()[0]}, {time.strftime('%Y-%m-%d')}.\n\n{text}\n",
        encoding="utf-8",
    )
    allowed = {"orxaq, loaded and idle": 1.01, "orxaq, `--orxaq-retries 2`": 1.03}
    return int(any(counted[name] > counted[BARE] * most for name, most in allowed.items() if counted))


def table(counted: dict[str, float], times: dict[str, list[float]], tests: int) -> str:
    """The figures as Markdown; a ratio of times is the median of those within a round."""
    lines = [
        f"| | instructions a test | against bare | time of {tests}, median s | against bare |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, spent in times.items():
        ratio = statistics.median(mine / bare for mine, bare in zip(spent, times[BARE], strict=True))
        exact = f"{counted[name]:,.0f} | {counted[name] / counted[BARE]:.3f}" if counted else "|"
        lines.append(f"| {name} | {exact} | {statistics.median(spent):.2f} | {ratio:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
