#!/usr/bin/env bash
# Builds a manylinux wheel into dist/, proves that it carries its libraries, and tries it in a fresh
# environment. Runs in the project root after `make setup`.
set -euo pipefail

python=$PWD/.venv/bin/python
raw=build/wheel
rm -rf "$raw"
mkdir -p "$raw" dist

"$python" scripts/requirements.py wheel >.venv/requirements-wheel.txt
"$python" -m pip install --quiet --disable-pip-version-check --requirement .venv/requirements-wheel.txt
"$python" -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir "$raw" \
    --config-settings=cmake.define.EXSHADOW_STATIC_DEPS=ON \
    --config-settings=build-dir='build/static-{wheel_tag}' .
wheel=$(echo "$raw"/exshadow-*.whl)

shown=$("$python" -m auditwheel show "$wheel")
echo "$shown"
if grep liburing <<<"$shown"; then
    echo "The wheel needs shared libraries that no policy allows; EXSHADOW_STATIC_DEPS did not reach them." >&2
    exit 1
fi
rm -f dist/exshadow-*.whl
PATH=$PWD/.venv/bin:$PATH "$python" -m auditwheel repair --wheel-dir dist "$wheel"
wheel=$PWD/$(echo dist/exshadow-*manylinux*.whl)

trial=$(mktemp -d)
trap 'rm -rf "$trial"' EXIT
"$python" -m venv "$trial/venv"
cd "$trial"
venv/bin/pip install --quiet --disable-pip-version-check "$wheel"
venv/bin/python -c 'import exshadow, exshadow._core; print("imported from", exshadow.__file__)'
venv/bin/exshadow --version
if venv/bin/exshadow --help | grep -qw demo; then
    EXSHADOW_STATE=$trial/state venv/bin/exshadow demo --size small
fi
echo "ready: $wheel"
