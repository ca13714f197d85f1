"""What callers hand in, looked at when they do: a mistake that is first found in the middle of trouble hides behind it."""

from collections.abc import Callable


_COROUTINE = 0x80  # inspect.CO_COROUTINE, whose module is dear


def is_number(found: object) -> bool:
    """Whether it is one, NaN and infinity too; True and False are none."""
    return isinstance(found, (int, float)) and not isinstance(found, bool)


def is_name(found: object) -> bool:
    """Whether it is a text that a database takes: there are none with lone surrogates, as names of files may have."""
    return isinstance(found, str) and bool(found) and not any("\ud800" <= letter <= "\udfff" for letter in found)


def require_function(name: str, found: object) -> None:
    """Raise TypeError for what cannot be called, or not without `await`: a coroutine that nobody awaits is true."""
    if not callable(found):
        raise TypeError(f"{name} is a function, not {found!r}")
    for code in (getattr(found, "__code__", None), getattr(getattr(found, "__call__", None), "__code__", None)):  # noqa: B004 - its code is asked for
        if code is not None and code.co_flags & _COROUTINE:
            raise TypeError(f"{name} cannot be a coroutine function: nobody awaits what {found!r} returns")


def require_callable(found: object, user: str) -> None:
    """Raise TypeError for what nobody can decorate."""
    if not callable(found):
        order = ": put it below @classmethod" if isinstance(found, classmethod) else ""
        raise TypeError(f"{user} decorates what can be called, not {found!r}{order}")


def judge(on: object) -> Callable[[Exception], bool]:
    """The function that ``on`` is, or stands for. Raises TypeError."""
    kinds = on if isinstance(on, tuple) else (on,)
    if kinds and all(isinstance(kind, type) for kind in kinds):
        for kind in kinds:
            if not issubclass(kind, Exception):
                raise TypeError(
                    f"{kind.__name__} is never retried, nor a failure: only Exception and what derives from it"
                )
        return kinds[0].__instancecheck__ if len(kinds) == 1 else lambda error: isinstance(error, kinds)
    if isinstance(on, tuple) or not callable(on):
        raise TypeError(f"on is an exception type, a tuple of them, or a function of an exception, not {on!r}")
    require_function("on", on)
    return on
