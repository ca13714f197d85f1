"""The list of shipped signatures in docs/signatures.md. Usage: python tests/shipped_rules.py   (writes it anew)."""

from collections.abc import Iterator
from pathlib import Path

from pytest_orxaq.catalogue.shipped import shipped
from pytest_orxaq.model import Rule


PAGE = Path(__file__).parent.parent / "docs" / "signatures.md"
HEADING = "## Those that are shipped\n"


def listed() -> str:
    """What stands under the heading: a table by action, in the order in which the rules count."""
    actions = dict.fromkeys(rule.action for rule in shipped())
    return "".join(f"\n### {action}\n\n{''.join(_table(action))}" for action in actions)


def _table(action: str) -> Iterator[str]:
    yield "| id | program | known by | advice |\n|---|---|---|---|\n"
    for rule in shipped():
        if rule.action == action:
            programs = ", ".join(rule.programs) or "any"
            yield f"| {rule.id}{' (passive)' * rule.passive} | {programs} | {_known_by(rule)} | {_plain(rule.advice)} |\n"


def _known_by(rule: Rule) -> str:
    if rule.matches:
        return f"`{_plain(rule.matches[0].splitlines()[-1])}`"
    codes = ["exit code", *map(str, rule.exits)] * bool(rule.exits)
    return " ".join((*codes, *rule.signals, *rule.errnos, *rule.exceptions))


def _plain(text: str) -> str:
    return text.strip().replace("|", "\\|").replace("`", "'")


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
    PAGE.write_text(f"{before}{HEADING}{listed()}", encoding="utf-8")
