"""Archives of Java programs."""

import mmap
import os
import sys

from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from pytest_orxaq.repository.jars import Jars
from pytest_orxaq.repository.territory import survey
from pytest_orxaq.system import census


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="observes processes by /proc")


def test_an_archive_is_looked_into_once(tmp_path: Path) -> None:
    """What it holds is known from then on; one that is closed meanwhile may have held anything."""
    (tmp_path / "libjvm.so").write_text("x")
    archive = tmp_path / "app.jar"
    with ZipFile(archive, "w") as file:
        file.writestr("Main.class", "")
    seen = census.look_at(os.getpid(), offset=0.0)
    assert seen is not None
    jars, territory = Jars(), survey([])
    with (tmp_path / "libjvm.so").open("rb") as library, archive.open("rb") as opened:
        machine = mmap.mmap(library.fileno(), 0, prot=mmap.PROT_READ)
        java = replace(seen, opened=((opened.fileno(), str(archive)),))
        assert not jars.bring_jgit(java, territory)
        archive.write_bytes(b"torn")
        assert not jars.bring_jgit(java, territory)
        assert Jars().bring_jgit(java, territory)
        assert jars.bring_jgit(replace(seen, opened=((10**6, str(archive)),)), territory)
        machine.close()
