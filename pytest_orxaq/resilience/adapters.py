"""For those who stay with tenacity or stamina: our judgement of exceptions, and their retries in our events.

Neither package is needed, or imported, here.
"""

from typing import Any

from ..core.exceptions import transient
from .events import Event, Kind, tell


def tenacity_retry(state: Any) -> bool:
    """For ``tenacity.retry(retry=...)``: retries what is transient, and never what is no Exception, such as Ctrl-C."""
    error = state.outcome.exception()
    return isinstance(error, Exception) and transient(error)


def tenacity_before_sleep(state: Any) -> None:
    """For ``tenacity.retry(before_sleep=...)``: tells our listeners that a retry is scheduled."""
    _scheduled(
        name=getattr(state.fn, "__qualname__", "block"),
        attempt=state.attempt_number,
        delay=state.upcoming_sleep,
        error=state.outcome.exception(),
    )


def tenacity_retry_error_callback(state: Any) -> Any:
    """For ``tenacity.retry(retry_error_callback=...)``: tells our listeners that it gave up, and raises the last exception."""
    error = state.outcome.exception()
    name = getattr(state.fn, "__qualname__", "block")
    tell(Event(kind=Kind.GAVE_UP, name=name, attempt=state.attempt_number, error=error, why="no attempt is left"))
    return state.outcome.result()


def stamina_on(error: BaseException) -> bool:
    """For ``stamina.retry(on=...)``: retries what is transient, and never what is no Exception, such as Ctrl-C."""
    return isinstance(error, Exception) and transient(error)


def stamina_hook(details: Any) -> None:
    """For ``stamina.instrumentation.set_on_retry_hooks([...])``: tells our listeners that a retry is scheduled."""
    _scheduled(name=details.name, attempt=details.retry_num, delay=details.wait_for, error=details.caused_by)


def _scheduled(*, name: str, attempt: int, delay: float, error: BaseException | None) -> None:
    tell(Event(kind=Kind.RETRY, name=name, attempt=attempt, delay=delay, error=error))
