"""Measure the search for git's locks beside ``os.walk`` over the same directories, in one run, in turn.

Usage: python benchmarks/locks.py [ROUNDS [REFS [WORK_TREES]]]   (adds its table to benchmarks/results.md)
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from collections.abc import Callable
from pathlib import Path

import retry

from pytest_orxaq.repository.lockfiles import find
from pytest_orxaq.repository.places import Places


REFS = 100_000
WORK_TREES = 200
HEADING = "## The search for git's locks, beside `os.walk` over the same directories"
NAME = "0123456789012345678901234567890123456789\n"


def repository(top: Path, *, refs: int, work_trees: int) -> Places:
    """A repository with loose references and linked work trees, written as files, with one lock in each tenth work tree."""
    subprocess.run(["git", "init", "--quiet", str(top)], check=True)
    git = top / ".git"
    for number in range(refs):
        if number % 1000 == 0:
            (git / "refs" / "heads" / f"team-{number // 1000}").mkdir()
        (git / "refs" / "heads" / f"team-{number // 1000}" / f"topic-{number}").write_text(NAME)
    for number in range(work_trees):
        linked = git / "worktrees" / f"tree-{number}"
        (linked / "logs").mkdir(parents=True)
        (linked / "refs").mkdir()
        for name, text in (("HEAD", NAME), ("ORIG_HEAD", NAME), ("commondir", "../..\n"), ("index", "")):
            (linked / name).write_text(text)
        (linked / "gitdir").write_text(f"{top}/tree-{number}/.git\n")
        (linked / "logs" / "HEAD").write_text(NAME)
        if number % 10 == 0:
            (linked / "index.lock").touch()
    return Places(own=git, common=git, top=top)


def walk(folder: Path) -> int:
    """What ``os.walk`` needs at the least to visit the directories that the search visits."""
    return sum(len(files) for part in ("refs", "logs", "worktrees") for _, _, files in os.walk(folder / part)) + len(
        os.listdir(folder)
    )


def seconds(work: Callable[[], object]) -> float:
    """How long a piece of work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compared(places: Places, rounds: int) -> tuple[float, float]:
    """The medians of the search and of the walk, in seconds, taken in turn."""
    times = [(seconds(lambda: find(places)), seconds(lambda: walk(places.common))) for _ in range(rounds)]
    return statistics.median(search for search, _ in times), statistics.median(walked for _, walked in times)


def main() -> None:
    """Measure a large repository and a small one."""
    numbers = [int(word) for word in sys.argv[1:]]
    rounds, refs, work_trees = (*numbers, *(9, REFS, WORK_TREES)[len(numbers) :])
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        large = repository(Path(folder, "large"), refs=refs, work_trees=work_trees)
        small = repository(Path(folder, "small"), refs=3, work_trees=0)
        assert len(find(large).locks) == (work_trees + 9) // 10
        search, walked = compared(large, rounds)
        lines.append(
            f"| {refs:,} loose references, {work_trees} linked work trees | {search * 1000:.1f} | {walked * 1000:.1f} |"
            f" {search / walked:.2f} |"
        )
        search, walked = compared(small, rounds * 10)
        lines.append(
            f"| a small repository without a lock | {search * 1000:.2f} | {walked * 1000:.2f} | {search / walked:.2f} |"
        )
    table = "\n".join(["| repository | search ms | os.walk ms | ratio |", "|---|--:|--:|--:|", *lines])
    print(table)
    retry.write(table, HEADING)


if __name__ == "__main__":
    main()
