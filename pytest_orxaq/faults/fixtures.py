"""Fixtures that make trouble on purpose, for tests of what works in git repositories with nobody watching.

Each is a factory: asked for in a test and called there, it makes real trouble and returns a handle that says what it is.
None acts by itself, and everything is undone after the test. This module is loaded in every pytest run of its users,
so it imports next to nothing; what it needs is imported by the fixtures.
"""

import argparse
import os
import random
import sys

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest


if TYPE_CHECKING:
    from .calls import FlakyCall
    from .clock import SkipClock
    from .commands import FlakyCommand
    from .conflicts import Conflict
    from .disks import FullDisk
    from .handles import GitLock
    from .isolation import Git, Isolation
    from .killing import Interrupted, Killed
    from .readonly import ReadOnly
    from .remotes import Remote
    from .server import FaultServer
    from .sweeps import CrashPoint
    from .troubles import Faults


# ---------------------------------------------------------------- options

SEED_VARIABLE = "ORXAQ_FAULT_SEED"
_SEED = pytest.StashKey[int]()
_CONCERNED = pytest.StashKey[bool]()
_FIXTURES = frozenset(
    {
        "crash_sweep",
        "fault_server",
        "faults",
        "flaky_command",
        "full_disk",
        "git_remote",
        "interrupted_run",
        "killed_process",
        "live_git_lock",
        "merge_conflict",
        "no_leaks",
        "readonly_tree",
        "refused_port",
        "stale_git_lock",
        "transient_failures",
        "virtual_clock",
    }
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("orxaq")
    group.addoption(
        "--orxaq-fault-seed",
        metavar="N",
        type=_seed,
        help="Make the choices of fault fixtures that are left to chance as in the run that said this number."
        f" Also {SEED_VARIABLE}; default: another each time, said where a test with faults fails.",
    )
    group.addoption(
        "--orxaq-require-faults",
        action="store_true",
        help="Fail a test whose faults cannot be made on this machine; by default it is skipped, with the reason.",
    )


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"the seed of faults must be a whole number from 0, not {text!r}")
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed, so that all workers have the same."""
    told = getattr(config, "workerinput", {}).get("orxaq_fault_seed", config.getoption("orxaq_fault_seed"))
    if told is None and os.environ.get(SEED_VARIABLE):
        try:
            told = _seed(os.environ[SEED_VARIABLE])
        except argparse.ArgumentTypeError as error:
            raise pytest.UsageError(f"{SEED_VARIABLE}: {error}") from None
        config.option.orxaq_fault_seed = told
    config.stash[_SEED] = random.SystemRandom().randrange(2**32) if told is None else told


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the seed to a worker of pytest-xdist."""
    node.workerinput["orxaq_fault_seed"] = node.config.stash[_SEED]


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say the seed that was asked for."""
    told = config.getoption("orxaq_fault_seed")
    return None if told is None else f"orxaq: faults with seed {told}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the tests watched if any has faults."""
    if any(not _FIXTURES.isdisjoint(getattr(item, "fixturenames", ())) for item in session.items):
        from .reporting import attend  # noqa: PLC0415 - see above

        attend(session.config)
        session.config.stash[_CONCERNED] = True


def pytest_report_collectionfinish(config: pytest.Config) -> str | None:
    """Say the seed that was drawn, if any test has faults."""
    drawn = config.getoption("orxaq_fault_seed") is None and config.stash.get(_CONCERNED, False)
    return f"orxaq: faults with seed {config.stash[_SEED]}" if drawn else None


# ---------------------------------------------------------------- the faults of a test


@pytest.fixture
def _orxaq_faults(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[Faults]":
    """What every fault of a test is entered in; under a name that no conftest file overrides by accident."""
    from .reporting import complaint, enlist  # noqa: PLC0415 - see above

    faults = enlist(request.node, request.config.stash[_SEED], tmp_path)
    try:
        with faults.leftovers.marked(faults.mark):
            yield faults
    finally:
        faults.close()
        wrong = complaint(request.node)
    if wrong:
        pytest.fail(wrong, pytrace=False)


@pytest.fixture
def faults(_orxaq_faults: "Faults") -> "Faults":
    """What this test has of faults: ``seed``, ``rng``, ``log``, ``arm()``, ``fired()``, ``unfired()``, ``buggify()``, ``heal()``, ``stack``.

    After ``heal()`` all trouble of every fixture is over, and what the code under test does has to work.
    """
    return _orxaq_faults


# ---------------------------------------------------------------- git


@pytest.fixture
def _orxaq_isolation(_orxaq_faults: "Faults", tmp_path: Path) -> "Isolation":
    """A home and a git configuration of their own, in the test's folder."""
    _posix(_orxaq_faults)
    from .isolation import Isolation  # noqa: PLC0415 - see above

    return Isolation(tmp_path)


@pytest.fixture
def _orxaq_isolated(_orxaq_faults: "Faults", _orxaq_isolation: "Isolation") -> "Iterator[Isolation]":
    """The same, and until the test's end this process, and what it starts, lives in it."""
    from .locks import require_git  # noqa: PLC0415 - see above

    require_git(_orxaq_faults)
    with pytest.MonkeyPatch.context() as patch:
        for name in _orxaq_isolation.scrubbed(os.environ):
            patch.delenv(name)
        for name, value in _orxaq_isolation.variables.items():
            patch.setenv(name, value)
        yield _orxaq_isolation


@pytest.fixture
def isolated_git(_orxaq_isolated: "Isolation") -> "Callable[..., Git]":
    """Make git repositories that nothing of the user's reaches: ``isolated_git(name="repo", bare=False, clone_of=None, commits=1)``.

    Each is a ``Git``: called, it runs git; ``path``, ``dir``, ``env``, ``write()``, ``commit()``, ``locks()``,
    ``worktree()``, ``submodule()``. Until the test's end this process, and what it starts, has a home, a git configuration
    and variables of its own: no prompts, no helpers, no maintenance in the background, no repository further up.
    """
    return _orxaq_isolated.make


@pytest.fixture
def stale_git_lock(
    request: pytest.FixtureRequest, _orxaq_faults: "Faults", _orxaq_isolation: "Isolation"
) -> "Callable[..., GitLock]":
    """Leave a lock of a git that was killed: ``stale_git_lock(repo, kind="index", age=3600.0, organic=True, size=None, pid_file=False)``.

    Returns a ``GitLock``: ``path``, ``paths``, ``kind``, ``dead_pid``, ``held``, ``release()``.
    """
    from .locks import Locks  # noqa: PLC0415 - see above

    return Locks(_orxaq_faults, _orxaq_isolation, request.config.rootpath).stale


@pytest.fixture
def live_git_lock(
    request: pytest.FixtureRequest, _orxaq_faults: "Faults", _orxaq_isolation: "Isolation"
) -> "Callable[..., GitLock]":
    """Have a git hold a lock: ``live_git_lock(repo, kind="index-hook", hold=None, age=None, allow_removal=False)``.

    Returns a ``GitLock``: ``path``, ``paths``, ``kind``, ``pid``, ``held``, ``release()``. The test fails if the lock is
    removed or replaced while its holder lives.
    """
    from .locks import Locks  # noqa: PLC0415 - see above

    return Locks(_orxaq_faults, _orxaq_isolation, request.config.rootpath).live


# ---------------------------------------------------------------- calls


@pytest.fixture
def transient_failures(_orxaq_faults: "Faults") -> "Callable[..., FlakyCall]":
    """Have calls fail: ``transient_failures(*outcomes, plan=None, times=1, target=None, wraps=None, then="ok", required=True)``.

    An outcome is the name of a system error (``"ECONNRESET"``), an exception or its class (raised), None (the real thing is
    called), or any other value (returned). ``plan`` says it in words: ``"2*ECONNRESET->ok"``. ``target`` is the import path
    of what is replaced until the test's end, ``wraps`` a callable. Then: ``ok``, the last one again, or an error.

    Returns a ``FlakyCall``: called, it does what the plan says; ``calls``, ``failures``, ``recovered``.
    """
    from .calls import Calls  # noqa: PLC0415 - see above

    return Calls(_orxaq_faults).make


# ---------------------------------------------------------------- network


@pytest.fixture
def refused_port(_orxaq_faults: "Faults") -> int:
    """A port of 127.0.0.1 at which connections are refused, and that nobody else can take; also of ::1 where there is IPv6."""
    from .ports import hold_refusing  # noqa: PLC0415 - see above

    port = hold_refusing(_orxaq_faults.stack)
    _orxaq_faults.note("refused_port", "transient", "connections are refused")
    return port


@pytest.fixture
def fault_server(_orxaq_faults: "Faults") -> "FaultServer":
    """An HTTP server on 127.0.0.1 that answers as its script has it: ``fault_server.script(Status(503), Reset(), then=Ok())``.

    A ``FaultServer``: ``url``, ``host``, ``port``, ``script()``, ``route(path).script()``, ``requests``, ``proxy(upstream)``,
    ``reopen()``, ``tcp()``. Steps are imported from ``pytest_orxaq.faults``, or said in words: ``"2*status(503)->reset->ok"``.
    """
    from .server import FaultServer  # noqa: PLC0415 - see above

    return FaultServer(_orxaq_faults)


# ---------------------------------------------------------------- time


@pytest.fixture
def virtual_clock(_orxaq_faults: "Faults") -> "Callable[..., SkipClock]":
    """Have sleeps take no time: ``virtual_clock(limit=3600.0, also=())``.

    Until the test's end, ``time.sleep`` and sleeps of asyncio return at once, and ``time.time`` and ``time.monotonic`` are as
    if they had lasted. ``limit``: seconds that may be slept. ``also``: import paths where such a function was taken to
    earlier (``from time import sleep``). Returns a ``SkipClock``: ``sleeps``, ``slept``, ``advance()``, ``environment``.
    """
    from .clocks import Clocks  # noqa: PLC0415 - see above

    return Clocks(_orxaq_faults).make


# ---------------------------------------------------------------- the machine


@pytest.fixture
def full_disk(_orxaq_faults: "Faults") -> "FullDisk":
    """Run out of room: ``full_disk.file``, ``full_disk.run(command, size="256k", setup="")``, ``full_disk.quota(bytes)``.

    ``file`` is a path to which nobody can write for ENOSPC; ``run`` gives a command a small disk as its working folder;
    within ``with full_disk.quota(bytes):`` no file grows beyond so many bytes (EFBIG).
    """
    _posix(_orxaq_faults)
    from .disks import FullDisk  # noqa: PLC0415 - see above

    return FullDisk(_orxaq_faults)


@pytest.fixture
def readonly_tree(_orxaq_faults: "Faults", tmp_path_factory: pytest.TempPathFactory) -> "Callable[..., ReadOnly]":
    """Let nobody write below a folder: ``readonly_tree(path, how="auto")``; ``how`` is mount, chmod or immutable.

    Returns a ``ReadOnly``: ``path``, ``how``, ``errno``, ``undo()``. What a write goes through is never called read-only.
    """
    _posix(_orxaq_faults)
    from .readonly import ReadOnlyTrees  # noqa: PLC0415 - see above

    return ReadOnlyTrees(_orxaq_faults, tmp_path_factory.getbasetemp()).make


@pytest.fixture
def no_leaks(request: pytest.FixtureRequest, _orxaq_faults: "Faults") -> None:
    """Fail the test if it leaves anything behind once all its fixtures are undone.

    Processes it started, in whatever session; threads; sockets; another working folder; changed variables; git locks in
    its folder; changes in the repository of these tests or the user's settings of git. Processes are ended then, folder
    and variables put right.
    """
    _posix(_orxaq_faults)
    from .reporting import watch  # noqa: PLC0415 - see above

    watch(request.node, _orxaq_faults)


def _posix(faults: "Faults") -> None:
    if sys.platform == "win32":
        faults.lacks("These fixtures need a POSIX system.")


# ---------------------------------------------------------------- commands


@pytest.fixture
def flaky_command(_orxaq_faults: "Faults") -> "Callable[..., FlakyCommand]":
    """Have a command fail, whoever calls it: ``flaky_command(name, fail=1, skip=0, rc=1, stderr="", match=None, then="real", plan=None, ...)``.

    Returns a ``FlakyCommand``: ``calls``, ``failures``, ``path``. The real one runs when the failures are over. The test
    fails if none of the calls came.
    """
    from .commands import Commands  # noqa: PLC0415 - see above

    return Commands(_orxaq_faults).flaky


# ---------------------------------------------------------------- conflicts and remotes


@pytest.fixture
def merge_conflict(_orxaq_faults: "Faults", _orxaq_isolated: "Isolation") -> "Callable[..., Conflict]":
    """Make a repository in conflict: ``merge_conflict(kind="content", op="merge", name="repo")``.

    Returns a ``Conflict``, which is a ``Git``: ``kind``, ``op``, ``ours``, ``theirs``, ``paths``, ``said``,
    ``returncode``, ``under_way``, ``abort()``. The operation is a real one that git could not finish; with
    ``op="none"`` both branches are ready, for the code under test to run into it. This process is isolated as with
    ``isolated_git``.
    """
    from .conflicts import Conflicts  # noqa: PLC0415 - see above

    return Conflicts(_orxaq_faults, _orxaq_isolated).make


@pytest.fixture
def git_remote(
    request: pytest.FixtureRequest, _orxaq_faults: "Faults", _orxaq_isolated: "Isolation"
) -> "Callable[..., Remote]":
    """Have a remote that behaves badly: ``git_remote(mode="ok", times=None, message=None, url_alias=None, name="project", required=True)``.

    Returns a ``Remote``: ``bare``, ``clone``, ``url``, ``mode``, ``attempts``, ``troubles``, ``heal()``. It is served
    over HTTP on this machine, and by ``url_alias`` under the URL that the code under test knows. This process is
    isolated as with ``isolated_git``.
    """
    from .remotes import Remotes  # noqa: PLC0415 - see above

    return Remotes(_orxaq_faults, _orxaq_isolated, request.config.rootpath).make


# ---------------------------------------------------------------- killed processes


@pytest.fixture
def killed_process(_orxaq_faults: "Faults") -> "Callable[..., Killed]":
    """Start a command and kill it at a moment: ``killed_process(cmd, when=OnOutput("ready"), sig=SIGKILL, group=True, cwd=None, ...)``.

    Returns a ``Killed``: ``pid``, ``returncode``, ``output``, ``at``, ``survivors``. The moments are ``After``,
    ``OnOutput``, ``OnFile`` and ``OnCommand``; a command that never comes to it fails the test.
    """
    from .killing import Killing  # noqa: PLC0415 - see above

    return Killing(_orxaq_faults).killed


@pytest.fixture
def interrupted_run(_orxaq_faults: "Faults") -> "Callable[..., Interrupted]":
    """Run pytest or a gate and interrupt it at a moment: ``interrupted_run(["pytest"], at=OnOutput("test_slow"), sig=SIGINT, ...)``.

    Returns an ``Interrupted``: as ``killed_process``, with ``where`` it ran and which files it has ``left`` there. It may
    take its time to end; what it leaves running is in ``survivors``, and ended.
    """
    from .killing import Killing  # noqa: PLC0415 - see above

    return Killing(_orxaq_faults).interrupted


# ---------------------------------------------------------------- crashes at every step


@pytest.fixture
def crash_sweep(_orxaq_faults: "Faults") -> "Callable[..., list[CrashPoint]]":
    """Kill an automation at each of its calls in turn, and repeat it: ``crash_sweep(cmd, setup=make_folder, check=look, command="git", ...)``.

    Returns the points, each a ``CrashPoint``: ``n``, ``phase``, ``argv``, and of the repeated run ``returncode`` and
    ``output``. When all have been tried, those from which it did not recover fail the test, in one report.
    """
    from .sweeps import Sweeps  # noqa: PLC0415 - see above

    return Sweeps(_orxaq_faults).sweep
