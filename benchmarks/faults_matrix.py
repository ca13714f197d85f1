"""Run one sample project that uses every fault fixture with each pytest that is supported, and in other surroundings.

Usage: python benchmarks/faults_matrix.py [VERSION…]   (needs a package index)

The rooms stand in a folder that all may read: as root, the tests are run as another user too.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


ROOT = Path(__file__).parent.parent
SAMPLES = ("everything", "everything_plugins")
TESTS = sum(
    len(re.findall(r"^ *(?:async )?def test_", (ROOT / "tests" / "faults" / f"{name}.py").read_text(), re.MULTILINE))
    for name in SAMPLES
)
ALWAYS = ("pytest-xdist", "pytest-randomly", "pytest-timeout", "pytest-asyncio", "anyio")
VERSIONS = ("8.2", "8.3", "8.4", "9.0", "9.1", "9.2")
NOBODY: Mapping[str, Any] = {"user": 65534, "group": 65534, "extra_groups": ()}
UNKNOWN: Mapping[str, Any] = {"user": 54321, "group": 54321, "extra_groups": ()}  # as containers have them
IN_ORDER = ("-p", "no:randomly")
Outcomes = dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the sample's tests are run."""

    options: tuple[str, ...] = IN_ORDER
    without: tuple[str, ...] = ()  # variables
    user: Mapping[str, Any] = field(default_factory=dict)
    hook: bool = False


WAYS = {
    "in order": Way(),
    "random order": Way(options=()),
    "xdist -n2": Way(options=("-n2",)),
    "no HOME": Way(without=("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")),
    "pre-push hook": Way(hook=True),
    **({"another user": Way(user=NOBODY), "a user without a name": Way(user=UNKNOWN)} if os.geteuid() == 0 else {}),
}


# ---------------------------------------------------------------- rooms


def interpreter() -> str:
    """A Python that another user can run too."""
    user = NOBODY if os.geteuid() == 0 else {}
    for python in (getattr(sys, "_base_executable", sys.executable), "/usr/bin/python3"):
        check = [python, "-c", "import sys, venv; sys.exit(sys.version_info < (3, 11))"]
        try:
            if subprocess.run(check, cwd="/", check=False, timeout=60, **user).returncode == 0:
                return str(python)
        except OSError:
            continue
    raise SystemExit("There is no Python of 3.11 or later that another user can run.")


def wheel(top: Path) -> Path:
    """Ours, built."""
    subprocess.run(
        [sys.executable, "-m", "build", "-q", "--wheel", "--outdir", str(top), str(ROOT)], check=True, timeout=600
    )
    return next(top.glob("*.whl"))


def room(top: Path, base: str, version: str, ours: Path) -> Path:
    """An environment with one pytest, the other plugins and ours; its interpreter."""
    subprocess.run([base, "-m", "venv", "--without-pip", str(top / version)], check=True, timeout=300)
    python = top / version / "bin" / "python"
    subtests = ("pytest-subtests<0.15",) if version < "9" else ()  # part of pytest from 9.0 on
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, str(ours), f"pytest=={version}.*", *ALWAYS, *subtests], check=True, timeout=600)
    return python


# ---------------------------------------------------------------- runs


def furnish(place: Path) -> None:
    """The sample project, as a repository."""
    place.mkdir(parents=True)
    for name in SAMPLES:
        shutil.copy(ROOT / "tests" / "faults" / f"{name}.py", place / f"test_{name}.py")
    settings = (
        "[pytest]\naddopts = -ra -q --basetemp=tmp -p no:cacheprovider\nasyncio_default_fixture_loop_scope = function\n"
    )
    (place / "pytest.ini").write_text(f"{settings}filterwarnings = error\n")
    (place / ".gitignore").write_text("tmp*\n__pycache__\n")
    for words in (("init", "-q"), ("add", "-A"), ("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x")):
        subprocess.run(["git", *words], cwd=place, check=True, timeout=60)


def run(python: Path, place: Path, way: Way) -> tuple[Outcomes, str]:
    """Outcomes by word, and what was said."""
    furnish(place)
    known = {
        name: value for name, value in os.environ.items() if not name.startswith(("ORXAQ", "PYTEST", "PYTHON", "GIT_"))
    }
    environment = {name: value for name, value in known.items() if name not in way.without}
    command: list[str] = [str(python), "-m", "pytest", *way.options]
    if way.user:
        (place / "temporary").mkdir()
        environment |= {"HOME": str(place), "TMPDIR": str(place / "temporary")}
        subprocess.run(["chown", "-R", f"{way.user['user']}:{way.user['group']}", str(place)], check=True, timeout=60)
    if way.hook:
        command = pushing(place, command)
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=900, check=False, **way.user
    )
    said = done.stdout + done.stderr
    found = re.findall(r"^(?:=+ )?((?:\d+ [a-z ]+,? ?)+) in [\d.]+s", said, re.MULTILINE)
    words = re.findall(r"(\d+) ([a-z ]*[a-z])", found[-1]) if found else [("1", "never ended")]
    outcomes = {word: int(number) for number, word in words}
    if done.returncode:
        outcomes["exit code"] = done.returncode
    return outcomes, said


def pushing(place: Path, command: list[str]) -> list[str]:
    """A push from a linked work tree whose hook runs the command there."""
    linked, hooks, bare = (place.with_name(f"{place.name}-{word}") for word in ("linked", "hooks", "bare"))
    for words in (
        ("init", "-q", "--bare", str(bare)),
        ("remote", "add", "origin", str(bare)),
        ("config", "core.hooksPath", str(hooks)),
        ("worktree", "add", "-qb", "topic", str(linked)),
    ):
        subprocess.run(["git", *words], cwd=place, check=True, timeout=60, capture_output=True)
    hooks.mkdir()
    (hooks / "pre-push").write_text(f"#!/bin/sh\nexec {' '.join(command)}\n")
    (hooks / "pre-push").chmod(0o755)
    return ["git", "-C", str(linked), "-c", "user.name=Somebody", "push", "-q", "origin", "topic"]


def clean(outcomes: Outcomes) -> bool:
    """Whether all passed, but what was skipped with a reason."""
    return outcomes.get("passed", 0) + outcomes.get("skipped", 0) == TESTS and outcomes.keys() <= {
        "passed",
        "skipped",
        "subtests passed",
    }


def main() -> int:
    """Run all, print a table; fail if any of it did."""
    lines, worst, reasons = [], 0, dict[str, None]()
    base = interpreter()
    top = Path(tempfile.mkdtemp(prefix="orxaq-faults-matrix-"))
    try:
        top.chmod(0o755)
        ours = wheel(top)
        for version in sys.argv[1:] or VERSIONS:
            python = room(top, base, version, ours)
            cells = []
            for number, (name, way) in enumerate(WAYS.items()):
                outcomes, said = run(python, top / f"{version}-runs" / str(number), way)
                cells.append(", ".join(f"{count} {word}" for word, count in outcomes.items()))
                reasons |= dict.fromkeys(re.findall(r"^SKIPPED .*: (.*)", said, re.MULTILINE))
                if not clean(outcomes):
                    worst = 1
                    print(f"pytest {version}, {name}:\n{said[-20000:]}")
                print(f"pytest {version}, {name}: {cells[-1]}", file=sys.stderr, flush=True)
            lines.append(f"| {version} | {' | '.join(cells)} |")
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print(f"| pytest | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}")
    print("\n".join([*lines, *(f"skipped: {reason}" for reason in reasons)]))
    return worst


if __name__ == "__main__":
    sys.exit(main())
