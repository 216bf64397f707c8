// Merge of sorted tiles in the workspace, up to 4096 rows each, until all rows are one run.
//
// The merge of two runs to one of `run` rows is a bitonic one: the mirrored step, which compares
// place p with place run - 1 - p, then comparators at strides run / 4, run / 8 ... 1. Strides of a
// tile or more are done STRIDES at a time in registers:
//
//     offset            0   1   2 ..  stride-1
//     row     0         a                            a thread holds the 2^STRIDES places a of one
//     row     stride    a                            column: all comparators at `stride`,
//     row 2 * stride    a                            2 * stride ... stay within it
//     row 3 * stride    a
//
// In the mirrored step the upper half of the places is that of offset stride - 1 - offset. Strides
// within a tile are those of rank_tile.cuh. Places behind the last row hold pads, which stay there:
// they are neither read nor written.
//
//   1. rank_exchange: up to 4 strides, as often as it takes to come below a tile
//   2. rank_merge: the strides within a tile; after the last run it writes rows and ranks
#pragma once
#include "rank_pairs.cuh"

namespace rank {

// 16 pairs of a thread leave room for many warps, which hide the way to memory.
constexpr int MAX_STRIDES = 4;

struct Exchange {
    void* pairs;
    Shape shape;
    uint64_t stride;   // the least one, a power of two
    uint32_t strides;  // how many, up to MAX_STRIDES
    uint32_t mirrored;
};

// Step 1. Rows of the walk are the threads of a column, as drawn above.
template <class P, int STRIDES>
__device__ void exchange_strides(const Exchange& args) {
    constexpr int PLACES = 1 << STRIDES, HALF = PLACES / 2;
    const Place at(args.shape.cols);
    if (!at.in) return;
    P* const pairs = static_cast<P*>(args.pairs) + at.col;
    for (uint64_t n = at.row;; n += at.row_step) {
        const uint64_t offset = n & (args.stride - 1), base = (n - offset) << STRIDES;
        if (base + offset >= args.shape.rows) break;
        const uint64_t high = base + HALF * args.stride;
        // The first row of each half; the others are `stride` rows apart.
        const uint64_t first[2] = {base + offset,
                                   high + (args.mirrored ? args.stride - 1 - offset : offset)};
        P v[PLACES];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint64_t row = first[half];
#pragma unroll
            for (int i = half * HALF; i < half * HALF + HALF; i++, row += args.stride) {
                v[i] = PairOf<P>::pad();
                if (row < args.shape.rows) v[i] = pairs[row * args.shape.cols];
            }
        }
        if (args.mirrored) {
            mirrored_step(v, PLACES);
            merge_registers(v, PLACES / 4);
        } else {
            merge_registers(v, HALF);
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint64_t row = opaque(first[half]);
#pragma unroll
            for (int i = half * HALF; i < half * HALF + HALF; i++, row += args.stride) {
                if (row < args.shape.rows) pairs[row * args.shape.cols] = v[i];
            }
        }
    }
}

template <class P>
__device__ void exchange(const Exchange& args) {
    switch (args.strides) {
        case 1:
            return exchange_strides<P, 1>(args);
        case 2:
            return exchange_strides<P, 2>(args);
        case 3:
            return exchange_strides<P, 3>(args);
        case MAX_STRIDES:
            return exchange_strides<P, MAX_STRIDES>(args);
    }
}

struct Merge {
    Output<uint32_t> ranks;
    Output<uint32_t> order;
    void* pairs;
    Shape shape;
    uint32_t last;  // whether the columns are sorted now, so that results are written, not pairs
};

// Step 2.
template <class P, class Tile>
__device__ void merge(const Merge& args) {
    P v[Tile::ITEMS];
    {
        const typename Tile::Part part(args.shape);
        part.read(static_cast<const P*>(args.pairs), args.shape.cols, 1, PairOf<P>::pad(), v);
    }
    Tile::merge(v);
    const typename Tile::Part part(args.shape);
    if (!args.last) {
        part.write(static_cast<P*>(args.pairs), args.shape.cols, v);
        return;
    }
    uint32_t row[Tile::ITEMS];
#pragma unroll
    for (int i = 0; i < Tile::ITEMS; i++) row[i] = opaque(PairOf<P>::row(v[i]));
    if (args.order.data) part.write(args.order.data, args.order.row_stride, row);
    if (!args.ranks.data) return;
    uint32_t* const ranks = args.ranks.data + part.col;
#pragma unroll
    for (int i = 0; i < Tile::ITEMS; i++) {
        if (i < part.items) ranks[row[i] * args.ranks.row_stride] = uint32_t(part.first) + i;
    }
}

}  // namespace rank
