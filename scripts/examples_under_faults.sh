#!/usr/bin/env bash
# What the examples do where the system gives less than they ask for: no reader, no room, no
# threads, no place for results. They end without a panic, by a message with a remedy, and earlier
# results stay.
set -euo pipefail
cd "$(dirname "$0")/.."

features=target/debug/examples/hash_features digits=target/debug/examples/mnist_autoencoder
any=target/debug/examples/any_backend
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Runs the rest in a shell; fails unless the exit code is $1 and $2 is in the output of errors.
expect() {
    local code=0
    bash -c "$3" >"$folder/stdout" 2>"$folder/stderr" || code=$?
    if [ "$code" != "$1" ] || [[ "$(<"$folder/stderr")" != *"$2"* || "$(<"$folder/stderr")" = *panicked* ]]; then
        echo "examples_under_faults.sh: $3: exit code $code; $1 and \"$2\" were expected" >&2
        cat "$folder/stderr" >&2
        exit 1
    fi
}

# Nobody reads any longer: quiet, and no fault.
for run in "$features --epochs 1 --out $folder/a" "$any --backend cpu"; do
    expect 0 "" "set -o pipefail; $run | head -n 1"
    [ ! -s "$folder/stderr" ] || { cat "$folder/stderr" >&2; exit 1; }
    expect 1 "cannot write to standard output" "$run >/dev/full"
done
expect 1 "cannot write to standard output" "$digits --epochs 1 --out $folder/a >/dev/full"

# Results that cannot be written, found before the work.
mkdir -p "$folder/taken/bihalf.safetensors" "$folder/taken/bit_balance.svg"
for run in "$features --epochs 1" "$digits --epochs 1"; do
    expect 1 "it is a folder; give another --out" "$run --out $folder/taken"
    expect 1 "give another --out" "$run --out $folder/stdout"
    [ ! -s "$folder/stdout" ] || { echo "examples_under_faults.sh: $run has begun" >&2; exit 1; }
done

# A disk that is full when results are written (here: files of at most a kilobyte). What an earlier
# run wrote stays, and nothing else.
"$features" --epochs 1 --method bihalf --out "$folder/out" >/dev/null
before=$(cd "$folder/out" && sha256sum -- * .[!.]* 2>/dev/null || true)
expect 1 "cannot write '$folder/out/bihalf.safetensors'" \
    "trap '' XFSZ; ulimit -f 1; $features --epochs 1 --method bihalf --seed 2 --out $folder/out"
[ "$(cd "$folder/out" && sha256sum -- * .[!.]* 2>/dev/null || true)" = "$before" ] ||
    { echo "examples_under_faults.sh: an earlier result has changed" >&2; exit 1; }

# No thread can be started: its stack would take more memory than there may be.
alone="ulimit -v 4000000; RUST_MIN_STACK=100000000000"
expect 0 "" "$alone $features --epochs 1 --out $folder/a"
expect 1 "set RAYON_NUM_THREADS to a lower number" "$alone $digits --epochs 1 --out $folder/a"

expect 2 "--batch" "$digits --batch 1"
echo "examples under faults: as promised"
