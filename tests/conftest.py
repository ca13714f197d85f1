"""What every test stands on: a real repository in a folder of its own, and nothing of the user's around it."""

import fcntl
import json
import os
import subprocess
import sys
import tempfile

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.faults import commands
from pytest_orxaq.system import process


ROOT = Path(__file__).parent.parent
BOUND = 120.0  # seconds after which a command counts as hung


@pytest.fixture(autouse=True, scope="session")
def _apart_from_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No configuration, state or variable of the user's, or of a gate above us, reaches a test."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("GIT_", "ORXAQ_", "MAKE", "MFLAGS", "GITHUB_")) or name in {
                "PYTEST_ADDOPTS",
                "TRACEPARENT",
                "CI",
            }:
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "A Tester")
            patch.setenv(f"GIT_{who}_EMAIL", "tester@example.invalid")
        # The package under test also where a test runs it in another folder; a wheel under test is installed.
        if (ROOT / "pytest_orxaq").is_dir():
            patch.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.fixture(autouse=True)
def _machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whoever judges locks looks at all processes of the machine: what a test marked ``alone`` starts must not be there."""
    with (Path(tempfile.gettempdir()) / f"orxaq-tests-{os.geteuid()}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
        yield


@pytest.fixture(autouse=True, scope="session")
def _supervisor_measured() -> Iterator[None]:
    """Where coverage is measured, the supervisor and the shim of a command start with `site`, by which coverage gets into them."""
    with pytest.MonkeyPatch.context() as patch:
        if "COVERAGE_PROCESS_CONFIG" in os.environ:
            command = process._supervisor
            patch.setattr(process, "_supervisor", lambda: [word for word in command() if word not in {"-I", "-S"}])
            patch.setattr(commands, "INTERPRETER", (sys.executable, "-Xutf8"))
        yield


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def record(self) -> dict[str, Any]:
        """The run record that ``--format json`` printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def outcomes(self) -> dict[str, dict[str, Any]]:
        """The outcomes by checkpoint."""
        return {outcome["checkpoint"]["name"]: outcome for outcome in self.record["outcomes"]}

    def cause(self, checkpoint: str = "test") -> str:
        """What the last attempt at a checkpoint was diagnosed as."""
        found: str = self.outcomes[checkpoint]["attempts"][-1]["diagnosis"]["cause"]
        return found


@dataclass(frozen=True, slots=True)
class Project:
    """A git repository to be taken through the gate."""

    top: Path

    def write(self, files: Mapping[str, str]) -> None:
        """Write files; ``{python}`` in a Makefile is the interpreter that runs these tests."""
        for name, text in files.items():
            path = self.top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("{python}", sys.executable) if name == "Makefile" else text, encoding="utf-8")

    def git(self, *arguments: str) -> str:
        """What git answers; it must not fail."""
        return self.run("git", *arguments, check=True).out

    def commit(self, message: str = "more") -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("commit", "-qm", message, "--allow-empty")

    def run(self, *command: str, check: bool = False, environment: Mapping[str, str] | None = None) -> Ran:
        """Run a command here, with its output captured."""
        done = subprocess.run(
            command,
            cwd=self.top,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=BOUND,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        assert not check or ran.code == 0, ran.err
        return ran

    def orxaq(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ran:
        """Run ``orxaq`` here."""
        return self.run(sys.executable, "-m", "pytest_orxaq", *arguments, environment=environment)

    def gate(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ran:
        """Run the gate here; its record is read from stdout."""
        return self.orxaq("gate", "--format", "json", *arguments, environment=environment)


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    """Make a repository with the files given (by name; ``/`` in keyword names is written as a mapping)."""

    def make(files: Mapping[str, str] | None = None) -> Project:
        made = Project(tmp_path / "project")
        made.top.mkdir()
        made.git("init", "-q", "-b", "main")
        made.write(files or {})
        made.commit("first")
        return made

    return make
