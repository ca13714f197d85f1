"""Start processes."""

import subprocess

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a short command said."""

    code: int | None
    signal: int | None
    out: bytes
    err: bytes
    timed_out: bool
    truncated: bool


def ask(
    command: tuple[str, ...],
    *,
    directory: Path,
    environment: Mapping[str, str] | None,
    timeout: float = 30.0,
    input: bytes = b"",
    limit: int = 64 << 20,
) -> Answer:
    """Run a short command to its end and return what it said."""
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, input=input, timeout=timeout, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired:
        return Answer(code=None, signal=9, out=b"", err=b"", timed_out=True, truncated=False)
    return Answer(
        code=done.returncode if done.returncode >= 0 else None,
        signal=-done.returncode if done.returncode < 0 else None,
        out=done.stdout[:limit],
        err=done.stderr[:limit],
        timed_out=False,
        truncated=len(done.stdout) > limit or len(done.stderr) > limit,
    )
