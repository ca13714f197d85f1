"""The rules in force: the user's own before the shipped ones, which are read when a failure has to be judged."""

import tomllib

from functools import cache
from pathlib import Path

from ..core import rulebook
from ..model import Rule


@cache
def shipped() -> tuple[Rule, ...]:
    """Every shipped rule, in the order of their files' names."""
    files = sorted(Path(__file__).parent.glob("*.toml"))
    return tuple(
        rulebook.read(table) for file in files for table in tomllib.loads(file.read_text(encoding="utf-8"))["signature"]
    )


def in_force(own: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The user's rules, then the shipped ones whose place no rule of the user's takes, by its id or a former one."""
    taken = {rule.id for rule in own}
    return (*own, *(rule for rule in shipped() if taken.isdisjoint((rule.id, *rule.aliases))))
