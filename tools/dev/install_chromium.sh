#!/usr/bin/env bash
# Install a Chromium for the browser tests (tests/web/test_browser.py), which are skipped without one.
# Debian's and Ubuntu's package if we may install it, or else the one that playwright downloads.
set -euo pipefail
cd "$(dirname "$0")/../.."

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" > /dev/null; then
        echo "$(command -v "$name") is there already"
        exit 0
    fi
done
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo -n)
if command -v apt-get > /dev/null && "${sudo[@]}" true 2> /dev/null; then
    "${sudo[@]}" apt-get update -qq
    if "${sudo[@]}" apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core > /dev/null; then
        exit 0
    fi
fi
exec "${BIN:-.venv/bin}/python" -m playwright install chromium
