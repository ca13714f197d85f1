"""Find templates: a user's first, then the packaged ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined

from .words import count, number


def packaged() -> Path:
    """The folder of the packaged templates: in the package when it was built, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def environment(overrides: Path | None, *, finalize: Callable[[Any], Any], cache: Path | None = None) -> Environment:
    """A Jinja environment that escapes everything; `finalize` sees every value before it is shown.

    `cache` is a folder, private to the user, that keeps compiled templates: compiling takes longer than rendering.
    """
    folders = [folder for folder in (overrides, packaged()) if folder is not None]
    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=finalize,
        loader=FileSystemLoader(folders),
        bytecode_cache=FileSystemBytecodeCache(str(cache)) if cache is not None else None,
    )
    made.globals.update(count=count, number=number)
    return made
