"""Stored passes: what has passed once need not run again, as long as nothing that it depends on has changed.

A pass is filed under the digest of its manifest (tree, command, configuration, environment, tools). The interpreters
that really ran the tests are known only afterwards, so they are noted in the pass and compared when it is looked up.
"""

import contextlib
import json
import os
import sys

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .core import keys, records
from .model import Checkpoint, Evidence, Outcome, StoredPass
from .repository import trees
from .system import state as states
from .system import tools
from .version import __version__


LASTING = 7 * 24 * 3600.0  # seconds; the world outside of the key changes too


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What looking for a stored pass came to."""

    key: str = ""  # empty: no key could be made, nothing is stored
    manifest: keys.Manifest | None = None
    found: StoredPass | None = None
    story: tuple[str, ...] = ()  # why it hit, missed, or was not looked for; sentences


def manifest_of(
    checkpoint: Checkpoint, tree: str, environment: Mapping[str, str], allowed: tuple[tuple[str, str], ...], top: Path
) -> keys.Manifest:
    """Everything that a pass of *checkpoint* depends on, as far as it is known beforehand."""
    named = tuple((name, environment.get(name, "")) for name in checkpoint.key_environment)
    return keys.Manifest(
        checkpoint=checkpoint.name,
        tree=tree,
        command=checkpoint.command,
        settings=(
            ("evidence", checkpoint.evidence.value),
            ("junit", " ".join(checkpoint.junit)),
            ("timeout", str(checkpoint.timeout)),
            ("retries", str(checkpoint.retries)),
        ),
        # What the configuration sets for the command wins over what it inherits.
        environment=tuple(sorted((dict(allowed) | dict(named) | dict(checkpoint.environment)).items())),
        tools=(*tools.fingerprints((checkpoint.command[0],), environment, top), ("orxaq", _own())),
        platform=f"{(system := os.uname()).sysname} {system.machine}",
    )


def look_up(state: states.State, manifest: keys.Manifest, *, now: float) -> Lookup:
    """A stored pass for *manifest*, or why there is none."""
    key = keys.digest(manifest)
    data = states.read_json(_path(state, key), schema=records.SCHEMA)
    found, story = (
        None,
        _why_missed(state, manifest) if data is None else ("the stored pass is damaged and not believed",),
    )
    if data is not None:
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
            found, story = _believed(data, key, now)
    return Lookup(key=key, manifest=manifest, found=found, story=story)


def _believed(data: Any, key: str, now: float) -> tuple[StoredPass | None, tuple[str, ...]]:
    """The stored pass, if it still holds, and why it does or does not."""
    stored = records.from_data(StoredPass, data["stored"])
    if stored.key != key:
        return None, ("the stored pass is of another content, and not believed",)
    if not 0 <= now - stored.passed_at <= LASTING:
        return None, ("the stored pass is too old, or from the future",)
    if changed := changed_since(tuple(data["interpreters"].items())):
        return None, (f"the interpreter that ran the tests has changed: {changed}",)
    return stored, (f"nothing that it depends on has changed since run {stored.run}",)


def keep(state: states.State, lookup: Lookup, outcome: Outcome, *, run: str, now: float) -> None:
    """File the pass of *outcome* under the key that was looked up before it ran."""
    if lookup.manifest is None:
        return
    evidence = outcome.attempts[-1].evidence
    stored = StoredPass(key=lookup.key, run=run, passed_at=now, counts=evidence.counts)
    data = {
        "schema": records.SCHEMA,
        "stored": records.to_data(stored),
        "manifest": keys.to_json(lookup.manifest),
        "interpreters": dict(looks_of(evidence)),
    }
    text = json.dumps(data, indent=1).encode()
    states.write_atomically(_path(state, lookup.key), text)
    states.write_atomically(_latest(state, outcome.checkpoint.name), text)


def looks_of(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """The interpreters that ran the tests, and what they look like now: their program and the packages that they have."""
    return tuple((noted, _interpreter(noted)) for noted in dict.fromkeys(evidence.interpreters))


def changed_since(looks: tuple[tuple[str, str], ...]) -> str:
    """The path of an interpreter that looks otherwise by now, or empty."""
    return next((noted.split("|")[0] for noted, then in looks if _interpreter(noted) != then), "")


def _path(state: states.State, key: str) -> Path:
    return state.passes / f"{key}.json"


def _latest(state: states.State, checkpoint: str) -> Path:
    """A copy of a checkpoint's last pass in this work tree: what a miss is explained against."""
    return state.own / f"latest-{checkpoint}.json"


def _why_missed(state: states.State, manifest: keys.Manifest) -> tuple[str, ...]:
    data = states.read_json(_latest(state, manifest.checkpoint), schema=records.SCHEMA)
    if not isinstance(data, dict):
        return ("this checkpoint has not passed here yet",)
    before = keys.from_json(str(data.get("manifest")))
    if before is None:
        return ("the last pass of this checkpoint cannot be read",)
    return keys.differences(before, manifest) or ("the stored pass of this content has been removed",)


def _interpreter(noted: str) -> str:
    """What an interpreter noted as ``path|version|prefix`` looks like now."""
    path, _, prefix = noted.split("|", 2)
    return f"{tools.fingerprint(Path(path))} {tools.packages(Path(prefix))}"


def _own() -> str:
    """This program itself: another version of the gate judges anew."""
    return f"{__version__} on {sys.version_info.major}.{sys.version_info.minor}"


def dropped(tree: trees.TreeDigest) -> Lookup:
    """No key, since the content could not be named."""
    return Lookup(story=(f"no pass can be stored or found: {tree.why_not}",))
