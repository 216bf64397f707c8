#!/usr/bin/env bash
# Prints the path of a cuobjdump, which shows a kernel's machine instructions: this machine's, or one
# that it fetches from a Python wheel into target/cuobjdump. It reads what older toolkits compile.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in "${NVCC:+$(dirname "$NVCC")/cuobjdump}" "$(command -v cuobjdump || true)" \
    /usr/local/cuda/bin/cuobjdump; do
    if [ -n "$tool" ] && [ -x "$tool" ]; then
        echo "$tool"
        exit
    fi
done

. scripts/wheels.sh
wheels cuobjdump nvidia-cuda-cuobjdump==13.2.51 nvidia-cuda-nvdisasm==13.2.51
tool=$(echo "$PWD"/target/cuobjdump/lib/python3*/site-packages/nvidia/cu13/bin/cuobjdump)
[ -x "$tool" ] || { echo "cuobjdump.sh: no cuobjdump in the wheel in target/cuobjdump" >&2; exit 1; }
echo "$tool"
