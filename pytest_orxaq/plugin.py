"""The witness inside pytest, where this package is installed beside it; retries of tests; the checkpoints as test items."""

import argparse
import math
import os

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, and the settings of the same name."""
    group = parser.getgroup("orxaq")
    group.addoption(
        "--orxaq-gate",
        action="store_true",
        help="Collect the checkpoints of this repository (make lint, make test) as test items, instead of tests.",
    )
    group.addoption(
        "--orxaq-retries",
        metavar="N",
        type=_retries,
        help="Try a test again, up to N times, if it failed of a lost connection, a timeout or another error that is the"
        " machine's fault by its type, or if its marker 'transient' says so. A failed assertion without that marker is"
        " never tried again. 0: try nothing again, whatever markers say. Default: only tests with the marker.",
    )
    group.addoption(
        "--orxaq-retry-delay",
        metavar="SECONDS",
        type=_delay,
        help="Wait up to this long before the first retry of a test (default: 1). The bound doubles each time, to at most"
        " 30 s; how much of it is waited is left to chance.",
    )
    # pytest before 8.4 has no numbers in its configuration.
    has_numbers = pytest.version_tuple >= (8, 4)
    kind = "int" if has_numbers else "string"
    parser.addini("orxaq_retries", "The same as --orxaq-retries.", type=kind, default=None)  # type: ignore[arg-type]
    kind = "float" if has_numbers else "string"
    parser.addini("orxaq_retry_delay", "The same as --orxaq-retry-delay.", type=kind, default=None)  # type: ignore[arg-type]


def _retries(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"the number of retries must be a whole number from 0, not {text!r}")
    return int(text)


def _delay(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"the delay must be a number of seconds, not {text!r}")
    return seconds


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Send for the witness if a gate wants evidence; offer the checkpoints if asked to."""
    if _mailbox() and not config.pluginmanager.is_blocked("orxaq_witness"):
        # Imported here: most runs have no gate around them.
        from .carried import orxaq_witness_py3  # noqa: PLC0415

        orxaq_witness_py3.pytest_configure(config)
    config.addinivalue_line(
        "markers",
        "transient(retries=2, delay=1.0, on=(ConnectionError,)): this test may fail of what it is not to blame for: try it"
        " again, with fresh fixtures of its own; with `on`, only for these exceptions and what they cause (pytest-orxaq).",
    )
    _setting(config, "orxaq_retries", _retries)
    _setting(config, "orxaq_retry_delay", _delay)
    if config.getoption("orxaq_gate"):
        config.pluginmanager.register(_Checkpoints(), "orxaq-checkpoints")


def _setting(config: pytest.Config, name: str, read: Callable[[str], Any]) -> None:
    """Let the configuration say what the command line does not."""
    try:
        found = config.getini(name)
        if found is not None and config.getoption(name) is None:
            setattr(config.option, name, read(str(found)))
    except (argparse.ArgumentTypeError, TypeError, ValueError) as error:
        raise pytest.UsageError(f"{name} in the configuration: {error}") from None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say where the evidence goes, and who repeats tests."""
    lines = [f"orxaq: evidence goes to {_mailbox()}"] if _mailbox() else []
    retries = config.getoption("orxaq_retries")
    if retries:
        # Imported here: most runs repeat nothing.
        from . import rerun  # noqa: PLC0415

        other = rerun.rival(config)
        ours = f"orxaq: transient failures are tried again, each test at most {retries} times"
        lines.append(rerun.standing_down(other) if other else ours)
    return lines


def pytest_sessionstart(session: pytest.Session) -> None:
    """Be ready for what workers of pytest-xdist report: they know of markers, and the controller does not."""
    config = session.config
    retries = config.getoption("orxaq_retries")
    if retries != 0 and config.pluginmanager.has_plugin("dsession"):
        from . import flaky, rerun  # noqa: PLC0415 - as above

        until = rerun.deadline() if retries and not rerun.rival(config) else None
        config.pluginmanager.register(flaky.Flaky(config, crashes_until=until, spend=rerun.purse()), "orxaq-flaky")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Send for the repetition of tests if any may be repeated."""
    retries = session.config.getoption("orxaq_retries")
    if retries or (retries is None and any("transient" in item.keywords for item in session.items)):
        from . import rerun  # noqa: PLC0415 - as above

        rerun.watch(session, retries, session.config.getoption("orxaq_retry_delay"))


def _mailbox() -> str:
    return os.environ.get("ORXAQ_ATTEMPT", "").split(os.pathsep)[-1]


class _Checkpoints:
    """Collects checkpoints in place of tests, so that ``-k``, ``--junitxml`` and editors work with them."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        """One item a checkpoint, in the order of the configuration."""
        from . import config  # noqa: PLC0415 - the whole gate is of use to nobody else
        from .errors import OrxaqError  # noqa: PLC0415
        from .repository import trees  # noqa: PLC0415

        try:
            settings = config.load(trees.discover(session.config.invocation_params.dir).top, os.environ)
        except OrxaqError as error:
            raise pytest.UsageError(str(error)) from error
        gate = _Gate.from_parent(session, name="gate", path=session.config.invocation_params.dir)
        session.items = [_Item.from_parent(gate, name=name) for name in settings.checkpoints]
        hook = session.config.hook
        hook.pytest_collection_modifyitems(session=session, config=session.config, items=session.items)
        hook.pytest_collection_finish(session=session)
        session.testscollected = len(session.items)
        return True


class _Gate(pytest.Collector):
    """The parent of all checkpoints."""

    def collect(self) -> Iterator[pytest.Item]:
        """Nothing more: the items are made where the order is known."""
        return iter(())


class _NotPassedError(Exception):
    """A checkpoint that did not pass; its text is what the gate says of it."""


class _Item(pytest.Item):
    """One checkpoint."""

    def runtest(self) -> None:
        """Take the checkpoint through the gate."""
        import sys  # noqa: PLC0415 - as above, only for who asks for it

        from . import gate  # noqa: PLC0415
        from .cli import console  # noqa: PLC0415
        from .errors import OrxaqError  # noqa: PLC0415
        from .model import Verdict  # noqa: PLC0415
        from .report import terminal  # noqa: PLC0415

        request = gate.Request(
            directory=Path(self.path), checkpoints=(self.name,), arguments=("pytest", "--orxaq-gate")
        )
        try:
            record = gate.run(request, console.Plain(sys.stdout), os.environ).record
        except OrxaqError as error:
            raise _NotPassedError(str(error)) from error
        if record.verdict is Verdict.CANCELLED:
            raise KeyboardInterrupt
        if record.verdict not in {Verdict.PASSED, Verdict.FLAKY}:
            raise _NotPassedError(terminal.summary(record, width=100, colour=False))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """The gate's own words instead of a traceback through it."""
        del style
        return str(excinfo.value) if isinstance(excinfo.value, _NotPassedError) else str(excinfo.getrepr())

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the item is from, for pytest's lists."""
        return Path(self.path), None, f"checkpoint {self.name}"
