"""``orxaq faults``: any command with faults in its way; what it exits with, passes on, says, and leaves."""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import termios

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.errors import MachineError
from pytest_orxaq.faults import around
from pytest_orxaq.faults.presets import PRESETS
from pytest_orxaq.system import process


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such commands")

ORXAQ = (sys.executable, "-m", "pytest_orxaq", "faults")


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What it makes, it makes in the test's folder; afterwards all is gone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.glob("orxaq-faults-*/*"))


def faults(*arguments: str) -> tuple[int, str, str]:
    """What comes of the command: exit code, output, errors."""
    done = subprocess.run([*ORXAQ, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


# ---------------------------------------------------------------- running


def test_a_shell_script_meets_them(tmp_path: Path) -> None:
    """A script in a shell fails by the plan and goes on when it is over; input, output and exit code are its own."""
    script = "cat; git --version || echo $?; git --version || echo $?; git --version; exit 5"
    done = subprocess.run(
        [*ORXAQ, "git=1*fail(128)->1*GIT_503->ok", "--log", "out.jsonl", "--seed", "7", "--", "sh", "-c", script],
        input=b"said\n",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 5
    first, *rest = done.stdout.decode().splitlines()
    assert (first, rest[:2]) == ("said", ["128", "128"])
    assert rest[2].startswith("git version")
    assert done.stderr.decode() == PRESETS["GIT_503"].stderr
    seed, *events = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert seed == {"seed": 7}
    assert [(each["kind"], each["truth"], each["detail"]) for each in events] == [
        ("flaky_command", "transient", "git: fail(128), call 1"),
        ("flaky_command", "transient", "git: GIT_503, call 2"),
    ]
    assert 0 <= events[0]["at"] <= events[1]["at"]


def test_make_meets_them(tmp_path: Path) -> None:
    """A Makefile too, by several faults; only calls with the words that were said count."""
    (tmp_path / "Makefile").write_text(
        "all:\n\t@git --version >/dev/null\n\t-@git push --dry-run 2>/dev/null\n\t-@made-up\n\t@echo done\n"
    )
    code, out, err = faults("git push=3*fail(7)", "made-up=fail(6)", "--", "make")
    assert (code, out) == (0, "done\n")
    assert "Error 7" in err
    assert "Error 6" in err


def test_a_command_that_a_signal_ended() -> None:
    """As in a shell: 128 and the signal's number."""
    assert faults("made-up=signal(TERM)", "--allow-unfired", "--", "sh", "-c", "kill -KILL $$")[0] == 137


def test_the_command_itself_may_be_the_one_that_fails() -> None:
    """The command that is run is found on the same PATH."""
    assert faults("made-up=fail(9)", "--", "made-up")[0] == 9


def test_what_was_never_met() -> None:
    """Said on stderr; a success is none then, unless that is allowed, and a failure keeps its code."""
    script = ("--", "sh", "-c")
    assert faults("git push=GIT_503", *script, "git --version >&2")[0] == 1
    code, _, err = faults("git push=GIT_503", *script, "true")
    assert (code, err.count("\n")) == (1, 1)
    assert "never fired: git=GIT_503 for calls with ['push']" in err
    assert faults("git=fail", *script, "exit 9")[0] == 9
    assert faults("git=fail", "--allow-unfired", *script, "true") == (0, "", "")


def test_the_words_that_there_are() -> None:
    """The list has each step and each failure, with its truth."""
    code, out, _ = faults("--list")
    assert code == 0
    for name, preset in PRESETS.items():
        assert any(line.split()[:1] == [name] and line.split()[-1] == preset.truth for line in out.splitlines())
    assert all(f"\n  {step} " in out for step in around.STEPS)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "There is no FAULT."),
        (("git=fail",), "There is no COMMAND: it stands behind --."),
        (("git=fail", "--"), "There is no COMMAND"),
        (("--", "true"), "There is no FAULT."),
        (("git", "--", "true"), "There is no fault 'git'."),
        (("=fail", "--", "true"), "names no command"),
        (("'git=fail", "--", "true"), "names no command"),
        (("git=GIT_504", "--", "true"), "Did you mean 'GIT_503'?"),
        (("gitt=1*fail", "--", "true"), "Did you mean 'git'?"),
        (("git=fail", "--", "./no-such-command"), "./no-such-command cannot be started: No such file"),
        (("git=fail", "--log", "no/such/folder", "--", "true"), "no/such/folder"),
        (("git=fail", "--seed", "x", "--", "true"), "'x' is not a valid integer"),
        (("git=fail", "--lst", "--", "true"), "'--list'"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], told: str) -> None:
    """It ends with 2 and words, before anything is started."""
    code, out, err = faults(*arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


def test_faults_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run without them."""
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((0,) * 8 + (os.ST_NOEXEC, 0)))
    with pytest.raises(MachineError, match="mounted with noexec"):
        around.run(["touch", "started"], ["git=fail"], seed=1)
    assert not Path("started").exists()


# ---------------------------------------------------------------- signals


WAITING = """
trap 'echo got INT; exit 3' INT
trap 'echo got TERM; exit 4' TERM
trap 'echo got HUP; exit 5' HUP
echo ready
read -r _
"""


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a shell under faults, and wait until it is ready; it waits for a line."""
    with ExitStack() as stack:

        def start(script: str = WAITING, *, terminal: int | None = None) -> subprocess.Popen[str]:
            child = stack.enter_context(
                subprocess.Popen(
                    [*ORXAQ, "made-up=fail", "--allow-unfired", "--", "sh", "-c", script],
                    stdin=subprocess.PIPE if terminal is None else terminal,
                    stdout=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                    # The terminal becomes its own; nothing else runs here.
                    preexec_fn=None if terminal is None else partial(fcntl.ioctl, terminal, termios.TIOCSCTTY, 0),  # noqa: PLW1509
                )
            )
            stack.callback(child.kill)
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            return child

        yield start


def rest(child: subprocess.Popen[str]) -> str:
    """What it says until nobody is left who could."""
    assert child.stdout is not None
    return child.stdout.read()


@pytest.mark.parametrize(("name", "code"), [("INT", 3), ("TERM", 4), ("HUP", 5)])
def test_signals_are_passed_on(started: Callable[..., subprocess.Popen[str]], name: str, code: int) -> None:
    """The command gets the signal once, and time to end as it likes; with its own exit code."""
    child = started()
    child.send_signal(signal.Signals[f"SIG{name}"])
    assert rest(child) == f"got {name}\n"
    assert child.wait(60) == code


def test_what_the_command_started_hears_of_it_too(started: Callable[..., subprocess.Popen[str]]) -> None:
    """A signal goes to all of its process group; who dies of it is said as shells do. A call that hangs is left by nobody."""
    child = started("made-up & sh -c 'echo ready; read -r _; echo on'; exit")
    child.send_signal(signal.SIGTERM)
    assert (rest(child), child.wait(60)) == ("", 143)


def test_a_signal_that_comes_while_the_command_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command may have started others before we know of it: they hear of it too."""
    os.mkfifo(tmp_path / "said")
    with open(os.open(tmp_path / "said", os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as said:

        def hears() -> bytes:
            assert select.select([said], [], [], 60)[0]
            return said.read(100)

        class Slow(subprocess.Popen[bytes]):
            def __init__(self, *words: Any, **options: Any) -> None:
                super().__init__(*words, **options)
                assert hears() == b"ready\n"
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(subprocess, "Popen", Slow)
        monkeypatch.setattr(process, "_at_the_terminal", lambda: False)
        script = f"exec >{tmp_path}/said; sh -c 'echo ready; sleep 600'; exit"
        assert process.accompany(["sh", "-c", script], environment=os.environ) == -signal.SIGTERM
        assert hears() == b""  # nobody is left who could say more


def test_ctrl_c_at_a_terminal(started: Callable[..., subprocess.Popen[str]]) -> None:
    """The terminal tells the command, and nobody tells it twice; SIGTERM, which goes to us alone, is passed on there too."""
    ours, theirs = os.openpty()
    try:
        counting = "n=0; trap 'n=$((n+1))' INT; trap 'echo $n; exit 4' TERM; echo ready; while :; do read -r _ && echo $n; done"
        child = started(counting, terminal=theirs)
        os.write(ours, b"\x03")
        os.write(ours, b"\n")
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        child.send_signal(signal.SIGINT)  # as kill does it: whether the terminal did cannot be told
        child.send_signal(signal.SIGTERM)
        os.write(ours, b"\n")
        assert rest(child).split()[-1] == "1"
        assert child.wait(60) == 4
    finally:
        os.close(ours)
        os.close(theirs)


def test_signals_that_came_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes before the command is there reaches it when it is."""
    real = subprocess.Popen

    def late(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", late)
    assert process.accompany(["sleep", "600"], environment=os.environ) == -signal.SIGTERM


def test_a_signal_that_our_parent_ignored() -> None:
    """It stays ignored, by the command too: that is what nohup is for."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert process.accompany(["sh", "-c", "kill -HUP $$; exit 6"], environment=os.environ) == 6
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_a_killed_one_left(started: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """When it is killed outright, the next one ends what still runs, and takes the folder away."""
    child = started("trap '' TERM INT HUP; echo ready; read -r _; exec made-up")
    child.kill()
    child.wait(60)
    assert list(tmp_path.glob("orxaq-faults-*/run-*"))
    assert faults("made-up=fail", "--allow-unfired", "--", "true")[0] == 0
    assert rest(child) == ""
