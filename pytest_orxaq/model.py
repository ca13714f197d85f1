"""The words, in the order in which data flows: settings, exit, evidence, cause, outcome, run.

Times are seconds, memory is bytes. ``*_at`` fields are seconds on the wall clock (Unix time) where people
read them and seconds on ``CLOCK_MONOTONIC`` inside :class:`Session` and :class:`Exit`, which compares them.
Everything here is frozen; whatever changes is a new value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum

from .actions import Action


# ---------------------------------------------------------------- signatures


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A signature: how one kind of failure shows, and what to do about it.

    It goes by lines of text (``regex``), or by exactly one of exits, signals, errnos and exceptions.
    """

    id: str
    action: Action
    advice: str
    programs: tuple[str, ...] = ()  # that fail so; empty: any
    aliases: tuple[str, ...] = ()  # ids that it once had
    source: str = ""  # where the words come from: an upstream file or thread
    needles: tuple[str, ...] = ()  # cheap to look for; one of them is in every line that the regex matches
    regex: str = ""  # of the whole line, blanks around it and colours left out
    above: tuple[str, ...] = ()  # words, one of which must stand somewhere above the line
    unless: tuple[str, ...] = ()  # regexes of whole lines: where one stands, the rule does not apply
    exits: tuple[int, ...] = ()
    signals: tuple[str, ...] = ()  # names, such as SIGXCPU
    errnos: tuple[str, ...] = ()  # names, such as ETXTBSY
    exceptions: tuple[str, ...] = ()  # names of types, with their module unless they are built in
    matches: tuple[str, ...] = ()  # examples, to which the regex is held
    misses: tuple[str, ...] = ()
    passive: bool = False  # told when it applies, and nothing else


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A failure that a rule recognised."""

    rule: str  # its id
    action: Action
    advice: str
    programs: tuple[str, ...] = ()
    source: str = ""
    line: str = ""  # of the output, empty if something else told
    number: int = 0  # that line's, from 1
    fact: str = ""  # what told instead: an exit code, a signal, an errno, an exception's type


# ---------------------------------------------------------------- settings


class EvidenceKind(StrEnum):
    """What must be there before exit code 0 is believed."""

    TESTS = "tests"  # at least one executed test, and no contradiction
    FINDINGS = "findings"  # a linter ran; what it complained of is read from its output
    EXIT = "exit"  # the exit code is proof enough (the user says so)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A named command that must pass."""

    name: str
    command: tuple[str, ...]
    evidence: EvidenceKind
    timeout: float | None = None
    junit: tuple[str, ...] = ()  # globs, relative to the work tree's top
    retries: int = 2  # environmental causes only
    environment: tuple[tuple[str, str], ...] = ()  # set for the command, and part of the pass key
    key_environment: tuple[str, ...] = ()  # names whose values are part of the pass key


class ReleasePolicy(StrEnum):
    """Which dead locks may be taken out of git's way."""

    PROOF = "proof"
    ELIMINATION = "elimination"  # those with a proof, and by elimination too
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration in force, and where it came from."""

    deadline: float = 1800.0  # everything together
    checkpoints: tuple[str, ...] = ("lint", "test")
    deep: tuple[str, ...] = ()  # run only with --deep
    table: tuple[Checkpoint, ...] = ()  # every checkpoint that is named above or configured
    first_delay: float = 1.0  # before the first retry; doubles, full jitter
    longest_delay: float = 30.0
    retry_budget: int = 10  # retries that all levels of a run may spend together
    origin: str = "defaults"  # the file that was read
    templates: str = ""  # a folder, relative to the top, with report templates of the user's own
    lock_release: ReleasePolicy = ReleasePolicy.PROOF  # which stale git locks may be taken away
    lock_min_age: float = 300.0  # unchanged for so long, before a lock may be dead by elimination
    lock_exclusive: bool = False  # the operator declares that nobody else works in the repository
    signatures: tuple[Rule, ...] = ()  # the user's own, which go before the shipped ones


# ---------------------------------------------------------------- exit


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakedProcess:
    """A process that outlived the command that started it."""

    pid: int
    command: str
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Shares (0 to 1) of the duration in which some task of the machine waited for a resource (PSI)."""

    cpu: float
    memory: float
    io: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the command and everything it started used."""

    peak_memory: int | None = None
    cpu: float = 0.0
    processes: int = 0  # the most that lived at once
    stall: Stall | None = None
    oom_kills: int = 0  # processes of ours that the kernel killed for memory while the command ran
    method: str = "none"  # how memory was measured: cgroup, proc, rusage


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How the leader process ended."""

    code: int | None = None
    signal: int | None = None
    duration: float = 0.0
    timed_out: bool = False
    cancelled: int | None = None  # the signal that asked us to stop
    not_started: str = ""  # why the command could not be started at all
    ran_nothing: bool = False  # the leader never waited for a child: of a make, that it ran no recipe
    leaked: tuple[LeakedProcess, ...] = ()  # alive after the leader's end, stopped by us
    survivors: tuple[LeakedProcess, ...] = ()  # alive after everything we could do: must be empty
    resources: Resources = field(default_factory=Resources)
    output_size: int = 0  # bytes that the command wrote
    output_omitted: int = 0  # of these, bytes not kept
    started_at: float = 0.0  # CLOCK_MONOTONIC
    marks: tuple[tuple[float, int], ...] = ()  # (CLOCK_MONOTONIC, bytes of output written before it)
    output_error: str = ""  # why not all of the output could be written down; the command went on regardless
    emptied_at: float = 0.0  # Unix time at which nothing that it had started was left; 0: it was never started


# ---------------------------------------------------------------- evidence


class TestOutcome(StrEnum):
    """The one final outcome of a test."""

    __test__ = False

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"  # its setup, teardown or collection failed
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"

    @property
    def bad(self) -> bool:
        """Whether this outcome alone fails a checkpoint."""
        return self in {TestOutcome.FAILED, TestOutcome.ERROR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled piece of captured text: stdout, stderr, log."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One thing that went wrong in a test."""

    phase: str  # collect, setup, call, teardown, or empty where the producer does not say
    exception: str  # the type's name, empty where unknown
    message: str
    traceback: str
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """A test and how it ended."""

    __test__ = False

    id: str  # a pytest node id, or "classname::name" of other producers
    outcome: TestOutcome
    duration: float = 0.0
    failures: tuple[Failure, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    file: str = ""
    line: int | None = None  # 1-based


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Tests by final outcome."""

    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    xfailed: int = 0
    xpassed: int = 0

    @property
    def total(self) -> int:
        """All tests that got an outcome."""
        return self.executed + self.skipped

    @property
    def executed(self) -> int:
        """Tests whose body ran, or should have: everything but the skipped."""
        return self.passed + self.failed + self.errors + self.xfailed + self.xpassed

    @property
    def bad(self) -> int:
        """Tests that alone fail a checkpoint."""
        return self.failed + self.errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one pytest process left in the mailbox: the witness's journal, read."""

    name: str  # the journal's file name
    pid: int = 0
    nested: bool = False  # started by a test of another session: its outcomes are that test's business
    python: str = ""  # the interpreter's path
    python_version: str = ""
    prefix: str = ""
    packages: str = ""  # digest of the installed distributions' names and versions
    pytest_version: str = ""
    arguments: tuple[str, ...] = ()
    directory: str = ""
    root: str = ""
    environment: str = ""  # digest of the environment, volatile names left out
    opened_at: float = 0.0
    closed_at: float | None = None  # None: it was cut off
    exit_status: int | None = None
    collected: int | None = None
    passed: Mapping[str, float] = field(default_factory=dict)  # id → seconds
    others: tuple[TestResult, ...] = ()  # every test with another final outcome
    again: tuple[TestResult, ...] = ()  # failures after which a plugin tried the test again; of one test, the last
    running: tuple[str, ...] = ()  # started, never finished
    missing: tuple[str, ...] = ()  # collected, no final outcome although the session closed
    repeated: tuple[str, ...] = ()  # more than one final outcome
    internal_errors: tuple[str, ...] = ()
    damage: str = ""  # why the journal cannot be believed whole
    counts: Counts = field(default_factory=Counts)  # as its closing line has them; a nested one says nothing else


class JUnitState(StrEnum):
    """What became of reading one JUnit file."""

    OK = "ok"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    NOT_JUNIT = "not-junit"
    EMPTY = "empty"
    MISSING = "missing"
    REFUSED = "refused"
    INCONSISTENT = "inconsistent"  # its counters claim failures that no test case carries
    STALE = "stale"  # older than the attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class JUnitFile:
    """One JUnit file, read."""

    path: str
    state: JUnitState
    why: str = ""  # a sentence, unless the state is OK
    counts: Counts = field(default_factory=Counts)
    results: tuple[TestResult, ...] = ()  # every test that did not pass
    again: tuple[TestResult, ...] = ()  # failed attempts of tests that passed when they were tried again
    passed: frozenset[str] = frozenset()  # ids


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingLine:
    """The summary line that a known test runner printed last."""

    runner: str
    line: str
    counts: Counts
    offset: int = 0  # of the line's first character in the text it was read from
    opened: int | None = None  # offset of that runner's opening words, where it has any


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a linter or type checker complained of."""

    path: str
    line: int
    column: int | None
    code: str
    message: str
    severity: str = "error"  # error, warning or note


class Strength(IntEnum):
    """How much a piece of evidence of executed tests is worth, weakest first."""

    NONE = 0
    CLOSING_LINE = 1
    JUNIT = 2
    WITNESS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an attempt left behind, weighed."""

    strength: Strength = Strength.NONE
    counts: Counts = field(default_factory=Counts)  # as the strongest evidence has it
    failures: tuple[TestResult, ...] = ()  # failed, and not passed later
    recovered: tuple[TestResult, ...] = ()  # failed, then passed when run again in the same attempt
    running: tuple[str, ...] = ()  # began and never ended
    contradictions: tuple[str, ...] = ()  # sentences; any of these fails
    findings: tuple[Finding, ...] = ()
    closing: tuple[ClosingLine, ...] = ()
    junit: tuple[str, ...] = ()  # the files read, as paths
    interpreters: tuple[str, ...] = ()  # "path|version|prefix" of every pytest process seen
    notes: tuple[str, ...] = ()  # oddities that decide nothing
    durations: tuple[tuple[str, float], ...] = ()  # the slowest tests
    cut_off: tuple[str, ...] = ()  # journals of pytest processes that ended without closing their session

    @property
    def bad_closing(self) -> tuple[ClosingLine, ...]:
        """Closing lines that speak of failures."""
        return tuple(line for line in self.closing if line.counts.bad)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptoms:
    """What the readers of an attempt's end saw, in its output outside of what tests wrote; lines, empty if nothing."""

    signature: Signature | None = None  # the rule that decides
    make_signal: str = ""  # a signal's name or number that make or the shell reported
    make_signal_line: str = ""
    make_failure: str = ""  # make's last line about a failed recipe
    ignored_failure: str = ""  # make went on although a recipe line failed
    missing_target: str = ""
    nothing_done: str = ""
    ran_nothing: bool = False  # a make that never waited for a command
    crash: str = ""  # an interpreter's or a shell's last words about a fatal signal
    masked: str = ""  # why a recipe's exit code says nothing
    clean_linter: str = ""  # a linter's word that all is well
    unclean_linter: str = ""  # a linter's word that it is not


# ---------------------------------------------------------------- cause


class Cause(Enum):
    """Why an attempt ended as it did."""

    PASSED = "passed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    KILLED = "killed"
    CRASHED = "crashed"
    TESTS_FAILED = "tests failed"
    FINDINGS = "findings"
    GIT_LOCKED = "git locked"
    TRANSIENT = "transient"
    OVERLOADED = "overloaded"
    ENVIRONMENT = "environment"
    MISCONFIGURED = "misconfigured"
    COMMAND_FAILED = "command failed"
    UNPROVEN = "unproven"

    @property
    def environmental(self) -> bool:
        """Whether the machine is to blame: retried where that can help, and counted by the breaker; else neither."""
        return self in _ENVIRONMENTAL

    @property
    def retries_at_most(self) -> int | None:
        """A bound of its own on retries: what is likely to happen again and costly is tried once more only, what stays never."""
        if self is Cause.ENVIRONMENT:
            return 0
        return 1 if self in {Cause.TIMED_OUT, Cause.OUT_OF_MEMORY, Cause.OVERLOADED} else None

    @property
    def reduces(self) -> bool:
        """Whether less parallelism may help: the attempt after it is given less."""
        return self in {Cause.OUT_OF_MEMORY, Cause.OVERLOADED}


_ENVIRONMENTAL = frozenset(
    {
        Cause.TIMED_OUT,
        Cause.OUT_OF_MEMORY,
        Cause.KILLED,
        Cause.GIT_LOCKED,
        Cause.TRANSIENT,
        Cause.OVERLOADED,
        Cause.ENVIRONMENT,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A cause with its reason, for a tired person."""

    cause: Cause
    why: str  # one sentence
    tests: tuple[str, ...] = ()  # the tests that it is about
    line: str = ""  # the line of output that decided, if one did
    advice: str = ""  # what to do
    signature: Signature | None = None  # the rule that recognised the failure, if one did


# ---------------------------------------------------------------- locks


class LockKind(StrEnum):
    """What a git lock file guards."""

    INDEX = "index"
    PARTIAL_INDEX = "partial-index"  # next-index-PID.lock: of a commit of some paths only
    STASH_INDEX = "stash-index"
    PSEUDOREF = "pseudoref"  # HEAD, ORIG_HEAD and their like
    REF = "ref"
    REFLOG = "reflog"
    PACKED_REFS = "packed-refs"
    PACKED_REFS_NEW = "packed-refs-new"  # no lock by name, yet it blocks like one
    REFTABLE = "reftable"
    CONFIG = "config"
    MODULES = "modules"  # .gitmodules, in the work tree
    SHALLOW = "shallow"
    SPARSE_CHECKOUT = "sparse-checkout"
    RERERE = "rerere"
    SEQUENCER = "sequencer"  # MERGE_MSG, todo lists and heads of rebase and its like
    COMMIT_GRAPH = "commit-graph"
    MULTI_PACK_INDEX = "multi-pack-index"
    ALTERNATES = "alternates"
    LOOSE_OBJECT_INDEX = "loose-object-index"
    MAINTENANCE = "maintenance"
    SCHEDULE = "schedule"
    GC = "gc"  # gc.pid.lock and gc.log.lock; gc.pid itself is git's own business


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A git lock file, as its name tells it. Names that are not UTF-8 bear surrogates, as :func:`os.fsdecode` makes them."""

    path: str  # absolute
    kind: LockKind
    target: str  # the file that it guards, absolute
    directory: str  # git's folder that it belongs to, absolute


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a lock file is at one moment; two that are equal are the same lock, unchanged, as long as it is held open."""

    device: int
    inode: int
    modified_at: int  # nanoseconds of Unix time, as the file system tells it
    changed_at: int  # the same; unlike the former, nobody can set it
    size: int
    digest: str  # SHA-256 of the content
    content: str  # empty, index, torn-index, object-name, other


class Relation(StrEnum):
    """What ties a process to a lock."""

    HOLDS_OPEN = "has the lock open"
    NAMED_IN_ENVIRONMENT = "names the lock or its index in its environment"
    NAMED_IN_ARGUMENTS = "names the lock or its index in its arguments"
    WRITES_HERE = "is a git, or uses a git library, in this repository"
    STOPPED_HERE = "is stopped with something of this repository open"
    PID_FILE = "is named by git's own pid file beside the lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A process that may hold a lock, or has to be shown not to."""

    pid: int
    command: str  # its arguments, shortened
    started_at: float  # Unix time by the clock as it is now: for people
    relation: Relation
    started_after_boot: float | None = None  # seconds, exactly as the kernel tells; None where it does not
    ancestor: bool = False  # of the observer
    harmless: str = ""  # why it cannot hold this lock: a daemon that only reads; empty if it can


class Clock(StrEnum):
    """Whether the wall clock was set since the lock was last changed, as far as readings of it tell."""

    STEADY = "steady"  # readings from before the lock agree with now; what was set and set right in between is not seen
    SET = "set"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How much of the machine could be seen; everything that could not is a gap, in a sentence."""

    processes: int = 0  # looked at
    gaps: tuple[str, ...] = ("nothing was looked at",)
    clock: Clock = Clock.UNKNOWN

    @property
    def complete(self) -> bool:
        """Whether a holder that is not seen is none."""
        return not self.gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnDeath:
    """A command of ours that worked in the repository, and is gone with everything that it started."""

    actor: str  # what it was: a command line, or run and attempt
    began_at: float  # Unix time
    ended_at: float
    absent_before: bool  # the lock was not there when it began


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Everything that was observed of one lock at one moment."""

    lock: Lock
    snapshot: Snapshot | None  # None: gone, or never a plain file
    oddity: str = ""  # why it is no lock of git's making (a link, a folder, a pipe, unreadable); a sentence
    age: float = 0.0  # seconds since its last change, by the clock of the file system; negative: from the future
    first_seen: float | None = None  # seconds since boot at which it was seen to be as it is; None: never before
    suspects: tuple[Suspect, ...] = ()
    leased: bool | None = (
        None  # False: somebody has it open, seen or not; True: nobody has; None: it could not be asked
    )
    pid_file: str = ""  # path of git's pid file beside it, if there is one
    pid_file_dead: bool = False  # written with the lock, by a process of this boot and namespace, which is gone
    own_death: OwnDeath | None = None
    before_boot: bool = False  # last changed before this boot, by a margin, on a disk of this machine
    tenancy: bool = False  # the operator has declared that nobody else works here
    sight: Sight = field(default_factory=Sight)


class LockState(StrEnum):
    """What is known of a lock."""

    LIVE = "live"
    DEAD = "dead"
    UNKNOWN = "unknown"


class Proof(StrEnum):
    """Why a lock is dead, strongest first."""

    OWN_DEATH = "our own process made it, and is gone"
    PID_FILE = "git's pid file names a process that is gone"
    BOOT = "it is older than the boot"
    TENANCY = "the operator declared that nobody else works here"
    ELIMINATION = "every process was seen, and none can hold it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the signals prove of a lock."""

    state: LockState
    why: str  # one sentence, for a tired person
    proof: Proof | None = None  # of death only
    holder: Suspect | None = None  # of a live one, where it is known
    unseen: tuple[str, ...] = ()  # what could not be seen, where that decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """One lock that was dealt with."""

    lock: Lock
    judgement: Judgement
    released: bool
    id: str = ""  # of the quarantined lock, for --restore
    why_not: str = ""  # why it stayed, or was put back
    age: float = 0.0
    processes: int = 0  # that were looked at


# ---------------------------------------------------------------- outcome and run


class Verdict(StrEnum):
    """Of a checkpoint and of a run."""

    PASSED = "passed"
    FLAKY = "flaky"
    FAILED = "failed"
    UNPROVEN = "unproven"
    INFRASTRUCTURE = "infrastructure"
    TIMED_OUT = "timed-out"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class ExitCode(IntEnum):
    """The one scale of exit codes of every command."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    UNPROVEN = 3
    INFRASTRUCTURE = 4
    SKIPPED = 5
    BUG = 70
    BUSY = 75
    TIMED_OUT = 124
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of a checkpoint."""

    number: int  # from 1
    mailbox: str  # the folder's path
    started_at: float
    exit: Exit
    evidence: Evidence
    diagnosis: Diagnosis
    waited: float = 0.0  # before it, for back-off
    reduced: tuple[tuple[str, str], ...] = ()  # variables that gave it less parallelism
    recoveries: tuple[Recovery, ...] = ()  # git locks that were dealt with before it, or after it for the next one
    output_tail: str = ""  # the last lines of the output


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPass:
    """An earlier pass of the same content, which answers for this run."""

    key: str
    run: str
    passed_at: float
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one checkpoint in one run."""

    checkpoint: Checkpoint
    verdict: Verdict
    why: str  # one sentence
    attempts: tuple[Attempt, ...] = ()
    stored: StoredPass | None = None
    key: str = ""  # the pass key looked up, empty if there was none
    key_story: tuple[str, ...] = ()  # why the key hit, missed, or was not made; sentences
    breaker: str = ""  # the open circuit breaker for which it was not run
    replayed: str = ""  # the run that it is played back from, because nothing but the same failure was to be expected
    interpreters: tuple[tuple[str, str], ...] = ()  # that ran the tests of a failure, and what they looked like then


@dataclass(frozen=True, slots=True, kw_only=True)
class GitState:
    """The repository as the run found it."""

    top: str
    commit: str = ""  # empty before the first commit
    subject: str = ""
    branch: str = ""  # empty when detached
    dirty: tuple[str, ...] = ()  # changed and untracked paths
    last_pass: str = ""  # commit of the last run that passed here
    changed: tuple[str, ...] = ()  # paths changed since that commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine as the run found it."""

    platform: str = ""
    python: str = ""
    cpus: int = 0
    load: tuple[float, ...] = ()
    memory_total: int | None = None
    memory_available: int | None = None
    disk_total: int | None = None
    disk_free: int | None = None
    pressure: tuple[tuple[str, float], ...] = ()  # PSI some avg10, percent, by resource
    limits: tuple[tuple[str, str], ...] = ()
    tools: tuple[tuple[str, str], ...] = ()  # name → version line


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One gate run. Without an end it was cut off, and reads as not passed."""

    id: str
    version: str  # of pytest-orxaq
    started_at: float
    finished_at: float | None = None
    verdict: Verdict | None = None  # None: not finished
    outcomes: tuple[Outcome, ...] = ()
    git: GitState
    machine: Machine = field(default_factory=Machine)
    parameters: tuple[tuple[str, str], ...] = ()  # the command line and the settings in force
    environment: tuple[tuple[str, str], ...] = ()  # the allow-listed part
    notes: tuple[str, ...] = ()  # what the user should know: scrubbed variables, degraded telemetry, fallbacks
    command: tuple[str, ...] = ()  # the single command that `orxaq run` took instead of checkpoints
    shared_from: str = ""  # the run of another gate whose result this one took over
