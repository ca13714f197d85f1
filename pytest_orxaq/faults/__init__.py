"""Trouble made on purpose, for tests of what works in git repositories with nobody watching.

The fixtures stand in :mod:`.fixtures`, which pytest loads. Here are the words that tests need besides them: what they
hand to a fixture, and the types of what it returns.

Where what is, each after what it is made of::

    shared      choices, leftovers, troubles, leaks, reporting, fixtures; presets, around (for the command line)
    git         shim (also for commands), isolation; recipes, stepping, holders, identity, handles, locks; conflicts
    commands    commands, arrivals, moments, killing, sweeps
    calls       outcomes, targets, calls
    time        clock, loops, clocks
    network     wires, listening, messages, steps, scripts, acting, server; gitserver, remotes; ports
    machine     namespaces, disks, readonly
"""

from importlib import import_module
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from .calls import FlakyCall as FlakyCall
    from .clock import SkipClock as SkipClock
    from .commands import Call as Call
    from .commands import FlakyCommand as FlakyCommand
    from .conflicts import Conflict as Conflict
    from .conflicts import ConflictKind as ConflictKind
    from .conflicts import ConflictOp as ConflictOp
    from .disks import Filled as Filled
    from .disks import FullDisk as FullDisk
    from .handles import GitLock as GitLock
    from .isolation import Git as Git
    from .killing import Interrupted as Interrupted
    from .killing import Killed as Killed
    from .killing import NeverCame as NeverCame
    from .messages import Request as Request
    from .moments import After as After
    from .moments import OnCommand as OnCommand
    from .moments import OnFile as OnFile
    from .moments import OnOutput as OnOutput
    from .outcomes import Outcome as Outcome
    from .outcomes import Returns as Returns
    from .presets import DOCKER_TOOMANY as DOCKER_TOOMANY
    from .presets import GIT_503 as GIT_503
    from .presets import GIT_AUTH as GIT_AUTH
    from .presets import GIT_DNS as GIT_DNS
    from .presets import GIT_HUNGUP as GIT_HUNGUP
    from .presets import GIT_LOCKED as GIT_LOCKED
    from .presets import GIT_TIMEOUT as GIT_TIMEOUT
    from .presets import NPM_ECONNRESET as NPM_ECONNRESET
    from .presets import PIP_503 as PIP_503
    from .presets import SSH_255 as SSH_255
    from .presets import Preset as Preset
    from .readonly import ReadOnly as ReadOnly
    from .recipes import LockKind as LockKind
    from .remotes import Remote as Remote
    from .remotes import RemoteMode as RemoteMode
    from .server import FaultServer as FaultServer
    from .server import TcpServer as TcpServer
    from .steps import Drip as Drip
    from .steps import Garbage as Garbage
    from .steps import Hang as Hang
    from .steps import Ok as Ok
    from .steps import Redirect as Redirect
    from .steps import Refuse as Refuse
    from .steps import Reset as Reset
    from .steps import Slow as Slow
    from .steps import Status as Status
    from .steps import Truncate as Truncate
    from .sweeps import CrashFailure as CrashFailure
    from .sweeps import CrashPoint as CrashPoint
    from .sweeps import SweepFailed as SweepFailed
    from .sweeps import SweepWarning as SweepWarning
    from .troubles import Arm as Arm
    from .troubles import FaultEvent as FaultEvent
    from .troubles import Faults as Faults
    from .troubles import Truth as Truth

_WHERE = {
    "After": "moments",
    "Arm": "troubles",
    "Call": "commands",
    "Conflict": "conflicts",
    "ConflictKind": "conflicts",
    "ConflictOp": "conflicts",
    "CrashFailure": "sweeps",
    "CrashPoint": "sweeps",
    "DOCKER_TOOMANY": "presets",
    "Drip": "steps",
    "FaultEvent": "troubles",
    "FaultServer": "server",
    "Faults": "troubles",
    "Filled": "disks",
    "FlakyCall": "calls",
    "FlakyCommand": "commands",
    "FullDisk": "disks",
    "GIT_503": "presets",
    "GIT_AUTH": "presets",
    "GIT_DNS": "presets",
    "GIT_HUNGUP": "presets",
    "GIT_LOCKED": "presets",
    "GIT_TIMEOUT": "presets",
    "Garbage": "steps",
    "Git": "isolation",
    "GitLock": "handles",
    "Hang": "steps",
    "Interrupted": "killing",
    "Killed": "killing",
    "LockKind": "recipes",
    "NPM_ECONNRESET": "presets",
    "NeverCame": "killing",
    "Ok": "steps",
    "OnCommand": "moments",
    "OnFile": "moments",
    "OnOutput": "moments",
    "Outcome": "outcomes",
    "PIP_503": "presets",
    "Preset": "presets",
    "ReadOnly": "readonly",
    "Redirect": "steps",
    "Refuse": "steps",
    "Remote": "remotes",
    "RemoteMode": "remotes",
    "Request": "messages",
    "Reset": "steps",
    "Returns": "outcomes",
    "SSH_255": "presets",
    "SkipClock": "clock",
    "Slow": "steps",
    "Status": "steps",
    "SweepFailed": "sweeps",
    "SweepWarning": "sweeps",
    "TcpServer": "server",
    "Truncate": "steps",
    "Truth": "troubles",
}


def __getattr__(name: str) -> object:
    """Fetch a word from its module when it is asked for: this package is imported in every pytest run of its users."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
