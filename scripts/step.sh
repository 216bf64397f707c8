# Source this for `step COMMAND ...`: says what is run, runs it and says how long it took.
step() {
    local start=$SECONDS
    echo
    echo "== $* =="
    "$@" || return
    local took=$((SECONDS - start))
    printf '== %d min %02d s: %s\n' $((took / 60)) $((took % 60)) "$*"
}
