"""What a test leaves behind is found when all is undone, named, and put right; what is no leak is not accused."""

import os
import re
import subprocess
import sys

from pathlib import Path

import pytest


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

# What a test does, and what it is told to have left behind; empty if nothing.
LEAKS = {
    "a process": ("subprocess.Popen(['sleep', '600'])", r"process \d+, 'sleep 600'"),
    "a process of another session": (
        "subprocess.Popen(['sleep', '600'], start_new_session=True)",
        r"process \d+, 'sleep 600'",
    ),
    "an orphan": ("subprocess.run('sleep 600 & exit', shell=True)", r"process \d+, 'sleep 600'"),
    "a thread": ("threading.Thread(target=STOP.wait, args=(20,), name='worker').start()", r"thread 'worker'"),
    "a daemon": ("threading.Thread(target=STOP.wait, args=(20,), name='d', daemon=True).start()", r"thread 'd'"),
    "a socket": ("KEPT.append(socket.create_server(('127.0.0.1', 0)))", r"socket AF_INET \('127\.0\.0\.1', \d+\)"),
    "a pair": ("KEPT.extend(socket.socketpair())", r"socket AF_UNIX unnamed to unnamed\nsocket AF_UNIX"),
    "a loop": ("KEPT.append(asyncio.new_event_loop())", r"socket AF_UNIX"),
    "a folder": ("os.chdir('/')", r"the working folder: it is /, and was \S+"),
    "a folder that is gone": (
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
        r"the working folder: it is a folder that is gone",
    ),
    "a new variable": ("os.environ['NEW'] = 'x' * 200", r"the variable NEW: it is 'x{80}'"),
    "a changed variable": ("os.environ['LESS'] = '/x'", r"the variable LESS: it is '/x'"),
    "a variable less": ("del os.environ['LESS']", r"the variable LESS: it is gone"),
    "a git lock": ("(isolated_git().dir / 'index.lock').touch()", r"git lock \S+/index\.lock"),
    "the real repository": (
        "subprocess.run(['git', 'branch', 'new'], check=True)",
        r"changes in the repository of these tests, \S+: \S+/refs/heads/new",
    ),
    "its settings": (
        "subprocess.run(['git', 'config', 'a.b', 'c'], check=True)",
        r"changes in the repository of these tests, \S+: \S+/config",
    ),
    "its hooks": (
        "Path('.git/hooks/pre-push').touch()",
        r"changes in the repository of these tests, \S+: \S+/pre-push",
    ),
    "nothing": ("pass", ""),
    "what was ended": ("subprocess.run(['sleep', '0'])", ""),
    "what ends at once": ("threading.Thread(target=GONE.wait, args=(0.2,)).start()", ""),
    "what is closed": ("socket.create_server(('127.0.0.1', 0)).close()", ""),
    "what nobody holds": ("[].append(socket.socket()); gc_cycle()", ""),
    "patched": ("monkeypatch.chdir('/'); monkeypatch.setenv('NEW', '1'); monkeypatch.delenv('LESS')", ""),
    "a wider fixture": ("assert os.environ['WIDE'] == 'on'", ""),
    "a stale lock": ("stale_git_lock(isolated_git(), 'index')", ""),
    "a live lock": ("live_git_lock(isolated_git(), 'index-hook')", ""),
    "a status": ("subprocess.run(['git', 'status'], check=True)", ""),
}

TESTS = """
import asyncio, gc, os, socket, subprocess, threading
from pathlib import Path
import pytest

DEEDS = {deeds!r}
STOP, GONE, KEPT = threading.Event(), threading.Event(), []
os.environ["LESS"] = "1"

def gc_cycle():
    kept = [socket.socket()]
    kept.append(kept)

@pytest.fixture(scope="module")
def wide():
    os.environ["WIDE"] = "on"
    yield
    del os.environ["WIDE"]
    STOP.set()

@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DEEDS)
def test_deed(name, wide, {order}):
    exec(DEEDS[name], globals() | locals())

def test_after():
    assert Path.cwd() == Path({cwd!r}) and os.environ["LESS"] == "1" and "NEW" not in os.environ
"""

ORDERS = (
    "no_leaks, monkeypatch, isolated_git, stale_git_lock, live_git_lock",
    "live_git_lock, isolated_git, stale_git_lock, monkeypatch, no_leaks",
)


@pytest.mark.parametrize("order", ORDERS, ids=["first", "last"])
def test_what_is_left(pytester: pytest.Pytester, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of the fixtures: each leak is named, and only leaks are; the next test finds things as they were."""
    subprocess.run(["git", "init", "-q"], cwd=pytester.path, check=True, timeout=60)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "one"], cwd=pytester.path, check=True, timeout=60)
    for name in ("GIT_CONFIG_GLOBAL", "HOME"):
        monkeypatch.setenv(name, str(pytester.path))
    deeds = {name: deed for name, (deed, _) in LEAKS.items()}
    pytester.makepyfile(TESTS.format(deeds=deeds, order=order, cwd=str(pytester.path)))
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-rA", "--basetemp=tmp")
    said = result.stdout.str()
    for name, (_, words) in LEAKS.items():
        error = re.search(
            rf"_ ERROR at teardown of test_deed\[{name}\] _+\nLeft behind:\n((?:(?!-{{5}}|_{{5}}).+\n)+)", said
        )
        assert bool(error) == bool(words), (name, said)
        assert not error or re.match(words, error.group(1)), (name, error)
    result.assert_outcomes(passed=len(LEAKS) + 1, errors=sum(bool(words) for _, words in LEAKS.values()))


def test_leaked_processes_are_ended(pytester: pytest.Pytester) -> None:
    """What was left behind lives no longer when the next test begins."""
    pytester.makepyfile(
        """
        import os, subprocess
        import pytest
        PIDS = []

        def test_leaks(no_leaks):
            PIDS.append(subprocess.Popen("trap '' TERM; sleep 600", shell=True, start_new_session=True).pid)

        @pytest.mark.filterwarnings("ignore")
        def test_after():
            assert open(f"/proc/{PIDS[0]}/stat").read().rpartition(")")[2].split()[0] == "Z"
        """
    )
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=2, errors=1)


def test_asked_for_in_the_test(pytester: pytest.Pytester) -> None:
    """A test that asks for it at run time is watched from there on."""
    pytester.makepyfile(
        """
        import os

        def test_one(request):
            os.environ["BEFORE"] = "1"
            request.getfixturevalue("no_leaks")
            os.environ["AFTER"] = "1"
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["Left behind:", "the variable AFTER: it is '1'"])
    result.stdout.no_fnmatch_line("the variable BEFORE*")


@pytest.mark.parametrize("place", ["linked", "module"])
def test_work_trees_and_submodules(pytester: pytest.Pytester, place: str) -> None:
    """Tests in a linked work tree or a submodule watch the repository that these belong to; without any, there is nothing to watch."""
    top = pytester.mkdir("top")

    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "protocol.file.allow=always", *words], cwd=top, check=True, timeout=60)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    if place == "linked":
        git("worktree", "add", "-q", str(pytester.path / "linked"))
        where = pytester.path / "linked"
    else:
        git("submodule", "--quiet", "add", str(top), "module")
        where = top / "module"
    (where / "test_it.py").write_text(
        "import subprocess\ndef test_one(no_leaks): subprocess.run(['git', 'branch', 'new'], check=True)\n"
    )
    (where / "pytest.ini").touch()
    os.chdir(where)
    result = pytester.runpytest_subprocess(f"--rootdir={where}")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["changes in the repository of these tests, *refs/heads/new"])


def test_where_there_is_no_repository(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Outside of any repository the other things are watched still."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    pytester.makepyfile("import os\ndef test_one(no_leaks): os.environ['NEW'] = '1'")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)


@pytest.mark.parametrize("home", ["of another", "of nobody"])
def test_a_home_that_cannot_be_read(pytester: pytest.Pytester, home: str) -> None:
    """A user whose home may not be entered, or that the system does not know, has no settings to be watched."""
    pytester.makeconftest(
        f"""
        import os, pwd
        from pathlib import Path

        def unknown(number):
            raise KeyError(number)

        class Closed:
            pw_dir = "/closed"

        stat = os.stat
        def refuse(path, *rest, **options):
            if str(path).startswith("/closed"):
                raise PermissionError(13, "Permission denied", str(path))
            return stat(path, *rest, **options)

        def pytest_configure(config):
            pwd.getpwuid = unknown if {home!r} == "of nobody" else lambda number: Closed
            os.stat = refuse

        def pytest_unconfigure(config):
            os.stat = stat
        """
    )
    pytester.makepyfile("def test_one(no_leaks): pass")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_folder_that_was_gone_before(pytester: pytest.Pytester) -> None:
    """Where the working folder was gone before the test, there is none to go back to; the leak is told all the same."""
    pytester.makepyfile(
        """
        import os

        def test_one(tmp_path, monkeypatch):
            (tmp_path / "gone").mkdir()
            os.chdir(tmp_path / "gone")
            os.rmdir(tmp_path / "gone")

        def test_two(no_leaks, tmp_path):
            os.chdir(tmp_path)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["the working folder: it is *, and was a folder that is gone"])


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="asyncio makes no loop unasked there")
@pytest.mark.parametrize("asyncio_plugin", [True, False])
def test_a_loop_that_stands_ready(pytester: pytest.Pytester, asyncio_plugin: bool) -> None:
    """The loop that pytest-asyncio leaves in the thread with its first test is not the test's; one that a test leaves is."""
    pytester.makepyfile(
        **({"pytest_asyncio": ""} if asyncio_plugin else {}),
        conftest="import pytest_asyncio" if asyncio_plugin else "",
        test_one="""
            import asyncio

            def test_one(no_leaks):
                asyncio.set_event_loop(asyncio.new_event_loop())
        """,
    )
    result = pytester.runpytest_subprocess("-p", "no:asyncio")
    result.assert_outcomes(passed=1, errors=not asyncio_plugin)
