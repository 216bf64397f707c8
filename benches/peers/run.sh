#!/usr/bin/env bash
# Compares the CPU path with torch, numpy and candle: installs torch and numpy into target/peers,
# builds bihalf and candle behind a C interface, and prints the table. Takes options of peers.py.
# `run.sh search` compares searches with FAISS and usearch instead, and takes those of search.py.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v python3 >/dev/null || { echo "run.sh: python3 is missing" >&2; exit 1; }
command -v cargo >/dev/null || { echo "run.sh: cargo is missing" >&2; exit 1; }
python=target/peers/bin/python
[ -x "$python" ] || python3 -m venv target/peers
program=peers packages="torch numpy" modules="torch, numpy"
if [ "${1:-}" = search ]; then
    program=search packages="faiss-cpu usearch numpy" modules="faiss, usearch, numpy"
    shift
fi
"$python" -c "import $modules" 2>/dev/null || "$python" -m pip install --quiet $packages
cargo build --locked --release --package bihalf-peers
exec "$python" "benches/peers/$program.py" "$@"
