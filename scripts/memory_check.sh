#!/usr/bin/env bash
# Runs every CPU operation on small inputs under valgrind's memcheck, as plain code and with AVX2
# (of AVX-512 valgrind knows nothing). Takes arguments of cargo test that choose the build.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || { echo "valgrind: SKIPPED: it is not installed"; exit 0; }
triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export "CARGO_TARGET_${triple}_RUNNER=valgrind --quiet --error-exitcode=1"
sets=(portable)
if grep -qw avx2 /proc/cpuinfo; then sets+=(avx2); else echo "AVX2: SKIPPED: this machine has none"; fi
for set in "${sets[@]}"; do
    BIHALF_CPU_ISA=$set BIHALF_TEST=few cargo test --quiet "$@" --test ops -- \
        isa::small guard_pages::random rank::rank_takes
done
