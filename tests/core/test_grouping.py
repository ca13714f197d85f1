"""Failures of one cause stand together."""

import random
import re

from collections.abc import Callable

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.core.grouping import groups, leading, meaningful_line, normalised
from pytest_orxaq.model import Failure, TestOutcome, TestResult


def failure(message: str = "", traceback: str = "", exception: str = "ValueError") -> Failure:
    """A failure of a test's body."""
    return Failure(phase="call", exception=exception, message=message, traceback=traceback)


def result(id: str, *failures: Failure) -> TestResult:
    """A failing test."""
    return TestResult(id=id, outcome=TestOutcome.FAILED, failures=failures)


def place(failed: Failure) -> str:
    """The traceback is the place, to keep examples short."""
    return failed.traceback


RESULTS = st.lists(
    st.builds(
        lambda id, message, where, exception: result(id, failure(message, where, exception)),
        st.sampled_from("abcdef"),
        st.sampled_from(["boom 1", "boom 22", "at 0x7f", "other", ""]),
        st.sampled_from(["", "a.py:f", "b.py:g"]),
        st.sampled_from(["E", "F"]),
    ),
    max_size=20,
)


@given(RESULTS, st.randoms(use_true_random=False))
def test_order_does_not_matter(results: list[TestResult], chance: random.Random) -> None:
    """The same failures make the same groups, however they came in, and none is lost."""
    shuffled = list(results)
    chance.shuffle(shuffled)
    made = groups(results, place)
    assert made == groups(shuffled, place)
    assert sorted(r.id for g in made for r in g.results) == sorted(r.id for r in results)
    assert len({g.fingerprint for g in made}) == len(made)
    assert [len(g.results) for g in made] == sorted((len(g.results) for g in made), reverse=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<Cart object at 0x7f01aa>", "<Cart object at 0x55ff02>"),
        ("no row 3f2c1a5e-0b1d-4c9a-9b1e-0123456789ab", "no row 9b1d1a5e-0b1d-4c9a-9b1e-ba9876543210"),
        ("late by 3.5 s", "late by 17 s"),
        ("no /tmp/pytest-of-ada/pytest-3/x", "no /tmp/pytest-of-ada/pytest-9/y"),
        ("at 2026-01-02T03:04:05Z", "at 2026-11-12 13:14:15.123"),
        ("at 03:04:05", "at 13:14:15,678"),
        ("commit 9f1c2d7e4b6a8035", "commit 0a1b2c3d4e5f6071"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a   b", "a b"),
    ],
)
def test_what_changes_from_run_to_run_does_not_count(one: str, other: str) -> None:
    """Addresses, ids, numbers, temporary paths and times are taken out before comparing."""
    assert len(groups([result("a", failure(one)), result("b", failure(other))], place)) == 1


@pytest.mark.parametrize(
    "different",
    [failure("boom", "b.py:g"), failure("bang", "a.py:f"), failure("boom", "a.py:f", "KeyError")],
    ids=["place", "message", "exception"],
)
def test_another_place_message_or_exception_is_another_cause(different: Failure) -> None:
    """Each of the three alone sets failures apart."""
    assert len(groups([result("a", failure("boom", "a.py:f")), result("b", different)], place)) == 2


@pytest.mark.parametrize(
    ("failed", "line"),
    [
        (failure("ValueError: no rate"), "ValueError: no rate"),
        (failure("\n====\nno rate\nmore"), "no rate"),
        (failure("Failed", "x\n>  f()\nE   no rate\nE   more"), "no rate"),
        (failure("Error:", "panic\nthe end"), "the end"),
        (failure("ValueError: failed", "E   no rate"), "no rate"),
        (failure("Failed", "E   ====\nE   no rate"), "no rate"),
        (failure("Failed", "E   Failed\nE   no rate"), "no rate"),
        (failure("ValueError", ""), "ValueError"),
        (failure("", ""), ""),
        (failure("AssertionError", "", "AssertionError"), "AssertionError"),
    ],
)
def test_the_line_that_says_something(failed: Failure, line: str) -> None:
    """An empty phrase gives way to the traceback's own words."""
    assert meaningful_line(failed) == line


def test_generic_messages_do_not_collapse() -> None:
    """Failures that only say that they failed are told apart by their bodies."""
    results = [result(f"t{n}", failure("Failed", f"E   cause {word}")) for n, word in enumerate(("one", "two"))]
    nowhere: Callable[[Failure], str] = lambda _: ""  # noqa: E731
    assert len(groups(results, nowhere)) == 2


def test_a_result_without_failures_has_a_group() -> None:
    """A producer that gives no reason is no reason to drop the test."""
    (group,) = groups([result("a")], place)
    assert (group.exception, group.message, group.results[0].id) == ("", "", "a")
    assert leading(result("a")) == Failure(phase="", exception="", message="", traceback="")
    assert leading(result("a", failure("first"), failure("second"))).message == "first"


def test_normalising_is_stable() -> None:
    """What is normalised stays as it is."""
    line = normalised("at 0x7f, 3 of 4, /tmp/x/y")
    assert line == "at <address>, <n> of <n>, <tmp>"


def test_a_group_says_where_and_what() -> None:
    """A group has the exception, message and place of its failures, and a fingerprint of twelve hexadecimal digits."""
    (group,) = groups([result("a", failure("boom", "a.py:f"))], place)
    assert (group.exception, group.message, group.place) == ("ValueError", "boom", "a.py:f")
    assert re.fullmatch("[0-9a-f]{12}", group.fingerprint)


def test_a_message_that_is_no_text() -> None:
    """Lone surrogates, which stand for bytes that are no text, make groups like any other message."""
    made = groups(
        [result("a", failure("\udcff")), result("b", failure("\udcff")), result("c", failure("\udcfe"))], place
    )
    assert [len(group.results) for group in made] == [2, 1]
