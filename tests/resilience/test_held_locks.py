"""Locks of the library, in the two places where locks hang: forked children and signal handlers."""

import os
import signal
import sqlite3
import threading

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pytest_orxaq import Budget, Retry, deadline
from pytest_orxaq.resilience import scope
from pytest_orxaq.resilience.budget import FILE
from pytest_orxaq.resilience.call import counter
from pytest_orxaq.resilience.lock import Lock
from pytest_orxaq.testing import instant


HUNG = 20  # seconds, after which a child is killed by its alarm


def in_child(work: Callable[[], object]) -> int:
    """What becomes of work in a forked child: 0 if it ends as it should, the signal if it hangs."""
    child = os.fork()
    if child == 0:  # pragma: no cover - the child's
        code = 1
        try:
            signal.alarm(HUNG)
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


@contextmanager
def held(lock: Lock) -> Iterator[None]:
    """Another thread is in the middle of something."""
    begun, end = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            begun.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert begun.wait(HUNG)
        yield
    finally:
        end.set()
        thread.join()


def enter_a_deadline() -> None:
    """A deadline begins and ends."""
    with deadline(5):
        pass


def retry_within_a_retry() -> None:
    """Both levels are paid for."""
    left = [ConnectionResetError()]

    @Retry(on_event=lambda _: None)
    @Retry()
    def call() -> None:
        if left:
            raise left.pop()

    with instant():
        call()
    assert not left


@pytest.mark.parametrize(
    ("lock", "work"),
    [(scope._lock, enter_a_deadline), (counter.lock, retry_within_a_retry)],
    ids=["deadline", "retry"],
)
def test_a_forked_child_waits_for_no_thread_of_its_parent(lock: Lock, work: Callable[[], None]) -> None:
    """The thread that had the lock is not there any more, so nobody would ever release it."""
    with held(lock):
        assert in_child(work) == 0
    work()


def test_a_forked_child_takes_from_a_budget(tmp_path: Path) -> None:
    """Though a thread of its parent waits for the store at that very moment."""
    budget = Budget("x", folder=tmp_path)
    assert budget.take()
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as holder, held(budget._lock):
        holder.execute("BEGIN IMMEDIATE")
        assert in_child(budget.take) == 0


def test_the_thread_that_forks_keeps_what_it_has() -> None:
    """In the child too it can release the lock, and nobody else has it."""
    lock = Lock()

    def work() -> None:  # pragma: no cover - the child's
        lock.__exit__(None, None, None)
        with lock:
            pass

    with lock:
        assert in_child(work) == 0


def test_a_signal_handler_waits_for_nobody(tmp_path: Path) -> None:
    """It interrupts the very thread that has the lock, which could never go on."""
    budget = Budget("x", folder=tmp_path)

    def work() -> None:  # pragma: no cover - the child's
        taken: list[bool] = []
        signal.signal(signal.SIGUSR1, lambda *_: taken.append(budget.take()))
        with budget._lock:
            signal.raise_signal(signal.SIGUSR1)
        assert taken == [True]

    assert in_child(work) == 0
