"""The words as plain data and back."""

import json
import re

import pytest

from pytest_orxaq.core import records
from pytest_orxaq.model import (
    Attempt,
    Cause,
    Checkpoint,
    Counts,
    Diagnosis,
    Evidence,
    EvidenceKind,
    Exit,
    Finding,
    GitState,
    JUnitFile,
    JUnitState,
    Outcome,
    RunRecord,
    Session,
    Stall,
    StoredPass,
    Strength,
    Verdict,
)


CHECKPOINT = Checkpoint(name="test", command=("make", "test"), evidence=EvidenceKind.TESTS, environment=(("A", "b"),))
ATTEMPT = Attempt(
    number=1,
    mailbox="/m",
    started_at=1.5,
    exit=Exit(code=0, marks=((1.0, 2),)),
    evidence=Evidence(strength=Strength.WITNESS, durations=(("t", 0.5),)),
    diagnosis=Diagnosis(cause=Cause.PASSED, why="fine"),
)
RECORD = RunRecord(
    id="r",
    version="1",
    started_at=1,
    git=GitState(top="/x"),
    verdict=Verdict.PASSED,
    outcomes=(
        Outcome(
            checkpoint=CHECKPOINT,
            verdict=Verdict.PASSED,
            why="",
            attempts=(ATTEMPT,),
            stored=StoredPass(key="k", run="q", passed_at=2.0, counts=Counts(passed=1)),
        ),
    ),
)


def test_round_trip() -> None:
    """A record written as JSON and read back is the same, but for what is only of use while an attempt is judged."""
    back = records.from_data(RunRecord, json.loads(json.dumps(records.to_data(RECORD))))
    assert back.outcomes[0].attempts[0].exit.marks == ()
    assert records.to_data(back) == records.to_data(RECORD)
    assert back.outcomes[0].stored == RECORD.outcomes[0].stored


def test_mappings_and_sets() -> None:
    """Mappings stay mappings, sets become sorted lists and sets again."""
    session = Session(name="s", passed={"b": 1.0, "a": 2.0})
    file = JUnitFile(path="p", state=JUnitState.OK, passed=frozenset({"b", "a"}))
    assert records.from_data(Session, records.to_data(session)) == session
    assert records.to_data(file)["passed"] == ["a", "b"]
    assert records.from_data(JUnitFile, records.to_data(file)) == file


def test_json_is_the_record() -> None:
    """Every field is there by its name, enumerations by value; what only we need is left out."""
    made = records.of_run(RECORD)
    assert made["schema"] == records.SCHEMA
    assert made["verdict"] == "passed"
    text = json.dumps(made, allow_nan=False)
    assert '"make"' in text
    assert '"marks"' not in text


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (float("inf"), None),
        (1.5, 1.5),
        ({"a\udc80": (1, True, None)}, {"a\\udc80": [1, True, None]}),
        (frozenset({"b", "a"}), ["a", "b"]),
        (["x"], ["x"]),
        (Strength.WITNESS, 3),
    ],
)
def test_values_as_data(value: object, made: object) -> None:
    """What JSON cannot say is said in another way."""
    assert records.to_data(value) == made


def test_what_has_no_data_form_is_a_bug() -> None:
    """A value of an unknown type is refused by name."""
    with pytest.raises(TypeError, match="no data form for object"):
        records.to_data(object())


def test_later_versions_keys_are_passed_over() -> None:
    """A key that this version does not know is no error."""
    assert records.from_data(Stall, {"cpu": 1, "memory": 0.5, "io": 0.0, "gpu": 1.0}) == Stall(
        cpu=1.0, memory=0.5, io=0.0
    )


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"cpu": 1.0, "memory": 0.5},
        {"cpu": "1", "memory": 0.5, "io": 0.0},
        {"cpu": True, "memory": 0.5, "io": 0.0},
    ],
)
def test_wrong_shapes_are_refused(data: object) -> None:
    """A value of the wrong type, or a missing one that has no default, is a ValueError that names the place."""
    with pytest.raises(ValueError, match="Stall"):
        records.from_data(Stall, data)


def test_what_is_no_text_comes_back_exactly_if_it_must() -> None:
    """A path that is no UTF-8 is escaped for others, and read back byte for byte where we write for ourselves."""
    finding = Finding(path="caf\udce9", line=1, column=None, code="", message="")
    assert records.to_data(finding)["path"] == "caf\\udce9"
    exact = json.loads(json.dumps(records.to_data(finding, exact=True)))
    assert records.from_data(Finding, exact) == finding


@pytest.mark.parametrize(
    ("wanted", "data", "message"),
    [
        (Evidence, "x", "Evidence: dict expected, str found"),
        (Evidence, {"running": "t"}, "Evidence.running: list expected, str found"),
        (Evidence, {"running": ["t", 1]}, "Evidence.running[1]: str expected, int found"),
        (Evidence, {"durations": [["t"]]}, "Evidence.durations[0]: 2 items expected, 1 found"),
        (Evidence, {"durations": [["t", "s"]]}, "Evidence.durations[0]: float expected, str found"),
        (Evidence, {"strength": 7}, "Evidence.strength: 7 is no Strength"),
        (Exit, {"code": "0"}, "Exit.code: int expected, str found"),
        (Exit, {"resources": {"stall": {"cpu": 1}}}, "Exit.resources.stall: io is missing"),
        (JUnitFile, {"passed": {}}, "JUnitFile.passed: list expected, dict found"),
        (JUnitFile, {"passed": [1]}, "JUnitFile.passed: str expected, int found"),
        (Session, {"passed": []}, "Session.passed: dict expected, list found"),
        (Session, {"passed": {"t": "s"}}, "Session.passed.t: float expected, str found"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(wanted: type[object], data: object, message: str) -> None:
    """An error says where, what was expected there, and what was found."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        records.from_data(wanted, data)
