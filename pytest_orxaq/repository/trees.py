"""Find the repository, and digest the content of its work tree."""

import hashlib
import os
import re
import stat

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import MachineError, OrxaqError, RepositoryError
from ..system.process import Answer
from .commands import git


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A work tree and where git keeps its things; all paths are absolute."""

    top: Path
    own: Path  # git's folder of this work tree
    common: Path  # git's folder that all work trees of the repository share
    state: Path  # where our state of this work tree belongs
    commit: str  # empty before the first commit
    branch: str  # empty when detached
    dirty: tuple[str, ...]  # changed and untracked paths
    known_to_git: bool = True  # False: a plain folder, which only a command of its own can be run in

    @property
    def id(self) -> str:
        """A name for the repository that is the same in all of its work trees."""
        return hashlib.sha256(os.fsencode(self.common)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeDigest:
    """The content of a work tree as one value, or why there is none."""

    value: str = ""
    why_not: str = ""  # a sentence; a tree without a digest must not answer for another


def discover(directory: Path) -> Repository:
    """The repository that ``directory`` belongs to. Raises RepositoryError with advice if there is none to work in."""
    places = git(
        directory,
        *("rev-parse", "--is-bare-repository", "--is-inside-git-dir", "--absolute-git-dir", "--git-common-dir"),
        *("--git-path", "orxaq", "--show-toplevel"),
    )
    # Options are answered one by one: what came before the one that failed says why.
    lines = os.fsdecode(places.out).removesuffix("\n").split("\n")
    if places.code != 0 or len(lines) != 6:
        raise _no_repository(directory, places, lines)
    top = Path(lines[5])
    commit, branch, dirty = _status(top)
    return Repository(
        top=top,
        own=Path(lines[2]),
        common=_absolute(directory, lines[3]),
        state=_absolute(directory, lines[4]),
        commit=commit,
        branch=branch,
        dirty=dirty,
    )


def plain_folder(directory: Path) -> Repository:
    """A folder that is in no repository, as far as git can tell. Git's places stand for none here."""
    top = Path(os.path.realpath(directory))
    return Repository(
        top=top, own=top, common=top, state=top / "orxaq", commit="", branch="", dirty=(), known_to_git=False
    )


def subject_of(repository: Repository) -> str:
    """The first line of the commit's message; empty before the first commit."""
    if not repository.commit:
        return ""
    answer = git(repository.top, "log", "-1", "--no-show-signature", "--format=%s", repository.commit, "--")
    return answer.out.decode(errors="replace").strip() if answer.code == 0 else ""


def changes_between(repository: Repository, commit: str, *, limit: int = 200) -> tuple[str, ...]:
    """Tracked paths that differ between ``commit`` and the work tree; if there are many, the last one says how many.

    Empty also if the commit is not known here any more.
    """
    if re.fullmatch(r"[0-9a-f]{40,64}", commit) is None:
        return ()
    options = ("--name-only", "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none")
    answer = git(repository.top, "diff", *options, "-z", commit, "--")
    if answer.code != 0:
        return ()
    paths = tuple(os.fsdecode(path) for path in answer.out.split(b"\0") if path)
    return paths if len(paths) <= limit else (*paths[:limit], f"... and {len(paths) - limit} more")


def digest(repository: Repository) -> TreeDigest:
    """The content of the work tree: what is tracked, as it lies there, and what is untracked and not ignored.

    Equal content has an equal digest, committed or not: a pass survives the commit of what was tested. Nothing
    is written, neither to the index nor to the object store.

    A file that git normalises (line endings, a clean filter) counts with its raw bytes too as long as git's index
    does not hold its present times and size. A rewrite that git normalises away *and* has since taken into its
    index (``git status`` does that) is not noticed; nor are ignored files, mode bits where ``core.fileMode`` is
    false, and what submodules hide from their own ``git status``.
    """
    try:
        return TreeDigest(value=_digest(repository.top))
    except _NoDigestError as reason:
        return TreeDigest(why_not=str(reason))
    except (OrxaqError, OSError) as error:
        return TreeDigest(why_not=f"the work tree cannot be read: {error}")


# ---------------------------------------------------------------- discovery


# What a .git file that leads nowhere, or is none, makes git say.
_DAMAGED = ("invalid gitfile format", "not a git repository: ", "too large to be a .git file", "no path in gitfile")


def _no_repository(directory: Path, places: Answer, lines: list[str]) -> OrxaqError:
    if places.timed_out:
        return MachineError(f"git did not answer in {directory}", advice="Is its file system reachable?")
    if lines[:1] == ["true"]:
        return RepositoryError(
            f"{lines[2]} is a bare repository: it has no files to check",
            advice="Run this in a clone or in a work tree of it (git worktree add).",
        )
    if lines[1:2] == ["true"]:
        return RepositoryError(
            f"{directory} is inside git's own folder", advice="Run this in the work tree, beside the .git folder."
        )
    return refusal(directory, places.err.decode(errors="replace").strip())


def refusal(directory: Path, said: str) -> RepositoryError:
    """What git means when it does not name the repository of ``directory`` but says this."""
    first = said.partition("\n")[0].removeprefix("fatal: ")
    if "dubious ownership" in said:
        return RepositoryError(
            f"git does not trust the repository in {directory}: it belongs to another user",
            advice=f"If you trust it: git config --global --add safe.directory {_distrusted(said) or directory}",
        )
    if any(words in said for words in _DAMAGED):
        return RepositoryError(
            f"the repository in {directory} is damaged: {first}",
            advice="Repair its .git file (git worktree repair, git submodule update --init), or clone anew.",
        )
    if "not a git repository" in said:
        return RepositoryError(
            f"{directory} is not in a git repository", advice="Run this in one, or make one: git init"
        )
    return RepositoryError(f"git cannot tell the repository of {directory}: {first or 'its answer makes no sense'}")


def _distrusted(said: str) -> str:
    found = re.search(r"repository at '(.+)'", said)
    return found[1] if found else ""


def _absolute(directory: Path, path: str) -> Path:
    # Relative answers are relative to where git was asked; --path-format=absolute would need git 2.31.
    return Path(os.path.realpath(directory / path))


# A change that restores size and modification time is still seen by its change time.
_STRICT = ("-c", "core.trustctime=true", "-c", "core.checkStat=default", "-c", "core.ignoreStat=false")


def _status(top: Path) -> tuple[str, str, tuple[str, ...]]:
    options = ("--porcelain=v2", "--branch", "--untracked-files=normal", "--no-renames", "--ignore-submodules=none")
    answer = git(top, *_STRICT, "status", "-z", *options)
    if answer.code != 0 or answer.truncated:
        raise MachineError(f"git status failed in {top}: {_complaint(answer)}")
    commit = branch = ""
    dirty = []
    for row in answer.out.decode(errors="surrogateescape").split("\0"):
        kind, _, rest = row.partition(" ")
        if row.startswith("# branch.oid ") and not row.endswith(" (initial)"):
            commit = row.removeprefix("# branch.oid ")
        elif row.startswith("# branch.head ") and not row.endswith(" (detached)"):
            branch = row.removeprefix("# branch.head ")
        elif kind in _FIELDS_BEFORE_PATH:
            dirty.append(rest.split(" ", _FIELDS_BEFORE_PATH[kind])[-1])
    return commit, branch, tuple(dirty)


_FIELDS_BEFORE_PATH = {"1": 7, "u": 9, "?": 0}  # changed, unmerged, untracked


def _complaint(answer: Answer) -> str:
    if answer.timed_out:
        return "it took too long"
    if answer.truncated:
        return "it said more than can be kept"
    return answer.err.decode(errors="replace").strip().partition("\n")[0] or f"exit {answer.code or answer.signal}"


# ---------------------------------------------------------------- digest


class _NoDigestError(Exception):
    """Why the content cannot be known."""


@dataclass(frozen=True, slots=True)
class _Change:
    """A path whose content is not, or may not be, what the index says."""

    path: bytes
    mode: bytes


def _digest(top: Path) -> str:
    listing = _listing(top)
    changes = _changes(top)
    if not changes and _all_plain(listing):
        return hashlib.sha256(listing).hexdigest()  # as most trees are: what the index says is what lies there
    rows, untracked = _rows(top, listing)
    for change in changes:
        rows.pop(change.path, None)
    present = [change for change in changes if change.mode != b"000000"]
    present += [_Change(path, _mode(top, path)) for path in untracked]
    rows |= _looked_at(top, present, algorithm=_algorithm(listing))
    return hashlib.sha256(b"".join(rows[path] for path in sorted(rows))).hexdigest()


def _listing(top: Path) -> bytes:
    """The index, entry by entry, with the marks that make git look away, and the untracked files."""
    return _must(git(top, "ls-files", "-z", "-v", "--stage", "--others", "--exclude-standard"))


def _changes(top: Path) -> list[_Change]:
    """The tracked paths whose times, size or content are not those in the index."""
    # The plumbing command does not refresh the index first: touched files are listed too, and read by us.
    fields = _must(git(top, *_STRICT, "diff-files", "--raw", "-z", "--no-renames", "--ignore-submodules=none"))
    parts = fields.split(b"\0")
    changes = []
    for meta, path in zip(parts[::2], parts[1::2], strict=False):
        old, new = meta[1:].split(b" ", 2)[:2]
        if b"160000" in {old, new}:
            raise _NoDigestError(f"the submodule {_shown(path)} is not as recorded: its content is not known")
        changes.append(_Change(path, new))
    return changes


def _all_plain(listing: bytes) -> bool:
    """Whether every row is an ordinary entry of the index: tracked, merged, looked at, no submodule."""
    # Rows end with NUL and paths hold none, so that these counts are exact, and quick for 100,000 files.
    rows = b"\0" + listing
    return rows.count(b"\0H ") == listing.count(b"\0") and b"\0H 160000 " not in rows


def _rows(top: Path, listing: bytes) -> tuple[dict[bytes, bytes], list[bytes]]:
    """The index by path, and the untracked paths."""
    rows: dict[bytes, bytes] = {}
    untracked = []
    for row in listing.split(b"\0")[:-1]:
        if row.startswith(b"? "):
            untracked.append(row[2:])
            continue
        meta, _, path = row.partition(b"\t")
        _refuse_unseen(top, meta, path)
        rows[path] = _submodule(top, row, path) if meta[2:8] == b"160000" else row + b"\0"
    return rows, untracked


def _refuse_unseen(top: Path, meta: bytes, path: bytes) -> None:
    tag = meta[:1]
    if tag == b"M":
        raise _NoDigestError(f"{_shown(path)} is in conflict: a merge is not finished")
    if tag.islower():
        raise _NoDigestError(f"{_shown(path)} is marked assume-unchanged: git does not look at it")
    # A sparse checkout leaves files away: then the mark itself, as part of the row, tells such trees apart.
    if tag == b"S" and os.path.lexists(_at(top, path)):
        raise _NoDigestError(f"{_shown(path)} is marked skip-worktree, and lies there: git does not look at it")


def _submodule(top: Path, row: bytes, path: bytes) -> bytes:
    """The row of a submodule that git calls unchanged, told apart by whether it is filled."""
    place = _at(top, path)
    if os.path.lexists(os.path.join(place, b".git")):
        return row + b"\0"
    if os.listdir(place):
        raise _NoDigestError(f"the submodule {_shown(path)} is not initialised, yet its folder holds files")
    return row + b"\0empty\0"


def _looked_at(top: Path, changes: list[_Change], *, algorithm: str) -> dict[bytes, bytes]:
    """Rows for paths as they lie there, in the form that the index would give them."""
    raw = {change.path: _raw(top, change.path, algorithm) for change in changes}
    links = {change.path for change in changes if change.mode == b"120000"}
    normal = raw | _normalised(top, [change.path for change in changes if change.path not in links])
    rows = {}
    for change in changes:
        row = b"H " + change.mode + b" " + normal[change.path] + b" 0\t" + change.path + b"\0"
        # Where git normalises, equal objects do not mean equal bytes, and the tests see the bytes.
        rows[change.path] = row if raw[change.path] == normal[change.path] else row + raw[change.path] + b"\0"
    return rows


def _normalised(top: Path, paths: list[bytes]) -> dict[bytes, bytes]:
    """The object names that git would give to these files, without making the objects."""
    if not paths:
        return {}
    names = _must(git(top, "hash-object", "--stdin-paths", input=_quoted(paths), timeout=120)).split()
    return dict(zip(paths, names, strict=True))


def _raw(top: Path, path: bytes, algorithm: str) -> bytes:
    """The object name of the bytes that lie there."""
    place = _at(top, path)
    kind = os.lstat(place).st_mode
    if stat.S_ISLNK(kind):
        target = os.readlink(place)
        return hashlib.new(algorithm, b"blob %d\0%b" % (len(target), target)).hexdigest().encode()
    if not stat.S_ISREG(kind):  # a pipe would be waited for
        raise _NoDigestError(f"{_shown(path)} is neither a file nor a link")
    with open(place, "rb") as file:
        content = hashlib.new(algorithm, b"blob %d\0" % os.fstat(file.fileno()).st_size)
        while chunk := file.read(1 << 20):
            content.update(chunk)
    return content.hexdigest().encode()


def _mode(top: Path, path: bytes) -> bytes:
    if path.endswith(b"/"):
        raise _NoDigestError(f"{_shown(path)} is a repository of its own: its content is not known")
    mode = os.lstat(_at(top, path)).st_mode
    if stat.S_ISLNK(mode):
        return b"120000"
    return b"100755" if mode & stat.S_IXUSR else b"100644"


def _algorithm(listing: bytes) -> str:
    """The hash of the repository's object names."""
    return "sha256" if re.search(rb"(?:\A|\0)[A-Za-z] [0-7]{6} [0-9a-f]{64} ", listing) else "sha1"


def _must(answer: Answer) -> bytes:
    if answer.code != 0 or answer.truncated:
        raise _NoDigestError(f"git could not list the work tree: {_complaint(answer)}")
    return answer.out


def _quoted(paths: Iterable[bytes]) -> bytes:
    """Paths in git's C style, one a line: a name may hold a line break, a quote, or end with a carriage return."""
    return b"".join(b'"%b"\n' % b"".join(_OCTAL[byte] for byte in path) for path in paths)


_OCTAL = [bytes((byte,)) if 0x20 < byte < 0x7F and byte not in b'"\\' else b"\\%03o" % byte for byte in range(256)]


def _at(top: Path, path: bytes) -> bytes:
    return os.path.join(os.fsencode(top), path)


def _shown(path: bytes) -> str:
    return os.fsdecode(path)
