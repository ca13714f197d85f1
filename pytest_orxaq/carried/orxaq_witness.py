"""The witness's door: lets in every pytest that the witness understands, and harms no other Python.

PYTEST_DONT_REWRITE. The gate cannot know whose PYTHONPATH it is on, so this file runs on Python 2.7 too, where
its old pytest would die of a plugin that does not compile.
"""

import sys


if sys.version_info >= (3, 7):  # noqa: UP036  # pragma: no branch  # older ones do come by
    import pytest

    if int(pytest.__version__.split(".")[0]) >= 7:  # pragma: no branch
        # Pytest takes its hooks from here. The folder stands on the path under no package's name.
        from orxaq_witness_py3 import pytest_configure  # type: ignore[import-not-found,import-untyped,unused-ignore] # noqa: F401
