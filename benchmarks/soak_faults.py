"""Run one project of tests with faults again and again, in every order and way, and compare what trouble each test had.

With the same seed, each test's log has to be the same list of events, and chance the same numbers: in the order of the
file, in random order, with four workers, alone with a few others, and alone.

Usage: python benchmarks/soak_faults.py [REPETITIONS] [--seed N]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

from collections.abc import Iterator, Sequence
from pathlib import Path


CONFTEST = '''
import json
import os
import pytest


@pytest.fixture(autouse=True)
def _told(request, faults):
    """What trouble there was, and what chance says next, once the test has made its own."""
    yield
    told = [(event.kind, event.truth, event.detail) for event in faults.log]
    name = request.node.nodeid.partition("::")[2]
    with open(os.path.join(os.environ["TOLD"], name.replace("/", "_")), "x") as file:
        json.dump({"log": told, "chance": [faults.rng.random() for _ in range(3)]}, file)
'''

TESTS = """
import contextlib
import os
import random
import subprocess
import threading
import urllib.request

import pytest


@pytest.mark.parametrize("number", range(6))
def test_chance(faults, number):
    for place in ("read", "write", "close"):
        for _ in range(20):
            faults.buggify(place, p_active=0.5, p_fire=0.3)


@pytest.mark.parametrize("kind", ["index", "head+ref", "packed-refs.new"])
def test_stale_lock(faults, isolated_git, stale_git_lock, kind):
    stale_git_lock(isolated_git(commits=2), kind)


def test_a_lock_of_chance(faults, isolated_git, stale_git_lock, live_git_lock):
    kinds = ["index", "index-hook", "config", "tag", "ref"]
    faults.rng.shuffle(kinds)
    stale_git_lock(isolated_git("one"), kinds[0])
    live_git_lock(isolated_git("two"), kinds[1])


def test_command(faults, flaky_command):
    failures = faults.rng.randrange(1, 4)
    flaky_command("git", fail=failures, rc=faults.rng.randrange(1, 100))
    flaky_command("true", plan="GIT_503->signal(KILL)->ok")
    for _ in range(5):
        subprocess.run(["git", "--version"], check=False)
        subprocess.run(["true"], check=False)


def test_calls(faults, transient_failures):
    wanted = faults.rng.choices(["ECONNRESET", "ENOSPC", None, KeyError, 3], k=6)
    flaky = transient_failures(*wanted, "EIO", wraps=len)
    for _ in range(7):
        with contextlib.suppress(OSError, KeyError):
            flaky("")


def test_calls_of_threads(faults, transient_failures):
    flaky = transient_failures("ECONNRESET", times=8)

    def call():
        with contextlib.suppress(OSError):
            flaky()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_server(faults, fault_server):
    steps = ["status(503)", "reset", "truncate(1,9)", "garbage", "redirect(loop)"]
    faults.rng.shuffle(steps)
    fault_server.script("->".join((*steps, "ok")), required=False)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(9):
        with contextlib.suppress(Exception), opener.open(fault_server.url, timeout=30) as answer:
            answer.read()


def test_refused(faults, refused_port, virtual_clock):
    virtual_clock()
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{refused_port}", timeout=30)


@pytest.mark.parametrize("kind", ["content", "modify-delete"])
@pytest.mark.parametrize("op", ["merge", "rebase"])
def test_conflict(faults, merge_conflict, kind, op):
    merge_conflict(kind, op)


@pytest.mark.parametrize("mode", ["race", "http-503", "auth", "flaky"])
def test_remote(faults, git_remote, mode):
    clone = git_remote(mode).clone
    clone.commit("more", file="1")
    for _ in range(2):
        clone("push", "-q", check=False)
        clone("fetch", "-q", check=False)


def test_machine(faults, full_disk, readonly_tree, tmp_path):
    with contextlib.suppress(OSError):
        full_disk.file.write_text("x" * 10_000)
    (tmp_path / "tree").mkdir()
    readonly_tree(tmp_path / "tree")
"""

# Each the arguments of one run; what is chosen is the same in every run that chooses it.
WAYS: dict[str, tuple[str, ...]] = {
    "in order": ("-p", "no:randomly", "-p", "no:xdist"),
    "four workers": ("-n", "4"),
    "random order": ("-p", "no:xdist"),
    "some": ("-p", "no:xdist", "-k", "chance or command or server"),
}


def told(folder: Path, way: Sequence[str], seed: int) -> dict[str, object]:
    """What each test of one run had of trouble and chance. Raises RuntimeError with the run's words if a test failed."""
    folder.mkdir()
    project, out = folder / "project", folder / "told"
    project.mkdir()
    out.mkdir()
    (project / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (project / "test_faults.py").write_text(TESTS, encoding="utf-8")
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    options = ("-q", "-p", "no:cacheprovider", f"--orxaq-fault-seed={seed}", f"--basetemp={folder / 'tmp'}")
    command = (sys.executable, "-m", "pytest", *options, *way)
    ran = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "TOLD": str(out)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(ran.stdout + ran.stderr)
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in out.iterdir()}


def differences(folder: Path, repetitions: int, seed: int) -> Iterator[str]:
    """The tests that had other trouble than in the first run, in words; a run that chooses them has at least those."""
    first: dict[str, object] = {}
    names = list(WAYS)
    for number in range(repetitions):
        name = names[number % len(names)]
        found = told(folder / str(number), WAYS[name], seed)
        first = first or found
        print(f"run {number + 1}, {name}: {len(found)} tests", file=sys.stderr)
        if "-k" not in WAYS[name] and found.keys() != first.keys():
            yield f"run {number + 1}, {name}: other tests"
        for test in sorted(found.keys() & first.keys()):
            if found[test] != first[test]:
                yield f"run {number + 1}, {name}: {test}: {found[test]} instead of {first[test]}"


def main() -> int:
    """Compare, and say what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repetitions", nargs="?", type=int, default=20)
    parser.add_argument("--seed", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = list(differences(Path(folder), chosen.repetitions, chosen.seed))
    print("\n".join(found) or f"{chosen.repetitions} runs: every test had the same trouble in each")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
