#!/usr/bin/env bash
# Installs the Debian packages that building and testing need, and only those that are missing.
set -euo pipefail

packages=(
    build-essential cmake ninja-build pkg-config ccache patchelf   # build
    liburing-dev librapidxml-dev nlohmann-json3-dev                # libraries
    python3-venv python3-dev
    doctest-dev clang libclang-rt-dev clang-format clang-tidy      # tests, fuzzing and lint
    qemu-utils qemu-system-common libnbd-bin python3-libnbd nbdkit fio e2fsprogs xfsprogs btrfs-progs ntfs-3g dosfstools sqlite3 util-linux fdisk attr  # peers
    g++-mingw-w64-x86-64-posix wine wine64 libcli11-dev            # Windows: cross build, tests/wine
    fuse3 nbd-client qemu-system-x86 busybox-static cpio postgresql kmod mariadb-server-core mariadb-client  # tests/interop (nbdfuse is in libnbd-bin)
    systemd chromium  # timers judged by systemd itself, the report looked at in a browser
    libesedb-utils  # bench: esedbinfo beside the checker of ESE files
)

if ! command -v dpkg >/dev/null; then
    echo "Not a Debian system: install what matches these packages yourself: ${packages[*]}" >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null || true)
    [[ $status == "install ok installed" ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
    exit 0
fi

if ((EUID != 0)); then
    echo "Packages are missing and only root can install them. Run this, then try again:" >&2
    echo "  sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends ${missing[*]}'" >&2
    exit 1
fi
echo "Installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends "${missing[@]}"
