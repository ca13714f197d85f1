"""Which versions of the tools were at work: asked only for a report, and never worth waiting for."""

import contextlib
import json
import time

from collections.abc import Iterable, Mapping
from pathlib import Path

from .errors import MachineError
from .system import process, state, tools


SCHEMA = 1
TIME = 1.5  # seconds for all answers together; those that take longer start a virtual machine first
_ALWAYS = ("git", "make", "python3", "python")
# Only these are run: of any other program nobody knows what it takes `--version` for.
_ANSWERING = {
    *_ALWAYS,
    *("bash", "bazel", "cargo", "cmake", "composer", "ctest", "gmake", "hatch", "just", "mypy", "ninja", "node", "nox"),
    *("npm", "pdm", "php", "pnpm", "poetry", "pre-commit", "prek", "pytest", "ruby", "ruff", "tox", "uv", "yarn"),
}


def of_tools(
    programs: Iterable[str], environment: Mapping[str, str], top: Path, *, store: Path
) -> tuple[tuple[str, str], ...]:
    """(name, version line) of git, make, Python and the *programs* of checkpoints, as the environment's PATH has them.

    Of a program that is not known to tell its version quickly, the line says where it is. *store* is a file of ours, by which
    an answer is remembered as long as the program's file stays the same.
    """
    until = time.monotonic() + TIME
    remembered = _remembered(store)
    known = dict(remembered)
    found = {}
    for program in dict.fromkeys((*_ALWAYS, *programs)):
        path = (top / program) if "/" in program else tools.which(program, environment)
        if path is None or not path.exists():
            found[program] = "not found"
        # A version manager's shim takes its time, and gives another answer in another folder.
        elif path.name not in _ANSWERING or path.parent.name == "shims":
            found[program] = str(path)
        else:
            key = tools.fingerprint(path)
            line = known.get(key) or _answer(path, environment, top, until)
            found[program] = line or f"{path}, which does not tell its version"
            if line:
                known[key] = line
    if known != remembered:
        with contextlib.suppress(OSError):
            state.write_atomically(store, json.dumps({"schema": SCHEMA, "lines": known}).encode())
    if found["python"] == "not found":
        del found["python"]  # python3 says enough
    return tuple(found.items())


def _remembered(store: Path) -> dict[str, str]:
    data = state.read_json(store, schema=SCHEMA)
    lines = data.get("lines") if isinstance(data, dict) else None
    return {str(key): str(line) for key, line in lines.items()} if isinstance(lines, dict) else {}


def _answer(path: Path, environment: Mapping[str, str], top: Path, until: float) -> str:
    """The first line of what *path* says of itself, empty if it says nothing in time."""
    left = until - time.monotonic()
    if left <= 0:
        return ""
    try:
        command = (str(path), "--version")
        said = process.ask(command, directory=top, environment=environment, timeout=left, limit=4096)
    except MachineError:
        return ""
    first = (said.out or said.err).decode("utf-8", "replace").strip().partition("\n")[0]
    return first if said.code == 0 else ""
