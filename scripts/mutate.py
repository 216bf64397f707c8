#!/usr/bin/env python3
"""Breaks the kernels one line at a time and tells which breaks no test notices.

Every barrier is deleted in turn, and every rule for ties, NaN, zeros, pads and bounds is changed. The
tests are built once, from the tree as it is; of a mutant only the PTX is compiled, which the emulator
takes instead of the one within the tests. A mutant's tests are those of the operation that its file
belongs to, on the CUDA backend alone, and end with the first one that fails. Source
scripts/cuda_env.sh before. Arguments, if any, choose the mutants whose description contains one of them.

Fences are left alone: the emulator's memory is in order, so no test misses one there.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNELS = {path.name: path.read_text() for path in (ROOT / "kernels").glob("*.cu*")}

# The tests of what is in an operation's .cu file.
TESTS = {
    "bihalf": ["bihalf::", "threshold::", "torch::"],
    "codes": ["codes::"],
    "loss": ["loss::", "loss_packed::", "extremes::cosines", "cuda::losses", "cuda::a_loss", "cuda::a_captured"],
    "rank": ["rank::", "torch::"],
    "relax": ["relax::"],
    "search": ["search::cuda", "retrieval::counts", "cuda::a_captured_search"],
    "sign": ["sign::", "codes::"],
}

# Seconds until the tests of a mutant that never ends are given up.
SECONDS = 900

# file, text (must occur once), replacement, what the change means
RULES = [
    ("common.cuh", "ordered(__float_as_uint(__fadd_rn(x, 0.0f)))", "ordered(__float_as_uint(x))",
     "NaN of float have an order, -0 differs from +0"),
    ("common.cuh", "if (key == Bits(~Bits(0))) return quiet_nan;", "", "a NaN threshold is not canonical"),
    ("common.cuh", "is_one && at.in);", "is_one || !at.in);", "pad bits are ones"),
    ("common.cuh", "x != x ? ~Key(0) : ordered", "ordered", "NaN of double have an order"),
    ("common.cuh", "__float_as_uint(down) | 1u", "__float_as_uint(down)",
     "gradients of 16-bit types are rounded down first"),
    ("common.cuh", "if (at.warp == 0) of_column[at.lane] = 0;", "", "counts of a block start anywhere"),
    ("common.cuh", "if (at.warp == 0 && at.in) atomicAdd", "if (at.warp == 0) atomicAdd",
     "counts behind the columns"),
    ("common.cuh", "if (out.dense.data && at.in)", "if (out.dense.data)", "results behind the columns"),
    ("bihalf_network.cuh", "first + i < greatest_pads_end ? greatest<T>() : least<T>()", "least<T>()",
     "pads are all least"),
    ("bihalf_network.cuh", "next == cut)", "false)", "network: surplus ties are taken"),
    ("bihalf_network.cuh", "(63 - __clzll(equal))", "(__ffsll(equal) - 1)",
     "network: the last ties are taken"),
    ("bihalf_network.cuh", "ones &= exist;", "", "network: pads count as rows"),
    ("bihalf_network.cuh", "if (from < cut) ones = 0;", "", "network: NaN is above NaN"),
    ("bihalf_network.cuh", "(at.in ? at.col : 0)", "at.col",
     "network: loads behind the columns"),
    ("bihalf_network.cuh", "if (FULL || first + i < rows) slots[i]", "slots[i]", "network: loads behind the rows"),
    ("bihalf_network.cuh", "at.in ? uint32_t(ones >> first) : 0", "uint32_t(ones >> first)",
     "network: pad bits"),
    ("bihalf_network.cuh", "full && !surplus && ", "full && ", "network: surplus ties of full tiles"),
    ("bihalf_network.cuh", "if (row < rows) write_bits", "write_bits", "network: codes behind the rows"),
    ("bihalf_network.cuh", "if (!at.in) return;", "", "network: results behind the columns"),
    ("bihalf_pairs.cuh", "i < greatest_pads_end ? GREATEST : LEAST", "LEAST", "pairs: pads are all least"),
    ("bihalf_pairs.cuh", "0xbb99", "0xbbbb", "pairs: the sign of the other column"),
    ("bihalf_pairs.cuh", "__hadd2_rn(x, __half2half2(__ushort_as_half(0)))", "x",
     "pairs: f16 are not canonical"),
    ("bihalf_pairs.cuh", "__hadd2_rn(x, __bfloat162bfloat162(__ushort_as_bfloat16(0)))", "x",
     "pairs: bf16 are not canonical"),
    ("bihalf_pairs.cuh", " || next.half(1) == cut.half(1)", "", "pairs: surplus ties of the second column"),
    ("bihalf_pairs.cuh", "next.half(0) == cut.half(0) || ", "", "pairs: surplus ties of the first column"),
    ("bihalf_pairs.cuh", "rows == ROWS && !surplus", "rows == ROWS", "pairs: surplus ties of full tiles"),
    ("bihalf_pairs.cuh", "in ? pair : args.shape.cols / 2 - 1", "pair", "pairs: loads behind the columns"),
    ("bihalf_pairs.cuh", "if (i < rows) key[i] = keys_of", "key[i] = keys_of",
     "pairs: loads behind the rows"),
    ("bihalf_pairs.cuh", "if (!in) return;", "", "pairs: results behind the columns"),
    ("bihalf_pairs.cuh", "above &= exist;", "", "pairs: pads count as ones"),
    ("bihalf_pairs.cuh", "int(args.k) - __popc(above)", "int(args.k)",
     "pairs: rows above the threshold are not counted"),
    ("bihalf_forward.cuh", "word ^= 1u << (31 - __clz(word));", "word &= word - 1;",
     "the last ties are taken"),
    ("bihalf_forward.cuh", "write_bits<COLUMNS>(out.codes, row, tile, 0);", ";",
     "pad bytes of codes are not written"),
    ("bihalf_forward.cuh", "max(n, 0)", "max(n, 1)", "a tie is taken where none is left to take"),
    ("bihalf_forward.cuh", "if (out.dense.data && in)", "if (out.dense.data)", "results behind the columns"),
    ("bihalf_forward.cuh", "if (i < count) write_bits", "write_bits", "codes behind the rows"),
    ("bihalf_forward.cuh", "if (cut == Key(~Key(0))) return greatest<T>();", "",
     "a NaN threshold of a 16-bit type is not canonical"),
    ("bihalf_radix.cuh", "before += args.kept", "before = args.kept",
     "radix: ties of earlier chunks are forgotten"),
    ("bihalf_radix.cuh", "to_take -= all;", "", "radix: ties of earlier steps are forgotten"),
    ("bihalf_radix.cuh", "if (above < of.to_take) continue;", "if (above <= of.to_take) continue;",
     "radix: the boundary digit"),
    ("bihalf_radix.cuh", "histogram[uint64_t(i) * args.cols] = 0;", ";", "radix: histograms are not cleared"),
    ("bihalf_radix.cuh", "if ((key & known) == prefix)", "", "radix: all keys are counted"),
    ("bihalf_radix.cuh", "__syncthreads_or(of.ties > of.to_take || args.k == 0)", "of.ties > of.to_take || args.k == 0",
     "radix: each thread has its own opinion on ties"),
    ("bihalf_radix.cuh", " || args.k == 0", "", "radix: NaN are ones for k = 0"),
    ("bihalf_radix.cuh", ">> half & 0xffff", ">> half", "radix: counts of two columns in one"),
    ("bihalf_radix.cuh", "if (!chunk.in) return;", "", "radix: counts behind the columns"),
    ("bihalf_radix.cuh", "end(min(begin + chunk_rows, uint64_t(shape.rows)))", "end(begin + chunk_rows)",
     "radix: rows behind the last"),
    ("bihalf_radix.cuh", "max(args.k, 1u)", "args.k", "radix: nothing is found for k = 0"),
    ("bihalf_radix.cuh", "if (!args.first && in) of", "if (in) of",
     "radix: something is known before the first digit"),
    ("bihalf_counting.cuh", "i < row % GROUP", "false", "counting: ties of the own group"),
    ("bihalf_counting.cuh", "Key(lower || lower_in_own)", "Key(lower_in_own)",
     "counting: ties of other groups"),
    ("bihalf_counting.cuh", "row < args.shape.rows && col < args.shape.cols", "row < args.shape.rows",
     "counting: columns behind the last"),
    ("bihalf_counting.cuh", "row == 0 && share == 0 && col < args.shape.cols", "row == 0 && share == 0",
     "counting: counts behind the columns"),
    ("bihalf_counting.cuh", "column == 0 && row < args.shape.rows", "column == 0",
     "counting: codes behind the rows"),
    ("bihalf_counting.cuh", "first && args.k == 0", "false", "counting: no threshold for k = 0"),
    ("bihalf_counting.cuh", "__shfl_xor_sync(ALL_LANES, rank, distance)", "0",
     "counting: shares are not added up"),
    ("bihalf_histogram.cuh", "rival[i].row < own.row;", "false;", "histogram: ties of candidates"),
    ("bihalf_histogram.cuh", "key[i] == prefix && tie < to_take", "key[i] == prefix",
     "histogram: all ties are taken"),
    ("bihalf_histogram.cuh", "if (threadIdx.x < CANDIDATES) list[threadIdx.x] = {0, 0};", "",
     "histogram: the list of candidates is not cleared"),
    ("bihalf_histogram.cuh", "clear[i] = {0, 0, 0, 0};", ";", "histogram: counters are not cleared"),
    ("bihalf_histogram.cuh", "row < rows ? args.u.at(row, col) : T()", "args.u.at(row, col)",
     "histogram: loads behind the rows"),
    ("bihalf_histogram.cuh", "i * BLOCK + threadIdx.x < rows ? Element<T>::key(u[i]) : 0", "Element<T>::key(u[i])",
     "histogram: pads are zeros"),
    ("bihalf_histogram.cuh", "if (row >= rows) continue;", "", "histogram: results behind the rows"),
    ("bihalf_histogram.cuh", "if (row < rows) write(", "write(",
     "histogram: results of ties behind the rows"),
    ("bihalf_histogram.cuh", "any && before < to_take", "before < to_take",
     "histogram: k = 0 is 1, candidates"),
    ("bihalf_histogram.cuh", "any && is_one", "is_one", "histogram: k = 0 is 1, ties"),
    ("bihalf_histogram.cuh", "any && before + 1 == to_take", "before + 1 == to_take",
     "histogram: the threshold of k = 0 is that of 1"),
    ("bihalf_histogram.cuh", "any && threadIdx.x == 0", "threadIdx.x == 0",
     "histogram: the threshold of k = 0 is that of 1, ties"),
    ("bihalf_histogram.cuh", "to_take -= found.above;", "", "histogram: keys above the digit are forgotten"),
    ("bihalf_histogram.cuh", "before += ties_of[0][counted];", ";",
     "histogram: ties of earlier warps are forgotten"),
    ("bihalf_cluster_histogram.cuh", "before += block_ties[other][column];", ";",
     "cluster histogram: ties of earlier blocks are forgotten"),
    ("bihalf_cluster_histogram.cuh", "owned_to_take -= found_of[block].above;", "",
     "cluster histogram: keys above the digit are forgotten"),
    ("cluster.cuh", "in_block(numbers[blockIdx.y][column], other) =", "numbers[blockIdx.y][column] =",
     "cluster: blocks keep their numbers to themselves"),
    ("bihalf_slices.cuh", "left -= open_in[t][column];", ";",
     "slices: ties of earlier threads are forgotten"),
    ("bihalf_slices.cuh", "all_ties > to_take)", "false)", "slices: surplus ties are taken"),
    ("bihalf_slices.cuh", "__syncthreads_or(all_ties > to_take)", "all_ties > to_take",
     "slices: each thread has its own opinion on ties"),
    ("bihalf_slices.cuh", "in && word * 32 + i < own ? Element<T>::key(*u) : 0", "in ? Element<T>::key(*u) : 0",
     "slices: loads behind the rows"),
    ("bihalf_slices.cuh", "left -= __popc(open[word]);", "", "slices: ties of earlier words are forgotten"),
    ("bihalf_slices.cuh", "block == 0 && thread == 0 && in", "block == 0 && thread == 0", "slices: counts behind the columns"),
    ("bihalf_slices.cuh", "counters[0][0][i] = 0;", "", "slices: counters are not cleared"),
    ("bihalf_slices.cuh", "min(own - word * 32, 32)", "32", "slices: results behind the rows"),
    ("bihalf_histogram.cuh", "n < listed;", "n < found.keys;", "histogram: places without a row are ranked"),
    ("search.cu", "(item[m] ^ query) & bits", "item[m] ^ query", "search: pads are counted"),
    ("search.cu", "differ & bits_of_word(args.bits, w)", "differ", "search: pads of what is written are counted"),
    ("bihalf_backward.cuh", "if (col + VECTOR<T> > shape.cols) {", "if (false) {",
     "backward: vectors over the end of a row"),
    ("bihalf_backward.cuh", "if (!args.by_vectors) {", "if (false) {", "backward: unaligned rows by vectors"),
    ("bihalf_backward.cuh", "b.at(row, col / WARP) >> col % WARP & 1", "b.at(row, col / WARP) & 1",
     "backward: the bit of an element"),
    ("bihalf_backward.cuh", "b.at(row, col / WARP) >> col % WARP;", "b.at(row, col / WARP);",
     "backward: the bits of a vector"),
    ("bihalf_backward.cuh", "if (!at.in) return;", "", "backward: columns behind the last"),
    ("bihalf_backward.cuh", "* THREADS >> args.lanes_log2;", "* THREADS;", "backward: rows are left out"),
    ("rank_tile.cuh", "col < shape.cols && first < shape.rows", "col < shape.cols",
     "rank: chunks behind the rows"),
    ("rank_tile.cuh", "col < shape.cols && first < shape.rows", "first < shape.rows",
     "rank: columns behind the last"),
    ("rank_tile.cuh", "v[i] = i < items ? *at : none;", "v[i] = *at;", "rank: loads behind the rows"),
    ("rank_tile.cuh", "if (i < items) *at = v[i];", "*at = v[i];", "rank: results behind the rows"),
    ("rank_pairs.cuh", "return P(key) << ROW_BITS | row;", "return P(key) << ROW_BITS | (row ^ 1);",
     "rank: rows of pairs are swapped"),
    ("rank_pairs.cuh", "key < other.key || (key == other.key && row < other.row)", "key < other.key",
     "rank: 128-bit pairs are ordered by key alone"),
    ("rank_pairs.cuh", "args.descending ? KeyOf<T>(~key) : key", "key", "rank: descending is ascending"),
    ("rank_pairs.cuh", "args.descending ? -CUDART_INF_F : CUDART_NAN_F", "CUDART_NAN_F",
     "rank: pads come first, descending"),
    ("rank_values.cuh", "if (!ties) break;", "break;", "rank: equal floats get equal ranks"),
    ("rank_values.cuh", "const bool ties = __syncthreads_or(tie);", "const bool ties = tie;",
     "rank: each thread has its own opinion on ties"),
    ("rank_values.cuh", "if (i > 0) tie |= i < part.items && v[i] == v[i - 1];", "",
     "rank: ties within a chunk are not seen"),
    ("rank_values.cuh", "if (Tile::chunk() > 0 && part.items > 0) {", "if (false) {",
     "rank: ties across chunks are not seen"),
    ("rank_merge.cuh", "if (row < args.shape.rows) v[i]", "v[i]", "rank: comparators reach behind the rows"),
    ("rank_merge.cuh", "args.mirrored ? args.stride - 1 - offset : offset", "offset",
     "rank: a merge is not mirrored"),
    ("rank_merge.cuh", "if (row < args.shape.rows) pairs[", "pairs[",
     "rank: comparators write behind the rows"),
    ("rank_merge.cuh", "if (!at.in) return;", "", "rank: comparators behind the columns"),
    ("rank_merge.cuh", "if (i < part.items) ranks[", "ranks[", "rank: merged ranks behind the rows"),
    ("rank_merge.cuh", "mirrored_step(v, PLACES);", "", "rank: the mirrored step is left out"),
    ("sign.cu", "Element<T>::widen(args.u.at(i, at.col)) > cut;", "Element<T>::widen(args.u.at(i, at.col)) >= cut;",
     "sign: zero gives +1"),
    ("sign.cu", "shift && at.in ?", "shift ?", "sign: shifts behind the columns"),
    ("sign.cu", "at.in && Element<T>", "Element<T>", "sign: loads behind the columns"),
    ("sign.cu", "Element<T>::widen(u) > cut", "Element<T>::widen(u) >= cut", "sign: zero is pulled to +1"),
    ("codes.cu", "if (!at.in) return;", "", "codes: results behind the columns"),
    ("codes.cu", "const bool is_one = args.codes.at(i, at.tile) >> at.lane & 1;",
     "const bool is_one = args.codes.at(i, at.tile) & 1;",
     "codes: the bit of a column"),
    ("relax.cu", "tanh(beta * u)", "tanh(u)", "relax: the forward pass has no beta"),
    ("relax.cu", "(beta * (RealOf<T>(1) - y * y))", "(RealOf<T>(1) - y * y)",
     "relax: the gradient has no beta"),
    ("loss.cu", "bool has_zero() const { return left == 0 || right == 0; }", "bool has_zero() const { return false; }",
     "cosine: zero vectors"),
    ("loss.cu", "return normal ? sqrt(product) : sqrt(left) * sqrt(right);", "return sqrt(product);",
     "cosine: products that leave the range"),
    ("loss.cu", "return __dadd_rn(outer * of_cosine * scale, 0.0);", "return outer * of_cosine * scale;",
     "cosine: gradients of -0"),
    ("loss.cu", "if (p == 0 && shape.rows % 2 == 1)", "if (false)", "cosine: the last row of an odd batch"),
    ("loss.cu", "upper == lower ? AGREE : DIFFER", "upper == lower ? DIFFER : AGREE",
     "cosine: pair_grads exchanged"),
    ("loss.cu", "is_one ? slope : -slope", "slope", "cosine: the slope of -1 is that of +1"),
    ("loss.cu", "return aligned ?", "return true ?", "cosine: unaligned features are read by vectors"),
    ("loss.cu", "if (codes.has_zero()) return 0;", "", "cosine: gradients of zero vectors"),
    ("loss.cu", "product >= 0x1p-1022 && ", "", "cosine: products below the range"),
    ("loss.cu", "if (squared > 0x1p960) return 0x1p-600;", "", "cosine: squares above the range"),
    ("loss.cu", "squared < 0x1p-960 ? 0x1p600 : 1", "1", "cosine: squares below the range"),
    ("loss.cu", "return __dadd_rn(outer * of_cosine * scale,", "return __dadd_rn(outer * of_cosine,",
     "cosine: gradients of scaled codes"),
    ("loss.cu", "of_features.any() ? scaled : pair.features", "pair.features",
     "cosine: features that are scaled"),
    ("loss.cu", "for (; j + N <= cols;", "for (; j < cols;", "cosine: vectors over the end of a row"),
    ("loss.cu", "for (; j < cols; j++) sum.add", "if (false) sum.add",
     "cosine: the tail of a row is left out"),
    ("loss.cu", "int(min(uint64_t(WARP), bits - n * WARP))", "int(WARP)", "cosine: pad bits agree"),
    ("loss.cu", "if (p < half) {\n            const bool upper", "if (true) {\n            const bool upper",
     "cosine: the last row of an odd batch has a partner"),
    ("loss.cu", "__dadd_rn(is_one ? slope : -slope, 0.0)", "is_one ? slope : -slope",
     "cosine: packed gradients of -0"),
    ("sums.cuh", "atomicInc(args.finished, gridDim.x - 1)", "atomicAdd(args.finished, 1u)",
     "losses: the counter of finished blocks stays"),
    ("sums.cuh", "count == 0 ? 0 : factor", "factor", "losses: of nothing"),
]


def barriers():
    """Each barrier deleted."""
    for name, text in sorted(KERNELS.items()):
        for barrier in re.finditer(r"(__syncthreads|__syncwarp|cluster_sync|cluster_wait)\(\);", text):
            line = text.count("\n", 0, barrier.start()) + 1
            changed = text[:barrier.start()] + text[barrier.end():]
            yield name, changed, f"{name}:{line}: barrier deleted"


def rules():
    for name, old, new, what in RULES:
        text = KERNELS[name]
        assert text.count(old) == 1, f"{name}: {old!r} occurs {text.count(old)} times"
        yield name, text.replace(old, new), f"{name}: {what}"


def operations(name):
    """The operations that a file belongs to."""
    shared = {"bitonic.cuh": ["rank"], "odd_even.cuh": ["bihalf"], "sums.cuh": ["loss"], "cluster.cuh": ["bihalf"]}
    of_name = [operation for operation in TESTS if name.startswith(operation)]
    return of_name or shared.get(name) or list(TESTS)


def unit_of(operation, name):
    """The .cu file, of Bi-half without the kernels of other algorithms than that of the file."""
    text = KERNELS[f"{operation}.cu"]
    algorithm = re.fullmatch(r"bihalf_(\w+)\.cuh", name)
    if not algorithm or algorithm[1] == "forward":
        return text
    kernel = re.compile(r"(?:FORWARD|CLUSTERED|KERNEL)\((?:T, |bihalf_)(\w+)_##NAME.*?(?=\\?$)")
    of_others = lambda match: match[0] if algorithm[1] in match[1] else ""
    return "\n".join(kernel.sub(of_others, line) for line in text.split("\n"))


class Tests:
    """The tests' executable, and the emulator, in a folder of their own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        build = ["cargo", "test", "--locked", "--package=bihalf", "--features=cuda", "--test=ops", "--no-run",
                 "--message-format=json"]
        built = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        messages = [json.loads(line) for line in built.stdout.splitlines()]
        (executable,) = [message["executable"] for message in messages if message.get("executable")]
        self.executable = self.folder / "ops"
        shutil.copy(executable, self.executable)
        shutil.copy(pathlib.Path(executable).with_name("libcuda_emulator.so"), self.folder)

    def compile(self, name, changed):
        """Makes PTX of the operations that a changed file belongs to; returns it without places in the source."""
        kernels = self.folder / "kernels"
        shutil.rmtree(kernels, ignore_errors=True)
        kernels.mkdir()
        for file, text in {**KERNELS, name: changed}.items():
            (kernels / file).write_text(text)
        for operation in operations(name):
            if name != f"{operation}.cu":
                (kernels / f"{operation}.cu").write_text(unit_of(operation, name))
        unit = kernels / "unit.cu"
        unit.write_text("".join(f'#include "{operation}.cu"\n' for operation in operations(name)))
        capability = capability_of(name)
        ptx = self.folder / "kernels.ptx"
        command = [os.environ["NVCC"], "-ptx", "-std=c++17", "-fmad=false", "-lineinfo", f"-arch=compute_{capability}",
                   "-o", ptx, unit]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise ValueError(done.stderr)
        return [line for line in ptx.read_text().splitlines() if not line.lstrip().startswith(".loc")]

    def run(self, name):
        """Why the tests of a file fail; none if they pass."""
        environment = dict(os.environ, BIHALF_TEST_ONLY_CUDA="all", CUDAEMU_PTX=str(self.folder / "kernels.ptx"),
                           CUDAEMU_CC=capability_of(name), CUDAEMU_TIMEOUT_S="60")
        tests = sorted({test for operation in operations(name) for test in TESTS[operation]})
        if capability_of(name) == "80":
            # They would start a device of their own, with the kernels as they are.
            tests += ["--skip", "clusters_of_blocks"]
        process = subprocess.Popen([self.executable, "--nocapture", *tests], env=environment, text=True,
                                   cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        clock = threading.Timer(SECONDS, process.kill)
        clock.start()
        try:
            for line in process.stdout:
                if "cudaemu: ERROR" in line or "panicked at" in line:
                    reason = line if "cudaemu" in line else line.split("panicked at")[1] + process.stdout.readline()
                    return " ".join(reason.split())
            return None if process.wait() == 0 else "the tests ended without a word"
        finally:
            clock.cancel()
            process.kill()
            process.wait()


def capability_of(name):
    """Kernels of two columns a lane and of clusters run from capability 9.0 on."""
    newer = ["bihalf_pairs.cuh", "bihalf_cluster_histogram.cuh", "bihalf_slices.cuh", "cluster.cuh"]
    return "90" if name in newer else "80"


def main():
    if "NVCC" not in os.environ:
        sys.exit("mutate.py: no NVCC; source scripts/cuda_env.sh first")
    mutants = [*barriers(), *rules()]
    if len(sys.argv) > 1:
        mutants = [mutant for mutant in mutants if any(word in mutant[2] for word in sys.argv[1:])]
    with tempfile.TemporaryDirectory() as folder:
        tests = Tests(folder)
        sound = {(*operations(name), capability_of(name)): name for name, _, _ in mutants}
        for name in sound.values():
            tests.compile(name, KERNELS[name])
            reason = tests.run(name)
            assert reason is None, f"the tests of {name} fail without a change: {reason}"

        survivors, code = 0, {}
        for name, changed, what in mutants:
            if name not in code:
                code = {name: tests.compile(name, KERNELS[name])}
            try:
                is_other = tests.compile(name, changed) != code[name]
            except ValueError as error:
                survivors += 1
                print(f"NO CODE  {what}  ({str(error)[:150]})", flush=True)
                continue
            reason = tests.run(name) if is_other else None
            survivors += reason is None
            verdict = "found" if reason else "SURVIVED" if is_other else "THE SAME CODE"
            print(f"{verdict}  {what}" + (f"  ({reason[:150]})" if reason else ""), flush=True)
    print(f"{survivors} of {len(mutants)} survived")
    sys.exit(survivors > 0)


main()
