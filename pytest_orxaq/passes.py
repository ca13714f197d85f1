"""Stored passes: what has passed once need not run again, as long as nothing that it depends on has changed.

A pass is filed under the digest of its manifest (tree, command, configuration, environment, tools). The interpreters
that really ran the tests are known only afterwards, so they are noted in the pass and compared when it is looked up.
"""

import json
import platform
import sys

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .core import keys, records
from .model import Checkpoint, Counts, Outcome, StoredPass
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
        configuration=json.dumps(records.to_data(checkpoint), sort_keys=True),
        environment=tuple(sorted({*allowed, *named, *checkpoint.environment})),
        tools=(*tools.fingerprints((checkpoint.command[0],), environment, top), ("orxaq", _own())),
        platform=f"{platform.system()} {platform.machine()}",
    )


def look_up(state: states.State, manifest: keys.Manifest, *, now: float) -> Lookup:
    """A stored pass for *manifest*, or why there is none."""
    key = keys.digest(manifest)
    data = states.read_json(_path(state, key))
    if data is None:
        return Lookup(key=key, manifest=manifest, story=_why_missed(state, manifest))
    try:
        stored, interpreters, schema = _read(data)
    except (KeyError, TypeError, ValueError):
        return Lookup(key=key, manifest=manifest, story=("the stored pass cannot be read and is not believed",))
    if schema != records.SCHEMA:
        return Lookup(key=key, manifest=manifest, story=("the stored pass was written by another version",))
    if not 0 <= now - stored.passed_at <= LASTING:
        return Lookup(key=key, manifest=manifest, story=("the stored pass is too old, or from the future",))
    for path, then in interpreters.items():
        if _interpreter(path) != then:
            why = f"the interpreter that ran the tests has changed: {path.split('|')[0]}"
            return Lookup(key=key, manifest=manifest, story=(why,))
    story = (f"nothing that it depends on has changed since run {stored.run}",)
    return Lookup(key=key, manifest=manifest, found=stored, story=story)


def keep(state: states.State, lookup: Lookup, outcome: Outcome, *, run: str, now: float) -> None:
    """File the pass of *outcome* under the key that was looked up before it ran."""
    if lookup.manifest is None:
        return
    evidence = outcome.attempts[-1].evidence
    stored = StoredPass(key=lookup.key, run=run, passed_at=now, counts=evidence.counts)
    data = {
        "schema": records.SCHEMA,
        "stored": records.to_data(stored),
        "manifest": records.to_data(lookup.manifest),
        "interpreters": {each: _interpreter(each) for each in evidence.interpreters},
    }
    text = json.dumps(data, indent=1).encode()
    states.write_atomically(_path(state, lookup.key), text)
    states.write_atomically(_latest(state, outcome.checkpoint.name), text)


def _path(state: states.State, key: str) -> Path:
    return state.shared / "passes" / f"{key}.json"


def _latest(state: states.State, checkpoint: str) -> Path:
    """A copy of a checkpoint's last pass in this work tree: what a miss is explained against."""
    return state.own / "latest" / f"{checkpoint}.json"


def _read(data: object) -> tuple[StoredPass, dict[str, str], int]:
    if not isinstance(data, dict):
        raise TypeError(data)
    stored = records.from_data(StoredPass, data["stored"])
    return stored, dict(data["interpreters"]), data["schema"]


def _why_missed(state: states.State, manifest: keys.Manifest) -> tuple[str, ...]:
    data = states.read_json(_latest(state, manifest.checkpoint))
    if not isinstance(data, dict):
        return ("this checkpoint has not passed here yet",)
    try:
        before = records.from_data(keys.Manifest, data.get("manifest"))
    except ValueError:
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
