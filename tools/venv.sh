#!/usr/bin/env bash
# Make a virtual environment that holds exactly what requirements.lock lists: tools/venv.sh DIRECTORY
# uv does it where it is installed, else the pip that comes with Python.
set -euo pipefail

venv=${1:?usage: tools/venv.sh DIRECTORY}
python=${PYTHON:-python3}
lock=requirements.lock

fail() {
    echo "flannelviz: $*" >&2
    exit 1
}

# Debian ships Python without the module that puts pip into a new environment.
python_can_make_environments() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

install_debian_venv() {
    local package
    package=python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
        fail "$python cannot make virtual environments; install $package (apt-get install $package) or uv"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"
}

command -v "$python" >/dev/null || fail "$python is not installed; install Python 3.11 or later"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is $("$python" --version); Python 3.11 or later is needed (make PYTHON=python3.12)"

if command -v uv >/dev/null; then
    echo "flannelviz: installing $lock into $venv with uv"
    uv venv --quiet --clear --python "$("$python" -c 'import sys; print(sys.executable)')" "$venv"
    uv pip install --quiet --python "$venv/bin/python" --require-hashes -r "$lock"
else
    python_can_make_environments || install_debian_venv
    echo "flannelviz: installing $lock into $venv"
    "$python" -m venv --clear "$venv"
    pip=("$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input --require-hashes)
    # pip needs a minute for all of it, uv some seconds; where uv finds no registry, as pip's settings are not its own,
    # pip does it.
    "${pip[@]}" -r <(sed -n '/^uv==/,/^[^ ]/{/^uv==\|^ /p}' "$lock")
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r "$lock" ||
        "${pip[@]}" -r "$lock"
fi

# JupyterLab shall not ask about news, nor look for any.
install -D -m 644 tools/overrides.json "$venv/share/jupyter/lab/settings/overrides.json"
