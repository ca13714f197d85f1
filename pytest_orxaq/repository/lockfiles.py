"""Find every lock of git in a repository, its work trees and its submodules. Looks at names only; asks no git."""

import os
import stat

from dataclasses import dataclass
from pathlib import Path

from ..core.locknames import ENDING, FOLLOWS_LINKS, OWN, SHARED, kind_of, target_of
from ..model import Lock, LockKind
from .places import Places, git_folder_at, submodule_paths, top_of


@dataclass(frozen=True, slots=True, kw_only=True)
class GitFolder:
    """A git folder that locks were looked for in."""

    path: Path
    family: Path  # the git folder that it shares refs and objects with; itself, unless it is a linked work tree's
    top: Path | None  # its work tree, where it has one and that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found, and what could not be looked at."""

    locks: tuple[Lock, ...]  # by name alone: a folder or a link may bear the name of a lock
    folders: tuple[GitFolder, ...]  # each once; every lock belongs to one of them
    operations: tuple[str, ...]  # left unfinished: merges, rebases and their like, in sentences; never touched
    uncovered: tuple[str, ...]  # sentences


def find(places: Places) -> Found:
    """All locks of the repository: of its git folders, those of its linked work trees, and of its submodules, in turn.

    Never raises for what it meets: what cannot be looked at is said.
    """
    search = _Search()
    if places.own != places.common:
        search.work_tree_folder(GitFolder(path=places.own, family=places.common, top=places.top))
    search.repository(places.common, places.top if places.own == places.common else None)
    return Found(
        locks=_each_once(search.locks),
        folders=tuple(search.folders),
        operations=tuple(search.operations),
        uncovered=tuple(dict.fromkeys(search.uncovered)),
    )


def _each_once(locks: list[Lock]) -> tuple[Lock, ...]:
    """Locks without those that were found before by another spelling: links of several work trees may lead to one index."""
    folders: dict[str, tuple[int, int] | None] = {}
    found: dict[tuple[object, str], Lock] = {}
    for lock in locks:
        folder, name = os.path.split(lock.path)
        if folder not in folders:
            folders[folder] = _identity(folder)
        found.setdefault((folders[folder] or folder, name), lock)
    return tuple(found.values())


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:  # gone meanwhile
        return None
    return status.st_dev, status.st_ino


# Below the folder itself; where there is no such folder, there is none of its files.
_DEEP_OWN = {name: kind for name, kind in OWN.items() if "/" in name and kind is not LockKind.REFTABLE}
_DEEP = _DEEP_OWN | {name: kind for name, kind in SHARED.items() if "/" in name}

_OPERATIONS = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase or am",
    "sequencer": "series of cherry-picks or reverts",
}


class _Search:
    """A walk through a repository, and what it has come upon."""

    def __init__(self) -> None:
        self.locks: list[Lock] = []
        self.folders: list[GitFolder] = []
        self.operations: list[str] = []
        self.uncovered: list[str] = []
        self._seen: set[tuple[int, int]] = set()

    def repository(self, folder: Path, top: Path | None) -> None:
        """A git folder, with its linked work trees and its submodules."""
        if not self.work_tree_folder(GitFolder(path=folder, family=folder, top=top or top_of(folder))):
            return
        for entry in self._entries(f"{folder}/worktrees"):
            if self._is_folder(entry):
                linked = Path(entry.path)
                self.work_tree_folder(GitFolder(path=linked, family=folder, top=top_of(linked)))

    def work_tree_folder(self, visited: GitFolder) -> bool:
        """The git folder of one work tree, and the submodules in it; False if it was looked at before, or is none."""
        folder, top, linked = visited.path, visited.top, visited.path != visited.family
        if not self._first_visit(folder):
            return False
        self.folders.append(visited)
        names = self._top_level(str(folder), top, linked=linked)
        self._deep(str(folder), names, linked=linked)
        for name in ("refs", "logs"):
            if name in names:
                self._references(str(folder), name, linked=linked)
        if "reftable" in names:
            self._reftable(str(folder), linked=linked)
        if "modules" in names:
            self._modules(f"{folder}/modules")
        if top is not None:
            self._in_work_tree(top, folder)
        return True

    # ---------------------------------------------------------------- one git folder

    def _top_level(self, folder: str, top: Path | None, *, linked: bool) -> set[str]:
        """Look at the files of a git folder; the names of everything in it."""
        names = set()
        for entry in self._entries(folder):
            name = entry.name
            names.add(name)
            if name.endswith(ENDING) or name == "packed-refs.new":
                self._note(folder, name, linked=linked)
            elif name in FOLLOWS_LINKS and entry.is_symlink() and (kind := kind_of(name + ENDING, linked=linked)):
                self._beside_target(folder, name, kind)
            elif name in _OPERATIONS:
                where = top or folder
                self.operations.append(f"A {_OPERATIONS[name]} was begun in {where} and is not finished ({name}).")
        return names

    def _deep(self, folder: str, names: set[str], *, linked: bool) -> None:
        """Look for the locks in folders of folders, whose names are all known."""
        for name, kind in (_DEEP_OWN if linked else _DEEP).items():
            if name.partition("/")[0] not in names:
                continue
            if self._exists(f"{folder}/{name}{ENDING}"):
                self._note(folder, name + ENDING, linked=linked)
            if name in FOLLOWS_LINKS and os.path.islink(f"{folder}/{name}"):
                self._beside_target(folder, name, kind)

    def _reftable(self, folder: str, *, linked: bool) -> None:
        for entry in self._entries(f"{folder}/reftable"):
            self._note(folder, f"reftable/{entry.name}", linked=linked)

    def _references(self, folder: str, name: str, *, linked: bool) -> None:
        """Walk through ``refs`` or ``logs``, which may hold a hundred thousand files: the one loop that has to be quick."""
        pending = [f"{folder}/{name}"]
        while pending:
            for entry in self._entries(pending.pop()):
                if entry.name.endswith(ENDING):
                    self._note(folder, entry.path[len(folder) + 1 :], linked=linked)
                    continue
                try:  # here and not in _is_folder: the call is dear, the clause is free
                    deeper = entry.is_dir()
                except OSError as error:
                    self._unseen(entry.path, error)
                    continue
                if deeper and (not entry.is_symlink() or self._leads_out(entry.path, f"{folder}/{name}")):
                    pending.append(entry.path)

    def _leads_out(self, link: str, root: str) -> bool:
        """Whether a link to a folder leads where the walk does not come anyway, and has not been."""
        real, root = os.path.realpath(link), os.path.realpath(root)
        within = f"{root}/".startswith(f"{real}/") or real.startswith(f"{root}/")
        return not within and self._first_visit(Path(real))

    def _note(self, folder: str, relative: str, *, linked: bool) -> None:
        kind = kind_of(relative, linked=linked)
        if kind is not None:
            path = f"{folder}/{relative}"
            self.locks.append(Lock(path=path, kind=kind, target=target_of(path, kind), directory=folder))

    def _beside_target(self, folder: str, name: str, kind: LockKind) -> None:
        """The lock of a file that is a link lies where the link leads."""
        target = _resolved(f"{folder}/{name}")
        candidates = [(target + ENDING, kind)]
        if kind is LockKind.PACKED_REFS:
            candidates.append((f"{target}.new", LockKind.PACKED_REFS_NEW))
        for path, meant in candidates:
            if target != f"{folder}/{name}" and self._exists(path):
                self.locks.append(Lock(path=path, kind=meant, target=target, directory=folder))

    # ---------------------------------------------------------------- around it

    def _modules(self, folder: str) -> None:
        """The git folders of submodules, whose names may be paths."""
        pending = [folder]
        while pending:
            for entry in self._entries(pending.pop()):
                if not self._is_folder(entry):
                    continue
                if _is_git_folder(entry.path):
                    self.repository(Path(os.path.realpath(entry.path)), None)
                elif not entry.is_symlink():
                    pending.append(entry.path)

    def _in_work_tree(self, top: Path, folder: Path) -> None:
        """The lock of ``.gitmodules``, and submodules that keep their git folder in the work tree or elsewhere."""
        path = f"{top}/.gitmodules"
        target = _resolved(path)
        if self._exists(target + ENDING):
            lock = Lock(path=target + ENDING, kind=LockKind.MODULES, target=target, directory=str(folder))
            self.locks.append(lock)
        for submodule in submodule_paths(top):
            place = submodule / ".git"
            if not self._exists(str(place)):
                continue
            found = git_folder_at(place)
            if found is None:
                self.uncovered.append(f"{place} leads to no git folder: locks of this submodule are not known.")
            else:
                self.repository(found, submodule)

    # ---------------------------------------------------------------- the file system

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []  # gone, or never there: then there is no lock in it
        except OSError as error:
            self._unseen(folder, error)
            return []

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir()
        except OSError as error:  # a loop of links, or a link through a folder that is closed
            self._unseen(entry.path, error)
            return False

    def _exists(self, path: str) -> bool:
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self._unseen(path, error)
            return False
        return True

    def _first_visit(self, folder: Path) -> bool:
        try:
            status = folder.stat()
        except OSError as error:
            self._unseen(str(folder), error)
            return False
        key = (status.st_dev, status.st_ino)
        if key in self._seen or not stat.S_ISDIR(status.st_mode):
            return False
        self._seen.add(key)
        return True

    def _unseen(self, path: str, error: OSError) -> None:
        self.uncovered.append(f"{path} cannot be looked at ({error.strerror}): locks there are not known.")


def _is_git_folder(path: str) -> bool:
    """Whether there is what every git folder has, even one that was damaged by a kill."""
    return os.path.isdir(f"{path}/objects") and (os.path.isdir(f"{path}/refs") or os.path.lexists(f"{path}/HEAD"))


def _resolved(path: str) -> str:
    """Where a link leads, the way git looks: five links at most, and each read as it stands."""
    for _ in range(5):
        try:
            link = os.readlink(path)
        except OSError:
            break
        path = link if link.startswith("/") else path[: path.rindex("/") + 1] + link
    return path
