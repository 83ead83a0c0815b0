#!/usr/bin/env bash
# Open JupyterLab on the notebooks: tools/lab.sh VENV PORT
# Without a display no browser is started: the address is printed instead.
set -euo pipefail

venv=${1:?usage: tools/lab.sh VENV PORT}
port=${2:?usage: tools/lab.sh VENV PORT}
options=(
    --config=tools/jupyter_server_config.py
    --ServerApp.root_dir=notebooks
    --ip=127.0.0.1
    --port="$port"
    --LabApp.news_url=None
    --LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate
)

if [ "$(uname)" != Darwin ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    options+=(--no-browser)
    echo "flannelviz: no display here; open the address below in a browser"
fi
if [ "$(id -u)" = 0 ]; then
    options+=(--allow-root)
fi

# The notebooks are not marked as trusted: a page that was not run yet then shows the saved pictures and tables, which
# need no kernel. Controls come to life when a cell is run.
exec "$venv/bin/python" -m jupyter lab "${options[@]}"
