"""Run records made by hand: one of each verdict and cause, and hostile ones."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from pytest_orxaq.model import (
    Attempt,
    Cause,
    Checkpoint,
    ClosingLine,
    Counts,
    Diagnosis,
    Evidence,
    EvidenceKind,
    Exit,
    Failure,
    Finding,
    GitState,
    LeakedProcess,
    Machine,
    Outcome,
    Resources,
    RunRecord,
    Section,
    Stall,
    StoredPass,
    Strength,
    TestOutcome,
    TestResult,
    Verdict,
)


NOW = 1_790_000_000.0
MIB = 1 << 20

LINT = Checkpoint(name="lint", command=("make", "lint"), evidence=EvidenceKind.FINDINGS)
TEST = Checkpoint(name="test", command=("make", "test"), evidence=EvidenceKind.TESTS, timeout=900.0)

TRACEBACK = """\
cart = Cart(items=[Item(sku='A-1', price=Decimal('19.90'), quantity=3)])
rate = Decimal('0.19')

    @pytest.mark.parametrize("rate", [Decimal("0.07"), Decimal("0.19")])
    def test_total_includes_tax(cart, rate):
>       assert total(cart, rate) == Decimal("71.04")

tests/test_cart.py:8:
_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _

    def total(cart, rate):
        net = sum(item.price * item.quantity for item in cart.items)
>       return (net * rate).quantize(CENT)
E       decimal.InvalidOperation: [<class 'decimal.InvalidOperation'>]

shop/cart.py:14: InvalidOperation"""

CART = '''\
"""Carts and what they cost."""

from decimal import Decimal


CENT = Decimal("0.01")


def total(cart, rate):
    """The sum with tax."""
    if rate < 0:
        raise ValueError(f"a tax rate cannot be negative: {rate}")
    net = sum(item.price * item.quantity for item in cart.items)
    return (net * rate).quantize(CENT)


def is_empty(cart):
    """Whether nothing is in it."""
    return not cart.items
'''


def failed_test(id: str = "tests/test_cart.py::test_total_includes_tax[0.19]", **changes: Any) -> TestResult:
    """A failing test with all that a witness knows about it."""
    failure = Failure(
        phase="call",
        exception="InvalidOperation",
        message="decimal.InvalidOperation: [<class 'decimal.InvalidOperation'>]",
        traceback=TRACEBACK,
        sections=(
            Section(title="Captured stdout call", text="net: 59.70\n"),
            Section(title="Captured log call", text="WARNING  shop.cart:cart.py:13 rate 0.19 is not known here\n"),
        ),
    )
    result = TestResult(
        id=id,
        outcome=TestOutcome.FAILED,
        duration=0.042,
        failures=(failure,),
        parameters=(("rate", "Decimal('0.19')"),),
        file="tests/test_cart.py",
        line=6,
    )
    return replace(result, **changes)


def simple_failure(id: str, message: str, traceback: str, exception: str = "AssertionError") -> TestResult:
    """A failing test with one failure and nothing else."""
    failure = Failure(phase="call", exception=exception, message=message, traceback=traceback)
    return TestResult(id=id, outcome=TestOutcome.FAILED, duration=0.5, failures=(failure,))


RESOURCES = Resources(
    peak_memory=412 * MIB,
    cpu=21.4,
    processes=9,
    stall=Stall(cpu=0.31, memory=0.0, io=0.78),
    method="cgroup",
)

GIT = GitState(
    top="/home/ada/shop",
    commit="9f1c2d7e4b6a8035c1d2e3f4a5b6c7d8e9f0a1b2",
    subject="Round the total only once",
    branch="feature/tax-per-country",
    dirty=("shop/cart.py", "tests/test_cart.py", "notes.txt"),
    last_pass="41d0aa3c55e7f1029384756abcdef01234567890",
    changed=("shop/cart.py", "shop/rates.py", "tests/test_cart.py"),
)

MACHINE = Machine(
    platform="Linux 6.8.0 x86_64",
    python="3.12.4 /home/ada/shop/.venv/bin/python",
    cpus=4,
    load=(3.31, 2.05, 1.2),
    memory_total=16 * 1024 * MIB,
    memory_available=5 * 1024 * MIB,
    disk_total=200 * 1024 * MIB,
    disk_free=9 * 1024 * MIB,
    pressure=(("cpu", 12.5), ("memory", 0.0), ("io", 41.0)),
    limits=(("open files", "1024"), ("processes", "63000"), ("cgroup memory", "8 GiB")),
    tools=(("git", "git version 2.47.3"), ("make", "GNU Make 4.4.1"), ("pytest", "pytest 9.2.0")),
)


def attempt(cause: Cause = Cause.PASSED, why: str = "All tests passed.", **changes: Any) -> Attempt:
    """An attempt that ended with a cause; exit code 0 unless the cause says otherwise."""
    good = cause in {Cause.PASSED, Cause.UNPROVEN}
    made = Attempt(
        number=1,
        mailbox="/home/ada/shop/.git/orxaq/runs/r1/test-1",
        started_at=NOW - 60,
        exit=Exit(code=0 if good else 2, duration=11.8, resources=RESOURCES, output_size=18_400),
        evidence=Evidence(
            strength=Strength.WITNESS,
            counts=Counts(passed=412, skipped=3),
            interpreters=("/home/ada/shop/.venv/bin/python|3.12.4|5f0c",),
            durations=(("tests/test_import.py::test_large_file", 4.1), ("tests/test_api.py::test_paging", 1.7)),
        ),
        diagnosis=Diagnosis(cause=cause, why=why),
        output_tail="collected 415 items\n\n412 passed, 3 skipped in 11.52s\n",
    )
    return replace(made, **changes)


def outcome(verdict: Verdict = Verdict.PASSED, *attempts: Attempt, **changes: Any) -> Outcome:
    """An outcome of the test checkpoint."""
    why = attempts[-1].diagnosis.why if attempts else "It did not run."
    return replace(Outcome(checkpoint=TEST, verdict=verdict, why=why, attempts=attempts), **changes)


def record(verdict: Verdict | None = Verdict.PASSED, *outcomes: Outcome, **changes: Any) -> RunRecord:
    """A run record."""
    made = RunRecord(
        id="20260921-140000-7c1f",
        version="0.1.0",
        started_at=NOW - 75,
        finished_at=NOW - 5 if verdict else None,
        verdict=verdict,
        outcomes=outcomes,
        git=GIT,
        machine=MACHINE,
        parameters=(("command", "orxaq gate lint test"), ("deadline", "30 min"), ("configuration", "pyproject.toml")),
        environment=(("CI", "1"), ("PYTHONHASHSEED", "0"), ("LANG", "C.UTF-8")),
        notes=("MAKEFLAGS and GIT_DIR were scrubbed from the environment.",),
    )
    return replace(made, **changes)


def failing_run() -> RunRecord:
    """A run in which lint has findings, and tests failed after a git lock was met."""
    findings = (
        Finding(
            path="shop/cart.py",
            line=13,
            column=5,
            code="F841",
            message="Local variable `net` is assigned to but never used",
        ),
        Finding(path="shop/rates.py", line=40, column=None, code="", message="Missing return statement  [return]"),
        Finding(
            path="shop/rates.py", line=44, column=1, code="W291", message="Trailing whitespace", severity="warning"
        ),
    )
    lint = attempt(
        Cause.FINDINGS, "ruff left 3 findings.", evidence=Evidence(findings=findings), output_tail="Found 3 errors.\n"
    )
    locked = attempt(
        Cause.GIT_LOCKED,
        "git met a lock that another process held.",
        output_tail="fatal: Unable to create '.git/index.lock': File exists.\n",
        evidence=Evidence(),
    )
    locked = replace(
        locked, diagnosis=replace(locked.diagnosis, line="fatal: Unable to create '.git/index.lock': File exists.")
    )
    tests = (
        failed_test(),
        failed_test("tests/test_cart.py::test_total_includes_tax[0.07]", parameters=(("rate", "Decimal('0.07')"),)),
        failed_test("tests/test_invoice.py::TestInvoice::test_sum_of_a_month"),
        simple_failure(
            "tests/test_api.py::test_paging",
            "assert [1, 2, 3] == [1, 2]\n  Left contains one more item: 3",
            "    def test_paging():\n>       assert pages(3) == [1, 2]\nE       assert [1, 2, 3] == [1, 2]\n"
            "E         Left contains one more item: 3\n\ntests/test_api.py:4: AssertionError",
        ),
    )
    last = attempt(
        Cause.TESTS_FAILED,
        "4 tests failed.",
        number=2,
        waited=1.4,
        exit=Exit(
            code=2,
            duration=14.2,
            resources=RESOURCES,
            output_size=48_211,
            leaked=(LeakedProcess(pid=4711, command="python -m http.server 8000", age=12.0),),
        ),
        evidence=Evidence(
            strength=Strength.WITNESS,
            counts=Counts(passed=405, failed=4, skipped=3),
            failures=tests,
            recovered=(
                simple_failure(
                    "tests/test_mail.py::test_send", "timed out", "tests/test_mail.py:9: TimeoutError", "TimeoutError"
                ),
            ),
            interpreters=("/home/ada/shop/.venv/bin/python|3.12.4|5f0c",),
            closing=(ClosingLine(runner="pytest", line="4 failed, 405 passed", counts=Counts(failed=4, passed=405)),),
            junit=("build/junit/unit.xml",),
            notes=("Two pytest processes ran, one after the other.",),
            durations=(("tests/test_import.py::test_large_file", 4.1),),
        ),
        output_tail="\x1b[31mFAILED\x1b[0m tests/test_api.py::test_paging\n\x1b[31m4 failed\x1b[0m, 405 passed in 13.9s\nmake: *** [Makefile:4: test] Error 1\n",
    )
    return record(
        Verdict.FAILED,
        outcome(Verdict.FAILED, lint, checkpoint=LINT, why="ruff left 3 findings."),
        outcome(
            Verdict.FAILED,
            locked,
            last,
            why="4 of 409 tests failed; the machine's trouble before was retried.",
            key="sha256-0c4d1f",
            key_story=("shop/cart.py differs from the last pass.", "The command and the interpreter are the same."),
        ),
    )


def passing_run() -> RunRecord:
    """A run in which all is well, lint from a stored pass."""
    stored = StoredPass(key="sha256-77aa", run="20260920-101500-11aa", passed_at=NOW - 86_400 * 2, counts=Counts())
    return record(
        Verdict.PASSED,
        outcome(Verdict.PASSED, checkpoint=LINT, why="The same content passed before.", stored=stored, key="sha256-77aa",
                key_story=("Tree, command, configuration and interpreter are the same.",)),
        outcome(Verdict.PASSED, attempt()),
    )  # fmt: skip


def of_every_cause() -> list[RunRecord]:
    """A run for each cause, with the verdict that belongs to it."""
    verdicts = {
        Cause.PASSED: Verdict.PASSED,
        Cause.CANCELLED: Verdict.CANCELLED,
        Cause.TIMED_OUT: Verdict.TIMED_OUT,
        Cause.OUT_OF_MEMORY: Verdict.INFRASTRUCTURE,
        Cause.KILLED: Verdict.INFRASTRUCTURE,
        Cause.GIT_LOCKED: Verdict.INFRASTRUCTURE,
        Cause.TRANSIENT: Verdict.INFRASTRUCTURE,
        Cause.OVERLOADED: Verdict.INFRASTRUCTURE,
        Cause.ENVIRONMENT: Verdict.INFRASTRUCTURE,
        Cause.UNPROVEN: Verdict.UNPROVEN,
    }
    made = []
    for cause in Cause:
        verdict = verdicts.get(cause, Verdict.FAILED)
        evidence = (
            Evidence(running=("tests/test_x.py::test_slow",)) if cause in {Cause.KILLED, Cause.CRASHED} else Evidence()
        )
        made.append(record(verdict, outcome(verdict, attempt(cause, f"It was {cause.value}.", evidence=evidence))))
    return made


def of_every_verdict() -> list[RunRecord]:
    """A run for each verdict, one that was cut off included."""
    skipped = record(Verdict.SKIPPED, outcome(Verdict.SKIPPED, why="The breaker is open until 15:04."))
    retried = record(
        Verdict.FLAKY,
        outcome(Verdict.FLAKY, attempt(Cause.TRANSIENT, "The index answered 503."), attempt(number=2, waited=2.0)),
    )
    recovered = attempt(evidence=Evidence(counts=Counts(passed=2), recovered=(failed_test(),), strength=Strength.JUNIT))
    cut_off = record(None, outcome(Verdict.FAILED, why="It has not run."))
    return [*of_every_cause(), skipped, retried, record(Verdict.FLAKY, outcome(Verdict.FLAKY, recovered)), cut_off]


def everywhere(value: Any, change: Callable[[str], str]) -> Any:
    """The value with every text in it changed, however deep."""
    if type(value) is str:
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: everywhere(getattr(value, f.name), change) for f in fields(value)})
    if isinstance(value, tuple):
        return tuple(everywhere(part, change) for part in value)
    return value
