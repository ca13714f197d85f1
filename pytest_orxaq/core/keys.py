"""The key under which a pass is stored: everything that could have changed the result, as one digest."""

import hashlib
import json

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields


SCHEMA = 1  # raise it when the meaning of a pass changes: every older pass is then missed

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a result depended on. Pairs are sets of name and value: their order means nothing."""

    checkpoint: str
    tree: str  # digest of the work tree's content
    command: tuple[str, ...]
    settings: Pairs = ()  # the parts of the configuration that bear on the verdict
    environment: Pairs = ()
    tools: Pairs = ()  # name → fingerprint
    platform: str = ""
    schema: int = SCHEMA


def digest(manifest: Manifest) -> str:
    """The pass key: SHA-256 over the manifest in its one canonical spelling."""
    return hashlib.sha256(to_json(manifest).encode("ascii")).hexdigest()


def to_json(manifest: Manifest) -> str:
    """The canonical spelling, which is also how a manifest is stored."""
    # Plain ASCII, because values of the environment may hold bytes that are no text (lone surrogates in Python).
    return json.dumps(asdict(_canonical(manifest)), sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> Manifest | None:
    """The manifest that was stored, or None if this is not one that we can read."""
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError):
        return None
    names = {field.name for field in fields(Manifest)}
    if not isinstance(stored, dict) or stored.keys() != names or not _well_formed(stored):
        return None
    return Manifest(
        checkpoint=stored["checkpoint"],
        tree=stored["tree"],
        command=tuple(stored["command"]),
        settings=_pairs(stored["settings"]),
        environment=_pairs(stored["environment"]),
        tools=_pairs(stored["tools"]),
        platform=stored["platform"],
        schema=stored["schema"],
    )


def differences(old: Manifest, new: Manifest) -> tuple[str, ...]:
    """Sentences that say what changed from ``old`` to ``new``; none if nothing did."""
    old, new = _canonical(old), _canonical(new)
    return tuple(_sentences(old, new))


_PAIRS = {"settings": "setting", "environment": "variable", "tools": ""}


def _canonical(manifest: Manifest) -> Manifest:
    return Manifest(
        checkpoint=manifest.checkpoint,
        tree=manifest.tree,
        command=manifest.command,
        settings=tuple(sorted(manifest.settings)),
        environment=tuple(sorted(manifest.environment)),
        tools=tuple(sorted(manifest.tools)),
        platform=manifest.platform,
        schema=manifest.schema,
    )


def _pairs(rows: list[list[str]]) -> Pairs:
    return tuple((name, value) for name, value in rows)


def _well_formed(stored: dict[str, object]) -> bool:
    words = all(isinstance(stored[name], str) for name in ("checkpoint", "tree", "platform"))
    pairs = all(_texts(stored[name], length=2) for name in _PAIRS)
    return words and pairs and type(stored["schema"]) is int and _texts([stored["command"]])


def _texts(rows: object, *, length: int | None = None) -> bool:
    """Whether this is a list of lists of text, each of the given length."""
    return isinstance(rows, list) and all(
        isinstance(row, list) and (length is None or len(row) == length) and all(isinstance(text, str) for text in row)
        for row in rows
    )


def _sentences(old: Manifest, new: Manifest) -> Iterator[str]:
    if old.tree != new.tree:
        yield "the tree differs"
    if old.checkpoint != new.checkpoint:
        yield f"the checkpoint was {old.checkpoint}, is {new.checkpoint}"
    if old.command != new.command:
        yield f"the command was `{' '.join(old.command)}`, is `{' '.join(new.command)}`"
    for name, kind in _PAIRS.items():
        yield from _changed(kind, dict(getattr(old, name)), dict(getattr(new, name)))
    if old.platform != new.platform:
        yield f"the platform was {old.platform}, is {new.platform}"
    if old.schema != new.schema:
        yield f"the form of stored passes was {old.schema}, is {new.schema}"


def _changed(kind: str, old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        label = f"{kind} {name}".strip()
        if name not in old:
            yield f"{label} is new: {new[name]}"
        elif name not in new:
            yield f"{label} is gone: it was {old[name]}"
        elif old[name] != new[name]:
            yield f"{label} changed: {old[name]} -> {new[name]}"
