"""The command line's doors: errors end in words, help costs nothing, and what is told suits who reads it."""

import io
import json
import os
import signal
import subprocess
import sys

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from click.shell_completion import ShellComplete

from pytest_orxaq import cli
from pytest_orxaq.__main__ import main
from pytest_orxaq.cli import console, options, runs
from pytest_orxaq.errors import MachineError, RepositoryError
from pytest_orxaq.model import Checkpoint, EvidenceKind, ExitCode, GitState, RunRecord, Verdict
from pytest_orxaq.system.process import Progress
from pytest_orxaq.version import __version__


# ---------------------------------------------------------------- errors


def failing(error: BaseException) -> Callable[..., object]:
    """A command that ends like this."""

    def fail(*_: object, **__: object) -> object:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MachineError("the disk is gone", advice="Look for it."), 4, "orxaq: the disk is gone\nLook for it.\n"),
        (KeyboardInterrupt(), 130, "orxaq: interrupted\n"),
        (click.Abort(), 130, "orxaq: interrupted\n"),
        (OSError(28, "No space left on device", "/x"), 4, "orxaq: the machine refused: /x: No space left on device\n"),
        (OSError(24, "Too many open files"), 4, "orxaq: the machine refused: Too many open files\n"),
    ],
)
def test_errors_end_in_words(
    error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake, an interrupt and a refusal of the machine each have a code and words, and no traceback."""
    monkeypatch.setattr(cli.commands, "main", failing(error))
    assert main([]) == code
    assert capsys.readouterr().err == words


@pytest.mark.parametrize("error", [ZeroDivisionError("division"), PermissionError(13, "Permission denied")])
def test_a_bug_asks_to_be_reported(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bug of ours shows where it is, says what to do, and never looks like a pass."""
    monkeypatch.setattr(cli.commands, "main", failing(error))
    assert main([]) == ExitCode.BUG
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "This is a bug in pytest-orxaq. Please report it" in err


def test_a_reader_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody reads any more there is nothing to say, and nothing is said later either."""
    monkeypatch.setattr(cli.commands, "main", failing(BrokenPipeError()))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main([]) == ExitCode.FAILED
    assert sys.stdout is None


def test_a_command_without_a_code_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that gives no code has done its work."""
    monkeypatch.setattr(cli.commands, "main", lambda *_, **__: None)
    assert main([]) == ExitCode.PASSED


def test_closed_streams_are_opened() -> None:
    """What is opened after a start without standard streams does not get their numbers."""
    script = "import os, sys; from pytest_orxaq import __main__ as m; m._open_what_is_closed(); print(1); "
    script += "sys.exit(os.open('/dev/null', 0))"
    done = subprocess.run(["sh", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, script], check=False)
    assert done.returncode == 3


# ---------------------------------------------------------------- commands


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """--help names every command with a line, without loading any of them."""
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out and words in out for name, words in cli._COMMANDS.items())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version is the package's."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"orxaq {__version__}\n"


@pytest.mark.parametrize(("name", "hint"), [("rum", "Did you mean 'run'?"), ("zzzz", "`orxaq --help` lists them.")])
def test_an_unknown_command(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt command gets the likely one, any other the list."""
    assert main([name]) == ExitCode.USAGE
    assert f"there is no command {name!r}. {hint}" in capsys.readouterr().err


def test_shells_can_complete() -> None:
    """The shell's completion knows the commands and their options, and nothing of what does not exist."""
    completion = ShellComplete(cli.commands, {}, "orxaq", "_ORXAQ_COMPLETE")
    assert [item.value for item in completion.get_completions([], "ru")] == ["run", "runs"]
    assert "--fresh" in [item.value for item in completion.get_completions(["gate"], "--f")]
    assert cli.commands.get_command(click.Context(cli.commands), "nonsense") is None


def test_the_past_as_text_and_data(project: Callable[..., Any]) -> None:
    """Without runs it is said how to make one; with them they are listed as JSON too, and shown as they were."""
    here = project({"Makefile": ".PHONY: lint\nlint:\n\t@echo 'All checks passed!'; exit 1\n"})
    nothing = here.orxaq("runs")
    assert (nothing.code, nothing.out) == (0, "")
    assert "`orxaq gate` makes the first one" in nothing.err
    failed = here.gate("lint").record
    (listed,) = json.loads(here.orxaq("runs", "list", "--format", "json").out)
    assert listed["id"] == failed["id"]
    assert "✗ Failed: lint: the command exited 2." in here.orxaq("runs", "show").out
    assert "decided by: make: *** [" in here.orxaq("runs", "explain").out


@pytest.mark.parametrize(("finished", "took"), [(103.25, "3.2 s"), (40.0, "?"), (None, "?")])
def test_how_long_a_run_took(finished: float | None, took: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was cut off, or during which the clock was set back, took nobody knows how long."""
    git = GitState(top="/x")
    record = RunRecord(id="r", version="1", started_at=100.0, finished_at=finished, git=git, verdict=Verdict.PASSED)
    runs._list((record,), "text")
    assert capsys.readouterr().out.rstrip().endswith(f"passed         {took:>9}")


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is called from a deleted folder says so."""
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    with pytest.raises(RepositoryError, match="the current folder cannot be named: No such file or directory"):
        options.here()


# ---------------------------------------------------------------- what is told


CHECKPOINT = Checkpoint(name="test", command=("make", "it's fine"), evidence=EvidenceKind.TESTS)


def quiet_for(seconds: float, *, elapsed: float) -> Progress:
    """A command that has said nothing for a while."""
    return Progress(elapsed=elapsed, silent_for=seconds, output_size=0, processes=1)


def test_silence_is_told_every_half_minute() -> None:
    """Off a terminal a line says that a silent command still runs, twice a minute, and not while it speaks itself."""
    stream = io.StringIO()
    plain = console.Plain(stream)
    plain.begun(CHECKPOINT, 1)
    for elapsed in range(0, 100, 5):
        plain.beat(quiet_for(elapsed, elapsed=elapsed))
    plain.beat(quiet_for(1, elapsed=100))
    for elapsed in range(101, 140, 5):
        plain.beat(quiet_for(elapsed - 99, elapsed=elapsed))
    assert stream.getvalue().splitlines() == [
        "orxaq: test: make 'it'\"'\"'s fine'",
        *(f"orxaq: test: running {at} s, last output {at} s ago" for at in (30, 60, 90)),
        "orxaq: test: running 131 s, last output 32 s ago",
    ]


def test_output_is_passed_on_by_lines() -> None:
    """A line is passed on whole, also if it comes in pieces; one without an end, once it is long or all is over."""
    stream = io.StringIO()
    plain = console.Plain(stream)
    plain.begun(CHECKPOINT, 1)
    for piece in (b"caf\xc3", b"\xa9\nfirst\nsec", b"ond \xff", b"x" * 9000, b"rest"):
        plain.heard(piece)
    plain._flush()
    assert stream.getvalue().splitlines()[1:] == ["café", "first", "second �" + "x" * 9000, "rest"]


def test_a_flood_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound output is passed on no further, which is said once; the next attempt has room again."""
    monkeypatch.setattr(console, "_PASSED_ON", 10)
    stream = io.StringIO()
    plain = console.Plain(stream)
    for attempt in (1, 2):
        plain.begun(CHECKPOINT, attempt)
        for _ in range(3):
            plain.heard(b"12345\n123")
    said = "orxaq: test: this is too much output to pass on; its end will be in the report"
    rest = ["12345", "12312345", "123", said]
    begun = "orxaq: test: make 'it'\"'\"'s fine'"
    assert stream.getvalue().splitlines() == [begun, *rest, f"{begun} (attempt 2)", *rest]


def test_both_hear_that_they_wait(capsys: pytest.CaptureFixture[str]) -> None:
    """A person and a program are told who holds the work tree."""
    with console.opened("jsonl", {"GITHUB_ACTIONS": "true"}) as audience:
        audience.waiting({"pid": 7, "run": "r"})
        audience.heard(b"")
        audience.beat(quiet_for(0, elapsed=0))
    out, err = capsys.readouterr()
    assert json.loads(out) == {"event": "waiting", "pid": 7, "run": "r"}
    assert err == "orxaq: waiting: another gate is at work in this work tree (process 7, run r)\n"


def test_retries_are_events(project: Callable[..., Any]) -> None:
    """A program is told why an attempt is repeated, and after how long."""
    recipe = "@echo \"fatal: unable to access 'https://x/y/': Could not resolve host: x\" >&2; exit 128"
    here = project({"Makefile": f".PHONY: lint\nlint:\n\t{recipe}\n", "orxaq.toml": 'first-delay = "0.05s"\n'})
    lines = [json.loads(line) for line in here.orxaq("gate", "lint", "--format", "jsonl").out.splitlines()]
    assert [line["event"] for line in lines] == ["begun", "retrying", "begun", "retrying", "begun", "ended", "run"]
    assert lines[1]["checkpoint"] == "lint"
    assert lines[1]["diagnosis"]["cause"] == "transient"
    assert 0 <= lines[1]["delay"] <= 0.05


@pytest.mark.parametrize(("columns", "width"), [("50", 50), ("3", 20), ("wide", 80), ("", 80)])
def test_the_width_of_the_closing_words(columns: str, width: int, capsys: pytest.CaptureFixture[str]) -> None:
    """COLUMNS is obeyed where it makes sense; without it, and without a terminal, lines have 80 columns."""
    assert console._width({"COLUMNS": columns}) == width
    assert capsys.readouterr().out == ""


# ---------------------------------------------------------------- pytest --orxaq-gate


FILES = {
    "Makefile": ".PHONY: lint test\nlint:\n\t@echo 'All checks passed!'\ntest:\n\t@{python} -m pytest -q test_it.py\n",
    "test_it.py": "def test_it(): pass\n",
    ".gitignore": "__pycache__/\n.pytest_cache/\n",
}
ITEMS = (sys.executable, "-m", "pytest", "-p", "orxaq", "--orxaq-gate", "-p", "no:cacheprovider", "-p", "no:randomly")


def test_items_need_a_configuration_that_can_be_read(project: Callable[..., Any], tmp_path: Path) -> None:
    """Where there is no gate to be offered, pytest says why, as for any mistake of usage."""
    ran = project({**FILES, "orxaq.toml": "retires = 1\n"}).run(*ITEMS)
    assert ran.code == 4
    assert 'unknown key "retires"' in ran.err
    (tmp_path / "plain").mkdir()
    done = subprocess.run(ITEMS, cwd=tmp_path / "plain", capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "is not in a git repository" in done.stderr


def test_an_item_that_cannot_be_judged_fails(project: Callable[..., Any]) -> None:
    """What the gate refuses is a failed item with the gate's words, without a traceback through it."""
    here = project(FILES)
    ran = here.run(*ITEMS, "-k", "lint", environment={"ORXAQ_WITHIN": f"lint@{here.top}"})
    assert ran.code == 1
    assert "has called the gate again" in ran.out
    assert "gate.py" not in ran.out


def test_items_can_be_interrupted(project: Callable[..., Any]) -> None:
    """An interrupt stops the checkpoint and then pytest, as it would any test."""
    here = project({**FILES, "Makefile": ".PHONY: lint\nlint:\n\t@echo > ../here; sleep 600\n"})
    os.mkfifo(here.top.parent / "here")
    pytest_ = subprocess.Popen(ITEMS, cwd=here.top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    (here.top.parent / "here").read_text()
    pytest_.send_signal(signal.SIGINT)
    out, _ = pytest_.communicate(timeout=60)
    assert pytest_.returncode == 2, out
    assert "KeyboardInterrupt" in out


def test_items_run_in_workers(project: Callable[..., Any], tmp_path: Path) -> None:
    """With xdist the checkpoints run in its workers, and a gate around them gets the proof of it."""
    from pytest_orxaq.carried import orxaq_witness_py3
    from pytest_orxaq.core import testimony
    from pytest_orxaq.mailbox import create, offer, read_sessions

    here = project(FILES)
    mailbox = create(tmp_path / "runs", "attempt", "nonce")
    carried = Path(orxaq_witness_py3.__file__).parent
    ran = here.run(*ITEMS, "-n1", environment=offer(mailbox, dict(os.environ), carried=carried))
    assert ran.code == 0, ran.out + ran.err
    sessions, _ = read_sessions(mailbox)
    (own,) = (session for session in sessions if not session.nested)
    assert testimony.clean(own)
    assert len(own.passed) == 2


def test_the_gate_item_has_no_items_of_its_own() -> None:
    """A plugin that collects once more gets no checkpoint twice."""
    from pytest_orxaq import plugin

    assert list(plugin._Gate.collect(object.__new__(plugin._Gate))) == []
