"""Every fixture works and leaves nothing wherever the tests run: in parallel, in a hook of git, without a home, as another user."""

import contextlib
import hashlib
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.faults.fixtures import _FIXTURES


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has every fault")

EVERYTHING = Path(__file__).with_name("everything.py")
TESTS = re.findall(r"^ *def (test_\w+)", EVERYTHING.read_text(encoding="utf-8"), re.MULTILINE)
# The least that a user has: what this suite has besides must not be needed.
ALONE = ("-p", "no:randomly", "-p", "no:xdist", "-p", "no:hypothesispytest")
NOBODY = 65534


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A project with tests that use every fixture."""
    place = tmp_path / "sample"
    furnish(place)
    return place


def furnish(place: Path) -> None:
    """Put the tests there."""
    place.mkdir()
    shutil.copy(EVERYTHING, place / "test_everything.py")
    (place / "pytest.ini").write_text("[pytest]\naddopts = -ra --basetemp=tmp -p no:cacheprovider\n")


def run(
    sample: Path,
    *options: str,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
    **others: Any,
) -> str:
    """What pytest says at the end of the sample's tests."""
    done = subprocess.run(
        [python, "-m", "pytest", *options],
        cwd=sample,
        env=dict(os.environ if environment is None else environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **others,
    )
    sys.stdout.write(done.stdout + done.stderr)  # for the one who reads why it was not as expected
    return closing(done.stdout)


def closing(said: str) -> str:
    """The outcomes in pytest's last line."""
    found = re.findall(r"^=* ?((?:\d+ [a-z]+,? ?)+) in [0-9.]+s", said, re.MULTILINE)
    assert found
    return str(found[-1])


ALL_PASSED = f"{len(TESTS)} passed"


def test_the_sample_has_every_fixture() -> None:
    """None is left out, nor one that comes later."""
    text = EVERYTHING.read_text(encoding="utf-8")
    assert {name for name in _FIXTURES if re.search(rf"\b{name}\b", text)} == _FIXTURES


def test_without_any_other_plugin(sample: Path) -> None:
    """No fixture needs what this suite has besides."""
    assert run(sample, *ALONE) == ALL_PASSED


@pytest.mark.parametrize("seed", ["1", "2"])
def test_in_parallel_and_in_random_order(sample: Path, seed: str) -> None:
    """Workers do not meet, and no test needs another before it."""
    assert run(sample, "-n2", f"--randomly-seed={seed}") == ALL_PASSED


def test_without_a_home(sample: Path) -> None:
    """HOME and what stands for it need not be set."""
    known = {name: value for name, value in os.environ.items() if name != "HOME" and not name.startswith("XDG_")}
    assert run(sample, *ALONE, environment=known) == ALL_PASSED


# ---------------------------------------------------------------- in a hook of git


def content(folder: Path) -> dict[str, str]:
    """The files below a folder, with what is in them."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() + oct(path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file() and "remotes" not in path.parts  # that is what a push writes
    }


@pytest.mark.parametrize("place", ["repository", "linked work tree", "variables of git's exported"])
def test_in_a_hook_before_a_push(sample: Path, tmp_path: Path, place: str) -> None:
    """A push whose hook runs the tests goes through, and nothing in its repository has changed but what a push changes."""
    hook = tmp_path / "hooks" / "pre-push"
    hook.parent.mkdir()
    hook.write_text(
        f"#!/bin/sh\nenv >{tmp_path}/variables\n{sys.executable} -m pytest {' '.join(ALONE)} >{tmp_path}/said 2>&1\n"
    )
    hook.chmod(0o700)
    remote, top = tmp_path / "remote.git", sample

    def git(*words: str, **variables: str) -> None:
        subprocess.run(["git", *words], cwd=top, env={**os.environ, **variables}, timeout=300, check=True)

    git("init", "-q", "--bare", str(remote))
    git("init", "-q", "-b", "main")
    (sample / ".gitignore").write_text("tmp*\n__pycache__\n")
    git("add", "-A")
    git("commit", "-qm", "tests")
    git("remote", "add", "origin", str(remote))
    git("config", "core.hooksPath", str(hook.parent))
    variables = {}
    if place == "linked work tree":
        git("worktree", "add", "-qb", "topic", str(tmp_path / "linked"))
        top = tmp_path / "linked"
    elif place == "variables of git's exported":
        variables = {
            "GIT_DIR": str(sample / ".git"),
            "GIT_WORK_TREE": str(sample),
            "GIT_INDEX_FILE": str(sample / ".git" / "index"),
        }
    before = content(sample / ".git"), content(top)
    git("-c", "user.name=Somebody", "push", "-q", "origin", "HEAD", **variables)
    assert closing((tmp_path / "said").read_text()) == ALL_PASSED
    assert "GIT_CONFIG_PARAMETERS=" in (tmp_path / "variables").read_text()
    assert (content(sample / ".git"), {name: at for name, at in content(top).items() if name in before[1]}) == before
    subprocess.run(["git", "fsck", "--strict"], cwd=top, check=True, capture_output=True, timeout=60)


# ---------------------------------------------------------------- as another user


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that can be given to another user."""
    with tempfile.TemporaryDirectory(prefix="orxaq-other-") as made:
        yield Path(made)


def interpreter(user: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """A Python that another user can run, with which the package can be imported; empty if there is none."""
    for python in (sys.executable, "/usr/bin/python3"):
        words = [python, "-c", "import pytest_orxaq, pytest, psutil, hypothesis"]
        with contextlib.suppress(OSError):
            if not subprocess.run(words, env=environment, cwd="/", check=False, timeout=60, **user).returncode:
                return python
    return ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("number", [65534, 54321], ids=["nobody", "without a name"])
def test_as_another_user(room: Path, number: int) -> None:
    """Without root's means too every fixture works, or is skipped and says why; the user's home may be anywhere."""
    user = {"user": number, "group": number, "extra_groups": ()}
    sample = room / "sample"
    furnish(sample)
    for path in (room, sample, *sample.iterdir()):
        os.chown(path, number, number)
    libraries = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), *site.getsitepackages())))
    known = {**os.environ, "HOME": str(room), "TMPDIR": str(room), "PYTHONPATH": libraries}
    known |= {"PYTHONDONTWRITEBYTECODE": "1", "XDG_STATE_HOME": str(room)}
    python = interpreter(user, known)
    if not python:
        pytest.skip("no interpreter and package here that another user can read; make faults-matrix has one")
    outcomes = run(sample, *ALONE, environment=known, python=python, **user)
    assert re.fullmatch(r"\d+ passed(?:, \d+ skipped)?", outcomes)
    assert sum(map(int, re.findall(r"\d+", outcomes))) == len(TESTS)
