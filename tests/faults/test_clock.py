"""A clock that skips sleeps: nobody waits, time goes on, real input and output keep their time, and nothing stays patched."""

import asyncio
import concurrent.futures
import contextlib
import datetime as dt
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults import Drip, FaultServer, Git, GitLock, Hang, Ok, Reset, SkipClock, Slow, Status


Make = Callable[..., SkipClock]

LONG = 100_000.0  # seconds that no test waits for


@pytest.fixture
def clock(virtual_clock: Make) -> SkipClock:
    """A clock with a limit that is out of the way."""
    return virtual_clock(10 * LONG)


# ---------------------------------------------------------------- sleeping


def test_sleeps_take_no_time(clock: SkipClock) -> None:
    """All clocks have moved by what was slept, and the counter of real time has not."""
    began = time.perf_counter()
    before = [time.time(), time.monotonic(), time.time_ns() / 1e9, time.monotonic_ns() / 1e9]
    time.sleep(LONG)
    time.sleep(0.25)
    after = [time.time(), time.monotonic(), time.time_ns() / 1e9, time.monotonic_ns() / 1e9]
    assert all(two - one >= LONG + 0.25 for one, two in zip(before, after, strict=True))
    assert time.perf_counter() - began < LONG / 10
    assert (clock.sleeps, clock.slept) == ([LONG, 0.25], LONG + 0.25)


def test_it_does_not_stand_still(clock: SkipClock) -> None:
    """A loop that waits for a moment comes to it without sleeping, and reading the clock is no sleep."""
    until = time.monotonic() + 0.01
    while time.monotonic() < until:
        pass
    first = time.time_ns()
    while time.time_ns() == first:
        pass
    assert (clock.sleeps, clock.slept) == ([], 0)


def test_it_never_goes_back(clock: SkipClock) -> None:
    """Threads that sleep and read at once: what one has read, none reads less than later."""
    seen: list[float] = []
    mutex = threading.Lock()

    def work() -> None:
        for _ in range(300):
            time.sleep(0.5)
            with mutex:
                seen.append(time.monotonic())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    assert (len(clock.sleeps), clock.slept) == (2400, 1200)


def test_moved_by_hand(clock: SkipClock) -> None:
    """Advancing is no sleep, and never goes back."""
    before = time.time()
    clock.advance(LONG)
    clock.advance(0)
    assert time.time() - before >= LONG
    assert (clock.sleeps, clock.slept) == ([], 0)
    for wrong in (-1, math.inf, math.nan):
        with pytest.raises(UsageError, match=r"seconds=.* is not possible"):
            clock.advance(wrong)


def test_what_is_no_time_to_sleep(clock: SkipClock) -> None:
    """It is refused as ever, and 0 gives others their turn."""
    time.sleep(0)
    for wrong, error in ((-1, ValueError), (math.nan, ValueError), (math.inf, OverflowError), ("1", TypeError)):
        with pytest.raises(error):
            cast("Callable[[object], None]", time.sleep)(wrong)
    assert clock.sleeps == []


def test_more_than_the_limit_fails(pytester: pytest.Pytester) -> None:
    """It is said how much was slept, in a loop that would go on, in a thread, in a task, also where all exceptions are caught."""
    pytester.makepyfile(
        """
        import asyncio, contextlib, threading, time

        def for_ever(sleep):
            while True:
                with contextlib.suppress(Exception):
                    sleep(1000)

        def test_loop(virtual_clock):
            virtual_clock()
            for_ever(time.sleep)

        def test_task(virtual_clock):
            virtual_clock(limit=2500)

            async def main():
                while True:
                    with contextlib.suppress(Exception):
                        await asyncio.sleep(1000)

            asyncio.run(main())

        def test_thread(virtual_clock):
            virtual_clock(limit=2500)

            def work():
                for _ in range(2):
                    with contextlib.suppress(BaseException):
                        for_ever(time.sleep)

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(failed=2, errors=3, passed=1)
    text = result.stdout.str()
    assert "\nvirtual_clock: slept 4,000 s (limit 3,600 s)\n" in text
    assert text.count("\nvirtual_clock: slept 3,000 s (limit 2,500 s)\n") == 3


def test_the_limit_is_all_right(virtual_clock: Make) -> None:
    """Sleeping exactly as long is no failure."""
    clock = virtual_clock(limit=10)
    time.sleep(4)
    time.sleep(6)
    assert clock.slept == clock.limit == 10


def test_nothing_stays(pytester: pytest.Pytester) -> None:
    """After a test, however it ends, the module and asyncio have their own functions again."""
    pytester.makepyfile(
        """
        import asyncio.base_events, time, pytest
        from time import sleep

        NAMES = ["sleep", "time", "time_ns", "monotonic", "monotonic_ns"]
        LOOPS = ["_run_once", "call_later", "run_in_executor"]

        def now():
            loop = asyncio.base_events.BaseEventLoop
            return [getattr(time, name) for name in NAMES] + [getattr(loop, name) for name in LOOPS] + [sleep]

        BEFORE = now()

        @pytest.mark.parametrize("number", range(2))
        def test_fails(number, virtual_clock, request):
            virtual_clock(also=[f"{__name__}:sleep"])
            assert all(one is not two for one, two in zip(now(), BEFORE))
            assert False, "on purpose"

        def test_after():
            assert now() == BEFORE
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(failed=2, passed=1)
    assert result.stdout.str().count("AssertionError: on purpose") >= 2


def test_what_was_taken_earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, virtual_clock: Make) -> None:
    """A sleep that a module has under a name of its own is skipped if the place is named."""
    (tmp_path / "early_bird.py").write_text("from time import sleep as doze, monotonic\nimport json as time\n")
    monkeypatch.syspath_prepend(tmp_path)
    import early_bird  # type: ignore[import-not-found]

    for wrong, said in (
        ("early_bird:time", "early_bird:time is no function of the module time. Did you mean 'time'?"),
        ("early_bird:dose", "The path 'early_bird:dose' leads nowhere: early_bird has no 'dose'. Did you mean 'doze'?"),
    ):
        with pytest.raises(UsageError) as refused:
            virtual_clock(also=[wrong])
        assert str(refused.value).startswith(said)
    clock = virtual_clock(10 * LONG, also=["early_bird:doze", "early_bird.monotonic"])
    before = early_bird.monotonic()
    early_bird.doze(LONG)
    assert early_bird.monotonic() - before >= LONG
    assert clock.sleeps == [LONG]


def test_one_clock_a_test(virtual_clock: Make) -> None:
    """A second one is refused, and so is what is no limit."""
    for wrong in (0, -1, math.inf, math.nan):
        with pytest.raises(UsageError, match=r"limit=.* is not possible"):
            virtual_clock(limit=wrong)
    virtual_clock()
    with pytest.raises(UsageError, match="This test has its clock already"):
        virtual_clock()


# ---------------------------------------------------------------- what waits for real things


def test_those_who_wait_for_processes_wait(clock: SkipClock) -> None:
    """Python polls a process that has a time limit by sleeping: that is real time, and no sleep of the code under test."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=0.05)
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.close()
        assert child.wait(timeout=30) == 0
    assert clock.sleeps == []


def test_threads_wait_in_real_time(clock: SkipClock) -> None:
    """Events, conditions, queues, joins and futures with a timeout are not skipped; those of others come in time."""
    inbox: queue.Queue[str] = queue.Queue()
    with pytest.raises(queue.Empty):
        inbox.get(timeout=0.01)
    assert not threading.Event().wait(0.01)
    threading.Timer(0.01, inbox.put, ["in time"]).start()
    assert inbox.get(timeout=30) == "in time"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        late = pool.submit(inbox.get)
        time.sleep(LONG)
        assert concurrent.futures.wait([late], timeout=0.01).not_done
        inbox.put("done")
        assert next(concurrent.futures.as_completed([late], timeout=30)).result() == "done"
    assert clock.sleeps == [LONG]


def test_our_own_machinery_waits(
    clock: SkipClock, isolated_git: Callable[..., Git], live_git_lock: Callable[..., GitLock]
) -> None:
    """Trouble that takes real time to make is made while the clock skips, and the log keeps real time."""
    repo = isolated_git()
    for kind in ("index", "config"):
        lock = live_git_lock(repo, kind)
        assert lock.held
        lock.release()
    assert clock.sleeps == []


def test_the_log_keeps_real_time(clock: SkipClock, fault_server: FaultServer, faults: Any) -> None:
    """Moments of faults and requests are the machine's."""
    clock.advance(LONG)
    faults.note("mine", "transient")
    assert faults.log[0].at < LONG / 10
    fetched = subprocess.run(["curl", "-s", fault_server.url], check=True, timeout=30)
    assert fetched.returncode == 0
    assert fault_server.requests[0].at < LONG / 10


def test_what_keeps_the_machines_time(clock: SkipClock) -> None:
    """What is written in C reads the machine's clock: dates and broken-down times are real, as the page says."""
    clock.advance(LONG)
    real = time.time() - LONG
    assert abs(dt.datetime.now(dt.UTC).timestamp() - real) < LONG / 10
    assert abs(time.mktime(time.localtime()) - real) < LONG / 10
    assert abs(dt.datetime.fromtimestamp(time.time(), dt.UTC).timestamp() - real - LONG) < LONG / 10


# ---------------------------------------------------------------- asyncio


def test_sleeps_of_tasks(clock: SkipClock) -> None:
    """Tasks that sleep side by side wake in their order, and the loop's time is as if it had lasted."""
    woke: list[str] = []

    async def nap(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woke.append(name)

    async def main() -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.gather(nap("c", LONG), nap("a", 5), nap("b", 5.5))
        await asyncio.sleep(0)
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(main()) >= LONG
    assert woke == ["a", "b", "c"]
    assert clock.sleeps == [5, 5.5, LONG]
    assert LONG - 1 < clock.slept <= LONG


def test_timeouts_of_tasks(clock: SkipClock) -> None:
    """A timeout on what never comes fires at once; one that was withdrawn is not waited for, and blocking sleeps count too."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), LONG)
        async with asyncio.timeout(LONG):
            await asyncio.sleep(1)
        time.sleep(7)  # noqa: ASYNC251 - bad, and common

    asyncio.run(main())
    assert clock.slept == pytest.approx(LONG + 8, abs=1)
    assert clock.sleeps[-2:] == [1, 7]


def test_in_a_loop_that_there_was(virtual_clock: Make) -> None:
    """A loop that was made, and ran, before the clock jumps as well."""
    with asyncio.Runner() as runner:
        runner.run(asyncio.sleep(0.001))
        clock = virtual_clock(10 * LONG)
        runner.run(asyncio.sleep(LONG))
    assert clock.sleeps == [LONG]


def test_loops_in_several_threads(clock: SkipClock) -> None:
    """Each has its own sleeps, and none waits for the others."""

    def work() -> None:
        asyncio.run(asyncio.sleep(LONG))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.sleeps == [LONG] * 4


def test_other_threads_wake_a_loop(clock: SkipClock) -> None:
    """What another thread has handed over before the loop would idle comes before any timer."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=[found.set_result, "handed over"])
        thread.start()
        thread.join()
        return await asyncio.wait_for(found, LONG)

    assert asyncio.run(main()) == "handed over"
    assert clock.sleeps == []


async def ask(server: FaultServer, within: float) -> bytes:
    """One request by asyncio's own streams, all of it within seconds."""
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            return (await reader.read()).partition(b"\r\n\r\n")[2]
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def test_real_answers_keep_their_time(clock: SkipClock, fault_server: FaultServer) -> None:
    """A timeout does not fire while a real answer is on its way, however late and slow it is."""
    fault_server.script(Slow(0.05, Ok("late")), Drip(1000, "x" * 50), Ok("at once"))
    found = asyncio.run(collect(ask(fault_server, LONG) for _ in range(3)))
    assert found == [b"late", b"x" * 50, b"at once"]
    assert clock.sleeps == []


async def collect(those: Any) -> list[bytes]:
    """One after the other."""
    return [await one for one in those]


def test_a_downloader_backs_off(clock: SkipClock, fault_server: FaultServer) -> None:
    """Between attempts nobody waits: the sleeps are those of the code under test, one by one, and the last answer is real."""
    fault_server.script(Reset(), Status(503), then=Ok("content"))

    async def download() -> bytes:
        for attempt in range(5):
            with contextlib.suppress(OSError):
                if body := await ask(fault_server, 30):
                    return body
            await asyncio.sleep(60 * 2**attempt)
        raise TimeoutError

    assert asyncio.run(download()) == b"content"
    assert clock.sleeps == [60, 120]


def test_a_server_that_hangs_takes_its_time(clock: SkipClock, fault_server: FaultServer) -> None:
    """While a socket is waited for, a timeout is real; it fires, and none of it was skipped."""
    fault_server.script(Hang())
    with pytest.raises(TimeoutError):
        asyncio.run(ask(fault_server, 0.05))
    assert clock.sleeps == []


def test_work_of_executors_keeps_its_time(clock: SkipClock) -> None:
    """Neither does a timeout fire while a thread works for the loop; once it is idle, sleeps are skipped again."""

    async def main() -> str:
        gate = threading.Event()
        asyncio.get_running_loop().call_soon(threading.Timer(0.05, gate.set).start)
        found = await asyncio.wait_for(asyncio.to_thread(gate.wait, 30), LONG)
        await asyncio.sleep(LONG)
        return f"in time: {found}"

    assert asyncio.run(main()) == "in time: True"
    assert clock.sleeps == [LONG]


@pytest.mark.parametrize("piped", [True, False])
def test_child_processes_keep_their_time(piped: bool, clock: SkipClock) -> None:
    """Nor while a child process runs, with pipes and without."""
    code = "import time; time.sleep(0.05); print('done')"

    async def main() -> int | None:
        out = subprocess.PIPE if piped else subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=out)
        await asyncio.wait_for(child.wait(), LONG)
        return child.returncode

    assert asyncio.run(main()) == 0
    assert clock.sleeps == []


def test_servers_that_listen_are_no_hindrance(clock: SkipClock) -> None:
    """A loop with a server at which nobody is has nothing to wait for; who comes is served, in real time."""

    async def main() -> bytes:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            await asyncio.sleep(LONG)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            said = await asyncio.wait_for(reader.read(), LONG)
            writer.close()
            await writer.wait_closed()
            return said

    assert asyncio.run(main()) == b"hello"
    assert clock.sleeps == [LONG]


def test_many_timers(clock: SkipClock) -> None:
    """Thousands of them, most withdrawn, in any order: the moments come in theirs."""
    seen: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in range(2000):
            timer = loop.call_later(1 + number * 37 % 1000, lambda: seen.append(loop.time()))
            if number % 3:
                timer.cancel()
        await asyncio.sleep(2000)

    asyncio.run(main())
    assert len(seen) == 667
    assert seen == sorted(seen)
    assert clock.slept == pytest.approx(2000, abs=1)


# ---------------------------------------------------------------- in company


PLUGINS = {
    "pytest_asyncio": """
        import asyncio, pytest

        @pytest.mark.asyncio
        async def test_one(virtual_clock):
            clock = virtual_clock(1e6)
            await asyncio.sleep(1e5)
            assert clock.sleeps == [1e5]
    """,
    "anyio": """
        import anyio, anyio.to_thread, threading, pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_one(virtual_clock):
            clock = virtual_clock(1e7)
            await anyio.sleep(1e5)
            with anyio.move_on_after(1e5) as scope:
                await anyio.sleep_forever()
            assert scope.cancelled_caught
            gate = threading.Event()
            threading.Timer(0.05, gate.set).start()
            with anyio.fail_after(1e5):
                assert await anyio.to_thread.run_sync(gate.wait, 30)
            await anyio.sleep(5)
            assert clock.sleeps[0] == 1e5 and clock.sleeps[-1] == 5 and len(clock.sleeps) == 3
    """,
}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_with_plugins_for_asyncio(plugin: str, pytester: pytest.Pytester) -> None:
    """Tests that are coroutines, run by others' plugins, sleep in no time."""
    pytest.importorskip(plugin, reason=f"{plugin} is not among what these tests need; where it is, it has to work")
    pytester.makepyfile(PLUGINS[plugin])
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=1)


def test_children_with_libfaketime(clock: SkipClock) -> None:
    """A child that is given the clock's variables has its time, where the library is; where not, there are none."""
    if not any(Path("/usr").glob("lib*/**/libfaketime.so.1")):
        assert clock.environment == {}
        pytest.skip("There is no libfaketime on this machine: no variables, as promised.")
    time.sleep(LONG)
    command = [sys.executable, "-c", "import time; print(time.time())"]
    done = subprocess.run(command, env=os.environ | clock.environment, capture_output=True, check=True, timeout=60)
    assert abs(float(done.stdout) - time.time()) < LONG / 10


def test_children_without_it_have_the_machines_time(clock: SkipClock) -> None:
    """Others see nothing of what was skipped."""
    time.sleep(LONG)
    code = "import json, time; print(json.dumps(time.time()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) < time.time() - LONG / 2
    assert clock.slept == LONG
