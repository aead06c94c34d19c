#!/bin/bash
# Formats the C++ sources with clang-format 14, Debian 12's; with --check changes nothing and fails
# when something would change.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1-}" in
  "") mode=(-i) ;;
  --check) mode=(--dry-run --Werror) ;;
  *) echo "usage: scripts/format.sh [--check]" >&2 && exit 2 ;;
esac

# Other versions lay out some lines differently, so one version decides.
formatter=$(command -v clang-format-14 || command -v clang-format) || {
  echo "error: clang-format is not installed; scripts/install_deps.sh --dev installs it" >&2
  exit 1
}
if ! "$formatter" --version | grep -q 'version 14\.'; then
  echo "error: clang-format 14 is needed, found: $("$formatter" --version)" >&2
  exit 1
fi

find src include tests -name '*.h' -print0 -o -name '*.cc' -print0 |
  xargs -0 -r "$formatter" "${mode[@]}"
