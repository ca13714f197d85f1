"""Which programs a command would find, and whether they are still the same."""

import os

from pathlib import Path

from pytest_orxaq.system import tools


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """Make an executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_first_on_the_path_counts(tmp_path: Path) -> None:
    """A program is what a shell would run: the first executable file of that name; an empty entry is no place."""
    wanted = program(tmp_path / "b" / "tool")
    program(tmp_path / "c" / "tool")
    (tmp_path / "a" / "tool").mkdir(parents=True)
    path = os.pathsep.join(["", *(str(tmp_path / name) for name in "abc")])
    assert tools.which("tool", {"PATH": path}) == wanted
    wanted.chmod(0o644)
    assert tools.which("tool", {"PATH": path}) == tmp_path / "c" / "tool"
    assert tools.which("no-such-tool", {"PATH": path}) is None


def test_what_is_gone_has_no_fingerprint(tmp_path: Path) -> None:
    """A program that is gone, or a link that leads nowhere, has an empty fingerprint, not that of another."""
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    assert tools.fingerprint(link) == tools.fingerprint(tmp_path / "none") == ""


def test_the_version_behind_a_shim(tmp_path: Path) -> None:
    """A version manager's shim stays the same file; the version that it is set to tells it apart."""
    shim = program(tmp_path / "shims" / "python")
    without = tools.fingerprint(shim)
    (tmp_path / "version").write_text("3.11\n")
    first = tools.fingerprint(shim)
    (tmp_path / "version").write_text("3.12\n")
    assert len({without, first, tools.fingerprint(shim)}) == 3


def test_virtual_environments_count_with_their_packages(tmp_path: Path) -> None:
    """The environment in use and those where tools put them count: the interpreter, and what is installed."""
    active = tmp_path / "elsewhere" / "env"
    for home in (tmp_path / "top" / ".venv", active):
        program(home / "bin" / "python")
        (home / "lib" / "python3.11" / "site-packages" / "a-1.dist-info").mkdir(parents=True)
    environment = {"PATH": str(tmp_path), "VIRTUAL_ENV": str(active)}
    before = dict(tools.fingerprints(("make",), environment, tmp_path / "top"))
    assert set(before) == {f"{home} ({what})" for home in (".venv", "env") for what in ("python", "packages")}
    (active / "lib" / "python3.11" / "site-packages" / "b-1.dist-info").mkdir()
    after = dict(tools.fingerprints(("make",), environment, tmp_path / "top"))
    assert {name for name in after if after[name] != before[name]} == {"env (packages)"}
