"""The table of truths: every fault whose truth is known, who meets it, and what a good answer to that truth is.

The answer is derived from the truth alone, by :data:`CONDUCT` and :data:`NAMES`. Where the product answers otherwise, the
case says so, with the reason: what is expected is never bent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

from pytest_orxaq.faults.conflicts import KINDS as CONFLICTS
from pytest_orxaq.faults.presets import PRESETS
from pytest_orxaq.faults.recipes import KINDS
from pytest_orxaq.faults.troubles import Truth
from pytest_orxaq.model import Cause


Subject = Literal["gate", "gate, as shipped", "orxaq run", "orxaq locks", "git runner", "Retry", "Breaker"]

_PASSING = {Cause.TRANSIENT, Cause.TIMED_OUT, Cause.KILLED, Cause.OUT_OF_MEMORY, Cause.OVERLOADED}
_OURS = {Cause.TESTS_FAILED, Cause.FINDINGS, Cause.CRASHED, Cause.MISCONFIGURED, Cause.COMMAND_FAILED, Cause.UNPROVEN}

# What a cause that the gate names says of the truth.
NAMES: Mapping[Truth, set[Cause]] = {
    "transient": _PASSING,
    "permanent": _OURS,
    "stale-state": {Cause.GIT_LOCKED},
    "live-contention": {Cause.GIT_LOCKED},
    "environment": {Cause.ENVIRONMENT},
}

_TRIED = "tried again; flaky once it is over, infrastructure while it lasts"
_WAITED = "waited for, or tried again; flaky once it is over, infrastructure while it lasts"
_NOT_TRIED = "not tried again; failed"

# What each subject has to do about a fault of each truth.
CONDUCT: Mapping[Subject, Mapping[Truth, str]] = {
    "gate": {
        "transient": f"{_TRIED}; breaker told",
        "permanent": f"{_NOT_TRIED}; breaker not told",
        "stale-state": "taken away before it is met; passed",
        "live-contention": f"{_WAITED}; breaker told",
        "environment": "not tried again; infrastructure; breaker told",
    },
    "gate, as shipped": {"stale-state": "left, and named; infrastructure"},
    "orxaq run": {
        "transient": _TRIED,
        "permanent": _NOT_TRIED,
        "stale-state": "taken away before it is met; passed",
        "live-contention": _WAITED,
        "environment": "not tried again; infrastructure",
    },
    "orxaq locks": {"stale-state": "dead; released", "live-contention": "live; left"},
    "git runner": {
        "transient": "failed in time: try again",
        "permanent": "failed in time: do not try again",
        "stale-state": "failed in time: clear the lock",
        "live-contention": "failed in time: clear the lock",
        "environment": "failed in time: mend the machine",
    },
    "Retry": {
        "transient": "tried again until it went well",
        "permanent": "not tried again",
        "environment": "not tried again",
    },
    "Breaker": {"transient": "counted", "permanent": "not counted", "environment": "not counted"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault met by one subject."""

    fault: str  # the fixture
    kind: str  # its kind, mode, preset or plan
    truth: Truth  # as the fault itself logs it
    subject: Subject
    program: str = ""  # that met it
    answer: str = ""  # of the product, where it differs from what is expected
    why: str = ""  # it differs
    whole: bool = False  # too slow for every day: only in `make truth`

    @property
    def expected(self) -> str:
        """The answer that fits the truth."""
        return spelled(self.truth, CONDUCT[self.subject][self.truth])

    @property
    def id(self) -> str:
        """For people who choose tests by name."""
        return "-".join(part.replace(" ", "_") for part in (self.subject, self.fault, self.kind, self.program) if part)


def spelled(named: str, conduct: str) -> str:
    """An answer: the truth that was named, and what was done."""
    return f"{named}: {conduct}"


def named_by(cause: Cause, truth: Truth) -> str:
    """The truth that a cause stands for: the right one, if the cause says it too; `nothing` of a pass."""
    if cause in NAMES[truth]:
        return truth
    return next((other for other, causes in NAMES.items() if cause in causes), "nothing")


# ---------------------------------------------------------------- the cases

_PRESETS: Mapping[str, tuple[str, Truth]] = {
    "GIT_DNS": ("git", "transient"),
    "GIT_TIMEOUT": ("git", "transient"),
    "GIT_HUNGUP": ("git", "transient"),
    "GIT_503": ("git", "transient"),
    "GIT_LOCKED": ("git", "live-contention"),
    "GIT_AUTH": ("git", "permanent"),
    "signal(KILL)": ("git", "transient"),
    "signal(SEGV)": ("git", "transient"),
    "hang": ("git", "transient"),
    "fail(128)": ("git", "transient"),
    "PIP_503": ("pip", "transient"),
    "NPM_ECONNRESET": ("npm", "transient"),
    "SSH_255": ("ssh", "transient"),
    "DOCKER_TOOMANY": ("docker", "transient"),
}
_REMOTES: Mapping[str, tuple[str, Truth]] = {
    "race": ("git push", "transient"),
    "flaky": ("git fetch", "transient"),
    "http-503": ("git fetch", "transient"),
    "hang": ("git fetch", "transient"),
    "auth": ("git fetch", "permanent"),
    "gone": ("git fetch", "permanent"),
    "reject": ("git push", "permanent"),
    "non-ff": ("git push", "permanent"),
    "lock": ("git push", "live-contention"),
}
_ANSWERS: Mapping[str, Truth] = {
    "status(503)": "transient",
    "status(429)": "transient",
    "reset": "transient",
    "truncate(3,10)": "transient",
    "hang": "transient",
    "garbage": "transient",
    "refuse": "transient",
    "status(404)": "permanent",
    "redirect(loop)": "permanent",
}
_CALLS: Mapping[str, Truth] = {
    "ECONNRESET": "transient",
    "ECONNREFUSED": "transient",
    "EPIPE": "transient",
    "ETIMEDOUT": "transient",
    "EINTR": "transient",
    "EAGAIN": "transient",
    "ETXTBSY": "transient",
    "EBUSY": "transient",
    "ENOSPC": "environment",
    "EDQUOT": "environment",
    "EROFS": "environment",
    "EIO": "environment",
    "EMFILE": "environment",
    "ENOMEM": "environment",
    "ESTALE": "environment",
}


def _of_commands() -> Iterator[Case]:
    for preset, (program, truth) in _PRESETS.items():
        flaky = Case(fault="flaky_command", kind=preset, truth=truth, subject="gate", program=program)
        yield replace(flaky, whole=preset not in {"GIT_503", "GIT_AUTH", "PIP_503"})
        yield replace(flaky, subject="orxaq run", whole=True)
        if preset not in PRESETS:
            continue
        if program == "git":
            yield replace(flaky, subject="git runner")
        told = Case(fault="a test that prints it", kind=preset, truth="permanent", subject="gate", program="pytest")
        yield replace(told, whole=preset not in {"GIT_503", "GIT_LOCKED"})


def _of_remotes() -> Iterator[Case]:
    for mode, (program, truth) in _REMOTES.items():
        bad = Case(fault="git_remote", kind=mode, truth=truth, subject="gate", program=program)
        yield replace(bad, whole=mode not in {"race", "auth"})
        yield replace(bad, subject="git runner")


def _of_conflicts() -> Iterator[Case]:
    for number, kind in enumerate(CONFLICTS):
        met = Case(fault="merge_conflict", kind=kind, truth="permanent", subject="gate", program="git merge")
        yield replace(met, whole=number > 0)
        yield replace(met, subject="git runner", whole=number > 0)
        for operation in ("git rebase", "git cherry-pick"):
            yield replace(met, program=operation, whole=True)


def _of_servers() -> Iterator[Case]:
    for step, truth in _ANSWERS.items():
        bad = Case(fault="fault_server", kind=step, truth=truth, subject="Retry", program="urllib")
        yield from (bad, replace(bad, subject="Breaker"))
        for program in ("curl", "python"):
            daily = (step, program) in {("reset", "curl"), ("status(404)", "curl")}
            yield replace(bad, subject="gate", program=program, whole=not daily)
    refused = Case(fault="refused_port", kind="", truth="transient", subject="Retry", program="urllib")
    yield from (refused, replace(refused, subject="Breaker"))


def _of_calls() -> Iterator[Case]:
    for name, truth in _CALLS.items():
        bad = Case(fault="transient_failures", kind=name, truth=truth, subject="Retry")
        yield from (bad, replace(bad, subject="Breaker"))


def _of_locks() -> Iterator[Case]:
    left = Case(fault="stale_git_lock", kind="index", truth="stale-state", subject="gate", program="git")
    yield from (replace(left, subject="gate, as shipped"), replace(left, subject="git runner"))
    yield replace(left, subject="git runner", fault="live_git_lock", truth="live-contention")
    for kind in KINDS:
        daily = kind in {"index", "head+ref", "packed-refs.new", "submodule-index"}
        stale = replace(left, kind=kind, whole=kind != "index")
        live = replace(stale, fault="live_git_lock", truth="live-contention")
        for lock in (stale, live):
            yield from (lock, replace(lock, subject="orxaq locks", program="", whole=not daily))


def _of_the_machine() -> Iterator[Case]:
    full = Case(fault="full_disk", kind="file", truth="environment", subject="gate")
    fixed = Case(fault="readonly_tree", kind="mount", truth="environment", subject="gate")
    for program in ("head", "python", "git archive", "curl"):
        met = replace(full, program=program, whole=program != "head")
        yield from (met, replace(met, subject="orxaq run"))
    for program in ("touch", "python", "git add"):
        met = replace(fixed, program=program, whole=program != "git add")
        yield from (met, replace(met, subject="orxaq run"))

    yield replace(full, subject="git runner", program="git archive")
    yield replace(fixed, subject="git runner", program="git add")
    yield replace(fixed, kind="immutable", program="touch", whole=True)
    for program in ("head", "python"):
        yield replace(full, kind="quota", program=program, whole=True)


# ---------------------------------------------------------------- where the product is known to answer otherwise

_FAILED = "permanent: not tried again; failed"
_TOLD: Mapping[Subject, str] = {"gate": "; breaker not told", "orxaq run": ""}
_TIMED_OUT = "transient: tried again; flaky once it is over, timed-out while it lasts"
_BY_TRACEBACK = (
    "A traceback is in the words of whoever wrote the program, and tests print the same: what a Python program did not catch is"
    " not believed to pass. `pytest_orxaq.Retry` in that program sees the exception itself, and tries again."
)
_BY_TIME = (
    "What ran out of time is tried again once, and is called timed out, not infrastructure: the code may hang as well as the"
    " other side. The breaker counts infrastructure only."
)
_BY_COLLECTOR = "gc.pid is no lock for `orxaq locks`: git itself goes past one whose process is gone. A gc that is at work is named by git."
_BY_CONFIG = (
    "GitPython keeps config.lock without having it open. While a Python runs that may have loaded it, as these tests do, the"
    " lock is unknown, and stays."
)
_BY_SERVER = "A file that went stale on a file server is often there when it is opened anew."
_BY_LIMIT = (
    "A limit that was set for a process is met by programs that write without end: it is not laid to the machine."
)
_Known = tuple[Subject, str, str, str]  # subject, fault, kind, command
_DIFFERENCES: Mapping[_Known, tuple[str, str]] = {
    ("gate", "git_remote", "hang", "git fetch"): (f"{_TIMED_OUT}; breaker not told", _BY_TIME),
    ("gate", "flaky_command", "hang", "git"): (f"{_TIMED_OUT}; breaker not told", _BY_TIME),
    ("orxaq run", "flaky_command", "hang", "git"): (
        "transient: not tried again; timed-out",
        "`orxaq run` has one time for all attempts (`--timeout`): when it is over there is none for another.",
    ),
    **{
        ("gate", "fault_server", step, "python"): (f"{_FAILED}; breaker not told", _BY_TRACEBACK)
        for step, truth in _ANSWERS.items()
        if truth == "transient"
    },
    **{
        (subject, "flaky_command", kind, "git"): (_FAILED + told, why)
        for subject, told in _TOLD.items()
        for kind, why in (
            ("fail(128)", "An exit code without words says nothing, and what nobody knows is not tried again."),
            ("signal(SEGV)", "A crash is the program's own, even if it goes well the next time."),
        )
    },
    ("gate", "fault_server", "garbage", "curl"): (
        f"{_FAILED}; breaker not told",
        "curl's words for bytes that are no answer (number 1) are those for a wrong port or protocol.",
    ),
    **{
        (subject, "full_disk", "file", "curl"): (
            _FAILED + told,
            "curl does not say why it could not write (number 23).",
        )
        for subject, told in _TOLD.items()
    },
    ("gate", "full_disk", "quota", "head"): (f"{_FAILED}; breaker not told", _BY_LIMIT),
    ("gate", "full_disk", "quota", "python"): (f"{_FAILED}; breaker not told", _BY_LIMIT),
    ("gate", "readonly_tree", "immutable", "touch"): (
        f"{_FAILED}; breaker not told",
        "`Operation not permitted` and `Permission denied` are as often said of a mistake in code or set-up.",
    ),
    ("Retry", "transient_failures", "ESTALE", ""): ("environment: tried again until it went well", _BY_SERVER),
    ("Breaker", "transient_failures", "ESTALE", ""): ("environment: counted", _BY_SERVER),
    ("gate", "stale_git_lock", "config", "git"): ("nothing: met; infrastructure", _BY_CONFIG),
    ("orxaq locks", "stale_git_lock", "config", ""): ("nothing: unknown; left", _BY_CONFIG),
    ("gate", "stale_git_lock", "gc.pid", "git"): ("nothing: met; passed", _BY_COLLECTOR),
    ("orxaq locks", "stale_git_lock", "gc.pid", ""): ("nothing: not seen", _BY_COLLECTOR),
    ("orxaq locks", "live_git_lock", "gc.pid", ""): ("nothing: not seen", _BY_COLLECTOR),
    ("gate", "live_git_lock", "maintenance", "git"): (
        "nothing: not tried again; passed; breaker not told",
        "`git maintenance` does nothing under its lock, says nothing, and exits 0: nobody can tell.",
    ),
}


def _as_known(case: Case) -> Case:
    answer, why = _DIFFERENCES.get((case.subject, case.fault, case.kind, case.program), ("", ""))
    return replace(case, answer=answer, why=why)


_ALL = chain(_of_commands(), _of_remotes(), _of_conflicts(), _of_servers(), _of_calls(), _of_locks(), _of_the_machine())
CASES = tuple(map(_as_known, _ALL))


# ---------------------------------------------------------------- the page

PAGE = Path(__file__).parents[2] / "docs" / "faults" / "truth.md"
_HEAD = """\
# What the product makes of faults whose truth is known

Every fault says what it is in truth: its entries in `faults.log` have a `truth`, which is what a good gate should make of it.

| truth | is | causes of the gate that say so |
|---|---|---|
{truths}

So a rule of your own that decides what is worth another try can be tested against it:

```python
import pytest


def worth_another_try(error):
    return isinstance(error, (ConnectionError, TimeoutError))


@pytest.mark.parametrize("name", ["ECONNRESET", "ECONNREFUSED", "ETIMEDOUT", "ENOSPC", "EROFS"])
def test_the_rule_knows_the_truth(faults, transient_failures, name):
    with pytest.raises(OSError) as caught:
        transient_failures(name)()
    assert worth_another_try(caught.value) == (faults.log[-1].truth == "transient")
```

The rules of this product are tested so too. Below is each fault that was laid in the way of the gate (a Makefile whose checkpoint
runs the real command; locks may be released by elimination, but not in the gate as shipped), of what `orxaq run` runs, of
`orxaq locks --recover`, the runner of git commands with the [signatures](../signatures.md), `Retry` and `Breaker`. `make truth` makes
all of them again, on your machine, and writes this page. `flaky_command` speaks for programs with their own words; all else is real.

## What has to be done

| met by | truth | has to be |
|---|---|---|
{conduct}

A test that fails and prints the words of a network that is down is a failing test: its truth is permanent.

## What is done

{count} cases, {agreeing} of them as above. Where the answer is not as above, the number leads to the reason.
"""
_TRUTHS: Mapping[Truth, str] = {
    "transient": "over after a while: the same again goes well",
    "permanent": "the same however often it is tried: the code, the configuration or a decision is to blame",
    "stale-state": "what a process that is gone has left in the way",
    "live-contention": "somebody else at work on the same thing",
    "environment": "what the machine lacks, until somebody mends it",
}


def page() -> str:
    """What docs/faults/truth.md says."""
    differing = [case for case in CASES if case.answer]
    reasons = list(dict.fromkeys(case.why for case in differing))
    head = _HEAD.format(
        truths="\n".join(f"| {truth} | {words} | {_causes(truth)} |" for truth, words in _TRUTHS.items()),
        conduct="\n".join(
            f"| {subject} | {truth} | {conduct} |"
            for subject, rules in CONDUCT.items()
            for truth, conduct in rules.items()
        ),
        count=len(CASES),
        agreeing=len(CASES) - len(differing),
    )
    tables = [_table(subject, reasons) for subject in CONDUCT]
    told = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([head, *tables, "## Where it differs, and why\n", *told, ""])


def _causes(truth: Truth) -> str:
    return ", ".join(cause.value for cause in Cause if cause in NAMES[truth])


def _table(subject: Subject, reasons: Sequence[str]) -> str:
    rows = [
        f"| {case.fault} | {case.kind} | {case.program} | {case.truth} | {_told(case, reasons)} |"
        for case in CASES
        if case.subject == subject
    ]
    return "\n".join(
        [f"### {subject}\n", "| fault | kind | command | truth | answer |", "|---|---|---|---|---|", *rows, ""]
    )


def _told(case: Case, reasons: Sequence[str]) -> str:
    return f"**{case.answer}** ({reasons.index(case.why) + 1})" if case.answer else "as it has to be"
