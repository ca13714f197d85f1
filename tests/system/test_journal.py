"""The journal: every acknowledged event is on disk, whatever happens to the process or the disk."""

import json
import os
import resource
import select
import signal
import subprocess
import sys

from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq.system.journal import (
    LONGEST_LINE,
    LONGEST_STRING,
    SCHEMA_URL,
    Journal,
    Severity,
    Trace,
    Value,
    make_trace,
    read_traceparent,
)


BOUND = 60.0  # seconds after which something hangs
TRACE = Trace(trace_id="1" * 32, span_id="2" * 16)


def journal(folder: Path, **options: Any) -> Journal:
    """A journal of run ``r``."""
    return Journal(folder, run="r", trace=TRACE, resource={"service.name": "orxaq"}, **options)


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, each of which must be whole."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def files(folder: Path) -> list[Path]:
    """The files of a journal in the order in which they were begun."""
    return sorted(folder.iterdir(), key=lambda path: int(path.name.split(".")[1]))


def script(code: str, folder: Path) -> subprocess.Popen[str]:
    """Python code that has a journal in ``folder``."""
    start = (
        "import os, sys\nfrom pathlib import Path\nfrom pytest_orxaq.system.journal import Journal, Trace\n"
        "trace = Trace(trace_id='1' * 32, span_id='2' * 16)\n"
        "journal = Journal(Path(sys.argv[1]), run='r', trace=trace, resource={})\n"
    )
    return subprocess.Popen((sys.executable, "-c", start + code, str(folder)), stdout=subprocess.PIPE, text=True)


# ---------------------------------------------------------------- form


def test_the_form_of_a_file(tmp_path: Path) -> None:
    """A file begins with what all its events share; events bear OpenTelemetry's names; only we can read it."""
    events = journal(tmp_path)
    events.emit("orxaq.checkpoint.start")
    events.emit(
        "orxaq.retry", 'again "2"\n', severity=Severity.WARN, attributes={"orxaq.checkpoint.attempt": 2}, span="3" * 16
    )
    events.close()
    (path,) = files(tmp_path)
    assert path.name.endswith(f"-r-{os.getpid()}.0.jsonl")
    assert path.stat().st_mode & 0o777 == 0o600
    header, first, second = lines(path)
    assert header["v"] == 1
    assert header["resource"] == {"service.name": "orxaq", "process.pid": os.getpid()}
    assert header["scope"]["name"] == "orxaq"
    assert header["schemaUrl"] == SCHEMA_URL
    assert first.pop("timeUnixNano") <= second.pop("timeUnixNano")
    assert first == {
        "severityNumber": 9,
        "severityText": "INFO",
        "eventName": "orxaq.checkpoint.start",
        "traceId": "1" * 32,
        "spanId": "2" * 16,
        "body": "",
        "seq": 1,
        "v": 1,
        "attributes": {},
    }
    assert (second["severityNumber"], second["severityText"]) == (13, "WARN")
    assert (second["body"], second["spanId"], second["seq"]) == ('again "2"\n', "3" * 16, 2)
    assert second["attributes"] == {"orxaq.checkpoint.attempt": 2}


class _Word(StrEnum):
    PASSED = "passed"


def test_values(tmp_path: Path) -> None:
    """Every kind of value is written as JSON that everybody can read, also what JSON cannot say."""
    values: dict[str, Value] = {
        "text": "ä\u2028\udcff\0",
        "word": _Word.PASSED,
        "whole": 2**70,
        "severity": Severity.WARN,
        "float": 0.5,
        "nan": float("nan"),
        "endless": float("-inf"),
        "yes": True,
        "none": None,
        "list": ("a", 1, None),
    }
    events = journal(tmp_path)
    events.emit("x", attributes=values)
    events.close()
    found = lines(files(tmp_path)[0])[1]["attributes"]
    expected = {"word": "passed", "severity": 13, "nan": "nan", "endless": "-inf", "list": ["a", 1, None]}
    assert found == {**values, **expected}


def test_nothing_is_endless(tmp_path: Path) -> None:
    """Long text is cut and long lines leave attributes out; both can be seen."""
    events = journal(tmp_path)
    events.emit("n" * 10**6, "\0" * 10**6, attributes={"a": 1, "huge": ["\0" * 5000] * 10, "b": 2})
    events.emit("x", "y" * LONGEST_STRING)
    events.close()
    raw = files(tmp_path)[0].read_bytes().splitlines()
    assert all(len(line) < LONGEST_LINE for line in raw)
    event = json.loads(raw[1])
    assert len(event["eventName"]) == len(event["body"]) == LONGEST_STRING
    assert event["body"].endswith("…")
    assert event["attributes"] == {"a": 1, "orxaq.telemetry.omitted": 2}
    assert json.loads(raw[2])["body"] == "y" * LONGEST_STRING


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    """Files stay within their size, each with a header of its own, and no event is lost between them."""
    events = journal(tmp_path, segment_size=2000)
    for number in range(50):
        events.emit("x", str(number))
    events.close()
    found = files(tmp_path)
    assert len(found) > 5
    assert all(path.stat().st_size <= 2000 for path in found)
    assert all(lines(path)[0]["schemaUrl"] == SCHEMA_URL for path in found)
    assert [event["seq"] for path in found for event in lines(path)[1:]] == list(range(1, 51))


def test_two_journals_of_one_process(tmp_path: Path) -> None:
    """Each has a file of its own."""
    for events in (journal(tmp_path), journal(tmp_path)):
        events.emit("x")
        events.close()
    assert [len(lines(path)) for path in files(tmp_path)] == [2, 2]


def test_no_event_no_file(tmp_path: Path) -> None:
    """A journal that nothing was told leaves nothing."""
    journal(tmp_path).close()
    assert files(tmp_path) == []


# ---------------------------------------------------------------- faults


def test_nowhere_to_write(tmp_path: Path) -> None:
    """A journal that cannot be written counts what is lost and says why, once it gave up for good."""
    events = journal(tmp_path / "missing")
    for _ in range(5):
        events.emit("x")
    assert events.dropped == 5
    assert events.damage.endswith("missing: No such file or directory")
    (tmp_path / "missing").mkdir()
    events.emit("x")
    assert events.dropped == 6


def test_a_fault_that_passes(tmp_path: Path) -> None:
    """After a fault that passed, events are written again, and the gap shows in their numbers."""
    folder = tmp_path / "later"
    events = journal(folder)
    events.emit("lost")
    folder.mkdir()
    events.emit("kept")
    events.close()
    assert events.dropped == 1
    assert [event["seq"] for event in lines(files(folder)[0])[1:]] == [2]


def test_an_event_that_cannot_be_written(tmp_path: Path) -> None:
    """A mistake of ours in an event costs that event, and nothing else."""
    events = journal(tmp_path)
    for _ in range(5):
        events.emit("bad", attributes={"x": object()})  # type: ignore[dict-item]
    events.emit("good")
    events.close()
    assert events.dropped == 5
    assert events.damage == "the event bad cannot be written: TypeError"
    assert [event["eventName"] for event in lines(files(tmp_path)[0])[1:]] == ["good"]


def test_a_full_disk(tmp_path: Path) -> None:
    """A write that stops short ends its file; whole lines stay readable, and nothing is raised."""
    events = journal(tmp_path)
    events.emit("whole")
    size = files(tmp_path)[0].stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        events.emit("torn")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    events.emit("after")
    events.close()
    assert events.dropped == 1
    assert events.damage.endswith("File too large")
    torn, after = files(tmp_path)
    whole, _, rest = torn.read_bytes().rpartition(b"\n")
    assert [json.loads(line).get("eventName") for line in whole.splitlines()] == [None, "whole"]
    assert len(rest) == 10
    assert [event["eventName"] for event in lines(after)[1:]] == ["after"]


def test_a_descriptor_that_somebody_closed(tmp_path: Path) -> None:
    """A descriptor closed behind our back costs an event, not the run."""
    events = journal(tmp_path)
    events.emit("x")
    os.close(events._descriptor)
    events.emit("lost")
    events.emit("y")
    events.close()
    assert events.dropped == 1
    assert lines(files(tmp_path)[1])[1]["eventName"] == "y"


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    """Every event that was acknowledged before SIGKILL is on disk, whole."""
    loop = "n = 0\nwhile True:\n    journal.emit('x', str(n))\n    n += 1\n    os.write(1, b'%d\\n' % n)\n"
    with script(loop, tmp_path) as process:
        assert process.stdout is not None
        said = ""
        while said.count("\n") < 1000:
            ready, _, _ = select.select([process.stdout], [], [], BOUND)
            assert ready
            said += os.read(process.stdout.fileno(), 65536).decode()
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read()
        assert process.wait(BOUND) == -signal.SIGKILL
    acknowledged = int(said.splitlines()[-1])
    # SIGKILL may cut the line that is being written, between two pages; nobody was told of that one.
    whole = files(tmp_path)[0].read_bytes().rpartition(b"\n")[0].splitlines()
    written = [json.loads(line)["seq"] for line in whole[1:]]
    assert written == list(range(1, len(written) + 1))
    assert len(written) >= acknowledged >= 1000


def test_a_forked_child_has_a_file_of_its_own(tmp_path: Path) -> None:
    """After a fork parent and child write apart, each numbered from its own beginning."""
    code = (
        "journal.emit('before')\npid = os.fork()\n"
        "journal.emit('child' if pid == 0 else 'parent')\n"
        "journal.close()\nif pid:\n    os.waitpid(pid, 0)\n"
    )
    with script(code, tmp_path) as process:
        assert process.wait(BOUND) == 0
    found = [[(event["eventName"], event["seq"]) for event in lines(path)[1:]] for path in files(tmp_path)]
    assert sorted(found) == [[("before", 1), ("parent", 2)], [("child", 1)]]


# ---------------------------------------------------------------- trace context


def test_a_trace_is_continued() -> None:
    """A span of ours belongs to the trace that was handed down, and can be handed on."""
    parent = read_traceparent(f" 00-{'a' * 32}-{'b' * 16}-00\n")
    assert parent == Trace(trace_id="a" * 32, span_id="b" * 16, flags="00")
    ours = make_trace(parent, random=bytes(range(24)))
    assert str(ours) == f"00-{'a' * 32}-1011121314151617-00"
    assert read_traceparent(str(ours)) == ours


def test_a_trace_begins() -> None:
    """Without a parent there is a new trace, sampled."""
    assert str(make_trace(None, random=bytes(range(24)))) == "00-000102030405060708090a0b0c0d0e0f-1011121314151617-01"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"00-{'A' * 32}-{'b' * 16}-01",
        f"ff-{'a' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'b' * 16}-01-more",
    ],
)
def test_an_invalid_trace_context(text: str) -> None:
    """An invalid context is none."""
    assert read_traceparent(text) is None
