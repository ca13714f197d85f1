"""Fixtures that make trouble on purpose, for tests of what works in git repositories with nobody watching.

Each is a factory: asked for in a test and called there, it makes real trouble and returns a handle that says what it is.
None acts by itself, and everything is undone after the test. This module is loaded in every pytest run of its users,
so it imports next to nothing; what it needs is imported by the fixtures.
"""

import os
import sys

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest


if TYPE_CHECKING:
    from .handles import GitLock
    from .isolation import Git, Isolation


@pytest.fixture
def _orxaq_isolation(tmp_path: Path) -> "Isolation":
    """A home and a git configuration of their own, in the test's folder."""
    if sys.platform == "win32":
        pytest.skip("These fixtures need a POSIX system.")

    from .isolation import Isolation  # noqa: PLC0415 - see above

    return Isolation(tmp_path)


@pytest.fixture
def isolated_git(_orxaq_isolation: "Isolation") -> "Iterator[Callable[..., Git]]":
    """Make git repositories that nothing of the user's reaches: ``isolated_git(name="repo", bare=False, clone_of=None, commits=1)``.

    Each is a ``Git``: called, it runs git; ``path``, ``dir``, ``env``, ``write()``, ``commit()``, ``locks()``,
    ``worktree()``, ``submodule()``. Until the test's end this process, and what it starts, has a home, a git configuration
    and variables of its own: no prompts, no helpers, no maintenance in the background, no repository further up.
    """
    from .locks import require_git  # noqa: PLC0415 - see above

    require_git()
    with pytest.MonkeyPatch.context() as patch:
        for name in _orxaq_isolation.scrubbed(os.environ):
            patch.delenv(name)
        for name, value in _orxaq_isolation.variables.items():
            patch.setenv(name, value)
        yield _orxaq_isolation.make


@pytest.fixture
def stale_git_lock(request: pytest.FixtureRequest, _orxaq_isolation: "Isolation") -> "Iterator[Callable[..., GitLock]]":
    """Leave a lock of a git that was killed: ``stale_git_lock(repo, kind="index", age=3600.0, organic=True, size=None, pid_file=False)``.

    Returns a ``GitLock``: ``path``, ``paths``, ``kind``, ``dead_pid``, ``held``, ``release()``.
    """
    yield from _locks(request, _orxaq_isolation, "stale")


@pytest.fixture
def live_git_lock(request: pytest.FixtureRequest, _orxaq_isolation: "Isolation") -> "Iterator[Callable[..., GitLock]]":
    """Have a git hold a lock: ``live_git_lock(repo, kind="index-hook", hold=None, age=None, allow_removal=False)``.

    Returns a ``GitLock``: ``path``, ``paths``, ``kind``, ``pid``, ``held``, ``release()``. The test fails if the lock is
    removed or replaced while its holder lives.
    """
    yield from _locks(request, _orxaq_isolation, "live")


def _locks(request: pytest.FixtureRequest, isolation: "Isolation", kind: str) -> "Iterator[Callable[..., GitLock]]":
    from .locks import Locks  # noqa: PLC0415 - see above

    locks = Locks(isolation, request.config.rootpath)
    try:
        yield getattr(locks, kind)
    finally:
        damage = locks.undo()
    if damage:
        pytest.fail("\n".join(damage), pytrace=False)
