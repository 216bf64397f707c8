#!/usr/bin/env bash
# Runs the emulator's own tests, unless nothing in its folder has changed since they passed: then
# cuda-emulator/tested.sha256 has the digest of what is there. A run that passes writes it; commit
# it. With --always they run in any case.
set -euo pipefail
cd "$(dirname "$0")/.."

kept=cuda-emulator/tested.sha256
digest() {
    find cuda-emulator -type f ! -path "$kept" | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum
}
now=$(digest)
if [ "${1:-}" != --always ] && [ "$now" = "$(cat "$kept" 2>/dev/null)" ]; then
    echo "the emulator's own tests: SKIPPED: cuda-emulator/ is as it was when they passed last"
    exit
fi
. scripts/cuda_env.sh
cargo test --locked --package cuda-emulator
echo "$now" >"$kept"
echo "$kept is written: commit it with the change"
