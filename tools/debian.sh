#!/usr/bin/env bash
# See to it that the tests find what no Python package brings: a browser, the library that playwright's driver is linked
# against, and what a lab in the kernel is made of.
# FV_CHROMIUM names another browser, CNI_PATH another folder of CNI plugins.
set -euo pipefail

lab=(containernetworking-plugins iptables iproute2 util-linux)

have() {
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null
}

have_browser() {
    local browser
    for browser in "${FV_CHROMIUM:-}" chromium chromium-browser google-chrome; do
        if [ -n "$browser" ] && have "$browser"; then return 0; fi
    done
    return 1
}

have_driver() {
    local folder
    [ "$(uname -s)" = Linux ] || return 0
    for folder in /lib /usr/lib /lib64 /usr/lib64; do
        if compgen -G "$folder/libatomic.so.1" || compgen -G "$folder/*/libatomic.so.1"; then return 0; fi
    done >/dev/null
    return 1
}

have_lab() {
    local folder
    have unshare && have ip && have iptables-restore || return 1
    for folder in ${CNI_PATH:-/usr/lib/cni /opt/cni/bin}; do
        if [ -x "$folder/bridge" ] && [ -x "$folder/host-local" ] && [ -x "$folder/loopback" ]; then return 0; fi
    done
    return 1
}

packages=()
have_browser || packages+=(chromium fonts-dejavu-core)
have_driver || packages+=(libatomic1)
[ "${1:-}" = browser ] || [ "$(uname -s)" != Linux ] || have_lab || packages+=("${lab[@]}")
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "flannelviz: installing Debian's ${packages[*]} for the tests"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
elif have_browser && have_driver; then
    echo "flannelviz: no lab in the kernel without ${lab[*]} (apt-get install ${lab[*]}); its tests will say so" >&2
else
    echo "flannelviz: the browser tests need Chromium; install it (apt-get install chromium libatomic1) or set FV_CHROMIUM" >&2
    exit 1
fi
