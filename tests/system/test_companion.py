"""A process beside us: it is heard, it hears us let go or die, and nothing of it stays, however stubborn."""

import os
import signal
import subprocess
import sys
import time

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_orxaq.errors import MachineError
from pytest_orxaq.system.process import Companion


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

WAITS = 'echo here >"/dev/fd/$ORXAQ_WORD"; read -r line <"/dev/fd/$ORXAQ_LIFELINE"; '
DEAF = 'echo $$ >"/dev/fd/$ORXAQ_WORD"; trap "" TERM; while :; do sleep 60 & wait; done'


def soon() -> float:
    """The end of a wait that should be short."""
    return time.monotonic() + 30


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Companion]]:
    """Start a shell script as a companion."""
    made = []

    def begin(script: str) -> Companion:
        companion = Companion(("sh", "-c", script), directory=tmp_path, environment=os.environ, said=tmp_path / "said")
        made.append(companion)
        return companion

    yield begin
    for companion in made:
        companion.kill()


def lives(pid: int) -> bool:
    """Whether a process is there, and not only waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
    except FileNotFoundError:
        return False


def test_word_and_lifeline(start: Callable[[str], Companion], tmp_path: Path) -> None:
    """It is heard, and lives until it is let go; then it ends as it likes. What it says goes to its file."""
    companion = start(WAITS + "echo bye; exit 7")
    assert companion.hear(soon()) == b"here\n"
    assert companion.hear(time.monotonic()) is None
    assert companion.alive
    assert companion.stop() == 7
    assert companion.stop() == 7
    assert not companion.alive
    assert (tmp_path / "said").read_text() == "bye\n"


def test_a_line_is_handed_over(start: Callable[[str], Companion]) -> None:
    """What it is told goes to the first that reads; nobody who could speak is left at its end."""
    companion = start(WAITS + 'echo "$line" >"/dev/fd/$ORXAQ_WORD"')
    companion.hear(soon())
    companion.tell(b"go on\n")
    assert companion.hear(soon()) == b"go on\n"
    assert companion.hear(soon()) == b""
    companion.tell(b"too late\n")


def test_the_deaf_are_killed(start: Callable[[str], Companion]) -> None:
    """Who does not heed the lifeline gets SIGTERM, and who ignores that SIGKILL."""
    companion = start(DEAF)
    companion.hear(soon())
    assert companion.stop(grace=0.05) == -signal.SIGKILL
    obedient = start(WAITS + "exec sleep 60")
    obedient.hear(soon())
    assert obedient.stop(grace=0.3) == -signal.SIGTERM


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_nobody_of_it_stays(how: str, start: Callable[[str], Companion]) -> None:
    """Children go too, whatever session they made for themselves."""
    companion = start("(setsid sh -c 'echo $$ >\"/dev/fd/$ORXAQ_WORD\"; exec sleep 60' &) ; exit 3")
    stray = int(companion.hear(soon()) or 0)
    assert lives(stray)
    getattr(companion, how)()
    assert not lives(stray)
    assert not lives(companion.pid)


def test_its_leader_dies_first(start: Callable[[str], Companion], tmp_path: Path) -> None:
    """When it is killed, the leader does not live to see its children die."""
    companion = start(f"sh -c 'echo here >\"/dev/fd/$ORXAQ_WORD\"; exec sleep 60'; echo seen >{tmp_path}/seen")
    companion.hear(soon())
    companion.kill()
    companion.kill()
    assert not (tmp_path / "seen").exists()


def test_it_hears_us_die(tmp_path: Path) -> None:
    """When we are killed, the lifeline tells."""
    script = (
        "import os, pathlib, time\n"
        "from pytest_orxaq.system.process import Companion\n"
        f"wait = 'echo here >/dev/fd/$ORXAQ_WORD; read -r _ </dev/fd/$ORXAQ_LIFELINE; exec touch {tmp_path}/heard'\n"
        "companion = Companion(('sh', '-c', wait), directory='/', environment=os.environ, said=pathlib.Path(os.devnull))\n"
        "companion.hear(time.monotonic() + 30)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == -signal.SIGKILL
    until = soon()
    while not (tmp_path / "heard").exists():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_nobody_to_start(tmp_path: Path) -> None:
    """A command that is not there is the machine's fault, and costs no descriptor."""
    before = os.listdir("/proc/self/fd")
    with pytest.raises(MachineError, match=r"^/no/such/command cannot be started: No such file or directory"):
        Companion(("/no/such/command",), directory=tmp_path, environment=os.environ, said=tmp_path / "said")
    assert os.listdir("/proc/self/fd") == before


def test_descriptors_are_given_back(start: Callable[[str], Companion]) -> None:
    """Nothing stays open of one that has ended."""
    before = len(os.listdir("/proc/self/fd"))
    start("exit 0").stop()
    start(WAITS).kill()
    assert len(os.listdir("/proc/self/fd")) == before


def test_where_ends_cannot_be_peeked(start: Callable[[str], Companion], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waitid, and where the kernel reaps for us, it ends all the same."""
    monkeypatch.delattr(os, "waitid")
    companion = start(WAITS + "exit 7")
    assert companion.alive
    assert companion.stop() == 7
    monkeypatch.undo()
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        companion = start(WAITS)
        assert companion.alive
        companion.stop()
        assert not lives(companion.pid)
    finally:
        signal.signal(signal.SIGCHLD, before)
