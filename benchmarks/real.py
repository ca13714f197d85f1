"""Take well-known projects through the gate and compare what it counted with what their own runner says.

The projects' tests run in environments of their own, without pytest-orxaq; `orxaq` is installed in another one.
Usage: python benchmarks/real.py   (needs a package index; writes docs/real-projects.md)
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

from dataclasses import dataclass
from pathlib import Path


ROOT = Path(__file__).parent.parent
BOUND = 900  # seconds for any one step
STRENGTHS = ("none", "closing line", "JUnit", "witness")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project, what its tests need, and how they are run."""

    name: str
    runner: str
    tests: str  # arguments of python
    needs: tuple[str, ...] = ("pytest",)


PROJECTS = (
    Project(name="iniconfig", runner="pytest", tests="-m pytest -q testing"),
    Project(name="pluggy", runner="pytest", tests="-m pytest -q testing"),
    Project(
        name="packaging",
        runner="pytest",
        tests="-m pytest -q tests",
        needs=("pytest", "pretend", "hypothesis", "tomli_w"),
    ),
    Project(name="more-itertools", runner="unittest", tests="-m unittest -q"),
    Project(name="markdown", runner="unittest", tests="-m unittest discover -q tests", needs=("pyyaml",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one project."""

    project: str
    runner: str
    by_gate: int
    strength: str
    by_runner: int
    verdict: str
    bare: float
    gated: float

    @property
    def agrees(self) -> bool:
        """Whether the gate counted what the runner counted, and passed what passed."""
        return self.by_gate == self.by_runner and self.verdict == "passed"


def say(words: str) -> None:
    """Progress, for whoever waits."""
    print(words, file=sys.stderr, flush=True)


def run(*command: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command; its output is shown only if it fails and must not."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("ORXAQ", "PYTEST", "VIRTUAL_ENV"))
    }
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=BOUND, check=False)
    if check and done.returncode:
        say(done.stdout[-3000:] + done.stderr[-3000:])
        raise SystemExit(f"{' '.join(command)} exited {done.returncode}")
    return done


def environment(place: Path, *packages: str) -> Path:
    """The python of a new virtual environment with these packages."""
    run(sys.executable, "-m", "venv", str(place), cwd=ROOT)
    python = place / "bin" / "python"
    run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages, cwd=ROOT)
    return python


def fetch(project: Project, room: Path) -> Path:
    """The unpacked source distribution, as a repository with a Makefile."""
    downloads = room / "downloads"
    options = (
        "download",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-binary",
        ":all:",
        "-d",
        str(downloads),
    )
    if run(sys.executable, "-m", "pip", *options, project.name, cwd=room, check=False).returncode:
        say(f"the source distribution of {project.name} cannot be fetched: is there a package index?")
        raise SystemExit(2)
    wanted = project.name.replace("-", "_").lower()
    (archive,) = (path for path in downloads.iterdir() if path.name.lower().replace("-", "_").startswith(f"{wanted}_"))
    with tarfile.open(archive) as packed:
        packed.extractall(room / project.name, filter="data")
    (top,) = (room / project.name).iterdir()
    python = environment(room / f"{project.name}-env", *project.needs, str(top))
    # The name that make prefers: some projects bring a makefile of their own.
    (top / "GNUmakefile").write_text(f".PHONY: test\ntest:\n\t{python} {project.tests}\n")
    for arguments in (
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"),
    ):
        run("git", *arguments, cwd=top)
    return top


def counted(output: str, runner: str) -> int:
    """Tests by the runner's own closing line, read here without any help of the gate's."""
    if runner == "unittest":
        return sum(int(number) for number in re.findall(r"^Ran (\d+) tests? in", output, re.MULTILINE))
    closing = re.findall(r"^(?:=+ )?((?:\d+ \w+,? ?)+) in [\d.]+s", output, re.MULTILINE)[-1]
    words = re.findall(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed)", closing)
    return sum(int(number) for number, _ in words)


def take(project: Project, orxaq: Path, room: Path) -> Row:
    """One project, bare and through the gate."""
    say(f"{project.name}: fetching, installing")
    top = fetch(project, room)
    run("make", "test", cwd=top, check=False)  # byte code and caches are there for both
    began = time.monotonic()
    bare = run("make", "test", cwd=top, check=False)
    halfway = time.monotonic()
    gated = run(str(orxaq), "gate", "test", "--fresh", "--format", "json", cwd=top, check=False)
    ended = time.monotonic()
    record = json.loads(gated.stdout)
    evidence = record["outcomes"][0]["attempts"][-1]["evidence"]
    version = top.name.rpartition("-")[2]
    row = Row(
        project=f"{project.name} {version}",
        runner=project.runner,
        by_gate=sum(evidence["counts"].values()),
        strength=STRENGTHS[evidence["strength"]],
        by_runner=counted(bare.stdout + bare.stderr, project.runner),
        verdict=record["verdict"],
        bare=halfway - began,
        gated=ended - halfway,
    )
    if not row.agrees:
        say(gated.stderr[-3000:])
    say(f"{project.name}: {row.by_gate} tests, {row.verdict}")
    return row


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| project | runner | tests by the gate | evidence | tests by the runner | verdict | `make test` | through the gate | on top |",
        "|---|---|--:|---|--:|---|--:|--:|--:|",
    ]
    lines += [
        f"| {row.project} | {row.runner} | {row.by_gate} | {row.strength} | {row.by_runner} | {row.verdict} "
        f"| {row.bare:.2f} s | {row.gated:.2f} s | {row.gated - row.bare:+.2f} s |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> int:
    """Take all projects; 1 if the gate and a runner disagree about any."""
    room = Path(tempfile.mkdtemp(prefix="orxaq-real-"))
    try:
        say("installing orxaq into an environment of its own")
        orxaq = environment(room / "orxaq-env", str(ROOT)).parent / "orxaq"
        rows = [take(project, orxaq, room) for project in PROJECTS]
    finally:
        shutil.rmtree(room, ignore_errors=True)
    text = table(rows)
    print(text)
    page = (
        "# Real projects through the gate\n\n"
        "Made by `make real`: source distributions of well-known projects, their tests in environments without\n"
        "pytest-orxaq, `orxaq` in one of its own. The gate's count must agree with the runner's closing line.\n\n"
        f"{text}\n\nMeasured on {time.strftime('%Y-%m-%d')} with Python {sys.version.split()[0]}; one run each, "
        "so the last column is mostly noise for suites of seconds.\n"
    )
    (ROOT / "docs" / "real-projects.md").write_text(page, encoding="utf-8")
    return 0 if all(row.agrees for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
