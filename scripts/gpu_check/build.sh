#!/usr/bin/env bash
# Packs what run.sh needs for a machine with a GPU and without Rust, into target/gpu_check.tar.gz:
# the tests and the benchmark, compiled for the architectures of BIHALF_CUDA_ARCHS (90 by default).
# With --emulated it packs the tests' own build and the emulator instead, unoptimised and as PTX.
set -euo pipefail
cd "$(dirname "$0")/../.."

LARGEST_MB=40
NVCC=$(scripts/nvcc.sh)
export NVCC BIHALF_REQUIRE_NVCC=1
stage=target/gpu_check
rm -rf "$stage"
mkdir -p "$stage"

if [ "${1:-}" = --emulated ]; then
    . scripts/cuda_env.sh
    build=(cargo test --package bihalf --package bihalf-candle --features bihalf/cuda,bihalf/ndarray)
else
    export BIHALF_CUDA_ARCHS=${BIHALF_CUDA_ARCHS:-90}
    build=(cargo test --release --package bihalf --features cuda)
fi
# The path of an executable that cargo has built.
built() {
    "${build[@]}" --locked --no-run --message-format=json "$@" |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}
tests=$(built --test ops)
cp "$tests" "$stage/ops"
cp "$(built --bench gpu)" "$stage/gpu"
if [ "${1:-}" = --emulated ]; then
    # Under the name that a driver has.
    cp "$(dirname "$tests")/libcuda_emulator.so" "$stage/libcuda.so.1"
fi
strip "$stage/ops" "$stage/gpu"
cp scripts/gpu_check/{run.sh,torch_baseline.py,report.py,refit.py} "$stage"
git rev-parse HEAD >"$stage/commit" 2>/dev/null || echo unknown >"$stage/commit"
tar -czf target/gpu_check.tar.gz -C target gpu_check

size=$(($(stat -c %s target/gpu_check.tar.gz) >> 20))
echo "target/gpu_check.tar.gz: $size MB"
[ "$size" -lt "$LARGEST_MB" ] || { echo "build.sh: more than $LARGEST_MB MB" >&2; exit 1; }
