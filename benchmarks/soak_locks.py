"""Torture lock recovery: gits at work in one repository are killed at random while locks are recovered over and over.

Usage: python benchmarks/soak_locks.py SECONDS [--seed N] [--writers N] [--recover COMMAND]

Several writers add, commit, commit --all, fetch, gc, pack refs and switch branches, each on files of its own, the last
one in a linked work tree. Some of their gits are killed with SIGKILL, with everything that they started. Others hold
locks in ways that are hard to see: prepared changes of references, by a git of another name, in a submodule with a git
folder of its own or in a repository that shares files by links; and configurations that GitPython writes. Meanwhile
COMMAND, run in the repository, recovers locks. What must hold:

* No lock is taken from a git that lives. Hooks and filters, which run while their git holds its locks, look at these
  before and after a pause, sometimes one that is longer than the recovery's least age; and so does a writer right
  before it kills, and whoever holds one without a hook. Locks that no hook sees are held against the gits that lived when they were made.
* No commit loses a file: none is ever deleted, so none is missing from any commit that had it in its parent, and every
  content in every commit is one that its writer wrote.
* In the end no lock is left.

Ends with 1 if one of these does not hold. The same seed gives the same plans; how gits meet is the machine's affair.
"""

import argparse
import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pytest_orxaq.faults.identity import Identity
from pytest_orxaq.faults.isolation import Git, Isolation


# `orxaq locks` gives up a lock that comes back time and again, which is all that happens here: so it does not count.
# And by elimination it releases only where the configuration says so, which is what is tortured here.
UNTIRING = """
import sys
from pytest_orxaq import __main__
from pytest_orxaq.core import staleness
from pytest_orxaq.model import ReleasePolicy
from pytest_orxaq.repository import locks
locks.TOO_OFTEN = sys.maxsize
may_release = staleness.may_release
staleness.may_release = lambda judgement, policy: may_release(judgement, ReleasePolicy.ELIMINATION)
sys.exit(__main__.main())
"""
RECOVER = shlex.join([sys.executable, "-c", UNTIRING, "locks", "--recover", "--min-age", "1s", "--format", "json"])
STUCK = 60.0  # seconds after which a command is ended by force, and counts as a violation
SETTLING = 45.0  # for the last recovery, once everything else has ended
KILLED = 0.25  # of the operations, if they live so long
TICK = 0.02  # what the times of files may lag behind the clock
LATE = 0.5  # what the observer may be late on a busy machine

# Looks at the locks that its git holds, pauses, and looks again. It is told of them on stdin: a lock named in an argument
# or a variable would be an easy catch for the recovery. The log's lines are short enough to be written at once.
WITNESS = """\
#!/bin/sh
locks=$(cat)
before=
for lock in $locks; do
    here=$(stat -c '%d %i %.9W' "$lock" 2>/dev/null) || continue
    before="$before$lock $here
"
    echo "held $SOAK_OPERATION $lock $here" >>"$SOAK_LOG"
done
sleep "$1"
printf %s "$before" | while read -r lock here; do
    now=$(stat -c '%d %i %.9W' "$lock" 2>/dev/null) || now=gone
    if [ "$here" = "$now" ]; then word=kept; else word=lost; fi
    echo "$word $SOAK_OPERATION $lock $now" >>"$SOAK_LOG"
done
"""
PRE_COMMIT = """\
#!/bin/sh
case $GIT_INDEX_FILE in *.lock) lock=$GIT_INDEX_FILE ;; *) lock= ;; esac
echo "$lock" | "$SOAK_WITNESS" "$SOAK_PAUSE"
"""
FILTER = """\
#!/bin/sh
echo "$SOAK_OWN/index.lock" | "$SOAK_WITNESS" 0.05
exec cat
"""
# Only where every ref that is named is locked by this very git.
REFERENCE_TRANSACTION = """\
#!/bin/sh
[ "$1" = prepared ] && [ -n "$SOAK_REF_PAUSE" ] || exit 0
while read -r _ _ ref; do
    case $ref in refs/*) echo "$SOAK_COMMON/$ref.lock" ;; HEAD) echo "$SOAK_OWN/HEAD.lock" ;; esac
done | "$SOAK_WITNESS" "$SOAK_REF_PAUSE"
"""

WEIGHTS = {"add": 28, "commit": 18, "commit --all": 24, "switch": 12, "fetch": 8, "pack-refs": 7, "gc": 3}
# What a git says that only met another, or found nothing to do.
CONTENTION = (
    "File exists",
    "gc is already running",
    "but expected",
    "nothing to commit",
    "nothing added to commit",
    "no changes added to commit",
    "failed to insert into database",  # gc has just removed the folder: known, and harmless
    "unable to create temporary file",
    "failed to run",  # gc, of one of its children
    "reference already exists",
    "cannot lock ref",
)


# ---------------------------------------------------------------- what is known


@dataclass(slots=True)
class Operation:
    """One git of a writer, from its start to its end."""

    number: int
    writer: int
    kind: str
    started_at: float = 0.0
    ended_at: float = float("inf")
    killed: bool = False
    code: int = 0
    said: str = ""

    @property
    def fate(self) -> str:
        """How it ended, for the table."""
        if self.killed:
            return "killed"
        if self.code == 0:
            return "ok"
        return "contended" if any(word in self.said for word in CONTENTION) else "failed"


@dataclass(slots=True)
class Seen:
    """A lock file as the observer saw it come and go."""

    path: str
    identity: Identity
    first_at: float
    last_at: float
    gone_at: float = float("inf")


@dataclass(slots=True)
class Soak:
    """Everything that goes on, shared by the threads."""

    repo: Git
    linked: Git
    origin: Git
    room: Path
    seed: str
    recover: list[str]
    stop: threading.Event = field(default_factory=threading.Event)
    operations: list[Operation] = field(default_factory=list)
    versions: dict[str, set[str]] = field(default_factory=dict)  # what was written into each file, ever
    violations: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    released: list[tuple[str, float, float]] = field(default_factory=list)  # path, and between which moments
    recoveries: list[float] = field(default_factory=list)  # their durations
    holders: list["Holder"] = field(default_factory=list)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    @property
    def log(self) -> Path:
        """What hooks and filters witnessed."""
        return self.room / "witnessed"

    def begin(self, writer: int, kind: str) -> Operation:
        """A new operation, on record before it starts."""
        with self.mutex:
            self.operations.append(Operation(len(self.operations), writer, kind))
            return self.operations[-1]

    def witnessed(self) -> list[list[str]]:
        """The lines of hooks and filters: held, kept or lost; operation; lock; device, inode, birth."""
        with contextlib.suppress(FileNotFoundError):
            return [line.split() for line in self.log.read_text().splitlines()]
        return []


# ---------------------------------------------------------------- writers


class Writer(threading.Thread):
    """Does one operation after the other, in one work tree, on files of its own."""

    def __init__(self, soak: Soak, number: int, where: Git) -> None:
        super().__init__(name=f"writer {number}")
        self.soak = soak
        self.number = number
        self.where = where
        self.random = random.Random(f"{soak.seed}:{number}")
        self.files: list[str] = []
        self.serial = 0

    def run(self) -> None:
        """Until the soak is over; the first writer begins with a hold longer than any age that is asked for."""
        try:
            if self.number == 0:
                self.write()
                self.git("add", "add", "--", self.files[0], pause=0.05)
                self.git("commit --all", "commit", "-q", "-a", "--allow-empty", "-m", "first", pause=3.0)
            while not self.soak.stop.is_set():
                self.operate(self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])
        except BaseException as error:  # noqa: BLE001 - a bug of the harness must not look like a pass
            self.soak.violations.append(f"{self.name} broke: {error!r}")

    def operate(self, kind: str) -> None:
        """One operation of a kind; every draw is made whatever comes of it, so that the plan is the seed's alone."""
        slow, dies, moment, fresh, early = (self.random.random() for _ in range(5))
        pause = 1.2 + 1.8 * moment if slow < 0.12 else 0.05 + 0.15 * moment
        # Half of the deaths come while git works, the others in its hook or behind it.
        after = self.random.uniform(0.001, 0.02 if early < 0.5 else pause * 1.3 + 0.05)
        message = f"{self.number}-{self.serial}"
        if kind in {"add", "commit --all"}:
            self.write(new=kind == "add" and fresh < 0.6, slow=slow < 0.3)
        commands = {
            "add": ("add", "--", self.files[-1] if self.files else "."),
            "commit": ("commit", "-q", "-m", message),
            "commit --all": ("commit", "-q", "-a", "-m", message),
            "switch": ("switch", "-q", "-C", f"branch{self.number}-{self.random.randrange(3)}"),
            "fetch": ("fetch", "-q", "--no-auto-maintenance", "origin"),
            "pack-refs": ("pack-refs", "--all"),
            "gc": ("gc", "--quiet"),
        }
        if kind == "fetch":
            self.advance_origin(message)
        # Packing has transactions in which the refs named are not locked by itself; there is nothing to witness.
        in_transaction = kind in {"commit", "commit --all", "fetch"} and fresh < 0.3
        self.git(
            kind,
            *commands[kind],
            pause=pause,
            ref_pause=pause if in_transaction else None,
            kill_after=after if dies < KILLED else None,
        )

    def write(self, *, new: bool = True, slow: bool = False) -> None:
        """Write one of the writer's files; readers see the old content or the new, never a part."""
        self.serial += 1
        if new or not self.files:
            self.files.append(f"w{self.number}/{self.serial}{'.slow' if slow else ''}")
        name = self.files[-1] if new else self.random.choice(self.files)
        content = f"{name} {self.serial}\n"
        self.soak.versions.setdefault(name, set()).add(content)
        path = self.where.path / name
        path.parent.mkdir(exist_ok=True)
        beside = self.soak.room / f"new{self.number}"
        beside.write_text(content)
        beside.replace(path)

    def advance_origin(self, message: str) -> None:
        """Give a fetch something to do."""
        origin = self.soak.origin
        commit = origin("commit-tree", "-p", "main", "-m", message, "main^{tree}").stdout.strip()
        origin("update-ref", f"refs/heads/moves{self.number}", commit)

    def git(
        self,
        kind: str,
        *words: str,
        pause: float = 0.1,
        ref_pause: float | None = None,
        kill_after: float | None = None,
    ) -> None:
        """Run one git in a session of its own, perhaps not to its end."""
        operation = self.soak.begin(self.number, kind)
        environment = self.where.env | {
            "SOAK_OPERATION": str(operation.number),
            "SOAK_LOG": str(self.soak.log),
            "SOAK_WITNESS": str(self.soak.room / "witness"),
            "SOAK_PAUSE": f"{pause:.3f}",
            "SOAK_REF_PAUSE": "" if ref_pause is None else f"{ref_pause:.3f}",
            "SOAK_OWN": str(self.where.dir),
            "SOAK_COMMON": str(self.where.common),
        }
        said = self.soak.room / f"said{self.number}"
        with said.open("wb") as output:
            operation.started_at = time.time()
            process = subprocess.Popen(
                ["git", *words],
                cwd=self.where.path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                process.wait(kill_after if kill_after is not None else STUCK)
            except subprocess.TimeoutExpired:
                self.kill(operation, process, wanted=kill_after is not None)
        operation.ended_at = time.time()
        operation.code = process.returncode
        operation.said = said.read_text(errors="replace")

    def kill(self, operation: Operation, process: "subprocess.Popen[bytes]", *, wanted: bool) -> None:
        """Kill it with all that it started; what it holds must still be there at this moment."""
        lost = [line for line in self.held(operation) if not there(line)]
        lived = process.poll() is None
        if lived:
            os.kill(process.pid, signal.SIGKILL)  # the leader first: it must not hear of its hook's death
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        operation.killed = True
        if lived and lost and self.held(operation):  # a hook that has ended meanwhile has looked by itself
            self.soak.violations += [f"{line[2]} was taken from {operation.kind} {operation.number}" for line in lost]
        if not wanted:
            self.soak.violations.append(f"{operation.kind} {operation.number} did not end in {STUCK:.0f} s")

    def held(self, operation: Operation) -> list[list[str]]:
        """What a hook has seen and not yet looked at again."""
        lines = [line for line in self.soak.witnessed() if int(line[1]) == operation.number]
        over = {line[2] for line in lines if line[0] != "held"}
        return [line for line in lines if line[0] == "held" and line[2] not in over]


def there(line: list[str]) -> bool:
    """Whether a lock that was witnessed is still the same."""
    found = Identity.of(Path(line[2]))
    seconds, _, fraction = line[5].partition(".")
    born_at = int(seconds) * 10**9 + int(fraction) if fraction else 0
    return (
        found is not None
        and (found.device, found.inode) == (int(line[3]), int(line[4]))
        and (born_at in {0, found.born_at})
    )


# ---------------------------------------------------------------- holders


GITPYTHON = """
import sys
import git
with git.Repo(sys.argv[1]) as repo, repo.config_writer():
    print("prepare: ok", flush=True)
    sys.stdin.readline()
"""


class Holder(threading.Thread):
    """Holds one lock after the other, without a descriptor, a child or a variable, for longer than any age that is asked for."""

    def __init__(self, soak: Soak, number: int, places: dict[str, Git], program: Path) -> None:
        super().__init__(name=f"holder {number}")
        self.soak = soak
        self.number = number
        self.places = places
        self.program = program  # git under another name
        self.random = random.Random(f"{soak.seed}:holder{number}")

    def run(self) -> None:
        """Until the soak is over."""
        try:
            while not self.soak.stop.is_set():
                where = self.random.choice([*self.places])
                program = self.random.choice(["git", str(self.program)])
                pause, dies = 1.2 + 1.8 * self.random.random(), self.random.random() < KILLED
                if self.random.random() < 0.2:
                    # Killed, it would leave a lock that nobody can tell from that of a living Python.
                    command = [sys.executable, "-c", GITPYTHON, str(self.soak.repo.path)]
                    self.hold("GitPython", command, Path("/"), self.soak.repo.common / "config.lock", pause, dies=False)
                else:
                    name = f"held{self.number}"
                    lock = self.places[where].common / f"refs/heads/{name}.lock"
                    command = [program, "update-ref", "--stdin"]
                    self.hold(where, command, self.places[where].path, lock, pause, dies=dies)
        except BaseException as error:  # noqa: BLE001 - a bug of the harness must not look like a pass
            self.soak.violations.append(f"{self.name} broke: {error!r}")

    def hold(self, kind: str, command: list[str], cwd: Path, lock: Path, pause: float, *, dies: bool) -> None:
        """One lock, which must be there and the same to the end."""
        operation = self.soak.begin(self.number, kind)
        operation.started_at = time.time()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=self.soak.repo.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"start\ncreate refs/heads/{lock.stem} HEAD\nprepare\n" if kind != "GitPython" else "")
            process.stdin.flush()
        while (said := process.stdout.readline()) not in {"prepare: ok\n", ""}:
            pass
        if said:
            before = Identity.of(lock)
            with self.soak.mutex, self.soak.log.open("a") as log:
                log.write(f"held {operation.number} {lock} 0 0 0\n")
            self.soak.stop.wait(pause)
            kept = before is not None and Identity.of(lock) == before
            with self.soak.mutex, self.soak.log.open("a") as log:
                log.write(f"{'kept' if kept else 'lost'} {operation.number} {lock} 0 0 0\n")
        if dies:
            process.kill()
            operation.killed = True
        _, operation.said = process.communicate("\n" if kind == "GitPython" else None, timeout=STUCK)
        operation.ended_at = time.time()
        operation.code = process.returncode


# ---------------------------------------------------------------- observer and recoverer


def locks(common: Path) -> Iterator[str]:
    """Every lock file of the repository, but not what is git's own business."""
    for folder, folders, names in os.walk(common):
        if folder == str(common / "objects"):
            folders[:] = [name for name in folders if name in {"info", "pack"}]
        if folder == str(common):
            folders[:] = [name for name in folders if name not in {"orxaq", "hooks", "logs"}]
        yield from (f"{folder}/{name}" for name in names if name.endswith(".lock") or name == "packed-refs.new")


class Observer(threading.Thread):
    """Sees locks come and go."""

    def __init__(self, soak: Soak) -> None:
        super().__init__(name="observer")
        self.soak = soak
        self.over = threading.Event()
        self.present: dict[tuple[str, Identity], Seen] = {}

    def run(self) -> None:
        """Look until told."""
        while not self.over.wait(0.01):
            self.look()
        self.look()

    def look(self) -> None:
        """Look once."""
        now = time.time()
        found = {(path, one) for path in locks(self.soak.repo.common) if (one := Identity.of(Path(path)))}
        for key in found - self.present.keys():
            self.present[key] = Seen(*key, now, now)
            self.soak.seen.append(self.present[key])
        for key in list(self.present):
            if key in found:
                self.present[key].last_at = now
            else:
                self.present.pop(key).gone_at = now


class Recoverer(threading.Thread):
    """Recovers over and over."""

    def __init__(self, soak: Soak) -> None:
        super().__init__(name="recoverer")
        self.soak = soak
        self.random = random.Random(f"{soak.seed}:recoverer")

    def run(self) -> None:
        """Until the soak is over."""
        while not self.soak.stop.wait(self.random.uniform(0.05, 0.3)):
            self.once()

    def once(self) -> None:
        """One recovery, and what it says that it released."""
        begun = time.time()
        done = subprocess.Popen(
            self.soak.recover,
            cwd=self.soak.repo.path,
            env=self.soak.repo.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = done.communicate(timeout=STUCK)
        except subprocess.TimeoutExpired:
            os.killpg(done.pid, signal.SIGKILL)
            done.communicate()
            self.soak.violations.append(f"the recovery did not end in {STUCK:.0f} s")
            return
        ended = time.time()
        self.soak.recoveries.append(ended - begun)
        if done.returncode not in {0, 1}:  # 1: a lock remains
            words = err.decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            self.soak.violations.append(f"the recovery ended with {done.returncode}, and said: {words[0]}")
        self.soak.released += [(path, begun, ended) for path in releases(out)]


def releases(out: bytes) -> Iterator[str]:
    """The paths of released locks in a recovery's JSON, as ``orxaq locks`` writes it, wherever in it they stand."""
    waiting: list[object] = []
    with contextlib.suppress(ValueError):
        waiting.append(json.loads(out))
    while waiting:
        match waiting.pop():
            case {"path": str(path), "recovery": {"released": True}}:
                yield path
            case dict() as found:
                waiting += found.values()
            case list() as found:
                waiting += found
            case _:
                pass


# ---------------------------------------------------------------- checks


def taken(soak: Soak) -> Iterator[str]:
    """Live locks that were released, as hooks saw it, and as the gits tell that lived when a lock was made."""
    kinds = {operation.number: operation.kind for operation in soak.operations}
    for line in soak.witnessed():
        if line[0] == "lost":
            yield f"{line[2]} was taken from {kinds[int(line[1])]} {line[1]}, in its hook"
    for seen in released(soak):
        makers = [each for each in soak.operations if lived(each, seen)]
        if makers and not any(each.ended_at <= seen.gone_at for each in makers):
            names = ", ".join(f"{each.kind} {each.number}" for each in makers)
            yield f"{seen.path} was released while {names} lived, and nobody else can have made it"


def released(soak: Soak) -> list[Seen]:
    """The locks as they were seen that the recovery says it released; of several that went meanwhile the one that stood longest."""
    return [
        max(there, key=lambda seen: seen.gone_at - seen.first_at)
        for path, begun, ended in soak.released
        if (there := [each for each in soak.seen if each.path == path and begun <= each.gone_at <= ended + LATE])
    ]


def lived(operation: Operation, seen: Seen) -> bool:
    """Whether a git lived when a lock was made."""
    born_at = min(seen.identity.born_at / 1e9, seen.first_at)
    return operation.started_at <= born_at + TICK and born_at <= operation.ended_at


def lost_files(soak: Soak) -> tuple[int, list[str]]:
    """How many commits were looked at, and what is wrong with them."""
    repo = soak.repo
    commits = repo("rev-list", "--all", "--reflog").stdout.split()
    wrong = []
    deleted = repo("log", "--all", "--reflog", "--diff-filter=D", "--name-only", "--format=%x00%H %s").stdout
    for entry in deleted.split("\0")[1:]:
        commit, *names = filter(None, entry.splitlines())
        if names:
            wrong.append(f"commit {commit} lost {', '.join(names[:3])}{' …' if names[3:] else ''}")
    raw = repo("log", "--all", "--reflog", "--raw", "--no-abbrev", "--no-renames", "--format=").stdout
    blobs = {(fields[3], path) for line in raw.splitlines() for fields, path in [_changed(line)]}
    for blob, path in sorted(blobs):
        if path.startswith("w") and set(blob) != {"0"}:
            content = repo("cat-file", "blob", blob).stdout
            if content not in soak.versions.get(path, ()):
                wrong.append(f"{path} has a content in some commit that its writer never wrote: {content!r}")
    checked = repo("fsck", "--connectivity-only", "--no-dangling", check=False)
    if checked.returncode:
        wrong.append(f"fsck: {checked.stderr.strip().splitlines()[:1]}")
    return len(commits), wrong


def _changed(line: str) -> tuple[list[str], str]:
    """The fields and the path of a line of raw differences."""
    head, _, path = line.partition("\t")
    return head.split(), path


# ---------------------------------------------------------------- the run


def prepare(room: Path, seed: str, recover: list[str], writers: int) -> Soak:
    """The repositories, and the hooks and filters that witness."""
    isolation = Isolation(room)
    repo = isolation.make("repo")
    origin = isolation.make("origin", bare=True)
    repo("remote", "add", "origin", str(origin.path))
    inner = submodule(repo)  # before there are hooks
    linked = repo.worktree("linked")
    (repo.common / "hooks").mkdir(exist_ok=True)
    programs = {
        room / "witness": WITNESS,
        room / "filter": FILTER,
        repo.common / "hooks" / "pre-commit": PRE_COMMIT,
        repo.common / "hooks" / "reference-transaction": REFERENCE_TRANSACTION,
    }
    for path, text in programs.items():
        path.write_text(text)
        path.chmod(0o755)
    program = room / "git.real"
    shutil.copy(str(shutil.which("git")), program)
    repo("config", "filter.slow.clean", shlex.quote(str(room / "filter")))
    (repo.common / "info").mkdir(exist_ok=True)
    (repo.common / "info" / "attributes").write_text("*.slow filter=slow\n")
    state = Soak(repo=repo, linked=linked, origin=origin, room=room, seed=seed, recover=recover)
    places = {"hold here": repo, "hold in submodule": inner, "hold by links": sharing(repo, room)}
    state.holders += [Holder(state, writers + number, places, program) for number in range(2)]
    return state


def submodule(repo: Git) -> Git:
    """A submodule whose git folder lies in the work tree."""
    path = repo.path / "embedded"
    repo("init", "-q", str(path))
    inner = Git(path, repo.env)
    inner("commit", "-q", "--allow-empty", "-m", "first")
    repo("submodule", "add", "-q", "./embedded", "embedded")
    repo("commit", "-q", "-m", "a submodule")
    return inner


def sharing(repo: Git, room: Path) -> Git:
    """A work tree that shares everything but its index and HEAD by links, as git-new-workdir makes it."""
    path = room / "sharing"
    (path / ".git").mkdir(parents=True)
    for name in ("config", "refs", "objects", "packed-refs", "logs", "info", "hooks"):
        (path / ".git" / name).symlink_to(repo.common / name)
    shutil.copy(repo.common / "HEAD", path / ".git/HEAD")
    return Git(path, repo.env)


def soak(state: Soak, seconds: float, writers: int) -> None:
    """Let everybody at it, and recover once more when all are done."""
    observer, recoverer = Observer(state), Recoverer(state)
    threads: list[threading.Thread] = [
        *(Writer(state, number, state.linked if number == writers - 1 else state.repo) for number in range(writers)),
        *state.holders,
    ]
    until = time.monotonic() + seconds
    observer.start()
    threads[0].start()
    # The others come when the first holds its lock, so that there is a long hold in every run.
    while time.monotonic() < until and not any(line[0] == "held" for line in state.witnessed()):
        time.sleep(0.01)
    recoverer.start()
    for thread in threads[1:]:
        thread.start()
    time.sleep(max(0.0, until - time.monotonic()))
    state.stop.set()
    for thread in (*threads, recoverer):
        thread.join()
    until = time.monotonic() + SETTLING
    while any(locks(state.repo.common)) and time.monotonic() < until:
        recoverer.once()
        time.sleep(0.2)
        if not state.released and len(state.recoveries) > 10:  # it never releases anything
            break
    observer.over.set()
    observer.join()


def table(state: Soak, commits: int) -> None:
    """The figures."""
    fates = ("ok", "contended", "failed", "killed")
    print(f"{'operation':<14}{'all':>7}" + "".join(f"{fate:>11}" for fate in fates))
    for kind in [*dict.fromkeys([*WEIGHTS, *(each.kind for each in state.operations), "all"])]:
        counted = Counter(each.fate for each in state.operations if kind in {each.kind, "all"})
        print(f"{kind:<14}{counted.total():>7}" + "".join(f"{counted[fate]:>11}" for fate in fates))
    dead = released(state)
    waits = [
        seen.gone_at - max(each.ended_at for each in makers)
        for seen in dead
        if (makers := [each for each in state.operations if lived(each, seen) and each.ended_at <= seen.gone_at])
    ]
    words = Counter(line[0] for line in state.witnessed())
    figures = {
        "locks seen": len(state.seen),
        "held in a hook": words["held"],
        "kept to its end": words["kept"],
        "lost": words["lost"],
        "released": len(dead),
        "of these by kind": ", ".join(f"{count} {name}" for name, count in Counter(map(_kind, dead)).most_common()),
        "median wait for it": f"{statistics.median(waits):.1f} s" if waits else "-",
        "recoveries": len(state.recoveries),
        "median duration": f"{statistics.median(state.recoveries):.2f} s" if state.recoveries else "-",
        "commits compared": commits,
        "files written": len(state.versions),
    }
    print()
    for name, figure in figures.items():
        print(f"{name:<21}{figure}")


def _kind(seen: Seen) -> str:
    """What a lock is called in the table."""
    return "ref" if "/refs/" in seen.path else Path(seen.path).name.removesuffix(".lock")


def main() -> int:
    """1 if something did not hold."""
    parser = argparse.ArgumentParser(description="Torture lock recovery.")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", default=str(random.randrange(10**6)))
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--recover", default=RECOVER, help="the command line; released locks are read from its JSON")
    given = parser.parse_args()
    print(f"{given.seconds:.0f} s, {given.writers} writers, seed {given.seed}\n{given.recover}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as room:
        state = prepare(Path(room).resolve(), given.seed, shlex.split(given.recover), given.writers)
        soak(state, given.seconds, given.writers)
        left = list(locks(state.repo.common))
        commits, wrong = lost_files(state)
        table(state, commits)
        violations = [
            *(f"LIVE LOCK: {sentence}" for sentence in dict.fromkeys([*taken(state)])),
            *(f"FILES: {sentence}" for sentence in wrong),
            *(f"LEFT: {path}" for path in left),
            *(f"FAILED: {sentence}" for sentence in state.violations),
            *(
                f"UNEXPLAINED: {each.kind} {each.number}: {each.said.strip()[-300:]}"
                for each in state.operations
                if each.fate == "failed"
            ),
        ]
    print()
    print("\n".join(violations) or "Nothing was lost, taken or left.")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
