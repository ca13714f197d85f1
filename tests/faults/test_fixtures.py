"""The fixtures as their users meet them: failing tests, accusations, missing tools, a killed test run."""

import os
import re
import signal
import subprocess
import sys
import time

from collections.abc import Callable
from pathlib import Path

import pytest


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

FACE = "pytest_orxaq.faults.fixtures"


def marked() -> list[str]:
    """The command lines of all companions that live, of whatever test."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"ORXAQ_TESTED={os.getpid()}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What started from here lives, by command line."""
    monkeypatch.setenv("ORXAQ_TESTED", str(os.getpid()))
    return lambda: [command for command in marked() if "pytest" not in command]


def wait_until(reached: Callable[[], bool]) -> None:
    """Wait until something is so; fail if it never is."""
    until = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.005)


# ---------------------------------------------------------------- loading


def test_loading_costs_next_to_nothing() -> None:
    """The module that every run of every user loads brings nothing else of ours, and no module that pytest has not."""
    code = f"import sys, pytest; had = set(sys.modules); import {FACE}; print(*sorted(set(sys.modules) - had))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert set(done.stdout.split()) == {"pytest_orxaq", "pytest_orxaq.version", "pytest_orxaq.faults", FACE}


def test_the_map_is_complete() -> None:
    """What the package says of where things are names each of its modules."""
    import pytest_orxaq.faults

    told = (pytest_orxaq.faults.__doc__ or "").partition("::")[2]
    modules = {path.stem for path in Path(pytest_orxaq.faults.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules - set(re.findall(r"\w+", told)) == set()


def test_nothing_happens_unasked(pytester: pytest.Pytester) -> None:
    """No fixture is automatic; all are found and explained by pytest's own list."""
    pytester.makepyfile("def test_one(request): assert request.fixturenames == ['request']")
    pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:hypothesispytest").assert_outcomes(passed=1)
    listed = pytester.runpytest_inprocess("--fixtures").stdout.str()
    for name in ("isolated_git", "stale_git_lock", "live_git_lock"):
        assert re.search(rf"^{name} -- .*faults/fixtures\.py:\d+\n    (Make|Leave|Have) ", listed, re.MULTILINE), name


# ---------------------------------------------------------------- clean-up


ALL_KINDS = """
    import pytest
    from pytest_orxaq.faults.recipes import KINDS

    @pytest.mark.parametrize("kind", KINDS)
    def test_fails(kind, isolated_git, stale_git_lock, live_git_lock):
        stale_git_lock(isolated_git("stale"), kind)
        live_git_lock(isolated_git("live"), kind)
        assert False, "the code under test"
"""


def test_nothing_is_left_of_failing_tests(pytester: pytest.Pytester, alone: Callable[[], list[str]]) -> None:
    """Of every kind, stale and live: no lock, no operation, no process, no program, no detached head; and no new failure."""
    pytester.makepyfile(ALL_KINDS)
    result = pytester.runpytest_inprocess("--basetemp=tmp", "-n0")
    result.assert_outcomes(failed=17)
    names = ("*.lock", "packed-refs.new", "gc.pid", "rebase-merge", "room*", "orxaq-room*")
    assert not [path for name in names for path in (pytester.path / "tmp").rglob(name)]
    heads = list((pytester.path / "tmp").glob("test_fails*/*/.git/HEAD"))
    assert len(heads) >= 34
    assert {head.read_text() for head in heads if "linked" not in str(head)} == {"ref: refs/heads/main\n"}
    assert not alone()


def test_nothing_is_left_of_an_interrupted_test(pytester: pytest.Pytester, alone: Callable[[], list[str]]) -> None:
    """Ctrl-C in the middle of a test ends the holders too."""
    pytester.makepyfile(
        """
        def test_interrupted(isolated_git, live_git_lock):
            live_git_lock(isolated_git(), "config")
            live_git_lock(isolated_git("other"))
            raise KeyboardInterrupt
        """
    )
    result = pytester.runpytest_subprocess("--basetemp=tmp")
    assert result.ret == 2
    assert not list((pytester.path / "tmp").rglob("*.lock"))
    assert not alone()


def test_holders_die_with_the_test_run(pytester: pytest.Pytester, alone: Callable[[], list[str]]) -> None:
    """When pytest is killed outright, the gits that it held end by themselves; those in a hook take their locks with them."""
    pytester.makepyfile(
        """
        import sys

        def test_hangs(isolated_git, live_git_lock):
            pids = [live_git_lock(isolated_git(kind), kind).pid for kind in ("index-hook", "shallow", "config", "index")]
            print("held", *pids, flush=True)
            sys.stdin.read()
        """
    )
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s", "--basetemp=tmp"],
        cwd=pytester.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stdout is not None
        assert run.stdin is not None
        pids = next(line for line in run.stdout if "held" in line).partition("held")[2].split()
        assert len(pids) == 4
        assert len(alone()) >= 4
        run.send_signal(signal.SIGKILL)
        wait_until(lambda: not alone())
    left = [path.relative_to(pytester.path / "tmp" / "test_hangs0") for path in (pytester.path / "tmp").rglob("*.lock")]
    assert {path.parts[0] for path in left} <= {"config"}


# ---------------------------------------------------------------- accusations


# What is done to a live lock of which kind, with which options; and what the one who does it is told.
DEEDS: dict[str, tuple[str, str, str]] = {
    "removed": (
        "path.unlink()",
        "",
        r"The live lock \S+/index\.lock was removed\. Its holder, 'git commit .*' \(process \d+\), was alive all the time\. .* say allow_removal=True\.",
    ),
    "removed, then released": ("path.unlink(); lock.release()", "", r"index\.lock was removed\."),
    "moved": ("path.rename(f'{path}.old')", "", r"index\.lock was removed\."),
    "written anew": (
        "old = path.read_bytes(); path.unlink(); path.write_bytes(old)",
        "",
        r"index\.lock was replaced\.",
    ),
    "as old as it was": (
        "old = path.stat(); path.unlink(); path.touch(); os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))",
        "",
        r"index\.lock was replaced\.",
    ),
    "a copy over it": (
        "shutil.copy2(path, f'{path}2'); os.replace(f'{path}2', path)",
        "",
        r"index\.lock was replaced\.",
    ),
    "a folder": ("path.unlink(); path.mkdir()", "", r"index\.lock was replaced\."),
    "the holder ended": (
        "os.kill(lock.pid, signal.SIGTERM)\nwhile path.exists(): pass",
        "",
        r"index\.lock was removed\. .* was ended from outside\.",
    ),
    "one of several": ("lock.paths[2].unlink()", "'head+ref'", r"refs/heads/main\.lock was removed\."),
    "of one that is stopped": ("path.unlink()", "'config'", r"config\.lock was removed\."),
    "allowed": ("path.unlink()", "allow_removal=True", ""),
    "touched": ("path.touch(); path.chmod(0o444); os.link(path, f'{path}.copy'); path.read_bytes()", "", ""),
    "back in its place": ("path.rename(f'{path}.old'); os.rename(f'{path}.old', path)", "", ""),
    "after the release": ("lock.release(); path.touch(); path.unlink()", "", ""),
    "the holder killed": ("os.kill(lock.pid, signal.SIGKILL)", "", ""),
}


def test_taking_a_live_lock_fails_the_test(pytester: pytest.Pytester) -> None:
    """Who removes or replaces a lock whose holder lives is told so, whatever the test found; looking and touching is free."""
    pytester.makepyfile(
        f"""
        import os, shutil, signal
        import pytest

        DEEDS = {DEEDS!r}

        @pytest.mark.parametrize("name", DEEDS)
        def test_deed(name, isolated_git, live_git_lock):
            deed, options, _ = DEEDS[name]
            lock = eval(f"live_git_lock(isolated_git(), {{options}})")
            exec(deed, globals() | {{"lock": lock, "path": lock.path}})
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    reports = result.reprec.getreports("pytest_runtest_logreport")  # type: ignore[attr-defined]
    told = {
        report.nodeid.partition("[")[2][:-1]: report.longreprtext for report in reports if report.when == "teardown"
    }
    assert told.keys() == DEEDS.keys()
    for name, (_, _, accusation) in DEEDS.items():
        if accusation:
            assert re.search(accusation, told[name]), name
            assert "\n" not in told[name]
        else:
            assert not told[name], name
    result.assert_outcomes(passed=len(DEEDS), errors=sum(bool(accusation) for _, _, accusation in DEEDS.values()))


# ---------------------------------------------------------------- means


ONE = "def test_one(isolated_git, live_git_lock): live_git_lock(isolated_git(), 'config')"


def test_without_git(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is no git, the test is skipped and says why."""
    pytester.makepyfile(ONE, test_path="def test_two(stale_git_lock): stale_git_lock('.')")
    monkeypatch.setenv("PATH", str(tmp_path))
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*There is no git on this machine."])


def test_with_an_old_git(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A git that cannot be told settings by its environment is too old, and both versions are said."""
    (tmp_path / "git").write_text("#!/bin/sh\necho git version 2.30.9.orxaq\n")
    (tmp_path / "git").chmod(0o700)
    pytester.makepyfile(ONE)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*git is too old: 2.30, and 2.31 is needed."])


def test_on_windows(pytester: pytest.Pytester) -> None:
    """Where there is nothing of what they need they say so, before they import any of it."""
    pytester.makepyfile(
        """
        import sys
        import pytest

        @pytest.fixture
        def windows(monkeypatch):
            monkeypatch.setattr(sys, "platform", "win32")

        def test_one(windows, isolated_git): pass
        def test_two(windows, stale_git_lock): pass
        def test_three(windows, live_git_lock): pass
        """
    )
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(["*These fixtures need a POSIX system."])


# A filter of system calls, as sandboxes set them: ptrace is not permitted.
SANDBOX = """\
import ctypes, os, platform, struct, sys
number = {"x86_64": 101, "aarch64": 117}[platform.machine()]
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(len(steps), ctypes.addressof(program))), 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:]])
"""


@pytest.mark.skipif(os.uname().machine not in {"x86_64", "aarch64"}, reason="system calls have other numbers here")
def test_where_nothing_may_be_traced(pytester: pytest.Pytester, alone: Callable[[], list[str]]) -> None:
    """A lock for which git would have to be stopped between two calls is skipped with the reason; the others are made."""
    pytester.makepyfile(ONE, test_other="def test_two(isolated_git, live_git_lock): live_git_lock(isolated_git())")
    (pytester.path / "sandbox.txt").write_text(SANDBOX)
    result = pytester.run(sys.executable, "sandbox.txt", "-rs", "--basetemp=tmp")
    result.assert_outcomes(skipped=1, passed=1)
    result.stdout.fnmatch_lines(
        ["*A git that holds config.lock cannot be made: a child process cannot be traced here:*"]
    )
    assert not list((pytester.path / "tmp").rglob("*.lock"))
    assert not alone()


def test_the_tests_own_repository_is_spared(pytester: pytest.Pytester) -> None:
    """No trouble is made in the repository that the tests stand in, by whatever path it is named."""
    pytester.makepyfile(
        """
        import pytest
        from pytest_orxaq.errors import RepositoryError

        @pytest.mark.parametrize("place", [".", "sub"])
        def test_own(place, stale_git_lock, live_git_lock, request):
            for make in (stale_git_lock, live_git_lock):
                with pytest.raises(RepositoryError, match="is the repository of these tests"):
                    make(request.config.rootpath / place, "index")
        """
    )
    pytester.mkdir("sub")
    subprocess.run(["git", "init", "-q"], cwd=pytester.path, check=True, timeout=60)
    pytester.runpytest_inprocess().assert_outcomes(passed=2)
    assert not list(pytester.path.rglob("*.lock"))
