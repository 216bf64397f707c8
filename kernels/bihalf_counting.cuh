// Bi-half forward for a few rows and columns: a rank by counting, many threads a column.
//
// A grid of few columns leaves most of a device idle, so what counts is the length of the chain from
// load to store, not the number of instructions. Here no thread waits for another one but at one
// barrier: a row's rank is the number of rows before it, and all comparisons are independent.
//
//     block = COLUMNS columns x ROWS rows x SHARE threads      lane: share fastest, then column
//
//       keys of a column in shared memory:  [0 1 2 3][4 5 6 7] ...   groups of 4, one 16-byte read
//       thread (row, share) visits group  (own group ^ visit),  visit = share, share + SHARE, ...
//
// 1. Load a row's key and put it into shared memory. Places without a row have key 0, which no row
//    has. One barrier.
// 2. Count the keys that come before the own one: greater ones, and equal ones of lower rows. That
//    is `key > own - lower`, where `lower` tells whether the other row is lower. Of the group
//    `own ^ visit` all rows are lower, or none: the highest bit of `visit` decides, if it is set in
//    the own group. So ties cost nothing per comparison; only the own group is compared row by row.
// 3. Add up the counts of the threads of a row, neighbouring lanes.
// 4. +1 if less than k rows come before. The row with k - 1 rows before it holds the threshold.
//
// Packed codes are written by bytes: eight columns of a row lie in neighbouring lanes.
#pragma once
#include "bihalf_forward.cuh"

namespace bihalf {

constexpr int GROUP = 4;  // 32-bit keys in a 16-byte read

template <class Key>
struct alignas(16) Group {
    Key key[GROUP];
};

template <class T, int ROWS, int COLUMNS, int SHARE>
__device__ void counting(const Forward<T>& args) {
    // 16-bit types are compared as floats.
    using Real = RealOf<T>;
    using Key = KeyOf<Real>;
    constexpr int VISITS = ROWS / GROUP / SHARE;
    static_assert(ROWS % (GROUP * SHARE) == 0 && (VISITS & (VISITS - 1)) == 0, "whole visits");
    static_assert(WARP % (SHARE * COLUMNS) == 0, "a row within a warp");

    if (pads_alone<COLUMNS>(args)) return;
    // A group of distance between columns lets them lie in different banks.
    __shared__ Group<Key> keys[COLUMNS][ROWS / GROUP + 1];
    const unsigned share = threadIdx.x % SHARE, column = threadIdx.x / SHARE % COLUMNS;
    const unsigned row = threadIdx.x / (SHARE * COLUMNS);
    const uint64_t col = uint64_t(blockIdx.x) * COLUMNS + column;
    const bool in = row < args.shape.rows && col < args.shape.cols;

    // Step 1.
    const Key own = in ? Element<Real>::key(Element<T>::widen(args.u.at(row, col))) : 0;
    const unsigned group = row / GROUP;
    if (share == 0) keys[column][group].key[row % GROUP] = own;
    __syncthreads();

    // Step 2.
    unsigned before[GROUP] = {};
#pragma unroll
    for (int n = 0; n < VISITS; n++) {
        const unsigned visit = n * SHARE + share;
        const Group<Key> other = keys[column][group ^ visit];
        // The highest bit of `visit` is that of n, if n has any.
        constexpr unsigned FIRST_BIT = SHARE;
        const unsigned high = n >= 16 ? 16 : n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
        const bool lower = n > 0 ? group & (high * FIRST_BIT) : (group ^ visit) < group;
#pragma unroll
        for (int i = 0; i < GROUP; i++) {
            const bool lower_in_own = n == 0 && visit == 0 && i < row % GROUP;
            before[i] += other.key[i] > own - Key(lower || lower_in_own);
        }
    }
    // Step 3.
    unsigned rank = before[0] + before[1] + before[2] + before[3];
#pragma unroll
    for (int distance = 1; distance < SHARE; distance *= 2) {
        rank += __shfl_xor_sync(ALL_LANES, rank, distance);
    }
    // Step 4.
    const bool is_one = in && rank < args.k, writes = in && share == 0;
    if (args.out.dense.data && writes) args.out.dense.at(row, col) = one<T>(is_one);
    if (args.dense_alone) return;
    if (args.out.dense_i8.data && writes) args.out.dense_i8.at(row, col) = is_one ? 1 : -1;
    if constexpr (COLUMNS == 8 && SHARE == 1) {
        const uint32_t bits = __ballot_sync(ALL_LANES, is_one) >> (threadIdx.x % WARP - column);
        if (args.out.codes.data && column == 0 && row < args.shape.rows) {
            write_bits<COLUMNS>(args.out.codes, row, blockIdx.x, bits);
        }
    }
    const bool first = row == 0 && share == 0 && col < args.shape.cols;  // without rows as well
    if (args.out.counts && first) args.out.counts[col] = args.k;
    if (args.threshold && first && args.k == 0) args.threshold[col] = greatest<T>();
    if (args.threshold && writes && rank + 1 == args.k) args.threshold[col] = threshold_of<T>(own);
}

}  // namespace bihalf
