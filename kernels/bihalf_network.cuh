// Bi-half forward for up to ROWS = 32 or 64 rows: a sorting network in registers.
//
//     lane:          0        1       ...      31
//                 key[0]   key[0]           key[0]     one warp = 32 columns; each lane holds
//                 key[1]   key[1]           key[1]     a whole column, so comparators need no
//                   :        :                :        shuffle, no shared memory, no barrier
//                key[ROWS-1]
//
// 1. Load the column as ordered keys. Behind its rows come pads: ROWS / 2 - k greatest values and
//    the rest least ones, so that the k-th largest of the rows is the (ROWS / 2)-th largest of all
//    slots, for every k. One network serves every size.
// 2. Sort both halves.
// 3. Half-cleaner: the larger ones of a[i] and b[H - 1 - i] are the ROWS / 2 largest keys, the
//    lesser ones all others. The least of the former is the threshold key; more rows than k equal
//    or exceed it only if it equals the greatest of the latter.
// 4. +1 at and above the threshold. Where there are surplus ties, in some column of the tile, or
//    other outputs than dense, the rows become a bit mask first, from which surplus ties are taken
//    off, the highest row first.
//
// A pad can equal a row (NaN, -inf), which the masks leave out.
//
// Needs max(k, rows - k) <= ROWS / 2 (or there are not enough pads): the host checks.
#pragma once
#include "bihalf_forward.cuh"
#include "odd_even.cuh"

namespace bihalf {

// The slots of a lane's column. `FULL`: each is a row of a column that exists.
template <class T, int ROWS, bool FULL>
__device__ void load(const Forward<T>& args, const Place& at, T (&slots)[ROWS]) {
    const int rows = args.shape.rows, greatest_pads_end = rows + ROWS / 2 - int(args.k);
    const uint64_t col = FULL ? at.col : min(at.col, uint64_t(args.shape.cols - 1));
    const T* u = &args.u.data[col * args.u.col_stride];
#pragma unroll
    for (int i = 0; i < ROWS; i++, u += args.u.row_stride) {
        if (!FULL) slots[i] = i < greatest_pads_end ? greatest<T>() : least<T>();
        if (FULL || i < rows) slots[i] = *u;
    }
}

template <class T, int ROWS>
__device__ void network(const Forward<T>& args) {
    // 16-bit types are sorted as floats, whose keys have one-instruction minima and maxima.
    using Real = RealOf<T>;
    using Key = KeyOf<Real>;
    constexpr int HALF = ROWS / 2;
    if (pads_alone<WARP>(args.out, blockIdx.x, args.shape.cols, 0, args.shape.rows)) return;
    const Place at(args.shape.cols);
    const int rows = args.shape.rows;

    // Step 1. Lanes without a column sort zeros.
    const bool full = rows == ROWS && __all_sync(ALL_LANES, at.in);
    T u[ROWS];
    if (full) {
        load<T, ROWS, true>(args, at, u);
    } else {
        load<T, ROWS, false>(args, at, u);
    }
    Key key[ROWS], a[HALF], b[HALF];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        key[i] = Element<Real>::key(Element<T>::widen(u[i]));
        (i < HALF ? a[i % HALF] : b[i % HALF]) = key[i];
    }
    // Step 2.
    sort_odd_even(a);
    sort_odd_even(b);
    // Step 3.
    Key cut = ~Key(0), next = 0;
#pragma unroll
    for (int i = 0; i < HALF; i++) {
        cut = min(cut, max(a[i], b[HALF - 1 - i]));
        next = max(next, min(a[i], b[HALF - 1 - i]));
    }
    const bool surplus = __any_sync(ALL_LANES, next == cut);
    if (at.in && args.out.counts) args.out.counts[at.col] = args.k;
    // For k = 0 the threshold is a pad, whose value is NaN.
    if (at.in && args.threshold) args.threshold[at.col] = threshold_of<T>(cut);

    // Step 4, as almost all calls have it.
    if (full && !surplus && !args.out.dense_i8.data && !args.out.codes.data) {
        if (!args.out.dense.data) return;
        T* b = &args.out.dense.at(0, at.col);
#pragma unroll
        for (int i = 0; i < ROWS; i++, b += args.out.dense.row_stride) {
            *b = one<T>(key[i] >= cut);
        }
        return;
    }
    // Step 4 with surplus ties or other outputs: a bit a row.
    uint64_t above = 0, equal = 0;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        if (key[i] > cut) above |= uint64_t(1) << i;
        if (key[i] == cut) equal |= uint64_t(1) << i;
    }
    const uint64_t exist = rows < 64 ? (uint64_t(1) << rows) - 1 : ~uint64_t(0);
    above &= exist;
    equal &= exist;
#pragma unroll 1
    for (int n = __popcll(above) + __popcll(equal) - int(args.k); n > 0; n--) {
        equal ^= uint64_t(1) << (63 - __clzll(equal));
    }
    above |= equal;
    if (args.out.codes.data) {
#pragma unroll
        for (int first = 0; first < ROWS; first += WARP) {
            const uint32_t of_rows = at.in ? uint32_t(above >> first) : 0;
            const uint32_t of_columns = transpose_over_lanes<WARP>(of_rows);
            const int row = first + at.lane;
            if (row < rows) write_bits<WARP>(args.out.codes, row, at.tile, of_columns);
        }
    }
    if (!at.in) return;
#pragma unroll 1
    for (int i = 0; i < rows; i++, above >>= 1) {
        if (args.out.dense.data) args.out.dense.at(i, at.col) = one<T>(above & 1);
        if (args.out.dense_i8.data) args.out.dense_i8.at(i, at.col) = above & 1 ? 1 : -1;
    }
}

}  // namespace bihalf
