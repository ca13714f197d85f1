"""What stands before a program's own words in a line of a log: who carried the line, and who passes the words on.

Rules know the words that a program itself prints, from the start of a line. In logs these stand behind times, numbers of
steps and names of containers, and behind the "error:" of a program that passes on what another one told it.
"""

import re

from collections.abc import Iterator
from functools import cache


_MOST = 8  # prefixes on a line; with more of them it is no line of a log
# A warning is no level here: it is no failure, and its words stay behind it.
_LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|ERRO?R?|CRITICAL|FATAL|SEVERE)"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = r"(?:Z| ?[+-]\d\d:?\d\d| UTC)?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_MODULE = r"[a-z_]\w*+(?:\.\w++)+(?::| [-|:])? "
_LOGGER = rf"(?:\[\w{{1,12}}\] |std(?:err|out) F )?[\[(<]?(?i:{_LEVEL})[\])>]?:?\s+(?:[|-] )?(?:{_MODULE})?"

# Of what carries lines: times, loggers behind a time, steps of builds, names of containers, the kernel's log.
_CARRIERS = (
    rf"[\[(]?(?:\d{{4}}[-/]\d\d[-/]\d\d[T ])?{_CLOCK}{_ZONE}[\])]?(?: ?[-|:])?\s+(?:{_LOGGER})?",
    rf"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?{_MONTH} [ \d]\d {_CLOCK} (?:\S{{1,64}} )?(?:[\w./-]{{1,64}}(?:\[\d{{1,8}}\])?: )?",
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


@cache
def _one_of(shapes: tuple[str, ...]) -> re.Pattern[str]:
    # Compiled at first use: most starts of the program read no output at all.
    return re.compile("|".join(shapes))


def forms(line: str, *, passed_on: bool) -> Iterator[str]:
    """A line of a log as it is, then without what carried it; with *passed_on* also without each "error:" before it."""
    yield line
    rest = line.rpartition("\r")[2].lstrip()  # what a meter drew is written over
    if rest != line:
        yield rest
    shapes = _one_of(_CARRIERS + _VOICES * passed_on)
    for _ in range(_MOST):
        prefix = shapes.match(rest)
        if not prefix:
            break
        rest = rest[prefix.end() :].lstrip()
        yield rest
