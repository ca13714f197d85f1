"""The page in a real browser: it fetches nothing, complains of nothing, and shows the verdict without scrolling."""

import functools
import http.server
import json
import re
import shutil
import signal
import subprocess
import threading

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_orxaq.model import RunRecord
from pytest_orxaq.report.render import write

from . import records


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

SIZES = [(1280, 800), (390, 844)]
RUNS = {
    "failed": records.failing_run(),
    "passed": records.passing_run(),
    "cut-off": records.of_every_verdict()[-1],
    "hostile": records.everywhere(records.failing_run(), lambda text: f"<b>|`\x1b[31m{'w' * 300}\u202e{text}"),
}

# Put into a copy of the page, from which the policy was taken: the page itself runs no script.
MEASURE = """<script>addEventListener("load", () => {
  const rect = (e) => { const r = e.getBoundingClientRect(); return {top: r.top, bottom: r.bottom, left: r.left, right: r.right}; };
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const luminance = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b; };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c.slice(0, 3); }
    return [255, 255, 255]; };
  document.querySelectorAll("details").forEach((e) => { e.open = true; });
  let contrast = 99, faintest = "";
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), [a, b] = [luminance(parse(style.color).slice(0, 3)), luminance(ground(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < contrast) { contrast = ratio; faintest = e.tagName + "." + e.className; }
  }
  parent.postMessage(JSON.stringify({verdict: rect(document.querySelector("h1")), width: innerWidth, height: innerHeight,
    scroll: document.documentElement.scrollWidth, contrast, faintest, dark: matchMedia("(prefers-color-scheme: dark)").matches}), "*");
});</script>"""

# A window cannot be as narrow as a phone; a frame can.
FRAME = """<!DOCTYPE html><body><script>addEventListener("message", (event) => {
  const out = document.createElement("meta");
  out.name = "measured";
  out.content = event.data;
  document.head.append(out);
});</script><iframe src="measured.html" width="%d" height="%d" style="border: 0"></iframe></body>"""


def browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a fresh headless browser."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--window-size=1400,1000", "--enable-logging=stderr", "--log-level=0", *arguments,
    ]  # fmt: skip
    started = (
        subprocess.run(
            [*command, f"--user-data-dir={folder / profile}"],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=90,
        )
        for profile in ("profile", "profile-2", "profile-3")
    )
    # As root it gives itself threads with real-time priority, which the kernel ends on a busy machine (SIGXCPU).
    done = next(each for each in started if each.returncode != -signal.SIGXCPU)
    assert done.returncode == 0, done.stderr
    return done


def report(folder: Path, record: RunRecord) -> Path:
    """The page of a record."""
    source = folder / "tree" / "shop" / "cart.py"
    source.parent.mkdir(parents=True)
    source.write_text(records.CART)
    return write(record, folder / "out", top=folder / "tree", now=records.NOW).html


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A server on loopback for the folder, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Remember the request."""
            del format
            asked.append(str(args[0]))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


@pytest.mark.parametrize("name", ["failed", "hostile"])
def test_no_request_and_no_complaint(name: str, tmp_path: Path, served: tuple[str, list[str]]) -> None:
    """Served over HTTP the page asks for nothing but itself, no icon either, and the console stays empty."""
    address, asked = served
    report(tmp_path, RUNS[name])
    done = browse(tmp_path, "--dump-dom", f"{address}/out/report.html")
    assert "<h1>" in done.stdout
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert asked == ["GET /out/report.html HTTP/1.1"]


def test_the_policy_is_in_force(tmp_path: Path) -> None:
    """A script, a picture or a style that got into the page after all would be refused, and the console tells."""
    page = report(tmp_path, RUNS["failed"])
    page.write_text(
        page.read_text().replace(
            "</body>", '<script>document.title = "ran"</script><style>h1{color:red}</style></body>'
        )
    )
    done = browse(tmp_path, "--dump-dom", f"file://{page}")
    assert "<title>ran</title>" not in done.stdout
    refused = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "Content Security Policy" in line]
    assert len(refused) == 2


def measured(folder: Path, record: RunRecord, size: tuple[int, int], *arguments: str) -> dict[str, object]:
    """What a script finds in a copy of the page that allows scripts."""
    page = report(folder, record)
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    copy = page.with_name("measured.html")
    copy.write_text(text.replace("</head>", MEASURE + "</head>"))
    frame = page.with_name("frame.html")
    frame.write_text(FRAME % size)
    dom = browse(folder, "--dump-dom", *arguments, f"file://{frame}").stdout
    found = re.search(r'<meta name="measured" content="([^"]*)"', dom)
    assert found is not None
    values: dict[str, object] = json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))
    return values


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
@pytest.mark.parametrize("name", RUNS)
def test_the_verdict_is_seen_at_once(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    """The verdict stands above the fold, nothing has to be scrolled sideways, and all text has contrast, folded text too."""
    seen = measured(tmp_path, RUNS[name], size)
    verdict = seen["verdict"]
    assert isinstance(verdict, dict)
    assert (seen["width"], seen["dark"]) == (size[0], False)
    assert verdict["top"] >= 0
    assert verdict["bottom"] <= size[1] * (0.95 if name == "hostile" else 0.4)
    assert verdict["right"] <= size[0]
    assert seen["scroll"] == size[0]
    contrast = seen["contrast"]
    assert isinstance(contrast, float)
    assert contrast >= 4.5, seen["faintest"]


def test_the_dark_page_has_contrast(tmp_path: Path) -> None:
    """Readers who prefer dark pages get one, and can read it."""
    seen = measured(tmp_path, RUNS["failed"], SIZES[0], "--blink-settings=preferredColorScheme=0")
    contrast = seen["contrast"]
    assert isinstance(contrast, float)
    assert seen["dark"] is True
    assert contrast >= 4.5, seen["faintest"]


def test_the_printed_page_unfolds(tmp_path: Path) -> None:
    """On paper the folded parts are there: the print is longer by them."""
    page = report(tmp_path, RUNS["failed"])
    pages = {}
    for name, text in {
        "ours": page.read_text(),
        "folded": re.sub(r"details::details-content \{.*?\}", "", page.read_text()),
    }.items():
        copy = page.with_name(f"{name}.html")
        copy.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text))
        browse(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / name}.pdf", f"file://{copy}")
        pages[name] = len(re.findall(rb"/Type\s*/Page\b", (tmp_path / f"{name}.pdf").read_bytes()))
    assert pages["ours"] > pages["folded"]
