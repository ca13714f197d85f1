"""A checkpoint that installs from an index on loopback: trouble that passes is waited out, an index that stays dead is let be."""

import base64
import contextlib
import hashlib
import io
import socket
import struct
import threading
import zipfile

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


WHEEL = "tiny-1.0-py3-none-any.whl"
# Without retries of its own pip says only with -vv why an index gave nothing.
PIP = "-m pip install -vv --isolated --disable-pip-version-check --no-cache-dir --retries 0 --timeout 2 --upgrade"
SETTINGS = """checkpoints = ["install"]
first-delay = "0.05s"
longest-delay = "0.05s"
[checkpoint.install]
evidence = "exit"
"""


def wheel() -> bytes:
    """A package with one module that says hello."""
    files = {
        "tiny.py": b"HELLO = 'hello'\n",
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    files["tiny-1.0.dist-info/RECORD"] = ("".join(lines) + "tiny-1.0.dist-info/RECORD,,\n").encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


class Index(ThreadingHTTPServer):
    """A package index that gets into each of its troubles once, whoever asks for the wheel; then it works."""

    daemon_threads = True

    def __init__(self, *troubles: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.troubles = list(troubles)
        self.wheel = wheel()
        self.over = threading.Event()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    """One request of pip's."""

    server: Index

    def do_GET(self) -> None:
        """Answer, or get into trouble."""
        if not self.path.endswith(".whl"):
            self._send(200, f'<!DOCTYPE html><a href="/files/{WHEEL}">{WHEEL}</a>'.encode(), "text/html")
            return
        trouble = self.server.troubles.pop(0) if self.server.troubles else ""
        if trouble == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif trouble == "stall":
            self.server.over.wait(60)
        elif trouble == "503":
            self._send(503, b"", "text/plain")
        else:
            self._send(200, self.server.wheel, "application/octet-stream")

    def _send(self, code: int, body: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if code == 503:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """One that was reset has no stream left to be flushed."""
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True

    def finish(self) -> None:
        """The same, at the end."""
        with contextlib.suppress(OSError, ValueError):
            super().finish()


@pytest.fixture
def index() -> Iterator[Index]:
    """An index in three kinds of trouble."""
    with Index("reset", "stall", "503") as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.over.set()
        made.shutdown()


def installing(port: int, retries: int) -> dict[str, str]:
    """A project whose checkpoint installs a package from that index, and uses it."""
    install = f"\t@{{python}} {PIP} -i http://127.0.0.1:{port}/simple/ --target site tiny\n"
    use = "\t@PYTHONPATH=site {python} -c 'import tiny; print(tiny.HELLO)'\n"
    return {
        "Makefile": f".PHONY: install\ninstall:\n{install}{use}",
        "orxaq.toml": f"{SETTINGS}retries = {retries}\n",
        ".gitignore": "site/\n__pycache__/\n",
    }


def test_an_index_that_recovers(project: Callable[..., Any], index: Index) -> None:
    """It resets, stalls and answers 503, each for one attempt; the fourth installs, and the run is flaky."""
    here = project(installing(index.port, retries=3))
    ran = here.gate()
    attempts = ran.outcomes["install"]["attempts"]
    causes = [attempt["diagnosis"]["cause"] for attempt in attempts]
    assert causes == ["transient", "transient", "transient", "passed"], ran.err
    assert (ran.code, ran.record["verdict"]) == (0, "flaky")
    assert (here.top / "site" / "tiny.py").exists()
    assert "passed at attempt 4" in ran.outcomes["install"]["why"]


def test_an_index_that_is_dead_for_good(project: Callable[..., Any]) -> None:
    """Three gates end as infrastructure, the fourth is skipped in words, and a new commit is tried at once."""
    with Index() as gone:
        port = gone.port
    here = project(installing(port, retries=1))
    for _ in range(3):
        ran = here.gate()
        assert (ran.code, len(ran.outcomes["install"]["attempts"])) == (4, 2), ran.err
    skipped = here.gate()
    assert (skipped.code, skipped.record["verdict"]) == (5, "skipped"), skipped.err
    assert not skipped.outcomes["install"]["attempts"]
    words = skipped.outcomes["install"]["why"]
    assert "3 failures in a row" in words
    assert words.startswith("not run before ")
    assert "ERROR: Could not find a version" in words
    assert "3 failures in a row" in (here.top / ".orxaq" / "report.md").read_text(encoding="utf-8")
    here.write({"new.txt": "x"})
    here.commit()
    assert here.gate().code == 4
