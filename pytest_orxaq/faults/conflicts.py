"""Repositories in the midst of a conflict: a real merge, rebase, cherry-pick or stash that git could not finish."""

import os
import shutil

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from .choices import check
from .isolation import Git, Isolation
from .troubles import Faults


ConflictKind = Literal[
    "content", "add-add", "modify-delete", "rename-rename", "binary", "submodule", "mode", "distinct-types"
]
ConflictOp = Literal["merge", "rebase", "cherry-pick", "stash", "none"]
KINDS: tuple[ConflictKind, ...] = get_args(ConflictKind)
OPS: tuple[ConflictOp, ...] = get_args(ConflictOp)

MAIN, TOPIC = "main", "topic"  # the branches of the two sides
_MODULE = "module"


# ---------------------------------------------------------------- handle


class Conflict(Git):
    """A repository in which an operation has stopped over a conflict, or will. It is a ``Git`` like any other.

    ``ours`` is what stage 2 comes from, ``theirs`` stage 3, as ids of commits: of the branches ``main`` and ``topic``,
    of a stash its commit. In a rebase, too, ours is what was there already.
    """

    def __init__(self, path: Path, env: Mapping[str, str], *, kind: ConflictKind, op: ConflictOp) -> None:
        """An empty repository as yet."""
        super().__init__(path, env)
        self.kind = kind
        self.op = op
        self.ours = ""
        self.theirs = ""
        self.paths: tuple[str, ...] = ()  # in conflict, sorted; with the operation `none`, those that a merge will have
        self.said = ""  # git's own words when it stopped
        self.returncode = 0  # of the git that stopped

    @property
    def under_way(self) -> bool:
        """Whether the operation has stopped and nobody has ended it yet."""
        if self.op == "stash":
            return bool(self._unmerged())
        return self.op != "none" and (self.dir / _STATE[self.op]).exists()

    def abort(self) -> None:
        """Take the operation back, as git itself does; a stash stays in the list. Does nothing when it is not under way."""
        if self.under_way:
            self(*(("reset", "--quiet", "--hard") if self.op == "stash" else (self.op, "--abort")))

    def make(self) -> None:
        """Fill the repository with both sides."""
        sides = _SIDES[self.kind]
        if self.kind == "submodule":
            self._add_module()
        _write(self, sides.base)
        base = self.commit("base", readme="A project.\n")
        if self.op == "stash":
            _write(self, sides.theirs)
            self("add", "-A")
            self("stash", "push", "--quiet")
            self.theirs = self("rev-parse", "refs/stash").stdout.strip()
        else:
            self("checkout", "--quiet", "-b", TOPIC)
            _write(self, sides.theirs)
            self.theirs = self.commit("theirs")
            self("checkout", "--quiet", MAIN)
        self._settle_module(base)
        _write(self, sides.ours)
        self.ours = self.commit("ours")

    def run_into_it(self) -> None:
        """Begin the operation, and have git stop over the conflict."""
        if self.op == "rebase":
            self("checkout", "--quiet", TOPIC)
            self._settle_module(self.theirs)
        done = self(*_COMMANDS[self.op], check=False)
        self.returncode, self.said = done.returncode, done.stdout + done.stderr
        self.paths = self._unmerged()

    def foresee(self, room: Path) -> None:
        """Find out, in a copy, what a merge will stop over; ``room`` is a folder for it."""
        copy = Conflict(room / "copy", self.env, kind=self.kind, op="merge")
        shutil.copytree(self.path, copy.path, symlinks=True)
        copy.run_into_it()
        self.paths = copy.paths
        shutil.rmtree(copy.path)

    def _unmerged(self) -> tuple[str, ...]:
        entries = self("ls-files", "--unmerged", "-z").stdout.split("\0")
        return tuple(sorted({entry.partition("\t")[2] for entry in entries if entry}))

    def _add_module(self) -> None:
        """A submodule with a common commit and one of each side's, from a repository beside this one that all share."""
        source = Git(self.path.parent / f".source-of-{_MODULE}", self.env)
        if not source.path.exists():
            source.path.mkdir()
            source("init", "--quiet")
            source.commit("the submodule's", file="content\n")
            for side in (TOPIC, MAIN):
                source("checkout", "--quiet", "-B", f"of-{side}", MAIN)
                source.commit(f"the submodule's {side}", file=f"{side}\n")
            source("checkout", "--quiet", MAIN)
        # Its path stands in .gitmodules: an absolute one, or one with a name of ours, would make other commits of it.
        self("submodule", "--quiet", "add", f"../{source.path.name}", _MODULE)

    def _settle_module(self, commit: str) -> None:
        """Check out in the submodule what a commit of this repository says: git leaves it where it is."""
        if self.kind == "submodule":
            wanted = self("rev-parse", f"{commit}:{_MODULE}").stdout.strip()
            Git(self.path / _MODULE, self.env)("checkout", "--quiet", "--detach", wanted)


_STATE = {"merge": "MERGE_HEAD", "rebase": "rebase-merge", "cherry-pick": "CHERRY_PICK_HEAD"}
_COMMANDS: Mapping[ConflictOp, tuple[str, ...]] = {
    "merge": ("merge", TOPIC),
    "rebase": ("rebase", "--merge", MAIN),
    "cherry-pick": ("cherry-pick", TOPIC),
    "stash": ("stash", "pop"),
}


# ---------------------------------------------------------------- sides


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """What stands under a name, as git's trees have it: a file, a link's target, or a branch of the submodule."""

    content: bytes
    mode: int = 0o100644


_Tree = Mapping[str, _Entry | None]  # None: no such file any more


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """What both have in common, and what each makes of it."""

    base: _Tree
    ours: _Tree
    theirs: _Tree


def _text(who: str) -> _Entry:
    """A file long enough for git to know it again under another name; its middle line is somebody's."""
    lines = ["one", "two", "three", "four", who, "six", "seven", "eight", "nine"]
    return _Entry(content="".join(f"{line}\n" for line in lines).encode())


def _module_of(side: str) -> _Entry:
    return _Entry(content=f"origin/of-{side}".encode(), mode=0o160000)


_TOOL = b"#!/bin/sh\necho done\n"
_SIDES: Mapping[ConflictKind, _Sides] = {
    "content": _Sides(base={"file": _text("five")}, ours={"file": _text("ours")}, theirs={"file": _text("theirs")}),
    "add-add": _Sides(base={}, ours={"file": _text("ours")}, theirs={"file": _text("theirs")}),
    "modify-delete": _Sides(base={"file": _text("five")}, ours={"file": None}, theirs={"file": _text("theirs")}),
    "rename-rename": _Sides(
        base={"file": _text("five")},
        ours={"file": None, "file-of-ours": _text("five")},
        theirs={"file": None, "file-of-theirs": _text("five")},
    ),
    "binary": _Sides(
        base={"file": _Entry(content=b"\0base")},
        ours={"file": _Entry(content=b"\0ours")},
        theirs={"file": _Entry(content=b"\0theirs")},
    ),
    # A stash does not see that only a submodule has changed: a file goes with it.
    "submodule": _Sides(
        base={}, ours={_MODULE: _module_of(MAIN)}, theirs={_MODULE: _module_of(TOPIC), "beside": _text("theirs")}
    ),
    # Of a file that both have from before there is none: the side that changed the mode wins.
    "mode": _Sides(
        base={}, ours={"tool": _Entry(content=_TOOL, mode=0o100755)}, theirs={"tool": _Entry(content=_TOOL)}
    ),
    "distinct-types": _Sides(
        base={"file": _text("five")},
        ours={"file": _Entry(content=b"readme", mode=0o120000)},
        theirs={"file": _text("theirs")},
    ),
}


def _write(repo: Git, tree: _Tree) -> None:
    """Bring the work tree to what a side makes of it."""
    for name, entry in tree.items():
        path = repo.path / name
        if entry is not None and entry.mode == 0o160000:
            Git(path, repo.env)("checkout", "--quiet", "--detach", entry.content.decode())
            continue
        path.unlink(missing_ok=True)
        if entry is not None and entry.mode == 0o120000:
            path.symlink_to(os.fsdecode(entry.content))
        elif entry is not None:
            repo.write(name, entry.content).chmod(entry.mode & 0o777)


# ---------------------------------------------------------------- making


class Conflicts:
    """Makes repositories in conflict."""

    def __init__(self, faults: Faults, isolation: Isolation) -> None:
        self._faults = faults
        self._isolation = isolation

    def make(self, kind: ConflictKind = "content", op: ConflictOp = "merge", *, name: str = "repo") -> Conflict:
        """A new repository of this name in the midst of it; with ``none``, both branches are ready and nothing has begun.

        Raises UsageError for what there is not, with the choices, and for a name that is taken.
        """
        check(kind, KINDS, "kind of conflict")
        check(op, OPS, "operation that conflicts")
        empty = self._isolation.make(name, commits=0)
        made = Conflict(empty.path, empty.env, kind=kind, op=op)
        made.make()
        if op == "none":
            made.foresee(self._faults.new_room())
        else:
            made.run_into_it()
            self._faults.on_heal(made.abort)
        self._faults.note("merge_conflict", "permanent", f"{kind}, {op}")
        return made
