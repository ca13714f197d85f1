"""Tests with fixtures that make trouble which other plugins run: pytest-asyncio, anyio, subtests."""

import asyncio
import time

from collections.abc import Callable
from typing import Any

import pytest

from pytest_orxaq.faults import Faults, FaultServer, Ok


Make = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def anyio_backend() -> str:
    """The loop that anyio runs tests in."""
    return "asyncio"


async def meet(virtual_clock: Make, fault_server: FaultServer, transient_failures: Make) -> None:
    """An hour is over at once; a connection is one all the same; a call fails once."""
    clock = virtual_clock()
    began = time.monotonic()
    await asyncio.sleep(1800)
    assert time.monotonic() - began >= 1800
    assert round(clock.slept) == 1800
    fault_server.script(then=Ok("content"))
    reader, writer = await asyncio.open_connection(fault_server.host, fault_server.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.read()).endswith(b"content")
    writer.close()
    await writer.wait_closed()
    flaky = transient_failures("ETIMEDOUT", wraps=asyncio.sleep)
    with pytest.raises(TimeoutError):
        await flaky(0)
    await flaky(0)


@pytest.mark.asyncio
async def test_of_pytest_asyncio(virtual_clock: Make, fault_server: FaultServer, transient_failures: Make) -> None:
    """In the loop of pytest-asyncio."""
    await meet(virtual_clock, fault_server, transient_failures)


@pytest.mark.anyio
async def test_of_anyio(virtual_clock: Make, fault_server: FaultServer, transient_failures: Make) -> None:
    """In the loop of anyio."""
    await meet(virtual_clock, fault_server, transient_failures)


def test_with_subtests(subtests: Any, faults: Faults, isolated_git: Make, stale_git_lock: Make) -> None:
    """Each of them has its lock."""
    for kind in ("index", "config"):
        with subtests.test(kind=kind):
            lock = stale_git_lock(isolated_git(kind), kind)
            assert lock.path.exists()
    assert len(faults.log) == 2
