#!/bin/bash
# Installs the Debian 12 packages that Sluice needs, and nothing else. When none is missing it needs
# neither network nor root.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/install_deps.sh [--ci | --dev]

Installs the Debian packages that are missing: as root, else through sudo; where neither works it
prints the line to run and stops.

  (nothing)   what it takes to build Sluice and to build and run its tests
  --ci        also clang-format
  --dev       also ccache, clang-tidy, valgrind, strace, chromium and PyTorch
TEXT
}

basic=(g++ cmake ninja-build pkgconf libeigen3-dev libhwy-dev libfmt-dev libspdlog-dev nlohmann-json3-dev
  libcli11-dev libxxhash-dev libsentencepiece-dev zlib1g-dev catch2 python3)
ci=(clang-format)
# libopenblas0-pthread: without it PyTorch's matrix products run on the reference BLAS.
dev=(ccache clang clang-tidy valgrind strace chromium python3-numpy python3-torch
  libopenblas0-pthread)

case "${1-}" in
  "") wanted=("${basic[@]}") ;;
  --ci) wanted=("${basic[@]}" "${ci[@]}") ;;
  --dev) wanted=("${basic[@]}" "${ci[@]}" "${dev[@]}") ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
esac
if [ $# -gt 1 ]; then usage >&2 && exit 2; fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  cat >&2 <<TEXT
error: this is not Debian (no dpkg-query or apt-get), so nothing was installed.
Sluice is built and tested on Debian 12. Elsewhere, install what these Debian packages hold:
  ${wanted[*]}
(a C++20 compiler, CMake 3.25 or newer, Ninja, Eigen 3.4, Highway 1.0.3 or newer, fmt, spdlog,
nlohmann/json 3.11, CLI11 2.1, xxHash, zlib, SentencePiece 0.1.97; for the tests Catch2 2.13 and
Python 3), then build by hand:
  cmake --preset release && cmake --build build/release
TEXT
  exit 1
fi

installed() {
  dpkg-query --show --showformat='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}
missing=()
for package in "${wanted[@]}"; do
  installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "All ${#wanted[@]} packages that are needed are installed."
  exit 0
fi

install_line="apt-get install -y --no-install-recommends ${missing[*]}"
stop() {
  cat >&2 <<TEXT
error: $1. Run this as root, then start again:
  apt-get update && $install_line
TEXT
  exit 1
}

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || stop "packages are missing, and there is neither root nor sudo"
  if sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  elif [ -t 0 ]; then
    as_root=(sudo)
    echo "Packages are missing; sudo asks for your password to install them."
    sudo -v || stop "packages are missing, and sudo refused"
  else
    stop "packages are missing, and sudo needs a password that nobody is here to type"
  fi
fi

echo "Installing, with what they depend on: ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300
  -o Dpkg::Use-Pty=0)
# A third-party source that is down must not stop us; the installation itself decides.
"${apt[@]}" update || echo "warning: apt-get update failed; trying with the package lists at hand" >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" ||
  stop "the installation failed (Sluice is tested on Debian 12; its message is above)"
echo "Installed: ${missing[*]}"
