"""The configuration: what is read, and how mistakes are told."""

import json
import os

from pathlib import Path

import pytest

import pytest_orxaq.config as module

from pytest_orxaq.actions import Action
from pytest_orxaq.config import load
from pytest_orxaq.core import rulebook
from pytest_orxaq.errors import ConfigError
from pytest_orxaq.model import Checkpoint, EvidenceKind, ReleasePolicy, Rule, Settings


LINT = Checkpoint(name="lint", command=("make", "lint"), evidence=EvidenceKind.FINDINGS)
TEST = Checkpoint(name="test", command=("make", "test"), evidence=EvidenceKind.TESTS)


def project(top: Path, text: str) -> Settings:
    """The settings from a pyproject.toml."""
    (top / "pyproject.toml").write_text(text)
    return load(top, {})


def told(top: Path, text: str) -> str:
    """What is said of a pyproject.toml that is refused."""
    with pytest.raises(ConfigError) as caught:
        project(top, text)
    return str(caught.value)


def test_defaults(tmp_path: Path) -> None:
    """Without a file, lint and test are run by make within half an hour."""
    assert load(tmp_path, {}) == Settings(table=(LINT, TEST))
    assert project(tmp_path, '[project]\nname = "x"\n') == Settings(table=(LINT, TEST))
    assert project(tmp_path, "[tool.other]\n") == Settings(table=(LINT, TEST))


FULL = """
deadline = "1h30m"
checkpoints = ["lint", "unit"]
deep = ["fuzz"]
first-delay = 0
longest-delay = 7.5

[locks]
release = "proof"
min-age = "10m"
exclusive = true

[checkpoint.unit]
command = "tool --flag 'two words'"
timeout = "90s"
evidence = "tests"
junit = ["build/*.xml"]
retries = 0
environment = { DEBUG = "1" }
key-environment = ["DATABASE"]

[checkpoint.extra]
command = ["true"]
"""


def test_every_key(tmp_path: Path) -> None:
    """Every key is read, from either file alike."""
    unit = Checkpoint(
        name="unit",
        command=("tool", "--flag", "two words"),
        evidence=EvidenceKind.TESTS,
        timeout=90.0,
        junit=("build/*.xml",),
        retries=0,
        environment=(("DEBUG", "1"),),
        key_environment=("DATABASE",),
    )
    fuzz = Checkpoint(name="fuzz", command=("make", "fuzz"), evidence=EvidenceKind.EXIT)
    extra = Checkpoint(name="extra", command=("true",), evidence=EvidenceKind.EXIT)
    expected = Settings(
        deadline=5400.0,
        checkpoints=("lint", "unit"),
        deep=("fuzz",),
        table=(LINT, unit, fuzz, extra),
        first_delay=0.0,
        longest_delay=7.5,
        origin="orxaq.toml",
        lock_release=ReleasePolicy.PROOF,
        lock_min_age=600.0,
        lock_exclusive=True,
    )
    (tmp_path / "orxaq.toml").write_text(FULL)
    assert load(tmp_path, {}) == expected
    (tmp_path / "orxaq.toml").unlink()
    found = project(tmp_path, "[tool.orxaq]\n" + FULL.replace("\n[", "\n[tool.orxaq."))
    assert found.origin == "pyproject.toml"
    assert found.table == expected.table


def test_settings_beside_a_project(tmp_path: Path) -> None:
    """orxaq.toml counts where pyproject.toml has no settings; an empty one beside settings does no harm."""
    (tmp_path / "orxaq.toml").write_text("deadline = 60\n")
    assert project(tmp_path, "[tool.other]\n").deadline == 60
    (tmp_path / "orxaq.toml").write_text("# nothing\n")
    assert project(tmp_path, "[tool.orxaq]\ndeadline = 50\n").deadline == 50


def test_two_files(tmp_path: Path) -> None:
    """Settings in both files are refused, and both are named."""
    (tmp_path / "orxaq.toml").write_text("deadline = 60\n")
    said = told(tmp_path, "[project]\n\n[tool.orxaq]\n")
    assert said.startswith("pyproject.toml:3: there are settings in [tool.orxaq] and in orxaq.toml too")


def test_checkpoints_from_the_environment(tmp_path: Path) -> None:
    """ORXAQ_CHECKPOINTS overrides what is run by default; an empty one does not."""
    (tmp_path / "orxaq.toml").write_text('deep = ["fuzz"]\n')
    found = load(tmp_path, {"ORXAQ_CHECKPOINTS": " test, fuzz ,test"})
    assert found.checkpoints == ("test", "fuzz")
    assert found.deep == ()
    assert [checkpoint.name for checkpoint in found.table] == ["test", "fuzz", "lint"]
    assert load(tmp_path, {"ORXAQ_CHECKPOINTS": ""}).checkpoints == ("lint", "test")


@pytest.mark.parametrize(("names", "what"), [("--x", "cannot be the name"), (" , ", "names no checkpoint")])
def test_nonsense_from_the_environment(tmp_path: Path, names: str, what: str) -> None:
    """What ORXAQ_CHECKPOINTS cannot mean is refused by that name."""
    with pytest.raises(ConfigError, match=f"ORXAQ_CHECKPOINTS: .*{what}"):
        load(tmp_path, {"ORXAQ_CHECKPOINTS": names})


def test_the_likely_meant_key(tmp_path: Path) -> None:
    """A misspelt key is told with file, line, table and what was meant."""
    text = "\n" * 10 + '[tool.orxaq.checkpoint.test]\ncommand = [\n "make"]\ntimeuot = "3s"\n'
    said = told(tmp_path, text)
    assert said == 'pyproject.toml:14: unknown key "timeuot" in [tool.orxaq.checkpoint.test]; did you mean "timeout"?'


REFUSED = {
    "[tool.orxaq]\nfirst_delay = 1": ('2: unknown key "first_delay" in [tool.orxaq]; did you mean "first-delay"?',),
    "[tool.orxaq]\nzzz = 1": ("2: unknown key", "known are deadline, checkpoints"),
    "[tool]\norxaq = 3": ("2: [tool.orxaq] must be a table",),
    "tool = 3": ("1: [tool] must be a table",),
    "[tool.orxaq]\ndeadline = '-5s'": ("2: deadline: '-5s' is not a duration",),
    "[tool.orxaq]\ndeadline = -5": ("2: deadline: a duration cannot be negative",),
    "[tool.orxaq]\ndeadline = 0": ("2: deadline must be longer than nothing",),
    "[tool.orxaq]\ndeadline = true": ("2: deadline: true is not a duration",),
    "[tool.orxaq]\nfirst-delay = []": ("2: first-delay: a duration is text",),
    "[tool.orxaq]\nfirst-delay = 60": ("2: first-delay is longer than longest-delay",),
    "[tool.orxaq]\ncheckpoints = []": ("2: checkpoints is empty: nothing would be checked",),
    "[tool.orxaq]\ncheckpoints = 'test'": ("2: checkpoints must be a list of text",),
    "[tool.orxaq]\ncheckpoints = ['', 'a']": ("2: checkpoints must be a list of text",),
    "[tool.orxaq]\ncheckpoints = ['a', 'a']": ('2: "a" is in checkpoints more than once',),
    "[tool.orxaq]\ncheckpoints = ['-k']": ('2: "-k" cannot be the name of a checkpoint', "letters"),
    "[tool.orxaq]\ndeep = ['test']": ('2: "test" is in checkpoints and in deep',),
    "[tool.orxaq]\ntemplates = '../x'": ("2: templates must be a folder's path below the repository's top",),
    "[tool.orxaq]\ncheckpoint = 1": ("2: checkpoint must be a table of tables",),
    "[tool.orxaq.checkpoint]\ntest = 1": ("2: [tool.orxaq.checkpoint.test] must be a table",),
    '[tool.orxaq.checkpoint."../x"]': ('1: "../x" cannot be the name of a checkpoint',),
    '[tool.orxaq.checkpoint."a\\nb"]': ('1: "a\\nb" cannot be the name of a checkpoint',),
    "[tool.orxaq.checkpoint.a]\ncommand = []": ("2: command is empty",),
    "[tool.orxaq.checkpoint.a]\ncommand = ''": ("2: command is empty",),
    "[tool.orxaq.checkpoint.a]\ncommand = ['', 'x']": ("2: command is empty",),
    "[tool.orxaq.checkpoint.a]\ncommand = ['x', 1]": ("2: command must be a list of text, or text",),
    "[tool.orxaq.checkpoint.a]\ncommand = 1": ("2: command must be a list of text, or text",),
    "[tool.orxaq.checkpoint.a]\ncommand = 'a \"b'": ("2: command: no closing quotation",),
    "[tool.orxaq.checkpoint.a]\ntimeout = 0": ("2: timeout must be longer than nothing",),
    "[tool.orxaq.checkpoint.a]\nevidence = 'test'": ('2: unknown evidence "test"; did you mean "tests"?',),
    "[tool.orxaq.checkpoint.a]\nevidence = [1]": ('2: unknown evidence "[1]"; known are tests, findings, exit',),
    "[tool.orxaq.checkpoint.a]\njunit = ['/x']": ('2: junit: "/x" leads out of the work tree',),
    "[tool.orxaq.checkpoint.a]\njunit = ['a/../x']": ("2: junit:", "leads out of the work tree"),
    "[tool.orxaq.checkpoint.a]\nretries = -1": ("2: retries must be a whole number from 0 to 100",),
    "[tool.orxaq.checkpoint.a]\nretries = true": ("2: retries must be a whole number",),
    "[tool.orxaq.checkpoint.a]\nenvironment = 1": ("2: environment must be a table",),
    "[tool.orxaq.checkpoint.a]\nenvironment = {A = 1}": ('2: A must be text, such as "1"',),
    "[tool.orxaq.checkpoint.a]\n[tool.orxaq.checkpoint.a.environment]\nA = 1": ("3: A must be text",),
    "[tool.orxaq.checkpoint.a]\nenvironment = {ORXAQ_X = '1'}": ("2: ORXAQ_X is the gate's own",),
    "[tool.orxaq.checkpoint.a]\nkey-environment = ['A=B']": ('2: "A=B" cannot be the name of a variable',),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    """Every mistake is told with its line and in words about it."""
    said = told(tmp_path, text)
    assert said.startswith(f"pyproject.toml:{REFUSED[text][0]}")
    for part in REFUSED[text]:
        assert part in said


LINES = {
    "after text of many lines": ('a = """\n[tool.orxaq]\nzzz = 1\n"""\n[tool.orxaq]\nzzz = 1\n', 6),
    "after a list of many lines": ("a = [\n 1,\n # ]\n 2]\n[tool.orxaq]\nzzz = 1\n", 6),
    "in a dotted key": ("tool.orxaq.checkpoint.a.zzz = 1\n", 1),
    "in an inline table": ("x = 1\n[tool]\norxaq = {checkpoint = {a = {zzz = 1}}}\n", 3),
    "under a quoted header": ('["tool" . orxaq.checkpoint."a"]\n\nzzz = 1\n', 3),
    "beside tables of a list": ("[[x]]\nzzz = 1\n[[x]]\nzzz = 1\n[tool.orxaq]\nzzz = 1\n", 6),
    "after a line separator that TOML does not know": ("# \u2028 \x0b\n[tool.orxaq]\nzzz = 1\n".replace("\x0b", ""), 3),
    "with Windows line ends": ("[tool.orxaq]\r\ndeadline = 5\r\nzzz = 1\r\n", 3),
    "in the first of two places": ("[tool.orxaq.zzz]\na = 1\n[tool.orxaq.zzz.b]\n", 1),
}


@pytest.mark.parametrize(("text", "line"), LINES.values(), ids=LINES)
def test_lines_are_right(tmp_path: Path, text: str, line: int) -> None:
    """The line is right however the file is written."""
    (tmp_path / "pyproject.toml").write_bytes(text.encode())
    with pytest.raises(ConfigError, match=rf'^pyproject\.toml:{line}: unknown key "zzz"'):
        load(tmp_path, {})


def test_the_wrong_form_of_orxaq_toml(tmp_path: Path) -> None:
    """Who writes [tool.orxaq] into orxaq.toml is told how that file is written."""
    (tmp_path / "orxaq.toml").write_text("[tool.orxaq]\n")
    with pytest.raises(ConfigError, match=r"orxaq.toml:1: unknown key .* without .tool.orxaq."):
        load(tmp_path, {})


BROKEN = {
    "syntax": (b"a = 1\nb = \n", "pyproject.toml:2: not valid TOML"),
    "unclosed": (b"a = 1\nb = [", "pyproject.toml:2: not valid TOML"),
    "depth": (b"a = " + b"[" * 100_000, "pyproject.toml: nested too deeply"),
    "encoding": (b"a = 1\nb = '\xff'\n", "pyproject.toml:2: not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbfa = 1\n", "pyproject.toml:1: begins with a byte order mark"),
}


@pytest.mark.parametrize(("data", "what"), BROKEN.values(), ids=BROKEN)
def test_broken_files(tmp_path: Path, data: bytes, what: str) -> None:
    """A file that is no TOML is refused with the place, whether it holds settings of ours or not."""
    (tmp_path / "pyproject.toml").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert str(caught.value).startswith(what)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A folder or a pipe of that name is refused, and not waited for."""
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(ConfigError, match=r"pyproject\.toml is not a file"):
        load(tmp_path, {})
    (tmp_path / "pyproject.toml").rmdir()
    os.mkfifo(tmp_path / "orxaq.toml")
    with pytest.raises(ConfigError, match=r"orxaq\.toml is not a file"):
        load(tmp_path, {})


def test_locks(tmp_path: Path) -> None:
    """A policy that is none is refused with the line and what was likely meant."""
    words = told(tmp_path, '[tool.orxaq.locks]\nmin-age = "1m"\nrelease = "Never"\n')
    assert words == 'pyproject.toml:3: unknown release "Never"; did you mean "never"?'
    for value in ('"yes"', "1"):
        words = told(tmp_path, f'[tool.orxaq.locks]\nrelease = "proof"\nexclusive = {value}\n')
        assert words == "pyproject.toml:3: exclusive must be true or false"
    words = told(tmp_path, '[tool.orxaq.locks]\nmin_age = "1m"\n')
    assert words == 'pyproject.toml:2: unknown key "min_age" in [tool.orxaq.locks]; did you mean "min-age"?'
    assert "locks" in told(tmp_path, "[tool.orxaq]\nlocks = 3\n")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """A file that cannot be reached is refused, not taken for missing."""
    (tmp_path / "pyproject.toml").symlink_to("pyproject.toml")
    with pytest.raises(ConfigError, match=r"pyproject\.toml cannot be read: Too many levels"):
        load(tmp_path, {})


# ---------------------------------------------------------------- signatures

MIRROR = """
[[signature]]
id = "mirror-busy"
program = ["fetch", "make"]
action = "retry"
regex = 'mirror: busy, \\d++ waiting'
needle = "mirror: busy"
advice = "The mirror is busy at noon."
matches = ["mirror: busy, 3 waiting"]
misses = ["mirror: busy, leave"]
"""
QUOTA = """
[[signature]]
id = "quota"
program = "make"
action = "no-retry"
exit = 77
advice = "Ask for more quota."
"""


def test_signatures(tmp_path: Path) -> None:
    """Signatures are read from either file, in their order."""
    mirror = Rule(
        id="mirror-busy",
        programs=("fetch", "make"),
        action=Action.RETRY,
        regex=r"mirror: busy, \d++ waiting",
        needles=("mirror: busy",),
        advice="The mirror is busy at noon.",
        matches=("mirror: busy, 3 waiting",),
        misses=("mirror: busy, leave",),
    )
    quota = Rule(id="quota", programs=("make",), action=Action.NO_RETRY, exits=(77,), advice="Ask for more quota.")
    (tmp_path / "orxaq.toml").write_text(MIRROR + QUOTA)
    assert load(tmp_path, {}).signatures == (mirror, quota)
    (tmp_path / "orxaq.toml").unlink()
    assert project(tmp_path, (MIRROR + QUOTA).replace("[[", "[[tool.orxaq.")).signatures == (mirror, quota)


BAD_SIGNATURES = {
    "an unknown key": (
        MIRROR.replace("needle", "neddle"),
        7,
        'unknown key "neddle" in a signature; did you mean "needle"',
    ),
    "an unknown action": (MIRROR.replace('"retry"', '"rety"'), 5, 'unknown action "rety"; did you mean "retry"'),
    "no regex": (MIRROR.replace("busy, ", "busy( "), 6, "regex: not a regular expression: missing )"),
    "a slow regex": (MIRROR.replace("busy, ", "(busy, )*"), 6, "a group is repeated more than 16 times"),
    "an example that it does not know": (
        MIRROR.replace('"mirror: busy, 3', '"mirror: busy: 3'),
        9,
        'it does not know "mirror',
    ),
    "a counter-example that it knows": (MIRROR.replace("leave", "4 waiting"), 10, "misses: it knows"),
    "without a program": (QUOTA.replace('program = "make"', ""), 6, "an exit code means nothing without a program"),
    "without an id": (QUOTA.replace('id = "quota"', ""), 2, "a signature needs an id of small letters"),
    "of the second": (MIRROR + QUOTA.replace("77", "777"), 16, "exit must be a whole number from 1 to 255"),
    "two of one name": (MIRROR + QUOTA.replace("quota", "mirror-busy"), 13, 'two signatures with the id "mirror-busy"'),
    "a table": (QUOTA.replace("[[", "[").replace("]]", "]"), 2, "signature must be a list of tables"),
    "in one line": ('signature = [{id = "a", action = "retry", exits = 1}]', 1, 'unknown key "exits" in a signature'),
    "no table": ('signature = ["a"]', 1, "a signature must be a table"),
}


@pytest.mark.parametrize(("text", "line", "words"), BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_signatures_that_make_no_sense(tmp_path: Path, text: str, line: int, words: str) -> None:
    """A mistake in a signature is told with its own line, also in a later one; its examples are tried."""
    (tmp_path / "orxaq.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    said = str(caught.value)
    assert said.startswith(f"orxaq.toml:{line}: "), said
    assert words in said


def test_the_schema_knows_the_same_keys() -> None:
    """The published schema and the reader agree on every key and on the kinds of evidence."""
    schema = json.loads(Path(module.__file__).with_name("config.schema.json").read_text())
    checkpoint = schema["$defs"]["checkpoint"]
    assert tuple(schema["properties"]) == module.GATE_KEYS
    assert tuple(checkpoint["properties"]) == module.CHECKPOINT_KEYS
    assert checkpoint["properties"]["evidence"]["enum"] == [kind.value for kind in EvidenceKind]
    signature = schema["$defs"]["signature"]
    assert set(signature["properties"]) == set(rulebook.KEYS)
    assert signature["properties"]["action"]["enum"] == [action.value for action in Action]
    assert signature["additionalProperties"] is False
    locks = schema["properties"]["locks"]
    assert tuple(locks["properties"]) == module.LOCK_KEYS
    assert locks["properties"]["release"]["enum"] == [policy.value for policy in ReleasePolicy]
    assert checkpoint["properties"]["retries"]["maximum"] == module.MOST_RETRIES
    assert schema["additionalProperties"] is checkpoint["additionalProperties"] is False
