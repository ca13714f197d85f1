"""Where git keeps the things of a work tree, bare repository or submodule, whatever way it was set up."""

import os
import re

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import MachineError
from .commands import git
from .trees import refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders of one work tree; all paths are absolute and free of links."""

    own: Path  # git's folder of this work tree
    common: Path  # git's folder that all work trees of the repository share
    top: Path | None  # the work tree; None if the repository is bare, or it is not known


def locate(directory: Path) -> Places:
    """The places of the repository that ``directory`` is in, be it a work tree, a bare one, or inside git's own folder.

    Asks nothing that reads the index. Raises RepositoryError with advice if there is none, MachineError if git fails.
    """
    answer = git(
        directory,
        *("rev-parse", "--is-bare-repository", "--absolute-git-dir", "--git-common-dir", "--show-toplevel"),
    )
    # Options are answered one by one: inside git's own folder and in a bare repository only the last one fails.
    lines = os.fsdecode(answer.out).removesuffix("\n").split("\n")
    if answer.timed_out:
        raise MachineError(f"git did not answer in {directory}", advice="Is its file system reachable?")
    if len(lines) not in {3, 4} or (answer.code == 0) != (len(lines) == 4):
        raise refusal(directory, answer.err.decode(errors="replace").strip())
    own = _real(directory, lines[1])
    common = _real(directory, lines[2])
    if answer.code == 0:
        top: Path | None = _real(directory, lines[3])
    else:
        top = None if lines[0] == "true" else top_of(own)
    return Places(own=own, common=common, top=top)


# ---------------------------------------------------------------- read from git's folder itself


LONGEST = 1 << 20  # bytes that are read of a small file of git's


def top_of(folder: Path) -> Path | None:
    """The work tree that a git folder belongs to, as its files tell; None if they do not."""
    noted = first_line(folder / "gitdir")  # in the folder of a linked work tree: the way to its .git file
    if noted:
        return Path(os.path.abspath(folder / noted)).parent
    for configured in _values(text_of(folder / "config"), section="core", key="worktree"):
        return Path(os.path.realpath(folder / configured))  # so it is in the folder of a submodule
    return folder.parent if folder.name == ".git" else None


def git_folder_at(place: Path) -> Path | None:
    """The git folder that ``place``, a ``.git`` folder or file, is or leads to; None if it leads nowhere."""
    if os.path.isdir(place):
        return Path(os.path.realpath(place))
    line = first_line(place)
    if not line.startswith("gitdir: "):
        return None
    folder = Path(os.path.realpath(place.parent / line.removeprefix("gitdir: ")))
    return folder if os.path.isdir(folder) else None


def submodule_paths(top: Path) -> list[Path]:
    """The folders of the submodules that ``.gitmodules`` names, of those that are inside of the work tree."""
    text = text_of(top / ".gitmodules")
    if not text:
        return []
    base = os.path.realpath(top)
    named = _values(text, section="submodule", key="path")
    paths = (os.path.realpath(top / path) for path in named)
    return [Path(path) for path in paths if path.startswith(f"{base}{os.sep}")]


def text_of(path: Path) -> str:
    """A small file of git's; empty if it is not there, cannot be read, or is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a named pipe would be waited for
    except (OSError, ValueError):
        return ""
    try:
        return os.fsdecode(os.read(descriptor, LONGEST))
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def first_line(path: Path) -> str:
    """The first line of a small file, without its end."""
    return text_of(path).partition("\n")[0].rstrip("\r")


def _values(text: str, *, section: str, key: str) -> Iterator[str]:
    """The values of a key in a configuration file, as far as it is written the way that git itself writes it."""
    inside = False
    for line in text.splitlines():
        words = line.strip()
        if words.startswith("["):
            inside = words[1:].rstrip("]").split(" ")[0].lower() == section
        name, equals, value = words.partition("=")
        if inside and equals and name.strip().lower() == key:
            yield re.sub(r"\\(.)", r"\1", value.strip().strip('"')).replace("\0", "")


def _real(directory: Path, path: str) -> Path:
    # Relative answers are relative to where git was asked; --path-format=absolute would need git 2.31.
    return Path(os.path.realpath(directory / path))
