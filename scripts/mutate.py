#!/usr/bin/env python3
"""Breaks the kernels one line at a time and tells which breaks no test notices.

Every barrier is deleted in turn, and every rule for ties, NaN, zeros and pads is changed. Works in a
copy of the committed tree under target/mutate; needs an nvcc (scripts/nvcc.sh) and takes about a
minute a mutant. Arguments, if any, choose the mutants whose description contains one of them.
"""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "mutate"

# file, text (must occur once), replacement, what the change means
RULES = [
    ("common.cuh", "if (magnitude > INF) return Bits(~Bits(0));", "", "NaN is not greatest"),
    ("common.cuh", "if (magnitude == 0) return SIGN;", "", "-0 differs from +0"),
    ("common.cuh", "if (key == Bits(~Bits(0))) return QUIET_NAN;", "", "a NaN threshold is not canonical"),
    ("common.cuh", "is_one && at.in);", "is_one);", "pad bits follow lanes without a column"),
    ("bihalf_network.cuh", "i - rows < HALF - k ? GREATEST : 0", "0", "pads are all least"),
    ("bihalf_network.cuh", "(tie && ties_to_take > 0)", "tie", "network: all ties are taken"),
    ("bihalf_network.cuh", "ties_to_take -= tie;", "", "network: ties are not counted down"),
    ("bihalf_radix.cuh", "(tie && ties_to_take > 0)", "tie", "radix: all ties are taken"),
    ("bihalf_radix.cuh", "ties_to_take -= tie;", "", "radix: ties are not counted down"),
    ("bihalf_radix.cuh", "before += mine;", "", "radix: ties of earlier chunks are forgotten"),
    ("bihalf_radix.cuh", "above + n >= of.to_take", "above + n > of.to_take", "radix: the boundary digit"),
    ("bihalf_radix.cuh", "        bucket = 0;\n", "", "radix: histograms are not cleared"),
    ("bihalf_radix.cuh", "if ((key & known) == prefix)", "", "radix: all keys are counted"),
    ("rank_pairs.cuh", "return P(key) << ROW_BITS | row;", "return P(key) << ROW_BITS | (row ^ 1);",
     "rank: rows of pairs are swapped"),
    ("rank_pairs.cuh", "key < other.key || (key == other.key && row < other.row)", "key < other.key",
     "rank: 128-bit pairs are ordered by key alone"),
    ("rank_pairs.cuh", "args.descending ? KeyOf<T>(~key) : key", "key", "rank: descending is ascending"),
    ("rank_values.cuh", "if (!ties) break;", "break;", "rank: equal floats get equal ranks"),
    ("rank_values.cuh", "const bool ties = __syncthreads_or(tie);", "const bool ties = tie;",
     "rank: each thread has its own opinion on ties"),
    ("rank_values.cuh", "if (i > 0) tie |= i < part.items && v[i] == v[i - 1];", "",
     "rank: ties within a chunk are not seen"),
    ("rank_values.cuh", "if (Tile::chunk() > 0 && part.items > 0) {", "if (false) {",
     "rank: ties across chunks are not seen"),
    ("rank_merge.cuh", "if (row < args.shape.rows) v[i]", "v[i]",
     "rank: comparators reach behind the rows"),
    ("rank_merge.cuh", "args.mirrored ? args.stride - 1 - offset : offset", "offset", "rank: a merge is not mirrored"),
    ("sign.cu", "Element<T>::widen(args.u.at(i, at.col)) > cut;", "Element<T>::widen(args.u.at(i, at.col)) >= cut;",
     "sign: zero gives +1"),
    ("loss.cu", "bool has_zero() const { return left == 0 || right == 0; }", "bool has_zero() const { return false; }",
     "cosine: zero vectors"),
    ("loss.cu", "return normal ? sqrt(product) : sqrt(left) * sqrt(right);", "return sqrt(product);",
     "cosine: products that leave the range"),
]


def barriers():
    """Each `__syncthreads();` deleted."""
    for path in sorted((ROOT / "kernels").glob("*.cu*")):
        text = path.read_text()
        at = text.find("__syncthreads();")
        while at >= 0:
            line = text.count("\n", 0, at) + 1
            changed = text[:at] + text[at + len("__syncthreads();"):]
            yield path.name, changed, f"{path.name}:{line}: barrier deleted"
            at = text.find("__syncthreads();", at + 1)


def rules():
    for name, old, new, what in RULES:
        text = (ROOT / "kernels" / name).read_text()
        assert text.count(old) == 1, f"{name}: {old!r} occurs {text.count(old)} times"
        yield name, text.replace(old, new), f"{name}: {what}"


def test(environment):
    """Whether all tests pass, and the first line that says why not."""
    command = ["cargo", "test", "--quiet", "--features", "cuda", "--test", "ops", "--"]
    names = ["bihalf", "rank", "sign", "codes", "loss", "threshold", "torch"]
    done = subprocess.run(command + names, cwd=COPY, env=environment, capture_output=True, text=True)
    said = (done.stdout + done.stderr).splitlines()
    reasons = [line for line in said if "cudaemu: ERROR" in line or "error" in line or "panicked" in line]
    return done.returncode == 0, (reasons or ["?"])[0].strip()


def main():
    nvcc = subprocess.run([ROOT / "scripts" / "nvcc.sh"], check=True, capture_output=True, text=True)
    environment = dict(os.environ, NVCC=nvcc.stdout.strip(), BIHALF_REQUIRE_NVCC="1",
                       BIHALF_CUDA_ARCHS="75", BIHALF_CUDA_LINEINFO="1", BIHALF_TEST_ONLY_CUDA="0",
                       CARGO_TARGET_DIR=str(ROOT / "target" / "mutate-build"))
    subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)
    subprocess.run(["git", "worktree", "add", "--force", "--detach", COPY], cwd=ROOT, check=True)
    try:
        run(environment)
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", COPY], cwd=ROOT, check=True)


def run(environment):
    passed, reason = test(environment)
    assert passed, f"the tests fail without a change: {reason}"

    survivors = 0
    for name, changed, what in [*barriers(), *rules()]:
        if len(sys.argv) > 1 and not any(word in what for word in sys.argv[1:]):
            continue
        path = COPY / "kernels" / name
        sound = path.read_text()
        path.write_text(changed)
        passed, reason = test(environment)
        path.write_text(sound)
        survivors += passed
        print(f"{'SURVIVED' if passed else 'found'}  {what}" + ("" if passed else f"  ({reason[:150]})"), flush=True)
    print(f"{survivors} survived")
    sys.exit(survivors > 0)


main()
