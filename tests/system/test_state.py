"""State on disk: places, files, the lock, the past that is forgotten."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pytest_orxaq.errors import BusyError, MachineError
from pytest_orxaq.system.state import (
    State,
    make_self_ignoring,
    open_state,
    prune,
    read_json,
    work_tree_lock,
    write_atomically,
)


BOUND = 60.0  # seconds after which something hangs


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    """Another umask for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return path.stat().st_mode & 0o777


# ---------------------------------------------------------------- places


def opened(top: Path, **environ: str) -> State:
    """The state of a repository in ``top`` that has a linked work tree."""
    own, common = top / "git" / "worktrees" / "x" / "orxaq", top / "git" / "orxaq"
    return open_state(own, common, environ, repository_id="id")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o277])
def test_state_is_in_gits_folder(tmp_path: Path, mask: int) -> None:
    """State lies in git's folders, made for us alone, whatever the umask."""
    with umask(mask):
        state = opened(tmp_path)
    assert state == State(own=tmp_path / "git" / "worktrees" / "x" / "orxaq", common=tmp_path / "git" / "orxaq")
    for folder in (state.own, state.common, state.runs, state.events, state.passes, state.quarantine):
        assert mode(folder) == 0o700
    assert state.lock.parent == state.runs.parent == state.own
    assert state.passes.parent == state.quarantine.parent == state.common
    assert opened(tmp_path) == state


def test_a_place_that_was_asked_for(tmp_path: Path) -> None:
    """ORXAQ_STATE_DIR overrides; repositories and work trees stay apart in it."""
    asked = tmp_path / "asked"
    state = opened(tmp_path, ORXAQ_STATE_DIR=str(asked))
    assert state.common == asked / "id"
    assert state.own.parent == asked / "id" / "work-trees"
    assert (state.lasting, state.notes) == (True, ())
    main = open_state(Path("/git"), Path("/git"), {"ORXAQ_STATE_DIR": str(asked)}, repository_id="id")
    assert main.own == main.common == asked / "id"
    assert not (tmp_path / "git").exists()


def test_git_cannot_be_written_to(tmp_path: Path) -> None:
    """Where git's folder takes nothing, state goes to the user's state folder, and a note says so."""
    (tmp_path / "git").write_text("")
    state = opened(tmp_path, XDG_STATE_HOME=str(tmp_path / "xdg"), HOME="/nowhere")
    assert state.common == tmp_path / "xdg" / "orxaq" / "id"
    assert state.lasting
    assert "nothing better can be written to" in state.notes[0]
    assert "Not a directory" in state.notes[0]


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    """A file of the name of our folder is left alone, and state goes elsewhere."""
    (tmp_path / "git").mkdir()
    (tmp_path / "git" / "orxaq").write_text("mine")
    state = opened(tmp_path, HOME=str(tmp_path))
    assert state.common.is_relative_to(tmp_path / ".local")
    assert "File exists" in state.notes[0]
    assert (tmp_path / "git" / "orxaq").read_text() == "mine"


def test_home_of_state(tmp_path: Path) -> None:
    """Without XDG_STATE_HOME, or with one that the specification forbids, it is ~/.local/state."""
    (tmp_path / "git").write_text("")
    state = opened(tmp_path, XDG_STATE_HOME="relative", HOME=str(tmp_path))
    assert state.common == tmp_path / ".local" / "state" / "orxaq" / "id"


def test_nothing_can_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no place at all the work goes on in a temporary folder, and the note says that nothing is remembered."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for environ in ({"HOME": "/dev/null"}, {"ORXAQ_STATE_DIR": "/dev/null/x"}, {}):
        (tmp_path / "git").write_text("")
        state = opened(tmp_path, **environ)
        assert not state.lasting
        assert state.own.parent == temporary
        assert mode(state.own) == 0o700
        assert state.passes.is_dir()
        assert "nothing is remembered" in state.notes[0]


def test_no_place_is_named(tmp_path: Path) -> None:
    """Outside of any repository, without a home, it is said what is missing."""
    state = open_state(tmp_path, tmp_path, {}, repository_id="id", within_git=False)
    assert state.notes[0].endswith("can be written to (neither XDG_STATE_HOME nor HOME names a folder)")


def test_not_even_a_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that takes nothing at all is told with every place that was tried."""
    (tmp_path / "git").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(MachineError, match=r"there is no place for state: .*Not a directory.*No such file"):
        opened(tmp_path)


def test_a_folder_that_ignores_itself(tmp_path: Path) -> None:
    """A folder of ours in a work tree is not seen by git, and a user's own ignore file in it stays."""
    subprocess.run(("git", "init", "--quiet", str(tmp_path)), check=True, timeout=BOUND)
    folder = tmp_path / "a" / ".orxaq"
    make_self_ignoring(folder)
    (folder / "report.html").write_text("")
    status = subprocess.run(("git", "status", "--porcelain"), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert status.stdout == b""
    (folder / ".gitignore").write_text("mine")
    make_self_ignoring(folder)
    assert (folder / ".gitignore").read_text() == "mine"


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("durable", [False, True])
def test_writing_replaces_whole(tmp_path: Path, durable: bool) -> None:
    """A file is replaced as a whole, for us alone, and nothing is left beside it."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with umask(0o777):
        write_atomically(path, b"new", durable=durable)
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_writing_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A write that fails is raised, keeps the old content and leaves no litter."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "folder", b"x")
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_is_whole_is_read(tmp_path: Path) -> None:
    """A state file is read as it was written; a missing one is no mistake."""
    notes: list[str] = []
    path = tmp_path / "file"
    assert read_json(path, note=notes.append) is None
    path.write_text('{"schema": 2, "x": [1]}')
    assert read_json(path, note=notes.append) == {"schema": 2, "x": [1]}
    assert read_json(path, schema=2, note=notes.append) == {"schema": 2, "x": [1]}
    assert notes == []


UNBELIEVABLE: dict[str, tuple[bytes, str]] = {
    "cut": (b'{"schema": 1, "x": [', "is damaged (Expecting value"),
    "empty": (b"", "is damaged"),
    "not text": (b"\xff\xfe\x00", "is damaged"),
    "deep": (b"[" * 100_000, "is damaged"),
    "foreign": (b'{"name": "x"}', "is not of a form that is known here"),
    "a list": (b"[]", "is not of a form that is known here"),
    "truth": (b'{"schema": true}', "is not of a form that is known here"),
    "older": (b'{"schema": 0}', "is not of a form that is known here"),
    "newer": (b'{"schema": 2}', "is of a newer pytest-orxaq"),
}


@pytest.mark.parametrize(("data", "what"), UNBELIEVABLE.values(), ids=UNBELIEVABLE)
def test_what_cannot_be_believed_is_set_aside(tmp_path: Path, data: bytes, what: str) -> None:
    """A file that is damaged, foreign or of the future is kept under another name, and a note says so; each time."""
    path = tmp_path / "file"
    for number in (1, 2):
        notes: list[str] = []
        path.write_bytes(data)
        assert read_json(path, schema=1, note=notes.append) is None
        assert len(notes) == 1
        assert what in notes[0]
        assert f"set aside as file.damaged-{number}" in notes[0]
        assert (tmp_path / f"file.damaged-{number}").read_bytes() == data
    assert not path.exists()


def test_notes_are_optional(tmp_path: Path) -> None:
    """Who does not care for notes gets none."""
    (tmp_path / "file").write_text("{")
    assert read_json(tmp_path / "file") is None


def test_what_is_no_file_is_set_aside(tmp_path: Path) -> None:
    """A pipe, a folder, or a file of absurd size in a state file's place is not waited for and not read."""
    path = tmp_path / "file"

    def huge() -> None:
        path.write_bytes(b"")
        os.truncate(path, 65 << 20)

    makers: tuple[Callable[[], None], ...] = (lambda: os.mkfifo(path), path.mkdir, huge)
    for number, make in enumerate(makers, 1):
        make()
        assert read_json(path) is None
        assert (tmp_path / f"file.damaged-{number}").exists()


def test_many_damaged_files(tmp_path: Path) -> None:
    """Setting aside has an end: then the file stays, unused."""
    for number in range(1, 100):
        (tmp_path / f"file.damaged-{number}").write_text("")
    (tmp_path / "file").write_text("{")
    notes: list[str] = []
    assert read_json(tmp_path / "file", note=notes.append) is None
    assert "stays because there are many such files" in notes[0]
    assert (tmp_path / "file").exists()


def test_a_file_that_cannot_be_reached(tmp_path: Path) -> None:
    """A file that cannot be opened is told of and left where it is."""
    path = tmp_path / "file"
    path.symlink_to("file")
    notes: list[str] = []
    assert read_json(path, note=notes.append) is None
    assert notes == [f"{path} cannot be read: Too many levels of symbolic links"]


def test_a_file_that_cannot_be_set_aside() -> None:
    """Where nothing can be renamed a damaged file stays, unused, and a note says so."""
    notes: list[str] = []
    assert read_json(Path("/proc/self/status"), note=notes.append) is None
    assert "cannot be set aside" in notes[0]


# ---------------------------------------------------------------- lock


def unheard(_holder: Mapping[str, object]) -> None:
    """Nobody is to be waited for."""
    pytest.fail("waited")


HOLDER = (
    "import sys\nfrom pathlib import Path\nfrom pytest_orxaq.system.state import work_tree_lock\n"
    "with work_tree_lock(Path(sys.argv[1]), holder={'pid': 1, 'run': 'r', 'since': 'noon'}, timeout=60, "
    "on_wait=lambda _: None):\n    print('held', flush=True)\n    sys.stdin.readline()\n"
)


@contextlib.contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it reads a line."""
    command = (sys.executable, "-c", HOLDER, str(path))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_free_lock(tmp_path: Path) -> None:
    """A free lock is taken at once; its holder says who it is; afterwards it is free again."""
    path = tmp_path / "lock"
    for _ in range(2):
        with work_tree_lock(path, holder={"pid": 7}, timeout=0, on_wait=unheard) as waited:
            assert waited < BOUND
            assert json.loads((tmp_path / "lock.json").read_text()) == {"pid": 7}
            assert mode(path) == 0o600
        assert not (tmp_path / "lock.json").exists()


def test_a_lock_is_free_after_an_error(tmp_path: Path) -> None:
    """Whatever is raised while the lock is held releases it."""
    path = tmp_path / "lock"
    with pytest.raises(KeyboardInterrupt), work_tree_lock(path, holder={}, timeout=0, on_wait=unheard):
        raise KeyboardInterrupt
    with work_tree_lock(path, holder={}, timeout=0, on_wait=unheard):
        pass


def test_who_holds_the_lock_is_told(tmp_path: Path) -> None:
    """Who does not wait, or waits in vain, learns who holds the lock."""
    path = tmp_path / "lock"
    told: list[Mapping[str, object]] = []
    with held_elsewhere(path):
        for timeout in (0.0, 0.3):
            with (
                pytest.raises(BusyError, match="another gate holds this work tree: pid 1, run r, since noon") as caught,
                work_tree_lock(path, holder={}, timeout=timeout, on_wait=told.append),
            ):
                pytest.fail("held twice")
            assert "--lock-timeout" in caught.value.advice
    assert told == [{"pid": 1, "run": "r", "since": "noon"}]


def test_a_holder_that_says_nothing(tmp_path: Path) -> None:
    """A holder whose words are missing or damaged is waited for all the same."""
    path = tmp_path / "lock"
    for words in (None, "{", "[]"):
        with held_elsewhere(path):
            (tmp_path / "lock.json").unlink()
            if words is not None:
                (tmp_path / "lock.json").write_text(words)
            with (
                pytest.raises(BusyError, match="it does not say who it is"),
                work_tree_lock(path, holder={}, timeout=0, on_wait=unheard),
            ):
                pytest.fail("held twice")


def finish(process: subprocess.Popen[str]) -> None:
    """Let the holder end as it should."""
    process.communicate("\n", timeout=BOUND)


@pytest.mark.parametrize("end", [finish, lambda process: process.send_signal(signal.SIGKILL)], ids=["done", "killed"])
def test_the_lock_of_one_that_ended(tmp_path: Path, end: Callable[[subprocess.Popen[str]], None]) -> None:
    """The lock passes on when its holder is done, and when it is killed."""
    path = tmp_path / "lock"
    with held_elsewhere(path) as process:
        told: list[Mapping[str, object]] = []

        def waiting(holder: Mapping[str, object]) -> None:
            told.append(holder)
            end(process)

        with work_tree_lock(path, holder={}, timeout=BOUND, on_wait=waiting) as waited:
            assert 0 < waited < BOUND
        assert told[0]["run"] == "r"


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A process that was started under the lock and outlives its killed holder keeps nothing locked."""
    path = tmp_path / "lock"
    child = "import subprocess\n    subprocess.Popen((sys.executable, '-c', 'input()'), close_fds=False)"
    code = HOLDER.replace("print('held', flush=True)", f"{child}\n    print('held', flush=True)")
    command = (sys.executable, "-c", code, str(path))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()
        assert process.wait(BOUND) == -signal.SIGKILL
        # The child still waits for the end of the input that we hold open.
        with work_tree_lock(path, holder={}, timeout=BOUND, on_wait=lambda _: None):
            assert process.stdin is not None
            assert not process.stdin.closed


def test_a_lock_file_that_was_deleted(tmp_path: Path) -> None:
    """A lock whose file is gone is not believed by those who come later: they take a new one."""
    path = tmp_path / "lock"
    with held_elsewhere(path):
        path.unlink()
        with work_tree_lock(path, holder={}, timeout=0, on_wait=unheard):
            assert path.exists()


def test_where_nothing_can_be_locked(tmp_path: Path) -> None:
    """A lock file that cannot even be opened is the machine's fault, never a free lock."""
    with (
        pytest.raises(MachineError, match="cannot be locked: No such file"),
        work_tree_lock(tmp_path / "missing" / "lock", holder={}, timeout=0, on_wait=unheard),
    ):
        pytest.fail("held")


def test_two_gates_never_hold_the_lock_at_once(tmp_path: Path) -> None:
    """Processes that all want the lock have it one after the other."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom pytest_orxaq.system.state import work_tree_lock\n"
        "mark = Path(sys.argv[1] + '.mark')\n"
        "for _ in range(5):\n"
        "    with work_tree_lock(Path(sys.argv[1]), holder={}, timeout=60, on_wait=lambda _: None):\n"
        "        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))\n        mark.unlink()\n"
    )
    command = (sys.executable, "-c", code, str(tmp_path / "lock"))
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(BOUND) for process in processes] == [0, 0, 0]


# ---------------------------------------------------------------- the past


def test_the_oldest_are_forgotten(tmp_path: Path) -> None:
    """The youngest entries stay, whatever they are; what the oldest held is gone, however it is protected."""
    for number in range(6):
        folder = tmp_path / f"run{number}"
        (folder / "locked" / "deep").mkdir(parents=True)
        (folder / "locked" / "deep" / "file").write_text("")
        (folder / "locked").chmod(0o000)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("")
    runs = tmp_path / "runs"
    runs.mkdir()
    for number in range(6):
        (tmp_path / f"run{number}").rename(runs / f"run{number}")
    (runs / "file").write_text("")
    (runs / "link").symlink_to(tmp_path / "outside")
    (runs / ".deleted-half").mkdir()
    age = time.time() - 10_000
    for name in ("run5", "link", "file", "run0", "run1", "run2", "run3", "run4"):
        os.utime(runs / name, (age, age), follow_symlinks=False)
        age += 10
    assert prune(runs, 3) == 5
    assert sorted(path.name for path in runs.iterdir()) == ["run2", "run3", "run4"]
    assert (tmp_path / "outside" / "kept").exists()
    assert prune(runs, 3) == 0


def test_nothing_to_forget(tmp_path: Path) -> None:
    """A folder that is not there, or that nothing can be moved in, raises nothing."""
    assert prune(tmp_path / "missing", 1) == 0
    assert prune(Path("/proc/self/attr"), 10_000) == 0
