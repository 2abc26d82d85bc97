#!/usr/bin/env bash
# Installs the Debian packages that the tests need besides Python and g++, or the packages given as arguments. Without root or
# apt-get it prints the missing packages and fails. The service itself needs none of them.
set -euo pipefail

packages=("$@")
if [ $# -eq 0 ]; then
    packages=(g++-aarch64-linux-gnu qemu-user chromium postgresql prometheus)
    # Any installed Node is fine.
    command -v npm >/dev/null || packages+=(nodejs npm)
    # Commands in examples/annotation_backend/README.md use curl, and one in docs/clients.md uses jq.
    command -v curl >/dev/null || packages+=(curl)
    command -v jq >/dev/null || packages+=(jq)
fi

missing=()
for package in "${packages[@]}"; do
    dpkg-query --show --showformat='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing Debian packages: ${missing[*]} (install them, or run this as root)" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
