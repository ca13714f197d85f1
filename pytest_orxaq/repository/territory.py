"""The folders that belong to one repository, and whether a process is at work in them.

Folders are known by device and inode: a process in a container calls them by other names.
"""

import os

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.gitlike import Aim
from ..system.census import Seen, identity


Identity = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Territory:
    """Git's folders of a repository (of its work trees and submodules too) and the tops of its work trees."""

    git_folders: Mapping[Identity, str]
    work_trees: Mapping[Identity, str]
    families: Mapping[str, str]  # of each git folder, the one that it shares refs and objects with

    @property
    def all(self) -> frozenset[Identity]:
        """Every folder: what lies below any of them is the repository's."""
        return frozenset({*self.git_folders, *self.work_trees})

    def are_siblings(self, one: str, other: str) -> bool:
        """Whether two git folders are those of two work trees of one repository."""
        return one in self.families and self.families[one] == self.families.get(other)


def survey(own: Path, common: Path, top: Path | None) -> Territory:
    """The territory of the repository whose folders these are; folders that are not there do not count."""
    families = {common: common, own: common} | dict(_within(common))
    folders = list(families)
    trees = [*([] if top is None else [top]), *([common.parent] if common.name == ".git" else [])]
    trees += [tree for folder in folders if (tree := _linked_tree(folder)) is not None]
    return Territory(
        git_folders=_identified(folders),
        work_trees=_identified(trees),
        families={str(folder): str(family) for folder, family in families.items()},
    )


def home_of(seen: Seen, aim: Aim, territory: Territory) -> str | None:
    """The git folder of ours that a git works in: empty if that is another repository's, ``None`` if it is not known.

    Found as git finds it: by ``--git-dir`` or its variables, else upwards from where it works, so that a repository
    inside ours is not ours, nor one around it.
    """
    if aim.common_folder and (found := _known(seen, seen.reach(aim.common_folder), territory)):
        return found
    # Where it was sent by -C it mostly is already, so that the way from there leads nowhere.
    start = "/".join(_chain(aim.folders))
    if aim.git_folder:
        sent = _known(seen, seen.reach(_joined(start, aim.git_folder)), territory)
        sent = sent or _known(seen, seen.reach(aim.git_folder), territory)
        return sent if sent is not None or _may_be_called(aim.git_folder, territory) else ""
    sent = _discovered(seen, seen.reach(start), territory) if start else ""
    return sent or _discovered(seen, seen.reach("."), territory)


def names_a_place(seen: Seen, aim: Aim, territory: Territory) -> bool:
    """Whether an argument of a git leads into our repository: the target of a clone, or of a push next door."""
    words = [word.partition("=")[2] if word.startswith("-") else word for word in aim.rest]
    places = {_folder_of(seen.reach(word)) for word in words if word}
    return any(_discovered(seen, place, territory) for place in places)


def touches(seen: Seen, territory: Territory) -> bool:
    """Whether a process works or has anything open in the territory."""
    if seen.directory is not None and lies_within(seen.reach("."), territory):
        return True
    folders = {os.path.dirname(path) for _, path in seen.opened or ()}
    return any(lies_within(seen.reach(folder), territory) for folder in folders)


def lies_within(path: str, territory: Territory) -> bool:
    """Whether what a path leads to is a folder of the territory or lies below one."""
    return any(place in territory.all for _, place in _upwards(_folder_of(path)))


# ---------------------------------------------------------------- folders


def _within(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Git's folders of the linked work trees and the submodules in this one, and so on inside, each with its family."""
    for linked in _folders(folder / "worktrees"):
        yield linked, folder
        yield from _submodules(linked / "modules")
    yield from _submodules(folder / "modules")


def _submodules(folder: Path) -> Iterator[tuple[Path, Path]]:
    for found in _folders(folder):  # the name of a submodule may be a path
        if os.path.lexists(found / "HEAD"):
            yield found, found
            yield from _within(found)
        else:
            yield from _submodules(found)


def _folders(folder: Path) -> list[Path]:
    try:
        return [folder / entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _linked_tree(folder: Path) -> Path | None:
    """The work tree of a linked work tree's git folder."""
    noted = _text(folder / "gitdir")
    return Path(os.path.abspath(folder / noted)).parent if noted else None


def _text(path: str | Path) -> str:
    """What a small file of git's says; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read(4096)).strip()
    except OSError:
        return ""


def _identified(paths: list[Path]) -> dict[Identity, str]:
    found: dict[Identity, str] = {}
    for path in paths:
        place = identity(path)
        if place is not None:
            found.setdefault(place, str(path))
    return found


# ---------------------------------------------------------------- as git finds it


def _discovered(seen: Seen, start: str, territory: Territory) -> str | None:
    for path, place in _upwards(start):
        if place is None:
            return None
        if place in territory.git_folders:
            return territory.git_folders[place]
        if os.path.isfile(f"{path}/.git") or _looks_like_git(f"{path}/.git"):
            return _known(seen, f"{path}/.git", territory)
        if _looks_like_git(path):
            return ""  # a bare repository, and none of ours
    return ""


def _looks_like_git(folder: str) -> bool:
    """Whether git would take a folder for its own; if not, it looks further up."""
    return all(os.path.lexists(f"{folder}/{name}") for name in ("HEAD", "objects", "refs"))


def _known(seen: Seen, path: str, territory: Territory) -> str | None:
    """The git folder of ours that a folder is, or that a ``.git`` file leads to."""
    if os.path.isfile(path):
        target = _text(path).removeprefix("gitdir:").strip()
        if not target:
            return None
        path = f"{seen.root}{target}" if target.startswith("/") else f"{os.path.dirname(path)}/{target}"
    place = identity(path)
    return None if place is None else territory.git_folders.get(place, "")


def _may_be_called(path: str, territory: Territory) -> bool:
    """Whether a path, relative to a folder that was left since, may have led to a git folder of ours."""
    called = "".join(f"/{name}" for name in os.path.normpath(path).split("/") if name not in {"", ".."})
    return any(folder.endswith(called) for folder in territory.git_folders.values())


def _chain(folders: tuple[str, ...]) -> list[str]:
    """The last absolute folder of several that are entered one after the other, and what comes after it."""
    last = max((number for number, folder in enumerate(folders) if folder.startswith("/")), default=0)
    return [folder for folder in folders[last:] if folder]


def _joined(start: str, path: str) -> str:
    return path if path.startswith("/") or not start else f"{start}/{path}"


def _folder_of(path: str) -> str:
    return path if os.path.isdir(path) else os.path.dirname(path)


def _upwards(start: str) -> Iterator[tuple[str, Identity | None]]:
    """A folder and all that it lies in, up to the root of whoever calls it so, or to one that cannot be told."""
    path, place = start, identity(start)
    yield path, place
    while place is not None:
        last = place
        path = f"{path}/.."
        place = identity(path)
        if place == last:
            return
        yield path, place
