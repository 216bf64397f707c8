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
    ("common.cuh", "ordered(__float_as_uint(__fadd_rn(x, 0.0f)))", "ordered(__float_as_uint(x))",
     "NaN of float have an order, -0 differs from +0"),
    ("common.cuh", "if (key == Bits(~Bits(0))) return quiet_nan;", "", "a NaN threshold is not canonical"),
    ("common.cuh", "is_one && at.in);", "is_one);", "pad bits follow lanes without a column"),
    ("bihalf_network.cuh", "i < greatest_pads_end ? greatest<T>() : least<T>()", "least<T>()", "pads are all least"),
    ("bihalf_network.cuh", "next == cut)", "false)", "network: surplus ties are taken"),
    ("bihalf_network.cuh", "(63 - __clzll(equal))", "(__ffsll(equal) - 1)", "network: the last ties are taken"),
    ("bihalf_network.cuh", "equal &= exist;", "", "network: pads count as ties"),
    ("bihalf_network.cuh", "above &= exist;", "", "network: pads count as ones"),
    ("bihalf_forward.cuh", "word ^= 1u << (31 - __clz(word));", "word &= word - 1;", "the last ties are taken"),
    ("bihalf_radix.cuh", "before += args.kept", "before = args.kept", "radix: ties of earlier chunks are forgotten"),
    ("bihalf_radix.cuh", "to_take -= all;", "", "radix: ties of earlier steps are forgotten"),
    ("bihalf_radix.cuh", "if (above < of.to_take) continue;", "if (above <= of.to_take) continue;", "radix: the boundary digit"),
    ("bihalf_radix.cuh", "histogram[uint64_t(i) * args.cols] = 0;", ";", "radix: histograms are not cleared"),
    ("bihalf_radix.cuh", "if ((key & known) == prefix)", "", "radix: all keys are counted"),
    ("bihalf_counting.cuh", "i < row % GROUP", "false", "counting: ties of the own group"),
    ("bihalf_counting.cuh", "Key(lower || lower_in_own)", "Key(lower_in_own)", "counting: ties of other groups"),
    ("bihalf_histogram.cuh", "other.row < own.row)", "false)", "histogram: ties of candidates"),
    ("bihalf_histogram.cuh", "key[i] == prefix && tie < to_take", "key[i] == prefix", "histogram: all ties are taken"),
    ("bihalf_slices.cuh", "left -= open_in[t][column];", ";", "slices: ties of earlier threads are forgotten"),
    ("bihalf_slices.cuh", "surplus > 0)", "false)", "slices: surplus ties are taken"),
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
    ("loss.cu", "return __dadd_rn(outer * of_cosine, 0.0);", "return outer * of_cosine;", "cosine: gradients of -0"),
    ("sums.cuh", "atomicInc(args.finished, gridDim.x - 1)", "atomicAdd(args.finished, 1u)",
     "losses: the counter of finished blocks stays"),
    ("loss.cu", "if (p == 0 && shape.rows % 2 == 1)", "if (false)", "cosine: the last row of an odd batch"),
    ("loss.cu", "upper == lower ? AGREE : DIFFER", "upper == lower ? DIFFER : AGREE", "cosine: slopes exchanged"),
    ("loss.cu", "is_one ? slope : -slope", "slope", "cosine: the slope of -1 is that of +1"),
    ("loss.cu", "return aligned ?", "return true ?", "cosine: unaligned features are read by vectors"),
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
