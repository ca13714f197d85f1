"""The page in a real browser: nothing is fetched, nothing complains, the verdict is seen at once."""

import re
import shutil
import subprocess

from pathlib import Path

import pytest

from pytest_orxaq import demonstration, gate
from pytest_orxaq.cli import console


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
]
MEASURE = """<script>window.addEventListener("load", () => {
  const box = document.querySelector("h1").getBoundingClientRect();
  document.title = [box.top, box.bottom, innerHeight, document.documentElement.scrollWidth, innerWidth].join(" ");
});</script></body>"""


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a run with trouble of every kind."""
    import io
    import os
    import sys

    place = tmp_path_factory.mktemp("demo") / "shop"
    demonstration.build(place, python=sys.executable)
    finished = gate.run(gate.Request(directory=place, keep_going=True), console.Plain(io.StringIO()), os.environ)
    assert demonstration.missed(finished.record) == ()
    assert finished.report is not None
    return finished.report


def browse(path: Path, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a page in headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def test_nothing_is_fetched_or_run(page: Path) -> None:
    """No script, no reference to anything outside, and a policy that forbids both."""
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["'](?!#|data:)""", text)
    assert "url(" not in text


def test_no_console_message(page: Path, tmp_path: Path) -> None:
    """The browser has nothing to say about the page."""
    done = browse(page, tmp_path, "--dump-dom")
    assert "<h1" in done.stdout
    assert "CONSOLE" not in done.stderr


@pytest.mark.parametrize("size", ["1280,800", "390,844"])
def test_the_verdict_is_above_the_fold(page: Path, tmp_path: Path, size: str) -> None:
    """At a desk and on a telephone the verdict is seen without scrolling, and nothing scrolls sideways."""
    copy = tmp_path / "measured.html"
    text = re.sub(r"<meta[^>]*Content-Security-Policy[^>]*>", "", page.read_text(encoding="utf-8"))
    copy.write_text(text.replace("</body>", MEASURE), encoding="utf-8")
    done = browse(copy, tmp_path, f"--window-size={size}", "--dump-dom")
    found = re.search(r"<title>([\d. -]+)</title>", done.stdout)
    assert found, done.stderr[-2000:]
    top, bottom, height, width, inner = map(float, found[1].split())
    assert 0 <= top < bottom <= height
    assert width <= inner
