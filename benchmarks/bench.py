"""Measure the gate beside its peers on a check that does nothing, in one run, in turn.

Usage: python benchmarks/bench.py [RUNS]   (needs a package index the first time; writes benchmarks/results.md)
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from pathlib import Path


ROOT = Path(__file__).parent.parent
PEERS = ROOT / "build" / "bench"
FILES = {
    "Makefile": ".PHONY: noop\nnoop:\n\t@true\n",
    "orxaq.toml": 'checkpoints = ["noop"]\n[checkpoint.noop]\nevidence = "exit"\n',
    ".pre-commit-config.yaml": "repos:\n- repo: local\n  hooks:\n  - {id: noop, name: noop, entry: make noop, language: system, always_run: true, pass_filenames: false}\n",
    "lefthook.yml": "pre-commit:\n  commands:\n    noop:\n      run: make noop\n",
    "tox.ini": "[tox]\nenv_list = noop\n[testenv:noop]\nskip_install = true\nallowlist_externals = make\ncommands = make noop\n",
    ".gitignore": ".tox/\n",
}


def quiet(command: list[str], cwd: Path) -> int:
    """Run a command without its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ORXAQ", "MAKE", "GIT_"))}
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, timeout=300, check=False).returncode


def install_ours() -> str:
    """The gate as users have it: from a wheel, as byte code. A checkout may be compiled anew at every start."""
    if not (PEERS / "bin" / "python").exists():
        quiet([sys.executable, "-m", "venv", str(PEERS)], ROOT)
    pip = [str(PEERS / "bin" / "python"), "-m", "pip", "install", "-q"]
    if quiet([*pip, str(ROOT)], ROOT) or quiet([*pip, "--force-reinstall", "--no-deps", str(ROOT)], ROOT):
        raise SystemExit("pytest-orxaq cannot be installed from its wheel")
    return str(PEERS / "bin" / "orxaq")


def peers() -> dict[str, list[str]]:
    """The peers that could be installed, with the command for one no-op check."""
    for name in ("pre-commit", "tox", "lefthook", "prek"):
        if not (PEERS / "bin" / name).exists():
            print(f"installing {name}", file=sys.stderr)
            quiet([str(PEERS / "bin" / "python"), "-m", "pip", "install", "-q", name], ROOT)
    commands = {
        "prek run --all-files": ["prek", "run", "--all-files"],
        "lefthook run pre-commit (PyPI)": ["lefthook", "run", "pre-commit", "--force"],
        "pre-commit run --all-files": ["pre-commit", "run", "--all-files"],
        "tox -q": ["tox", "-q"],
    }
    there = {name: [str(PEERS / "bin" / words[0]), *words[1:]] for name, words in commands.items()}
    return {name: words for name, words in there.items() if Path(words[0]).exists()}


def repository(place: Path) -> Path:
    """A small repository with one check that does nothing, as each tool wants it."""
    for name, text in FILES.items():
        (place / name).write_text(text)
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"]):
        quiet(["git", *words], place)
    return place


def measure(commands: dict[str, list[str]], cwd: Path, runs: int) -> dict[str, list[float]]:
    """Wall milliseconds of each command, run in turn so that the machine's moods hit all alike."""
    figures: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(runs + 1):
        for name, words in commands.items():
            began = time.perf_counter()
            code = quiet(words, cwd)
            if code:
                raise SystemExit(f"{name} exited {code}")
            if number:  # the first round warms up
                figures[name].append((time.perf_counter() - began) * 1000)
        print(f"round {number} of {runs}", file=sys.stderr)
    return figures


def main() -> int:
    """Measure, print, write."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    orxaq = install_ours()
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "make noop": ["make", "noop"],
        "orxaq --version": [orxaq, "--version"],
        "orxaq gate, stored pass": [orxaq, "gate"],
        "orxaq gate --fresh": [orxaq, "gate", "--fresh"],
        **peers(),
    }
    place = Path(tempfile.mkdtemp(prefix="orxaq-bench-"))
    try:
        figures = measure(commands, repository(place), runs)
    finally:
        shutil.rmtree(place)
    base = statistics.median(figures["make noop"])
    gate = statistics.median(figures["orxaq gate --fresh"])
    lines = ["| command | min ms | median ms | on top of make, median ms | against the gate |", "|---|--:|--:|--:|--:|"]
    for name, values in figures.items():
        middle = statistics.median(values)
        lines.append(f"| `{name}` | {min(values):.0f} | {middle:.0f} | {middle - base:.0f} | {middle / gate:.2f} |")
    text = "\n".join(lines)
    print(text)
    (ROOT / "benchmarks" / "results.md").write_text(
        "# Results\n\nMade by `make bench`: one check that does nothing, wall time of whole processes, all in one run,\n"
        "in turn, each tool installed from its wheel.\n"
        f"{runs} rounds after one to warm up; {os.cpu_count()} processors, Python {sys.version.split()[0]}, "
        f"{time.strftime('%Y-%m-%d')}.\n\n{text}\n",
        encoding="utf-8",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
