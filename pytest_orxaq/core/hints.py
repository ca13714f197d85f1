"""When the other side wants us back: ``Retry-After``, as seconds or as a date."""

import math


def seconds_of(hint: object, *, now: float) -> float | None:
    """Seconds from ``now`` (Unix time) that a hint asks to wait for, never below 0; None if it makes no sense.

    A hint is a number of seconds, the text of one, an HTTP date, or a ``timedelta``.
    """
    if isinstance(hint, bytes):
        hint = hint.decode("latin-1")
    if hasattr(hint, "total_seconds"):
        hint = hint.total_seconds()
    match hint:
        case bool():
            return None
        case int() | float():
            return _sane(hint)
        case str():
            return _of_text(hint.strip(), now)
        case _:
            return None


def _of_text(text: str, now: float) -> float | None:
    # RFC 9110 knows whole seconds only; some servers send fractions.
    if text.replace(".", "", 1).isdecimal() and text.isascii():
        return _sane(float(text))
    from email.utils import mktime_tz, parsedate_tz  # noqa: PLC0415 - dear, and dates are rare

    try:
        read = parsedate_tz(text)
        # HTTP's dates are of Greenwich, also in the form that does not say so.
        return None if read is None else _sane(mktime_tz((*read[:9], read[9] or 0)) - now)
    except (ValueError, OverflowError, IndexError, TypeError):  # its parser was made for mail, not for enemies
        return None


def _sane(seconds: float) -> float | None:
    try:
        found = float(seconds)
    except OverflowError:
        return None
    return max(0.0, found) if math.isfinite(found) else None


def carried_by(answer: object) -> object:
    """The hint that an exception or a response carries: an attribute ``retry_after``, or the header; None without."""
    hint = getattr(answer, "retry_after", None)
    if hint is not None:
        return hint
    for holder in (getattr(answer, "response", None), answer):
        found = _in_headers(_headers_of(holder))
        if found is not None:
            return found
    return None


def _headers_of(holder: object) -> object:
    if isinstance(holder, dict):  # botocore
        metadata = holder.get("ResponseMetadata")
        return metadata.get("HTTPHeaders") if isinstance(metadata, dict) else None
    return getattr(holder, "headers", None)


def _in_headers(headers: object) -> object:
    get = getattr(headers, "get", None)
    if get is None:
        return None
    # Most libraries do not care about the case; a plain dictionary does.
    return next((found for name in ("Retry-After", "retry-after") if (found := get(name)) is not None), None)
