// Bi-half forward for some hundreds or thousands of rows of few columns where blocks form clusters:
// radix selection as in bihalf_histogram.cuh, by a cluster for eight columns.
//
//                   columns 0 .. 7     a warp is 8 columns x 4 rows: whole sectors of float
//     block 0       rows 0 ..          block c of the cluster is the owner of column c: counts and
//     block 1       rows after those   candidates of the column come together in its shared memory
//       :             :
//     block 7         :
//
// 1. Load; clear the counters while the loads are under way.
// 2. Count the digit of the keys that start with the digits found so far, and add the counts of a
//    column to those of its owner.
// 3. The owner finds the digit of the k-th largest key and tells every block.
// 4. If more than CANDIDATES keys of some column start with the digits found, go on with the next
//    digit.
// 5. Send the candidates to the owner, in any order.
// 6. The owner ranks them, a warp a candidate, a lane a rival, and marks those that become +1 in the
//    memory of the block that has their row.
// 7. If the digits are used up, all candidates are equal: a prefix over blocks, rows and warps
//    counts them.
// 8. Write whole rows of the eight columns.
//
// Five barriers of the cluster, where the first digit is enough.
#pragma once
#include "bihalf_histogram.cuh"
#include "cluster.cuh"

namespace bihalf {

template <class T, int BLOCK, int ITEMS, int CANDIDATES>
__device__ void cluster_histogram(const Forward<T>& args) {
    using Key = decltype(KeyOf<T>() + 0u);
    constexpr int COLUMNS = 8, BLOCK_WARPS = BLOCK / WARP, KEY_BITS = sizeof(T) * 8;
    constexpr int ROWS_OF_WARP = WARP / COLUMNS, STEP_ROWS = BLOCK / COLUMNS;
    static_assert(COLUMNS == int(CLUSTER), "a block is the owner of one column");
    // Of this block's rows: digits of all columns, ties of four rows, candidates that become +1.
    __shared__ uint32_t counters[BUCKETS][COLUMNS];
    __shared__ uint8_t ties_of[ITEMS * BLOCK_WARPS][COLUMNS];
    __shared__ uint32_t chosen[ITEMS * STEP_ROWS / ROWS_OF_WARP];
    // Of the column that it is the owner of.
    __shared__ alignas(16) uint32_t totals[BUCKETS];
    __shared__ Candidate<Key> list[CANDIDATES];
    __shared__ uint32_t listed;
    __shared__ Found found_here;
    // What the owners found, and what the blocks counted.
    __shared__ Found found_of[COLUMNS];
    __shared__ uint32_t block_ties[CLUSTER][COLUMNS];

    const unsigned block = blockIdx.y, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned column = threadIdx.x % COLUMNS, row_of_step = threadIdx.x / COLUMNS;
    const uint32_t rows = args.shape.rows;
    if (pads_alone<COLUMNS, true>(args)) return;
    const uint64_t col = uint64_t(blockIdx.x) * COLUMNS + column;
    const uint64_t owned_col = uint64_t(blockIdx.x) * COLUMNS + block;
    const bool in = col < args.shape.cols;
    const uint32_t share = (rows + CLUSTER - 1) / CLUSTER;
    const uint32_t first = min(block * share, rows), own = min(share, rows - first);

    // Step 1.
    T u[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        const uint32_t row = i * STEP_ROWS + row_of_step;
        u[i] = in && row < own ? args.u.at(first + row, col) : T();
    }
    const auto clear_counters = [&] {
        for (int i = threadIdx.x; i < BUCKETS * COLUMNS; i += BLOCK) counters[0][i] = 0;
        for (int i = threadIdx.x; i < BUCKETS; i += BLOCK) totals[i] = 0;
    };
    clear_counters();
    for (int i = threadIdx.x; i < ITEMS * STEP_ROWS / ROWS_OF_WARP; i += BLOCK) chosen[i] = 0;
    if (threadIdx.x < CANDIDATES) list[threadIdx.x] = {0, 0};
    if (threadIdx.x == 0) {
        listed = 0;
        found_here = {0, 0, 0};
    }
    cluster_arrive();
    // Places without a row have key 0, which no row has, and which is never wanted.
    Key key[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        key[i] = in && i * STEP_ROWS + row_of_step < own ? Element<T>::key(u[i]) : 0;
    }
    cluster_wait();

    // The search is for k = 1 at least; for k = 0 its result is not used.
    uint32_t to_take = max(args.k, 1u), owned_to_take = to_take;
    Key prefix = 0;
    int shift = KEY_BITS;
    bool few;
#pragma unroll 1
    for (;;) {
        // Step 2.
        const int above = shift;
        shift -= 8;
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const bool counts = above == KEY_BITS || key[i] >> above % KEY_BITS == prefix;
            if (counts && key[i] != 0) {
                atomicAdd(&counters[key[i] >> shift & (BUCKETS - 1)][column], 1u);
            }
        }
        __syncthreads();
        for (int i = threadIdx.x; i < BUCKETS * COLUMNS; i += BLOCK) {
            const uint32_t count = counters[0][i];
            if (count) atomicAdd(&in_block(totals[i / COLUMNS], i % COLUMNS), count);
        }
        cluster_sync();
        // Step 3.
        if (warp == 0) {
            find_bucket(totals, owned_to_take, found_here);
            __syncwarp();
            if (lane < CLUSTER) in_block(found_of[block], lane) = found_here;
        }
        cluster_sync();
        prefix = prefix << 8 | found_of[column].bucket;
        to_take -= found_of[column].above;
        owned_to_take -= found_of[block].above;
        // Step 4.
        few = true;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) few &= found_of[c].keys <= CANDIDATES;
        if (few || shift == 0) break;
        clear_counters();
        cluster_sync();
    }

    const bool any = args.k > 0;
    if (threadIdx.x == 0 && owned_col < args.shape.cols) {
        if (args.out.counts) args.out.counts[owned_col] = args.k;
        if (args.threshold && !any) args.threshold[owned_col] = greatest<T>();
    }
    bool is_one[ITEMS];
    if (few) {
        // Step 5.
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const Key digits = key[i] >> shift;
            is_one[i] = digits > prefix;
            if (digits == prefix && key[i] != 0) {
                const uint32_t at = atomicAdd(&in_block(listed, column), 1u);
                in_block(list[at], column) = {key[i], first + i * STEP_ROWS + row_of_step};
            }
        }
        cluster_sync();
        // Step 6.
        Candidate<Key> rival[CANDIDATES / WARP];
#pragma unroll
        for (int i = 0; i < CANDIDATES / WARP; i++) rival[i] = list[i * WARP + lane];
#pragma unroll 1
        for (uint32_t n = warp; n < listed; n += BLOCK_WARPS) {
            const Candidate<Key> candidate = list[n];
            const uint32_t before = come_before(candidate, rival);
            if (lane > 0 || before >= owned_to_take) continue;
            const uint32_t row = candidate.row % share;
            atomicOr(&in_block(chosen[row / ROWS_OF_WARP], candidate.row / share),
                     1u << (row % ROWS_OF_WARP * COLUMNS + block));
            if (args.threshold && any && before + 1 == owned_to_take) {
                args.threshold[owned_col] = value_of<T>(KeyOf<T>(candidate.key));
            }
        }
        cluster_sync();
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            is_one[i] |= chosen[i * BLOCK_WARPS + warp] >> lane & 1;
        }
    } else {
        // Step 7.
        uint32_t ties[ITEMS];
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            // Bit 8 r: row r of the warp, in this lane's column.
            ties[i] = __ballot_sync(ALL_LANES, key[i] == prefix) >> column & 0x01010101;
            if (lane < COLUMNS) ties_of[i * BLOCK_WARPS + warp][column] = __popc(ties[i]);
        }
        __syncthreads();
        share_over_cluster(block_ties, [&](int of) {
            uint32_t all = 0;
#pragma unroll 1
            for (int i = 0; i < ITEMS * BLOCK_WARPS; i++) all += ties_of[i][of];
            return all;
        });
        uint32_t before = 0;
        for (unsigned other = 0; other < block; other++) before += block_ties[other][column];
        int counted = 0;  // warps, item by item
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
#pragma unroll 1
            for (; counted < i * BLOCK_WARPS + int(warp); counted++) {
                before += ties_of[counted][column];
            }
            const uint32_t tie = before + __popc(ties[i] & ((1u << lane / COLUMNS * COLUMNS) - 1));
            is_one[i] = key[i] > prefix || (key[i] == prefix && tie < to_take);
        }
        if (args.threshold && any && threadIdx.x == block && owned_col < args.shape.cols) {
            args.threshold[owned_col] = value_of<T>(KeyOf<T>(prefix));
        }
    }

    // Step 8.
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        const uint32_t row = i * STEP_ROWS + row_of_step;
        const bool one_here = in && any && is_one[i];
        const uint32_t bits = __ballot_sync(ALL_LANES, one_here) >> lane / COLUMNS * COLUMNS;
        if (row >= own) continue;
        if (in) write(args.out, first + row, col, one_here);
        if (args.out.codes.data && column == 0) {
            write_bits<COLUMNS>(args.out.codes, first + row, blockIdx.x, bits);
        }
    }
}

}  // namespace bihalf
