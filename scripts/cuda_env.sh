# Source this before building feature `cuda` for the tests: an nvcc, and what the tests want of it.
NVCC=$("$(dirname "${BASH_SOURCE[0]}")/nvcc.sh") || exit 1
export NVCC PATH="$(dirname "$NVCC"):$PATH" BIHALF_REQUIRE_NVCC=1
# PTX of other architectures, so that what is compiled for them alone runs on the emulator too; and
# source lines for its messages.
export BIHALF_CUDA_PTX=75,80,90 BIHALF_CUDA_LINEINFO=1
BIHALF_CUOBJDUMP=$("$(dirname "${BASH_SOURCE[0]}")/cuobjdump.sh") || exit 1
export BIHALF_CUOBJDUMP
