"""pytest-orxaq keeps unattended work in a git repository alive and honest."""

__version__ = "0.1.0"

__all__ = ["__version__"]
