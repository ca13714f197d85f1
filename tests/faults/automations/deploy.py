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


PASSES = re.compile(
    r"\b(429|5\d\d) (Server|Client) Error|status (429|5\d\d)|too many \d* ?5\d\d|Connection|timed out|IncompleteRead"
)


def passes(error: Exception) -> bool:
    """Whether it is worth another attempt. A version that does not exist is not."""
    return isinstance(error, subprocess.CalledProcessError) and PASSES.search(error.stderr) is not None


# The breaker is shared by all deploys of this user: what one of them has learned of the index, none has to learn again.
@Retry(attempts=4, per_attempt=300, on=passes, breaker=Breaker("index", on=passes))
def install(version: str, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    # pip's own retries would multiply ours.
    command = ["pip", "install", "-q", "--no-input", "--retries=0", "--target", str(target), f"app=={version}"]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=deadline.remaining())


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
