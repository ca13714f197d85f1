"""Retries of functions, generators and runs: what is tried again, how often, and what comes out."""

import gc
import subprocess
import sys
import threading
import time
import traceback
import weakref

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq import Breaker, Retry, deadline, transient
from pytest_orxaq.model import Verdict
from pytest_orxaq.resilience import CallAttempt, DeadlineError, Event, Kind, subscribe
from pytest_orxaq.resilience.clock import Clock
from pytest_orxaq.resilience.scope import scope
from pytest_orxaq.testing import FakeClock, instant


@pytest.fixture(autouse=True)
def clock() -> Iterator[FakeClock]:
    """Nobody sleeps."""
    with instant() as fake:
        yield fake


class Script:
    """A function that does one thing after another: raises what is an exception, and returns the rest."""

    def __init__(self, *steps: object) -> None:
        self.steps = steps
        self.calls = 0

    def __call__(self, *_: object, **__: object) -> object:
        """Do the next thing; the last one over and over."""
        step = self.steps[min(self.calls, len(self.steps) - 1)]
        self.calls += 1
        if isinstance(step, BaseException):
            raise step
        return step


def called(again: Retry, script: Callable[[], object], how: str) -> None:
    """Call it in one of the ways in which something can be retried."""
    match how:
        case "block":
            for attempt in again.block():
                with attempt:
                    script()
        case "run":
            again.run(script)
        case _:
            again(script)()


def lost() -> ConnectionResetError:
    """A transient exception."""
    return ConnectionResetError("reset by peer")


# ---------------------------------------------------------------- how often


@given(attempts=some.integers(1, 20), failures=some.integers(0, 25), plain=some.booleans())
def test_attempts_are_counted(attempts: int, failures: int, plain: bool) -> None:
    """There is at least one attempt and never more than asked for, and none after a success (P1)."""
    script = Script(*[lost() for _ in range(failures)], "done")
    again = Retry(attempts=attempts, on_event=None if plain else lambda _: None)
    with instant():
        if failures < attempts:
            assert again(script)() == "done"
        else:
            with pytest.raises(ConnectionResetError):
                again(script)()
    assert script.calls == min(attempts, failures + 1)


def test_arguments_and_names_are_handed_on(clock: FakeClock) -> None:
    """The decorated function takes what the function took, as a method too, and is named like it."""

    class Client:
        """A client."""

        @Retry()
        def fetch(self, url: str, *, tries: list[str]) -> str:
            """Fetch it."""
            tries.append(url)
            if len(tries) < 3:
                raise lost()
            return url

    tries: list[str] = []
    assert Client().fetch("x", tries=tries) == "x"
    assert tries == ["x"] * 3
    assert (Client.fetch.__name__, Client.fetch.__doc__) == ("fetch", "Fetch it.")
    assert len(clock.slept) == 2


def test_what_is_permanent_is_not_retried(clock: FakeClock) -> None:
    """It is raised as it is, at once, without a note."""
    error = ValueError("no")
    script = Script(error)
    with pytest.raises(ValueError, match="no") as caught:
        Retry()(script)()
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert (script.calls, clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("on", "calls"),
    [
        (KeyError, 3),
        ((OSError, LookupError), 3),
        (OSError, 1),
        (lambda error: error.args == ("x",), 3),
        (lambda _: False, 1),
        (transient, 1),
        (Exception, 3),
    ],
)
def test_users_say_what_is_retried(on: Any, calls: int) -> None:
    """By types, or by a function."""
    script = Script(KeyError("x"))
    with pytest.raises(KeyError):
        Retry(on=on)(script)()
    assert script.calls == calls


def test_results_are_retried() -> None:
    """A result that is rejected is tried again; after the last attempt it is returned as it is."""
    again = Retry(attempts=3, on_result=lambda result: result < 3)
    assert again(Script(1, 2, 3))() == 3
    assert again(Script(0))() == 0
    assert again(Script(lost(), 1, 3))() == 3


def test_a_judge_that_fails_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The exception comes out that was to be judged, what went wrong is logged, and a hint that cannot be found is none."""

    def fail(_: object) -> bool:
        raise RuntimeError("no idea")

    with pytest.raises(ConnectionResetError):
        Retry(on=fail)(Script(lost()))()
    assert "judging an exception failed" in caplog.text
    assert Retry(retry_after=fail)(Script(lost(), 1))() == 1
    assert "looking for a hint" in caplog.text
    keeper = Gatekeeper()
    with pytest.raises(RuntimeError):
        Retry(on_result=fail, breaker=keeper)(Script(1))()
    assert keeper.told == ["cancel"]


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("attempts", {"attempts": 0}),
        ("attempts", {"attempts": 2.0}),
        ("attempts", {"attempts": True}),
        ("backoff", {"backoff": "fibonacci"}),
        ("base", {"base": -1}),
        ("cap", {"cap": float("nan")}),
        ("per_attempt", {"per_attempt": 0}),
        ("base", {"base": "1"}),
        ("base", {"base": True}),
        ("base", {"base": float("inf")}),
        ("cap", {"cap": None}),
        ("cap", {"cap": 1e300}),
        ("per_attempt", {"per_attempt": "1"}),
    ],
)
def test_nonsense_is_refused(words: str, arguments: dict[str, Any]) -> None:
    """An argument that makes no sense is named when the policy is made."""
    with pytest.raises(ValueError, match=words):
        Retry(**arguments)


async def _judge_later(_: object) -> bool:
    return False  # pragma: no cover - nobody awaits it, which is the point


class _Later:
    async def __call__(self, _: object) -> bool:
        return False  # pragma: no cover - as above


@pytest.mark.parametrize(
    "arguments",
    [
        {"breaker": "pypi"},
        {"breaker": Breaker},
        {"budget": 5},
        {"stop": True},
        {"on_result": 5},
        {"retry_after": "Retry-After"},
        {"on_event": []},
        {"on": _judge_later},
        {"on_result": _judge_later},
        {"on_result": _Later()},
        {"on_event": _judge_later},
    ],
)
def test_what_would_fail_in_the_middle_of_a_call_is_refused(arguments: dict[str, Any]) -> None:
    """Else a name in the place of a breaker would look like an open one, and a coroutine is always true."""
    with pytest.raises(TypeError, match=next(iter(arguments))):
        Retry(**arguments)


@pytest.mark.parametrize("thing", [5, None, classmethod(lambda kind: kind)])
def test_what_cannot_be_called_cannot_be_decorated(thing: Any) -> None:
    """It is said where it is written, not where it is first used."""
    with pytest.raises(TypeError, match="Retry decorates what can be called"):
        Retry()(thing)


@pytest.mark.parametrize("on", ["ConnectionError", (), (OSError, "x"), None])
def test_what_judges_nothing_is_refused(on: Any) -> None:
    """What is no type and no function cannot be ``on``."""
    with pytest.raises(TypeError, match="on is an exception type"):
        Retry(on=on)


@pytest.mark.parametrize("on", [KeyboardInterrupt, (OSError, BaseException)])
def test_interrupts_cannot_be_asked_for(on: Any) -> None:
    """What is no Exception is never retried, so nobody may believe that it is."""
    with pytest.raises(TypeError, match="is never retried"):
        Retry(on=on)


# ---------------------------------------------------------------- P3: what is no Exception


ESCAPES = [
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    BaseExceptionGroup("g", [ConnectionResetError(), KeyboardInterrupt()]),
]


@pytest.mark.parametrize("error", ESCAPES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("how", ["plain", "told", "block", "run"])
def test_interrupts_escape(error: BaseException, how: str, clock: FakeClock) -> None:
    """They are raised at once, as they are, whatever ``on`` says, also within a group (P3)."""
    script = Script(error)
    again = Retry(on=lambda _: True, on_event=None if how == "plain" else lambda _: None)
    with pytest.raises(type(error)) as caught:
        called(again, script, how)
    assert caught.value is error
    assert (script.calls, clock.slept) == (1, [])


def test_an_interrupt_in_a_later_attempt_escapes() -> None:
    """Also after failures."""
    script = Script(lost(), KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as caught:
        Retry()(script)()
    assert script.calls == 2
    assert caught.value.__context__ is None


def test_a_group_is_retried_if_all_of_it_is_transient() -> None:
    """One member that is not makes the group permanent."""
    good, bad = Script(ExceptionGroup("g", [lost(), lost()]), 1), Script(ExceptionGroup("g", [lost(), ValueError()]))
    assert Retry()(good)() == 1
    with pytest.raises(ExceptionGroup):
        Retry()(bad)()
    assert bad.calls == 1


# ---------------------------------------------------------------- P5: the last exception


@pytest.mark.parametrize("how", ["plain", "told", "block", "run"])
def test_the_last_exception_is_raised(how: str) -> None:
    """It is the very last one, with no other behind it, and it tells of all attempts in a note and an attribute (P5)."""
    errors = [ConnectionResetError(str(number)) for number in range(3)]
    script = Script(*errors)
    again = Retry(attempts=3, base=1.0, on_event=None if how == "plain" else lambda _: None)
    with pytest.raises(ConnectionResetError) as caught:
        called(again, script, how)
    assert caught.value is errors[2]
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    (note,) = caught.value.__notes__
    assert note.startswith("orxaq: 3 attempts, then no other: no attempt is left\n  1. ConnectionResetError: 0")
    assert "  2. waited 1 s, then ConnectionResetError: 1" in note
    assert "  3. waited 2 s, then ConnectionResetError: 2" in note
    attempts: tuple[CallAttempt, ...] = caught.value.__orxaq_attempts__  # type: ignore[attr-defined]
    assert [attempt.waited for attempt in attempts] == [0.0, 1.0, 2.0]
    assert not any(attempt.succeeded for attempt in attempts)
    assert not hasattr(errors[0], "__notes__")


def test_an_exception_that_is_raised_again_has_one_note() -> None:
    """One object that is raised by every call tells of the last call only, and keeps the notes of others."""
    error = lost()
    error.add_note("mine")
    again = Retry(attempts=2)(Script(error))
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            again()
    assert [note.split(",")[0] for note in error.__notes__] == ["mine", "orxaq: 2 attempts"]
    assert len(error.__orxaq_attempts__) == 2  # type: ignore[attr-defined]


def test_what_cannot_be_noted_is_raised_all_the_same() -> None:
    """An exception that refuses attributes, and has no words, comes out as it is."""

    class FrozenError(ConnectionResetError):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    error = FrozenError()
    with pytest.raises(FrozenError) as caught:
        Retry(attempts=2)(Script(error))()
    assert caught.value is error


def _fail(*_: object) -> str:
    raise RuntimeError("not even that")


class MuteError(ConnectionResetError):
    """It has no words."""

    __str__ = _fail


class ClosedError(ConnectionResetError):
    """Whoever looks at it closely fails, but for its type."""

    retry_after = property(_fail)
    response = property(_fail)
    reason = property(_fail)
    __orxaq_attempts__ = property(_fail)


class SealedError(ConnectionResetError):
    """Nothing can be noted on it, nor looked for."""

    __orxaq_attempts__ = property(_fail)


@pytest.mark.parametrize("how", ["plain", "told", "block", "run"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", [MuteError, ClosedError])
def test_what_cannot_be_looked_at_is_raised_all_the_same(kind: type[Exception], nested: bool, how: str) -> None:
    """An exception whose words and properties fail is tried again, and comes out as it is; a breaker hears of it."""
    error, keeper = kind(), Gatekeeper()
    again = Retry(
        attempts=2, on=ConnectionResetError, breaker=keeper, on_event=None if how == "plain" else lambda _: None
    )
    script = Script(error)
    inner = Retry(attempts=2, on=ConnectionResetError)(script) if nested else script
    with pytest.raises(kind) as caught:
        called(again, inner, how)
    assert caught.value is error
    assert keeper.told == ["failure"] * (1 if nested and kind is MuteError else 2)  # attempts inside are read off it


def test_what_nothing_can_be_noted_on_is_raised_all_the_same() -> None:
    """Nor can be read whether anything is: it comes out of calls in calls as it is."""
    error = SealedError()
    with pytest.raises(SealedError) as caught:
        Retry(attempts=2)(Retry(attempts=2)(Script(error)))()
    assert caught.value is error


def test_words_of_many_lines_are_one() -> None:
    """Each attempt is a line of the note, also where an exception has a page to say."""
    error = ConnectionResetError("first\n  1. second\r\n\tthird")
    with pytest.raises(ConnectionResetError):
        Retry(attempts=2)(Script(error))()
    assert error.__notes__[0].splitlines()[1:] == [
        "  1. ConnectionResetError: first 1. second third",
        "  2. waited 0.2 s, then ConnectionResetError: first 1. second third after 0 s",
    ]


def test_long_words_are_shortened() -> None:
    """A message of a megabyte is not noted once for each attempt."""
    error = ConnectionResetError("x" * 1_000_000)
    with pytest.raises(ConnectionResetError):
        Retry(attempts=3)(Script(error))()
    assert len(error.__notes__[0]) < 2000


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("kind", [ValueError, ConnectionResetError])
def test_tracebacks_stay_short(told: bool, kind: type[Exception]) -> None:
    """At most four frames are added, on the first failure as on the last (P10)."""

    def fail() -> None:
        raise kind

    again = Retry(on_event=(lambda _: None) if told else None)
    with pytest.raises(kind) as caught:
        again(fail)()
    assert len(traceback.extract_tb(caught.value.__traceback__)) - 2 <= 4


@pytest.mark.parametrize("how", ["plain", "told", "block", "run"])
@pytest.mark.parametrize("steps", ["lost lost", "lost", "bug", "lost bug"])
def test_nothing_is_kept_alive(how: str, steps: str) -> None:
    """When a call is over, its exceptions go at once: no circle has to be collected."""

    class KnownError(ConnectionResetError):
        pass

    class BugError(ValueError):
        pass

    left = steps.split()
    seen: list[weakref.ref[Exception]] = []

    def step() -> None:
        if left:
            error = KnownError() if left.pop(0) == "lost" else BugError()
            seen.append(weakref.ref(error))
            try:
                raise error
            finally:
                del error

    def outside() -> None:
        with suppress(KnownError, BugError):
            called(Retry(attempts=2, on_event=None if how == "plain" else lambda _: None), step, how)

    gc.collect()
    gc.disable()
    try:
        outside()
        assert [each() for each in seen] == [None] * len(steps.split())
    finally:
        gc.enable()


def calls_of(work: Callable[[], object]) -> list[str]:
    """The Python functions that are called on the way."""
    names: list[str] = []
    token = scope.set(None)  # whatever a gate around these tests has handed down
    sys.setprofile(lambda frame, event, _: names.append(frame.f_code.co_name) if event == "call" else None)
    try:
        work()
    finally:
        sys.setprofile(None)
        scope.reset(token)
    return names[1:]


def test_a_success_calls_nothing_else() -> None:
    """On the way to a function that succeeds there is one frame, and no generator or object is made (P10)."""

    def function() -> int:
        return 1

    def work() -> None:
        again()

    again = Retry()(function)
    assert calls_of(work) == ["retried", "function"]


def test_a_success_of_a_coroutine_awaits_nothing_else() -> None:
    """The same for coroutines."""

    async def function() -> int:
        return 1

    def work() -> None:
        with suppress(StopIteration):
            again().send(None)

    again: Callable[[], Any] = Retry()(function)
    assert [name for name in calls_of(work) if "__" not in name] == ["retried", "function"]


# ---------------------------------------------------------------- P6: pauses


def test_pauses_double_with_full_jitter(clock: FakeClock) -> None:
    """By default the bound doubles from a fifth of a second to 20 seconds."""
    with pytest.raises(ConnectionResetError):
        Retry(attempts=10)(Script(lost()))()
    assert clock.slept == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20])


@pytest.mark.parametrize(
    ("backoff", "slept"), [("full", [0.5, 1.0, 2.0]), ("equal", [0.75, 1.5, 3.0]), ("decorrelated", [1.0, 2.0, 3.5])]
)
def test_each_backoff_is_used(backoff: Any, slept: list[float]) -> None:
    """With the jitter in the middle, each takes the middle of its range."""
    with instant(FakeClock(jitter=0.5)) as clock, pytest.raises(ConnectionResetError):
        Retry(attempts=4, base=1.0, cap=100.0, backoff=backoff)(Script(lost()))()
    assert clock.slept == slept


def test_the_machine_throws_dice() -> None:
    """Outside of tests, jitter is random, from 0 to below 1."""
    thrown = {Clock().jitter() for _ in range(50)}
    assert len(thrown) > 40
    assert all(0 <= number < 1 for number in thrown)


def test_forked_children_throw_their_own_dice() -> None:
    """A child does not wait exactly as long as its parent."""
    code = """
import os
from pytest_orxaq.resilience.clock import Clock
from pytest_orxaq.resilience.scope import scope
Clock().jitter()
read, write = os.pipe()
if not os.fork():
    os.write(write, repr(Clock().jitter()).encode())
    os._exit(0)
os.wait()
print(repr(Clock().jitter()) != os.read(read, 99).decode())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize(
    ("hint", "slept"), [(7, 7.7), ("8", 8.8), (0.01, 0.2), (3600, 66.0), (None, 0.2), ("soon", 0.2)]
)
def test_hints_are_honoured(hint: object, slept: float, clock: FakeClock) -> None:
    """The other side's wish lengthens a pause, by a tenth more at most, and counts up to a minute (P6)."""
    error = lost()
    error.retry_after = hint  # type: ignore[attr-defined]
    assert Retry()(Script(error, 1))() == 1
    assert clock.slept == [pytest.approx(slept)]


def test_hints_of_causes_are_honoured(clock: FakeClock) -> None:
    """Also those on what caused the exception."""
    error, cause = RuntimeError("x"), lost()
    cause.retry_after = 5  # type: ignore[attr-defined]
    error.__cause__ = cause
    assert Retry()(Script(error, 1))() == 1
    assert clock.slept == [5.5]


def test_hints_of_results_are_honoured(clock: FakeClock) -> None:
    """A response that is rejected can say when to come back."""
    response = SimpleNamespace(status=503, headers={"Retry-After": "4"})
    assert Retry(on_result=lambda found: found is response)(Script(response, 1))() == 1
    assert clock.slept == [4.4]


def test_users_find_hints(clock: FakeClock) -> None:
    """A function of theirs is asked instead."""
    again = Retry(retry_after=lambda error: error.args[0])
    assert again(Script(ConnectionResetError(6), 1))() == 1
    assert clock.slept == [pytest.approx(6.6)]


def test_a_hint_past_the_deadline_ends_it(clock: FakeClock) -> None:
    """There is no attempt before the other side wants one, and none after the deadline: so there is none."""
    error = lost()
    error.retry_after = 3600  # type: ignore[attr-defined]
    script = Script(error)
    with deadline(300), pytest.raises(ConnectionResetError) as caught:
        Retry()(script)()
    assert (script.calls, clock.slept) == (1, [])
    assert "the next would begin after the deadline" in caught.value.__notes__[0]


# ---------------------------------------------------------------- P7: listeners


def test_everything_is_told() -> None:
    """Attempts, scheduled retries, success and giving up are told in order, to the policy's listener and to all others."""
    own: list[Event] = []
    everybody: list[Event] = []
    end = subscribe(everybody.append)
    try:
        again = Retry(attempts=2, base=1.0, on_event=own.append)
        again(Script(lost(), 1))()
        with pytest.raises(ConnectionResetError):
            again(Script(lost()))()
    finally:
        end()
        end()
    assert own == everybody
    assert [(event.kind, event.attempt) for event in own] == [
        (Kind.START, 1),
        (Kind.RETRY, 2),
        (Kind.START, 2),
        (Kind.SUCCESS, 2),
        (Kind.START, 1),
        (Kind.RETRY, 2),
        (Kind.START, 2),
        (Kind.GAVE_UP, 2),
    ]
    assert (own[1].delay, own[1].name, type(own[1].error)) == (1.0, "Script", ConnectionResetError)
    assert own[-1].why == "no attempt is left"
    Retry()(Script(1))()
    assert len(everybody) == 8


@given(steps=some.lists(some.sampled_from(["lost", "bug", "done"]), min_size=1, max_size=5), total=some.integers(1, 4))
def test_listeners_change_nothing(steps: list[str], total: int) -> None:
    """With listeners that fail, a call ends exactly as without any (P7)."""

    def result(listener: Callable[[Event], object] | None) -> tuple[object, int, list[float]]:
        made = {"lost": lost(), "bug": ValueError(), "done": "done"}
        script = Script(*[made[step] for step in steps])
        with instant() as clock:
            try:
                found: object = Retry(attempts=total, on_event=listener)(script)()
            except (ConnectionResetError, ValueError) as error:
                found = type(error), getattr(error, "__notes__", None)
        return found, script.calls, clock.slept

    def fail(event: Event) -> None:
        raise RuntimeError(event.kind)

    assert result(fail) == result(lambda _: None)
    assert result(fail)[1:] == result(None)[1:]


def test_a_listener_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback, and the others hear the event all the same."""

    def fail(_: Event) -> None:
        raise RuntimeError("no space")

    heard: list[Event] = []
    end = subscribe(heard.append)
    try:
        assert Retry(on_event=fail)(Script(1))() == 1
    finally:
        end()
    assert [event.kind for event in heard] == [Kind.START, Kind.SUCCESS]
    assert "no space" in caplog.text


def test_an_interrupt_in_a_listener_escapes() -> None:
    """Ctrl-C is not a listener's failure."""

    def interrupt(_: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Retry(on_event=interrupt)(Script(1))()


# ---------------------------------------------------------------- P9: levels


@given(levels=some.lists(some.integers(1, 5), min_size=1, max_size=4), wrap=some.booleans(), told=some.booleans())
def test_levels_do_not_multiply(levels: list[int], wrap: bool, told: bool) -> None:
    """Nested retries together make as many attempts as the most generous level alone, not the product (P9)."""
    script = Script(lost())
    function: Callable[[], object] = script
    for attempts in levels:
        again = Retry(attempts=attempts, on_event=(lambda _: None) if told else None)
        function = again(wrapping(function) if wrap else function)
    with instant(), pytest.raises((ConnectionResetError, RuntimeError)) as caught:
        function()
    assert script.calls == max(levels)
    assert len(getattr(caught.value, "__orxaq_attempts__", [None])) == max(levels)


def wrapping(function: Callable[[], object]) -> Callable[[], object]:
    """A function that raises another exception for what it called."""

    def wrapper() -> object:
        try:
            return function()
        except ConnectionResetError as error:
            raise RuntimeError("the download failed") from error

    return wrapper


def test_an_outer_level_counts_what_succeeded_inside() -> None:
    """From its second attempt on, retries inside of an outer level are its own, also those that helped."""
    inner = Retry(attempts=3)
    first, second = Script(lost(), lost(), 1), Script(lost())
    fetch, push = inner(first), inner(second)
    started = 0

    def job() -> None:
        nonlocal started
        started += 1
        if started == 1:
            raise lost()
        fetch()
        push()

    with pytest.raises(ConnectionResetError):
        Retry(attempts=4)(job)()
    assert (started, first.calls, second.calls) == (2, 3, 1)


def test_a_stale_history_is_not_counted() -> None:
    """An exception object from an earlier call that is raised anew has its old attempts on it; they cost nothing."""
    error = lost()
    with pytest.raises(ConnectionResetError):
        Retry(attempts=5)(Script(error))()
    script = Script(error)
    with pytest.raises(ConnectionResetError):
        Retry(attempts=3)(script)()
    assert script.calls == 3
    error.__orxaq_attempts__ = "nonsense"  # type: ignore[attr-defined]
    with pytest.raises(ConnectionResetError):
        Retry(attempts=2)(Script(error))()


def test_a_stale_history_is_not_counted_amid_others() -> None:
    """Nor does it cost anything where other calls give up in the same attempt, or a later attempt raises it as its cause."""
    stale = lost()
    with pytest.raises(ConnectionResetError):
        Retry(attempts=5)(Script(stale))()
    other = Retry(attempts=2)(Script(lost()))
    calls: list[int] = []

    def job() -> None:
        calls.append(1)
        with suppress(ConnectionResetError):
            other()
        raise stale

    with pytest.raises(ConnectionResetError):
        Retry(attempts=3)(job)()
    assert len(calls) == 2  # the second attempt has one retry left, which the other call takes

    inner = Retry(attempts=3)(Script(lost()))
    first: list[Exception] = []

    def chained() -> None:
        if first:
            raise ConnectionResetError from first[0]
        try:
            inner()
        except ConnectionResetError as error:
            first.append(error)
            raise

    with pytest.raises(ConnectionResetError) as caught:
        Retry(attempts=5)(chained)()
    assert len(caught.value.__orxaq_attempts__) == 5  # type: ignore[attr-defined]


# ---------------------------------------------------------------- stop


def test_a_set_event_ends_a_pause() -> None:
    """The wait of a function ends at once, without another attempt, and the last exception is raised."""
    stop = threading.Event()
    script = Script(lost())
    timer: list[threading.Thread] = []

    def waiting(event: Event) -> None:
        if event.kind is Kind.RETRY:
            timer.append(threading.Thread(target=stop.set))
            timer[0].start()

    with instant(Clock()), pytest.raises(ConnectionResetError) as caught:  # type: ignore[arg-type]
        Retry(base=3600, cap=3600, backoff="equal", stop=stop, on_event=waiting)(script)()
    timer[0].join()
    assert script.calls == 1
    assert "the stop event is set" in caught.value.__notes__[0]


def test_an_event_that_is_set_before_the_pause_ends_it(clock: FakeClock) -> None:
    """A fake clock knows it too: no time goes by."""
    stop = threading.Event()
    before = clock.now()

    def listen(event: Event) -> None:
        if event.kind is Kind.RETRY:
            stop.set()

    with pytest.raises(ConnectionResetError):
        Retry(stop=stop, on_event=listen)(Script(lost()))()
    assert (clock.slept, clock.now()) == ([0.2], before)


def test_without_instant_mode_time_goes_by() -> None:
    """A pause takes as long as it says."""
    began = time.monotonic()
    with instant(Clock()):  # type: ignore[arg-type]
        assert Retry(base=0.05, backoff="equal")(Script(lost(), 1))() == 1
    assert time.monotonic() - began >= 0.025


def test_a_set_event_leaves_one_attempt(clock: FakeClock) -> None:
    """What is stopped already is tried once, and not again."""
    stop = threading.Event()
    stop.set()
    script = Script(lost())
    with pytest.raises(ConnectionResetError):
        Retry(stop=stop)(script)()
    assert (script.calls, clock.slept) == (1, [])


# ---------------------------------------------------------------- run


def test_run_says_how_it_went() -> None:
    """A value, whether it is the fallback's, the failed attempts, and a verdict: a retry that helped is flaky, not passed."""
    again = Retry(attempts=2)
    passed = again.run(Script("x"), 1, y=2)
    assert (passed.value, passed.degraded, passed.attempts, passed.verdict) == ("x", False, (), Verdict.PASSED)
    flaky = again.run(Script(lost(), "x"))
    assert (flaky.value, flaky.degraded, len(flaky.attempts), flaky.verdict) == ("x", False, 1, Verdict.FLAKY)
    failed = again.run(Script(lost()), "url", fallback=lambda url: f"cached {url}")
    assert (failed.value, failed.degraded, failed.verdict) == ("cached url", True, Verdict.FAILED)
    assert [str(attempt) for attempt in failed.attempts] == [
        "ConnectionResetError: reset by peer after 0 s",
        "waited 0.2 s, then ConnectionResetError: reset by peer after 0 s",
    ]


def test_run_sees_retries_inside() -> None:
    """What passed only because of a retry further in is flaky."""
    assert Retry().run(Retry()(Script(lost(), 1))).verdict is Verdict.FLAKY


def test_fallbacks_stand_in_for_transient_trouble_only() -> None:
    """A bug is raised: no old copy may hide it. So is what the fallback raises, with the reason behind it."""
    with pytest.raises(ValueError, match="bug"):
        Retry().run(Script(ValueError("bug")), fallback=lambda: 1)
    with pytest.raises(ConnectionResetError):
        Retry().run(Script(lost()))
    with pytest.raises(FileNotFoundError):
        Retry().run(Script(lost()), fallback=Script(FileNotFoundError("no copy")))


def test_run_judges_results() -> None:
    """A result that was rejected to the end is a failure, for which a fallback can stand in."""
    again = Retry(attempts=2, on_result=lambda found: found == "busy")
    bare = again.run(Script("busy"))
    assert (bare.value, bare.degraded, bare.verdict) == ("busy", False, Verdict.FAILED)
    assert "rejected" in bare.attempts[0].error
    helped = again.run(Script("busy"), fallback=lambda: "old")
    assert (helped.value, helped.degraded, helped.verdict) == ("old", True, Verdict.FAILED)


def test_run_after_the_deadline() -> None:
    """Nothing is called; the fallback stands in, and the verdict says why."""
    script = Script(1)
    with deadline(0):
        found = Retry().run(script, fallback=lambda: 2)
        assert (found.value, found.attempts, found.verdict, script.calls) == (2, (), Verdict.TIMED_OUT, 0)
        with pytest.raises(DeadlineError, match="Script: the deadline was over"):
            Retry().run(script)


# ---------------------------------------------------------------- generators


def test_generators_are_retried_until_their_first_item(clock: FakeClock) -> None:
    """Failures before it are tried again; a failure after it is raised, for what was given cannot be taken back."""
    begun = 0

    @Retry(attempts=3)
    def items() -> Iterator[int]:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise lost()
        yield 1
        yield 2
        raise lost()

    got: list[int] = []
    with pytest.raises(ConnectionResetError):
        got.extend(items())
    found = iter(items())
    assert (next(found), next(found), begun) == (1, 2, 4)
    assert len(clock.slept) == 2


def test_generators_are_whole() -> None:
    """What is sent, thrown, returned and closed reaches the generator; an empty one is empty."""
    closed = []

    @Retry()
    def echo() -> Generator[object, object, str]:
        try:
            got = yield "first"
            try:
                yield got
            except KeyError as error:
                yield error.args
            return "end"
        finally:
            closed.append(True)

    talk = echo()
    assert [next(talk), talk.send(5), talk.throw(KeyError("k"))] == ["first", 5, ("k",)]
    with pytest.raises(StopIteration, match="end"):
        next(talk)
    talk = echo()
    next(talk)
    talk.close()
    assert closed == [True, True]

    @Retry()
    def nothing() -> Generator[int, None, str]:
        if not closed:
            yield 1
        return "nothing"

    with pytest.raises(StopIteration, match="nothing"):
        next(nothing())


# ---------------------------------------------------------------- circuit breakers


class Gatekeeper:
    """A small circuit breaker: it writes down what it is told, and says no to the acquisitions that are given."""

    class OpenError(Exception):
        """It is open."""

    def __init__(self, *refused: int, broken: bool = False) -> None:
        self.refused = refused
        self.broken = broken
        self.asked = 0
        self.told: list[str] = []

    def acquire(self) -> "Gatekeeper":
        """See Admission."""
        self.asked += 1
        if self.asked in self.refused:
            raise self.OpenError
        return self

    def _tell(self, word: str) -> None:
        self.told.append(word)
        if self.broken:
            raise OSError("the store is gone")

    def success(self, seconds: float) -> None:
        """See Permit."""
        assert seconds >= 0
        self._tell("success")

    def failure(self, why: str) -> None:
        """See Permit."""
        assert why
        self._tell("failure")

    def cancel(self) -> None:
        """See Permit."""
        self._tell("cancel")


def test_each_attempt_asks_the_breaker() -> None:
    """It hears of transient failures as failures, and of a permanent one as a success: the other side answered."""
    keeper = Gatekeeper()
    again = Retry(breaker=keeper, on_result=lambda found: found == "busy")
    assert again(Script(lost(), "busy", 1))() == 1
    assert keeper.told == ["failure", "failure", "success"]
    with pytest.raises(ValueError, match="no"):
        again(Script(ValueError("no")))()
    assert keeper.told[3:] == ["success"]


def test_interrupts_tell_the_breaker_nothing() -> None:
    """A call that was cancelled proves nothing: its leave is given back."""
    keeper = Gatekeeper()
    with pytest.raises(KeyboardInterrupt):
        Retry(breaker=keeper)(Script(KeyboardInterrupt()))()
    assert keeper.told == ["cancel"]


@pytest.mark.parametrize("how", ["plain", "block", "run"])
def test_an_interrupt_right_after_the_leave_gives_it_back(how: str) -> None:
    """Ctrl-C between the breaker's yes and the call, here in a listener, keeps nothing."""
    keeper, script = Gatekeeper(), Script(1)

    def interrupt(_: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        called(Retry(breaker=keeper, on_event=interrupt), script, how)
    assert (keeper.told, script.calls) == (["cancel"], 0)
    assert deadline.remaining() is None


def test_an_open_breaker_is_raised() -> None:
    """Without any attempt, its exception comes out; a fallback can stand in, and the verdict is skipped."""
    script = Script(1)
    with pytest.raises(Gatekeeper.OpenError):
        Retry(breaker=Gatekeeper(1))(script)()
    found = Retry(breaker=Gatekeeper(1)).run(script, fallback=lambda: 2)
    assert (found.value, found.degraded, found.verdict, script.calls) == (2, True, Verdict.SKIPPED, 0)


def test_a_breaker_that_opens_meanwhile_ends_it() -> None:
    """After a failure, what is raised is that failure, with a word about the breaker."""
    error = lost()
    with pytest.raises(ConnectionResetError) as caught:
        Retry(breaker=Gatekeeper(2))(Script(error))()
    assert caught.value is error
    assert "the circuit breaker is open" in error.__notes__[0]
    rejected = Retry(breaker=Gatekeeper(2), on_result=lambda _: True)
    assert rejected(Script("busy"))() == "busy"
    found = Retry(breaker=Gatekeeper(2)).run(Script(lost()), fallback=lambda: 2)
    assert (found.value, found.verdict) == (2, Verdict.FAILED)


def test_a_broken_breaker_hides_nothing() -> None:
    """What its store does never changes what the call did."""
    keeper = Gatekeeper(broken=True)
    assert Retry(breaker=keeper)(Script(lost(), 1))() == 1
    with pytest.raises(KeyboardInterrupt):
        Retry(breaker=keeper)(Script(KeyboardInterrupt()))()
    assert keeper.told == ["failure", "success", "cancel"]
