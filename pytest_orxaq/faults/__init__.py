"""Trouble made on purpose, for tests of what works in git repositories with nobody watching.

The fixtures stand in :mod:`.fixtures`, which pytest loads. Here are the words that tests need besides them: what they
hand to a fixture, and the types of what it returns.
"""

from importlib import import_module
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from .commands import Call as Call
    from .commands import FlakyCommand as FlakyCommand
    from .disks import Filled as Filled
    from .disks import FullDisk as FullDisk
    from .handles import GitLock as GitLock
    from .isolation import Git as Git
    from .killing import Interrupted as Interrupted
    from .killing import Killed as Killed
    from .killing import NeverCame as NeverCame
    from .moments import After as After
    from .moments import OnCommand as OnCommand
    from .moments import OnFile as OnFile
    from .moments import OnOutput as OnOutput
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
    from .troubles import Arm as Arm
    from .troubles import FaultEvent as FaultEvent
    from .troubles import Faults as Faults
    from .troubles import Truth as Truth

_WHERE = {
    "After": "moments",
    "Arm": "troubles",
    "Call": "commands",
    "DOCKER_TOOMANY": "presets",
    "FaultEvent": "troubles",
    "Faults": "troubles",
    "Filled": "disks",
    "FlakyCommand": "commands",
    "FullDisk": "disks",
    "GIT_503": "presets",
    "GIT_AUTH": "presets",
    "GIT_DNS": "presets",
    "GIT_HUNGUP": "presets",
    "GIT_LOCKED": "presets",
    "GIT_TIMEOUT": "presets",
    "Git": "isolation",
    "GitLock": "handles",
    "Interrupted": "killing",
    "Killed": "killing",
    "LockKind": "recipes",
    "NPM_ECONNRESET": "presets",
    "NeverCame": "killing",
    "OnCommand": "moments",
    "OnFile": "moments",
    "OnOutput": "moments",
    "PIP_503": "presets",
    "Preset": "presets",
    "ReadOnly": "readonly",
    "SSH_255": "presets",
    "Truth": "troubles",
}


def __getattr__(name: str) -> object:
    """Fetch a word from its module when it is asked for: this package is imported in every pytest run of its users."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
