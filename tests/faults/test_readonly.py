"""Trees to which nobody can write: each way is the kernel's, is tried before it is believed, and is undone."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import tempfile

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults import Faults, ReadOnly


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs bind mounts")

ERRORS = {"mount": errno.EROFS, "chmod": errno.EACCES, "immutable": errno.EPERM}
NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount, set flags, and become another user")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with a file, a folder and a link in it."""
    top = tmp_path / "tree"
    (top / "sub").mkdir(parents=True)
    (top / "file").write_text("content")
    (top / "file").chmod(0o640)
    (top / "sub" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("not of the tree")
    return top


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """While this lasts, this process is another user."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


Make = Callable[..., ReadOnly]


@root_only
@pytest.mark.parametrize("how", ["mount", "immutable"])
def test_ways_that_stop_root(readonly_tree: Make, faults: Faults, tree: Path, how: str) -> None:
    """No file can be made, changed or removed, here or by a child, and the error is the one that is said; undone, all can."""
    made = readonly_tree(tree, how=how)
    assert (made.how, made.errno) == (how, ERRORS[how])
    deeds: tuple[Callable[[], None], ...] = (
        tree.joinpath("new").touch,
        (tree / "file").unlink,
        (tree / "sub" / "new").mkdir,
    )
    for deed in deeds:
        with pytest.raises(OSError, match=os.strerror(made.errno)):
            deed()
    assert subprocess.run(
        ["touch", tree / "sub" / "new"], stderr=subprocess.DEVNULL, timeout=60, check=False
    ).returncode
    assert (tree / "file").read_text() == "content"
    assert [str(event) for event in faults.log] == [f"readonly_tree: by {how} [environment]"]
    made.undo()
    made.undo()
    (tree / "new").touch()


@root_only
def test_modes_stop_others(readonly_tree: Make, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user gets EACCES; every mode is what it was afterwards; what links point to is left alone."""
    for path in (tree, *tree.rglob("*")):
        os.lchown(path, NOBODY, NOBODY)
    with contextlib.ExitStack() as stack:
        for parent in [tmp_path, *tmp_path.parents]:
            stack.callback(parent.chmod, parent.stat().st_mode & 0o7777)
            parent.chmod((parent.stat().st_mode & 0o7777) | 0o55)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        before = {path: path.lstat().st_mode for path in (tree, *tree.rglob("*"))}
        with as_nobody():
            made = readonly_tree(tree, how="chmod")
            assert made.errno == errno.EACCES
            with pytest.raises(PermissionError):
                (tree / "sub" / "new").touch()
        made.undo()
        assert {path: path.lstat().st_mode for path in before} == before
    assert (tmp_path / "elsewhere").stat().st_mode & 0o200


@root_only
def test_modes_do_not_stop_root(readonly_tree: Make, tree: Path) -> None:
    """A way that a write goes through is not called read-only: the test is skipped, and the modes are as before."""
    with pytest.raises(pytest.skip.Exception, match=r"chmod: a write went through, as it does for root\."):
        readonly_tree(tree, how="chmod")
    assert tree.stat().st_mode & 0o200


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_the_first_way_that_works(readonly_tree: Make, tree: Path, kind: str) -> None:
    """Left to itself it finds one, for a folder and for a single file."""
    path = tree if kind == "folder" else tree / "file"
    made = readonly_tree(path)
    assert made.errno == ERRORS[made.how]
    with pytest.raises(OSError, match=os.strerror(made.errno)):
        (path / "new").touch() if kind == "folder" else path.write_text("x")
    made.undo()
    (tree / "file").write_text("x")


WAYS = """
    import errno, os
    import pytest

    @pytest.mark.parametrize("how", {ways})
    def test_one(how, readonly_tree, tmp_path):
        made = readonly_tree(tmp_path / ".." / tmp_path.name, how=how)
        print("made", made.path, flush=True)
        {end}
"""


def mounts() -> str:
    """What is mounted."""
    return Path("/proc/mounts").read_text()


@root_only
@pytest.mark.parametrize("end", ["assert False", "raise KeyboardInterrupt", "pytest.skip()"])
def test_undone_however_the_test_ends(pytester: pytest.Pytester, end: str) -> None:
    """After a failure, an interruption or a skip, the folder can be written to."""
    pytester.makepyfile(WAYS.format(ways='["mount", "immutable"]', end=end))
    pytester.runpytest_subprocess("--basetemp=tmp", "-s")
    folders = list((pytester.path / "tmp").glob("test_one*"))
    assert folders
    for folder in folders:
        (folder / "new").touch()
    assert str(pytester.path) not in mounts()


@root_only
@pytest.mark.parametrize("how", ["mount", "immutable"])
def test_undone_by_the_next_run(pytester: pytest.Pytester, how: str) -> None:
    """A run that was killed leaves the tree as it is; the next one that makes trouble gives it back."""
    pytester.makepyfile(WAYS.format(ways=f'["{how}"]', end="import sys; sys.stdin.read()"))
    command = [sys.executable, "-m", "pytest", "-s", "--basetemp=tmp", "-p", "no:randomly"]
    with subprocess.Popen(
        command, cwd=pytester.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout is not None
        path = Path(next(line for line in run.stdout if "made" in line).partition("made ")[2].strip())
        with pytest.raises(OSError, match=os.strerror(ERRORS[how])):
            (path / "new").touch()
        run.send_signal(signal.SIGKILL)
    pytester.makepyfile("def test_two(faults): pass")
    pytester.runpytest_subprocess("--basetemp=tmp2").assert_outcomes(passed=1)
    (path / "new").touch()
    assert str(pytester.path) not in mounts()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "/ is not in a test's folder: it is left as it is.\nUse tmp_path."),
        ("/etc", "is not in a test's folder"),
        (tempfile.gettempdir(), "is not in a test's folder"),
        (Path(tempfile.gettempdir()) / "there-is-no-such", "There is no"),
    ],
)
def test_what_is_nobodys(readonly_tree: Make, path: Path, words: str) -> None:
    """Only what is a test's is touched, and a path that is not there is said to be."""
    with pytest.raises(UsageError) as caught:
        readonly_tree(path)
    assert words in str(caught.value)


def test_a_way_that_there_is_not(readonly_tree: Make, tmp_path: Path) -> None:
    """It is refused with those that there are."""
    with pytest.raises(
        UsageError, match=r"(?s)no way to make a tree read-only 'mont'\. Did you mean 'mount'\?.*There are: auto, "
    ):
        readonly_tree(tmp_path, how="mont")


def test_where_nothing_works(readonly_tree: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way says why not."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        pytest.skip.Exception, match=r"mount: there is no mount\(8\); chmod: .*; immutable: there is no chattr\(1\)\."
    ):
        readonly_tree(tmp_path)
