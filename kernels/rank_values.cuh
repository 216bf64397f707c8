// Sort of a tile of float by values alone: half the registers, and a fraction of the instructions,
// of pairs.
//
// 1. Load the keys of the tile; behind the last row come the greatest keys.
// 2. Sort a copy of them.
// 3. Put the sorted columns into shared memory. Equal neighbours mean ties.
// 4. Every element looks up how many keys of its column are less: a binary search, one step a bit
//    of the place. That is its rank, unless others equal it.
// 5. Only if some column of the block has ties: sort (number of lesser keys, row), 16 bits each.
//    Equal keys have equal numbers, so that rows decide; the places are the ranks.
// 6. Write the ranks, and rows by inverting them in shared memory.
//
// The slots of the tile make the search cheap: a place is a sum of powers of two, and so is its
// slot, so that a step is a load at a fixed distance, a comparison and an addition.
#pragma once
#include "rank_pairs.cuh"

namespace rank {

// How many keys of the sorted column in shared memory are less than `key`, at most ROWS - 1.
template <class Tile>
__device__ uint32_t lesser(uint32_t key) {
    const uint32_t* const shared = reinterpret_cast<uint32_t*>(shared_bytes);
    unsigned at = Tile::column();
#pragma unroll
    for (unsigned step = Tile::ROWS / 2; step > 0; step /= 2) {
        // Constants; `at` has only bits of greater places.
        const unsigned probe = Tile::slot(step - 1) - Tile::column();
        const unsigned advance = Tile::slot(step) - Tile::column();
        if (shared[at + probe] < key) at += advance;
    }
    const unsigned chunk = at / Tile::COLUMNS % Tile::CHUNKS;
    return chunk * Tile::ITEMS + at / Tile::BLOCK_THREADS;
}

template <class Tile>
__device__ void sort_values(const Sort<float>& args) {
    constexpr int ITEMS = Tile::ITEMS;
    static_assert(Tile::ROWS * Tile::COLUMNS * sizeof(uint32_t) <= SHARED_BYTES, "step 3");
    uint32_t* const shared = reinterpret_cast<uint32_t*>(shared_bytes);
    // Step 1.
    uint32_t key[ITEMS], v[ITEMS];
    {
        const typename Tile::Part part(args.shape);
        load_keys<float, Tile>(args, part, key);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            if (i >= part.items) key[i] = ~0u;
            v[i] = key[i];
        }
    }
    // Step 2.
    Tile::sort(v);
    // Step 3.
    const typename Tile::Part part(args.shape);
    bool tie = false;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        shared[i * Tile::BLOCK_THREADS + threadIdx.x] = v[i];
        if (i > 0) tie |= i < part.items && v[i] == v[i - 1];
    }
    __syncthreads();
    if (Tile::chunk() > 0 && part.items > 0) {
        tie |= v[0] == shared[(ITEMS - 1) * Tile::BLOCK_THREADS + threadIdx.x - Tile::COLUMNS];
    }
    const bool ties = __syncthreads_or(tie);
    // Step 4.
#pragma unroll
    for (int i = 0; i < ITEMS; i++) key[i] = lesser<Tile>(key[i]);
    // Step 5.
    if (ties) {
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const uint32_t pair = PairOf<uint32_t>::of(key[i], Tile::chunk() * ITEMS + i);
            v[i] = i < part.items ? pair : PairOf<uint32_t>::pad();
        }
        __syncthreads();  // searches are over
        Tile::sort(v);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) key[i] = opaque(PairOf<uint32_t>::row(v[i]));
        Tile::invert(key, part.items);
    }
    // Step 6.
    if (args.ranks.data) part.write(args.ranks.data, args.ranks.row_stride, key);
    if (args.order.data) {
        Tile::invert(key, part.items);
        part.write(args.order.data, args.order.row_stride, key);
    }
}

}  // namespace rank
