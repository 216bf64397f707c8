// Bi-half forward for some hundreds or thousands of rows of few columns: radix selection by one
// block a column, with an early exit.
//
//     block = one column, BLOCK threads x ITEMS rows: row = item * BLOCK + thread
//
// The threshold is found digit by digit, 8 bits at a time, most significant first, in a histogram
// in shared memory. Seldom more than one digit is needed: as soon as few keys share the digits
// found, their rows are ranked one by one, and all others are decided already.
//
// 1. Load; clear the histograms while the loads are under way.
// 2. Count the digit of the keys that start with the digits found so far.
// 3. The first warp finds the digit of the k-th largest key: lane l adds up the 8 counters of the
//    l-th highest digits; a scan over the lanes tells which of them reaches k.
// 4. If more than CANDIDATES keys start with the digits found, go on with the next digit.
// 5. Write all rows but the candidates; these go to a list, in any order.
// 6. A warp takes a candidate, a lane a rival: ballots count the rivals before it.
// 7. If the digits are used up, all candidates are equal: a prefix over the rows counts them.
//
// Rows are compared as (key, row), so the result does not depend on the order of the list. The
// columns of a block are not neighbours in memory: packed codes take other kernels.
#pragma once
#include "bihalf_forward.cuh"

namespace bihalf {

constexpr int BUCKETS = 256;
constexpr int BUCKETS_OF_LANE = BUCKETS / WARP;

// Writes an element in the forms that do not take bits of other columns.
template <class T>
__device__ void write(const Outputs<T>& out, uint64_t row, uint64_t col, bool is_one) {
    if (out.dense.data) out.dense.at(row, col) = one<T>(is_one);
    if (out.dense_i8.data) out.dense_i8.at(row, col) = is_one ? 1 : -1;
}

// What the first warp finds: the bucket of the wanted key, how many keys it holds, and how many lie
// in greater ones.
struct Found {
    uint32_t bucket, keys, above;
};

// Step 3. `wanted` counts from 1 at the greatest key.
__device__ inline void find_bucket(const uint32_t (&counters)[BUCKETS], uint32_t wanted,
                                   Found& found) {
    const unsigned lane = threadIdx.x, lowest = BUCKETS - BUCKETS_OF_LANE * (lane + 1);
    // at_least[i]: keys in bucket lowest + i and the greater ones of this lane.
    static_assert(BUCKETS_OF_LANE == 8, "two vectors");
    const uint4 low = *reinterpret_cast<const uint4*>(&counters[lowest]);
    const uint4 high = *reinterpret_cast<const uint4*>(&counters[lowest + 4]);
    const uint32_t own[] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    uint32_t at_least[BUCKETS_OF_LANE + 1] = {};
#pragma unroll
    for (int i = BUCKETS_OF_LANE - 1; i >= 0; i--) at_least[i] = at_least[i + 1] + own[i];
    uint32_t up_to_lane = at_least[0];
#pragma unroll
    for (unsigned distance = 1; distance < WARP; distance *= 2) {
        const uint32_t others = __shfl_up_sync(ALL_LANES, up_to_lane, distance);
        if (lane >= distance) up_to_lane += others;
    }
    const uint32_t before = up_to_lane - at_least[0];
    if (before >= wanted || up_to_lane < wanted) return;
#pragma unroll
    for (int i = 0; i < BUCKETS_OF_LANE; i++) {
        const bool reached = before + at_least[i] >= wanted;
        if (reached && before + at_least[i + 1] < wanted) {
            found = {lowest + i, at_least[i] - at_least[i + 1], before + at_least[i + 1]};
        }
    }
}

template <class Key>
struct Candidate {
    Key key;
    uint32_t row;
};

// How many candidates come before one of them. Places without one have key 0.
template <int N, class Key>
__device__ uint32_t come_before(const Candidate<Key>& own, const Candidate<Key> (&rival)[N]) {
    uint32_t before = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
        const bool lower_row = rival[i].key == own.key && rival[i].row < own.row;
        before += __popc(__ballot_sync(ALL_LANES, rival[i].key > own.key || lower_row));
    }
    return before;
}

template <class T, int BLOCK, int ITEMS, int CANDIDATES>
__device__ void histogram(const Forward<T>& args) {
    using Key = decltype(KeyOf<T>() + 0u);
    constexpr int BLOCK_WARPS = BLOCK / WARP, KEY_BITS = sizeof(T) * 8, ROUNDS = KEY_BITS / 8;
    __shared__ alignas(16) uint32_t counters[ROUNDS][BUCKETS];
    __shared__ Candidate<Key> list[CANDIDATES];
    __shared__ Found found_in[ROUNDS];
    __shared__ uint32_t listed, ties_of[ITEMS][BLOCK_WARPS];

    const uint32_t rows = args.shape.rows;
    const uint64_t col = blockIdx.x;
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;

    // Step 1.
    T u[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        const uint32_t row = i * BLOCK + threadIdx.x;
        u[i] = row < rows ? args.u.at(row, col) : T();
    }
    uint4* const clear = reinterpret_cast<uint4*>(counters);
    for (int i = threadIdx.x; i < ROUNDS * BUCKETS / 4; i += BLOCK) clear[i] = {0, 0, 0, 0};
    if (threadIdx.x < CANDIDATES) list[threadIdx.x] = {0, 0};
    if (threadIdx.x == 0) listed = 0;
    __syncthreads();
    // Places without a row have key 0, which no row has: they count with the least keys, and are
    // never listed.
    Key key[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        key[i] = i * BLOCK + threadIdx.x < rows ? Element<T>::key(u[i]) : 0;
    }

    // The search is for k = 1 at least; for k = 0 its result is not used.
    uint32_t to_take = max(args.k, 1u);
    Key prefix = 0;
    int shift = KEY_BITS;
    Found found;
#pragma unroll 1
    for (int round = 0;; round++) {
        // Step 2.
        const int above = shift;
        shift -= 8;
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const bool counts = above == KEY_BITS || key[i] >> above % KEY_BITS == prefix;
            if (counts) atomicAdd(&counters[round][key[i] >> shift & (BUCKETS - 1)], 1u);
        }
        __syncthreads();
        // Step 3.
        if (warp == 0) find_bucket(counters[round], to_take, found_in[round]);
        __syncthreads();
        found = found_in[round];
        prefix = prefix << 8 | found.bucket;
        to_take -= found.above;
        // Step 4.
        if (found.keys <= CANDIDATES || shift == 0) break;
    }

    const bool any = args.k > 0;
    if (threadIdx.x == 0) {
        if (args.out.counts) args.out.counts[col] = args.k;
        if (args.threshold && !any) args.threshold[col] = greatest<T>();
    }
    if (found.keys <= CANDIDATES) {
        // Step 5.
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const uint32_t row = i * BLOCK + threadIdx.x;
            if (row >= rows) continue;
            const Key digits = key[i] >> shift;
            if (digits == prefix) {
                list[atomicAdd(&listed, 1u)] = {key[i], row};
            } else {
                write(args.out, row, col, any && digits > prefix);
            }
        }
        __syncthreads();
        // Step 6.
        Candidate<Key> rival[CANDIDATES / WARP];
#pragma unroll
        for (int i = 0; i < CANDIDATES / WARP; i++) rival[i] = list[i * WARP + lane];
#pragma unroll 1
        for (uint32_t n = warp; n < listed; n += BLOCK_WARPS) {
            const Candidate<Key> own = list[n];
            const uint32_t before = come_before(own, rival);
            if (lane > 0) continue;
            write(args.out, own.row, col, any && before < to_take);
            if (args.threshold && any && before + 1 == to_take) {
                args.threshold[col] = value_of<T>(KeyOf<T>(own.key));
            }
        }
        return;
    }
    // Step 7.
    uint32_t ties[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        ties[i] = __ballot_sync(ALL_LANES, key[i] == prefix);
        if (lane == 0) ties_of[i][warp] = __popc(ties[i]);
    }
    __syncthreads();
    uint32_t before = 0;
    int counted = 0;  // warps, item by item
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
#pragma unroll 1
        for (; counted < i * BLOCK_WARPS + int(warp); counted++) before += ties_of[0][counted];
        const uint32_t row = i * BLOCK + threadIdx.x;
        const uint32_t tie = before + __popc(ties[i] & ((1u << lane) - 1));
        const bool is_one = key[i] > prefix || (key[i] == prefix && tie < to_take);
        if (row < rows) write(args.out, row, col, any && is_one);
    }
    if (args.threshold && any && threadIdx.x == 0) {
        args.threshold[col] = value_of<T>(KeyOf<T>(prefix));
    }
}

}  // namespace bihalf
