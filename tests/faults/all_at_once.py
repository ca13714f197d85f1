"""A test in which every fixture has made its trouble, and that is ended as the variable SAMPLE_END says; for a project of its own.

What it has made it writes down beside itself, and that it is about to end it says into the pipe ``ready``.
"""

import faulthandler
import json
import os
import stat
import subprocess
import sys

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytest_orxaq.faults import FaultServer, FullDisk, Hang, OnOutput


Make = Callable[..., Any]
HERE = Path(__file__).parent
WAITS = f"echo ready >{HERE}/ready; mkfifo never; exec 3<>never; read -r _ <&3"  # nobody writes to its own pipe


def background(*words: str, folder: Path) -> None:
    """Start something that nobody waits for, in a session of its own."""
    subprocess.Popen(words, cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read_only(readonly_tree: Make, tmp_path: Path) -> dict[str, int]:
    """Trees to which nobody can write, in each way that is one for this user; with the modes that they had."""
    modes = {}
    for how in ("mount", "immutable") if os.geteuid() == 0 else ("chmod",):
        tree = tmp_path / how
        tree.mkdir(mode=0o750)
        modes[str(tree)] = stat.S_IMODE(tree.stat().st_mode)
        readonly_tree(tree, how=how)
    return modes


@pytest.mark.usefixtures("no_leaks", "faults")
def test_all_of_it(
    isolated_git: Make,
    stale_git_lock: Make,
    live_git_lock: Make,
    flaky_command: Make,
    transient_failures: Make,
    fault_server: FaultServer,
    refused_port: int,
    virtual_clock: Make,
    merge_conflict: Make,
    git_remote: Make,
    full_disk: FullDisk,
    readonly_tree: Make,
    killed_process: Make,
    interrupted_run: Make,
    crash_sweep: Make,
    tmp_path: Path,
) -> None:
    """Is ended in the middle."""
    stale_git_lock(isolated_git("stale"))
    for kind in ("index-hook", "config"):  # the one waits in a hook, the other is stopped between two calls
        live_git_lock(isolated_git(kind), kind)
    merge_conflict(op="rebase", name="conflict")
    remote = git_remote("hang", required=False)
    background("git", "fetch", folder=remote.clone.path)
    fault_server.script(Hang())
    listener = fault_server.tcp(Hang())
    background(
        sys.executable,
        "-c",
        f"import socket; socket.create_connection(('127.0.0.1', {listener.port})).recv(1)",
        folder=tmp_path,
    )
    background("sleep", "600", folder=tmp_path)
    trees = read_only(readonly_tree, tmp_path)
    flaky_command("git", match=["never"], required=False)
    transient_failures("ENOSPC", target="json:loads", required=False)
    virtual_clock()
    full_disk.file.exists()
    made = {
        "marks": os.environ["ORXAQ_FAULTS"].split(os.pathsep)[-2:],
        "refused": refused_port,
        "ports": [fault_server.port, listener.port, urlsplit(remote.url).port],
        "trees": trees,
    }
    (HERE / "made.json").write_text(json.dumps(made))
    waiting = ["sh", "-c", WAITS]
    with full_disk.quota(1 << 20):
        match os.environ["SAMPLE_END"]:
            case "failure":
                pytest.fail("as it was told")
            case "interruption":
                raise KeyboardInterrupt
            case "exit":
                os._exit(7)
            case "timeout":
                faulthandler.dump_traceback_later(0.1, exit=True)
                killed_process(waiting, when=OnOutput("never"), cwd=tmp_path)
            case "killed_process":
                killed_process(waiting, when=OnOutput("never"), cwd=tmp_path)
            case "interrupted_run":
                interrupted_run(waiting, at=OnOutput("never"), cwd=tmp_path)
            case "crash_sweep":
                crash_sweep(waiting, setup=lambda: isolated_git("swept").path, check=print)
            case _:
                full_disk.run(waiting, size="64k")
