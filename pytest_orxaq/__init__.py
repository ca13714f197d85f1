"""pytest-orxaq keeps unattended work in a git repository alive and honest."""

from .version import __version__


__all__ = ["__version__"]
