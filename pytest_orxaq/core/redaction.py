"""Take secrets out of text and of records, before any renderer or log sees them."""

import base64
import json
import re

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar


MARK = "[redacted]"

_SHORTEST = 8  # below this a value is found in innocent text
_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|KEY|CREDENTIAL", re.IGNORECASE)
_NAME_OF_A_PLACE = re.compile(r"(?:FILE|PATH|DIR|SOCK|SOCKET|HOME)$", re.IGNORECASE)
_USERINFO = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/:@?#]*:([^\s/@]+)@")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Values that must never be shown, longest first, with the spellings in which they travel."""

    values: tuple[str, ...] = ()


NONE = Secrets()


def secrets_of(environment: Mapping[str, str]) -> Secrets:
    """The secrets that an environment holds: values of telling names, and passwords inside addresses."""
    found: set[str] = set()
    for name, value in environment.items():
        if _NAME.search(name) and not (_NAME_OF_A_PLACE.search(name) and value.startswith(("/", "~"))):
            found.update(_pieces(value))
        for match in _USERINFO.finditer(value):
            found.update(_pieces(match[1]))
    spelled = {spelling for value in found if value not in MARK for spelling in _spellings(value)}
    return Secrets(values=tuple(sorted(spelled, key=lambda value: (-len(value), value))))


def _pieces(value: str) -> Iterator[str]:
    """The value, and the lines of a long one: a traceback indents them one by one."""
    for piece in (value, *value.splitlines()):
        if len(piece.strip()) >= _SHORTEST:
            yield piece.strip()


def _spellings(value: str) -> Iterator[str]:
    """The value as it is, as repr and JSON write it, in an address, and inside base64 at each of the three alignments."""
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(value)[1:-1]
    raw = value.encode("utf-8", "surrogatepass")
    for safe in (b"", b"/"):
        yield "".join(chr(b) if (chr(b).isalnum() and b < 0x80) or b in b"-._~" + safe else f"%{b:02X}" for b in raw)
    # As forms send it, with a plus for a blank.
    yield "".join(
        chr(b) if (chr(b).isalnum() and b < 0x80) or b in b"-._~" else "+" if b == 0x20 else f"%{b:02X}" for b in raw
    )
    for offset in range(3):
        # The characters that share bits with the neighbours differ from place to place; what lies between is fixed.
        first = (0, 2, 3)[offset]
        bits = 8 * (offset + len(raw))
        yield base64.b64encode(b"\0" * offset + raw).decode()[first : bits // 6]
        yield base64.urlsafe_b64encode(b"\0" * offset + raw).decode()[first : bits // 6]


# Each with a literal that must be there first: looking for that is what makes a clean text cheap. What stands before
# a sign that may never come is bounded, or hostile text would cost the square of its length.
_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = tuple(
    (literals, re.compile(pattern), replacement)
    for literals, pattern, replacement in (
        (
            ("-----BEGIN",),
            r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY[A-Z ]{0,10}-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,50}-----|\Z)",
            MARK,
        ),
        (("://",), r"(\b[A-Za-z][A-Za-z0-9+.-]{0,20}://)[^\s/:@?#'\"]*:[^\s/@'\"]+@", rf"\1{MARK}@"),
        (("gh",), r"\bgh[pousr]_[A-Za-z0-9]{20,}", MARK),
        (("github_pat_",), r"\bgithub_pat_[A-Za-z0-9_]{20,}", MARK),
        (("glpat-",), r"\bglpat-[A-Za-z0-9_.-]{20,}", MARK),
        (("AKIA", "ASIA"), r"\bA[KS]IA[A-Z0-9]{16}\b", MARK),
        (("xox",), r"\bxox[a-z]-[A-Za-z0-9-]{10,}", MARK),
        (("sk-", "sk_"), r"\bsk[-_][A-Za-z0-9_-]{20,}", MARK),
        (("npm_",), r"\bnpm_[A-Za-z0-9]{30,}", MARK),
        (("pypi-",), r"\bpypi-[A-Za-z0-9_-]{30,}", MARK),
        (("earer", "EARER"), r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}", rf"\1{MARK}"),
        (("asic ", "ASIC "), r"(?i)\b(authorization['\"]?\s*[:=]\s*['\"]?basic\s+)[A-Za-z0-9+/=_-]{6,}", rf"\1{MARK}"),
        (("eyJ",), r"\beyJ[A-Za-z0-9_-]{8,400}\.[A-Za-z0-9_-]{4,4000}\.[A-Za-z0-9_-]*", MARK),
    )
)


def redact(text: str, secrets: Secrets = NONE) -> str:
    """The text without the known secrets, and without anything that has the shape of one."""
    for value in secrets.values:
        if value in text:
            text = text.replace(value, MARK)
    for literals, pattern, replacement in _PATTERNS:
        if any(literal in text for literal in literals):
            text = pattern.sub(replacement, text)
    return text


def redacted(value: Value, secrets: Secrets = NONE) -> Value:
    """The value with every text in it redacted, however deep; a value without secrets comes back as it was."""
    changed: Any = _redacted(value, secrets)
    return changed  # type: ignore[no-any-return]


def _redacted(value: Any, secrets: Secrets) -> Any:
    if type(value) is str:
        return redact(value, secrets)
    if is_dataclass(value) and not isinstance(value, type):
        old = {field.name: getattr(value, field.name) for field in fields(value)}
        new = {name: _redacted(part, secrets) for name, part in old.items()}
        return value if all(new[name] is old[name] for name in old) else replace(value, **new)
    if isinstance(value, Mapping):
        pairs = {_redacted(key, secrets): _redacted(part, secrets) for key, part in value.items()}
        return value if pairs == value else pairs
    if isinstance(value, (tuple, list, frozenset)):
        parts = [_redacted(part, secrets) for part in value]
        return value if all(a is b for a, b in zip(parts, value, strict=True)) else type(value)(parts)
    return value
