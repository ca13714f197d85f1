"""Calls that fail as planned: real errors of the system, in the place of functions and methods, awaited too, and counted."""

import asyncio
import concurrent.futures
import errno
import inspect
import json
import os
import sys
import traceback

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults import Faults, FlakyCall, Returns
from pytest_orxaq.faults.outcomes import again


Make = Callable[..., FlakyCall]

BOT = '''
import functools

CONSTANT = 1

def fetch(url, *, times=1):
    """Fetch."""
    return url * times

async def download(url):
    return url

class Client:
    base = "b"

    def get(self, path):
        return self.base + path

    async def stream(self, path):
        return self.base + path

    @classmethod
    def make(cls, name="made"):
        return cls, name

    @staticmethod
    def quote(text):
        return f"<{text}>"

    length = len

class Special(Client):
    base = "s"

client = Client()
partial = functools.partial(fetch, "p")
'''


@pytest.fixture
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of the code under test: ``robot.net``."""
    (tmp_path / "robot").mkdir()
    (tmp_path / "robot" / "__init__.py").write_text("def top(): return 1")
    (tmp_path / "robot" / "net.py").write_text(BOT)
    (tmp_path / "robot" / "broken.py").write_text("import nowhere_at_all")
    (tmp_path / "robot" / "worse.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    import robot.net  # type: ignore[import-not-found]

    yield robot.net
    for name in [name for name in sys.modules if name.partition(".")[0] == "robot"]:
        del sys.modules[name]


def outcome(call: Callable[..., object], *args: object) -> object:
    """What a call comes to: its value, or the exception."""
    try:
        return call(*args)
    except BaseException as error:  # noqa: BLE001 - any may be planned
        return error


def kinds(call: Callable[..., object], calls: int) -> list[object]:
    """What calls come to in a row: values, or the classes of exceptions."""
    found = (outcome(call) for _ in range(calls))
    return [type(one) if isinstance(one, BaseException) else one for one in found]


# ---------------------------------------------------------------- outcomes


@pytest.mark.parametrize("name", sorted(errno.errorcode.values()))
def test_system_errors_are_those_of_the_system(name: str, transient_failures: Make) -> None:
    """Each name gives what Python makes of that number: its own class, the number, the system's words."""
    error = outcome(transient_failures(name))
    assert isinstance(error, OSError)
    real = OSError(getattr(errno, name), "")
    assert (type(error), error.errno, error.strerror) == (type(real), real.errno, os.strerror(getattr(errno, name)))


def test_outcomes_in_turn(transient_failures: Make, faults: Faults) -> None:
    """Errors, exceptions, classes, values and the real thing follow each other; then all goes well; the log has the troubles."""
    call = transient_failures(
        "ECONNRESET", ValueError("bad"), TimeoutError, {"value": 1}, None, Returns(None), "ENOSPC", wraps=lambda: "real"
    )
    found = kinds(call, 9)
    assert found == [
        ConnectionResetError,
        ValueError,
        TimeoutError,
        {"value": 1},
        "real",
        None,
        OSError,
        "real",
        "real",
    ]
    assert (call.calls, call.failures, call.recovered) == (9, 4, True)
    assert [str(event) for event in faults.log] == [
        "transient_failures: ECONNRESET [transient]",
        "transient_failures: ValueError [transient]",
        "transient_failures: TimeoutError [transient]",
        "transient_failures: a dict is returned [transient]",
        "transient_failures: a NoneType is returned [transient]",
        "transient_failures: ENOSPC [environment]",
    ]


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({}, ["real", "real"]),
        ({"times": 2}, [BrokenPipeError, TimeoutError]),
        ({"then": "repeat"}, [TimeoutError, TimeoutError]),
    ],
)
def test_what_follows(options: dict[str, Any], after: list[object], transient_failures: Make) -> None:
    """After the outcomes, taken so many times over, come the real thing or the last one for good."""
    call = transient_failures("EPIPE", "ETIMEDOUT", wraps=lambda: "real", **options)
    assert kinds(call, 4) == [BrokenPipeError, TimeoutError, *after]


def test_one_call_more_than_planned(pytester: pytest.Pytester) -> None:
    """Where the plan is all there is, another call fails the test, also if the code under test swallows everything."""
    pytester.makepyfile(
        """
        import contextlib

        def test_one(transient_failures):
            call = transient_failures("EIO", then="error")
            for _ in range(2):
                with contextlib.suppress(BaseException):
                    call()
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["EIO: call 2 is one more than the plan has, and then='error'."])


@pytest.mark.parametrize(
    ("plan", "found"),
    [
        ("2*ECONNRESET->ok", [ConnectionResetError, ConnectionResetError, "real", "real"]),
        ("ok->TimeoutError->EAGAIN", ["real", TimeoutError, BlockingIOError, BlockingIOError]),
        ("1*KeyboardInterrupt", [KeyboardInterrupt, "real", "real", "real"]),
    ],
)
def test_plans_in_words(plan: str, found: list[object], transient_failures: Make) -> None:
    """A plan names errors of the system and Python's own; the last one without a count holds for good."""
    assert kinds(transient_failures(plan=plan, wraps=lambda: "real"), 4) == found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(plan=st.lists(st.sampled_from(["EPIPE", "EIO", None, 7]), min_size=1, max_size=6), times=st.integers(1, 3))
def test_any_plan_is_followed(plan: list[Any], times: int, transient_failures: Make) -> None:
    """Whatever the plan, call by call it happens, and failures and recovery are what was seen."""
    call = transient_failures(*plan, times=times, wraps=lambda: "real", required=False)
    found = kinds(call, len(plan) * times + 1)
    meaning = {"EPIPE": BrokenPipeError, "EIO": OSError, None: "real", 7: 7}
    assert found == [meaning[one] for one in plan * times] + ["real"]
    assert call.failures == sum(isinstance(one, type) for one in found)
    assert call.recovered == (call.failures > 0)


class Odd(Exception):  # noqa: N818 - a name
    """One that takes other arguments than those that it passes on."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code


class OddSystemError(OSError):
    """One of the system with a constructor of its own."""

    def __init__(self, *, path: str) -> None:
        super().__init__(errno.ENOSPC, "full", path)


def noted() -> Exception:
    """One with a note and a cause."""
    error = ValueError("v")
    error.add_note("a note")
    error.__cause__ = KeyError("k")
    return error


@pytest.mark.parametrize(
    "error",
    [
        Odd(5, "why"),
        OddSystemError(path="p"),
        noted(),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "r"),
        OSError(28, "x", "f"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_are_new_each_time(error: Exception, transient_failures: Make) -> None:
    """Each call raises another one, equal in all that can be seen, with a traceback of its own; the first stays untouched."""
    call = transient_failures(error, times=3)
    one, two, three = (outcome(call) for _ in range(3))
    assert len({id(found) for found in (one, two, three, error)}) == 4
    lengths = set()
    for found in (one, two, three):
        assert isinstance(found, type(error))
        assert (str(found), found.args, found.__cause__) == (str(error), error.args, error.__cause__)
        assert vars(found) == vars(error)
        if isinstance(error, OSError) and isinstance(found, OSError):
            assert (found.errno, found.filename) == (error.errno, error.filename)
        lengths.add(len(traceback.extract_tb(found.__traceback__)))
    assert len(lengths) == 1
    assert error.__traceback__ is None
    assert getattr(again(error), "__notes__", None) is not getattr(error, "__notes__", 0)


# ---------------------------------------------------------------- places


@pytest.mark.parametrize(
    ("target", "call", "real"),
    [
        ("robot.net:fetch", "bot.fetch('u', times=2)", "uu"),
        ("robot.net.fetch", "bot.fetch('u')", "u"),
        ("robot.net:Client.get", "bot.Client().get('/x')", "b/x"),
        ("robot.net.Client.get", "bot.Special().get('/x')", "s/x"),
        ("robot.net:Special.get", "bot.Special().get('/x')", "s/x"),
        ("robot.net:client.get", "bot.client.get('/x')", "b/x"),
        ("robot.net:Client.make", "bot.Special.make()[1]", "made"),
        ("robot.net:Client.quote", "bot.Client().quote('q')", "<q>"),
        ("robot.net:Client.length", "bot.Client().length('four')", 4),
        ("robot.net:partial", "bot.partial()", "p"),
        ("robot.net:download", "asyncio.run(bot.download('u'))", "u"),
        ("robot.net:Client.stream", "asyncio.run(bot.Client().stream('/x'))", "b/x"),
        ("robot.top", "sys.modules['robot'].top()", 1),
        ("json:loads", "json.loads('1')", 1),
        ("os.path:join", "os.path.join('a', 'b')", "a/b"),
    ],
)
def test_in_the_place_of_the_real_thing(
    target: str, call: str, real: object, bot: Any, transient_failures: Make
) -> None:
    """The first call of whatever stands there raises, the next one is the real thing, with its own arguments and self."""
    flaky = transient_failures("EPIPE", target=target)
    names = {"bot": bot, "asyncio": asyncio, "json": json, "os": os, "sys": sys}
    assert isinstance(outcome(lambda: eval(call, names)), BrokenPipeError)  # noqa: S307 - our own words
    assert not flaky.recovered
    assert eval(call, names) == real  # noqa: S307 - our own words
    assert (flaky.calls, flaky.failures, flaky.recovered) == (2, 1, True)


def test_a_class_method_knows_its_class(bot: Any, transient_failures: Make) -> None:
    """It is called on the class that it was asked of; others of the class are not touched."""
    transient_failures("EPIPE", target="robot.net:Special.make")
    assert bot.Client.make() == (bot.Client, "made")
    with pytest.raises(BrokenPipeError):
        bot.Special.make()
    assert bot.Special.make("n") == (bot.Special, "n")


def test_everything_is_as_it_was(pytester: pytest.Pytester, bot: Any) -> None:
    """After a test that fails, each place holds the very same as before, inherited ones nothing; also if one was taken twice."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("name", ["fetch", "Client.get", "Special.get", "client.get", "Client.make", "Client.quote"])
        def test_one(name, transient_failures):
            transient_failures("EPIPE", target=f"robot.net:{name}", required=False)
            transient_failures("EIO", target=f"robot.net:{name}", required=False)
            assert False
        """
    )
    before = [dict(vars(owner)) for owner in (bot, bot.Client, bot.Special, bot.client)]
    pytester.runpytest_inprocess("-p", "no:xdist").assert_outcomes(failed=6)
    after = [dict(vars(owner)) for owner in (bot, bot.Client, bot.Special, bot.client)]
    assert [list(one) for one in after] == [list(one) for one in before]
    assert all(one[name] is value for one, two in zip(after, before, strict=True) for name, value in two.items())


def test_it_looks_like_the_real_thing(bot: Any, transient_failures: Make) -> None:
    """Name, signature and words are those of what it stands in for, and whether it is to be awaited."""
    transient_failures("EPIPE", target="robot.net:fetch", required=False)
    assert (bot.fetch.__name__, bot.fetch.__doc__) == ("fetch", "Fetch.")
    assert str(inspect.signature(bot.fetch)) == "(url, *, times=1)"
    around = transient_failures("EPIPE", wraps=bot.download, required=False)
    # The way to ask that also objects can answer: of 3.11, and of what follows it.
    awaited: Any = inspect.iscoroutinefunction if sys.version_info >= (3, 12) else asyncio.iscoroutinefunction
    assert awaited(around)
    assert inspect.iscoroutinefunction(around.function)
    assert not awaited(transient_failures("EPIPE", wraps=bot.fetch, required=False))


def test_awaited_ones_fail_where_they_are_awaited(bot: Any, transient_failures: Make) -> None:
    """Calling makes a coroutine and counts nothing; awaiting it raises, or returns what is planned, or the real answer."""
    call = transient_failures("ECONNRESET", "planned", wraps=bot.download)

    async def main() -> list[object]:
        first, second, third = call("a"), call("b"), call("c")
        assert call.calls == 0
        with pytest.raises(ConnectionResetError):
            await first
        return [await second, await third]

    assert asyncio.run(main()) == ["planned", "c"]
    assert (call.calls, call.failures, call.recovered) == (3, 1, True)


# ---------------------------------------------------------------- counting


def test_threads_share_the_plan(transient_failures: Make) -> None:
    """Of many calls at once exactly as many fail as planned, each is counted once."""
    call = transient_failures("EAGAIN", times=100, wraps=lambda: "real")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = [one.result() for one in [pool.submit(outcome, call) for _ in range(1000)]]
    assert sum(isinstance(one, BlockingIOError) for one in found) == call.failures == 100
    assert found.count("real") == 900
    assert call.calls == 1000


def test_recovery_is_of_a_call_that_began_later(transient_failures: Make) -> None:
    """A call that was under way when another failed proves nothing, and one that raises by itself neither."""
    inner: list[object] = []

    def real(depth: int) -> None:
        if depth:
            inner.append(outcome(call, 0))
        else:
            raise LookupError

    call = transient_failures(None, "EPIPE", wraps=real)
    call(1)
    assert isinstance(inner[0], BrokenPipeError)
    assert (call.failures, call.recovered) == (1, False)
    with pytest.raises(LookupError):
        call(0)
    assert not call.recovered
    call(1)
    assert call.recovered


def test_peace(faults: Faults, transient_failures: Make) -> None:
    """Once healed it is the real thing, whatever the plan had left."""
    call = transient_failures("EPIPE", then="repeat", wraps=lambda: "real")
    assert isinstance(outcome(call), BrokenPipeError)
    faults.heal()
    assert call() == "real"
    assert call.recovered


def test_never_called(pytester: pytest.Pytester) -> None:
    """A plan of which nothing happened fails the test, by name, unless it is allowed to."""
    pytester.makepyfile(
        """
        def test_one(transient_failures):
            transient_failures("EPIPE", "EIO", times=2, target="json:loads")
            transient_failures(TimeoutError, wraps=len)
            transient_failures("EPIPE", required=False)
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "Never fired: transient_failures: 2 times EPIPE, EIO from json:loads. *",
            "Never fired: transient_failures: TimeoutError from len. *",
        ]
    )
    assert result.stdout.str().count("\nNever fired: ") == 2


# ---------------------------------------------------------------- wrong words


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        (["ECONRESET"], {}, "There is no system error 'ECONRESET'. Did you mean 'ECONNRESET'?"),
        (["econnreset"], {}, "There is no system error 'econnreset'. Did you mean 'ECONNRESET'?"),
        (["2*EPIPE->ok"], {}, "'2*EPIPE->ok' looks like a plan in words.\nSay plan='2*EPIPE->ok'."),
        ([Odd], {}, "Odd cannot be made of nothing: "),
        ([], {}, "There is no outcome.\n"),
        (["EPIPE"], {"times": 0}, "times=0 is no number of times."),
        (["EPIPE"], {"times": True}, "times=True is no number of times."),
        (["EPIPE"], {"then": "okay"}, "There is no value of then 'okay'. Did you mean 'ok'?\nThere are: ok, repeat, error."),
        (["EPIPE"], {"plan": "EPIPE"}, "plan='EPIPE' says it all."),
        ([], {"plan": "2*EPIP"}, "The plan '2*EPIP' says 'EPIP'. Did you mean 'EPIPE'?"),
        ([], {"plan": "EPIPE(3)"}, "The plan 'EPIPE(3)' says EPIPE(3): EPIPE takes nothing in brackets."),
        (["EPIPE"], {"target": "a:b", "wraps": len}, "Both target= and wraps= say"),
        (["EPIPE"], {"wraps": 3}, "wraps=3 cannot be called."),
        (["EPIPE"], {"target": "robot.net:fetsh"}, "The path 'robot.net:fetsh' leads nowhere: robot.net has no 'fetsh'. Did you mean 'fetch'?"),
        (["EPIPE"], {"target": "robot.net:Client.gte"}, "The path 'robot.net:Client.gte' leads nowhere: Client has no 'gte'. Did you mean 'get'?"),
        (["EPIPE"], {"target": "robot.net:client.gte"}, "The path 'robot.net:client.gte' leads nowhere: Client has no 'gte'."),
        (["EPIPE"], {"target": "robot.netz:fetch"}, "There is no module 'robot.netz'. Did you mean 'robot.net'?"),
        (["EPIPE"], {"target": "robott.net.fetch"}, "There is no module 'robott'. Did you mean 'robot'?"),
        (["EPIPE"], {"target": "robot.netz.fetch"}, "There is no module 'robot.netz'. Did you mean 'robot.net'?"),
        (["EPIPE"], {"target": "robot.broken:x"}, "The module robot.broken cannot be imported: No module named 'nowhere_at_all'."),
        (["EPIPE"], {"target": "robot.worse:x"}, "The module robot.worse cannot be imported: ZeroDivisionError: "),
        (["EPIPE"], {"target": "robot.net"}, "'robot.net' is a module.\nSay what in it: robot.net:attr."),
        (["EPIPE"], {"target": "robot.net:a b"}, "'robot.net:a b' is no import path."),
        (["EPIPE"], {"target": "robot.net:"}, "'robot.net:' is no import path."),
        (["EPIPE"], {"target": ""}, "'' is no import path."),
        (["EPIPE"], {"target": "robot.net:Client"}, "robot.net:Client is a class."),
        (["EPIPE"], {"target": "robot.net:CONSTANT"}, "robot.net:CONSTANT is no callable but a int."),
        (["EPIPE"], {"target": "builtins:str.upper"}, "builtins:str.upper cannot be replaced: "),
    ],
)  # fmt: skip
def test_wrong_words_fail_at_the_call(
    words: list[Any], options: dict[str, Any], said: str, transient_failures: Make
) -> None:
    """What cannot be read, found or replaced is said at once, with what may have been meant."""
    with pytest.raises(UsageError) as refused:
        transient_failures(*words, **options)
    assert str(refused.value).startswith(said)


def test_a_module_within_a_module(transient_failures: Any) -> None:
    """A dotted path may go through a module that is another's attribute and in no package of it, as os.path is."""
    transient_failures("EIO", target="os.path.samefile")
    with pytest.raises(OSError, match="Input/output error"):
        os.path.samefile(".", ".")
