#!/usr/bin/env bash
# Makes .venv with what pyproject.toml asks for: build requirements, dependencies and test tools.
# usage: venv.sh [PYTHON]; without PYTHON the first python3 of version 3.11 or newer is taken.
set -euo pipefail

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

python=${1:-}
if [[ -z $python ]]; then
    for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        if usable "$candidate"; then
            python=$candidate
            break
        fi
    done
fi
if [[ -z $python ]] || ! usable "$python"; then
    echo "Python 3.11 or newer is needed: make setup PYTHON=/path/to/python3" >&2
    exit 1
fi

# A half-made environment (no pip) or one whose python has gone is made anew.
if ! usable .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    "$python" -m venv --clear .venv
fi
.venv/bin/python scripts/requirements.py build run test >.venv/requirements.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement .venv/requirements.txt
