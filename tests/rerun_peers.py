"""Retries beside the real plugins of others. Not part of the suite: `make rerun-matrix` installs these, and runs this."""

import importlib.util

import pytest

from test_rerun import BOTH, Project, project


__all__ = ["project"]

RIVALS = {
    "pytest-rerunfailures": ("pytest_rerunfailures", "--reruns=2"),
    "pytest-retry": ("pytest_retry", "--retries=2"),
    "flaky": ("flaky", "--force-flaky"),
}
HERE = [name for name, (module, _) in RIVALS.items() if importlib.util.find_spec(module)]


@pytest.mark.parametrize("method", ["signal", "thread"])
@pytest.mark.parametrize("scope", ["true", "false"])
def test_pytest_timeout(project: Project, method: str, scope: str) -> None:
    """The timer of pytest-timeout is around each attempt, and never rings while we wait for the next one."""
    test = """
import select
def test_hangs(attempt):
    if attempt == 1: raise ConnectionError
    select.select([], [], [], 60)
"""
    arguments = ("--timeout=2", f"--timeout-method={method}", "-o", f"timeout_func_only={scope}")
    outcomes = project.run("--orxaq-retries=2", *arguments, test=test)
    assert project.times("test_hangs") == 2
    assert "Timeout" in project.out
    assert project.code == 1
    assert outcomes in ({"test_hangs": "failure"}, {}), project.out  # the thread method ends the whole process
    waits = "import pytest\n@pytest.mark.transient(delay=3)\ndef test_waits(attempt): assert attempt == 3\n"
    assert project.run("--timeout=1", f"--timeout-method={method}", test=waits) == {"test_waits": "flaky"}, project.out


ASYNC = """
import asyncio, pytest
@pytest.fixture
async def loop(): yield asyncio.get_running_loop()
@pytest.mark.asyncio
async def test_coroutine(loop, attempt):
    await asyncio.sleep(0)
    assert loop is asyncio.get_running_loop()
    if attempt == 1: raise ConnectionError
@pytest.fixture
async def breaks(attempt):
    if attempt == 1: raise TimeoutError
@pytest.mark.asyncio
async def test_fixture(breaks): pass
class TestIt:
    @pytest.mark.asyncio
    async def test_method(self, attempt):
        if attempt < 3: raise ConnectionError
@pytest.mark.anyio
async def test_anyio(attempt):
    if attempt == 1: raise ConnectionError
@pytest.fixture
def anyio_backend(): return "asyncio"
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_asynchronous_plugins(project: Project, workers: tuple[str, ...], mode: str) -> None:
    """pytest-asyncio and anyio run coroutines and their fixtures again, each attempt in its own loop."""
    test = ASYNC if mode == "auto" else ASYNC.replace("@pytest.fixture\nasync", "@pytest_asyncio.fixture\nasync")
    outcomes = project.run(
        "--orxaq-retries=2", f"--asyncio-mode={mode}", *workers, test=f"import pytest_asyncio\n{test}"
    )
    assert outcomes == dict.fromkeys(("test_coroutine", "test_fixture", "test_method", "test_anyio"), "flaky"), (
        project.out
    )


@pytest.mark.parametrize("workers", [(), ("-n1",)])
@pytest.mark.parametrize("name", HERE)
def test_standing_down_beside_the_real_one(project: Project, name: str, workers: tuple[str, ...]) -> None:
    """The plugin that is switched on repeats the tests, and ours repeats none and says so."""
    project.write({"pytest.ini": "[pytest]\naddopts = -p orxaq\n"})
    project.run("--orxaq-retries=5", RIVALS[name][1], *workers, test="def test_it(attempt): assert attempt == 9\n")
    assert project.times("test_it") == (2 if name == "flaky" else 3), project.out
    assert f"orxaq: {name} is switched on and repeats tests itself" in project.out
    assert project.code == 1


@pytest.mark.skipif(not HERE, reason="none of the plugins that repeat tests is installed beside this pytest")
def test_installed_but_not_on(project: Project) -> None:
    """Plugins that are there and not switched on repeat what is marked for them; the rest is ours."""
    project.write({"pytest.ini": "[pytest]\naddopts = -p orxaq\n"})
    assert project.run("--orxaq-retries=2", test=BOTH.partition("@pytest.mark.flaky")[0]) == {
        "test_typed": "flaky",
        "test_marked": "flaky",
    }, project.out
    project.run(
        test="import pytest\n@pytest.mark.flaky\n@pytest.mark.transient\ndef test_it(attempt): assert attempt == 2\n"
    )
    assert "FLAKY" not in project.out
