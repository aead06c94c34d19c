#!/bin/bash
# Installs what is missing, builds everything and runs all tests. Arguments go to ctest, e.g.
# `scripts/test.sh -R Softmax`. Tests that need larger corpora find them through SLUICE_CORPORA
# and skip themselves without it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install_deps.sh
cmake --preset dev
cmake --build build/dev --parallel "$(nproc)"
exec ctest --test-dir build/dev --output-on-failure --parallel "$(nproc)" "$@"
