#!/usr/bin/env bash
# Runs all tests. Needs Rust, a C compiler and, unless nvcc is installed, Python 3: nvcc is then
# fetched into target/. Tests of CUDA run on a GPU if there is one, else on the emulator.
set -euo pipefail
cd "$(dirname "$0")"

need() {
    command -v "$1" >/dev/null || { echo "test.sh: $1 is missing: $2" >&2; exit 1; }
}
need cargo "install Rust 1.89 or later (https://rustup.rs)"
need cc "install a C compiler, for instance the package gcc or clang"

. scripts/cuda_env.sh
. scripts/step.sh

# The core and the candle adapter with overflow checks and debug assertions: units, every promise on
# the CPU and on CUDA (where that is the emulator, as a device of capability 8.0 that does all in
# order), examples, documentation. Together, so that both are compiled once.
step cargo test --locked --package bihalf --package bihalf-candle --features bihalf/cuda,bihalf/ndarray
# The CUDA promises again, on part of the cases each, as other devices and other schedules have it.
run() {
    step env BIHALF_TEST_ONLY_CUDA="$1" "${@:2}" cargo test --quiet --locked \
        --package bihalf --package bihalf-candle --features bihalf/cuda,bihalf/ndarray --test ops -- \
        rank bihalf sign codes relax loss cuda threshold torch extremes
}
run 1 CUDAEMU_CC=75 CUDAEMU_BLOCK_ORDER=reverse CUDAEMU_STREAMS=eager
run 2 CUDAEMU_CC=90 CUDAEMU_SEED=1
# Without the thread pool, which one file knows of: each operation gives what its documentation
# says, and allocates nothing. That results do not depend on threads is tested above.
step cargo test --locked --package bihalf --no-default-features --test allocations
step cargo test --locked --package bihalf --no-default-features --doc
# The emulator itself, if it has changed.
step scripts/emulator_tests.sh
