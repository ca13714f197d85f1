"""How a real git is brought to the moment at which it holds a given lock, and kept there.

Where git runs a program of ours while it holds the lock (a hook, a filter, a child of its own name), that program waits.
Where it runs none, git is stopped between two system calls. Nothing of this stands in the repository: hooks, filters
and attributes lie in a folder of their own, and git learns of them from its environment.
"""

import shlex

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from ..errors import UsageError
from .isolation import Git


LockKind = Literal[
    "index",
    "index-hook",
    "index-partial",
    "head+ref",
    "ref",
    "tag",
    "remote-ref",
    "packed-refs",
    "packed-refs.new",
    "config",
    "shallow",
    "commit-graph",
    "maintenance",
    "gc.pid",
    "worktree-index",
    "submodule-index",
    "rebase-todo",
]
KINDS: tuple[LockKind, ...] = get_args(LockKind)
Size = Literal["empty", "full"]

_TRAP = """\
#!/bin/sh
echo held >"/dev/fd/$ORXAQ_WORD"
read -r _ <"/dev/fd/$ORXAQ_LIFELINE"
exit 1
"""
_PREPARED = '[ "$1" = prepared ] || exit 0\n'  # of a reference transaction's states, the one with all locks taken
_NAME = "orxaq"  # of branches, tags, files and keys that a recipe needs and the repository lacks


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to a lock."""

    where: Git  # the work tree in which git is started
    command: tuple[str, ...]
    lock: Path  # the one that the kind is named after
    environment: Mapping[str, str] = field(default_factory=dict)
    stepped: bool = False  # no program of ours runs meanwhile: git has to be stopped
    scaffold: tuple[Path, ...] = ()  # what git needs to see until it holds the lock
    state: Path | None = None  # a file of an operation that was begun for it, and is taken back with it
    undo: tuple[tuple[str, ...], ...] = ()  # how, as git's commands


def recipe(kind: LockKind, size: Size | None, repo: Git, room: Path) -> Recipe:
    """The recipe for a kind of lock in a repository; its programs are written into ``room``, an empty folder.

    Raises UsageError if this repository cannot have such a lock.
    """
    if kind in {"packed-refs", "packed-refs.new", "ref", "tag", "remote-ref", "head+ref"}:
        _refuse_reftable(repo)
    if repo.bare and kind in {"index", "index-hook", "index-partial", "head+ref", "rebase-todo"}:
        raise UsageError(f"A bare repository has no lock of kind {kind!r}: it has no work tree.")
    return _RECIPES[kind](_Kitchen(repo, room, size))


def _refuse_reftable(repo: Git) -> None:
    if (repo.common / "reftable").exists():
        raise UsageError("This repository keeps its refs in reftables, which have no such lock.")


# ---------------------------------------------------------------- tools


class _Kitchen:
    """A repository, and a room for the programs that make git wait in it."""

    def __init__(self, repo: Git, room: Path, size: Size | None) -> None:
        self.repo = repo
        self.room = room
        self.size = size

    def program(self, name: str, condition: str = "") -> Path:
        """A program in the room that waits."""
        path = self.room / name
        path.parent.mkdir(exist_ok=True)
        first, rest = _TRAP.split("\n", 1)
        path.write_text(f"{first}\n{condition}{rest}", encoding="utf-8")
        path.chmod(0o700)
        return path

    def hook(self, name: str) -> dict[str, str]:
        """A hook that waits, in place of all hooks of the repository."""
        condition = _PREPARED if name == "reference-transaction" else ""
        return settings({"core.hooksPath": str(self.program(f"hooks/{name}", condition).parent)})

    def no_hooks(self) -> dict[str, str]:
        """No hook of the repository runs, and a rebase is as plain as can be."""
        plain = {"rebase.autoStash": "false", "rebase.updateRefs": "false"}
        return settings({"core.hooksPath": str(self.room / "no-hooks"), **plain})

    def child(self) -> dict[str, str]:
        """Any git that git starts as a child waits."""
        return {"GIT_EXEC_PATH": str(self.program("exec/git").parent)}

    def at_prepared(self, lock: Path, *command: str) -> Recipe:
        """Git, when it has all locks of a reference transaction."""
        return Recipe(where=self.repo, command=command, lock=lock, environment=self.hook("reference-transaction"))

    def stepped(self, lock: Path, *command: str) -> Recipe:
        """Git, as soon as the lock is there."""
        return Recipe(where=self.repo, command=command, lock=lock, environment=self.no_hooks(), stepped=True)

    def new_commit(self) -> str:
        """A commit that no ref names, so that every ref can be moved to it; the hook sees that none is."""
        repo = self.repo
        if repo("rev-parse", "-q", "--verify", "HEAD", check=False).returncode:
            raise UsageError("This kind of lock needs a commit, and the repository has none.")
        return repo("commit-tree", "-p", "HEAD", "-m", _NAME, "HEAD^{tree}").stdout.strip()

    def ref(self, prefix: str, fallback: str = _NAME) -> str:
        """The first ref of a kind that is checked out nowhere; a new one's name if there is none."""
        shown = self.repo("for-each-ref", "--format=%(worktreepath)|%(symref)|%(refname)", prefix).stdout
        free = (line.removeprefix("||") for line in shown.splitlines() if line.startswith("||"))
        return next(free, f"{prefix}/{fallback}")


def settings(config: Mapping[str, str]) -> dict[str, str]:
    """The environment that tells git of settings."""
    pairs = list(config.items())
    made = {"GIT_CONFIG_COUNT": str(len(pairs))}
    for number, (key, value) in enumerate(pairs):
        made |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return made


# ---------------------------------------------------------------- index


def _index(kitchen: _Kitchen) -> Recipe:
    return _in_add(kitchen) if kitchen.size != "full" else _in_commit(kitchen)


def _in_add(kitchen: _Kitchen) -> Recipe:
    """`git add`, filtering a file: it has the lock open, and has written nothing."""
    repo, room = kitchen.repo, kitchen.room
    name = f"{_NAME}-{room.name}"
    attributes = room / "attributes"
    attributes.write_text(f"{name} filter={_NAME}\n", encoding="utf-8")
    environment = settings(
        {
            "core.attributesFile": str(attributes),
            f"filter.{_NAME}.clean": shlex.quote(str(kitchen.program("filter"))),
            f"filter.{_NAME}.required": "true",
        }
    )
    file = repo.write(name, "to be added\n")
    command = ("git", "add", "--force", "--", name)
    return Recipe(where=repo, command=command, lock=_lock(repo), environment=environment, scaffold=(file,))


def _in_commit(kitchen: _Kitchen) -> Recipe:
    """`git commit --all` in a hook: the lock has the whole new index, and nobody has it open."""
    command = ("git", "commit", "--quiet", "--all", "--allow-empty", "--message", _NAME)
    return Recipe(where=kitchen.repo, command=command, lock=_lock(kitchen.repo), environment=kitchen.hook("pre-commit"))


def _in_partial_commit(kitchen: _Kitchen) -> Recipe:
    """`git commit -- FILE` in a hook: the index to be, and the index to be committed."""
    repo = kitchen.repo
    names = repo("ls-files", "-z").stdout.split("\0")
    if not names[0]:
        raise UsageError("This kind of lock needs a tracked file, and the repository has none.")
    command = ("git", "commit", "--quiet", "--allow-empty", "--message", _NAME, "--", f":(top,literal){names[0]}")
    return Recipe(where=repo, command=command, lock=_lock(repo), environment=kitchen.hook("pre-commit"))


def _in_worktree(kitchen: _Kitchen) -> Recipe:
    """The same as in the main work tree, but in a linked one; one is added if there is none."""
    repo = kitchen.repo
    if repo.dir == repo.common:
        listed = repo("worktree", "list", "--porcelain", "-z").stdout.split("\0")
        others = [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")][1:]
        there = next((path for path in others if path.is_dir()), None)
        linked = Git(there, repo.env) if there else repo.worktree(f"{repo.path.name}-linked", branch=f"{_NAME}-linked")
        kitchen = _Kitchen(linked, kitchen.room, kitchen.size)
    return _index(kitchen)


def _in_submodule(kitchen: _Kitchen) -> Recipe:
    """The same in a submodule; one is added and committed if there is none."""
    repo = kitchen.repo
    if repo.bare:
        raise UsageError("A bare repository has no submodules: it has no work tree.")
    listed = (line.partition("\t") for line in repo("ls-files", "--stage", "-z").stdout.split("\0"))
    found = (repo.path / name for entry, _, name in listed if entry.startswith("160000 "))
    there = next((path for path in found if (path / ".git").exists()), None)
    module = Git(there, repo.env) if there else repo.submodule(f"{_NAME}-module")
    return _index(_Kitchen(module, kitchen.room, kitchen.size))


def _lock(repo: Git) -> Path:
    """The lock of the index, which stands beside the target where the index is a link."""
    return Path(f"{(repo.dir / 'index').resolve()}.lock")


# ---------------------------------------------------------------- refs


def _head(kitchen: _Kitchen) -> Recipe:
    command = ("git", "commit", "--quiet", "--all", "--allow-empty", "--message", _NAME)
    return kitchen.at_prepared(kitchen.repo.dir / "HEAD.lock", *command)


def _ref(kitchen: _Kitchen) -> Recipe:
    return _update(kitchen, kitchen.ref("refs/heads"))


def _tag(kitchen: _Kitchen) -> Recipe:
    return _update(kitchen, kitchen.ref("refs/tags"))


def _update(kitchen: _Kitchen, ref: str) -> Recipe:
    return kitchen.at_prepared(kitchen.repo.common / f"{ref}.lock", "git", "update-ref", ref, kitchen.new_commit())


def _remote_ref(kitchen: _Kitchen) -> Recipe:
    """`git fetch`, from this very repository, as if the remote had moved."""
    ref = kitchen.ref("refs/remotes/origin", "main")
    quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance")
    command = ("git", "fetch", *quiet, ".", f"+{kitchen.new_commit()}:{ref}")
    return kitchen.at_prepared(kitchen.repo.common / f"{ref}.lock", *command)


def _packed_refs(kitchen: _Kitchen) -> Recipe:
    return kitchen.stepped(kitchen.repo.common / "packed-refs.lock", "git", "pack-refs", "--all")


def _packed_refs_new(kitchen: _Kitchen) -> Recipe:
    """`git pack-refs`, with the new file written and the lock beside it."""
    kitchen.new_commit()  # without a ref there is nothing to pack
    return kitchen.at_prepared(kitchen.repo.common / "packed-refs.new", "git", "pack-refs", "--all")


# ---------------------------------------------------------------- others


def _config(kitchen: _Kitchen) -> Recipe:
    return kitchen.stepped(kitchen.repo.common / "config.lock", "git", "config", f"{_NAME}.fault", "made")


def _shallow(kitchen: _Kitchen) -> Recipe:
    """`git fetch --depth`, from this very repository, whose other side takes its time to pack."""
    repo = kitchen.repo
    kitchen.new_commit()
    hook = shlex.quote(f"uploadpack.packObjectsHook={shlex.quote(str(kitchen.program('pack-objects')))}")
    quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance")
    command = ("git", "fetch", *quiet, "--depth=1", f"--upload-pack=git -c {hook} upload-pack", repo.common.as_uri())
    return Recipe(where=repo, command=(*command, "HEAD"), lock=repo.common / "shallow.lock")


def _commit_graph(kitchen: _Kitchen) -> Recipe:
    kitchen.new_commit()
    lock = kitchen.repo.common / "objects" / "info" / "commit-graph.lock"
    return kitchen.stepped(lock, "git", "-c", "core.commitGraph=true", "commit-graph", "write", "--reachable")


def _maintenance(kitchen: _Kitchen) -> Recipe:
    command = ("git", "-c", "core.commitGraph=true", "maintenance", "run", "--quiet", "--task=commit-graph")
    lock = kitchen.repo.common / "objects" / "maintenance.lock"
    return Recipe(where=kitchen.repo, command=command, lock=lock, environment=kitchen.child())


def _gc(kitchen: _Kitchen) -> Recipe:
    lock = kitchen.repo.common / "gc.pid"
    return Recipe(where=kitchen.repo, command=("git", "gc", "--quiet"), lock=lock, environment=kitchen.child())


def _rebase_todo(kitchen: _Kitchen) -> Recipe:
    """`git rebase --continue`, in a rebase onto the commit that is checked out, with nothing to do but to pause twice."""
    repo = kitchen.repo
    kitchen.new_commit()
    state = repo.dir / "rebase-merge"
    if state.exists():
        raise UsageError("This kind of lock cannot be made: a rebase is under way.")
    branch = repo("symbolic-ref", "--quiet", "HEAD", check=False).stdout.strip()
    editor = {"GIT_SEQUENCE_EDITOR": "printf 'break\\nbreak\\n' >"}
    repo("rebase", "--quiet", "--interactive", "HEAD", env=kitchen.no_hooks() | editor)
    back = (("symbolic-ref", "HEAD", branch),) if branch else ()
    made = kitchen.stepped(state / "git-rebase-todo.lock", "git", "rebase", "--continue")
    return replace(made, state=state / "onto", undo=(("rebase", "--quit"), *back))


_RECIPES: Mapping[LockKind, Callable[[_Kitchen], Recipe]] = {
    "index": _index,
    "index-hook": _in_commit,
    "index-partial": _in_partial_commit,
    "head+ref": _head,
    "ref": _ref,
    "tag": _tag,
    "remote-ref": _remote_ref,
    "packed-refs": _packed_refs,
    "packed-refs.new": _packed_refs_new,
    "config": _config,
    "shallow": _shallow,
    "commit-graph": _commit_graph,
    "maintenance": _maintenance,
    "gc.pid": _gc,
    "worktree-index": _in_worktree,
    "submodule-index": _in_submodule,
    "rebase-todo": _rebase_todo,
}
