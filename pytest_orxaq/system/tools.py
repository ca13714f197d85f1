"""Which programs a command would find, and whether they are still the same: by file, without running them."""

import hashlib
import os

from collections.abc import Iterable, Mapping
from pathlib import Path


# Interpreters and compilers whose change can turn a pass into a failure. A name that is not there costs nothing.
_COMMON = ("python", "python3", "pytest", "ruff", "mypy", "node", "go", "cargo", "ruby", "java", "php", "cc")
_VIRTUAL_ENVIRONMENTS = (".venv", "venv")  # where tools put them when nothing says otherwise


def fingerprints(names: Iterable[str], environment: Mapping[str, str], top: Path) -> tuple[tuple[str, str], ...]:
    """(tool, fingerprint) of every tool that the environment's PATH offers, and of the virtual environments in use."""
    found = {}
    for name in (*names, *_COMMON):
        if path := which(name, environment):
            found[name] = fingerprint(path)
    active = environment.get("VIRTUAL_ENV", "")
    for home in {*(top / name for name in _VIRTUAL_ENVIRONMENTS), *([Path(active)] if active else [])}:
        if (home / "bin" / "python").exists():
            found[f"{home.name} (python)"] = fingerprint(home / "bin" / "python")
            found[f"{home.name} (packages)"] = packages(home)
    return tuple(sorted(found.items()))


def which(name: str, environment: Mapping[str, str]) -> Path | None:
    """The file that a shell would run for *name*, or None."""
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder) / name
        if folder and path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def fingerprint(path: Path) -> str:
    """Where *path* leads and what the file there looks like from outside; empty if it is gone.

    A version manager's shim is the same file whatever it starts, so the version it is set to counts too (pyenv's
    and asdf's layout: ``ROOT/shims/python`` and ``ROOT/version``; a local version file lies in the work tree).
    """
    try:
        real = path.resolve(strict=True)
        seen = real.stat()
    except OSError:
        return ""
    version = ""
    if path.parent.name == "shims":
        chosen = path.parent.parent / "version"
        version = chosen.read_text(encoding="utf-8", errors="replace").strip() if chosen.is_file() else ""
    return f"{real} {seen.st_size} {seen.st_mtime_ns} {version}".strip()


def packages(prefix: Path) -> str:
    """A digest of the names and versions of the distributions installed below *prefix*."""
    names = sorted(
        entry.name
        for folder in sorted(prefix.glob("lib*/python3*/site-packages"))
        for entry in os.scandir(folder)
        if entry.name.endswith((".dist-info", ".egg-info", ".egg-link", ".pth"))
    )
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
