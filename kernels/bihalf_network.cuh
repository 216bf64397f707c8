// Bi-half forward for up to ROWS = 32 or 64 rows: a sorting network in registers.
//
//     lane:          0        1       ...      31
//                 key[0]   key[0]           key[0]     one warp = 32 columns; each lane holds
//                 key[1]   key[1]           key[1]     a whole column, so comparators need no
//                   :        :                :        shuffle, no shared memory, no barrier
//                key[ROWS-1]
//
// 1. Load the column as ordered keys. Behind its rows come pads: ROWS / 2 - k greatest keys and
//    the rest least keys, so that the k-th largest of the rows is the (ROWS / 2)-th largest of all
//    slots, for every k. One network serves every size.
// 2. Sort both halves with a bitonic network.
// 3. Half-cleaner: the larger ones of a[i] and b[H - 1 - i] are the ROWS / 2 largest keys; the
//    least of them is the threshold key.
// 4. Walk down the rows: +1 above the threshold, and at the threshold until k ones are given.
//
// Needs max(k, rows - k) <= ROWS / 2 (or there are not enough pads): the host checks.
#pragma once
#include "bitonic.cuh"

namespace bihalf {

template <class T>
struct Forward {
    Input<T> u;
    Outputs<T> out;
    T* threshold;
    Shape shape;
    uint32_t k;
};

template <class T, int ROWS>
__device__ void network(const Forward<T>& args) {
    // 16-bit keys travel in 32-bit registers, which have one-instruction minima and maxima.
    using Key = decltype(KeyOf<T>() + 0u);
    constexpr Key GREATEST = KeyOf<T>(~KeyOf<T>(0));
    constexpr int HALF = ROWS / 2;
    const Place at(args.shape.cols);
    const int rows = args.shape.rows, k = args.k;

    // Step 1. Lanes without a column sort zeros.
    Key key[ROWS], a[HALF], b[HALF];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        key[i] = i - rows < HALF - k ? GREATEST : 0;
        if (i < rows) key[i] = at.in ? Element<T>::key(args.u.at(i, at.col)) : 0;
        (i < HALF ? a[i % HALF] : b[i % HALF]) = key[i];
    }
    // Step 2.
    sort_registers(a);
    sort_registers(b);
    // Step 3.
    Key cut = GREATEST;
#pragma unroll
    for (int i = 0; i < HALF; i++) cut = min(cut, max(a[i], b[HALF - 1 - i]));

    // Step 4.
    int ties_to_take = k;
#pragma unroll
    for (int i = 0; i < ROWS; i++) ties_to_take -= i < rows && key[i] > cut;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        if (i < rows) {
            const bool tie = key[i] == cut;
            emit(args.out, at, i, key[i] > cut || (tie && ties_to_take > 0));
            ties_to_take -= tie;
        }
    }
    if (at.in && args.out.counts) args.out.counts[at.col] = k;
    // For k = 0 the threshold is a pad, whose value is NaN.
    if (at.in && args.threshold) args.threshold[at.col] = Element<T>::from_key(KeyOf<T>(cut));
}

}  // namespace bihalf
