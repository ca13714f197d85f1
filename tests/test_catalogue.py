"""The shipped signatures: each is sound and true to its examples, and together they know the logs of others."""

import re
import runpy
import tomllib

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pytest_orxaq import config
from pytest_orxaq.actions import Action
from pytest_orxaq.catalogue.shipped import in_force, shipped
from pytest_orxaq.core import rulebook
from pytest_orxaq.core.signatures import Facts, applies, recognise
from pytest_orxaq.model import Rule


ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "signatures.md").read_text(encoding="utf-8")
DATA = Path(__file__).parent / "core" / "data"
FILES = {file.stem: file.read_text(encoding="utf-8") for file in sorted(DATA.glob("log_lines*.toml"))}
BATCHES: dict[str, list[dict[str, Any]]] = {name: tomllib.loads(text)["line"] for name, text in FILES.items()}
LOGS = [line for batch in BATCHES.values() for line in batch]


def hopeful(text: str) -> bool:
    """Whether a failure with this output would be tried again."""
    found = recognise(Facts(text=text), shipped()).decisive
    return found is not None and not found.action.permanent


EXAMPLES = [
    pytest.param(rule, text, id=f"{rule.id}-{at}") for rule in shipped() for at, text in enumerate(rule.matches)
]
COUNTER = [pytest.param(rule, text, id=f"{rule.id}-{at}") for rule in shipped() for at, text in enumerate(rule.misses)]


@pytest.mark.parametrize(("rule", "text"), EXAMPLES)
def test_examples_that_match(rule: Rule, text: str) -> None:
    """Each example is known to its own rule, amid other output, and among all rules no other one decides."""
    assert applies(rule, f"noise\n{text}\r\nnoise\n")
    seen = recognise(Facts(text=f"noise\n{text}\r\nnoise\n"), shipped())
    known = seen.passive[-1] if rule.passive else seen.decisive
    assert known is not None
    assert (known.rule, known.line) == (rule.id, text.splitlines()[-1].strip())
    assert known.number == len(text.split("\n")) + 1


@pytest.mark.parametrize(("rule", "text"), COUNTER)
def test_examples_that_do_not_match(rule: Rule, text: str) -> None:
    """A rule does not know its counter-examples; and where it would have had hope, no other rule has."""
    assert not applies(rule, f"noise\n{text}\nnoise\n")
    assert rule.action.permanent or not hopeful(text)


@pytest.mark.parametrize("rule", shipped(), ids=lambda rule: rule.id)
def test_every_rule_is_sound(rule: Rule) -> None:
    """A shipped rule would be taken from a user too: it has advice, needles, and a regex whose time is bounded."""
    rulebook.doubt(rule)
    assert rule.source
    assert rule.advice.endswith(".")
    assert all(any(needle in text for needle in rule.needles) for text in rule.matches)


def test_every_rule_has_a_name_of_its_own() -> None:
    """No two rules bear one id, now or formerly; there are many, for every kind of program."""
    names = [name for rule in shipped() for name in (rule.id, *rule.aliases)]
    assert len(set(names)) == len(names)
    assert len(shipped()) >= 80
    programs = {program for rule in shipped() for program in rule.programs}
    assert programs >= {
        "git",
        "ssh",
        "curl",
        "wget",
        "pip",
        "uv",
        "npm",
        "apt",
        "docker",
        "make",
        "pytest",
        "cargo",
        "go",
    }
    assert {rule.action for rule in shipped()} >= set(Action) - {Action.IGNORE}


def test_a_rule_of_the_users_takes_the_place_of_a_shipped_one() -> None:
    """By its id, or by one that it once had; any other of the user's goes before all."""
    first = next(rule for rule in shipped() if rule.aliases)
    own = Rule(id="own", action=Action.RETRY, advice="x")
    assert in_force((own,)) == (own, *shipped())
    for id in (first.id, *first.aliases):
        taken = Rule(id=id, action=Action.RETRY, advice="x")
        assert in_force((taken,)) == (taken, *(rule for rule in shipped() if rule is not first))


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


@pytest.mark.parametrize("text", PERMANENT, ids=repr)
def test_what_is_said_in_passing_gives_no_hope(text: str) -> None:
    """What a retry cannot mend, and words of tests and of other programs, are no reason to try again."""
    assert not hopeful(f"noise\n{text}\nnoise\n")


LOCKED = (
    "fatal: Unable to create '/x/.git/index.lock': File exists.",
    "error: cannot lock ref 'refs/heads/a': Unable to create '/x/.git/refs/heads/a.lock': File exists.",
    "error: could not lock config file .git/config: File exists",
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
    found = recognise(Facts(text=f"before\n{line}\nafter\n"), shipped()).decisive
    assert found is not None
    assert (found.action, found.line, found.number) == (Action.REPAIR, line, 2)


def test_a_lost_race_is_no_lock() -> None:
    """A reference that another git moved stands in nobody's way: the same again goes well, and nothing is to be cleared."""
    line = "error: cannot lock ref 'refs/remotes/origin/a': is at 0123abc but expected 4567def"
    found = recognise(Facts(text=line), shipped()).decisive
    assert found is not None
    assert found.action is Action.RETRY


@pytest.mark.parametrize("line", NOT_LOCKED, ids=repr)
def test_git_not_locked(line: str) -> None:
    """Other trouble with lock files is no lock that someone holds."""
    assert not hopeful(f"before\n{line}\nafter\n")


# ---------------------------------------------------------------- the logs of others


LATER = [name for name in BATCHES if name != "log_lines"]


def score(lines: list[dict[str, Any]], *, at_first: bool) -> dict[str, Counter[str]]:
    """By program: right and wrong on transient and permanent lines, today or when the rules first saw them."""
    table: dict[str, Counter[str]] = {}
    for line in lines:
        right = hopeful(line["text"]) is (line["kind"] == "transient")
        right = right and not (at_first and line.get("missed", False))
        for program in (line["program"], "all"):
            table.setdefault(program, Counter())[f"{line['kind']}, {'right' if right else 'wrong'}"] += 1
    return table


def shown(table: dict[str, Counter[str]]) -> str:
    """A score as a table."""
    rows = [f"{'':10} transient        permanent"]
    for program, counts in sorted(table.items()):
        parts = []
        for kind in ("transient", "permanent"):
            right, wrong = counts[f"{kind}, right"], counts[f"{kind}, wrong"]
            parts.append(f"{right:3} of {right + wrong:3} right")
        rows.append(f"{program:10} {'  '.join(parts)}")
    return "\n".join(rows)


def recall(counts: Counter[str]) -> float:
    """The part of the transient lines that was known."""
    return counts["transient, right"] / (counts["transient, right"] + counts["transient, wrong"])


def test_the_logs_of_others() -> None:
    """Of real lines none that is permanent gives hope, and nine in ten of the transient do."""
    total = score(LOGS, at_first=False)
    held_out = [line for line in LOGS if line.get("held_out", False)]
    parts = {
        "all": total,
        "held out": score(held_out, at_first=False),
        "held out, by the rules before they were widened": score(held_out, at_first=True),
        **{f"{name}, at first sight": score(BATCHES[name], at_first=True) for name in LATER},
    }
    for name, table in parts.items():
        print(f"\n{name}:\n{shown(table)}")  # noqa: T201 - what `pytest -rP` shows of a pass
    assert total["all"]["permanent, wrong"] == 0, [
        line["text"] for line in LOGS if line["kind"] == "permanent" and hopeful(line["text"])
    ]
    assert recall(total["all"]) >= 0.9, [
        line["text"] for line in LOGS if line["kind"] == "transient" and not hopeful(line["text"])
    ]


@pytest.mark.parametrize("name", LATER)
def test_a_batch_says_how_the_rules_did_at_first_sight(name: str) -> None:
    """The count at the head of a later batch is that of its marks, all of its lines were held out, and each is new."""
    counts = score(BATCHES[name], at_first=True)["all"]
    said = re.search(r"transient (\d+) of (\d+) right, permanent (\d+) of (\d+) right", FILES[name])
    assert said is not None
    right, wrong = counts["transient, right"], counts["transient, wrong"]
    kept, lost = counts["permanent, right"], counts["permanent, wrong"]
    assert [int(number) for number in said.groups()] == [right, right + wrong, kept, kept + lost]
    assert right + wrong >= 40
    assert all(line["held_out"] for line in BATCHES[name])


def test_the_lines_are_what_they_claim_to_be() -> None:
    """Each line names where it stands, is there once, and half of them are held out."""
    assert len(LOGS) >= 200
    assert len({line["text"].strip() for line in LOGS}) == len(LOGS)
    assert all(line["source"] and line["kind"] in {"transient", "permanent"} for line in LOGS)
    assert sum(line.get("held_out", False) for line in LOGS) * 2 >= len(LOGS)
    assert all(line["held_out"] for line in LOGS if line.get("missed", False))


# ---------------------------------------------------------------- the page


def test_the_page_lists_what_is_shipped() -> None:
    """docs/signatures.md lists every shipped rule as it is; `python tests/shipped_rules.py` writes the list anew."""
    script = runpy.run_path(str(ROOT / "tests" / "shipped_rules.py"))
    assert PAGE.partition(script["HEADING"])[2] == script["listed"]()


def test_the_page_shows_signatures_that_are_taken(tmp_path: Path) -> None:
    """The signatures that the page shows can be copied, in either file, and it names every key and action."""
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "orxaq.toml").write_text(block, encoding="utf-8")
    shown = config.load(tmp_path, {}).signatures
    assert [rule.id for rule in shown] == ["mirror-busy", "licence-server"]
    busy = Facts(text="fetch-data: mirror eu-2 is busy, 3 waiting\n")
    assert (found := recognise(busy, in_force(shown)).decisive) is not None
    assert found.rule == "mirror-busy"
    assert all(f"`{key}`" in PAGE for key in (*rulebook.KEYS, *Action))
