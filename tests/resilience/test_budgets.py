"""A budget of retries, shared by processes."""

import sqlite3
import stat
import subprocess
import sys
import threading

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq import Retry, subscribe
from pytest_orxaq.resilience import Event, Kind
from pytest_orxaq.resilience.budget import FILE, Budget
from pytest_orxaq.testing import instant


SPENDER = Path(__file__).with_name("budget_spender.py")
BOUND = 60.0


def spent(budget: Budget, tries: int = 100) -> int:
    """How many retries can be had at once."""
    return sum(budget.take() for _ in range(tries))


@pytest.mark.parametrize("processes", [1, 6])
def test_processes_share_a_budget(processes: int, tmp_path: Path) -> None:
    """However many spend at the same time, together they get what is in the bucket and what their calls earned (P8)."""
    command = [sys.executable, str(SPENDER), str(tmp_path), "4", "40"]
    spenders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for spender in spenders:
        assert spender.stdout is not None
        assert spender.stdout.readline() == "ready\n"
    for spender in spenders:
        assert spender.stdin is not None
        spender.stdin.write("go\n")
        spender.stdin.flush()
    had = [int(spender.communicate(timeout=BOUND)[0]) for spender in spenders]
    # What a call earns while the bucket is full is lost.
    assert 20 <= sum(had) <= 20 + processes * 4 * 0.5
    assert spent(Budget("ci", ratio=0, trickle=0, capacity=20, folder=tmp_path)) == 0


def test_budgets_have_names(tmp_path: Path) -> None:
    """Two names are two buckets in one file; the same name is the same bucket."""
    with instant():
        one, two = (Budget(name, capacity=3, folder=tmp_path) for name in ("one", "two"))
        assert (spent(one), spent(two), spent(Budget("one", capacity=3, folder=tmp_path))) == (3, 3, 0)


def test_a_budget_is_earned(tmp_path: Path) -> None:
    """Calls and time fill it again."""
    with instant() as clock:
        budget = Budget("x", ratio=0.5, trickle=0.1, capacity=5, folder=tmp_path)
        assert spent(budget) == 5
        for _ in range(4):
            budget.earn()
        assert spent(budget) == 2
        clock.advance(30)
        assert spent(budget) == 3
        clock.advance(1e9)
        assert spent(budget) == 5
        clock.advance(-2e9)
        assert spent(budget) == 0
        clock.advance(20)
        assert spent(budget) == 2


def test_a_spent_budget_ends_retries(tmp_path: Path) -> None:
    """The exception says why there was no other attempt."""
    budget = Budget("x", ratio=0, trickle=0, capacity=3, folder=tmp_path)
    calls = []

    @Retry(attempts=10, budget=budget)
    def fetch() -> None:
        calls.append(1)
        raise ConnectionResetError

    with instant():
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                fetch()
        with pytest.raises(ConnectionResetError) as caught:
            fetch()
    assert len(calls) == 3 + 3
    assert "the retry budget is spent" in caught.value.__notes__[0]


def test_calls_fill_a_budget(tmp_path: Path) -> None:
    """Each call earns once, however many attempts it takes."""
    budget = Budget("x", ratio=1, trickle=0, capacity=2, folder=tmp_path)
    left = [True, True, False]

    def fetch() -> None:
        if left and left.pop(0):
            raise ConnectionResetError

    with instant():
        again = Retry(attempts=3, budget=budget)
        again(fetch)()
        assert spent(budget) == 0
        again(fetch)()
        assert spent(budget) == 1


def test_threads_share_a_budget(tmp_path: Path) -> None:
    """Threads of one process get no more than there is."""
    budget = Budget("x", ratio=0, trickle=0, capacity=10, folder=tmp_path)
    had: list[int] = []
    threads = [threading.Thread(target=lambda: had.append(spent(budget, 10))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert sum(had) == 10


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": ""},
        {"name": 5},
        {"name": "\udcff"},
        {"ratio": -1},
        {"ratio": float("inf")},
        {"trickle": float("nan")},
        {"trickle": "1"},
        {"capacity": 0.5},
        {"capacity": None},
    ],
)
def test_nonsense_is_refused(arguments: dict[str, Any]) -> None:
    """A budget without a name, or one that could never be used, is a mistake."""
    with pytest.raises(ValueError, match="a budget has"):
        Budget(**{"name": "x"} | arguments)


# ---------------------------------------------------------------- a store that fails


def no_folder(tmp_path: Path) -> Path:
    """A folder that is not there."""
    return tmp_path / "nowhere"


def locked(tmp_path: Path) -> Path:
    """A store that another process never lets go."""
    holder = sqlite3.connect(tmp_path / FILE, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    HOLDERS.append(holder)
    return tmp_path


def of_another_form(tmp_path: Path) -> Path:
    """A store whose table has other columns."""
    with closing(sqlite3.connect(tmp_path / FILE)) as store:
        store.execute("CREATE TABLE bucket (something TEXT)")
    return tmp_path


HOLDERS: list[sqlite3.Connection] = []


@pytest.mark.parametrize("broken", [no_folder, locked, of_another_form])
def test_a_store_that_fails_leaves_each_process_its_own(
    broken: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retries go on within a budget of this process alone, and listeners are told once."""
    monkeypatch.setattr("pytest_orxaq.resilience.budget._PATIENCE", 0.05)
    heard: list[Event] = []
    end = subscribe(heard.append)
    budget = Budget("x", ratio=0, trickle=0, capacity=2, folder=broken(tmp_path))
    try:
        with instant():
            assert spent(budget) == 2
    finally:
        end()
        while HOLDERS:
            HOLDERS.pop().close()
    assert [event.kind for event in heard] == [Kind.STORE_LOST]
    assert FILE in heard[0].why


@pytest.mark.parametrize(
    "content", [b"this is no database, and long enough to be looked at" * 100, b"SQLite format 3\0"]
)
def test_a_damaged_store_is_set_aside(content: bytes, tmp_path: Path) -> None:
    """It is kept under another name, and a new one takes its place."""
    (tmp_path / FILE).write_bytes(content)
    budget = Budget("x", ratio=0, trickle=0, capacity=2, folder=tmp_path)
    with instant():
        assert spent(budget) == 2
        assert spent(Budget("x", ratio=0, trickle=0, capacity=2, folder=tmp_path)) == 0
    if (tmp_path / f"{FILE}.damaged").exists():
        assert (tmp_path / f"{FILE}.damaged").read_bytes() == content


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    """A full disk leaves such files."""
    (tmp_path / FILE).touch()
    with instant():
        assert spent(Budget("x", ratio=0, trickle=0, capacity=2, folder=tmp_path)) == 2


# ---------------------------------------------------------------- where it is


def fails() -> None:
    """It does."""
    raise ConnectionResetError


def test_the_store_is_the_repositorys(project: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the folder that all work trees of a repository share, also from a subfolder, for nobody else to read."""
    here = project({"sub/a.txt": "a"})
    here.git("worktree", "add", "-q", "../other", "-b", "other")
    common = here.top / ".git" / "orxaq"
    for place in (here.top / "sub", here.top.parent / "other"):
        monkeypatch.chdir(place)
        with pytest.raises(ConnectionResetError):
            Retry(attempts=2, base=0, budget="ci")(fails)()
        assert (common / FILE).is_file()
        assert stat.S_IMODE(common.stat().st_mode) == 0o700
        (common / FILE).unlink()


def test_outside_of_a_repository_the_user_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that this user runs outside of any repository shares a budget."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert [spent(Budget("ci", ratio=0, trickle=0, capacity=2)) for _ in range(2)] == [2, 0]
    assert list((tmp_path / "state").rglob(FILE))


def test_tests_that_stop_the_clock_share_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others have spent decides nothing there, and the common bucket is neither emptied nor filled by their time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    budget = Budget("ci", ratio=0, trickle=1e-4, capacity=2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    with instant():
        assert spent(budget) == 2
    assert not Budget("ci", ratio=0, trickle=1e-4, capacity=2).take()


@pytest.mark.parametrize("temporary", ["", "nowhere"], ids=["a temporary place", "no place"])
def test_without_a_lasting_place_nothing_is_shared(
    temporary: str, project: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where state can be kept nowhere, or in a temporary folder only, each process has its own budget, and says why."""
    here = project()
    (here.top / ".git" / "orxaq").write_text("in the way")
    (tmp_path / "file").touch()
    monkeypatch.chdir(here.top)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / temporary))
    heard: list[Event] = []
    end = subscribe(heard.append)
    try:
        assert spent(Budget("ci", ratio=0, trickle=0, capacity=2)) == 2
    finally:
        end()
    assert "in the way" not in heard[0].why
    assert "orxaq" in heard[0].why
    assert not list(tmp_path.glob("orxaq-*"))


def test_a_budget_of_somebody_that_fails_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The call is made, its exception comes out without a retry, and what went wrong is logged."""

    class Broken:
        def earn(self) -> None:
            raise RuntimeError("earn")

        def take(self) -> bool:
            raise RuntimeError("take")

    def lose() -> None:
        raise ConnectionResetError("the real one")

    with pytest.raises(ConnectionResetError, match="the real one") as caught:
        Retry(budget=Broken())(lose)()
    assert "the retry budget is spent" in caught.value.__notes__[0]
    assert [record.exc_text is not None and record.exc_text[-4:] for record in caplog.records] == ["earn", "take"]
