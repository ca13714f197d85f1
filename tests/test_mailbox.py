"""Both ends of the attempt's folder, and what hostile tests may put there."""

import json
import os
import resource
import socket

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from pytest_orxaq import mailbox as room
from pytest_orxaq.core import testimony
from pytest_orxaq.errors import MachineError, UsageError
from pytest_orxaq.mailbox import Mailbox, create, junit_before, offer, read_junit, read_sessions, read_witness_junit
from pytest_orxaq.model import JUnitFile, JUnitState


NAME = "tests-7-0123abcd.jsonl"
ZERO = dict.fromkeys(("passed", "failed", "errors", "skipped", "xfailed", "xpassed"), 0)
WHOLE = [
    ["session", {"nonce": "nonce", "pid": 7, "opened_at": 1.0}],
    ["collected", 1],
    ["+", "a"],
    ["-", "a", "passed", 0.1],
    [
        "finish",
        {"exit_status": 0, "counts": {**ZERO, "passed": 1}, "closed_at": 2.0, "lines": 5, "missing_number": 0},
    ],
]


def journal(records: list[list[object]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


WHOLE_BYTES = journal(WHOLE)  # type: ignore[arg-type]


@pytest.fixture
def box(tmp_path: Path) -> Mailbox:
    """An empty mailbox."""
    return create(tmp_path / "runs", "attempt-1", "nonce")


# ------------------------------------------------------------------ before


def test_the_folder_is_its_owners_only(tmp_path: Path) -> None:
    """A new mailbox is a private folder, and its parents are made."""
    box = create(tmp_path / "deep" / "runs", "attempt-1", "nonce")
    assert box.folder == tmp_path / "deep" / "runs" / "attempt-1"
    assert box.folder.stat().st_mode & 0o777 == 0o700
    assert box.folder.parent.stat().st_mode & 0o777 == 0o700


def test_a_mailbox_is_never_shared(box: Mailbox) -> None:
    """A folder that is there already is no new mailbox."""
    with pytest.raises(MachineError, match="cannot make the folder"):
        create(box.folder.parent, box.folder.name, "nonce")


def test_a_path_that_lists_cannot_hold_is_refused(tmp_path: Path) -> None:
    """A colon in the path would cut it in two for every reader of the list, and is said in time."""
    with pytest.raises(UsageError, match="ORXAQ_STATE_DIR"):
        create(tmp_path / "a:b", "attempt-1", "nonce")


def test_an_offer_changes_only_what_it_must(box: Mailbox) -> None:
    """The mailbox, the secret and the witness are added; the rest of the environment is as it was."""
    environment = {"A": "1", "ORXAQ_WITNESS": "123", "PYTEST_ADDOPTS": "-q"}
    offered = offer(box, environment, carried=Path("/carried"))
    assert offered == {
        "A": "1",
        "PYTEST_ADDOPTS": "-q",
        "ORXAQ_ATTEMPT": str(box.folder),
        "ORXAQ_NONCE": "nonce",
        "PYTHONPATH": "/carried",
    }
    assert environment["ORXAQ_WITNESS"] == "123"


def test_an_offer_inside_an_offer_is_the_last(box: Mailbox) -> None:
    """A gate in a gate keeps the outer mark and the user's path, and stands before the one and after the other."""
    environment = {"ORXAQ_ATTEMPT": "/outer", "PYTHONPATH": "src:", "ORXAQ_NONCE": "outer"}
    offered = offer(box, environment, carried=Path("/carried"))
    assert offered["ORXAQ_ATTEMPT"] == f"/outer:{box.folder}"
    assert offered["PYTHONPATH"] == "/carried:src:"
    assert offered["ORXAQ_NONCE"] == "nonce"


def test_the_witness_is_named_only_where_it_must_be(box: Mailbox) -> None:
    """With autoload off, and only then, pytest is told of the witness by name."""
    assert "PYTEST_ADDOPTS" not in offer(box, {}, carried=Path("/carried"))
    assert offer(box, {}, carried=Path("/carried"), autoload_disabled=True)["PYTEST_ADDOPTS"] == "-p orxaq_witness"
    offered = offer(box, {"PYTEST_ADDOPTS": "-q"}, carried=Path("/carried"), autoload_disabled=True)
    assert offered["PYTEST_ADDOPTS"] == "-q -p orxaq_witness"


def test_a_folder_that_no_path_can_name_is_not_offered(box: Mailbox) -> None:
    """A colon in the carried folder would put strangers on PYTHONPATH."""
    offered = offer(box, {}, carried=Path("/a:b"), autoload_disabled=True)
    assert "PYTHONPATH" not in offered
    assert "PYTEST_ADDOPTS" not in offered


# ------------------------------------------------------------------ after


def test_sessions_come_oldest_first(box: Mailbox) -> None:
    """Journals are read by the time at which they were opened, and JUnit files are not among them."""
    later = [["session", {"nonce": "nonce", "pid": 6, "opened_at": 9.0}], *WHOLE[1:]]
    (box.folder / "tests-6-00000000.jsonl").write_bytes(journal(later))  # type: ignore[arg-type]
    (box.folder / NAME).write_bytes(WHOLE_BYTES)
    (box.folder / "junit-7-0123abcd.xml").write_bytes(b"<testsuites/>")
    sessions, notes = read_sessions(box)
    assert [session.pid for session in sessions] == [7, 6]
    assert all(testimony.clean(session) for session in sessions)
    assert notes == ()


def test_an_empty_or_deleted_mailbox_has_no_sessions(box: Mailbox) -> None:
    """Nothing there is nothing proven, and a folder that is gone is noted."""
    assert read_sessions(box) == ((), ())
    box.folder.rmdir()
    sessions, (note,) = read_sessions(box)
    assert sessions == ()
    assert "cannot be read" in note
    assert read_witness_junit(box, read=reading) == ()


def test_a_file_in_the_folders_place_is_noted(box: Mailbox) -> None:
    """A mailbox that became a file holds nothing."""
    box.folder.rmdir()
    box.folder.write_bytes(WHOLE_BYTES)
    assert read_sessions(box)[0] == ()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    target = path.with_name("elsewhere")
    target.write_bytes(WHOLE_BYTES)
    path.symlink_to(target)


def endless_link(path: Path) -> None:
    path.symlink_to(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def directory(path: Path) -> None:
    path.mkdir()


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def empty(path: Path) -> None:
    path.touch()


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 * 1024**3)


def sparse_after_lines(path: Path) -> None:
    with path.open("wb") as file:
        file.write(WHOLE_BYTES)
        file.truncate(5 * 1024**3)


def other_process(path: Path) -> None:
    path.write_bytes(WHOLE_BYTES.replace(b'"pid": 7', b'"pid": 70'))


def deep(path: Path) -> None:
    path.write_bytes(WHOLE_BYTES[: WHOLE_BYTES.index(b"\n") + 1] + b"[" * 1_000_000 + b"\n")


def binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 100)


@pytest.mark.parametrize(
    "put",
    [
        fifo,
        link,
        endless_link,
        device,
        directory,
        a_socket,
        empty,
        sparse,
        sparse_after_lines,
        other_process,
        deep,
        binary,
    ],
)
def test_whatever_stands_in_a_journals_place_is_damage(box: Mailbox, put: Callable[[Path], None]) -> None:
    """Anything under a journal's name that is no whole journal is a damaged session, read at once and within bounds."""
    put(box.folder / NAME)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sessions, _ = read_sessions(box)
    (session,) = sessions
    assert session.name == NAME
    assert session.damage
    assert session.closed_at is None
    assert not testimony.clean(session)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_an_unreadable_journal_is_damage(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that cannot be opened is not passed over."""

    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied", *arguments[:0])

    (box.folder / NAME).write_bytes(WHOLE_BYTES)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)  # root may read anything
        ((session,), _) = read_sessions(box)
    assert "Permission denied" in session.damage


def test_strangers_are_noted_and_not_read(box: Mailbox) -> None:
    """Files of other names are oddities, told within bounds."""
    (box.folder / NAME).write_bytes(WHOLE_BYTES)
    for number in range(30):
        (box.folder / f"stranger-{number:02}\n").touch()
    (session,), notes = read_sessions(box)
    assert testimony.clean(session)
    assert len(notes) == 21
    assert "'stranger-00\\n'" in notes[0]
    assert notes[-1] == "and 10 more oddities"


def test_too_many_files_are_damage(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left unread might have been a failure."""
    monkeypatch.setattr(room, "_FILES", 3)
    for number in range(9):
        (box.folder / f"tests-{number}-00000000.jsonl").touch()
    sessions, _ = read_sessions(box)
    assert len(sessions) == 5
    assert sum("not all were read" in session.damage for session in sessions) == 1


def test_journals_share_one_bound(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """All journals together are read to a bound; what goes beyond is damage."""
    monkeypatch.setattr(room, "_TOTAL", len(WHOLE_BYTES) + 10)
    (box.folder / "tests-6-00000000.jsonl").write_bytes(WHOLE_BYTES.replace(b'"pid": 7', b'"pid": 6'))
    (box.folder / NAME).write_bytes(WHOLE_BYTES)
    first, second = sorted(read_sessions(box)[0], key=lambda session: session.name)
    assert testimony.clean(first)
    assert "larger" in second.damage


# ------------------------------------------------------------------ JUnit


def reading(chunks: Iterable[bytes], *, path: str) -> JUnitFile:
    """A reader that shows what it was given."""
    return JUnitFile(path=path, state=JUnitState.OK, why=b"".join(chunks).decode())


def test_configured_files_are_found_and_read_once(box: Mailbox, tmp_path: Path) -> None:
    """Globs are relative to the top; a file that two of them match is read once; a link to one is followed."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.xml").write_bytes(b"<a/>")
    (tmp_path / "out" / "b.xml").symlink_to("a.xml")
    found = read_junit(box, ["out/*.xml", "**/a.xml"], tmp_path, since_wall=0.0, before={}, read=reading)
    assert [(file.path, file.state, file.why) for file in found] == [
        ("out/a.xml", JUnitState.OK, "<a/>"),
        ("out/b.xml", JUnitState.OK, "<a/>"),
    ]


def test_the_witness_files_are_no_configured_ones(box: Mailbox) -> None:
    """A glob that reaches into the mailbox does not take the witness for a second producer."""
    (box.folder / "junit-7-0123abcd.xml").write_bytes(b"<ours/>")
    (file,) = read_junit(box, ["**/*.xml"], box.folder.parent, since_wall=0.0, before={}, read=reading)
    assert file.state is JUnitState.MISSING
    (ours,) = read_witness_junit(box, read=reading)
    assert (ours.path, ours.why) == ("junit-7-0123abcd.xml", "<ours/>")


@pytest.mark.parametrize("pattern", ["none/*.xml", "/absolute/*.xml", "", "**x/\0"])
def test_a_glob_without_a_file_is_missing(box: Mailbox, tmp_path: Path, pattern: str) -> None:
    """What was configured and is not there is told, also where the pattern makes no sense."""
    (file,) = read_junit(box, [pattern], tmp_path, since_wall=0.0, before={}, read=reading)
    assert (file.path, file.state) == (pattern, JUnitState.MISSING)


def test_files_older_than_the_attempt_are_stale(box: Mailbox, tmp_path: Path) -> None:
    """A file from before the attempt is not read; one of the same second on a coarse file system is."""
    path = tmp_path / "a.xml"
    path.write_bytes(b"<a/>")
    for mtime, state in ((99.5, "stale"), (100.49, "stale"), (100.5, "ok"), (100, "ok"), (99, "stale")):
        os.utime(path, ns=(0, int(mtime * 1e9)))
        (file,) = read_junit(box, ["a.xml"], tmp_path, since_wall=100.515, before={}, read=reading)
        assert (mtime, file.state) == (mtime, JUnitState(state))


def test_files_that_stayed_as_they_were_are_stale(box: Mailbox, tmp_path: Path) -> None:
    """A file from before the attempt is not read, whatever the clocks say; written anew, it is."""
    (tmp_path / "a.xml").write_bytes(b"<a/>")
    (tmp_path / "b.xml").write_bytes(b"<b/>")
    (tmp_path / "gone.xml").symlink_to("nowhere")
    before = junit_before(["*.xml"], tmp_path)
    assert set(before) == {tmp_path / "a.xml", tmp_path / "b.xml"}
    (tmp_path / "b.xml").write_bytes(b"<new/>")
    a, b, gone = read_junit(box, ["*.xml"], tmp_path, since_wall=0.0, before=before, read=reading)
    assert (a.state, b.state, gone.state) == (JUnitState.STALE, JUnitState.OK, JUnitState.REFUSED)


def test_what_is_no_file_is_refused(box: Mailbox, tmp_path: Path) -> None:
    """A pipe, a folder or a dangling link under a report's name is refused, and not waited for."""
    os.mkfifo(tmp_path / "a.xml")
    (tmp_path / "b.xml").mkdir()
    (tmp_path / "c.xml").symlink_to("nowhere")
    (box.folder / "junit-7-0123abcd.xml").symlink_to("/etc/passwd")
    found = read_junit(box, ["*.xml"], tmp_path, since_wall=0.0, before={}, read=reading)
    assert [file.state for file in found] == [JUnitState.REFUSED] * 3
    assert [file.state for file in read_witness_junit(box, read=reading)] == [JUnitState.REFUSED]


def test_too_many_matches_are_refused(box: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A glob that matches the world is a mistake, and is said."""
    monkeypatch.setattr(room, "_JUNIT_FILES", 2)
    for number in range(4):
        (tmp_path / f"{number}.xml").touch()
    (file,) = read_junit(box, ["*.xml"], tmp_path, since_wall=0.0, before={}, read=reading)
    assert file.state is JUnitState.REFUSED
