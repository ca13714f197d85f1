"""Secrets are taken out before anything is shown."""

import base64
import json
import time

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

import pytest

from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_orxaq.core.redaction import MARK, NONE, redact, redacted, secrets_of


SECRET = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), min_size=8, max_size=40
).filter(lambda text: len(text.strip()) >= 8 and text not in MARK and MARK not in text)


@given(secret=SECRET, before=st.text(max_size=10), after=st.text(max_size=10))
def test_a_known_secret_never_survives(secret: str, before: str, after: str) -> None:
    """Neither the value nor its form in repr, JSON, an address or base64 comes through."""
    assume(secret not in before + MARK + after)
    secrets = secrets_of({"API_TOKEN": secret})
    for spelled in (
        secret,
        repr(secret),
        json.dumps(secret, ensure_ascii=False),
        quote(secret),
        quote_plus(secret, safe=""),
        quote(secret, safe=""),
    ):
        inner = spelled.strip("'\"")
        shown = redact(f"{before}{spelled}{after}", secrets)
        assert secret not in shown
        assert len(inner) < 8 or inner not in shown.replace(MARK, "") or inner in before + after


SPIKY = "pass/wörd \"'\\~_.-"


@pytest.mark.parametrize(
    "spelled",
    [
        SPIKY,
        repr(SPIKY)[1:-1],
        json.dumps(SPIKY)[1:-1],
        json.dumps(SPIKY, ensure_ascii=False)[1:-1],
        quote(SPIKY),
        quote(SPIKY, safe=""),
        quote_plus(SPIKY),
    ],
)
def test_nothing_of_a_spelling_is_left(spelled: str) -> None:
    """Each spelling of a secret is taken out from its first character to its last."""
    assert redact(f"<{spelled}>", secrets_of({"API_TOKEN": SPIKY})) == f"<{MARK}>"


def test_of_two_secrets_the_longer_goes_first() -> None:
    """A secret that begins another one leaves nothing of the other."""
    secrets = secrets_of({"A_TOKEN": "correct-horse", "B_TOKEN": "correct-horse-battery", "C_TOKEN": "horse-battery"})
    assert redact("correct-horse-battery", secrets) == MARK


def test_a_secret_that_is_no_text() -> None:
    """Bytes that are no text, which Python keeps as lone surrogates, do not save a secret."""
    assert redact("is hunter2\udcffhunter2", secrets_of({"TOKEN": "hunter2\udcffhunter2"})) == f"is {MARK}"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "?", "??", "???"])
@pytest.mark.parametrize("secret", ["hunter2?hunter2?", "hunter2>hunter2>+", "hunter2~hunter2~++"])
def test_of_base64_only_shared_bits_are_left(encode: Callable[[bytes], bytes], before: str, secret: str) -> None:
    """Inside base64 every character that belongs to the secret alone is taken out, at each alignment."""
    encoded = encode(f"{before}{secret}??????".encode()).decode()
    first, end = 8 * len(before), 8 * (len(before) + len(secret))
    alone = [at for at in range(len(encoded)) if first <= 6 * at and 6 * (at + 1) <= end]
    left = encoded[: alone[0]] + MARK + encoded[alone[-1] + 1 :]
    assert redact(encoded, secrets_of({"PASSWORD": secret})) == left


@given(secret=SECRET, before=st.binary(max_size=5), after=st.binary(max_size=5))
def test_a_secret_inside_base64_never_survives(secret: str, before: bytes, after: bytes) -> None:
    """Wherever in an encoded text the secret stands, it cannot be decoded from what is left."""
    shown = redact(base64.b64encode(before + secret.encode() + after).decode(), secrets_of({"PASSWORD": secret}))
    assert MARK in shown


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("GITHUB_TOKEN", "hunter2hunter2", True),
        ("db_password", "hunter2hunter2", True),
        ("MY_CREDENTIALS", "hunter2hunter2", True),
        ("PATH", "hunter2hunter2", False),
        ("API_KEY", "short", False),
        ("GOOGLE_CREDENTIALS_FILE", "/home/ada/key.json", False),
        ("KEY_FILE", "hunter2hunter2", True),
        ("SSH_KEY_PATH", "~/.ssh/id_ed25519", False),
    ],
)
def test_names_tell_secrets(name: str, value: str, found: bool) -> None:
    """The value of a telling name is a secret unless it is short or names a place."""
    assert (value in secrets_of({name: value}).values) is found


def test_passwords_in_addresses_are_secrets() -> None:
    """The password of an address is a secret whatever the variable is called."""
    secrets = secrets_of({"DATABASE_URL": "postgres://ada:correct-horse@db/shop"})
    assert redact("login with correct-horse failed", secrets) == f"login with {MARK} failed"


def test_lines_of_a_long_secret_are_secrets() -> None:
    """A key of several lines is found although a traceback indents each of them."""
    secrets = secrets_of({"SIGNING_KEY": "first-line-of-it\nsecond-line-of-it\n"})
    assert redact("E   first-line-of-it\nE   second-line-of-it", secrets) == f"E   {MARK}\nE   {MARK}"


def test_the_mark_is_no_secret() -> None:
    """A secret that is part of our own mark is left alone: it would grow with each pass."""
    assert secrets_of({"TOKEN": "redacted"}) == NONE


@pytest.mark.parametrize(
    "text",
    [
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1B2_" * 9,
        "glpat-" + "a1B2" * 5,
        "AKIA" + "A1B2" * 4,
        "xoxb-" + "1234567890-abc",
        "sk-" + "a1B2" * 8,
        "sk-proj-" + "a1B2" * 8,
        "npm_" + "a1B2" * 9,
        "pypi-" + "a1B2" * 12,
        "Bearer " + "a1B2" * 4,
        "Authorization: Basic " + "a1B2" * 4,
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
        "https://ada:pw@example.org/",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl",
    ],
)
def test_shapes_of_secrets_are_found(text: str) -> None:
    """What has the shape of a credential is taken out though nobody named it."""
    shown = redact(f"before {text} after")
    assert MARK in shown
    assert text not in shown


@pytest.mark.parametrize(
    "text", ["task-force-of-the-whole-company", "https://example.org/a:b@c", "the bearer of news", "enough_x", ""]
)
def test_innocent_text_stays(text: str) -> None:
    """Words that look a little like it are left alone."""
    assert redact(text) == text


@given(st.text(), SECRET)
def test_twice_is_once(text: str, secret: str) -> None:
    """Redacting what is redacted changes nothing."""
    secrets = secrets_of({"TOKEN": secret})
    once = redact(text + secret, secrets)
    assert redact(once, secrets) == once


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a record."""

    text: str
    number: int = 3


def test_records_are_redacted_however_deep() -> None:
    """Dataclasses, tuples, lists, sets and mappings are walked, and keep their types."""
    secrets = secrets_of({"TOKEN": "hunter2hunter2"})
    dirty = (Part(text="hunter2hunter2"), [{"hunter2hunter2": frozenset({"hunter2hunter2"})}], None, 1.5)
    assert redacted(dirty, secrets) == (Part(text=MARK), [{MARK: frozenset({MARK})}], None, 1.5)


def test_a_clean_record_comes_back_itself() -> None:
    """What holds no secret is not copied."""
    clean = (Part(text="fine"), {"a": ("b",)}, Part)
    assert redacted(clean) is clean


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN " + "PRIVATE KEY" * 30_000,
        "://" + "a-" * 150_000,
        "://" + "a:" * 150_000,
        "://a:b" * 50_000,
        "eyJ-" * 75_000,
        "eyJ" + "a" * 300 + ("." + "eyJ" + "a" * 300) * 1_000,
        "Bearer" + " " * 300_000,
        "authorization" * 20_000 + "basic ",
    ],
    ids=range(8),
)
def test_a_hostile_flood_costs_its_length(text: str) -> None:
    """Text that looks like the beginning of a secret over and over does not stop the gate."""
    began = time.monotonic()
    redact(text)
    secrets_of({"X": text})
    assert time.monotonic() - began < 20
