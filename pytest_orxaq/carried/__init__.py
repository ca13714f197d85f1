"""What the gate carries to a foreign pytest: this folder stands in front of its PYTHONPATH.

The entry point of the ``.dist-info`` beside this file lets pytest find the witness. ``-p`` in ``PYTEST_ADDOPTS``
would not do: a recipe that sets ``PYTHONPATH`` itself, or ``python -I``, drops the folder and keeps the options,
and pytest dies of a plugin that it cannot find. There is no RECORD: pytest would rewrite what it lists.
"""
