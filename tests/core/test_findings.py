"""Findings and closing words of linters, as the tools print them, and lines that only look alike."""

import time

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_orxaq.core.findings import findings, linter_words
from pytest_orxaq.model import Finding


def found(line: str) -> tuple[str, int, int | None, str, str, str] | None:
    """The one finding in a line, in short."""
    all_of_them = findings(line)
    assert len(all_of_them) <= 1
    return next(((f.path, f.line, f.column, f.code, f.message, f.severity) for f in all_of_them), None)


LINES = {
    # ruff 0.14, --output-format concise
    "bad.py:1:8: F401 [*] `os` imported but unused": ("bad.py", 1, 8, "F401", "`os` imported but unused", "error"),
    "bad.py:6:1: F821 Undefined name `x`": ("bad.py", 6, 1, "F821", "Undefined name `x`", "error"),
    "syn.py:1:7: invalid-syntax: unexpected EOF": ("syn.py", 1, 7, "invalid-syntax", "unexpected EOF", "error"),
    "\x1b[1mbad.py\x1b[0m:1:8: \x1b[91mF401\x1b[0m `os`": ("bad.py", 1, 8, "F401", "`os`", "error"),
    # mypy 1.18
    'bad.py:4: error: Incompatible (got "int")  [return-value]': (
        *("bad.py", 4, None, "return-value", 'Incompatible (got "int")', "error"),
    ),
    'bad.py:6:13: note: Revealed type is "str"': ("bad.py", 6, 13, "", 'Revealed type is "str"', "note"),
    "bad.py:4:12:4:13: error: Bad  [misc]": ("bad.py", 4, 12, "misc", "Bad", "error"),
    # flake8 7, pylint 4, yamllint -f parsable
    "./a/b.py:3:1: E302 expected 2 blank lines, found 0": (
        *("./a/b.py", 3, 1, "E302", "expected 2 blank lines, found 0", "error"),
    ),
    "bad.py:1:0: C0114: Missing module docstring (missing-module-docstring)": (
        *("bad.py", 1, 0, "C0114", "Missing module docstring (missing-module-docstring)", "error"),
    ),
    'x.yaml:1:1: [warning] missing document start "---" (document-start)': (
        *("x.yaml", 1, 1, "document-start", 'missing document start "---"', "warning"),
    ),
    "x.yaml:2:1: [error] duplication of key (key-duplicates)": (
        *("x.yaml", 2, 1, "key-duplicates", "duplication of key", "error"),
    ),
    # gcc 12, clang, go vet, shellcheck -f gcc, eslint -f unix, markdownlint
    "a.c:1:27: error: ‘y’ undeclared (first use in this function)": (
        *("a.c", 1, 27, "", "‘y’ undeclared (first use in this function)", "error"),
    ),
    "a.c:1:17: warning: unused variable ‘x’ [-Wunused-variable]": (
        *("a.c", 1, 17, "", "unused variable ‘x’ [-Wunused-variable]", "warning"),
    ),
    "a.c:1:10: fatal error: x.h: No such file or directory": (
        *("a.c", 1, 10, "", "x.h: No such file or directory", "error"),
    ),
    "./main.go:5:2: undefined: x": ("./main.go", 5, 2, "", "undefined: x", "error"),
    "run.sh:2:3: note: Double quote this. [SC2086]": ("run.sh", 2, 3, "SC2086", "Double quote this.", "note"),
    "src/a.js:1:5: 'x' is unused. [Warning/no-unused-vars]": (
        *("src/a.js", 1, 5, "no-unused-vars", "'x' is unused.", "warning"),
    ),
    "src/a.js:1:5: 'x' is not defined. [Error/no-undef]": (
        *("src/a.js", 1, 5, "no-undef", "'x' is not defined.", "error"),
    ),
    "src/a.jsx:1:5: Missing key. [Warning/react/jsx-key]": (
        *("src/a.jsx", 1, 5, "react/jsx-key", "Missing key.", "warning"),
    ),
    "README.md:3 MD001/heading-increment Heading levels": None,
    "bin/tool:3:1: warning: unused": ("bin/tool", 3, 1, "", "unused", "warning"),
    "a.py:1:1: see the manual (page)": ("a.py", 1, 1, "", "see the manual (page)", "error"),
    # places
    r"C:\work\a.py:1:2: E999 bad": (r"C:\work\a.py", 1, 2, "E999", "bad", "error"),
    r"c:\work\a.py:1:2: E999 bad": (r"c:\work\a.py", 1, 2, "E999", "bad", "error"),
    "my files/a.py:1:2: E999 bad": ("my files/a.py", 1, 2, "E999", "bad", "error"),
    "a.test.js:1:2: E999 bad": ("a.test.js", 1, 2, "E999", "bad", "error"),
    "SRC/MAIN.C:1:2: error: bad": ("SRC/MAIN.C", 1, 2, "", "bad", "error"),
    "src.d/Makefile:3: warning: overriding recipe": ("src.d/Makefile", 3, None, "", "overriding recipe", "warning"),
    "\x1b]8;;file:///a.py\x1b\\a.py\x1b]8;;\x1b\\:1:2: E999 bad": ("a.py", 1, 2, "E999", "bad", "error"),
    "\x1b]8;;file:///a.py\x07a.py\x1b]8;;\x07:1:2: E999 bad": ("a.py", 1, 2, "E999", "bad", "error"),
    "\x1b(Ba.py:1:2: E999 bad": ("a.py", 1, 2, "E999", "bad", "error"),
    "\na.py:1:2: E999 bad": ("a.py", 1, 2, "E999", "bad", "error"),
    "Makefile:3: warning: overriding recipe": ("Makefile", 3, None, "", "overriding recipe", "warning"),
    "Dockerfile:3 DL3008: pin versions": None,
    "a.py:10: plain words": ("a.py", 10, None, "", "plain words", "error"),
    "a.py:7: DeprecationWarning: old": ("a.py", 7, None, "", "DeprecationWarning: old", "note"),
    # what looks alike
    "http://localhost:8080: connection refused": None,
    "https://example.org/a.py:8080: x": None,
    "localhost:8080: x": None,
    "example.com:443: refused": None,
    "10.0.0.1:8080: connected": None,
    "12:30:45: started": None,
    "2026-01-01 12:30:45: started": None,
    "INFO 12:30:45: started": None,
    "make: *** [Makefile:2: lint] Error 1": None,
    "make[1]: *** [Makefile:2: lint] Error 1": None,
    '  File "a.py", line 3, in f': None,
    "In file included from a.h:10:": None,
    "In file included from a.h:10: error: x": None,
    "from a.h:10: error: x": None,
    "File a.py:10: error: x": None,
    "at a.py:10:1: error: x": None,
    "[INFO] a.py:10: error: x": None,
    "word:10: error: x": None,
    "bin/tool:3:1: plain words": None,
    "proxy/10.0.0.1:8080: error: refused": None,
    " a.py:1:1: E501 x": None,
    "from a.h:10: x": None,
    "[INFO] a.py:10: x": None,
    "Processing done in a.py:10: x": None,
    "a.py:10:": None,
    "a.py:10:3:no blank": None,
    "a.py:0: whole file": None,
    "word:10: x": None,
    "see (a.py:10: x)": None,
    "dict(a=1):10: x": None,
    "error: a.py:10: x": None,
    " a.py:1:1: E1 x": None,
    "": None,
}


@pytest.mark.parametrize("line", LINES, ids=repr)
def test_lines(line: str) -> None:
    """A line with a place is read, and one that only looks alike is not."""
    assert found(line) == LINES[line]


RUFF = """\
F401 [*] `os` imported but unused
 --> bad.py:1:8
  |
1 | import os
  |        ^^
help: Remove unused import: `os`

\x1b[1m\x1b[91mF821\x1b[0m Undefined name `x`
 \x1b[1m\x1b[94m--> \x1b[0mmy files/bad.py:6:1
  |
invalid-syntax: unexpected EOF while parsing
 --> syn.py:1:7
unformatted: File would be reformatted
  --> bad.py:3:1
error[E0425]: cannot find value `x` in this scope
  --> src/main.rs:2:5
warning: unused variable: `y`
 --> src/main.rs:3:9
a line
 --> nowhere.py:1:1
--> nowhere.py:1:1
"""


def test_places_below_messages() -> None:
    """The full format of ruff, rustc's and ty's: the message stands above its place."""
    assert [(f.path, f.line, f.column, f.code, f.severity) for f in findings(RUFF)] == [
        ("bad.py", 1, 8, "F401", "error"),
        ("my files/bad.py", 6, 1, "F821", "error"),
        ("syn.py", 1, 7, "invalid-syntax", "error"),
        ("bad.py", 3, 1, "unformatted", "error"),
        ("src/main.rs", 2, 5, "E0425", "error"),
        ("src/main.rs", 3, 9, "", "warning"),
    ]
    assert findings(RUFF)[0].message == "`os` imported but unused"


def test_no_more_than_asked_for() -> None:
    """Findings are capped, the first ones are kept."""
    text = "".join(f"a.py:{number}:1: E1 x\n" for number in range(1, 3000))
    assert len(findings(text)) == 1000
    assert findings(text, limit=2) == tuple(
        Finding(path="a.py", line=number, column=1, code="", message="E1 x") for number in (1, 2)
    )


CLEAN = (
    ("ruff", "All checks passed!"),
    ("mypy", "Success: no issues found in 12 source files"),
    ("mypy", "\x1b[1m\x1b[32mSuccess: no issues found in 1 source file\x1b[m"),
    ("ruff", "Found 3 errors (3 fixed, 0 remaining)."),
    ("ruff", "Found 1 error (1 fixed)."),
    ("ruff format", "12 files already formatted"),
    ("ruff format", "1 file reformatted, 2 files left unchanged"),
    ("ruff format", "3 files would be left unchanged."),
    ("black", "All done! ✨ 🍰 ✨"),
    ("pylint", "Your code has been rated at 10.00/10 (previous run: 9.00/10, +1.00)"),
    ("eslint", "✖ 2 problems (0 errors, 2 warnings)"),
    ("pyright", "0 errors, 1 warning, 0 informations "),
    ("prettier", "All matched files use Prettier code style!"),
    ("golangci-lint", "0 issues."),
)
UNCLEAN = (
    ("ruff", "Found 3 errors."),
    ("ruff", "Found 3 errors (1 fixed, 2 remaining)."),
    ("mypy", "Found 2 errors in 1 file (checked 1 source file)"),
    ("mypy", "Found 1 error in 1 file (errors prevented further checking)"),
    ("ruff format", "1 file would be reformatted, 2 files already formatted"),
    ("ruff format", "2 files would be reformatted"),
    ("ruff format", "Would reformat: a.py"),
    ("ruff format", "would reformat a.py"),
    ("black", "Oh no! 💥 💔 💥"),
    ("isort", "ERROR: /x/a.py Imports are incorrectly sorted and/or formatted."),
    ("pylint", "Your code has been rated at -1.25/10"),
    ("eslint", "✖ 3 problems (2 errors, 1 warning)"),
    ("pyright", "1 error, 0 warnings, 0 informations"),
    ("prettier", "[warn] Code style issues found in 2 files. Run Prettier with --write to fix."),
    ("golangci-lint", "3 issues:"),
)


@pytest.mark.parametrize(
    ("tool", "line", "clean"), [*((*row, True) for row in CLEAN), *((*row, False) for row in UNCLEAN)], ids=repr
)
def test_closing_words(tool: str, line: str, clean: bool) -> None:
    """Known closing words say which tool it was and whether it was content."""
    (word,) = linter_words(f"noise\n{line}\nnoise\n")
    assert (word.tool, word.clean) == (tool, clean)
    assert word.line == line.replace("\x1b[1m\x1b[32m", "").removesuffix("\x1b[m").rstrip()


@pytest.mark.parametrize(
    "line",
    [
        "All checks passed",
        "we say All checks passed!",
        "Found 3 errors in the log",
        "3 problems",
        "12 files",
        "Success: yes",
    ],
)
def test_other_words(line: str) -> None:
    """Words that are nearly the same say nothing."""
    assert linter_words(line) == ()


HOSTILE = {
    "one long line": "a.py:1:1: x" * 1_000_000,
    "colons": ":" * 2_000_000,
    "lines of colons": (":1:1" * 400 + "\n") * 2_000,
    "lines of paths": ("a.py" * 300 + "\n") * 5_000,
    "almost coded": ("a.py:1:1: " + "x [" * 600 + "\n") * 500,
    "blanks": ("a.py:1:1: " + "x" + " " * 1800 + "x\n") * 1_000,
    "arrows": " --> a.py:1:1\n" * 50_000,
    "words": "Found 3 errors in\n" * 50_000,
    "links": ("\x1b]8;" * 400 + "\n") * 2_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_output_takes_linear_time(text: str) -> None:
    """Long lines and masses of lookalikes are read in seconds; quadratic time would be hours."""
    started = time.process_time()
    findings(text)
    linter_words(text)
    assert time.process_time() - started < 20


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet="ab.py:/\\ 1[]()*CE->\n\x1b", max_size=200))
def test_any_text_is_read(text: str) -> None:
    """No text makes the readers fail, and every finding has a path and a line."""
    assert all(finding.path and finding.line >= 0 for finding in findings(text))
    linter_words(text)
