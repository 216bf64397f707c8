#!/usr/bin/env bash
# Runs all tests. Needs Rust and a C compiler; the first run also builds what the tests need.
set -euo pipefail
cd "$(dirname "$0")"

need() {
    command -v "$1" >/dev/null || { echo "test.sh: $1 is missing: $2" >&2; exit 1; }
}
need cargo "install Rust 1.88 or later (https://rustup.rs)"
need cc "install a C compiler, for instance the package gcc or clang"

# The core with overflow checks and debug assertions: units, every promise, documentation.
cargo test --locked --package bihalf
# The same promises without the thread pool.
cargo test --locked --package bihalf --no-default-features --lib --test ops
# The candle adapter and its example, in the profile in which the example is run.
cargo test --locked --release --package bihalf-candle
