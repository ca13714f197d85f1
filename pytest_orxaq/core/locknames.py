"""Which files are git's locks: by name, from git's sources, never by the ending alone.

Hooks, large-file stores, annexes and whatever else lives below a git folder have ``*.lock`` files of their own.
"""

import re

from ..model import LockKind


ENDING = ".lock"

# Where the name says it all, by the file that is guarded: these belong to one work tree ...
OWN = {
    "index": LockKind.INDEX,
    "config.worktree": LockKind.CONFIG,
    "gc.log": LockKind.GC,
    "info/sparse-checkout": LockKind.SPARSE_CHECKOUT,
    "MERGE_RR": LockKind.RERERE,
    "reftable/tables.list": LockKind.REFTABLE,
    **dict.fromkeys(
        (
            "COMMIT_EDITMSG",
            "MERGE_MODE",
            "MERGE_MSG",
            "SQUASH_MSG",
            "rebase-apply/patch-merge-index",
            "rebase-merge/amend",
            "rebase-merge/author-script",
            "rebase-merge/current-fixups",
            "rebase-merge/git-rebase-todo",
            "rebase-merge/git-rebase-todo.backup",
            "rebase-merge/message",
            "rebase-merge/message-fixup",
            "rebase-merge/message-squash",
            "rebase-merge/stopped-sha",
            "sequencer/head",
            "sequencer/opts",
            "sequencer/todo",
        ),
        LockKind.SEQUENCER,
    ),
}
# ... and these to all of them.
SHARED = {
    "config": LockKind.CONFIG,
    "gc.pid": LockKind.GC,
    "packed-refs": LockKind.PACKED_REFS,
    "shallow": LockKind.SHALLOW,
    "objects/maintenance": LockKind.MAINTENANCE,
    "objects/schedule": LockKind.SCHEDULE,
    "objects/loose-object-idx": LockKind.LOOSE_OBJECT_INDEX,
    "objects/info/alternates": LockKind.ALTERNATES,
    "objects/info/commit-graph": LockKind.COMMIT_GRAPH,
    "objects/info/commit-graphs/commit-graph-chain": LockKind.COMMIT_GRAPH,
    "objects/pack/multi-pack-index": LockKind.MULTI_PACK_INDEX,
    "objects/pack/multi-pack-index.d/multi-pack-index-chain": LockKind.MULTI_PACK_INDEX,
}

# References and reftable lock the name itself; everything else locks what a link points to.
FOLLOWS_LINKS = frozenset({*OWN, *SHARED}) - {"reftable/tables.list", "objects/maintenance", "objects/schedule"}

# References that belong to one work tree; the others are shared.
_OWN_REFS = ("refs/bisect/", "refs/rewritten/", "refs/worktree/")

# As git's is_root_ref has it: upper case, and one of these or "..._HEAD".
_ROOT_REF = re.compile(
    r"HEAD|[A-Z_-]+_HEAD|AUTO_MERGE|BISECT_EXPECTED_REV|MERGE_AUTOSTASH|NOTES_MERGE_PARTIAL|NOTES_MERGE_REF"
)
_PARTIAL_INDEX = re.compile(r"next-index-[0-9]+")
_STASH_INDEX = re.compile(r"index\.stash\.[0-9]+")
_REFTABLE = re.compile(r"reftable/0x[0-9a-f]+-0x[0-9a-f]+-[0-9a-f]+\.ref")


def kind_of(relative: str, *, linked: bool = False) -> LockKind | None:
    """What the file ``relative`` below a git folder guards; None if it is none of git's locks.

    ``linked``: the folder is the one of a linked work tree, where the shared files of the repository are not.
    """
    if relative == "packed-refs.new":
        return None if linked else LockKind.PACKED_REFS_NEW
    # A pid file ends the same way. A tilde is in no reference's name, so that nothing else is meant.
    if not relative.endswith(ENDING) or relative.endswith(f"~pid{ENDING}"):
        return None
    guarded = relative.removesuffix(ENDING)
    if guarded.startswith(("refs/", "logs/")):
        return _reference(guarded, linked=linked)
    kind = OWN.get(guarded) or (None if linked else SHARED.get(guarded))
    return kind or next((kind for pattern, kind in _PATTERNS if pattern.fullmatch(guarded)), None)


_PATTERNS = (
    (_ROOT_REF, LockKind.PSEUDOREF),
    (_PARTIAL_INDEX, LockKind.PARTIAL_INDEX),
    (_STASH_INDEX, LockKind.STASH_INDEX),
    (_REFTABLE, LockKind.REFTABLE),
)


def target_of(path: str, kind: LockKind) -> str:
    """The file that the lock at ``path`` guards; what a commit of some paths guards is the index itself."""
    if kind is LockKind.PACKED_REFS_NEW:
        return path.removesuffix(".new")
    if kind is LockKind.PARTIAL_INDEX:
        return path[: path.rindex("/") + 1] + "index"
    return path.removesuffix(ENDING)


def pid_file_of(path: str) -> str:
    """Where git, if it is told to, notes the process that holds the lock at ``path``; empty if it would not."""
    return f"{path.removesuffix(ENDING)}~pid{ENDING}" if path.endswith(ENDING) else ""


def _reference(guarded: str, *, linked: bool) -> LockKind | None:
    """A name under ``refs/``, or of the log of a reference. No part of a reference's name begins with a dot, or is empty."""
    log = guarded.startswith("logs/")
    name = guarded.removeprefix("logs/")
    if any(part.startswith(".") or not part for part in name.split("/")):
        return None
    known = name.startswith(_OWN_REFS if linked else "refs/") or (log and _ROOT_REF.fullmatch(name))
    if not known:
        return None
    return LockKind.REFLOG if log else LockKind.REF
