"""Install a version of app into a folder and make it the current one, with nobody watching: deploy.py VERSION.

What is under its final name is whole. The old version stays the current one until the new one has proven to start.
"""

import os
import re
import shutil
import subprocess
import sys

from pathlib import Path

from pytest_orxaq import Breaker, Retry, deadline


# pip tells of an index that does not answer as of one that has nothing.
PASSES = re.compile(r"\b(429|5\d\d) (\w+ )?error|connection|timed out|incomplete|from versions: none", re.IGNORECASE)


class PipError(RuntimeError):
    """What pip said."""


def passes(error: Exception) -> bool:
    """Whether it is worth another attempt. A version that does not exist is not."""
    said = isinstance(error, PipError) and PASSES.search(str(error)) is not None
    return said or isinstance(error, subprocess.TimeoutExpired)


# The breaker is shared by all deploys of this user: what one of them has learned of the index, none has to learn again.
@Retry(attempts=4, per_attempt=300, on=passes, breaker=Breaker("index", on=passes))
def install(version: str, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    # pip's own retries would multiply ours.
    command = ["pip", "install", "-q", "--no-input", "--retries=0", "--target", str(target), f"app=={version}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=deadline.remaining())
    if done.returncode:
        raise PipError(done.stderr)


def starts(target: Path) -> None:
    """Raises CalledProcessError if it does not."""
    subprocess.run([sys.executable, "-c", "import app"], cwd=target, check=True, timeout=deadline.remaining())


def switch(release: Path) -> None:
    """In one step: there is no moment without a current version."""
    beside = Path(".current.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(release)
    os.replace(beside, "current")


with deadline(900):
    wanted = Path("releases", sys.argv[1])
    if not wanted.exists():
        unfinished = wanted.with_name(f".{wanted.name}.new")
        install(sys.argv[1], unfinished)
        starts(unfinished)
        os.replace(unfinished, wanted)
    switch(wanted)
