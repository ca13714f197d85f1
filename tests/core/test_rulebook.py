"""Rules in tables of TOML: what is read, what is refused and how it is told."""

import re

from typing import Any

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.actions import Action
from pytest_orxaq.core.rulebook import KEYS, RuleError, doubt, read, why_not
from pytest_orxaq.model import Rule


GOOD: dict[str, Any] = {
    "id": "mirror-busy",
    "program": "fetch",
    "action": "retry",
    "advice": "Wait.",
    "regex": r"fetch: 503 .*",
    "needle": "fetch: ",
    "matches": ["fetch: 503 busy"],
}
BY_EXIT = {"id": "mirror-code", "program": "fetch", "action": "retry", "advice": "Wait.", "exit": 75}


def told(table: object) -> tuple[str, str]:
    """At which key a table is refused, and what is said."""
    with pytest.raises(RuleError) as caught:
        doubt(read(table))
    return caught.value.key, caught.value.what


def test_every_key() -> None:
    """Every key is read; one text stands for a list of one."""
    rest = {"aliases": "old", "source": "fetch.c", "above": "x", "unless": ["no"], "misses": ["a"], "passive": True}
    assert read(GOOD | rest) == Rule(
        id="mirror-busy",
        aliases=("old",),
        programs=("fetch",),
        action=Action.RETRY,
        advice="Wait.",
        source="fetch.c",
        passive=True,
        regex="fetch: 503 .*",
        needles=("fetch: ",),
        above=("x",),
        unless=("no",),
        matches=("fetch: 503 busy",),
        misses=("a",),
    )
    assert {*GOOD, *rest} | {"exit", "signal", "errno", "exception"} == set(KEYS)
    by_exit = read(BY_EXIT)
    assert (by_exit.exits, by_exit.passive) == ((75,), False)
    assert read(BY_EXIT | {"exit": [1, 255]}).exits == (1, 255)
    others = {"signal": "SIGXCPU", "errno": ["EAGAIN", "ENOMEM"], "exception": "ssl.SSLError"}
    for key, value in others.items():
        table = {name: other for name, other in BY_EXIT.items() if name != "exit"} | {key: value}
        found = read(table)
        doubt(found)
        assert (*found.signals, *found.errnos, *found.exceptions) == (
            tuple(value) if isinstance(value, list) else (value,)
        )


@pytest.mark.parametrize(
    ("table", "key", "what"),
    [
        ([], "", "a signature must be a table"),
        (GOOD | {"reqex": "x"}, "reqex", 'unknown key "reqex" in a signature; did you mean "regex"?'),
        (GOOD | {"zzz": "x"}, "zzz", 'unknown key "zzz" in a signature; known are id, aliases'),
        (GOOD | {"id": "Mirror busy"}, "id", "a signature needs an id of small letters"),
        ({name: value for name, value in GOOD.items() if name != "id"}, "id", "a signature needs an id"),
        (GOOD | {"id": 7}, "id", "id must be text"),
        (GOOD | {"exit": 1}, "exit", "mirror-busy: regex and exit both say what it matches"),
        ({"id": "x", "action": "retry"}, "id", "x: nothing says what it matches"),
        (BY_EXIT | {"needle": "x"}, "needle", "mirror-code: needle belongs to a regex"),
        (GOOD | {"action": "retry-later"}, "action", 'mirror-busy: unknown action "retry-later"; did you mean "retry'),
        (
            GOOD | {"action": "RETRY_REDUCED"},
            "action",
            'mirror-busy: unknown action "RETRY_REDUCED"; did you mean "retry-r',
        ),
        (GOOD | {"action": ""}, "action", "mirror-busy: action is missing; known are retry, retry-reduced"),
        (GOOD | {"passive": 1}, "passive", "passive must be true or false"),
        (GOOD | {"unless": [""]}, "unless", "unless must be text or a list of text, none of it empty"),
        (BY_EXIT | {"exit": 0}, "exit", "exit must be a whole number from 1 to 255"),
        (BY_EXIT | {"exit": [1, 256]}, "exit", "exit must be a whole number from 1 to 255"),
        (BY_EXIT | {"exit": True}, "exit", "exit must be a whole number from 1 to 255"),
        (BY_EXIT | {"exit": []}, "id", "mirror-code: what it matches is empty"),
        (BY_EXIT | {"program": []}, "exit", "mirror-code: an exit code means nothing without a program"),
        (GOOD | {"program": "two words"}, "program", 'mirror-busy: "two words" is no name of a program'),
        (GOOD | {"advice": ""}, "advice", "mirror-busy: advice is missing"),
        (GOOD | {"action": "repair"}, "action", "mirror-busy: only git's locks are repaired"),
        (GOOD | {"regex": ""}, "id", "mirror-busy: what it matches is empty"),
        (GOOD | {"regex": "("}, "regex", "mirror-busy: regex: not a regular expression: missing )"),
        (GOOD | {"unless": ["(a+)+"]}, "unless", "mirror-busy: unless: a group is repeated"),
        (GOOD | {"needle": []}, "needle", "mirror-busy: needle is missing"),
        (GOOD | {"matches": []}, "matches", "mirror-busy: matches is missing"),
    ],
)
def test_what_is_refused(table: object, key: str, what: str) -> None:
    """A rule that makes no sense is refused at the key that is to blame."""
    at, said = told(table)
    assert at == key
    assert said.startswith(what)


def test_what_to_do_instead() -> None:
    """An error is its own words, and bears advice only where there is any."""
    plain = RuleError("id", "words")
    assert (str(plain), plain.key, plain.advice) == ("words", "id", "")
    with pytest.raises(RuleError) as caught:
        doubt(read(GOOD | {"action": "repair"}))
    assert caught.value.advice == "Use no-retry, and say in the advice what mends it."


def test_only_an_exit_code_needs_a_program() -> None:
    """A signal, an error's name or an exception means the same whoever it comes from."""
    for key in ("signal", "errno", "exception"):
        doubt(read({"id": "x", "action": "retry", "advice": "Wait.", key: "ANY"}))


def test_what_is_passed_over_needs_no_advice() -> None:
    """Nobody is told of a line that says nothing; a git lock may be repaired."""
    doubt(read(GOOD | {"action": "ignore", "advice": ""}))
    doubt(read(GOOD | {"action": "repair", "program": "git"}))


@pytest.mark.parametrize(
    "regex",
    [
        "plain",
        r".*a.*b.*",
        r"a.*",
        r"(?:a.*|b.*|c.*d.*e.*)",
        r"[^:]*+:[^:]*+:[^:]*+:.*",
        r"\S++ \d++ \w*",
        r"(?:ab){3}(?:c|d){0,16}",
        r"(?P<name>a)(?P=name)(?=b)(?!c)(?<=d)(?#note)(?i:e)x{,3}y{2,}z{}",
        r"[]a+*]*\)\+\*",
        r"a{1,16}b{16}c{2,9}?d??",
        r"((a))?.*",
        r"(?:.*x)?.*y",
        r"a{16}b{,16}c{2,16}",
        "",
    ],
)
def test_regexes_that_are_taken(regex: str) -> None:
    """Two open repeats may follow each other, more where none gives back what it took; the last may be anything."""
    assert why_not(regex) == ""


@pytest.mark.parametrize(
    ("regex", "why"),
    [
        ("a)", "not a regular expression"),
        ("x" + "(" * 400 + ")" * 400 + "{99999999999999}", "not a regular expression"),
        (r"(a+)+$", "a group is repeated"),
        (r"(a|aa)*b", "a group is repeated"),
        (r"(?:a){17}", "a group is repeated"),
        (r".*a.*b.*c", "3 open repeats"),
        (r"a+b+c+", "3 open repeats"),
        (r"a+?b*?c{20}", "3 open repeats"),
        (r"a{,99}b{3,}c+", "3 open repeats"),
        (r"(?:x|.*a.*b.*)c", "3 open repeats"),
        (r"(?:a*b){3}", "3 open repeats"),
        (r"[^]]*\S*\[*", "3 open repeats"),
    ],
)
def test_regexes_that_may_take_too_long(regex: str, why: str) -> None:
    """What could take more than the square of a line's length, or for ever, is not taken."""
    assert why in why_not(regex)


def test_what_to_write_instead_of_too_many_repeats() -> None:
    """Whoever is refused is told how many repeats there are, how many may be, and of the kind that costs nothing."""
    assert why_not("a+b+c+") == (
        "3 open repeats follow each other, which takes long on long lines; at most 2 may. Write [^:]*+ or "
        r"\S++, which never give back what they took, or leave some out"
    )


ATOMS = st.sampled_from(["a", ".", "[ab]", r"\w", "(?:a|b)", "(a)"])
REPEATS = st.sampled_from(["", "*", "+", "?", "{3}", "{2,}", "*+", "+?", "{,40}"])
PIECES = st.tuples(ATOMS, REPEATS).map("".join)


@given(st.lists(PIECES, max_size=6).map("".join))
def test_what_is_taken_is_bounded(regex: str) -> None:
    """Of a regex that is taken Python itself says the same: no more than two repeats that can be redone, none of groups."""
    if why_not(regex):
        return
    parsed = list(re._parser.parse(regex))  # type: ignore[attr-defined]
    repeats = [(str(kind), value[1], str(value[2][0][0])) for kind, value in parsed if "REPEAT" in str(kind)]
    open_repeats = [kind for kind, most, _ in repeats if most > 16 and kind != "POSSESSIVE_REPEAT"]
    ends_in_anything = bool(parsed) and "REPEAT" in str(parsed[-1][0]) and str(parsed[-1][1][2][0][0]) == "ANY"
    assert len(open_repeats) - ends_in_anything <= 2
    assert all(most <= 16 for _, most, inside in repeats if inside in {"SUBPATTERN", "BRANCH"})
