#!/usr/bin/env bash
# Formats the kernels; with --check, only says whether they are. One version, because each formats a
# little differently: fetched into target/ from a Python wheel.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=clang-format-21.1.2
. scripts/wheels.sh
wheels $folder clang-format==21.1.2
how=(-i)
if [ "${1:-}" = --check ]; then how=(--dry-run --Werror); fi
"target/$folder/bin/clang-format" "${how[@]}" kernels/*.cu kernels/*.cuh
