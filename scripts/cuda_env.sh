# Source this before building feature `cuda` for the tests: an nvcc, and what the tests want of it.
NVCC=$("$(dirname "${BASH_SOURCE[0]}")/nvcc.sh") || exit 1
export NVCC PATH="$(dirname "$NVCC"):$PATH" BIHALF_REQUIRE_NVCC=1
# PTX alone, which is what the emulator reads and a driver compiles: of 7.5, which is what devices
# of 8.x without machine code of their own get too, and of 9.0, whose source has more.
# BIHALF_CUDA_LINEINFO=1 adds source lines to the emulator's messages.
export BIHALF_CUDA_ARCHS=none BIHALF_CUDA_PTX=75,90 BIHALF_CUDA_COMPRESS=0
BIHALF_CUOBJDUMP=$("$(dirname "${BASH_SOURCE[0]}")/cuobjdump.sh") || exit 1
export BIHALF_CUOBJDUMP
