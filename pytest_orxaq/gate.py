"""Take a repository through its checkpoints.

The order is the safety: the record says "not finished" before anything starts, the content is named before and
after each checkpoint, a pass is filed only if both names agree, and the verdict is written last.
"""

import contextlib
import os
import time

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import attempts, config, history, passes
from .audience import Audience
from .core import environment, keys, redaction, verdicts
from .errors import OrxaqError, UsageError
from .model import Attempt, Checkpoint, EvidenceKind, GitState, Outcome, RunRecord, Settings, StoredPass, Verdict
from .repository import trees
from .repository.grounds import Grounds, Terms
from .repository.places import Places
from .system import process, resources
from .system import state as states
from .system.journal import Journal, Severity, make_trace, read_traceparent
from .system.purse import Purse
from .version import __version__


if TYPE_CHECKING:
    from . import circuits


REPORTS = ".orxaq"  # in the work tree's top; ignores itself
_GOOD = {Verdict.PASSED, Verdict.FLAKY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for."""

    directory: Path
    checkpoints: tuple[str, ...] = ()  # none: those of the configuration
    command: tuple[str, ...] = ()  # for `orxaq run`: this instead of a checkpoint
    deep: bool = False
    fresh: bool = False
    keep_going: bool = False
    timeout: float | None = None  # for everything together
    retries: int | None = None
    report_dir: Path | None = None
    lock_timeout: float | None = None  # default: the deadline
    arguments: tuple[str, ...] = ()  # the command line, for the report


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run that is through, and where its report is (None where it could not, or need not, be written)."""

    record: RunRecord
    report: Path | None


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run under way: what it works with, and the record as it stands."""

    request: Request
    bench: attempts.Bench
    repository: trees.Repository
    state: states.State
    record: RunRecord

    def note(self, outcome: Outcome) -> None:
        """Add *outcome* to the record, on disk too: a run that is cut off later leaves what it had."""
        self.record = replace(self.record, outcomes=(*self.record.outcomes, outcome))
        self.save()

    def save(self) -> None:
        """Write the record as it stands; a full disk must not change the verdict."""
        try:
            history.save(self.state, self.record)
        except OSError as error:
            words = f"the run's record could not be written ({error.strerror}): it will be missing from `orxaq runs`"
            if words not in self.record.notes:
                self.record = replace(self.record, notes=(*self.record.notes, words))


def run(request: Request, audience: Audience, environ: Mapping[str, str]) -> Finished:
    """Run the checkpoints asked for; ``OrxaqError`` where there is nothing to be judged."""
    repository = _place(request)
    settings = config.load(repository.top, environ)
    chosen = choose(settings, request)
    _refuse_recursion(chosen, repository.top, environ)
    state = open_state(repository, environ)
    with process.Cancellation() as cancellation:
        deadline = _deadline(settings, request, environ)
        with _alone(state, request, audience, environ, deadline=deadline, run=(name := _run_id(time.time()))) as waited:
            under_way = _begin(request, audience, environ, name, repository, settings, state, cancellation, deadline)
            try:
                _take_all(under_way, chosen, waited)
                return _finish(under_way)
            finally:
                under_way.bench.journal.close()
                states.discard(state)


def open_state(repository: trees.Repository, environ: Mapping[str, str]) -> states.State:
    """Where what we remember of a repository is kept."""
    common = repository.common / repository.state.name
    return states.open_state(
        repository.state, common, environ, repository_id=repository.id, within_git=repository.known_to_git
    )


def _place(request: Request) -> trees.Repository:
    """The repository to work in; a single command needs none."""
    try:
        return trees.discover(request.directory)
    except OrxaqError:
        if not request.command:
            raise
        return trees.plain_folder(request.directory)


def choose(settings: Settings, request: Request) -> tuple[Checkpoint, ...]:
    """The checkpoints to run, in order; ``UsageError`` for a name that nobody knows."""
    if request.command:
        return (_ad_hoc(settings, request),)
    table = {checkpoint.name: checkpoint for checkpoint in settings.table}
    names = request.checkpoints or settings.checkpoints + (settings.deep if request.deep else ())
    for name in names:
        if name not in table:
            known = ", ".join(sorted(table))
            raise UsageError(f"there is no checkpoint {name!r}", advice=f"the configured ones are: {known}")
    retries = request.retries
    return tuple(
        table[name] if retries is None else replace(table[name], retries=retries) for name in dict.fromkeys(names)
    )


def _ad_hoc(settings: Settings, request: Request) -> Checkpoint:
    """A checkpoint for a command that no configuration knows; its exit code is its proof."""
    del settings
    return Checkpoint(
        name="run",
        command=request.command,
        evidence=EvidenceKind.EXIT,
        retries=2 if request.retries is None else request.retries,
    )


def _refuse_recursion(chosen: tuple[Checkpoint, ...], top: Path, environ: Mapping[str, str]) -> None:
    """Stop a recipe that calls the gate that is running this very recipe."""
    for checkpoint in chosen:
        if environment.is_within(environ.get("ORXAQ_WITHIN", ""), checkpoint.name, str(top)):
            raise UsageError(
                f"the checkpoint {checkpoint.name} of {top} is already running, and its command has called the gate again",
                advice=f"let `{' '.join(checkpoint.command)}` do the work itself instead of calling `orxaq gate`",
            )


def _deadline(settings: Settings, request: Request, environ: Mapping[str, str]) -> float:
    """When everything must be through (CLOCK_MONOTONIC): the nearest of one's own and the one handed down."""
    own = time.monotonic() + (settings.deadline if request.timeout is None else request.timeout)
    handed = environment.read_deadline(environ.get("ORXAQ_DEADLINE", ""), _boot())
    return own if handed is None else min(own, handed)


def _boot() -> str:
    """What the deadline is handed down with. Where the boot has no name, who inherits our environment is near enough."""
    return resources.boot_id() or f"{os.uname().nodename} {os.uname().release}"


def _budget(settings: Settings, request: Request) -> int:
    """Retries that all levels may spend together; whoever asks for more by hand gets them."""
    return max(settings.retry_budget, request.retries or 0)


@contextlib.contextmanager
def _alone(
    state: states.State, request: Request, audience: Audience, environ: Mapping[str, str], *, deadline: float, run: str
) -> Iterator[list[str]]:
    """Hold the work tree, unless a gate above us in the same tree holds it for us, or only a command is run.

    Gives the ids of the runs that were waited for.
    """
    waited: list[str] = []

    def wait(holder: Mapping[str, object]) -> None:
        waited.append(str(holder.get("run")))
        audience.waiting(holder)

    holder = states.holder_of(state.lock)
    if request.command or (holder and holder.get("run") == environ.get("ORXAQ_RUN_ID")):
        yield waited
        return
    timeout = deadline - time.monotonic() if request.lock_timeout is None else request.lock_timeout
    own: dict[str, str | int] = {"pid": os.getpid(), "run": run}
    with states.work_tree_lock(state.lock, holder=own, timeout=timeout, on_wait=wait):
        yield waited


def _begin(
    request: Request,
    audience: Audience,
    environ: Mapping[str, str],
    name: str,
    repository: trees.Repository,
    settings: Settings,
    state: states.State,
    cancellation: process.Cancellation,
    deadline: float,
) -> _Run:
    """The run, with a record on disk that says "not finished"."""
    scrubbed, notes = environment.for_command(environ, tty=False)
    secrets = redaction.secrets_of(environ)
    trace = make_trace(read_traceparent(environ.get("TRACEPARENT", "")), random=os.urandom(24))
    journal = Journal(state.events, run=name, trace=trace, resource=_resource(repository))
    folder = history.folder(state, name)
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    bench = attempts.Bench(
        run=name,
        top=repository.top,
        folder=folder,
        environment=scrubbed,
        secrets=secrets,
        settings=settings,
        deadline=deadline,
        purse=Purse(folder / "retries", _budget(settings, request), outer=environ.get("ORXAQ_RETRIES", "")),
        boot=_boot(),
        cancellation=cancellation,
        journal=journal,
        trace=trace,
        audience=audience,
        grounds=Grounds(
            places=Places(own=repository.own, common=repository.common, top=repository.top),
            state=state,
            terms=Terms(policy=settings.lock_release, floor=settings.lock_min_age, tenancy=settings.lock_exclusive),
            journal=journal,
        ),
    )
    record = RunRecord(
        id=name,
        version=__version__,
        started_at=time.time(),
        git=GitState(
            top=str(repository.top),
            commit=repository.commit,
            branch=repository.branch,
            dirty=repository.dirty,
        ),
        parameters=_parameters(request, settings),
        environment=environment.allow_listed(scrubbed),
        notes=(*notes, *state.notes),
        command=request.command,
    )
    under_way = _Run(
        request=request,
        bench=bench,
        repository=repository,
        state=state,
        record=redaction.redacted(record, secrets),
    )
    under_way.save()
    journal.emit("orxaq.run.start", f"gate {name}", attributes={"orxaq.run.id": name})
    return under_way


def _take_all(run: _Run, chosen: tuple[Checkpoint, ...], waited: list[str]) -> None:
    """Every checkpoint in order; after one that did not pass the rest is skipped, unless asked otherwise."""
    tree = _tree(run)
    stopped = ""
    for checkpoint in chosen:
        if stopped and not run.request.keep_going:
            why = f"not run, because {stopped} did not pass"
            run.note(Outcome(checkpoint=checkpoint, verdict=Verdict.SKIPPED, why=why))
            continue
        outcome, tree = _take(run, checkpoint, tree, waited)
        run.note(outcome)
        run.bench.audience.ended(outcome)
        run.bench.journal.emit(
            "orxaq.checkpoint.verdict",
            f"{checkpoint.name}: {outcome.verdict.value}, {outcome.why}",
            severity=Severity.INFO if outcome.verdict in _GOOD else Severity.ERROR,
            attributes={"orxaq.checkpoint.name": checkpoint.name, "orxaq.verdict": outcome.verdict.value},
        )
        if outcome.verdict not in _GOOD:
            stopped = stopped or checkpoint.name
        if outcome.verdict is Verdict.CANCELLED:
            break


def _take(
    run: _Run, checkpoint: Checkpoint, tree: trees.TreeDigest, waited: list[str]
) -> tuple[Outcome, trees.TreeDigest]:
    """The outcome of one checkpoint, and what the work tree's content is called afterwards."""
    lookup = _look_up(run, checkpoint, tree)
    if not run.request.fresh and (known := _known(run, checkpoint, lookup, waited)) is not None:
        return known, tree
    circuit = _circuit(run, checkpoint, lookup)
    if circuit is None:
        return _execute(run, checkpoint, lookup, tree)
    refused = circuit.ask()
    if refused and not run.request.fresh:
        return replace(_outcome(checkpoint, Verdict.SKIPPED, refused, lookup), breaker=circuit.name), tree
    with circuit:
        outcome, tree = _execute(run, checkpoint, lookup, tree)
        circuit.settle(outcome)
    return outcome, tree


def _known(run: _Run, checkpoint: Checkpoint, lookup: passes.Lookup, waited: list[str]) -> Outcome | None:
    """The outcome of an earlier run that answers for this one."""
    if lookup.found is not None:
        why = f"passed before, in run {lookup.found.run}, and nothing has changed since"
        return _outcome(checkpoint, Verdict.PASSED, why, lookup, stored=lookup.found)
    if not lookup.key:
        return None
    return _shared(run, checkpoint, lookup, waited) or _played_back(run, checkpoint, lookup)


def _execute(
    run: _Run, checkpoint: Checkpoint, lookup: passes.Lookup, tree: trees.TreeDigest
) -> tuple[Outcome, trees.TreeDigest]:
    """Run the checkpoint; its outcome, and what the work tree's content is called afterwards."""
    tried = attempts.take(run.bench, checkpoint)
    verdict = verdicts.of_attempts(tried)
    after = _tree(run)
    same = after.value == tree.value
    outcome = _outcome(checkpoint, verdict, _why(tried, verdict), lookup, attempts=tried)
    if verdict is Verdict.PASSED and lookup.key and same:
        with contextlib.suppress(OSError):  # an unwritable store costs time later, nothing else
            passes.keep(run.state, lookup, outcome, run=run.record.id, now=time.time())
    elif verdict is Verdict.PASSED and lookup.key:
        outcome = replace(outcome, key_story=(*outcome.key_story, "not stored: the work tree changed while it ran"))
    elif verdict is Verdict.FAILED and lookup.key:
        outcome = replace(outcome, interpreters=passes.looks_of(tried[-1].evidence))
    return outcome, after


def _played_back(run: _Run, checkpoint: Checkpoint, lookup: passes.Lookup) -> Outcome | None:
    """The outcome of an earlier run, if this content has failed in the very same way again and again."""
    from . import replays  # noqa: PLC0415 - a stored pass never needs it

    found = replays.find(run.state, checkpoint.name, lookup.key, now=time.time())
    if found is None:
        return None
    name, outcome = found
    words = f"played back from run {name}: this content has failed so three times in a row"
    run.bench.journal.emit(
        "orxaq.checkpoint.replay",
        words,
        severity=Severity.WARN,
        attributes={"orxaq.checkpoint.name": checkpoint.name, "orxaq.run.id": name},
    )
    return replace(outcome, why=f"{outcome.why} ({words})", key_story=lookup.story, replayed=name)


def _circuit(run: _Run, checkpoint: Checkpoint, lookup: passes.Lookup) -> "circuits.Circuit | None":
    """The circuit breaker of the checkpoint at this content; none where the content has no name."""
    commit = run.repository.commit if not run.repository.dirty else ""
    if run.request.command or not (lookup.key or commit):
        return None
    from . import circuits  # noqa: PLC0415 - a stored pass never needs it

    key = lookup.key or _key(run, checkpoint, commit)
    return circuits.Circuit(circuits.name_of(checkpoint, key), run.state, run.bench.journal, bound=run.bench.remaining)


def _key(run: _Run, checkpoint: Checkpoint, content: str) -> str:
    return keys.digest(_manifest(run, checkpoint, content))


def _manifest(run: _Run, checkpoint: Checkpoint, content: str) -> keys.Manifest:
    environ = run.bench.environment
    return passes.manifest_of(checkpoint, content, environ, environment.allow_listed(environ), run.bench.top)


def _why(tried: tuple[Attempt, ...], verdict: Verdict) -> str:
    last = tried[-1].diagnosis.why
    if verdict is not Verdict.FLAKY:
        return last
    if len(tried) > 1:
        return f"passed at attempt {len(tried)}; before, {tried[-2].diagnosis.why}"
    return f"{last}; {len(tried[-1].evidence.recovered)} of them passed only when run again"


def _outcome(
    checkpoint: Checkpoint,
    verdict: Verdict,
    why: str,
    lookup: passes.Lookup,
    *,
    attempts: tuple[Attempt, ...] = (),
    stored: StoredPass | None = None,
) -> Outcome:
    return Outcome(
        checkpoint=checkpoint,
        verdict=verdict,
        why=why,
        attempts=attempts,
        stored=stored,
        key=lookup.key,
        key_story=lookup.story,
    )


def _look_up(run: _Run, checkpoint: Checkpoint, tree: trees.TreeDigest) -> passes.Lookup:
    """What is stored for *checkpoint* at the content *tree*."""
    if run.request.command:
        return passes.Lookup()
    if not tree.value:
        return passes.dropped(tree)
    lookup = passes.look_up(run.state, _manifest(run, checkpoint, tree.value), now=time.time())
    run.bench.journal.emit(
        "orxaq.cache",
        lookup.story[0],
        attributes={
            "orxaq.checkpoint.name": checkpoint.name,
            "orxaq.cache.hit": lookup.found is not None,
            "orxaq.key": lookup.key,
        },
    )
    return lookup


def _shared(run: _Run, checkpoint: Checkpoint, lookup: passes.Lookup, waited: list[str]) -> Outcome | None:
    """The outcome of a gate that we waited for, if it judged the very same content."""
    for name in reversed(waited):
        record = history.read(run.state, name)
        for outcome in record.outcomes if record is not None and record.finished_at is not None else ():
            same = outcome.key == lookup.key and outcome.checkpoint == checkpoint
            if same and outcome.verdict is not Verdict.CANCELLED:
                run.record = replace(run.record, shared_from=name)
                return outcome
    return None


def _tree(run: _Run) -> trees.TreeDigest:
    if run.request.command:
        return trees.TreeDigest(value="", why_not="a command of its own is never stored")
    return trees.digest(run.repository)


def _finish(run: _Run) -> Finished:
    """Write the verdict, then the report, which cannot change it."""
    verdict = verdicts.of_run(outcome.verdict for outcome in run.record.outcomes)
    record = replace(run.record, verdict=verdict, finished_at=time.time())
    run.bench.journal.emit(
        "orxaq.run.verdict",
        verdict.value,
        severity=Severity.INFO if verdict in _GOOD else Severity.ERROR,
        attributes={
            "orxaq.run.id": record.id,
            "orxaq.verdict": verdict.value,
            "cicd.pipeline.result": _OTEL_RESULTS[verdict],
        },
    )
    if run.bench.journal.dropped:
        record = replace(record, notes=(*record.notes, f"telemetry degraded: {run.bench.journal.dropped} events lost"))
    if (spent := run.bench.purse.overdrawn()) is not None:
        words = f"all retries of this run are spent ({spent}, by retry-budget): not everything was tried again that could be"
        record = replace(record, notes=(*record.notes, words))
    run.record = record
    fresh = any(outcome.stored is None for outcome in record.outcomes) and not run.request.command
    if fresh or run.request.report_dir is not None:
        run.record = _with_context(run)
    run.save()
    report = _report(run) if fresh or run.request.report_dir is not None else None
    states.prune(run.state.runs, history.KEPT)
    states.prune(run.state.events, history.KEPT)
    return Finished(record=run.record, report=report)


_OTEL_RESULTS = {
    Verdict.PASSED: "success",
    Verdict.FLAKY: "success",
    Verdict.FAILED: "failure",
    Verdict.UNPROVEN: "failure",
    Verdict.INFRASTRUCTURE: "error",
    Verdict.SKIPPED: "skip",
    Verdict.TIMED_OUT: "timeout",
    Verdict.CANCELLED: "cancellation",
}


def _with_context(run: _Run) -> RunRecord:
    """The record with what a reviewer asks next: the machine, and what changed since the last pass."""
    from . import versions  # noqa: PLC0415 - a stored pass writes no report

    before = history.last_pass(run.state)
    git = run.record.git
    if before is not None and before.git.commit and run.record.verdict not in _GOOD:
        changed = trees.changes_between(run.repository, before.git.commit)
        git = replace(git, last_pass=before.git.commit, changed=changed)
    git = replace(git, subject=trees.subject_of(run.repository))
    programs = [outcome.checkpoint.command[0] for outcome in run.record.outcomes]
    store = run.state.common / "versions.json"
    tools = versions.of_tools(programs, run.bench.environment, run.bench.top, store=store)
    machine = replace(resources.machine(run.bench.top), tools=tools)
    return redaction.redacted(replace(run.record, git=git, machine=machine), run.bench.secrets)


def _report(run: _Run) -> Path | None:
    """Where the report was written, or None with a note in the record."""
    from .report import render  # noqa: PLC0415 - jinja2 costs a stored pass half its time

    folder = run.request.report_dir or run.bench.top / REPORTS
    try:
        if run.request.report_dir is None:
            states.make_self_ignoring(folder)
        else:
            folder.mkdir(parents=True, exist_ok=True)
        own = run.bench.settings.templates
        written = render.write(
            run.record,
            folder,
            top=run.bench.top,
            now=time.time(),
            overrides=run.bench.top / own if own else None,
            cache=run.state.common,
            secrets=run.bench.secrets,
        )
        run.record = replace(run.record, notes=(*run.record.notes, *written.notes))
        return written.html
    except (OSError, OrxaqError) as error:
        why = f"{error.filename or folder}: {error.strerror}" if isinstance(error, OSError) else error.what
        words = f"the report could not be written: {why}"
        run.record = replace(run.record, notes=(*run.record.notes, words))
        run.save()
        return None


def _resource(repository: trees.Repository) -> dict[str, str]:
    """What every event of this run is about, in OpenTelemetry's names."""
    return {
        "service.name": "orxaq",
        "service.version": __version__,
        "vcs.repository.name": repository.top.name,
        "vcs.ref.head.name": repository.branch,
        "vcs.ref.head.revision": repository.commit,
    }


def _parameters(request: Request, settings: Settings) -> tuple[tuple[str, str], ...]:
    return (
        ("command line", " ".join(request.arguments)),
        ("configuration", settings.origin),
        ("deadline", f"{settings.deadline if request.timeout is None else request.timeout:g} s"),
        ("retry budget", str(_budget(settings, request))),
        ("checkpoints", ", ".join(settings.checkpoints)),
    )


def _run_id(now: float) -> str:
    """An id that sorts by time and does not repeat."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now % 1 * 1e6):06d}Z-{os.urandom(3).hex()}"
