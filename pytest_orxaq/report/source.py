"""Read the source around a place, from the work tree and from nowhere else."""

import os
import stat

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..core.frames import Frame
from .view import Excerpt, SourceLine


_AROUND = 5
_LARGEST = 1 << 20
_LONGEST = 240  # characters of a line
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))


@dataclass(slots=True)
class Sources:
    """The files below one work tree's top, each read once."""

    top: Path
    _read: dict[str, tuple[tuple[str, ...], float, str]] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.top = self.top.resolve()

    def path_of(self, path: str) -> str:
        """The file's path from the top, or empty for one that is not below it."""
        if path not in self._known:
            self._known[path] = self._find(path)
        return self._known[path]

    def _find(self, path: str) -> str:
        if not path or "\0" in path or ".git" in PurePosixPath(path).parts:
            return ""
        try:
            real = (self.top / path).resolve()
            return real.relative_to(self.top).as_posix() if real.is_file() else ""
        except (OSError, ValueError, RuntimeError):  # too long, a loop of links, outside, not encodable
            return ""

    def knows(self, path: str) -> bool:
        """Whether the file exists below the top."""
        return bool(self.path_of(path))

    def excerpt(self, frame: Frame, since: float) -> Excerpt:
        """The lines around a place; `since` is when the code that failed was started."""
        path = self.path_of(frame.path)
        place = f"{path or frame.path}:{frame.line}"
        if not path:
            return Excerpt(place=place, function=frame.function, note="This file is no longer there.")
        if path not in self._read:
            self._read[path] = _lines(self.top / path)
        lines, changed_at, why = self._read[path]
        if not why and not 0 < frame.line <= len(lines):
            why = f"The file has {len(lines)} lines now: it changed since the run."
        if why:
            return Excerpt(place=place, function=frame.function, note=why)
        note = "The file changed since the run began: this is what it says now." if changed_at > since else ""
        first = max(1, frame.line - _AROUND)
        shown = tuple(
            SourceLine(number=n, text=text[:_LONGEST] + ("…" if len(text) > _LONGEST else ""), marked=n == frame.line)
            for n, text in enumerate(lines[first - 1 : frame.line + _AROUND], first)
        )
        return Excerpt(place=place, function=frame.function, lines=shown, note=note)


def _lines(path: Path) -> tuple[tuple[str, ...], float, str]:
    """The lines of a file, when it changed, and why it cannot be shown."""
    try:
        # What the name stands for may have become a pipe or a link since it was looked at: neither may hold us.
        descriptor = os.open(path, _FLAGS)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                return (), 0.0, "This is not a file."
            if found.st_size > _LARGEST:
                return (), 0.0, "This file is too large to show."
            text = file.read(_LARGEST).decode("utf-8", "replace")
    except OSError as error:
        return (), 0.0, f"This file cannot be read: {error.strerror}."
    # str.splitlines() counts form feeds too, which Python's line numbers do not.
    lines = text.removesuffix("\n").split("\n")
    return tuple(line.rstrip("\r") for line in lines), found.st_mtime, ""
