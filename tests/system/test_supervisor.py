"""The supervisor's single steps, where no whole run can be made to take them in time."""

import os
import signal
import subprocess
import sys

from pathlib import Path

import pytest

from pytest_orxaq.system import supervisor


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

MEMBERSHIP = "9:memory:/elsewhere\n0::/ours\n"


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def kernel(monkeypatch: pytest.MonkeyPatch, membership: str, mounts: str) -> None:
    """Have the kernel tell of these control groups."""
    said = {"/proc/self/cgroup": membership.encode(), "/proc/self/mountinfo": mounts.encode()}
    monkeypatch.setattr(supervisor, "content", said.__getitem__)


# ---------------------------------------------------------------- what the kernel tells


def test_a_file_that_cannot_be_read_is_empty() -> None:
    """Neither a missing file nor one that the kernel refuses to read is an error."""
    assert supervisor.content("/proc/none") == b""
    assert supervisor.content("/proc/self/mem") == b""


def test_the_ended_have_no_children(ended: int) -> None:
    """A process that has ended has neither tasks nor children."""
    assert list(supervisor._children_by_task(ended)) == list(supervisor._children_by_scan(ended)) == []


def test_the_ended_are_not_described(ended: int) -> None:
    """A process that has ended is nobody, reaped or not."""
    assert supervisor.described(ended) == ""
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert supervisor.described(zombie.pid) == ""
    zombie.wait()


def test_children_by_task_and_by_scan() -> None:
    """Both ways of looking for children find one; the one by task where the kernel was built for it."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert child.pid in supervisor._children_by_scan(os.getpid())
        assert (child.pid in supervisor._children_by_task(os.getpid())) == supervisor.HAS_CHILDREN_FILES


def test_children_by_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread of a process has children of its own."""
    lists = {"/proc/7/task/7/children": b"8 9 ", "/proc/7/task/10/children": b"11 "}
    monkeypatch.setattr(supervisor, "HAS_CHILDREN_FILES", True)
    monkeypatch.setattr(supervisor, "_entries", {"/proc/7/task": ["7", "10"]}.__getitem__)
    monkeypatch.setattr(supervisor, "content", lists.__getitem__)
    assert list(supervisor.children(7)) == [8, 9, 11]


# ---------------------------------------------------------------- control groups


@pytest.mark.parametrize(
    ("membership", "mounts", "group"),
    [
        (MEMBERSHIP, "31 23 0:41 / {0} rw - cgroup2 cgroup2 rw\n", "{0}/ours"),
        (MEMBERSHIP, "31 23 0:41 /ours {0} rw - cgroup2 cgroup2 rw\n", "{0}"),
        (MEMBERSHIP, "31 23 0:41 /theirs {0} rw - cgroup2 cgroup2 rw\n", ""),
        (MEMBERSHIP, "30 23 0:33 / {0} rw - cgroup cgroup rw,memory\n", ""),
        ("0::/../outside\n", "31 23 0:41 / {0} rw - cgroup2 cgroup2 rw\n", ""),
        ("9:memory:/elsewhere\n", "31 23 0:41 / {0} rw - cgroup2 cgroup2 rw\n", ""),
    ],
)
def test_own_group(membership: str, mounts: str, group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our control group is found where a unified hierarchy that holds it is mounted, and nowhere else."""
    kernel(monkeypatch, membership, mounts.format(tmp_path))
    assert supervisor._own_group() == group.format(tmp_path)


def test_a_group_is_made_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group is made inside ours; those inside it go with it, and one that is not empty stays without complaint."""
    kernel(monkeypatch, "0::/\n", f"31 23 0:41 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    group = Path(supervisor._make_group())
    (group / "inner" / "innermost").mkdir(parents=True)
    supervisor.remove_group(str(group))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    supervisor.remove_group(str(tmp_path / "full"))
    assert (tmp_path / "full" / "file").exists()


def test_no_group_where_none_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a unified hierarchy, or where it refuses, there is simply no group."""
    kernel(monkeypatch, MEMBERSHIP, "")
    assert supervisor._make_group() == ""
    kernel(monkeypatch, MEMBERSHIP, f"31 23 0:41 / {tmp_path}/none rw - cgroup2 cgroup2 rw\n")
    assert supervisor._make_group() == ""


def test_a_kernel_file_that_takes_nothing(tmp_path: Path) -> None:
    """A group is killed by a word in its file; that the file is not there, or refuses, is no concern."""
    (tmp_path / "cgroup.kill").touch()
    supervisor.kill_group(str(tmp_path))
    assert (tmp_path / "cgroup.kill").read_bytes() == b"1"
    supervisor.kill_group(str(tmp_path / "none"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "cgroup.kill").symlink_to("/dev/full")
    supervisor.kill_group(str(tmp_path / "full"))


# ---------------------------------------------------------------- the command's tree


def test_the_ended_are_signalled_in_vain(ended: int) -> None:
    """A signal to nobody is no error, whether to a process or to its group."""
    supervisor._kill(ended, signal.SIGTERM)
    tree = supervisor.Tree(ended, "", adopts=False)
    tree.signal_group(signal.SIGTERM)
    tree.status = 0
    tree.signal_group(signal.SIGTERM)
    assert not tree._group_lives()


def test_a_leader_without_a_group_is_signalled_itself() -> None:
    """A leader that has not come to have a group of its own yet hears the signal all the same."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as leader:
        supervisor.Tree(leader.pid, "", adopts=True).signal_group(signal.SIGTERM)
        assert leader.wait() == -signal.SIGTERM


def test_a_reaped_leader_is_left_alone() -> None:
    """The number of a leader that was reaped may be somebody else's by now: it gets no signal."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as other:
        tree = supervisor.Tree(other.pid, "", adopts=True)
        tree.status = 0
        tree.signal_group(signal.SIGKILL)
        assert other.stdin
        other.stdin.close()
        assert other.wait() == 0


def test_who_is_no_child_is_not_reaped(ended: int) -> None:
    """A process that was listed twice is reaped once."""
    assert supervisor.Tree(ended, "", adopts=True)._reap(ended) is False


def test_what_hops_is_unknown_and_yet_there() -> None:
    """Something that is known to live, and is never seen, is listed as unknown rather than left out."""
    script = "from pytest_orxaq.system import supervisor; print(supervisor.Tree(1, '', adopts=True).alive())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == """['{"pid": 0, "command": "unknown", "age": 0.0}']\n"""


def test_no_word_of_a_failed_start() -> None:
    """While nobody has said why the start failed, and still could, there is no reason."""
    listen, tell = os.pipe()
    assert supervisor._reason(listen) == ""
    os.write(tell, b"because")
    assert supervisor._reason(listen) == "because"
    os.close(tell)
    assert supervisor._reason(listen) == ""
    os.close(listen)
