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
// The slots of the tile make the search cheap: a step is a load at a fixed distance, a comparison and
// an addition. Its loads have bank conflicts, for the chunks of a warp search in places of their own:
// about one more wavefront a load with 8 columns, none with one chunk a warp.
#pragma once
#include "rank_pairs.cuh"

namespace rank {

// How many keys of the sorted column in shared memory are less than `key`, at most ROWS - 1.
template <class Tile>
__device__ uint32_t lesser(uint32_t key) {
    constexpr unsigned BYTES = sizeof(uint32_t);
    unsigned at = Tile::column() * BYTES;  // bytes, so that `at` is an address as it is
#pragma unroll
    for (unsigned step = Tile::ROWS / 2; step > 0; step /= 2) {
        // Both are constants: `at` has bits of greater places only.
        const unsigned probe = Tile::slot_of_column(step - 1) * BYTES;
        const unsigned advance = Tile::slot_of_column(step) * BYTES;
        if (*reinterpret_cast<const uint32_t*>(shared_bytes + (at + probe)) < key) at += advance;
    }
    const unsigned slot = at / BYTES;
    return slot / Tile::COLUMNS % Tile::CHUNKS * Tile::ITEMS + slot / Tile::BLOCK_THREADS;
}

template <class Tile>
__device__ void sort_values(const Sort<float>& args) {
    constexpr int ITEMS = Tile::ITEMS;
    static_assert(Tile::ROWS * Tile::COLUMNS * sizeof(uint32_t) <= SHARED_BYTES, "step 3");
    uint32_t* const shared = reinterpret_cast<uint32_t*>(shared_bytes);
    // Step 1.
    uint32_t key[ITEMS], v[ITEMS];
    load_keys<float, Tile>(args, typename Tile::Part(args.shape), key);
#pragma unroll
    for (int i = 0; i < ITEMS; i++) v[i] = key[i];

    // One sort in the code, for both rounds.
#pragma unroll 1
    for (bool again = false;; again = true) {
        // Steps 2 and 5.
        Tile::sort(v);
        const typename Tile::Part part(args.shape);
        if (again) {
#pragma unroll
            for (int i = 0; i < ITEMS; i++) key[i] = opaque(PairOf<uint32_t>::row(v[i]));
            Tile::invert(key, part.items);
            break;
        }
        // Step 3.
        __syncthreads();
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
        if (!ties) break;
        // Pads have greater rows than the elements that they may equal.
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            v[i] = PairOf<uint32_t>::of(key[i], Tile::chunk() * ITEMS + i);
        }
        __syncthreads();  // searches are over
    }
    // Step 6.
    const typename Tile::Part part(args.shape);
    if (args.ranks.data) part.write(args.ranks.data, args.ranks.row_stride, key);
    if (args.order.data) {
        Tile::invert(key, part.items);
        part.write(args.order.data, args.order.row_stride, key);
    }
}

}  // namespace rank
