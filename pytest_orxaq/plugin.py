"""The witness inside pytest, where this package is installed beside it, and the checkpoints as test items."""

import os

from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--orxaq-gate``."""
    parser.getgroup("orxaq").addoption(
        "--orxaq-gate",
        action="store_true",
        help="Collect the checkpoints of this repository (make lint, make test) as test items, instead of tests.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Send for the witness if a gate wants evidence; offer the checkpoints if asked to."""
    if _mailbox() and not config.pluginmanager.is_blocked("orxaq_witness"):
        # Imported here: most runs have no gate around them.
        from .carried import orxaq_witness_py3  # noqa: PLC0415

        orxaq_witness_py3.pytest_configure(config)
    if config.getoption("orxaq_gate"):
        config.pluginmanager.register(_Checkpoints(), "orxaq-checkpoints")


def pytest_report_header() -> str | None:
    """Say where the evidence goes."""
    return f"orxaq: evidence goes to {_mailbox()}" if _mailbox() else None


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
