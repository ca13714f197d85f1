"""From what happened to why: the first rule that applies names the cause, surest evidence first.

Evidence outranks exit codes in both directions: a recipe that ends with ``pytest; echo done`` exits 0 after its
tests failed, and make flattens every failure to 2.
"""

import re

from collections.abc import Callable
from dataclasses import dataclass

from ..actions import Action
from ..model import Cause, Diagnosis, Evidence, EvidenceKind, Exit, Finding, Signature, Symptoms, TestResult


# Signals that a program's own fault raises; every other deadly signal comes from outside.
_FAULTS = {4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV", 31: "SIGSYS"}
_NAMES = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 9: "SIGKILL", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", **_FAULTS}
_NAMED = 3  # tests named in a sentence

# What a signature says that lays it to the machine.
_CAUSES = {
    Action.RETRY: Cause.TRANSIENT,
    Action.RETRY_REDUCED: Cause.OVERLOADED,
    Action.ENVIRONMENT: Cause.ENVIRONMENT,
}
_MEANINGS = {
    Action.RETRY: "trouble that usually passes",
    Action.RETRY_REDUCED: "that too much ran at once",
    Action.ENVIRONMENT: "what the machine lacks, and another try does not give it",
}


@dataclass(frozen=True, slots=True)
class Case:
    """All that a rule may look at."""

    exit: Exit
    evidence: Evidence
    symptoms: Symptoms
    kind: EvidenceKind

    @property
    def died(self) -> bool:
        """Whether the command, or a pytest below it, came to an end that was not its own."""
        return self.exit.code != 0 or bool(self.evidence.cut_off)

    @property
    def deadly(self) -> int | None:
        """The signal that ended the leader, or that make and shells reported of what they ran."""
        if self.exit.signal is not None:
            return self.exit.signal
        if self.symptoms.make_signal:
            return _number(self.symptoms.make_signal)
        code = self.exit.code or 0
        return code - 128 if code - 128 in _NAMES else None

    def known(self, *actions: Action) -> Signature | None:
        """The signature of a failed command, if it calls for one of these."""
        found = self.symptoms.signature if self.exit.code != 0 else None
        return found if found is not None and found.action in actions else None


def diagnose(exit: Exit, evidence: Evidence, symptoms: Symptoms, *, kind: EvidenceKind) -> Diagnosis:
    """The cause of an attempt's end, with a sentence, the tests concerned, the deciding line, and advice."""
    case = Case(exit, evidence, symptoms, kind)
    return next(found for rule in _RULES if (found := rule(case)) is not None)


def _cancelled(case: Case) -> Diagnosis | None:
    if case.exit.cancelled is None:
        return None
    name = _NAMES.get(case.exit.cancelled, str(case.exit.cancelled))
    return Diagnosis(
        cause=Cause.CANCELLED, why=f"{name} asked to stop{_while(case.evidence.running)}", tests=case.evidence.running
    )


def _not_started(case: Case) -> Diagnosis | None:
    if not case.exit.not_started:
        return None
    known = case.known(*_CAUSES)
    return Diagnosis(
        cause=_CAUSES[known.action] if known else Cause.MISCONFIGURED,
        why=f"the command could not be started: {case.exit.not_started}",
        advice=known.advice if known else "install it, or set this checkpoint's command in the configuration",
        signature=known,
    )


def _timed_out(case: Case) -> Diagnosis | None:
    if not case.exit.timed_out:
        return None
    return Diagnosis(
        cause=Cause.TIMED_OUT,
        why=f"the time ran out after {case.exit.duration:.0f} s{_while(case.evidence.running)}",
        tests=case.evidence.running,
        advice="find what it waits for, or raise this checkpoint's timeout",
    )


def _out_of_memory(case: Case) -> Diagnosis | None:
    if not (case.died and case.exit.resources.oom_kills):
        return None
    return Diagnosis(
        cause=Cause.OUT_OF_MEMORY,
        why=f"the kernel killed a process for want of memory{_while(case.evidence.running)}",
        tests=case.evidence.running,
        line=case.symptoms.make_signal_line,
        advice="give it more memory, or run with less parallelism",
    )


def _crashed(case: Case) -> Diagnosis | None:
    fault = _FAULTS.get(case.deadly or 0, "") if case.died else ""
    if not fault and not (case.evidence.cut_off and case.symptoms.crash):
        return None
    return Diagnosis(
        cause=Cause.CRASHED,
        why=f"the program crashed{f' ({fault})' if fault else ''}{_while(case.evidence.running)}",
        tests=case.evidence.running,
        line=case.symptoms.crash or case.symptoms.make_signal_line,
        advice="the fault lies in native code that this command runs; the output shows where",
    )


def _limited(case: Case) -> Diagnosis | None:
    known = case.known(Action.NO_RETRY, Action.ENVIRONMENT)
    if known is None or case.exit.signal is None or known.line:
        return None
    return Diagnosis(
        cause=_CAUSES.get(known.action, Cause.COMMAND_FAILED),
        why=f"it was ended by {known.fact}",
        advice=known.advice,
        signature=known,
    )


def _killed(case: Case) -> Diagnosis | None:
    deadly = case.deadly if case.exit.code != 0 else None
    if not case.evidence.cut_off and deadly is None:
        return None
    how = f"by {_NAMES.get(deadly, f'signal {deadly}')}" if deadly is not None else "before it could end its session"
    return Diagnosis(
        cause=Cause.KILLED,
        why=f"something was killed {how}{_while(case.evidence.running)}",
        tests=case.evidence.running,
        line=case.symptoms.make_signal_line,
        advice="look for a memory limit, a time limit or an operator outside this repository, or a test that ends its process",
    )


def _tests_failed(case: Case) -> Diagnosis | None:
    failures, claims = case.evidence.failures, case.evidence.bad_closing
    if not failures and not (claims and not case.evidence.contradictions):
        return None
    tests = tuple(result.id for result in failures)
    lie = "" if case.exit.code else ", although the command exited 0"
    if not failures:
        line = claims[-1]
        return Diagnosis(
            cause=Cause.TESTS_FAILED,
            why=f"{_many(line.counts.bad, 'test')} failed{lie}, says the closing line of {line.runner}",
            line=line.line.strip(),
        )
    return Diagnosis(
        cause=Cause.TESTS_FAILED, why=f"{_many(len(tests), 'test')} failed{lie}: {_some(failures)}", tests=tests
    )


def _found(case: Case) -> Diagnosis | None:
    errors = tuple(finding for finding in case.evidence.findings if finding.severity == "error")
    # A coded error or a linter's own word stands against exit code 0; a bare `path:line: text` may be anything.
    sure = [finding for finding in errors if finding.code] or case.symptoms.unclean_linter
    if case.kind is not EvidenceKind.FINDINGS or not (errors if case.exit.code else sure):
        return None
    lie = "" if case.exit.code else ", although the command exited 0"
    what = (
        f"{_many(len(errors), 'finding')}{lie}: {_first(errors[0])}"
        if errors
        else f"{case.symptoms.unclean_linter}{lie}"
    )
    return Diagnosis(cause=Cause.FINDINGS, why=what, line=case.symptoms.unclean_linter)


def _misconfigured(case: Case) -> Diagnosis | None:
    if not (case.exit.code and case.symptoms.missing_target):
        return None
    return Diagnosis(
        cause=Cause.MISCONFIGURED,
        why=f"make has nothing to run: {case.symptoms.missing_target}",
        line=case.symptoms.missing_target,
        advice="add the target to the Makefile, or set this checkpoint's command in the configuration",
    )


def _git_locked(case: Case) -> Diagnosis | None:
    known = case.known(Action.REPAIR)
    if known is None:
        return None
    return Diagnosis(
        cause=Cause.GIT_LOCKED,
        why="git found a lock in its way",
        line=known.line,
        advice=known.advice,
        signature=known,
    )


def _unkept(case: Case) -> Diagnosis | None:
    # Only for a command whose exit code is proof enough does nobody have to know what it said.
    if not case.exit.output_error or case.kind is EvidenceKind.EXIT:
        return None
    return Diagnosis(
        cause=Cause.TRANSIENT,
        why=f"its output could not be kept ({case.exit.output_error}), so what it proves is not known",
        advice="make room where the gate keeps its state, or point ORXAQ_STATE_DIR elsewhere",
    )


def _machines_fault(case: Case) -> Diagnosis | None:
    known = case.known(*_CAUSES)
    if known is None:
        return None
    shown = "the output shows" if known.line else f"{known.fact} means"
    return Diagnosis(
        cause=_CAUSES[known.action],
        why=f"{shown} {_MEANINGS[known.action]}",
        line=known.line,
        advice=known.advice,
        signature=known,
    )


def _command_failed(case: Case) -> Diagnosis | None:
    if not case.exit.code:
        return None
    five = case.exit.code == 5 or re.search(r"Error 5\b", case.symptoms.make_failure)
    hint = " (pytest's 5: it found no tests)" if five else ""
    known = case.known(Action.NO_RETRY)
    return Diagnosis(
        cause=Cause.COMMAND_FAILED,
        why=f"the command exited {case.exit.code}{hint if case.kind is EvidenceKind.TESTS else ''}",
        line=(known.line if known else "") or case.symptoms.make_failure,
        advice=known.advice if known else "the end of its output says more",
        signature=known,
    )


def _contradicted(case: Case) -> Diagnosis | None:
    if not case.evidence.contradictions:
        return None
    return Diagnosis(
        cause=Cause.UNPROVEN,
        why=f"the evidence contradicts itself: {case.evidence.contradictions[0]}",
        advice="nothing is believed until the evidence agrees",
    )


def _vacuous(case: Case) -> Diagnosis | None:
    if not (case.symptoms.nothing_done or case.symptoms.ran_nothing):
        return None
    return Diagnosis(
        cause=Cause.UNPROVEN,
        why="make ran no command at all",
        line=case.symptoms.nothing_done,
        advice="declare the target .PHONY and give it a recipe: a file or folder of the same name makes it up to date",
    )


def _untested(case: Case) -> Diagnosis | None:
    if case.kind is not EvidenceKind.TESTS or case.evidence.counts.executed:
        return None
    total = case.evidence.counts.total
    if total:
        why = f"all {total} tests were skipped"
    elif case.evidence.interpreters:
        why = "pytest ran, but executed no test"
    else:
        why = "the command exited 0, but nothing shows that a test was executed"
    return Diagnosis(
        cause=Cause.UNPROVEN,
        why=why,
        advice='name the JUnit files that your runner writes (junit = [...]), or set evidence = "exit" to believe the exit code',
    )


def _masked(case: Case) -> Diagnosis | None:
    doubt = case.symptoms.ignored_failure or case.symptoms.masked
    if case.kind is not EvidenceKind.FINDINGS or not doubt or case.symptoms.clean_linter:
        return None
    return Diagnosis(
        cause=Cause.UNPROVEN,
        why=f"the exit code says nothing here: {doubt}",
        line=case.symptoms.ignored_failure,
        advice='let the recipe fail when its linter fails (set -o pipefail, no leading dash), or set evidence = "exit"',
    )


def _passed(case: Case) -> Diagnosis:
    if case.kind is EvidenceKind.TESTS:
        return Diagnosis(
            cause=Cause.PASSED, why=f"{_many(case.evidence.counts.executed, 'test')} executed, none failed"
        )
    return Diagnosis(cause=Cause.PASSED, why=case.symptoms.clean_linter or "the command exited 0")


_RULES: tuple[Callable[[Case], Diagnosis | None], ...] = (
    _cancelled,
    _not_started,
    _timed_out,
    _out_of_memory,
    _crashed,
    _limited,
    _killed,
    _tests_failed,
    _found,
    _misconfigured,
    _unkept,
    _git_locked,
    _machines_fault,
    _command_failed,
    _contradicted,
    _vacuous,
    _untested,
    _masked,
    _passed,
)


def _number(signal: str) -> int | None:
    """A signal's number from what make prints: a number, a name, or a shell's description."""
    if signal.isdigit():
        return int(signal)
    words = {"killed": 9, "terminated": 15, "segmentation fault": 11, "aborted": 6, "bus error": 7, "hangup": 1}
    words |= {name.lower(): number for number, name in _NAMES.items()}
    words |= {"illegal instruction": 4, "floating point exception": 8, "interrupt": 2, "trace/breakpoint trap": 5}
    return words.get(signal.lower().strip())


def _while(running: tuple[str, ...]) -> str:
    if not running:
        return ""
    more = f" and {len(running) - _NAMED} more" if len(running) > _NAMED else ""
    return f" while {', '.join(running[:_NAMED])}{more} ran"


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _some(failures: tuple[TestResult, ...]) -> str:
    more = f" and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
    return ", ".join(result.id for result in failures[:_NAMED]) + more


def _first(finding: Finding) -> str:
    place = f"{finding.path}:{finding.line}" + (f":{finding.column}" if finding.column else "")
    return f"{place} {finding.code} {finding.message}".replace("  ", " ")
