// Bi-half forward for any number of rows: radix selection over histograms, many blocks a column.
//
//                   tile 0   tile 1 ...             tile: 8 columns, a sector of float
//     chunk 0       block    block                  chunk: some thousands of rows
//     chunk 1       block    block                  blockIdx.x goes through them row by row
//       :                                           a warp is 8 columns x 4 rows or groups of rows
//
// The key of the k-th largest is found digit by digit, up to 11 bits at a time, most significant
// first. For each digit:
//   1. `radix_histogram`: for the keys that start with the digits found so far, count the values of
//      the next digit in shared memory, and add the counts to the column's histogram with integer
//      atomics, whose order does not matter. Of the last digit a block keeps its own counts as well.
//   2. `radix_pick`: a block a tile finds the digit in which the k-th largest lies, and how many are
//      still to be taken among the keys that start with it; it leaves zeros behind for the next one.
// After the last digit the threshold is known, and how many keys equal to it are taken:
//   3. `radix_scan`: one thread a column adds up, from the counts that blocks kept, how many ties
//      come before each chunk.
//   4. `radix_emit`: a block goes through its chunk again, 1024 rows at a time, a thread 32 rows of
//      a column as bit masks: +1 above the threshold, and at it as long as ties are to be taken. The
//      lowest rows come first, exactly.
//
// U is read once for each digit and once more: 3 digits of float make 16 bytes an element, and B 4
// more. Workspace: src/plan/bihalf.rs. No block waits for another one; the number of launches depends
// on the type alone.
#pragma once
#include "bihalf_forward.cuh"

namespace bihalf {

constexpr unsigned TILE_COLUMNS = 8;
constexpr unsigned LANES_OF_COLUMN = THREADS / TILE_COLUMNS;
constexpr unsigned DIGIT_BITS = 11;
constexpr unsigned DIGITS = 1 << DIGIT_BITS;

// What is known of a column's threshold.
struct Selection {
    uint64_t prefix;   // the digits found, the others 0
    uint32_t to_take;  // how many keys that start with them are among the k largest
    uint32_t ties;     // how many keys start with them
};

// A thread's column, and the rows of its block.
struct Chunk {
    unsigned column, lane;  // lane: of those that share the column
    unsigned tile, index;
    uint64_t col, begin, end;
    bool in;

    __device__ Chunk(uint32_t tiles, uint32_t chunk_rows, const Shape& shape)
        : column(threadIdx.x % TILE_COLUMNS),
          lane(threadIdx.x / TILE_COLUMNS),
          tile(blockIdx.x % tiles),
          index(blockIdx.x / tiles),
          col(uint64_t(tile) * TILE_COLUMNS + column),
          begin(min(uint64_t(index) * chunk_rows, uint64_t(shape.rows))),
          end(min(begin + chunk_rows, uint64_t(shape.rows))),
          in(col < shape.cols) {}
};

// Step 1.
template <class T>
struct Digit {
    Input<T> u;
    Shape shape;
    uint32_t tiles;
    uint32_t chunk_rows;   // less than 2^16, so that a block's counts fit in 16 bits
    uint32_t shift, bits;  // of the digit to count
    const Selection* selection;
    uint32_t* histogram;  // [digits][cols]
    uint16_t* kept;       // [chunks][digits][cols], of the last digit; else null
};

template <class T>
__device__ void radix_histogram(const Digit<T>& args) {
    // Two columns a word: 32 KB for 2048 digits of 8 columns.
    __shared__ uint32_t counts[DIGITS][TILE_COLUMNS / 2];
    const unsigned digits = 1u << args.bits;
    for (unsigned i = threadIdx.x; i < digits * TILE_COLUMNS / 2; i += THREADS) counts[0][i] = 0;
    __syncthreads();

    const Chunk chunk(args.tiles, args.chunk_rows, args.shape);
    const unsigned half = chunk.column % 2 * 16;
    if (chunk.in) {
        // Bits above the digit; there are none above the first one, whose prefix is not yet known.
        const unsigned above = args.shift + args.bits;
        const bool first = above == sizeof(KeyOf<T>) * 8;
        const KeyOf<T> known = first ? 0 : KeyOf<T>(~KeyOf<T>(0)) << above % 64;
        const KeyOf<T> prefix = first ? 0 : KeyOf<T>(args.selection[chunk.col].prefix);
#pragma unroll 4
        for (uint64_t i = chunk.begin + chunk.lane; i < chunk.end; i += LANES_OF_COLUMN) {
            const KeyOf<T> key = Element<T>::key(args.u.at(i, chunk.col));
            if ((key & known) == prefix) {
                const unsigned digit = unsigned(key >> args.shift) & (digits - 1);
                atomicAdd(&counts[digit][chunk.column / 2], 1u << half);
            }
        }
    }
    __syncthreads();
    if (!chunk.in) return;
    for (unsigned d = chunk.lane; d < digits; d += LANES_OF_COLUMN) {
        const uint32_t n = counts[d][chunk.column / 2] >> half & 0xffff;
        if (n) atomicAdd(&args.histogram[uint64_t(d) * args.shape.cols + chunk.col], n);
        if (args.kept) {
            const uint64_t row = uint64_t(chunk.index) * digits + d;
            args.kept[row * args.shape.cols + chunk.col] = uint16_t(n);
        }
    }
}

// Step 2.
struct Pick {
    Selection* selection;
    uint32_t* histogram;
    uint32_t cols;
    uint32_t shift, bits;
    uint32_t first;  // whether this is the first digit
    uint32_t k;
};

// A thread adds up a run of digits of a column; the one whose run holds the k-th largest looks at
// its digits one by one.
__device__ inline void radix_pick(const Pick& args) {
    __shared__ uint32_t run_counts[LANES_OF_COLUMN][TILE_COLUMNS];
    const unsigned column = threadIdx.x % TILE_COLUMNS, lane = threadIdx.x / TILE_COLUMNS;
    const uint64_t col = uint64_t(blockIdx.x) * TILE_COLUMNS + column;
    const bool in = col < args.cols;
    const unsigned run = (1u << args.bits) / LANES_OF_COLUMN, lowest = lane * run;
    uint32_t* const histogram = args.histogram + uint64_t(lowest) * args.cols + col;
    static_assert(DIGITS / LANES_OF_COLUMN <= 64, "a bit for each digit of a run");
    uint32_t mine = 0;
    uint64_t occur = 0;  // the digits of the run that do
    for (unsigned i = 0; i < run && in; i++) {
        const uint32_t n = histogram[uint64_t(i) * args.cols];
        mine += n;
        if (n) occur |= uint64_t(1) << i;
    }
    run_counts[lane][column] = mine;
    // The search is for k = 1 at least; for k = 0 its result is not used.
    Selection of = {0, max(args.k, 1u), 0};
    if (!args.first && in) of = args.selection[col];
    __syncthreads();
    if (!in) return;

    uint32_t above = 0;
    for (unsigned other = lane + 1; other < LANES_OF_COLUMN; other++) {
        above += run_counts[other][column];
    }
    if (above < of.to_take && of.to_take <= above + mine) {
        for (int i = int(run) - 1;; i--) {
            const uint32_t n = histogram[uint64_t(i) * args.cols];
            above += n;
            if (above < of.to_take) continue;
            const uint64_t digit = lowest + i;
            args.selection[col] = {of.prefix | digit << args.shift, of.to_take - (above - n), n};
            break;
        }
    }
    for (unsigned i = 0; i < run; i++) {
        if (occur >> i & 1) histogram[uint64_t(i) * args.cols] = 0;
    }
}

// Step 3.
struct Scan {
    const Selection* selection;
    const uint16_t* kept;  // [chunks][digits][cols]
    uint32_t* before;      // [chunks][cols]
    uint32_t cols, chunks;
    uint32_t bits;  // of the last digit
};

__device__ inline void radix_scan(const Scan& args) {
    const uint64_t col = uint64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (col >= args.cols) return;
    const uint64_t digits = uint64_t(1) << args.bits;
    const uint64_t digit = args.selection[col].prefix & (digits - 1);
    uint32_t before = 0;
#pragma unroll 4
    for (uint32_t chunk = 0; chunk < args.chunks; chunk++) {
        args.before[uint64_t(chunk) * args.cols + col] = before;
        before += args.kept[(chunk * digits + digit) * args.cols + col];
    }
}

// Step 4.
template <class T>
struct Emit {
    Input<T> u;
    Outputs<T> out;
    T* threshold;
    Shape shape;
    uint32_t tiles;       // with those of pad bits alone
    uint32_t chunk_rows;  // a multiple of 1024
    uint32_t k;
    const Selection* selection;
    const uint32_t* before;  // [chunks][cols]
};

template <class T>
__device__ void radix_emit(const Emit<T>& args) {
    constexpr unsigned MASK_ROWS = 32, STEP_ROWS = LANES_OF_COLUMN * MASK_ROWS;
    __shared__ int ties_of[LANES_OF_COLUMN][TILE_COLUMNS];
    const Chunk chunk(args.tiles, args.chunk_rows, args.shape);
    if (pads_alone<TILE_COLUMNS>(args.out, chunk.tile, args.shape.cols, chunk.begin, chunk.end))
        return;

    Selection of = {0, 0, 0};
    int64_t to_take = 0;
    if (chunk.in && args.k > 0) {
        of = args.selection[chunk.col];
        to_take =
            int64_t(of.to_take) - args.before[uint64_t(chunk.index) * args.shape.cols + chunk.col];
    }
    const KeyOf<T> cut = args.k > 0 ? KeyOf<T>(of.prefix) : KeyOf<T>(~KeyOf<T>(0));
    if (chunk.begin == 0 && chunk.lane == 0 && chunk.in) {
        if (args.out.counts) args.out.counts[chunk.col] = args.k;
        if (args.threshold) args.threshold[chunk.col] = value_of<T>(cut);
    }
    // Where all ties of all columns are taken, their order is of no account.
    const bool ordered = __syncthreads_or(of.ties > of.to_take || args.k == 0);
    for (uint64_t step = chunk.begin; step < chunk.end; step += STEP_ROWS) {
        const uint64_t first = step + chunk.lane * MASK_ROWS;
        const int own = first < chunk.end ? int(min(uint64_t(MASK_ROWS), chunk.end - first)) : 0;
        uint32_t above = 0, equal = 0;
        if (chunk.in) {
#pragma unroll 8
            for (int i = 0; i < own; i++) {
                const KeyOf<T> key = Element<T>::key(args.u.at(first + i, chunk.col));
                above |= uint32_t(key > cut) << i;
                equal |= uint32_t(key == cut) << i;
            }
        }
        if (ordered) {
            ties_of[chunk.lane][chunk.column] = __popc(equal);
            __syncthreads();
            int before = 0, all = 0;
#pragma unroll 4
            for (unsigned lane = 0; lane < LANES_OF_COLUMN; lane++) {
                const int ties = ties_of[lane][chunk.column];
                all += ties;
                if (lane < chunk.lane) before += ties;
            }
            __syncthreads();  // before the next step overwrites
            const int64_t left = to_take - before;
            equal = lowest_bits(equal, left > MASK_ROWS ? MASK_ROWS : left < 0 ? 0 : int(left));
            to_take -= all;
        }
        write_mask<TILE_COLUMNS>(args.out, chunk.tile, first, own, chunk.col, chunk.in,
                                 above | equal);
    }
}

}  // namespace bihalf
