#!/usr/bin/env bash
# Renew requirements.lock from pyproject.toml, and with it the pins of binder/requirements.txt.
# The lock names no address, so that it installs from wherever uv or pip is told to look.
set -euo pipefail

python=${PYTHON:-python3}

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    throwaway=$(mktemp -d)
    trap 'rm -rf "$throwaway"' EXIT
    "$python" -m venv "$throwaway"
    "$throwaway/bin/python" -m pip install -qq --disable-pip-version-check uv
    uv=$throwaway/bin/uv
fi

"$uv" pip compile --quiet --upgrade --universal --python-version 3.11 --extra test \
    --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-package flannelviz \
    --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
"$python" tools/binder_pins.py
