"""How each subject is made to meet a fault, and what it answers: the truth that it names, and what it does."""

import dataclasses
import functools
import io
import json
import os
import shlex
import sys
import urllib.request

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq import Breaker, Retry, gate
from pytest_orxaq.actions import Action
from pytest_orxaq.catalogue.shipped import shipped
from pytest_orxaq.cli.console import Plain
from pytest_orxaq.core.records import from_data
from pytest_orxaq.core.signatures import Facts, recognise
from pytest_orxaq.faults.handles import GitLock
from pytest_orxaq.faults.presets import PRESETS
from pytest_orxaq.model import Attempt, RunRecord, Verdict
from pytest_orxaq.repository.commands import git
from pytest_orxaq.resilience.premises import BREAKERS
from pytest_orxaq.system.breakers import Shared
from pytest_orxaq.system.process import ask

from .cases import Case, Subject, named_by, spelled


SETTINGS = """checkpoints = ["check"]
first-delay = "0.01s"
longest-delay = "0.01s"
retry-budget = 100
[checkpoint.check]
retries = 1
evidence = "exit"
timeout = "{limit}s"
"""
LOCKS = '[locks]\nrelease = "{release}"\nmin-age = "0s"\n'
TRIPS = "3*{}->ok"  # both attempts of the first run, and the first attempt of the second


@dataclass(frozen=True, slots=True)
class Scene:
    """A repository, and the command that meets the fault in it."""

    top: Path
    command: str  # a line of shell
    passes: bool = False  # whether the trouble is over after it was met three times
    limit: float = 60.0  # seconds for an attempt
    release: str = "elimination"
    patience: float | None = None  # seconds for a whole run; None: long enough
    lock: GitLock | None = None  # a live one, which must not be touched


@dataclass(frozen=True, slots=True)
class Stage:
    """A test's fixtures, and its case."""

    request: pytest.FixtureRequest
    case: Case

    def fixture(self, name: str) -> Any:
        """A fixture by its name."""
        return self.request.getfixturevalue(name)

    def repository(self, **files: str) -> Any:
        """A repository with one commit."""
        repo = self.fixture("isolated_git")()
        if files:
            repo.commit("more", **files)
        return repo


def tried(stage: Stage) -> str:
    """What the subject of a case answers to its fault."""
    return _SUBJECTS[stage.case.subject](stage)


# ---------------------------------------------------------------- the gate, and orxaq run


def _of_the_gate(stage: Stage) -> str:
    scene = _SCENES[stage.case.fault](stage)
    recipe = scene.command.replace("$", "$$")
    (scene.top / "Makefile").write_text(f".PHONY: check\ncheck:\n\t@{recipe}\n", encoding="utf-8")
    _configure(scene)
    runs = [_gated(scene)]
    told = _breaker_told(scene)
    if scene.passes and _goes_on(runs[0]):
        runs.append(_gated(scene, ends=True))
    return _answer(stage.case, runs, told)


def _of_the_gate_as_shipped(stage: Stage) -> str:
    scene = _SCENES[stage.case.fault](stage)
    scene = dataclasses.replace(scene, release="proof")
    (scene.top / "Makefile").write_text(f".PHONY: check\ncheck:\n\t@{scene.command}\n", encoding="utf-8")
    _configure(scene)
    record = _gated(scene, timeout=3.0)
    last = record.outcomes[0].attempts[-1]
    named = "left, and named" if ".lock is dead" in last.diagnosis.why else last.diagnosis.why
    return spelled(named_by(last.diagnosis.cause, stage.case.truth), f"{named}; {_word(record)}")


def _of_the_command(stage: Stage) -> str:
    scene = _SCENES[stage.case.fault](stage)
    _configure(scene)
    runs = [_ran(scene)]
    if scene.passes and _goes_on(runs[0]):
        runs.append(_ran(scene))
    return _answer(stage.case, runs, told=None)


def _configure(scene: Scene) -> None:
    text = SETTINGS.format(limit=scene.limit) + LOCKS.format(release=scene.release)
    (scene.top / "orxaq.toml").write_text(text, encoding="utf-8")


def _goes_on(record: RunRecord) -> bool:
    """Whether another run has to show how it goes once the trouble is over."""
    return record.verdict is Verdict.INFRASTRUCTURE or len(record.outcomes[0].attempts) > 1


class _Waiting(Plain):
    """Lets go of the lock that is waited for."""

    def __init__(self, lock: GitLock | None) -> None:
        super().__init__(io.StringIO())
        self._lock = lock

    def blocked(self, words: str) -> None:
        """It is waited for."""
        super().blocked(words)
        self._let_go()

    def retrying(self, attempt: Attempt, delay: float) -> None:
        """It is not waited for by its name."""
        super().retrying(attempt, delay)
        self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.release()


def _gated(scene: Scene, *, ends: bool = False, timeout: float | None = None) -> RunRecord:
    """What the gate makes of it; while a lock is waited for it goes away, if trouble ``ends``."""
    request = gate.Request(directory=scene.top, timeout=timeout or (None if ends else scene.patience))
    return gate.run(request, _Waiting(scene.lock if ends else None), os.environ).record


def _ran(scene: Scene) -> RunRecord:
    words = ("run", "--retries=1", f"--timeout={scene.limit}s", "--format=json", "--", "sh", "-c", scene.command)
    command = (sys.executable, "-m", "pytest_orxaq", *words)
    answer = ask(command, directory=scene.top, environment=dict(os.environ), timeout=120)
    return from_data(RunRecord, json.loads(answer.out))


def _answer(case: Case, runs: Sequence[RunRecord], told: bool | None) -> str:
    """What a first run, in trouble to its end, and a second, in which the trouble ends, come to."""
    attempts = runs[0].outcomes[0].attempts
    if case.truth == "stale-state":
        taken = [each for each in attempts[0].recoveries if each.released]
        conduct = "taken away before it is met" if taken else "met"
        return spelled("stale-state" if taken else "nothing", f"{conduct}; {_word(runs[0])}")
    again = "tried again" if len(runs[-1].outcomes[0].attempts) > 1 else "not tried again"
    if case.truth == "live-contention" and again == "tried again":
        again = "waited for, or tried again"
    if len(runs) > 1:
        conduct = f"{again}; {_word(runs[1])} once it is over, {_word(runs[0])} while it lasts"
    elif len(attempts) > 1:
        conduct = f"{again}; flaky once it is over, {_word(runs[0])} while it lasts"
    else:
        conduct = f"{again}; {_word(runs[0])}"
    if told is not None:
        conduct += f"; breaker {'told' if told else 'not told'}"
    return spelled(named_by(attempts[-1].diagnosis.cause, case.truth), conduct)


def _word(record: RunRecord) -> str:
    return record.verdict.value if record.verdict else "cut off"


def _breaker_told(scene: Scene) -> bool:
    store = Path(git(scene.top, "rev-parse", "--absolute-git-dir").out.decode().strip()) / "orxaq" / BREAKERS
    return store.exists() and any(row.fails for row, _ in Shared(str(store)).rows().values())


# ---------------------------------------------------------------- scenes


def _preset_scene(stage: Stage) -> Scene:
    repo = stage.repository()
    preset = stage.case.kind
    match = ["ls-remote"] if stage.case.program == "git" else None
    stage.fixture("flaky_command")(stage.case.program, plan=TRIPS.format(preset), match=match, then="ok")
    command = {
        "git": "git ls-remote https://github.com/org/project.git",
        "pip": "pip download project",
        "npm": "npm install",
        "ssh": "ssh github.com true",
        "docker": "docker pull project",
    }[stage.case.program]
    return Scene(repo.path, command, passes=preset != "GIT_AUTH", limit=3.0 if preset == "hang" else 60.0)


def _lookalike_scene(stage: Stage) -> Scene:
    """A test that fails, and prints what a program would say; and fails with it."""
    said = PRESETS[stage.case.kind].stderr
    text = f"import sys\nSAID = {said!r}\n\ndef test_it():\n    print(SAID)\n    sys.stderr.write(SAID)\n    assert not SAID\n"
    repo = stage.repository()
    (repo.path / "test_it.py").write_text(text, encoding="utf-8")
    return Scene(repo.path, f"{sys.executable} -m pytest -q -p no:cacheprovider test_it.py")


def _remote_scene(stage: Stage) -> Scene:
    mode = stage.case.kind
    counted = mode in {"race", "flaky", "http-503", "hang", "lock"}
    remote = stage.fixture("git_remote")(mode, times=3 if counted else None)
    clone = remote.clone
    if stage.case.program == "git push":
        clone.commit("mine", mine="1\n")
    else:
        git(remote.bare.path, "update-ref", "refs/heads/new", "HEAD")
    command = {
        "race": "git pull -q --rebase && git push -q",
        "non-ff": "git push -q",
        "reject": "git push -q",
        "lock": "git push -q",
    }.get(mode, "git fetch -q --prune origin")
    return Scene(clone.path, command, passes=counted, limit=3.0 if mode == "hang" else 60.0)


def _conflict_scene(stage: Stage) -> Scene:
    repo = stage.fixture("merge_conflict")(stage.case.kind, "none")
    return Scene(repo.path, f"{stage.case.program} topic")


def _server_scene(stage: Stage) -> Scene:
    server, step = stage.fixture("fault_server"), stage.case.kind
    server.script("refuse->ok" if step == "refuse" else TRIPS.format(step), required=False)
    address = f"http://mirror.example:{server.port}/file"
    if stage.case.program == "curl":
        way = f"--resolve mirror.example:{server.port}:127.0.0.1"
        command = f"curl -fsSL --max-time 1 {way} -o /dev/null {address}"
    else:
        code = f"import urllib.request; urllib.request.urlopen('{server.url}/file', timeout=1).read()"
        command = f"{sys.executable} -c {shlex.quote(code)}"
    repo = stage.repository()
    return Scene(repo.path, command, passes=stage.case.truth == "transient" and step != "refuse")


def _disk_scene(stage: Stage) -> Scene:
    disk = stage.fixture("full_disk")
    if stage.case.kind == "quota":
        stage.fixture("faults").stack.enter_context(disk.quota(2_000_000))
        full, much = stage.fixture("tmp_path") / "file", 5_000_000
    else:
        full, much = disk.file, 100_000
    writing = f"open({str(full)!r}, 'w').write('x' * {much})"
    command = {
        "head": f"head -c {much} /dev/zero >{full}",
        "python": f'{sys.executable} -c "{writing}"',
        "git archive": f"git archive -o {full} HEAD",
        "curl": f"curl -sS file:///etc/passwd -o {full}",
    }[stage.case.program]
    return Scene(stage.repository().path, command)


def _readonly_scene(stage: Stage) -> Scene:
    repo = stage.repository()
    module = repo.path / "out"
    if stage.case.program == "git add":
        repo = stage.fixture("isolated_git")("other")
        module = stage.fixture("isolated_git")("module").path
        (module / "new").write_text("x\n")
    else:
        module.mkdir()
    stage.fixture("readonly_tree")(module, how=stage.case.kind)
    command = {
        "touch": f"touch {module}/new",
        "python": f"{sys.executable} -c \"open('{module}/new', 'w')\"",
        "git add": f"git -C {module} add new",
    }[stage.case.program]
    return Scene(repo.path, command)


# What git refuses to do while a lock of the kind stands, where it is not `git add`.
REFUSED: Mapping[str, str] = {
    "index-hook": "git commit -q --allow-empty -m more",
    "index-partial": "git rm -q --cached file1",
    "head+ref": "git update-ref HEAD HEAD~",
    "ref": "git branch orxaq",
    "tag": "git tag orxaq",
    "remote-ref": "git fetch -q . HEAD:refs/remotes/origin/main",
    "packed-refs": "git -c core.packedRefsTimeout=0 pack-refs --all",
    "packed-refs.new": "git -c core.packedRefsTimeout=0 pack-refs --all",
    "config": "git config some.key value",
    "shallow": 'git fetch -q --depth=1 "file://$(git rev-parse --path-format=absolute --git-common-dir)" HEAD',
    "commit-graph": "git -c core.commitGraph=true gc --quiet",
    "maintenance": "git maintenance run --quiet",
    "gc.pid": "git gc --quiet",
    "rebase-todo": 'test ! -d "$(git rev-parse --git-path rebase-merge)" || git -c sequence.editor=true rebase --edit-todo',
}


def _lock_scene(stage: Stage) -> Scene:
    repo = stage.fixture("isolated_git")(commits=2)
    lock = stage.fixture(stage.case.fault)(repo, stage.case.kind)
    words = REFUSED.get(stage.case.kind, "git add --all .")
    command = f"cd {lock.where} && {words}"
    if not lock.live:
        return Scene(repo.path, command)
    return Scene(repo.path, command, passes=True, lock=lock, patience=4.0)


_SCENES: Mapping[str, Callable[[Stage], Scene]] = {
    "flaky_command": _preset_scene,
    "a test that prints it": _lookalike_scene,
    "git_remote": _remote_scene,
    "merge_conflict": _conflict_scene,
    "fault_server": _server_scene,
    "full_disk": _disk_scene,
    "readonly_tree": _readonly_scene,
    "stale_git_lock": _lock_scene,
    "live_git_lock": _lock_scene,
}


# ---------------------------------------------------------------- orxaq locks


def _of_locks(stage: Stage) -> str:
    repo = stage.fixture("isolated_git")(commits=2)
    lock = stage.fixture(stage.case.fault)(repo, stage.case.kind)
    (repo.path / "orxaq.toml").write_text(LOCKS.format(release="elimination"), encoding="utf-8")
    words = ("-m", "pytest_orxaq", "locks", "--recover", "--format", "json")
    answer = ask((sys.executable, *words), directory=repo.path, environment=dict(os.environ), timeout=120)
    found = {Path(each["path"]): each for each in json.loads(answer.out)["locks"]}
    ours = [found[path] for path in lock.paths if path in found]
    if not ours:
        return spelled("nothing", "not seen")
    states = {each["judgement"]["state"] for each in ours}
    named = {"dead": "stale-state", "live": "live-contention"}.get("/".join(sorted(states)), "nothing")
    if lock.live:
        return spelled(named, f"{'/'.join(sorted(states))}; {'left' if lock.held else 'touched'}")
    gone = not any(each["remains"] for each in ours)
    return spelled(named, f"{'/'.join(sorted(states))}; {'released' if gone else 'left'}")


# ---------------------------------------------------------------- the hardened runner

_MEANT: Mapping[Action | None, tuple[str, str]] = {
    Action.RETRY: ("transient", "try again"),
    Action.RETRY_REDUCED: ("transient", "try again"),
    Action.NO_RETRY: ("permanent", "do not try again"),
    Action.REPAIR: ("", "clear the lock"),
    Action.ENVIRONMENT: ("environment", "mend the machine"),
    None: ("permanent", "do not try again"),
}


def _of_the_runner(stage: Stage) -> str:
    """git through our own runner, and what the signatures say of its words."""
    case = stage.case
    if case.fault == "flaky_command":
        top, command = stage.repository().path, "git ls-remote https://github.com/org/project.git"
        stage.fixture("flaky_command")("git", plan=case.kind, match=["ls-remote"], then="ok")
    else:
        scene = _SCENES[case.fault](stage)
        top, command = scene.top, scene.command.split(" && ")[-1]
    answer = git(top, *command.split()[1:], timeout=5 if case.kind == "hang" else 60)
    if answer.timed_out:
        return spelled("transient", "failed in time: try again")
    text = answer.err.decode(errors="replace")
    known = recognise(Facts(text=text, program="git", exit=answer.code), shipped()).decisive
    named, meant = _MEANT[known.action if known else None]
    return spelled(named or case.truth, f"failed in time: {meant}")


# ---------------------------------------------------------------- Retry and Breaker


def _call(stage: Stage) -> Callable[[], object]:
    """Something to call that fails twice, and then goes well."""
    case = stage.case
    if case.fault == "transient_failures":
        flaky: Callable[[], object] = stage.fixture("transient_failures")(case.kind, times=2)
        return flaky
    if case.fault == "refused_port":
        return functools.partial(_fetch, f"http://127.0.0.1:{stage.fixture('refused_port')}")
    server = stage.fixture("fault_server")
    server.script("refuse->ok" if case.kind == "refuse" else f"2*{case.kind}->ok", required=False)
    calls = iter(range(100))

    def call() -> object:
        if case.kind == "refuse" and next(calls) == 2:
            server.reopen()
        return _fetch(server.url)

    return call


def _fetch(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=0.5) as answer:
            read: bytes = answer.read()
            return read
    except urllib.error.HTTPError as error:
        error.close()
        raise


def _of_retry(stage: Stage) -> str:
    call, attempts = _call(stage), []

    @Retry(attempts=3, base=0.0)
    def retried() -> object:
        attempts.append(1)
        return call()

    try:
        retried()
    except Exception:  # noqa: BLE001 - whatever it is, it is what Retry gave up on
        if len(attempts) == 1:
            return spelled(stage.case.truth, "not tried again")
        ended = "until it went well" if stage.case.fault == "refused_port" else "and failed"
        return spelled(stage.case.truth, f"tried again {ended}")
    return spelled(stage.case.truth, "tried again until it went well")


def _of_breaker(stage: Stage) -> str:
    call, breaker = _call(stage), Breaker("truth", store="memory")
    with pytest.raises(Exception), breaker:  # noqa: B017, PT011 - whatever the fault makes of it
        call()
    return spelled(stage.case.truth, "counted" if breaker.snapshot().failures else "not counted")


_SUBJECTS: Mapping[Subject, Callable[[Stage], str]] = {
    "gate": _of_the_gate,
    "gate, as shipped": _of_the_gate_as_shipped,
    "orxaq run": _of_the_command,
    "orxaq locks": _of_locks,
    "git runner": _of_the_runner,
    "Retry": _of_retry,
    "Breaker": _of_breaker,
}
