// Rank and argsort of each column: a bitonic sort of (key, row) pairs.
//
// Contract: ties go to the lower row in both directions (pairs are unique, so the order is total);
// NaN is greatest, -0 equals +0. Any number of rows.
//
// A block sorts a tile of 8 columns. A warp is 8 columns x 4 groups; every thread holds ITEMS
// consecutive places of one column:
//
//                   lane = group * 8 + column
//     warp 0    group 0   places 0 .. ITEMS-1          a comparator reaches
//               group 1   places ITEMS ..                within a thread    registers
//               group 2                                  within a warp      shuffle with lane ^ 8, 16
//               group 3                                  within a block     shared memory
//     warp 1    group 0   places 4*ITEMS ..              further            global memory
//       :
//
// All comparators are ascending: the first step of each merge compares mirrored places. So pads,
// which are greater than every pair, stay behind the last row, and places without a row need no
// memory and no comparator.
//
//   rows <= ROWS_OF_TILE   1. rank_sort: load, sort the tile, write ranks and rows
//   more                   1. rank_sort: load, sort every tile, write pairs to the workspace
//                          2. for size = 2 tiles, 4 tiles ... until all rows are covered:
//                             a. rank_exchange: the mirrored step and the strides of a tile or more,
//                                each in a pass over the workspace
//                             b. rank_merge: all strides within a tile; the last one writes the
//                                results
//
// Descending order complements the keys, so that ties still go to the lower row.
#include "bitonic.cuh"

namespace rank {

constexpr unsigned COLUMNS = 8;  // 32 bytes of float, a full sector
constexpr unsigned GROUPS = WARP / COLUMNS;

// A key and its row, ordered by key, then row.
struct Narrow {
    uint64_t bits;

    static __device__ Narrow of(uint32_t key, uint32_t row) { return {uint64_t(key) << 32 | row}; }
    static __device__ Narrow pad() { return {~0ull}; }
    __device__ uint32_t row() const { return uint32_t(bits); }
    __device__ bool operator<(const Narrow& other) const { return bits < other.bits; }
    __device__ Narrow from_lane(unsigned mask) const {
        return {__shfl_xor_sync(ALL_LANES, bits, mask)};
    }
};

struct Wide {
    uint64_t key;
    uint64_t at;

    static __device__ Wide of(uint64_t key, uint32_t row) { return {key, row}; }
    static __device__ Wide pad() { return {~0ull, ~0ull}; }
    __device__ uint32_t row() const { return uint32_t(at); }
    __device__ bool operator<(const Wide& other) const {
        return key < other.key || (key == other.key && at < other.at);
    }
    __device__ Wide from_lane(unsigned mask) const {
        return {__shfl_xor_sync(ALL_LANES, key, mask), __shfl_xor_sync(ALL_LANES, at, mask)};
    }
};

template <class T>
struct PairOf {
    using Type = Narrow;
};
template <>
struct PairOf<double> {
    using Type = Wide;
};
template <class T>
using Pair = typename PairOf<T>::Type;

// The one that stays here of `mine` and the partner's.
template <class P>
__device__ P keep(P mine, P theirs, bool lower) {
    return (mine < theirs) == lower ? mine : theirs;
}

template <int ITEMS, int BLOCK_WARPS>
struct Tile {
    static constexpr unsigned BLOCK_THREADS = BLOCK_WARPS * WARP;
    static constexpr unsigned CHUNKS = BLOCK_WARPS * GROUPS;  // threads that share a column
    static constexpr unsigned ROWS = CHUNKS * ITEMS;

    const unsigned column, chunk;
    const uint64_t col, first;  // first: the place of item 0 within the matrix
    const bool in;

    __device__ explicit Tile(uint32_t cols)
        : column(threadIdx.x % COLUMNS),
          chunk(threadIdx.x / COLUMNS),
          col(uint64_t(blockIdx.x % across(cols)) * COLUMNS + column),
          first(uint64_t(blockIdx.x / across(cols)) * ROWS + chunk * ITEMS),
          in(col < cols) {}

    // Tiles side by side; blockIdx.x goes through them row by row.
    static __device__ unsigned across(uint32_t cols) {
        return cols / COLUMNS + (cols % COLUMNS != 0);
    }

    // Compares item i with item `mirrored ? ITEMS - 1 - i : i` of the chunk `chunk ^ mask`.
    template <class P>
    __device__ void exchange(P (&v)[ITEMS], P* shared, unsigned mask, bool mirrored) const {
        const bool lower = chunk < (chunk ^ mask);
        P theirs[ITEMS];
        if (mask < GROUPS) {
#pragma unroll
            for (int i = 0; i < ITEMS; i++) theirs[i] = v[i].from_lane(mask * COLUMNS);
        } else {
#pragma unroll
            for (int i = 0; i < ITEMS; i++) shared[i * BLOCK_THREADS + threadIdx.x] = v[i];
            __syncthreads();
            const unsigned partner = (chunk ^ mask) * COLUMNS + column;
#pragma unroll
            for (int i = 0; i < ITEMS; i++) theirs[i] = shared[i * BLOCK_THREADS + partner];
            __syncthreads();  // before the next step overwrites
        }
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            v[i] = keep(v[i], theirs[mirrored ? ITEMS - 1 - i : i], lower);
        }
    }

    // The strides of a merge from `mask` chunks down to one item.
    template <class P>
    __device__ void strides(P (&v)[ITEMS], P* shared, unsigned mask) const {
#pragma unroll 1
        for (; mask > 0; mask /= 2) exchange(v, shared, mask, false);
        merge_registers(v, ITEMS / 2);
    }

    template <class P>
    __device__ void sort(P (&v)[ITEMS], P* shared) const {
        sort_registers(v);
#pragma unroll 1
        for (unsigned size = 2; size <= CHUNKS; size *= 2) {
            exchange(v, shared, size - 1, true);
            strides(v, shared, size / 4);
        }
    }
};

template <class T>
struct Sort {
    Input<T> u;
    Output<uint32_t> ranks;  // place of each row, and
    Output<uint32_t> order;  // row of each place: either may be null
    Pair<T>* pairs;          // [rows][cols], the workspace
    Shape shape;
    uint32_t descending;
    uint32_t last;  // whether the columns are sorted now, so that results are written, not pairs
};

template <class T, int ITEMS>
__device__ void finish(const Sort<T>& args, const Pair<T> (&v)[ITEMS], uint64_t first,
                       uint64_t col) {
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        const uint64_t place = first + i;
        if (place >= args.shape.rows) break;
        if (!args.last) args.pairs[place * args.shape.cols + col] = v[i];
        if (args.last && args.ranks.data) args.ranks.at(v[i].row(), col) = uint32_t(place);
        if (args.last && args.order.data) args.order.at(place, col) = v[i].row();
    }
}

extern __shared__ __align__(16) unsigned char shared_bytes[];

// Step 1.
template <class T, int ITEMS, int BLOCK_WARPS>
__device__ void sort(const Sort<T>& args) {
    const Tile<ITEMS, BLOCK_WARPS> tile(args.shape.cols);
    Pair<T> v[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        const uint64_t row = tile.first + i;
        v[i] = Pair<T>::pad();
        if (tile.in && row < args.shape.rows) {
            const KeyOf<T> key = Element<T>::key(args.u.at(row, tile.col));
            v[i] = Pair<T>::of(args.descending ? KeyOf<T>(~key) : key, uint32_t(row));
        }
    }
    tile.sort(v, reinterpret_cast<Pair<T>*>(shared_bytes));
    if (tile.in) finish<T>(args, v, tile.first, tile.col);
}

// Step 2b.
template <class T, int ITEMS, int BLOCK_WARPS>
__device__ void merge(const Sort<T>& args) {
    const Tile<ITEMS, BLOCK_WARPS> tile(args.shape.cols);
    Pair<T> v[ITEMS];
    // An address that moves on, for those of all items at once would not fit in registers.
    const Pair<T>* pair = args.pairs + tile.first * args.shape.cols + tile.col;
#pragma unroll
    for (int i = 0; i < ITEMS; i++, pair += args.shape.cols) {
        v[i] = tile.in && tile.first + i < args.shape.rows ? *pair : Pair<T>::pad();
    }
    tile.strides(v, reinterpret_cast<Pair<T>*>(shared_bytes), tile.CHUNKS / 2);
    if (tile.in) finish<T>(args, v, tile.first, tile.col);
}

// Step 2a.
template <class T>
struct Exchange {
    Pair<T>* pairs;
    Shape shape;
    uint64_t stride;    // a power of two
    uint32_t mirrored;  // place i of 2 * stride meets place 2 * stride - 1 - i, not i + stride
};

// Rows of the walk are the comparators of a column.
template <class T>
__device__ void exchange(const Exchange<T>& args) {
    const Place at(args.shape.cols);
    if (!at.in) return;
    for (uint64_t n = at.row;; n += at.row_step) {
        const uint64_t offset = n & (args.stride - 1), base = (n - offset) * 2;
        const uint64_t low = base + offset;
        if (low >= args.shape.rows) break;
        const uint64_t high =
            args.mirrored ? base + 2 * args.stride - 1 - offset : low + args.stride;
        if (high >= args.shape.rows) continue;
        compare_exchange(args.pairs[low * args.shape.cols + at.col],
                         args.pairs[high * args.shape.cols + at.col]);
    }
}

}  // namespace rank

// Three sizes of tile, so that few rows do not pay for many: 32 rows (a warp: no barrier), 256 and
// 1024 (64-bit keys: 512), whose exchange takes all the 64 KB that every architecture has.
#define EXPORT_SIZES(T, NAME, LARGE_ITEMS)                                                     \
    KERNEL(rank_sort_small_##NAME, WARP, (rank::sort<T, 8, 1>), rank::Sort<T>)                 \
    KERNEL(rank_sort_medium_##NAME, 8 * WARP, (rank::sort<T, 8, 8>), rank::Sort<T>)            \
    KERNEL(rank_sort_large_##NAME, 16 * WARP, (rank::sort<T, LARGE_ITEMS, 16>), rank::Sort<T>) \
    KERNEL(rank_merge_##NAME, 16 * WARP, (rank::merge<T, LARGE_ITEMS, 16>), rank::Sort<T>)     \
    KERNEL(rank_exchange_##NAME, THREADS, rank::exchange<T>, rank::Exchange<T>)
EXPORT_SIZES(float, f32, 16)
EXPORT_SIZES(double, f64, 8)
EXPORT_SIZES(__half, f16, 16)
EXPORT_SIZES(__nv_bfloat16, bf16, 16)
#undef EXPORT_SIZES
