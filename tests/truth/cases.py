"""The table of truths: every fault whose truth is known, who meets it, and what a good answer to that truth is.

The answer is derived from the truth alone, by :data:`CONDUCT` and :data:`NAMES`. Where the product answers otherwise, the
case says so, with the reason: what is expected is never bent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
_LOCKS_DAILY = {"index", "head+ref", "packed-refs.new", "submodule-index"}


def _cases() -> Iterable[Case]:
    for preset, (program, truth) in _PRESETS.items():
        daily = preset in {"GIT_503", "GIT_AUTH", "PIP_503"}
        yield Case(fault="flaky_command", kind=preset, truth=truth, subject="gate", program=program, whole=not daily)
        yield Case(fault="flaky_command", kind=preset, truth=truth, subject="orxaq run", program=program, whole=True)
        yield Case(
            fault="a test that prints it",
            kind=preset,
            truth="permanent",
            subject="gate",
            program="pytest",
            whole=preset not in {"GIT_503", "GIT_LOCKED"},
        )
        if program == "git":
            yield Case(fault="flaky_command", kind=preset, truth=truth, subject="git runner", program="git")
    for mode, (program, truth) in _REMOTES.items():
        daily = mode in {"race", "auth"}
        yield Case(fault="git_remote", kind=mode, truth=truth, subject="gate", program=program, whole=not daily)
        yield Case(fault="git_remote", kind=mode, truth=truth, subject="git runner", program=program)
    for step, truth in _ANSWERS.items():
        for program in ("curl", "python"):
            daily = (step, program) in {("reset", "curl"), ("status(404)", "curl")}
            yield Case(fault="fault_server", kind=step, truth=truth, subject="gate", program=program, whole=not daily)
        for subject in ("Retry", "Breaker"):
            yield Case(fault="fault_server", kind=step, truth=truth, subject=subject, program="urllib")
    for name, truth in _CALLS.items():
        for subject in ("Retry", "Breaker"):
            yield Case(fault="transient_failures", kind=name, truth=truth, subject=subject)
    for subject in ("Retry", "Breaker"):
        yield Case(fault="refused_port", kind="", truth="transient", subject=subject, program="urllib")
    for kind in KINDS:
        daily = kind in _LOCKS_DAILY
        for subject in ("orxaq locks", "gate"):
            slow = not daily or (subject == "gate" and kind != "index")
            yield Case(
                fault="stale_git_lock",
                kind=kind,
                truth="stale-state",
                subject=subject,
                program="git" * (subject == "gate"),
                whole=slow,
            )
            yield Case(
                fault="live_git_lock",
                kind=kind,
                truth="live-contention",
                subject=subject,
                program="git" * (subject == "gate"),
                whole=slow,
            )
    yield Case(fault="stale_git_lock", kind="index", truth="stale-state", subject="gate, as shipped", program="git")
    for subject in ("gate", "orxaq run"):
        for program in ("head", "python", "git archive", "curl"):
            yield Case(
                fault="full_disk",
                kind="file",
                truth="environment",
                subject=subject,
                program=program,
                whole=program != "head",
            )
        for program in ("touch", "python", "git add"):
            yield Case(
                fault="readonly_tree",
                kind="mount",
                truth="environment",
                subject=subject,
                program=program,
                whole=program != "git add",
            )


CASES = tuple(_cases())
