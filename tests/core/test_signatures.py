"""What git, make and programs with a network say: the rules' own examples, real sentences, and hostile text."""

import time

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_orxaq.core.signatures import (
    RULES,
    git_lock_complaint,
    make_failures,
    missing_target,
    nothing_done,
    transient_line,
)


PERMANENT = (
    "remote: Repository not found.",
    "fatal: Authentication failed for 'https://example.org/x.git/'",
    "fatal: unable to access 'https://example.org/x.git/': SSL certificate problem: certificate has expired",
    "git@example.org: Permission denied (publickey).",
    "Host key verification failed.",
    "ERROR: No matching distribution found for nonsense",
    "ERROR: Could not find a version that satisfies the requirement x==99 (from versions: 1.0, 2.0)",
    "npm error code E404",
    "npm error 404 Not Found - GET https://registry.example/x",
    "E: Unable to locate package x",
    "E: Failed to fetch http://deb.example.org/x.deb  404  Not Found [IP: 192.0.2.1 80]",
    "Error response from daemon: unauthorized: authentication required",
    'error: failed to select a version for the requirement `x = "^9"`',
    "No space left on device",
    # words of tests and of other programs
    "E   TimeoutError: timed out",
    "E   ConnectionResetError: [Errno 104] Connection reset by peer",
    "requests.exceptions.ConnectionError: ('Connection aborted.', RemoteDisconnected('closed'))",
    "assert response.status == 200, 'curl: (28) Connection timed out'",
    "503 Service Unavailable",
    "Connection refused",
    "test_retry_after_429 PASSED",
)


@pytest.mark.parametrize(
    ("id", "text"),
    [pytest.param(rule.id, text, id=f"{rule.id}-{at}") for rule in RULES for at, text in enumerate(rule.matches)],
)
def test_examples_that_match(id: str, text: str) -> None:
    """Each example is recognised by its own rule, amid other output, and the whole line is quoted."""
    signature = transient_line(f"noise\n{text}\r\nnoise\n")
    assert signature is not None
    assert (signature.id, signature.line) == (id, text.splitlines()[-1].strip())
    assert signature.advice
    assert signature.program


@pytest.mark.parametrize("text", sorted({*PERMANENT, *(text for rule in RULES for text in rule.misses)}), ids=repr)
def test_examples_that_do_not_match(text: str) -> None:
    """What a retry cannot mend, and what is only said in passing, matches no rule at all."""
    assert transient_line(f"noise\n{text}\nnoise\n") is None


def test_rules_are_sound() -> None:
    """Every rule has a name of its own, an example, and a needle that its examples contain."""
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(rule.matches and all(rule.needle in text for text in rule.matches) for rule in RULES)


CURL = "curl: (28) Connection timed out after 10001 milliseconds"
NO_INDEX = "ERROR: Could not find a version that satisfies the requirement x (from versions: none)"
RETRIED = "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{RETRIED}\n{NO_INDEX}", NO_INDEX),
        (f"{NO_INDEX}\n{RETRIED}\n", ""),
        (f"{NO_INDEX}\n{RETRIED}\n{NO_INDEX}\n", NO_INDEX),
        (f"{NO_INDEX}\n{NO_INDEX} x\n", ""),
        (f"say {CURL}\n{CURL}\n", CURL),
        (f"{CURL}\nsay {CURL}\n", CURL),
    ],
    ids=["above", "below", "between", "nowhere", "after another line", "before another line"],
)
def test_a_line_is_judged_by_what_stands_above_it(text: str, line: str) -> None:
    """What must stand above does not stand below, and a line that only looks alike hides no other one."""
    signature = transient_line(text)
    assert (signature.line if signature else "") == line


@pytest.mark.parametrize("before", ["", "noise\n" * 2000], ids=["first line", "after much"])
@pytest.mark.parametrize("after", ["", "\nnoise\n"], ids=["last line", "more follows"])
def test_lines_are_read_wherever_they_stand(before: str, after: str) -> None:
    """Neither the first nor the last line is passed over, with colours or without, and each is read once."""
    red = "\x1b[1m\x1b[31m{}\x1b[0m"
    lines = ["make: *** [a] Error 1", "make: make: [b]", "make: *** [c] Error 2"]
    text = before + "\n".join((lines[0], lines[1], red.format(lines[2]))) + after
    assert [(failure.target, failure.line) for failure in make_failures(text)] == [("a", lines[0]), ("c", lines[2])]
    assert git_lock_complaint(before + red.format(LOCKED[0]) + after) == LOCKED[0]
    assert git_lock_complaint(f"{before}{LOCKED[0]}\n{LOCKED[1]}{after}") == LOCKED[1]


def test_the_last_trouble_is_named() -> None:
    """Of several complaints the last one is the likeliest to have decided."""
    one, other = RULES[0].matches[0], "curl: (28) Connection timed out after 10001 milliseconds"
    for text, last in ((f"{one}\n{other}\n", other), (f"{other}\n{one}\n", one)):
        signature = transient_line(text)
        assert signature is not None
        assert signature.line == last


LOCKED = (
    "fatal: Unable to create '/x/.git/index.lock': File exists.",
    "error: cannot lock ref 'refs/heads/a': Unable to create '/x/.git/refs/heads/a.lock': File exists.",
    "error: could not lock config file .git/config: File exists",
    "error: cannot lock ref 'refs/remotes/origin/a': is at 0123abc but expected 4567def",
    "Another git process seems to be running in this repository, e.g.",
    # sentences from git's po/, words from glibc's po/
    "Schwerwiegend: Konnte '/x/.git/index.lock' nicht erstellen: Die Datei existiert bereits.",
    "fatal : Impossible de créer '/x/.git/index.lock'\xa0: Le fichier existe.",
    "fatal: No se puede crear '/x/.git/index.lock': El fichero ya existe.",
    "fatale: Impossibile creare '/x/.git/index.lock': File già esistente.",
    "fatal: Incapaz de criar '/x/.git/index.lock': O ficheiro existe.",
    'ödesdigert: Kunde inte skapa "/x/.git/index.lock": Filen existerar.',
    "błąd krytyczny: Nie można utworzyć „/x/.git/index.lock”: Plik istnieje.",
    "критическая ошибка: Не удалось создать «/x/.git/index.lock»: Файл существует.",
    "ölümcül: '/x/.git/index.lock' oluşturulamıyor: Dosya var.",
    "치명적: '/x/.git/index.lock' 파일을 만들 수 없습니다: 파일이 있습니다.",
    "致命错误：无法创建 '/x/.git/index.lock'：文件已存在。",
    "致命錯誤: 無法建立 '/x/.git/index.lock'：檔案已存在。",
)
NOT_LOCKED = (
    "fatal: Unable to create '/x/.git/index.lock': Permission denied",
    "fatal: Unable to create '/x/.git/index.lock': Read-only file system",
    "fatal: Unable to create '/x/.git/index.lock': No such file or directory",
    "error: the lock file '/x/Cargo.lock' needs to be updated but --locked was passed",
    "error: cannot lock ref 'refs/heads/a': 'refs/heads/a/b' exists; cannot create 'refs/heads/a'",
    "FileExistsError: [Errno 17] File exists: '/x/.git/index.lock'",
    "cp: cannot create regular file: File exists",
    "index.lock",
)


@pytest.mark.parametrize("line", LOCKED, ids=repr)
def test_git_locked(line: str) -> None:
    """Git's complaint about a lock is recognised, in whatever language."""
    assert git_lock_complaint(f"before\n{line}\nafter\n") == line


@pytest.mark.parametrize("line", NOT_LOCKED, ids=repr)
def test_git_not_locked(line: str) -> None:
    """Other trouble with lock files is no lock that someone holds."""
    assert git_lock_complaint(f"before\n{line}\nafter\n") == ""


MAKE = {
    "make: *** [Makefile:2: lint] Error 5": ("lint", 5, None, False),
    "make: *** [lint] Error 5": ("lint", 5, None, False),
    "make[1]: *** [sub/a.mk:12: out/x.o] Error 1": ("out/x.o", 1, None, False),
    "/usr/bin/make: *** [Makefile:2: t] Error 137": ("t", 137, None, False),
    "mingw32-make.exe: *** [C:/x/Makefile:2: t] Error 2": ("t", 2, None, False),
    "make: *** [Makefile:2: lint] Fehler 5": ("lint", 5, None, False),
    "make: *** [Makefile:2 : lint] Erreur 5": ("Makefile:2 : lint", 5, None, False),
    "make: [Makefile:2: lint] Error 1 (ignored)": ("lint", 1, None, True),
    "make: [Makefile:2: lint] Fehler 1 (ignoriert)": ("lint", 1, None, True),
    "make: [Makefile:2: lint] Error 1": ("lint", 1, None, False),
    "make: *** [Makefile:2: lint] Error 1 (odd)": ("lint", 1, None, False),
    "make: *** [Makefile:2: t] Killed": ("t", None, "SIGKILL", False),
    "gmake: *** [Makefile:2: t] Killed: 9": ("t", None, "SIGKILL", False),
    "make: *** [Makefile:2: t] Terminated": ("t", None, "SIGTERM", False),
    "make: *** [Makefile:2: t] Segmentation fault (core dumped)": ("t", None, "SIGSEGV", False),
    "make: [Makefile:2: t] Segmentation fault (core dumped) (ignored)": ("t", None, "SIGSEGV", True),
    "make: [Makefile:2: t] Segmentation fault (core dumped)": ("t", None, "SIGSEGV", False),
    "make: *** [Makefile:2: t] Aborted": ("t", None, "SIGABRT", False),
    "make: *** [Makefile:2: out/[x]] Error 1": ("out/[x]", 1, None, False),
}


@pytest.mark.parametrize("line", MAKE, ids=repr)
def test_make_failures(line: str) -> None:
    """Make says which recipe failed, and how; an ignored failure is told apart."""
    (failure,) = make_failures(f"noise\n{line}\nnoise")
    assert (failure.target, failure.code, failure.signal_name, failure.ignored) == MAKE[line]
    assert failure.line == line


@pytest.mark.parametrize(
    "line",
    [
        "make: *** [Makefile:3: foo] Deleting file 'foo'",
        "make: *** No rule to make target 'x'.  Stop.",
        "make: *** Waiting for unfinished jobs....",
        "make: Entering directory '/x'",
        "cmake: [a] Error",
        "we make: *** [x] Error 1",
    ],
)
def test_other_words_of_make(line: str) -> None:
    """Make's other lines are no failures of recipes."""
    assert make_failures(line) == ()


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("make: *** No rule to make target 'lint'.  Stop.", True),
        ("make: *** No rule to make target `lint'.  Stop.", True),
        ("make: *** No rule to make target 'a.c', needed by 'a.o'.  Stop.", True),
        ("make: *** No targets specified and no makefile found.  Stop.", True),
        ("make: *** No targets.  Stop.", True),
        ("No rule to make target 'lint'.  Stop.", False),
        ("echo make: *** No targets.  Stop.", False),
    ],
)
def test_missing_target(line: str, missing: bool) -> None:
    """Make says that it knows no such target."""
    assert missing_target(f"noise\n{line}\n") == (line if missing else "")


@pytest.mark.parametrize(
    ("line", "nothing"),
    [
        ("make: 'test' is up to date.", True),
        ("make: `test' is up to date.", True),
        ("make[1]: Nothing to be done for 'test'.", True),
        ("make: 'tests' is up to date.", False),
        ("make: Nothing to be done for 'lint'.", False),
        ("'test' is up to date.", False),
    ],
)
def test_nothing_done(line: str, nothing: bool) -> None:
    """Make says that it ran nothing for this very target."""
    assert nothing_done(f"noise\n{line}\n", "test") == (line if nothing else "")


HOSTILE = {
    "one long line": "make: *** [" * 500_000,
    "one long line of locks": "'.lock': " * 500_000,
    "lines of locks": ("'x.lock': " * 140 + "\n") * 500,
    "lines of make": ("make: *** [" * 130 + "\n") * 500,
    "lines of brackets": ("make: *** [" + "x] " * 450 + "\n") * 300,
    "lines of needles": "".join(f"{rule.needle}\n" for rule in RULES) * 300,
    "lines of references": ("error: cannot lock ref '" + "a: cannot lock ref '" * 60 + "\n") * 300,
    "lines of apt": ("E: Failed to fetch x  " + "Connection " * 130 + "\n") * 300,
    "lines of docker": ("Error response from daemon: Get https://x: " + "i/o timeou" * 130 + "\n") * 300,
    "lines of Maven": ("[ERROR] " + "Could not transfer artifact a from/to b (c): " * 30 + "\n") * 300,
    "lines of Go": ("go: " + 'Get "https://x": dial tcp: ' * 50 + "\n") * 300,
    "lines of pnpm": ("ERR_PNPM_META_FETCH_FAIL GET x: " * 45 + "\n") * 300,
    "lines of yarn": ('error An unexpected error occurred: "' + 'Request failed \\"502 ' * 60 + "\n") * 300,
    "repeated needles": "".join(f"{rule.needle * 20}\n" for rule in RULES) * 20,
    "colours": ("make\x1b[" + "0" * 1400 + "\n") * 300,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_output_takes_linear_time(text: str) -> None:
    """Long lines and masses of lookalikes are read in seconds; quadratic time would be hours."""
    started = time.process_time()
    git_lock_complaint(text)
    make_failures(text)
    missing_target(text)
    nothing_done(text, "test")
    transient_line(text)
    assert time.process_time() - started < 20


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet="make: *[]Error1'.lock\n\x1b", max_size=200), st.text(max_size=10))
def test_any_text_is_read(text: str, target: str) -> None:
    """No text makes the readers fail, and what they quote comes from it."""
    assert all(failure.line in text.replace("\x1b", "") or "\x1b" in text for failure in make_failures(text))
    git_lock_complaint(text)
    missing_target(text)
    nothing_done(text, target)
    transient_line(text)
