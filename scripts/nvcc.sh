#!/usr/bin/env bash
# Prints the path of an nvcc: this machine's, or one that it fetches from Python wheels into
# target/nvcc. All wheels are of one release, or headers and compiler would not fit.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${NVCC:-}" ]; then
    command -v "$NVCC" ||
        { echo "nvcc.sh: NVCC=$NVCC is not there; correct it or unset it" >&2; exit 1; }
    exit
fi
for nvcc in "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" "${CUDA_PATH:+$CUDA_PATH/bin/nvcc}" \
    "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
    if [ -n "$nvcc" ] && [ -x "$nvcc" ]; then
        echo "$nvcc"
        exit
    fi
done

. scripts/wheels.sh
wheels nvcc \
    nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
nvcc=$(echo "$PWD"/target/nvcc/lib/python3*/site-packages/nvidia/cu13/bin/nvcc)
[ -x "$nvcc" ] || { echo "nvcc.sh: no nvcc among the wheels in target/nvcc" >&2; exit 1; }
echo "$nvcc"
