#!/usr/bin/env bash
# Formats the kernels; with --check, only says whether they are. One version, because each formats a
# little differently: fetched into target/ from a Python wheel.
set -euo pipefail
cd "$(dirname "$0")/.."

version=21.1.2
folder=target/clang-format-$version
if [ ! -e "$folder/complete" ]; then
    command -v python3 >/dev/null || { echo "format_kernels.sh: python3 is missing" >&2; exit 1; }
    rm -rf "$folder"
    python3 -m venv "$folder" >&2 ||
        { echo "format_kernels.sh: install python3-venv" >&2; exit 1; }
    "$folder/bin/pip" install --quiet --disable-pip-version-check clang-format==$version >&2
    touch "$folder/complete"
fi
how=(-i)
if [ "${1:-}" = --check ]; then how=(--dry-run --Werror); fi
"$folder/bin/clang-format" "${how[@]}" kernels/*.cu kernels/*.cuh
