// A tile: ROWS places of COLUMNS neighbouring columns in the registers of a block, and the bitonic
// sort of its columns.
//
// A warp is COLUMNS columns x GROUPS groups; a chunk is a thread's part of a column, ITEMS
// consecutive places. With 8 columns:
//
//                   lane = group * 8 + column
//     warp 0    group 0   places 0 .. ITEMS-1          a comparator reaches
//               group 1   places ITEMS ..                within a chunk    registers
//               group 2                                  within a warp     shuffle with lane ^ 8, 16
//               group 3                                  within a block    shared memory
//     warp 1    group 0   places 4*ITEMS ..              further           rank_merge.cuh
//       :
//
// Merges of words swap items over the whole block so that comparators of many chunks become
// comparators of registers, and swap them back: `merge_transposed`.
//
// Columns that threads share with all others, to search or to invert them, lie in shared memory with
//
//     slot(p) = (item * CHUNKS + chunk) * COLUMNS + column  =  item * BLOCK_THREADS + thread
//
// for place p = chunk * ITEMS + item: what threads write and read of their own has no bank conflict,
// and a slot is a sum of slots of powers of two, as a place is.
#pragma once
#include "bitonic.cuh"

namespace rank {

// What a block may ask for on every architecture.
constexpr unsigned SHARED_BYTES = 64 << 10;

extern __shared__ __align__(16) unsigned char shared_bytes[];

// The same number, of which the compiler does not know where it comes from. Without it, addresses
// and conditions of all items are kept from where they are read to where they are written, and there
// are not as many registers.
template <class N>
__device__ N opaque(N number);
template <>
__device__ inline unsigned opaque(unsigned number) {
    asm("" : "+r"(number));
    return number;
}
template <>
__device__ inline uint64_t opaque(uint64_t number) {
    asm("" : "+l"(number));
    return number;
}

__device__ inline uint32_t from_lane(uint32_t value, unsigned mask) {
    return __shfl_xor_sync(ALL_LANES, value, mask);
}

__device__ inline uint64_t from_lane(uint64_t value, unsigned mask) {
    return __shfl_xor_sync(ALL_LANES, value, mask);
}

// The one that stays here of `mine` and the partner's.
__device__ inline uint32_t keep(uint32_t mine, uint32_t theirs, bool lower) {
    return lower ? min(mine, theirs) : max(mine, theirs);
}

template <class V>
__device__ V keep(V mine, V theirs, bool lower) {
    return (mine < theirs) == lower ? mine : theirs;
}

template <unsigned COLUMNS_, unsigned ITEMS_, unsigned BLOCK_WARPS>
struct Tile {
    static constexpr unsigned COLUMNS = COLUMNS_, ITEMS = ITEMS_;
    static constexpr unsigned BLOCK_THREADS = BLOCK_WARPS * WARP;
    static constexpr unsigned GROUPS = WARP / COLUMNS;
    static constexpr unsigned CHUNKS = BLOCK_WARPS * GROUPS;
    static constexpr unsigned ROWS = CHUNKS * ITEMS;
    static_assert(WARP % COLUMNS == 0 && ITEMS % 2 == 0, "whole groups, and pairs of items");
    static_assert((ROWS & (ROWS - 1)) == 0, "bitonic sorts powers of two");
    static_assert(ROWS <= 1 << 16, "a place within a tile has 16 bits");

    static __device__ unsigned column() { return threadIdx.x % COLUMNS; }
    static __device__ unsigned chunk() { return threadIdx.x / COLUMNS; }
    // Where a place of the first column lies in shared memory.
    static __device__ constexpr unsigned slot_of_column(unsigned place) {
        return (place % ITEMS * CHUNKS + place / ITEMS) * COLUMNS;
    }

    // The chunk within the matrix. Made anew after a sort, through which it would take registers.
    struct Part {
        uint64_t col, first;  // first: the place of item 0
        unsigned items;       // how many exist

        __device__ explicit Part(Shape shape) {
            // Tiles side by side; blockIdx.x goes through them row by row.
            const unsigned across = shape.cols / COLUMNS + (shape.cols % COLUMNS != 0);
            const unsigned tile = opaque(blockIdx.x);
            col = uint64_t(tile % across) * COLUMNS + column();
            first = uint64_t(tile / across) * ROWS + chunk() * ITEMS;
            const bool some = col < shape.cols && first < shape.rows;
            items = some ? unsigned(min(shape.rows - first, uint64_t(ITEMS))) : 0;
        }

        // Reads a row-major matrix; `none` for items that do not exist.
        template <class V>
        __device__ void read(const V* data, uint64_t row_stride, uint64_t col_stride, V none,
                             V (&v)[ITEMS]) const {
            const V* at = data + first * row_stride + col * col_stride;
#pragma unroll
            for (int i = 0; i < ITEMS; i++, at += row_stride) v[i] = i < items ? *at : none;
        }

        // Writes one. A row of 32-bit numbers of a tile of 8 columns is 32 bytes, a whole sector.
        template <class V>
        __device__ void write(V* data, uint64_t row_stride, const V (&v)[ITEMS]) const {
            V* at = data + first * row_stride + col;
            const uint64_t step = opaque(row_stride);
#pragma unroll
            for (int i = 0; i < ITEMS; i++, at += step) {
                if (i < items) *at = v[i];
            }
        }
    };

    // Where a thread puts its item i while items go between threads. Of words, chunks change places
    // within their warp item by item, or reading items of many chunks would have bank conflicts.
    // Everything begins by writing own items, so no barrier is needed before it while only their
    // owner has read them.
    template <class V>
    static __device__ unsigned place_of(unsigned thread, int i) {
        constexpr bool CHANGED = sizeof(V) == sizeof(uint32_t);
        return i * BLOCK_THREADS + (CHANGED ? thread ^ i % GROUPS * COLUMNS : thread);
    }
    template <class V>
    static __device__ unsigned own(int i) {
        return place_of<V>(threadIdx.x, i);
    }

    // Compares item i with item `MIRRORED ? ITEMS - 1 - i : i` of the chunk `chunk ^ mask` of the
    // same warp.
    template <bool MIRRORED, class V>
    static __device__ void exchange_in_warp(V (&v)[ITEMS], unsigned mask) {
        const bool lower = chunk() < (chunk() ^ mask);
#pragma unroll
        for (int i = 0; i < ITEMS / 2; i++) {
            const int j = ITEMS - 1 - i;
            const V a = v[i], b = v[j];
            v[i] = keep(a, from_lane(MIRRORED ? b : a, mask * COLUMNS), lower);
            v[j] = keep(b, from_lane(MIRRORED ? a : b, mask * COLUMNS), lower);
        }
    }

    // The same with any chunk.
    template <bool MIRRORED, class V>
    static __device__ void exchange_in_block(V (&v)[ITEMS], unsigned mask) {
        // Items go in batches of what shared memory holds, each with its mirrored one.
        constexpr int FIT = SHARED_BYTES / (sizeof(V) * BLOCK_THREADS);
        constexpr int PAIRS = (FIT < ITEMS ? FIT : ITEMS) / 2;
        static_assert(ITEMS / 2 % PAIRS == 0, "whole batches");
        V* const shared = reinterpret_cast<V*>(shared_bytes);
        const unsigned partner = threadIdx.x ^ mask * COLUMNS;
        const bool lower = threadIdx.x < partner;
#pragma unroll
        for (int batch = 0; batch < ITEMS / 2; batch += PAIRS) {
#pragma unroll
            for (int pair = 0; pair < PAIRS; pair++) {
                const int i = batch + pair, j = ITEMS - 1 - i;
                shared[own<V>(2 * pair)] = v[i];
                shared[own<V>(2 * pair + 1)] = v[j];
            }
            __syncthreads();
#pragma unroll
            for (int pair = 0; pair < PAIRS; pair++) {
                const int i = batch + pair, j = ITEMS - 1 - i;
                const V a = shared[place_of<V>(partner, 2 * pair)];
                const V b = shared[place_of<V>(partner, 2 * pair + 1)];
                v[i] = keep(v[i], MIRRORED ? b : a, lower);
                v[j] = keep(v[j], MIRRORED ? a : b, lower);
            }
            __syncthreads();  // before the next batch or step overwrites
        }
    }

    // Where the items of other chunks lie that a thread holds in `merge_transposed`. Made anew for
    // the way back, for it would take registers through the merge.
    template <unsigned SIZE, bool MIRRORED>
    struct Transposed {
        // The first item of chunks 0 .. GROUPS - 1 of the run, and the mirrored one of the upper
        // half; all others are at fixed distances.
        unsigned straight[GROUPS], mirrored[GROUPS];

        __device__ Transposed() {
            const unsigned thread = opaque(threadIdx.x);
            const unsigned item = thread / COLUMNS % SIZE, mirror = ITEMS - 1 - item;
            const unsigned run = thread - item * COLUMNS;
#pragma unroll
            for (int g = 0; g < GROUPS; g++) {
                straight[g] = item * BLOCK_THREADS + run + (g ^ item % GROUPS) * COLUMNS;
                mirrored[g] = mirror * BLOCK_THREADS + run + (g ^ mirror % GROUPS) * COLUMNS;
            }
        }

        __device__ unsigned operator()(int i) const {
            const int row = i / SIZE, from = i % SIZE, g = from % GROUPS;
            const int down = row * SIZE * BLOCK_THREADS, right = (from - g) * COLUMNS;
            const bool mirror = MIRRORED && from >= SIZE / 2;
            return mirror ? mirrored[g] - down + right : straight[g] + down + right;
        }
    };

    // All strides of a merge of SIZE chunks but those within a chunk, in registers: threads swap
    // items so that one holds the same item of all SIZE chunks,
    //
    //                chunk 0    1    2    3                             thread 0    1    2    3
    //     item 0           a    b    c    d     as items of threads            a    e    i    m
    //     item 1           e    f    g    h                                    b    f    j    n
    //     item 2           i    j    k    l                                    c    g    k    o
    //     item 3           m    n    o    p                                    d    h    l    p
    //
    // and swap them back. Of fewer chunks than items, a thread holds ITEMS / SIZE such rows. In a
    // mirrored merge, the upper half of the chunks gives the mirrored item.
    template <unsigned SIZE, bool MIRRORED>
    static __device__ void merge_transposed(uint32_t (&v)[ITEMS]) {
        static_assert(SIZE % GROUPS == 0 && ITEMS % SIZE == 0, "rows of whole warps, whole rows");
        uint32_t* const shared = reinterpret_cast<uint32_t*>(shared_bytes);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) shared[own<uint32_t>(i)] = v[i];
        __syncthreads();

        {
            const Transposed<SIZE, MIRRORED> at;
#pragma unroll
            for (int i = 0; i < ITEMS; i++) v[i] = shared[at(i)];
        }
        if (MIRRORED) mirrored_step(v, SIZE);
        merge_registers(v, MIRRORED ? SIZE / 4 : SIZE / 2);
        {
            const Transposed<SIZE, MIRRORED> at;
#pragma unroll
            for (int i = 0; i < ITEMS; i++) shared[at(i)] = v[i];
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < ITEMS; i++) v[i] = shared[own<uint32_t>(i)];
    }

    // The merge of SIZE chunks to one run, mirrored or from the first stride on. Straight-line code
    // for one-word items.
    template <unsigned SIZE, bool MIRRORED>
    static __device__ void merge_chunks(uint32_t (&v)[ITEMS]) {
        if constexpr (SIZE <= GROUPS) {
            if constexpr (SIZE > 1) {
                exchange_in_warp<MIRRORED>(v, MIRRORED ? SIZE - 1 : SIZE / 2);
                merge_chunks<SIZE / 2, false>(v);
            }
        } else if constexpr (SIZE <= ITEMS) {
            merge_transposed<SIZE, MIRRORED>(v);
        } else {
            exchange_in_block<MIRRORED>(v, MIRRORED ? SIZE - 1 : SIZE / 2);
            merge_chunks<SIZE / 2, false>(v);
        }
    }

    // The strides of the last merge of a tile.
    static __device__ void merge(uint32_t (&v)[ITEMS]) {
        merge_chunks<CHUNKS, false>(v);
        merge_registers(v, ITEMS / 2);
    }

    template <unsigned SIZE = 2>
    static __device__ void sort_chunks(uint32_t (&v)[ITEMS]) {
        if constexpr (SIZE <= CHUNKS) {
            merge_chunks<SIZE, true>(v);
            merge_registers(v, ITEMS / 2);
            sort_chunks<SIZE * 2>(v);
        }
    }

    static __device__ void sort(uint32_t (&v)[ITEMS]) {
        sort_registers(v);
        sort_chunks(v);
    }

    // The same for wider items, whose straight-line code would be several times as long as that of
    // words, as loops.
    template <class V>
    static __device__ void merge(V (&v)[ITEMS], unsigned mask = CHUNKS / 2) {
#pragma unroll 1
        for (; mask >= GROUPS; mask /= 2) exchange_in_block<false>(v, mask);
#pragma unroll 1
        for (; mask > 0; mask /= 2) exchange_in_warp<false>(v, mask);
        merge_registers(v, ITEMS / 2);
    }

    template <class V>
    static __device__ void sort(V (&v)[ITEMS]) {
        sort_registers(v);
#pragma unroll 1
        for (unsigned size = 2; size <= CHUNKS; size *= 2) {
            if (size <= GROUPS) {
                exchange_in_warp<true>(v, size - 1);
            } else {
                exchange_in_block<true>(v, size - 1);
            }
            merge(v, size / 4);
        }
    }

    // Inverts a permutation of the places of each column: item i of `to` becomes the place that
    // holds item i's. `items` of a chunk exist. Begins with a barrier, so shared memory may be in use
    // by what comes before.
    static __device__ void invert(uint32_t (&to)[ITEMS], unsigned items) {
        uint16_t* const shared = reinterpret_cast<uint16_t*>(shared_bytes);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            if (i < items) shared[slot_of_column(to[i]) + column()] = uint16_t(chunk() * ITEMS + i);
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            if (i < items) to[i] = shared[i * BLOCK_THREADS + threadIdx.x];
        }
    }
};

}  // namespace rank
