#!/usr/bin/env bash
# See to it that the browser tests find a browser: Debian's Chromium, or the one that FV_CHROMIUM names.
set -euo pipefail

for browser in "${FV_CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [ -n "$browser" ] && command -v "$browser" >/dev/null; then
        exit 0
    fi
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "flannelviz: installing Debian's Chromium for the browser tests"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
else
    echo "flannelviz: the browser tests need Chromium; install it (apt-get install chromium) or set FV_CHROMIUM" >&2
    exit 1
fi
