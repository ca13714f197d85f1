"""The table of truths: every fault whose truth is known, who meets it, and what a good answer to that truth is.

The answer is derived from the truth alone, by :data:`CONDUCT` and :data:`NAMES`. Where the product answers otherwise, the
case says so, with the reason: what is expected is never bent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

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
    "stale-state": {Cause.GIT_LOCKED, Cause.PASSED},
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
    """The truth that a cause stands for: the one that it should be, if the cause does for it."""
    return truth if cause in NAMES[truth] else next(other for other, causes in NAMES.items() if cause in causes)


# ---------------------------------------------------------------- the cases

_PRESETS: Mapping[str, tuple[str, Truth]] = {
    "GIT_DNS": ("git", "transient"),
    "GIT_TIMEOUT": ("git", "transient"),
    "GIT_HUNGUP": ("git", "transient"),
    "GIT_503": ("git", "transient"),
    "GIT_LOCKED": ("git", "live-contention"),
    "GIT_AUTH": ("git", "permanent"),
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
        if program == "git":
            yield replace(flaky, subject="git runner")
        told = Case(fault="a test that prints it", kind=preset, truth="permanent", subject="gate", program="pytest")
        yield replace(told, whole=preset not in {"GIT_503", "GIT_LOCKED"})


def _of_remotes() -> Iterator[Case]:
    for mode, (program, truth) in _REMOTES.items():
        bad = Case(fault="git_remote", kind=mode, truth=truth, subject="gate", program=program)
        yield replace(bad, whole=mode not in {"race", "auth"})
        yield replace(bad, subject="git runner")


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
    yield replace(left, subject="gate, as shipped")
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


CASES = tuple(chain(_of_commands(), _of_remotes(), _of_servers(), _of_calls(), _of_locks(), _of_the_machine()))


# ---------------------------------------------------------------- the page

PAGE = Path(__file__).parents[2] / "docs" / "faults" / "truth.md"
_HEAD = '''\
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
runs the real command), of `orxaq run`, `orxaq locks`, the runner of git commands, `Retry` and `Breaker`. `make truth` makes all of
them again, on your machine, and writes this page. A command that is not installed is stood in for, with its own words.

## What has to be done

| met by | truth | has to be |
|---|---|---|
{conduct}

A test that fails and prints the words of a network that is down is a failing test: its truth is permanent.

## What is done

{count} cases, {agreeing} of them as above. Where the answer is not as above, the number leads to the reason.
'''
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
            f"| {subject} | {truth} | {conduct} |" for subject, rules in CONDUCT.items() for truth, conduct in rules.items()
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
    return "\n".join([f"### {subject}\n", "| fault | kind | command | truth | answer |", "|---|---|---|---|---|", *rows, ""])


def _told(case: Case, reasons: Sequence[str]) -> str:
    return f"**{case.answer}** ({reasons.index(case.why) + 1})" if case.answer else "as it has to be"
