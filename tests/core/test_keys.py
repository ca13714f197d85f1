"""Pass keys: equal exactly if everything that counts is equal."""

import json

from dataclasses import replace

import pytest

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq.core.keys import SCHEMA, Manifest, differences, digest, from_json, to_json


OLD = Manifest(
    checkpoint="test",
    tree="aa",
    command=("make", "test"),
    settings=(("evidence", "tests"),),
    environment=(("LANG", "C"), ("PATH", "/bin")),
    tools=(("python", "/a/python 3.11.7"),),
    platform="linux-x86_64",
)

CHANGED = {
    "tree": ({"tree": "bb"}, "the tree differs"),
    "checkpoint": ({"checkpoint": "lint"}, "the checkpoint was test, is lint"),
    "command": ({"command": ("make", "check")}, "the command was `make test`, is `make check`"),
    "settings": ({"settings": (("evidence", "exit"),)}, "setting evidence changed: tests -> exit"),
    "variable gone": ({"environment": (("PATH", "/bin"),)}, "variable LANG is gone: it was C"),
    "variable new": ({"environment": (*OLD.environment, ("TZ", "UTC"))}, "variable TZ is new: UTC"),
    "tool": ({"tools": (("python", "3.12.1"),)}, "python changed: /a/python 3.11.7 -> 3.12.1"),
    "platform": ({"platform": "darwin"}, "the platform was linux-x86_64, is darwin"),
    "schema": ({"schema": SCHEMA + 1}, f"the form of stored passes was {SCHEMA}, is {SCHEMA + 1}"),
}


@pytest.mark.parametrize(("change", "sentence"), CHANGED.values(), ids=CHANGED)
def test_every_change_counts_and_is_told(change: dict[str, object], sentence: str) -> None:
    """Whatever changes gives another key, and one sentence."""
    new = replace(OLD, **change)  # type: ignore[arg-type]
    assert digest(new) != digest(OLD)
    assert differences(OLD, new) == (sentence,)


def test_order_means_nothing() -> None:
    """Variables in another order are the same variables."""
    new = replace(OLD, environment=OLD.environment[::-1])
    assert digest(new) == digest(OLD)
    assert differences(OLD, new) == ()


def test_arguments_are_not_joined() -> None:
    """The same words in other arguments are another command."""
    assert digest(replace(OLD, command=("make test",))) != digest(OLD)


PAIRS = some.dictionaries(some.text(), some.text(), max_size=3).map(lambda pairs: tuple(pairs.items()))
# Any text, also what stands for bytes that are no text.
WORDS = some.text(some.characters(exclude_categories=[]), max_size=5)
MANIFESTS = some.builds(
    Manifest,
    checkpoint=WORDS,
    tree=WORDS,
    command=some.lists(WORDS, max_size=3).map(tuple),
    settings=PAIRS,
    environment=PAIRS,
    tools=PAIRS,
    platform=WORDS,
    schema=some.integers(),
)


@given(MANIFESTS)
def test_what_is_stored_can_be_read(manifest: Manifest) -> None:
    """A manifest survives the disk: same key, no differences."""
    text = to_json(manifest)
    assert text.isascii()
    read = from_json(text)
    assert read is not None
    assert digest(read) == digest(manifest)
    assert differences(manifest, read) == ()


@given(MANIFESTS, MANIFESTS)
def test_keys_differ_exactly_where_a_difference_is_told(old: Manifest, new: Manifest) -> None:
    """There is a sentence for a miss, and none for a hit."""
    assert (digest(old) == digest(new)) == (differences(old, new) == ())


STORED = {
    "schema": SCHEMA,
    "checkpoint": "test",
    "tree": "aa",
    "command": ["make", "test"],
    "settings": [["evidence", "tests"]],
    "environment": [["LANG", "C"], ["PATH", "/bin"]],
    "tools": [["python", "/a/python 3.11.7"]],
    "platform": "linux-x86_64",
}


def test_the_stored_form() -> None:
    """A manifest is stored as a JSON object of its fields, in one spelling: sorted and without blanks."""
    assert to_json(OLD) == json.dumps(STORED, sort_keys=True, separators=(",", ":"))
    assert from_json(json.dumps(STORED)) == OLD


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        STORED | {"more": 1},
        STORED | {"tree": 1},
        STORED | {"schema": True},
        STORED | {"schema": "1"},
        STORED | {"command": "make"},
        STORED | {"command": [1]},
        STORED | {"environment": {"A": "B"}},
        STORED | {"environment": ["AB"]},
        STORED | {"environment": [["A"]]},
        STORED | {"environment": [["A", "B", "C"]]},
        STORED | {"tools": [["A", 1]]},
    ],
)
def test_what_is_no_manifest(content: object) -> None:
    """Anything else than a manifest is not read, and nothing is raised."""
    assert from_json(json.dumps(content)) is None


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_what_is_no_json(text: str) -> None:
    """Text that is no JSON is not read."""
    assert from_json(text) is None
