"""How a test's faults come into what pytest reports of it: a section where it failed, and properties of its JUnit case."""

from collections.abc import Generator
from pathlib import Path

import pytest

from . import leaks, leftovers
from .troubles import Faults


_LEFTOVERS = pytest.StashKey[leftovers.Leftovers]()
_FAULTS = pytest.StashKey[Faults]()
_BEFORE = pytest.StashKey[leaks.Snapshot]()
_WATCH = pytest.StashKey[leaks.Watch]()
_PASSED = pytest.StashKey[bool]()  # whether the test's own code has passed

_PLUGIN = "orxaq-fault-reports"
SHOWN = 50  # events, of a test with more the first and the last
_SECTION = "faults (pytest-orxaq)"
_EVENT, _SEED = "orxaq.fault", "orxaq.fault_seed"  # names of properties


def attend(config: pytest.Config) -> None:
    """Watch the tests from here on; once is enough."""
    if not config.pluginmanager.has_plugin(_PLUGIN):
        config.pluginmanager.register(_Reporting(), _PLUGIN)


def enlist(item: pytest.Item, seed: int, folder: Path) -> Faults:
    """Begin the faults of a test; with those of the first one, dead runs are cleared up after."""
    config = item.config
    attend(config)
    if _LEFTOVERS not in config.stash:
        config.stash[_LEFTOVERS] = leftovers.begin()
        config.add_cleanup(config.stash[_LEFTOVERS].close)
        # Before that: of a test that was interrupted, nobody has asked what `no_leaks` would find.
        config.add_cleanup(config.stash[_LEFTOVERS].end_started)
    faults = Faults(
        seed=seed,
        name=_name(item),
        folder=folder,
        leftovers=config.stash[_LEFTOVERS],
        require=config.getoption("orxaq_require_faults"),
    )
    item.stash[_FAULTS], item.stash[_PASSED] = faults, False
    return faults


def watch(item: pytest.Item, faults: Faults) -> None:
    """Have what the test leaves behind found, once all its fixtures are undone."""
    project, before = item.config.rootpath, item.stash.get(_BEFORE, None)
    item.stash[_WATCH] = leaks.Watch(project, faults.folder, faults.mark, before)


def _name(item: pytest.Item) -> str:
    """The test's name, the same wherever it runs: a worker of pytest-xdist appends its group."""
    group = hasattr(item.config, "workerinput") and item.get_closest_marker("xdist_group")
    return item.nodeid.rpartition("@")[0] if group and "@" in item.nodeid else item.nodeid


class _Reporting:
    """Watches the reports of tests that have faults."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Have the report say which faults there were, in order, and with which seed."""
        faults = item.stash.get(_FAULTS, None)
        if faults is None:
            return (yield)
        events = _some(_told(faults))
        _replace(item.user_properties, faults.seed, events)
        report = yield
        if call.when == "call":
            item.stash[_PASSED] = report.passed
        if report.failed:
            # First: of many sections, reports show the first ones.
            report.sections.insert(0, (_SECTION, "\n".join([*events, _repeat(faults.seed)])))
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """See what there is before any fixture of a test that is to leave nothing."""
        if "no_leaks" in getattr(item, "fixturenames", ()):
            item.stash[_BEFORE] = leaks.Snapshot.take(item.config.rootpath)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None]:
        """See what is left when all is undone: fixtures are, in whatever order they were asked for."""
        yield
        watched = item.stash.get(_WATCH, None)
        if watched is not None:
            del item.stash[_WATCH]
            left = watched.leaks()
            if left:
                pytest.fail("\n".join(["Left behind:", *left]), pytrace=False)


def _replace(properties: list[tuple[str, object]], seed: int, events: list[str]) -> None:
    """Say it in the item's properties, in place of what was said earlier: of this attempt, or of one before."""
    properties[:] = [pair for pair in properties if pair[0] not in {_EVENT, _SEED}]
    properties.append((_SEED, str(seed)))
    properties.extend((_EVENT, event) for event in events)


def _told(faults: Faults) -> list[str]:
    """What happened, event by event; pytest as a whole must not end of a log that cannot be read."""
    try:
        return [str(event) for event in faults.log]
    except Exception as error:  # noqa: BLE001 - whatever a source raises
        return [f"(what happened cannot be told: {type(error).__name__}: {error})"]


def _some(events: list[str]) -> list[str]:
    """As many as somebody reads, numbered."""
    lines = [f"{number}. {event}" for number, event in enumerate(events, 1)]
    if len(lines) <= SHOWN:
        return lines
    half = SHOWN // 2
    return [*lines[:half], f"… {len(lines) - SHOWN} more …", *lines[-half:]]


def _repeat(seed: int) -> str:
    return f"The same again: --orxaq-fault-seed={seed}"


def complaint(item: pytest.Item) -> str:
    """What is to be said against a test when its faults are undone; empty if nothing."""
    faults = item.stash[_FAULTS]
    idle = faults.unfired() if item.stash[_PASSED] else []
    why = "What was to meet it did not come that way; required=False allows that."
    if faults.robbed:
        why = f"Or nobody can know: the test has removed {faults.folder / '.orxaq'}, where calls are counted."
    unmet = [f"Never fired: {words}. {why}" for words in idle]
    return "\n".join([*faults.complaints, *unmet])
