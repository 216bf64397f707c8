// Bi-half forward for up to some thousands of rows in one launch: selection on bit slices.
//
//     block = COLUMNS columns; a warp is COLUMNS columns x GROUPS groups; a thread owns consecutive
//     rows of one column, in WORDS words of 32 rows
//
//                   lane = group * COLUMNS + column
//     warp 0    group 0   rows 0 ..          words of 32 rows
//               group 1   rows after those
//     warp 1    group 0      :
//
//     A word of rows is kept as bit slices: bit r of slice[b] is bit b of the key of row r. So one
//     instruction looks at a bit of 32 rows, and a population count counts them.
//
//          keys                     slices
//          row 0: b31 ... b1 b0     slice[31]: row31 ... row1 row0
//          row 1: b31 ... b1 b0       :
//            :                      slice[0]:  row31 ... row1 row0
//
// 1. Load words of 32 keys and transpose each in registers.
// 2. Two bits a round, most significant first: `open` are the rows whose key starts with the bits
//    found so far. Count those that go on with 11, 10 and 01, add the counts up over the block, and
//    see which of the four holds the k-th largest: rows above it are taken, rows below it dropped.
//    A round is one barrier; the lanes of a warp have counters in different banks.
// 3. All rows that are still open equal the threshold. If they are more than are to be taken, in
//    some column of the block, the lowest rows are kept, for which a thread adds up how many are
//    open in the threads before it.
// 4. Write. Packed bits of a row come from as many lanes: bits are transposed once more, over lanes.
//
// BLOCKS = 8: a cluster of blocks shares the columns, a block has the rows after those of the block
// before it, and counts go through one more sum, over the blocks.
//
// The number of instructions does not depend on the values; nothing is read or written twice.
#pragma once
#include "bihalf_forward.cuh"
#include "cluster.cuh"

namespace bihalf {

// Transposes the 16 x 16 bits of each half of 16 words, or the 32 x 32 bits of 32 words: halves are
// exchanged first, then bytes, then ever smaller squares of bits.
template <int N>
__device__ void transpose(uint32_t (&word)[N]) {
    static_assert(N == 16 || N == 32, "squares of 16 or 32 bits");
    if (N == 32) {
#pragma unroll
        for (int i = 0; i < 16; i++) {
            const uint32_t a = word[i], b = word[i + N / 2];
            word[i] = __byte_perm(a, b, 0x5410);
            word[i + N / 2] = __byte_perm(a, b, 0x7632);
        }
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
        if (i & 8) continue;
        const uint32_t a = word[i], b = word[i + 8];
        word[i] = __byte_perm(a, b, 0x6240);
        word[i + 8] = __byte_perm(a, b, 0x7351);
    }
#pragma unroll
    for (int size = 4; size > 0; size /= 2) {
        const uint32_t low = every_other(size);
#pragma unroll
        for (int i = 0; i < N; i++) {
            if (i & size) continue;
            const uint32_t a = word[i], b = word[i + size];
            word[i] = select_bits(low, a, b << size);
            word[i + size] = select_bits(low, a >> size, b);
        }
    }
}

// The slices of 32 keys, the most significant one last.
__device__ inline void slices_of(const uint32_t (&key)[32], uint32_t (&slice)[32]) {
#pragma unroll
    for (int i = 0; i < 32; i++) slice[i] = key[i];
    transpose(slice);
}

__device__ inline void slices_of(const uint16_t (&key)[32], uint32_t (&slice)[16]) {
#pragma unroll
    for (int i = 0; i < 16; i++) slice[i] = key[i] | uint32_t(key[i + 16]) << 16;
    transpose(slice);
}

__device__ inline void slices_of(const uint64_t (&key)[32], uint32_t (&slice)[64]) {
    uint32_t half[32];
#pragma unroll
    for (int part = 0; part < 2; part++) {
#pragma unroll
        for (int i = 0; i < 32; i++) half[i] = uint32_t(key[i] >> part * 32);
        transpose(half);
#pragma unroll
        for (int i = 0; i < 32; i++) slice[part * 32 + i] = half[i];
    }
}

// Counts of N kinds and the columns of a block, added up over the blocks of a cluster: `of_cluster`
// of every block, 0 before, is the sum of all `of_block`. Whole blocks call it.
template <int N, int COLUMNS, class OfBlock>
__device__ void add_over_cluster(uint32_t (&of_cluster)[N][COLUMNS], OfBlock of_block) {
    for (int i = threadIdx.x; i < N * COLUMNS * int(CLUSTER); i += blockDim.x) {
        // Neighbouring lanes read the same counts: no bank conflict.
        const int block = i % CLUSTER, column = i / CLUSTER % COLUMNS, kind = i / CLUSTER / COLUMNS;
        atomicAdd(&in_block(of_cluster[kind][column], block), of_block(kind, column));
    }
    cluster_sync();
}

template <class T, int COLUMNS, int BLOCK_WARPS, int WORDS, int BLOCKS = 1>
__device__ void slices(const Forward<T>& args) {
    constexpr int GROUPS = WARP / COLUMNS, THREADS_OF_COLUMN = BLOCK_WARPS * GROUPS;
    constexpr int KEY_BITS = sizeof(T) * 8, ROUNDS = KEY_BITS / 2, ROWS = WORDS * 32;
    constexpr bool CLUSTERED = BLOCKS > 1;
    static_assert(BLOCKS == 1 || BLOCKS == CLUSTER, "a block or a cluster");
    __shared__ uint32_t counters[ROUNDS + 1][3][WARP], open_in[THREADS_OF_COLUMN][COLUMNS];
    __shared__ uint32_t of_cluster[ROUNDS][3][COLUMNS], ties_of[CLUSTER][COLUMNS];

    if (pads_alone<COLUMNS, CLUSTERED>(args)) return;
    const unsigned block = CLUSTERED ? blockIdx.y : 0;
    const unsigned lane = threadIdx.x % WARP, column = lane % COLUMNS, group = lane / COLUMNS;
    const unsigned warp = threadIdx.x / WARP, thread = warp * GROUPS + group;
    const uint64_t col = uint64_t(blockIdx.x) * COLUMNS + column;
    const bool in = col < args.shape.cols;
    const unsigned slot = column * GROUPS + group;  // of counters: bank `lane`, turned round
    for (int i = threadIdx.x; i < (ROUNDS + 1) * 3 * int(WARP); i += BLOCK_WARPS * WARP) {
        counters[0][0][i] = 0;
    }
    if constexpr (CLUSTERED) {
        for (int i = threadIdx.x; i < ROUNDS * 3 * COLUMNS; i += BLOCK_WARPS * WARP) {
            of_cluster[0][0][i] = 0;
        }
        cluster_arrive();  // and wait when all keys are there
    }

    // Step 1. Rows are dealt out evenly; lanes without a column have none.
    constexpr int THREADS_OF_ALL = BLOCKS * THREADS_OF_COLUMN;
    const uint32_t share = (args.shape.rows + THREADS_OF_ALL - 1) / THREADS_OF_ALL;
    const uint64_t first = uint64_t(block * THREADS_OF_COLUMN + thread) * share;
    const int own = first < args.shape.rows ? min(share, uint32_t(args.shape.rows - first)) : 0;
    const bool full = args.shape.rows == THREADS_OF_ALL * ROWS && __all_sync(ALL_LANES, in);
    uint32_t slice[WORDS][KEY_BITS], open[WORDS], taken[WORDS];
    const T* u = args.u.data + first * args.u.row_stride + (in ? col : 0) * args.u.col_stride;
#pragma unroll
    for (int word = 0; word < WORDS; word++) {
        KeyOf<T> key[32];
        if (full) {
#pragma unroll
            for (int i = 0; i < 32; i++, u += args.u.row_stride) key[i] = Element<T>::key(*u);
        } else {
#pragma unroll
            for (int i = 0; i < 32; i++, u += args.u.row_stride) {
                key[i] = in && word * 32 + i < own ? Element<T>::key(*u) : 0;
            }
        }
        slices_of(key, slice[word]);
        const int rest = in ? own - word * 32 : 0;
        open[word] = rest >= 32 ? ~0u : rest <= 0 ? 0 : (1u << rest) - 1;
        taken[word] = 0;
    }
    if constexpr (CLUSTERED) cluster_wait();
    __syncthreads();

    // Step 2.
    const auto of_block = [&](int round, int i, int column) {
        uint32_t sum = 0;
#pragma unroll
        for (int g = 0; g < GROUPS; g++) sum += counters[round][i][column * GROUPS + g];
        return sum;
    };
    int to_take = args.k;
    KeyOf<T> cut = 0;
#pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        const int high = KEY_BITS - 1 - 2 * round, low = high - 1;
        uint32_t counts[3] = {};
#pragma unroll
        for (int word = 0; word < WORDS; word++) {
            const uint32_t ones = open[word] & slice[word][high];
            const uint32_t zeros = open[word] & ~slice[word][high];
            counts[0] += __popc(ones & slice[word][low]);
            counts[1] += __popc(ones & ~slice[word][low]);
            counts[2] += __popc(zeros & slice[word][low]);
        }
#pragma unroll
        for (int i = 0; i < 3; i++) atomicAdd(&counters[round][i][slot], counts[i]);
        __syncthreads();
        if constexpr (CLUSTERED) {
            add_over_cluster(of_cluster[round],
                             [&](int i, int column) { return of_block(round, i, column); });
        }
        // at_least[i]: open rows that go on with at least 11, 10, 01.
        int at_least[3], sum = 0;
#pragma unroll
        for (int i = 0; i < 3; i++) {
            sum += CLUSTERED ? of_cluster[round][i][column] : of_block(round, i, column);
            at_least[i] = sum;
        }
        const bool high_bit = at_least[1] >= to_take;
        const bool low_bit = high_bit ? at_least[0] >= to_take : at_least[2] >= to_take;
        to_take -= high_bit ? (low_bit ? 0 : at_least[0]) : (low_bit ? at_least[1] : at_least[2]);
        cut = KeyOf<T>(cut << 2 | high_bit << 1 | low_bit);
        // Rows with a 1 where the threshold has a 0 are above it.
        const uint32_t high_is_0 = high_bit ? 0 : ~0u, low_is_0 = low_bit ? 0 : ~0u;
#pragma unroll
        for (int word = 0; word < WORDS; word++) {
            taken[word] |= open[word] & slice[word][high] & high_is_0;
            open[word] &= slice[word][high] ^ high_is_0;
            taken[word] |= open[word] & slice[word][low] & low_is_0;
            open[word] &= slice[word][low] ^ low_is_0;
        }
    }

    // Step 3.
    uint32_t ties = 0;
#pragma unroll
    for (int word = 0; word < WORDS; word++) ties += __popc(open[word]);
    atomicAdd(&counters[ROUNDS][0][slot], ties);
    __syncthreads();
    int all_ties = of_block(ROUNDS, 0, column), left = to_take;
    if constexpr (CLUSTERED) {
        share_over_cluster(ties_of, [&](int of) { return of_block(ROUNDS, 0, of); });
        all_ties = 0;
#pragma unroll
        for (int other = 0; other < BLOCKS; other++) {
            all_ties += ties_of[other][column];
            if (other < block) left -= ties_of[other][column];
        }
    }
    if (__syncthreads_or(all_ties > to_take)) {
        open_in[thread][column] = ties;
        __syncthreads();
#pragma unroll 1
        for (int t = 0; t < thread; t++) left -= open_in[t][column];
#pragma unroll
        for (int word = 0; word < WORDS; word++) {
            const uint32_t lowest = lowest_bits(open[word], left);
            left -= __popc(open[word]);
            open[word] = lowest;
        }
    }
#pragma unroll
    for (int word = 0; word < WORDS; word++) taken[word] |= open[word];

    // Step 4.
    if (block == 0 && thread == 0 && in) {
        if (args.out.counts) args.out.counts[col] = args.k;
        if (args.threshold) args.threshold[col] = threshold_of<T>(cut);
    }
    if (full && args.dense_alone) {
        T* b = &args.out.dense.at(first, col);
#pragma unroll
        for (int i = 0; i < ROWS; i++, b += args.out.dense.row_stride) {
            *b = one<T>(taken[i / 32] >> i % 32 & 1);
        }
        return;
    }
#pragma unroll
    for (int word = 0; word < WORDS; word++) {
        const int count = max(min(own - word * 32, 32), 0);
        write_mask<COLUMNS>(args.out, blockIdx.x, first + word * 32, count, col, in, taken[word]);
    }
}

}  // namespace bihalf
