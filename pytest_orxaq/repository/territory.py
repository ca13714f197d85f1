"""The folders that belong to one repository, and whether a process is at work in them.

Folders are known by device and inode: a process in a container calls them by other names.
"""

import os

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.gitlike import Aim, needs_no_repository, places_named
from ..system.census import PROC, Seen, identity
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
        inside ours is not ours, nor one around it. It is another's only if the way there still leads to another: what
        led from a git to us may be gone, or replaced, while that git holds a lock.
        """
        home = self._home(aim)
        return None if home == _MAY_BE_OURS else home

    def is_sent_here(self, aim: Aim) -> bool:
        """Whether an argument of a git leads into our repository: the target of a clone, or of a push next door."""
        found = {self._discovered(self.seen.reach(word)) for word in places_named(aim)}
        return bool(found - {None, "", _NOWHERE})

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

    def identity_of_program(self) -> Identity | None:
        """Device and inode of what the process executes, be that file deleted or not."""
        program = (self.seen.program or "").removesuffix(_DELETED)
        return None if self._ways.far(self.seen.reach(program)) else identity(PROC / str(self.seen.pid) / "exe")

    # ---------------------------------------------------------------- as git finds it

    def _home(self, aim: Aim) -> str | None:
        own = self._own(aim)
        return self._known(self.seen.reach(aim.common_folder)) if own == "" and aim.common_folder else own

    def _own(self, aim: Aim) -> str | None:
        """The home as far as its common folder is not told by a variable."""
        absolute = aim.git_folder.startswith("/")
        if not absolute and (aim.work_tree or (self.seen.directory or "").endswith(_DELETED)):
            return None  # It came from elsewhere into that work tree; and where a deleted folder lay proves nothing.
        # Where -C sends it it is already: it goes there before it takes any lock.
        if aim.git_folder:
            found = self._known(self.seen.reach(aim.git_folder))
            return None if found == "" and not absolute and self._stands_where_we_led() else found
        found = self._discovered(self.seen.reach("."))
        if found == _NOWHERE:
            return "" if needs_no_repository(aim) else None
        return found

    def _discovered(self, start: str) -> str | None:
        """The git folder of ours that a search upwards ends at, as :meth:`_known` tells it; or that it finds none."""
        far = self._ways.far(start)
        if far is not None:
            return _of_the_far(far)
        for path, place in _upwards(_folder_of(start)):
            if place is None:
                return None
            if place in self._territory.git_folders:
                return self._territory.git_folders[place]
            if self._led_to_us(path, place):
                return _MAY_BE_OURS
            git = f"{path}/.git"
            if self._ways.far(git) or os.path.isfile(git) or _looks_like_git(git):
                return self._known(git)
            if _looks_like_git(path):
                return self._of_another(path)
        return _NOWHERE

    def _stands_where_we_led(self) -> bool:
        here = self.seen.reach(".")
        return self._ways.far(here) is None and self._led_to_us(here, identity(here))

    def _led_to_us(self, path: str, place: Identity | None) -> bool:
        """Whether a folder is the top of a work tree of ours, from where git would not find us now.

        Its ``.git`` was taken away, or another put in its place; or git came by ``core.worktree``.
        """
        return place in self._territory.work_trees and not self._known(f"{path}/.git")

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
        return self._of_another(path) if _looks_like_git(path) else None

    def _of_another(self, path: str) -> str:
        """Of a git folder that is none of ours: empty, unless it may be ours or share files with us after all."""
        return _MAY_BE_OURS if self._may_share(path) or self._may_share(self._common(path)) else ""

    def _common(self, path: str) -> str:
        """The folder that a git folder says that it shares refs and objects with: itself if it says nothing."""
        told = f"{path}/commondir"
        if self._ways.far(told) or not os.path.isfile(told):
            return path
        common = _text(told)
        return f"{self.seen.root}{common}" if common.startswith("/") else f"{path}/{common}"

    def _may_share(self, path: str) -> bool:
        """Whether a git folder may be ours, or have files in common with us.

        It may have been made in a folder of ours since they were looked for. And folders share by links: so do the work
        trees that git-new-workdir makes, and those of the tool repo.
        """
        far = self._ways.far(path)
        if far is not None:
            return not far.remote
        above = [place for _, place in _upwards(path)]
        if above[0] is None or above[0] in self._territory.around:
            return True
        return any(place in self._territory.git_folders for place in above) or self._is_linked_here(path)

    def _is_linked_here(self, path: str) -> bool:
        """Whether a git folder has links that lead to us, or may have had: it cannot be told once the process has ended."""
        links = (link for link in _links_in(path) if not self._ways.far(link))
        try:
            return any(_lies_within(_folder_linked(link), self._territory) for link in links)
        except OSError:  # not of a link that leads nowhere, but of a folder in /proc that is gone since a moment ago
            return True

    def _lies_here(self, path: str) -> bool:
        return self._ways.far(path) is None and _lies_within(path, self._territory)


# The paths of no git folder: these are absolute.
_MAY_BE_OURS = "?"
_NOWHERE = "-"

_DELETED = " (deleted)"  # what the kernel puts after the path of what has none any more


def _of_the_far(mount: Mount) -> str:
    return "" if mount.remote else _MAY_BE_OURS


def _looks_like_git(folder: str) -> bool:
    """Whether git would take a folder for its own; if not, it looks further up."""
    names = ("HEAD", "commondir") if os.path.lexists(f"{folder}/commondir") else ("HEAD", "objects", "refs")
    return all(os.path.lexists(f"{folder}/{name}") for name in names)


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
