# Build the wheel and run the tests against it that meet what packaging can lose, with the package's sources out of sight:
# commands, plugins, templates, catalogue, witness. The other tests import the same modules from wherever they are.
# Usage: sh tests/wheel.sh PYTHON   (from the repository's top)
set -eu
python=$1
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"$python" -m build --quiet --outdir "$room/dist" . >"$room/build.log" 2>&1 || { cat "$room/build.log"; exit 1; }
"$python" -m venv "$room/venv"
"$room/venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
"$room/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$room"/dist/*.whl --group pyproject.toml:test
mkdir "$room/checkout"
# Everything that tests need, except the package and its templates.
git ls-files -z -- tests docs benchmarks README.md CHANGELOG.md Makefile pyproject.toml LICENSE \
    | xargs -0 tar -cf - | tar -xf - -C "$room/checkout"
cd "$room/checkout"
"$room/venv/bin/python" -m pytest -n auto --dist worksteal -q tests/report \
    tests/test_catalogue.py tests/test_cli.py tests/test_config.py tests/test_demonstration.py tests/test_gate.py \
    tests/test_plugin.py tests/test_readme.py tests/test_rerun.py tests/test_witness.py \
    tests/faults/test_fixtures.py tests/faults/test_cli_faults.py tests/faults/test_gate_reports.py
