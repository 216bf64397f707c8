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

// N slots of a lane's column, from row `first` on, whose address is `u`, which goes on to the next
// ones. `FULL`: each is a row of a column that exists.
template <bool FULL, class T, int N>
__device__ void load(const Forward<T>& args, const T*& u, int first, T (&slots)[N]) {
    const int rows = args.shape.rows, greatest_pads_end = rows + N - int(args.k);
#pragma unroll
    for (int i = 0; i < N; i++, u += args.u.row_stride) {
        if (!FULL) slots[i] = first + i < greatest_pads_end ? greatest<T>() : least<T>();
        if (FULL || first + i < rows) slots[i] = *u;
    }
}

// Step 3: what two sorted halves of keys say of where the larger half of all begins.
template <class Key>
struct Boundary {
    Key cut;   // the least of the larger half
    Key next;  // the greatest of the others

    template <int HALF>
    __device__ Boundary(const Key (&a)[HALF], const Key (&b)[HALF])
        : cut(greater(a[0], b[HALF - 1])), next(lesser(a[0], b[HALF - 1])) {
#pragma unroll
        for (int i = 1; i < HALF; i++) {
            cut = lesser(cut, greater(a[i], b[HALF - 1 - i]));
            next = greater(next, lesser(a[i], b[HALF - 1 - i]));
        }
    }
};

template <class T, int ROWS>
__device__ void network(const Forward<T>& args) {
    // 16-bit types are sorted as floats, whose keys have one-instruction minima and maxima.
    using Real = RealOf<T>;
    using Key = KeyOf<Real>;
    constexpr int HALF = ROWS / 2;
    if (pads_alone<WARP>(args)) return;
    const Place at(args.shape.cols);
    const int rows = args.shape.rows;

    // Steps 1 and 2, one half after the other. Lanes without a column sort zeros. Halves of 32 rows
    // go through the same code, a loop, with a move for each row: twice it would be too much. The
    // first round moves what is not there yet, and the second one puts the first half in its place.
    constexpr int HALVES_AT_ONCE = HALF < 32 ? 2 : 1;
    const bool full = rows == ROWS && __all_sync(ALL_LANES, at.in);
    const T* column = args.u.data + (at.in ? at.col : 0) * args.u.col_stride;
    Key key[ROWS], a[HALF], b[HALF];
#pragma unroll HALVES_AT_ONCE
    for (int first = 0; first < ROWS; first += HALF) {
        T u[HALF];
        if (full) {
            load<true>(args, column, first, u);
        } else {
            load<false>(args, column, first, u);
        }
#pragma unroll
        for (int i = 0; i < HALF; i++) {
            key[i] = key[HALF + i];
            a[i] = b[i];
            b[i] = key[HALF + i] = Element<Real>::key(Element<T>::widen(u[i]));
        }
        sort_odd_even(b);
    }
    // Step 3.
    const auto [cut, next] = Boundary<Key>(a, b);
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
    const uint64_t exist = rows < 64 ? (uint64_t(1) << rows) - 1 : ~uint64_t(0);
    uint64_t ones = 0, at_least = 0;
#pragma unroll 1
    for (int above = 0; above <= int(surplus); above++) {
        // The rows at the threshold and above it, then those above it, by the same code.
        at_least = ones;
        ones = 0;
        const Key from = cut + above;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            if (key[i] >= from) ones |= uint64_t(1) << i;
        }
        if (from < cut) ones = 0;  // nothing is above the greatest key
        ones &= exist;
    }
    if (surplus) {
        uint64_t equal = at_least ^ ones;
#pragma unroll 1
        for (int n = __popcll(at_least) - int(args.k); n > 0; n--) {
            equal ^= uint64_t(1) << (63 - __clzll(equal));
        }
        ones |= equal;
    }
    if (args.out.codes.data) {
#pragma unroll
        for (int first = 0; first < ROWS; first += WARP) {
            const uint32_t of_rows = at.in ? uint32_t(ones >> first) : 0;
            const uint32_t of_columns = transpose_over_lanes<WARP>(of_rows);
            const int row = first + at.lane;
            if (row < rows) write_bits<WARP>(args.out.codes, row, at.tile, of_columns);
        }
    }
    if (!at.in) return;
#pragma unroll 1
    for (int i = 0; i < rows; i++, ones >>= 1) {
        if (args.out.dense.data) args.out.dense.at(i, at.col) = one<T>(ones & 1);
        if (args.out.dense_i8.data) args.out.dense_i8.at(i, at.col) = ones & 1 ? 1 : -1;
    }
}

}  // namespace bihalf
