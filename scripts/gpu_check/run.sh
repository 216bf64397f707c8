#!/usr/bin/env bash
# Checks and measures on a machine with a GPU, in at most 540 seconds; a step that fails or takes too
# long does not stop the others. `run.sh [--tiny] [FOLDER]` writes 8 files to FOLDER (results/):
#
#   env.txt        the device, the driver, what is installed
#   tests.log      the promises on the device, and again on machine code that the driver compiles
#   sanitizer.log  every kernel under compute-sanitizer's four tools
#   bench.csv      every operation
#   torch.csv      what PyTorch takes for the same
#   variants.csv   Bi-half's forward by each kernel that can do it
#   ncu.csv        registers, occupancy and bytes of some kernels
#   summary.txt    what passed, ours / torch / floor, the plan's table refitted
#
# --tiny is for a device that is emulated: few tests, tiny shapes.
set -uo pipefail
cd "$(dirname "$0")"

tiny=()
[ "${1:-}" = --tiny ] && { tiny=(--tiny); shift; }
out=${1:-results}
mkdir -p "$out"
: >"$out/summary.txt"
# A copy of the emulator lies here where there is one.
[ -e libcuda.so.1 ] && export LD_LIBRARY_PATH=$PWD${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export BIHALF_REQUIRE_GPU=1 BIHALF_TEST_ONLY_CUDA=all RUST_BACKTRACE=0

say() { echo "$*" | tee -a "$out/summary.txt"; }
has() { command -v "$1" >/dev/null 2>&1; }
# Runs a step of at most so many seconds.
step() {
    local name=$1 seconds=$2 start=$SECONDS code=0
    shift 2
    timeout "$seconds" "$@" || code=$?
    case $code in
        0) say "$name: passed in $((SECONDS - start)) s" ;;
        124) say "$name: FAILED: not done in $seconds s" ;;
        *) say "$name: FAILED with code $code" ;;
    esac
}
skipped() { say "$1: SKIPPED: $2"; }

environment() {
    cat commit
    uname -a
    nproc
    nvidia-smi 2>&1
    nvcc --version 2>&1
    ncu --version 2>&1
    compute-sanitizer --version 2>&1
    python3 -c 'import torch; print("torch", torch.__version__, torch.version.cuda)' 2>&1
    true
}
tests=(rank bihalf sign codes relax loss cuda threshold search retrieval)
[ "${#tiny[@]}" -gt 0 ] && tests=(cuda_memory::)
run_tests() { ./ops "${tests[@]}" >>"$out/tests.log" 2>&1; }
run_compiled() { CUDA_FORCE_PTX_JIT=1 CUDA_CACHE_DISABLE=1 ./ops cuda:: >>"$out/tests.log" 2>&1; }
every_kernel=cuda::every_kernel_is_launched_by_an_operation
run_sanitizer() {
    local tool failed=0 jobs=()
    for tool in memcheck racecheck initcheck synccheck; do
        BIHALF_TEST_CHILD=1 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            ./ops "$every_kernel" --exact --nocapture >"$out/$tool.part" 2>&1 &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job" || failed=1; done
    for tool in memcheck racecheck initcheck synccheck; do
        { echo "== $tool"; tail -n 200 "$out/$tool.part"; } >>"$out/sanitizer.log"
        rm "$out/$tool.part"
    done
    return "$failed"
}
run_ncu() {
    local shape
    for shape in Forward:32:64 Forward:1024:64 Forward:4096:128 Forward:65536:512 \
        Forward:1048576:64 Rank:1024:64 Rank:65536:64 SignPacked:1048576:64 \
        Backward:1048576:64 EntropyPenalty:1048576:64 Cosine:4096:128 Nearest:100:1000000; do
        IFS=: read -r op rows cols <<<"$shape"
        ncu --csv --set full ./gpu --once "$op" "$rows" "$cols" 2>/dev/null >>"$out/ncu.csv"
    done
}
export -f environment run_tests run_compiled run_sanitizer run_ncu
export out every_kernel
# Functions that timeout can run.
shell() { step "$1" "$2" bash -c "tests=(${tests[*]}); $3"; }

: >"$out/tests.log" >"$out/sanitizer.log" >"$out/bench.csv"
: >"$out/torch.csv" >"$out/variants.csv" >"$out/ncu.csv"
shell env 10 'environment >"$out/env.txt"'
shell tests 100 run_tests
if has compute-sanitizer; then
    shell sanitizer 90 run_sanitizer
else
    skipped sanitizer "compute-sanitizer is not installed"
fi
step bench 80 bash -c './gpu "$@" >"$out/bench.csv"' gpu --seconds 65 "${tiny[@]}"
if python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    step torch 70 bash -c 'python3 torch_baseline.py "$@" >"$out/torch.csv"' torch --seconds 55 "${tiny[@]}"
else
    skipped torch "python3 has no torch that sees a device"
fi
step variants 70 bash -c './gpu "$@" >"$out/variants.csv"' gpu --variants --seconds 55 "${tiny[@]}"
if has ncu; then
    shell ncu 60 run_ncu
else
    skipped ncu "ncu is not installed"
fi
if [ "${#tiny[@]}" -gt 0 ]; then
    skipped compiled "an emulated device compiles nothing"
else
    shell compiled 50 run_compiled
fi
step report 5 bash -c 'python3 report.py "$out/bench.csv" "$out/torch.csv" >>"$out/summary.txt"'
step refit 5 bash -c 'python3 refit.py "$out/variants.csv" "$out/env.txt" >>"$out/summary.txt"'
cat "$out/summary.txt"
! grep -q FAILED "$out/summary.txt"
