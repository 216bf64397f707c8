// Bi-half forward for any number of rows: radix selection over histograms, many blocks a column.
//
//                   tile 0   tile 1 ...                 blockIdx.x: tile of 32 columns
//     chunk 0       warp     warp                       a warp owns a chunk of rows of a tile
//     chunk 1       warp     warp                       and walks down it
//       :
//
// The key of the k-th largest is found digit by digit, 8 bits at a time, most significant first.
// For each digit:
//   1. `radix_histogram`: for the keys that start with the digits found so far, count the values of
//      the next digit. In shared memory counts[digit][lane] lie in bank `lane` for every digit, so
//      lanes never collide; blocks add theirs to the column's histogram with integer atomics, whose
//      order does not matter.
//   2. `radix_pick`: one thread a column finds the digit in which the k-th largest lies, and how
//      many are still to be taken among the keys that start with it; it leaves zeros behind for the
//      next digit.
// After the last digit the threshold key is known, and how many keys equal to it are taken:
//   3. `radix_ties`: every warp counts the keys of its chunk that equal the threshold.
//   4. `radix_scan`: one thread a column turns the counts of its chunks into the number of ties
//      before each chunk.
//   5. `radix_emit`: every warp walks down its chunk again: +1 above the threshold, and at it as
//      long as ties are to be taken. The lowest rows come first, exactly.
//
// Workspace: Selection[cols], histogram[256][cols] (zero before the first digit), ties[chunks][cols].
// No block waits for another one; the number of launches depends on the type alone.
#pragma once
#include "common.cuh"

namespace bihalf {

constexpr unsigned DIGIT_BITS = 8;
constexpr unsigned DIGITS = 1 << DIGIT_BITS;

// What is known of a column's threshold.
struct Selection {
    uint64_t prefix;   // the digits found, the others 0
    uint32_t to_take;  // how many keys that start with them are among the k largest
    uint32_t padding;
};

// The rows of a warp's chunk.
struct Chunk {
    unsigned index;
    uint64_t begin, end;

    __device__ Chunk(const Place& at, uint32_t chunk_rows, uint32_t rows)
        : index(blockIdx.y * WARPS + at.warp),
          begin(min(uint64_t(index) * chunk_rows, uint64_t(rows))),
          end(min(begin + chunk_rows, uint64_t(rows))) {}
};

// Step 1.
template <class T>
struct Digit {
    Input<T> u;
    Shape shape;
    uint32_t chunk_rows;
    uint32_t shift;  // of the digit to count
    const Selection* selection;
    uint32_t* histogram;
};

template <class T>
__device__ void radix_histogram(const Digit<T>& args) {
    __shared__ uint32_t counts[DIGITS][WARP];
    for (unsigned d = threadIdx.x / WARP; d < DIGITS; d += WARPS) counts[d][threadIdx.x % WARP] = 0;
    __syncthreads();

    const Place at(args.shape.cols);
    const Chunk chunk(at, args.chunk_rows, args.shape.rows);
    if (at.in) {
        // Bits above the digit; there are none above the first one, whose prefix is not yet known.
        const bool first = args.shift + DIGIT_BITS == sizeof(KeyOf<T>) * 8;
        const KeyOf<T> known = first ? 0 : KeyOf<T>(~KeyOf<T>(0)) << (args.shift + DIGIT_BITS) % 64;
        const KeyOf<T> prefix = first ? 0 : KeyOf<T>(args.selection[at.col].prefix);
        for (uint64_t i = chunk.begin; i < chunk.end; i++) {
            const KeyOf<T> key = Element<T>::key(args.u.at(i, at.col));
            if ((key & known) == prefix) {
                atomicAdd(&counts[key >> args.shift & (DIGITS - 1)][at.lane], 1u);
            }
        }
    }
    __syncthreads();
    if (!at.in) return;
    for (unsigned d = at.warp; d < DIGITS; d += WARPS) {
        const uint32_t n = counts[d][at.lane];
        if (n) atomicAdd(&args.histogram[uint64_t(d) * args.shape.cols + at.col], n);
    }
}

// Step 2.
struct Pick {
    Selection* selection;
    uint32_t* histogram;
    uint32_t cols;
    uint32_t shift;
    uint32_t first;  // whether this is the first digit
    uint32_t k;
};

__device__ inline void radix_pick(const Pick& args) {
    const uint64_t col = uint64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (col >= args.cols) return;
    Selection of = args.first ? Selection{0, args.k, 0} : args.selection[col];
    uint32_t above = 0;
    bool found = false;
    for (int digit = DIGITS - 1; digit >= 0; digit--) {
        uint32_t& bucket = args.histogram[uint64_t(digit) * args.cols + col];
        const uint32_t n = bucket;
        bucket = 0;
        if (!found && above + n >= of.to_take) {
            found = true;
            of = {of.prefix | uint64_t(digit) << args.shift, of.to_take - above, 0};
        }
        above += n;
    }
    args.selection[col] = of;
}

// Steps 3 and 5.
template <class T>
struct Cut {
    Input<T> u;
    Outputs<T> out;
    T* threshold;
    Shape shape;
    uint32_t chunk_rows;
    uint32_t k;
    const Selection* selection;
    uint32_t* ties;
};

template <class T>
__device__ void radix_ties(const Cut<T>& args) {
    const Place at(args.shape.cols);
    const Chunk chunk(at, args.chunk_rows, args.shape.rows);
    if (!at.in || chunk.begin == chunk.end) return;
    const KeyOf<T> cut = KeyOf<T>(args.selection[at.col].prefix);
    uint32_t ties = 0;
    for (uint64_t i = chunk.begin; i < chunk.end; i++) {
        ties += Element<T>::key(args.u.at(i, at.col)) == cut;
    }
    args.ties[uint64_t(chunk.index) * args.shape.cols + at.col] = ties;
}

// Step 4.
struct Scan {
    uint32_t* ties;
    uint32_t cols;
    uint32_t chunks;
};

__device__ inline void radix_scan(const Scan& args) {
    const uint64_t col = uint64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (col >= args.cols) return;
    uint32_t before = 0;
    for (uint32_t chunk = 0; chunk < args.chunks; chunk++) {
        uint32_t& ties = args.ties[uint64_t(chunk) * args.cols + col];
        const uint32_t mine = ties;
        ties = before;
        before += mine;
    }
}

template <class T>
__device__ void radix_emit(const Cut<T>& args) {
    const Place at(args.shape.cols);
    const Chunk chunk(at, args.chunk_rows, args.shape.rows);
    KeyOf<T> cut = 0;
    int64_t ties_to_take = 0;
    if (at.in && chunk.begin < chunk.end) {
        const Selection of = args.selection[at.col];
        cut = KeyOf<T>(of.prefix);
        ties_to_take =
            int64_t(of.to_take) - args.ties[uint64_t(chunk.index) * args.shape.cols + at.col];
    }
    for (uint64_t i = chunk.begin; i < chunk.end; i++) {
        const KeyOf<T> key = at.in ? Element<T>::key(args.u.at(i, at.col)) : KeyOf<T>(0);
        const bool tie = key == cut;
        emit(args.out, at, i, key > cut || (tie && ties_to_take > 0));
        ties_to_take -= tie;
    }
    if (chunk.index == 0 && at.in) {
        if (args.out.counts) args.out.counts[at.col] = args.k;
        const KeyOf<T> value = args.k == 0 ? KeyOf<T>(~KeyOf<T>(0)) : cut;
        if (args.threshold) args.threshold[at.col] = value_of<T>(value);
    }
}

}  // namespace bihalf
