"""Calls to what may not answer."""

from .breaker import Breaker, BreakerOpenError, Permit


__all__ = ["Breaker", "BreakerOpenError", "Permit"]
