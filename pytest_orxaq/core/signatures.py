"""What a failure looks like to rules that know it, and make's own words.

A retry is bought with these rules, so each is anchored to the form in which the program itself prints its complaint. A
word such as "timeout" alone proves nothing: tests print it too. What a retry cannot mend (not found, not allowed, an
expired certificate) is known as well, and outweighs what the same program complains of beside it.
"""

import re

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from ..actions import Action
from ..model import Rule, Signature


_LONGEST_LINE = 1500  # characters; with the bound on a rule's regex this keeps the time linear in the text


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeFailure:
    """A recipe that failed, in make's words."""

    target: str
    code: int | None
    signal_name: str | None
    ignored: bool
    line: str


@cache
def _shape(pattern: str) -> re.Pattern[str]:
    # Compiled at first use: most starts of the program read no output at all.
    return re.compile(pattern)


def _lines_with(text: str, needle: str) -> Iterator[tuple[int, str]]:
    """Lines that contain the needle, each once, with their offsets; monstrous lines are left out."""
    at = text.find(needle)
    while at >= 0:
        start = text.rfind("\n", 0, at) + 1
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if end - start <= _LONGEST_LINE:
            yield start, text[start:end]
        at = text.find(needle, end)


def _plain(line: str) -> str:
    """A line without colours and the blanks around it."""
    return _shape(r"\x1b\[[0-?]*[ -/]*[@-~]").sub("", line).strip()


def _unnumbered(line: str) -> str:
    """A plain line without the numbers that docker build writes before what the commands in it print."""
    return _shape(r"\A(?:#\d{1,5} )?\d{1,6}\.\d{1,3} ").sub("", _plain(line)).strip()


# ---------------------------------------------------------------- what stands before a program's words


# Rules know the words that a program itself prints, from the start of a line. In logs these stand behind times, numbers
# of steps and names of containers, and behind the "error:" of a program that passes on what another one told it.
_MOST_PREFIXES = 8  # prefixes on a line; with more of them it is no line of a log
# A warning is no level here: it is no failure, and its words stay behind it.
_LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|ERRO?R?|CRITICAL|FATAL|SEVERE)"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = r"(?:Z| ?[+-]\d\d:?\d\d| UTC)?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_MODULE = r"[a-z_]\w*+(?:\.\w++)+(?::| [-|:])? "
_DAY = rf"(?:\d{{4}}[-/]\d\d[-/]\d\d|\d\d-{_MONTH}-\d{{4}})"
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?"
# Behind a time: a level, which may be the program's own "fatal:", and a logger; a machine and a program in syslog's manner.
_LOGGER = rf"(?:\[\w{{1,12}}\] |std(?:err|out) F )?[\[(<]?(?i:{_LEVEL})[\])>]?:?\s+(?:[|-] )?(?:{_MODULE})?"
_SENDER = r"[\w.-]{1,64} [\w./-]{1,64}(?:\[\d{1,8}\])?: |[a-z][\w.-]{1,40}: (?=[EW]: )"

# Of what carries lines: times, steps of builds, names of containers, the kernel's log.
_CARRIERS = (
    rf"(?P<time>[\[(]?(?:[a-z]{{1,12}} (?=\d{{4}}-))?(?:{_DAY}[T ])?{_CLOCK}{_ZONE}[\])]?(?: ?[-|:])?\s+|{_WEEKDAY}{_MONTH} [ \d]\d {_CLOCK} )",
    r"[EWIF]\d{4} \d\d:\d\d:\d\d\.\d{1,9} +\d{1,9} [\w.-]{1,64}:\d{1,6}\] ",
    r"kernel: |(?:<\d{1,3}>)?\[ {0,8}\d{1,8}\.\d{3,6}\] ",
    r"#\d{1,5} (?:\d{1,6}\.\d{1,3} )?|\d{1,6}\.\d{1,3} (?=\D)|=> => # |Step \d{1,3}/\d{1,3} : ",
    r"##\[\w{1,12}\]|::(?:error|warning|notice|debug)(?: [^:]{1,200})?::",
    r"[A-Za-z][\w.-]{0,60} {1,20}\| |[^\t]{1,80}\t[^\t]{1,80}\t(?=\d{4}-)",
    r"\[\d{1,3}(?:;\d{1,3}){0,4}[A-GJKSTm]|\[\d{1,6}/\d{1,6}\] ",
)
# Of those who pass on what another program said. Not among them: "E   ", "- ", "+ " and "? ", by which tests show values.
_VOICES = (
    rf"(?i:[\[(]{_LEVEL}[\])]:? {{1,3}}|[\[(]std(?:err|out)[\])]:? |(?:{_LEVEL}|std(?:err|out)): {{1,3}}'?)",
    r"(?:npm|lerna) (?:ERR!|error) |(?:ERROR|Error|error|stderr|STDERR|stdout) (?=[a-z])",
    r"(?i:caused by): ?|(?i:command output|error output|error message|reason|cause|details|fatal error): ",
    r"[×✗✖✘❌│┃|] {1,3}|[├╰└│][─━]*[▶>]? {1,3}|=+> |> (?=\S)|\d{1,2}: (?=\w)",
    r"E: ?(?=\S)|remote: |pip: |git: ",
)


def _forms(line: str, *, passed_on: bool) -> Iterator[str]:
    """A line of a log as it is, then without what carried it; with *passed_on* also without each "error:" before it."""
    yield line
    rest = line.rpartition("\r")[2].lstrip()  # what a meter drew is written over
    if rest != line:
        yield rest
    usual = "|".join(_CARRIERS + _VOICES * passed_on)
    behind_time = "|".join((*_CARRIERS, _LOGGER, _SENDER) + _VOICES * passed_on)
    shape = usual
    for _ in range(_MOST_PREFIXES):
        prefix = _shape(shape).match(rest)
        if not prefix:
            break
        rest = rest[prefix.end() :].lstrip()
        yield rest
        shape = behind_time if prefix.lastgroup == "time" else usual


# ---------------------------------------------------------------- recognise


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a failure."""

    text: str = ""  # of the output, what tests had no hand in
    program: str = ""  # that ended so; its name without a folder
    exit: int | None = None
    signal: str = ""  # the name of the one that ended it
    errno: str = ""  # the name of the error that it ended with, or could not start for
    exceptions: tuple[str, ...] = ()  # names of types, the outermost first, with module unless built in


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """What the rules make of a failure."""

    decisive: Signature | None = None
    passive: tuple[Signature, ...] = ()


def recognise(facts: Facts, rules: Sequence[Rule]) -> Recognition:
    """The signature that decides, if any does: types before exit codes and signals, these before lines of text.

    Of rules that know the same line the first in order counts. A permanent failure outweighs, wherever it is said,
    what the same program complains of beside it. Of what is left a git lock comes first, then the last line.
    """
    told, lines = _found(facts, [rule for rule in rules if not rule.passive])
    noticed = [each for found in _found(facts, [rule for rule in rules if rule.passive]) for each in found]
    found = told + sorted(lines, key=lambda each: (each.action is not Action.REPAIR, -each.number))
    final = [each for each in found if each.action.permanent]
    final.sort(key=lambda each: each.action is not Action.ENVIRONMENT)  # what else is said may be said because of it
    hopeful = [each for each in found if not each.action.permanent and not _outweighed(each, final)]
    # A program that failed for good may be no reason: another one's words can come from a step that may fail.
    order = [each for each in told[:1] if each.action.permanent] + hopeful + final
    return Recognition(decisive=order[0] if order else None, passive=tuple({e.rule: e for e in noticed}.values()))


def applies(rule: Rule, text: str) -> bool:
    """Whether a rule alone knows a line of this text."""
    return bool(_read(text, [rule]))


def _outweighed(hopeful: Signature, final: Iterable[Signature]) -> bool:
    return any(not each.programs or not set(each.programs).isdisjoint(hopeful.programs) for each in final)


def _found(facts: Facts, rules: Sequence[Rule]) -> tuple[list[Signature], list[Signature]]:
    """What is known by type and by end, and by lines from the top."""
    told = [*_typed(facts, rules), *_ended(facts, rules)]
    return (
        [each for each in told if each.action is not Action.IGNORE],
        [each for each in _read(facts.text, rules) if each.action is not Action.IGNORE],
    )


def _typed(facts: Facts, rules: Iterable[Rule]) -> Iterator[Signature]:
    """Rules that know the type of the exception, or of one below it, or the error's name."""
    for rule in rules:
        names = [name for name in facts.exceptions if name in rule.exceptions]
        names += [facts.errno] * (facts.errno in rule.errnos)
        if names:
            yield _signature(rule, fact=names[0])


def _ended(facts: Facts, rules: Iterable[Rule]) -> Iterator[Signature]:
    """Rules that know how the program ended."""
    for rule in rules:
        if rule.programs and facts.program not in rule.programs:
            continue
        if facts.signal in rule.signals:
            yield _signature(rule, fact=facts.signal)
        elif facts.exit in rule.exits:
            yield _signature(rule, fact=f"exit code {facts.exit}")


def _read(text: str, rules: Iterable[Rule]) -> list[Signature]:
    """Every line that a rule knows, from the top."""
    known: dict[int, tuple[Rule, str]] = {}
    for rule in rules:
        lines = _known_to(rule, text)
        if lines and not _spoilt(text, rule.unless):
            known = {offset: (rule, line) for offset, line in lines.items()} | known
    signatures, number, counted = [], 1, 0
    for offset in sorted(known):
        rule, line = known[offset]
        number, counted = number + text.count("\n", counted, offset), offset
        signatures.append(_signature(rule, line=line, number=number))
    return signatures


def _known_to(rule: Rule, text: str) -> dict[int, str]:
    found = [at for words in rule.above if (at := text.find(words)) >= 0]
    above = min(found, default=len(text) if rule.above else 0)
    return {
        offset: _plain(line)
        for needle in rule.needles
        for offset, line in _lines_with(text, needle)
        # Words that need others above them are anybody's: behind "error:" they may be those of a test.
        if above <= offset and _fits(rule.regex, line, passed_on=not rule.above)
    }


def _fits(regex: str, line: str, *, passed_on: bool) -> bool:
    """Whether a line is of this shape, be it behind what logs and other programs write before it."""
    return any(_shape(regex).fullmatch(form) for form in _forms(_plain(line), passed_on=passed_on))


def _spoilt(text: str, unless: tuple[str, ...]) -> bool:
    """Whether a line stands in the text with which a rule does not apply."""
    return any(
        _fits(regex, line, passed_on=True)
        for regex in unless
        for line in text.split("\n")
        if len(line) <= _LONGEST_LINE
    )


def _signature(rule: Rule, *, line: str = "", number: int = 0, fact: str = "") -> Signature:
    return Signature(
        rule=rule.id,
        action=rule.action,
        advice=rule.advice,
        programs=rule.programs,
        source=rule.source,
        line=line,
        number=number,
        fact=fact,
    )


# ---------------------------------------------------------------- make


_MAKE = r"(?:\S*[\\/])?[\w-]*make(?:\.exe)?(?:\[\d+\])?:"
_SIGNALS = {
    "Hangup": "SIGHUP",
    "Interrupt": "SIGINT",
    "Quit": "SIGQUIT",
    "Illegal instruction": "SIGILL",
    "Trace/breakpoint trap": "SIGTRAP",
    "Aborted": "SIGABRT",
    "Abort trap": "SIGABRT",
    "Bus error": "SIGBUS",
    "Floating point exception": "SIGFPE",
    "Killed": "SIGKILL",
    "User defined signal 1": "SIGUSR1",
    "Segmentation fault": "SIGSEGV",
    "User defined signal 2": "SIGUSR2",
    "Broken pipe": "SIGPIPE",
    "Alarm clock": "SIGALRM",
    "Terminated": "SIGTERM",
    "CPU time limit exceeded": "SIGXCPU",
    "File size limit exceeded": "SIGXFSZ",
}


def _told_by_make(text: str, needle: str) -> Iterator[str]:
    return (_unnumbered(line) for _, line in _lines_with(text, needle))


def make_failures(text: str) -> tuple[MakeFailure, ...]:
    """Every recipe that make said has failed, in order."""
    found = []
    for line in _told_by_make(text, "make"):
        match = _shape(_MAKE + r" (?:\*\*\* )?\[(?:[^\]]*:\d+: )?(.+)\] (.+)").fullmatch(line)
        failure = match and _failure(match[1], match[2], line)
        if failure:
            found.append(failure)
    return tuple(found)


def _failure(target: str, said: str, line: str) -> MakeFailure | None:
    ignored = bool(re.search(r" \([^()]*\)$", said)) and "***" not in line
    if match := _shape(r"[^\s:]+ (\d{1,3})(?: \(\S+\))?").fullmatch(said):  # Error 2, in any language
        return MakeFailure(target=target, code=int(match[1]), signal_name=None, ignored=ignored, line=line)
    word = _shape(r"(?:: \d+)?(?: \([^()]*\)){0,2}$").sub("", said)  # macOS appends the number
    if word in _SIGNALS:
        ignored = ignored and not said.endswith("(core dumped)")
        return MakeFailure(target=target, code=None, signal_name=_SIGNALS[word], ignored=ignored, line=line)
    return None


def missing_target(text: str) -> str:
    """The line by which make said that there is nothing that it could make; empty if none."""
    shapes = (
        ("No rule to make target", _MAKE + r" \*\*\* No rule to make target .+\. +Stop\."),
        ("no makefile found", _MAKE + r" \*\*\* No targets specified and no makefile found\. +Stop\."),
        ("*** No targets.", _MAKE + r" \*\*\* No targets\. +Stop\."),
    )
    for needle, pattern in shapes:
        for line in _told_by_make(text, needle):
            if _shape(pattern).fullmatch(line):
                return line
    return ""


def nothing_done(text: str, target: str) -> str:
    """The line by which make said that it ran nothing for this target; empty if none."""
    name = rf"[`'‘]?{re.escape(target)}['’]?"
    pattern = _MAKE + rf" (?:{name} is up to date\.|Nothing to be done for {name}\.)"
    for needle in (" is up to date.", "Nothing to be done for "):
        for line in _told_by_make(text, needle):
            if re.fullmatch(pattern, line):
                return line
    return ""
