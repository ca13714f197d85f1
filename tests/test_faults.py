"""Faults of the machine and mischief of the tests, through the gate: words, the right code, nothing passes or hangs."""

import os
import shutil
import subprocess
import sys

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest


BOTH = ".PHONY: lint test\nlint:\n\t{python} -m compileall -q .\ntest:\n\t{python} -m pytest -q -p no:cacheprovider\n"
GOOD = {"Makefile": BOTH, "test_it.py": "def test_fine(): pass\n", ".gitignore": "__pycache__/\n"}
GATE = (sys.executable, "-m", "pytest_orxaq", "gate")


def namespace() -> tuple[str, ...]:
    """The command before one that may mount what it likes without anybody else seeing it."""
    for command in (("unshare", "--mount"), ("unshare", "--mount", "--map-root-user")):
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
        ):
            return command
    pytest.skip("no mount namespace can be made here")


# ---------------------------------------------------------------- mischief


# What a test does to the folder that it testifies into, and the exit code if it passes and make exits 0.
MISCHIEF = {
    "the mailbox is deleted": ("shutil.rmtree(box)", 0),  # pytest's own closing line is left
    "the mailbox is a file": ("shutil.rmtree(box); box.write_text('')", 0),
    "the mailbox is a link": ("shutil.rmtree(box); box.symlink_to('/etc')", 0),
    "the run's folder is deleted": ("shutil.rmtree(box.parent)", 3),
    "the record is a folder": ("(box.parent / 'run.json').unlink(); (box.parent / 'run.json').mkdir()", 0),
    "a journal is a pipe": ("os.mkfifo(other)", 4),
    "a journal is a folder": ("other.mkdir()", 4),
    "a journal is a link": ("other.symlink_to('/dev/zero')", 4),
    "a journal is noise": ("other.write_bytes(os.urandom(100_000))", 4),
    "a journal is deep": ("other.write_text('[' * 1_000_000)", 4),
    "the journal is emptied": ("[os.truncate(path, 0) for path in box.glob('tests-*')]", 4),
    "the journal is doubled": ("[other.write_bytes(path.read_bytes()) for path in box.glob('tests-*')]", 4),
    "the output is a pipe": ("log.unlink(); os.mkfifo(log)", 3),
    "the output is a folder": ("log.unlink(); log.mkdir()", 3),
    "the output is endless": ("log.unlink(); log.symlink_to('/dev/zero')", 3),
}


@pytest.mark.parametrize("fails", [False, True], ids=["passes", "fails"])
@pytest.mark.parametrize("mischief", MISCHIEF)
def test_mischief_in_the_mailbox(project: Callable[..., Any], mischief: str, fails: bool) -> None:
    """A test that tampers with the evidence hangs nothing, breaks nothing, and never hides that it failed."""
    body, code = MISCHIEF[mischief]
    test = (
        "import os, pathlib, shutil\n"
        "box = pathlib.Path(os.environ['ORXAQ_ATTEMPT'].split(':')[-1])\n"
        "log, other = box.with_name(box.name + '.log'), box / 'tests-1-01234567.jsonl'\n"
        f"def test_it():\n    {body}\n    assert {not fails}\n"
    )
    masked = BOTH.replace("no:cacheprovider", "no:cacheprovider || true")
    settings = "[checkpoint.test]\nretries = 0\n"
    ran = project({**GOOD, "Makefile": masked, "test_it.py": test, "orxaq.toml": settings}).orxaq("gate", "test")
    assert "Traceback" not in ran.err.replace('Traceback (most recent call last):\n  File "/usr', "")
    assert ran.code != 0 if fails else ran.code == code, ran.err


# ---------------------------------------------------------------- tools that are missing


def path_with(folder: Path, *names: str) -> dict[str, str]:
    """A PATH on which nothing is to be found but these programs."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(shutil.which(name) or pytest.fail(f"{name} is needed"))
    return {"PATH": str(folder)}


def test_no_make(project: Callable[..., Any], tmp_path: Path) -> None:
    """Without make on PATH the checkpoint could not be started, which is a matter of set-up."""
    ran = project(GOOD).gate("lint", environment=path_with(tmp_path / "bin", "git"))
    assert ran.code == 2
    assert "the command could not be started: make: No such file or directory" in ran.err
    assert dict(ran.record["machine"]["tools"])["make"] == "not found"


def test_no_git(project: Callable[..., Any], tmp_path: Path) -> None:
    """Without git there is no gate, and a single command runs all the same."""
    environment = path_with(tmp_path / "bin", "true")
    here = project(GOOD)
    ran = here.orxaq("gate", environment=environment)
    assert (ran.code, ran.err) == (
        4,
        "orxaq: git cannot be started: No such file or directory\nInstall git, or put it into PATH.\n",
    )
    assert here.orxaq("run", "true", environment=environment).code == 0


# ---------------------------------------------------------------- places


def test_a_detached_head(project: Callable[..., Any]) -> None:
    """Without a branch all is as ever."""
    here = project(GOOD)
    here.git("checkout", "-q", "--detach")
    ran = here.gate("test")
    assert (ran.code, ran.record["git"]["branch"]) == (0, ""), ran.err


def test_submodules(project: Callable[..., Any], tmp_path: Path) -> None:
    """A submodule has a gate of its own; around one whose content is not as recorded nothing is stored, and why is said."""
    here = project(GOOD)
    here.git("clone", "-q", ".", str(tmp_path / "library"))
    here.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(tmp_path / "library"), "library")
    here.write({"Makefile": BOTH.replace("no:cacheprovider", "no:cacheprovider test_it.py")})
    here.commit()
    inside = subprocess.run([*GATE, "test"], cwd=here.top / "library", capture_output=True, text=True, check=False)
    assert inside.returncode == 0, inside.stderr
    assert here.gate("test").code == 0
    assert here.gate("test").outcomes["test"]["stored"]
    here.write({"library/test_it.py": "def test_other(): pass\n"})
    for _ in range(2):
        outcome = here.gate("test").outcomes["test"]
        assert not outcome["stored"]
        assert "the submodule library is not as recorded" in outcome["key_story"][0]


def test_a_plain_folder(tmp_path: Path) -> None:
    """A single command needs no repository; its runs are remembered apart, and shown where it was started."""
    state = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    folder = tmp_path / "plain"
    folder.mkdir()

    def orxaq(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "pytest_orxaq", *arguments]
        done = subprocess.run(command, cwd=folder, env=state, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert "is not in a git repository" in orxaq("runs")[1]
    code, said = orxaq("run", "--", "sh", "-c", "exit 3")
    assert code == 3
    assert "orxaq run -- sh -c 'exit 3'" in said
    assert "the command exited 3" in orxaq("runs", "explain")[1]
    assert list(folder.iterdir()) == []
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["orxaq"]


def test_a_deleted_folder(tmp_path: Path) -> None:
    """Called from a folder that is gone, every command says so."""
    for name in (["gate"], ["run", "true"], ["runs"]):
        folder = tmp_path / "gone"
        folder.mkdir()
        command = f'cd {folder} && rmdir {folder} && exec "$0" -m pytest_orxaq "$@"'
        done = subprocess.run(["sh", "-c", command, sys.executable, *name], capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("orxaq: the current folder cannot be named")


# ---------------------------------------------------------------- nothing can be written


def mounted(here: Any, script: str, environment: Mapping[str, str] | None = None) -> Any:
    """What the gate says after a script that mounts, for it alone."""
    command = f'set -e; {script}; exec "$@"'
    return here.run(*namespace(), "sh", "-c", command, "sh", *GATE, "--format", "json", environment=environment)


def test_git_is_read_only(project: Callable[..., Any], tmp_path: Path) -> None:
    """Where .git cannot be written to, state goes to the user's folder, which is said, and passes are found there."""
    here = project(GOOD)
    home = {"XDG_STATE_HOME": str(tmp_path / "state")}
    read_only = "mount --bind .git .git; mount -o remount,ro,bind .git"
    first = mounted(here, read_only, home)
    assert (first.code, first.record["verdict"]) == (0, "passed"), first.err
    assert first.record["notes"][0].startswith(f"state is kept in {tmp_path}/state/orxaq/")
    assert "note: state is kept in" in first.err
    assert all(outcome["stored"] for outcome in mounted(here, read_only, home).outcomes.values())


def test_everything_is_read_only(project: Callable[..., Any]) -> None:
    """Where nothing but temporary files can be written, the checkpoints are judged all the same, and what is missing is said."""
    here = project({**GOOD, "Makefile": BOTH.replace("compileall -q .", "this")})
    script = 'top="$PWD"; mount --bind . .; mount -o remount,ro,bind .; cd "$top"'
    (temporary := here.top.parent / "tmp").mkdir()
    ran = mounted(here, script, {"XDG_STATE_HOME": "/proc/none", "TMPDIR": str(temporary)})
    assert ran.code == 0, ran.err
    assert ran.record["notes"][0].startswith("nothing is remembered of this run: no place for state can be written to")
    assert ran.record["notes"][-1] == f"the report could not be written: {here.top}/.orxaq: Read-only file system"
    assert ran.err.count("note: ") == 2
    assert here.orxaq("runs", environment={"ORXAQ_STATE_DIR": "/proc/none", "TMPDIR": str(temporary)}).code == 0
    assert list(temporary.iterdir()) == []


FULL = 'mkdir ../disk; mount -t tmpfs -o size=3m none ../disk; cp -r . ../disk; cd ../disk; export ORXAQ_STATE_DIR="$PWD/state"'


def test_the_disk_is_full(project: Callable[..., Any]) -> None:
    """On a full disk no output and no evidence can be kept: nothing passes, it is the machine's fault, and it is said."""
    here = project({**GOOD, "orxaq.toml": 'first-delay = "0.05s"\n'})
    ran = mounted(here, f"{FULL}; mkdir state; cat /dev/zero > fill || true")
    assert ran.code == 4, ran.err
    assert "No space left on device" in ran.err
    assert "orxaq: Traceback" not in ran.err
    assert "This is a bug" not in ran.err


def test_the_disk_fills_up(project: Callable[..., Any]) -> None:
    """A checkpoint that fills the disk does not pass, and costs neither the verdict nor the closing words."""
    fills = ".PHONY: lint test\nlint:\n\t@cat /dev/zero > fill || true\ntest:\n\t@{python} -m pytest -q || true\n"
    here = project({**GOOD, "Makefile": fills, "orxaq.toml": 'first-delay = "0.05s"\n'})
    ran = mounted(here, FULL)
    assert ran.code in {3, 4}, ran.err
    assert ran.record["verdict"] in {"infrastructure", "unproven"}
    assert "This is a bug" not in ran.err
    said = " ".join(ran.err.split())
    assert "note: the run's record could not be written (No space left on device)" in said


def test_the_report_goes_elsewhere(project: Callable[..., Any], tmp_path: Path) -> None:
    """--report-dir is where reports go, also that of a stored pass; where they cannot, it is said, and the verdict stands."""
    here = project(GOOD)
    assert here.gate("test", "--report-dir", str(tmp_path / "a" / "b")).code == 0
    assert (tmp_path / "a" / "b" / "report.html").exists()
    assert not (here.top / ".orxaq").exists()
    (tmp_path / "file").touch()
    ran = here.gate("test", "--report-dir", str(tmp_path / "file"))
    assert ran.code == 2
    assert "is a file" in ran.err
    refused = here.gate("test", environment={"ORXAQ_REPORT_DIR": str(tmp_path / "file" / "below")})
    assert refused.code == 0
    assert "note: the report could not be written" in refused.err


# ---------------------------------------------------------------- nobody listens


@pytest.mark.parametrize(
    "arguments", [("gate", "lint"), ("gate", "lint", "--format", "jsonl"), ("runs",), ("--version",)]
)
def test_closed_streams(project: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    """With its standard streams closed, every command does its work and ends as it would have."""
    here = project(GOOD)
    here.gate("lint")
    script = 'exec "$@" <&- >&- 2>&-'
    assert here.run("sh", "-c", script, "sh", sys.executable, "-m", "pytest_orxaq", *arguments).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("gate", "lint", "--format", "json"), 0, "orxaq: the result could not be written to stdout"),
        (("gate", "lint", "--format", "jsonl"), 0, "orxaq: the result could not be written to stdout"),
        (("runs",), 4, "orxaq: the machine refused: No space left on device"),
    ],
)
def test_a_result_that_cannot_be_written(
    project: Callable[..., Any], arguments: tuple[str, ...], code: int, words: str
) -> None:
    """A result that its reader cannot get changes no verdict, and is not lost in silence."""
    here = project(GOOD)
    here.gate("lint")
    ran = here.run("sh", "-c", 'exec "$@" > /dev/full', "sh", sys.executable, "-m", "pytest_orxaq", *arguments)
    assert ran.code == code, ran.err
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_nobody_reads_on(project: Callable[..., Any]) -> None:
    """A reader that goes away in the middle gets no complaint."""
    here = project(GOOD)
    here.gate("lint")
    ran = here.run(
        "sh", "-c", '"$@" | :', "sh", sys.executable, "-m", "pytest_orxaq", "runs", "show", "--format", "json"
    )
    assert ran.err == ""
