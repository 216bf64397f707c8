// Sort of a tile as pairs of a key and its row: pairs are unique, so that the order is total and
// stable, and the rows go where the keys go.
//
//     16-bit key, up to 65,536 rows    key | row            32 bits    one instruction a minimum
//     up to 32-bit key                 key    | row         64 bits
//     64-bit key                       key         | row   128 bits
//
// 1. Load the elements of the tile as pairs. Behind the last row come pads: the greatest key, with the
//    rows that would follow, so that they are greater than every pair. All comparators are
//    ascending, so pads stay where they are. (65,536 rows fill their tiles: rows of pads fit too.)
// 2. Sort the tile.
// 3. If the tile is the whole column, write its rows as they lie, and ranks by inverting them in
//    shared memory. Else write the pairs to the workspace, for rank_merge.cuh.
#pragma once
#include <math_constants.h>

#include "rank_tile.cuh"

namespace rank {

struct alignas(16) Pair128 {
    uint64_t key, row;

    __device__ bool operator<(const Pair128& other) const {
        return key < other.key || (key == other.key && row < other.row);
    }
};

__device__ inline Pair128 from_lane(Pair128 pair, unsigned mask) {
    return {from_lane(pair.key, mask), from_lane(pair.row, mask)};
}

template <class P>
struct PairOf {  // an integer
    static constexpr unsigned ROW_BITS = sizeof(P) * 4;
    static __device__ P of(uint32_t key, uint32_t row) { return P(key) << ROW_BITS | row; }
    static __device__ uint32_t row(P pair) { return uint32_t(pair & (~P(0) >> ROW_BITS)); }
    static __device__ P pad() { return ~P(0); }
};

template <>
struct PairOf<Pair128> {
    static __device__ Pair128 of(uint64_t key, uint32_t row) { return {key, row}; }
    static __device__ uint32_t row(Pair128 pair) { return uint32_t(pair.row); }
    static __device__ Pair128 pad() { return {~0ull, ~0ull}; }
};

template <class T>
struct Sort {
    Input<T> u;
    Output<uint32_t> ranks;  // place of each row, and
    Output<uint32_t> order;  // row of each place: either may be null
    void* pairs;             // [rows][cols], the workspace
    Shape shape;
    uint32_t descending;  // keys are complemented, so that ties still go to the lower row
    uint32_t last;        // the tile is the whole column: results are written, not pairs
};

// The keys of a chunk, in the wanted direction. What does not exist has the greatest one. All loads
// are under way before the first key is made.
template <class T, class Tile>
__device__ void load_keys(const Sort<T>& args, const typename Tile::Part& part,
                          KeyOf<T> (&keys)[Tile::ITEMS]) {
    const T last = Element<T>::narrow(args.descending ? -CUDART_INF_F : CUDART_NAN_F);
    T values[Tile::ITEMS];
    part.read(args.u.data, args.u.row_stride, args.u.col_stride, last, values);
#pragma unroll
    for (int i = 0; i < Tile::ITEMS; i++) {
        const KeyOf<T> key = Element<T>::key(values[i]);
        keys[i] = args.descending ? KeyOf<T>(~key) : key;
    }
}

template <class T, class P, class Tile>
__device__ void sort_pairs(const Sort<T>& args) {
    constexpr int ITEMS = Tile::ITEMS;
    // Step 1.
    P v[ITEMS];
    {
        const typename Tile::Part part(args.shape);
        KeyOf<T> keys[ITEMS];
        load_keys<T, Tile>(args, part, keys);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) v[i] = PairOf<P>::of(keys[i], uint32_t(part.first) + i);
    }
    // Step 2.
    Tile::sort(v);
    // Step 3.
    const typename Tile::Part part(args.shape);
    if (!args.last) {
        part.write(static_cast<P*>(args.pairs), args.shape.cols, v);
        return;
    }
    uint32_t row[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; i++) row[i] = opaque(PairOf<P>::row(v[i]));
    if (args.order.data) part.write(args.order.data, args.order.row_stride, row);
    if (args.ranks.data) {
        Tile::invert(row, part.items);
        part.write(args.ranks.data, args.ranks.row_stride, row);
    }
}

}  // namespace rank
