#!/usr/bin/env bash
# Tests bihalf-candle's CUDA ops, candle's own kernels among them, on the emulator: about four minutes
# on two cores, of which candle's kernels take two. Everything but the products of matrices runs as
# compiled; these are blas.c's.
set -euo pipefail
cd "$(dirname "$0")/../.."

. scripts/cuda_env.sh
BIHALF_NVCC=$NVCC
export BIHALF_NVCC
here=$PWD/scripts/candle_on_emulator
root=$PWD/target/candle-on-emulator
mkdir -p "$root"/{bin,lib,include}
cp "$here/nvcc.sh" "$root/bin/nvcc"
ln -sf "$(dirname "$NVCC")/fatbinary" "$root/bin/fatbinary"
# Where candle looks for the toolkit.
cp "$(dirname "$NVCC")/../include/cuda.h" "$root/include/"

# The emulator under a driver's name, and libraries that are linked by name.
cargo build --locked --package cuda-emulator
cp target/debug/libcuda_emulator.so "$root/lib/libcuda.so.1"
ln -sf libcuda.so.1 "$root/lib/libcuda.so"
library() { cc -O1 -shared -fPIC "$@"; }
library "$here/blas.c" -lm -o "$root/lib/libcublas.so"
for name in cublasLt curand nvrtc cudart; do
    library -x c /dev/null -o "$root/lib/lib$name.so"
done

export NVCC="$root/bin/nvcc" PATH="$root/bin:$PATH"
export CUDA_ROOT=$root CUDA_PATH=$root CUDA_HOME=$root CUDA_COMPUTE_CAP=80
export CARGO_TARGET_DIR=$root/target LD_LIBRARY_PATH="$root/lib"
# A finding is a failure.
export CUDAEMU_EXIT=1
# What of the machine code that is left out is never called, and cuRAND lies in cuBLAS here.
export RUSTFLAGS="-L native=$root/lib -C link-arg=-Wl,--unresolved-symbols=ignore-all \
    -C link-arg=-Wl,--no-as-needed"
cargo test --locked --package bihalf-candle --features cuda --tests "$@"
