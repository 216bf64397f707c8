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

folder=target/cuobjdump
if [ ! -e "$folder/complete" ]; then
    echo "cuobjdump.sh: fetching cuobjdump 13.2.51 into $folder" >&2
    rm -rf "$folder"
    python3 -m venv "$folder" >&2 ||
        { echo "cuobjdump.sh: python3 cannot make a virtual environment: install python3-venv" >&2; exit 1; }
    "$folder/bin/pip" install --quiet --disable-pip-version-check \
        nvidia-cuda-cuobjdump==13.2.51 nvidia-cuda-nvdisasm==13.2.51 >&2
    touch "$folder/complete"
fi
tool=$(echo "$PWD/$folder"/lib/python3*/site-packages/nvidia/cu13/bin/cuobjdump)
[ -x "$tool" ] || { echo "cuobjdump.sh: no cuobjdump in the wheel in $folder" >&2; exit 1; }
echo "$tool"
