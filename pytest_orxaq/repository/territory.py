"""The folders that belong to one repository, and whether a process is at work in them.

Folders are known by device and inode: a process in a container calls them by other names.
"""

import os

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.gitlike import Aim
from ..system.census import Seen, identity
from ..system.mounts import Mount, Ways
from .lockfiles import GitFolder


Identity = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Territory:
    """Git's folders of a repository (of its work trees and submodules too) and the tops of its work trees."""

    git_folders: Mapping[Identity, str]
    work_trees: Mapping[Identity, str]
    families: Mapping[str, str]  # of each git folder, the one that it shares refs and objects with
    outposts: frozenset[Identity] = frozenset()  # folders elsewhere that links in git's folders lead to
    around: frozenset[Identity] = frozenset()  # every folder that these lie in
    devices: frozenset[int] = frozenset()  # of all these, and of what they lie in

    @property
    def all(self) -> frozenset[Identity]:
        """Every folder: what lies below any of them is the repository's."""
        return frozenset({*self.git_folders, *self.work_trees, *self.outposts})

    def are_siblings(self, one: str, other: str) -> bool:
        """Whether two git folders are those of two work trees of one repository."""
        return one in self.families and self.families[one] == self.families.get(other)


def survey(folders: Sequence[GitFolder]) -> Territory:
    """The territory of the repository whose git folders were found; what is not there by now does not count."""
    outposts = {
        place: path
        for folder in folders
        for path in map(_folder_linked, _links_in(folder.path))
        if (place := identity(path))
    }
    tops = [folder.top for folder in folders if folder.top is not None]
    places = [*(str(folder.path) for folder in folders), *map(str, tops), *outposts.values()]
    return Territory(
        git_folders=_identified(folder.path for folder in folders),
        work_trees=_identified(tops),
        families={str(folder.path): str(folder.family) for folder in folders},
        outposts=frozenset(outposts),
        around=frozenset(place for path in outposts.values() for _, place in _upwards(path) if place is not None),
        devices=frozenset(place[0] for path in places for _, place in _upwards(path) if place is not None),
    )


class Standpoint:
    """Where a process stands to a repository.

    Nothing is asked of a file system that may not answer. What lies there is none of ours if it is another machine's
    for certain, else it may be ours: a program may show our folders under other numbers.
    """

    def __init__(self, seen: Seen, territory: Territory) -> None:
        self.seen = seen
        self._territory = territory
        self._ways = Ways(
            seen.pid, root=seen.root, here=seen.here, directory=seen.directory or "", trusted=territory.devices
        )

    def home(self, aim: Aim) -> str | None:
        """The git folder of ours that a git works in: empty if that is another repository's, ``None`` if it may be ours.

        Found as git finds it: by ``--git-dir`` or its variables, else upwards from where it works, so that a repository
        inside ours is not ours, nor one around it.
        """
        home = self._home(aim)
        return None if home == _MAY_BE_OURS else home

    def is_sent_here(self, aim: Aim) -> bool:
        """Whether an argument of a git leads into our repository: the target of a clone, or of a push next door."""
        words = [word.partition("=")[2] if word.startswith("-") else word for word in aim.rest]
        return any(self._discovered(self.seen.reach(word)) for word in words if word)

    def works_here(self) -> bool:
        """Whether the process's working folder lies in the territory."""
        return self.seen.directory is not None and self._lies_here(self.seen.reach("."))

    def touches(self) -> bool:
        """Whether a process works or has anything open in the territory."""
        folders = {os.path.dirname(path) for _, path in self.seen.opened or ()}
        return self.works_here() or any(self._lies_here(self.seen.reach(folder)) for folder in folders)

    def identity(self, path: str) -> Identity | None:
        """Device and inode of what the process calls ``path``; None if it cannot be told."""
        reached = self.seen.reach(path)
        return None if self._ways.far(reached) else identity(reached)

    def identity_of_open(self, descriptor: int, path: str) -> Identity | None:
        """Device and inode of a file that the process has open under a path."""
        return None if self._ways.far_open(descriptor) else identity(self.seen.file(descriptor, path))

    # ---------------------------------------------------------------- as git finds it

    def _home(self, aim: Aim) -> str | None:
        if aim.common_folder and (found := self._known(self.seen.reach(aim.common_folder))):
            return found
        # Where it was sent by -C it mostly is already, so that the way from there leads nowhere.
        start = "/".join(_chain(aim.folders))
        if aim.git_folder:
            sent = self._known(self.seen.reach(_joined(start, aim.git_folder)))
            sent = sent or self._known(self.seen.reach(aim.git_folder))
            return sent if sent is not None or _may_be_called(aim.git_folder, self._territory) else ""
        sent = self._discovered(self.seen.reach(start)) if start else ""
        return sent or self._discovered(self.seen.reach("."))

    def _discovered(self, start: str) -> str | None:
        far = self._ways.far(start)
        if far is not None:
            return _of_the_far(far)
        for path, place in _upwards(_folder_of(start)):
            if place is None:
                return None
            if place in self._territory.git_folders:
                return self._territory.git_folders[place]
            git = f"{path}/.git"
            if self._ways.far(git) or os.path.isfile(git) or _looks_like_git(git):
                return self._known(git)
            if _looks_like_git(path):
                return self._of_another(path, place)
        return ""

    def _known(self, path: str) -> str | None:
        """The git folder of ours that a folder is, or that a ``.git`` file leads to."""
        far = self._ways.far(path)
        if far is None and os.path.isfile(path):
            target = _text(path).removeprefix("gitdir:").strip()
            if not target:
                return None
            root = self.seen.root
            path = f"{root}{target}" if target.startswith("/") else f"{os.path.dirname(path)}/{target}"
            far = self._ways.far(path)
        if far is not None:
            return _of_the_far(far)
        place = identity(path)
        if place is None or place in self._territory.git_folders:
            return self._territory.git_folders.get(place) if place else None
        return self._of_another(path, place)

    def _of_another(self, path: str, place: Identity) -> str:
        """Of a git folder that is none of ours: empty, unless it may be ours or share files with us after all.

        It may have been made in a folder of ours since they were looked for. And folders share by links: so do the work
        trees that git-new-workdir makes, and those of the tool repo.
        """
        inside = any(above in self._territory.git_folders for _, above in _upwards(path))
        shares = place in self._territory.around or any(
            _lies_within(_folder_linked(link), self._territory) for link in _links_in(path) if not self._ways.far(link)
        )
        return _MAY_BE_OURS if inside or shares else ""

    def _lies_here(self, path: str) -> bool:
        return self._ways.far(path) is None and _lies_within(path, self._territory)


_MAY_BE_OURS = "?"  # the path of no git folder: these are absolute


def _of_the_far(mount: Mount) -> str:
    return "" if mount.remote else _MAY_BE_OURS


def _looks_like_git(folder: str) -> bool:
    """Whether git would take a folder for its own; if not, it looks further up."""
    return all(os.path.lexists(f"{folder}/{name}") for name in ("HEAD", "objects", "refs"))


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


# ---------------------------------------------------------------- folders


def _links_in(folder: str | Path) -> Iterator[str]:
    """The links in a git folder, as far as another's files are shared by them."""
    for within in ("", "refs", "logs", "objects"):
        yield from (entry.path for entry in _entries(f"{folder}/{within}") if entry.is_symlink())


def _folder_linked(link: str) -> str:
    """The folder that a link leads to, or to a file in."""
    return link if os.path.isdir(link) else os.path.dirname(os.path.realpath(link))


def _lies_within(path: str, territory: Territory) -> bool:
    """Whether what a path leads to is a folder of the territory or lies below one."""
    return any(place in territory.all for _, place in _upwards(_folder_of(path)))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _text(path: str | Path) -> str:
    """What a small file of git's says; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read(4096)).strip()
    except OSError:
        return ""


def _identified(paths: Iterable[Path]) -> dict[Identity, str]:
    found: dict[Identity, str] = {}
    for path in paths:
        place = identity(path)
        if place is not None:
            found.setdefault(place, str(path))
    return found
