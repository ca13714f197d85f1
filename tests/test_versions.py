"""Which versions of the tools were at work."""

import os
import platform
import sys

from pathlib import Path

import pytest

from pytest_orxaq import versions


def program(folder: Path, name: str, script: str) -> Path:
    """Make an executable shell script."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_tools_at_work(tmp_path: Path) -> None:
    """git, make and Python tell their own versions, as the PATH of the commands has them."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    found = dict(versions.of_tools((), {"PATH": path}, Path.cwd(), store=tmp_path / "store"))
    assert found["git"].startswith("git version ")
    assert found["make"].startswith("GNU Make ")
    assert found["python3"] == found["python"] == f"Python {platform.python_version()}"


def test_what_does_not_answer_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that fails, cannot be started or hangs is named by its place, and once time is over nobody is asked."""
    monkeypatch.setattr(versions, "TIME", 1.0)
    program(tmp_path, "make", "echo nonsense; exit 1")
    (tmp_path / "git").write_bytes(b"\x7fELF no program")
    (tmp_path / "git").chmod(0o755)
    program(tmp_path, "python3", "exec sleep 60")
    program(tmp_path, "python", "echo Python 3; touch asked")
    found = dict(versions.of_tools((), {"PATH": f"{tmp_path}:/usr/bin:/bin"}, tmp_path, store=tmp_path / "store"))
    assert found == {
        name: f"{tmp_path / name}, which does not tell its version" for name in ("git", "make", "python3", "python")
    }
    assert not (tmp_path / "asked").exists()


def test_strange_programs_are_not_run(tmp_path: Path) -> None:
    """A checkpoint's own script could take `--version` for an order: only where it is is told."""
    deploy = program(tmp_path / "bin", "deploy", "touch deployed")
    script = program(tmp_path / "ci", "test.sh", "touch deployed")
    programs = ("deploy", "ci/test.sh", "no-such-program")
    found = dict(versions.of_tools(programs, {"PATH": str(tmp_path / "bin")}, tmp_path, store=tmp_path / "store"))
    assert found["deploy"] == str(deploy)
    assert found["ci/test.sh"] == str(script)
    assert found["no-such-program"] == found["git"] == "not found"
    assert "python" not in found
    assert not list(tmp_path.rglob("deployed"))


def test_the_first_line_counts(tmp_path: Path) -> None:
    """Of a long answer the first line is kept, also of one on the error stream."""
    program(tmp_path, "git", "echo git version 3; echo more")
    program(tmp_path, "make", "echo GNU Make 5 >&2")
    found = dict(versions.of_tools((), {"PATH": f"{tmp_path}:/usr/bin:/bin"}, tmp_path, store=tmp_path / "store"))
    assert (found["git"], found["make"]) == ("git version 3", "GNU Make 5")


@pytest.mark.parametrize("damage", ["{", '{"schema": 1, "lines": []}', '{"schema": 2, "lines": {"a": "b"}}'])
def test_an_answer_is_remembered(tmp_path: Path, damage: str) -> None:
    """A tool that stays the same is asked once, after a change or damage to our memory again; a shim is not."""
    bin, shims, store = tmp_path / "bin", tmp_path / "shims", tmp_path / "store"
    program(bin, "git", "echo git version 3; echo asked >> asked")
    shim = program(shims, "make", "echo asked >> asked")
    environment = {"PATH": f"{bin}:{shims}:/usr/bin:/bin"}
    store.write_text(damage)

    def ask() -> tuple[str, str, int]:
        found = dict(versions.of_tools((), environment, tmp_path, store=store))
        return found["git"], found["make"], len((tmp_path / "asked").read_text().splitlines())

    assert ask() == ("git version 3", str(shim), 1)
    assert ask() == ("git version 3", str(shim), 1)
    program(bin, "git", "echo git version 4.0; echo asked >> asked")
    assert ask() == ("git version 4.0", str(shim), 2)


def test_answers_that_cannot_be_remembered(tmp_path: Path) -> None:
    """Without a place to remember them, answers are asked for again."""
    program(tmp_path, "git", "echo git version 3")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert dict(versions.of_tools((), environment, tmp_path, store=tmp_path / "no" / "store"))["git"] == "git version 3"
