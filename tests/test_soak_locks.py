"""The torture of lock recovery can fail: it catches what takes live locks, loses files or leaves locks, and only that."""

import importlib.util
import subprocess
import sys
import time

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_orxaq.faults.identity import Identity
from pytest_orxaq.faults.isolation import Git


SCRIPT = Path(__file__).parent.parent / "benchmarks" / "soak_locks.py"

# Deletes locks by their age, as so many do.
BY_AGE = """\
import os, time
for folder, _, names in os.walk(".git"):
    for path in (os.path.join(folder, name) for name in names if name.endswith(".lock")):
        try:
            if time.time() - os.lstat(path).st_mtime > 1:
                os.unlink(path)
        except OSError:
            pass
"""


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("soak_locks", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for what annotations mean
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def state(soak: ModuleType, isolated_git: Callable[..., Git], tmp_path: Path) -> Any:
    """A soak of a small repository in which nothing has happened."""
    repo = isolated_git()
    return soak.Soak(repo=repo, linked=repo, origin=repo, room=tmp_path, seed="", recover=[])


def run(seconds: int, recover: str = "") -> subprocess.CompletedProcess[str]:
    """A short soak, with some recovery or the real one."""
    command = [sys.executable, str(SCRIPT), str(seconds), "--seed", "1", *(["--recover", recover] if recover else [])]
    return subprocess.run(command, capture_output=True, text=True, timeout=60 + 4 * seconds, check=False)


def test_a_minute_of_torture() -> None:
    """The real recovery takes no lock from the living, loses no file, releases dead locks, and leaves none."""
    done = run(60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing was lost, taken or left." in done.stdout
    released = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("released "))
    assert int(released) > 0


def test_who_deletes_by_age_is_caught(tmp_path: Path) -> None:
    """There is a hold longer than the age in every run: its hook sees the lock go."""
    (tmp_path / "by_age.py").write_text(BY_AGE)
    done = run(4, f"{sys.executable} {tmp_path}/by_age.py")
    assert done.returncode == 1, done.stdout
    assert ".git/index.lock was taken from commit --all 1, in its hook" in done.stdout


def test_who_does_nothing_is_not_accused() -> None:
    """Locks are left, and that is all that is held against it."""
    done = run(3, "true")
    verdict = done.stdout.rpartition("files written")[2].splitlines()[2:]
    assert verdict == ["Nothing was lost, taken or left."] or all(line.startswith("LEFT: ") for line in verdict)
    assert done.returncode == (verdict[0] != "Nothing was lost, taken or left.")
    assert done.stdout.count("\nadd ") == 1


def test_a_recovery_that_breaks_is_told() -> None:
    """One that ends in an error of its own fails the run."""
    done = run(1, "sh -c 'echo trouble >&2; exit 70'")
    assert done.returncode == 1
    assert "FAILED: the recovery ended with 70, and said: trouble" in done.stdout


def test_release_under_a_living_git_is_deduced(soak: ModuleType, state: Any) -> None:
    """A released lock that no hook saw is held against the gits of its birth: one of them must have died before."""
    now = time.time()
    lock = soak.Seen("/x.lock", Identity(device=1, inode=2, born_at=int(now * 1e9)), now, now + 4, now + 5)
    state.seen.append(lock)
    state.released.append(("/x.lock", now + 4.5, now + 5.1))
    add = soak.Operation(0, 0, "add", started_at=now - 1)
    state.operations += [add, soak.Operation(1, 1, "gc", started_at=now + 1, ended_at=now + 2)]
    assert list(soak.taken(state)) == ["/x.lock was released while add 0 lived, and nobody else can have made it"]
    for ended, innocent in ((now + 6, False), (now + 4, True), (now - 0.5, True)):
        add.ended_at = ended
        assert bool(list(soak.taken(state))) != innocent


def test_releases_are_found_wherever_they_stand(soak: ModuleType) -> None:
    """In whatever shape the JSON comes; what is none has none."""
    found = b'{"a": [{"path": "/x", "recovery": {"released": true}}, {"path": "/y", "recovery": null}], "b": 1}'
    assert list(soak.releases(found)) == ["/x"]
    assert not list(soak.releases(b"no JSON"))


def test_lost_and_foreign_files_are_seen(soak: ModuleType, state: Any) -> None:
    """A file that is missing from a commit, and a content that nobody wrote, are told; also where no branch leads."""
    repo = state.repo
    state.versions["w0/1"] = {"mine\n"}
    repo.write("w0/1", "mine\n")
    repo.commit()
    assert soak.lost_files(state) == (2, [])
    repo.write("w0/1", "not mine\n")
    repo.commit()
    repo("rm", "-q", "w0/1")
    commit = repo.commit("oops")
    repo("reset", "-q", "--hard", "HEAD~2")
    count, wrong = soak.lost_files(state)
    assert count == 4
    assert wrong == [
        f"commit {commit} oops lost w0/1",
        "w0/1 has a content in some commit that its writer never wrote: 'not mine\\n'",
    ]
