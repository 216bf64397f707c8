// Rank and argsort of each column: bitonic sorts.
//
// Contract: ties go to the lower row in both directions; NaN is greatest, -0 equals +0. Any number
// of rows.
//
//   up to 4096 rows   one launch, one read of U and one write of the result: a block sorts some
//                     columns, as pairs of key and row (rank_pairs.cuh) or, for float, by keys
//                     alone (rank_values.cuh)
//   more              tiles of 4096 rows are sorted as pairs, and merged in the workspace
//                     (rank_merge.cuh)
//
// Launches, and bytes of device memory an element, where the whole matrix goes through memory in every
// pass (computed from the plan, not measured):
//
//              65,536 rows        1,048,576 rows
//     f16      |  9 |  70       | 21 | 326
//     f32      |  9 | 136       | 21 | 328
//     f64      |  9 | 268       | 21 | 652
//
// Where one launch does all, device memory is read once and written once, in whole sectors up to 2048
// rows (of U, where its type has 32 bits) and halves of them above.
//
// Instructions that a warp executes for 32 elements of a full tile (counted in the machine code of
// sm_90, which has no loops there, along the way taken; not measured on a device):
//
//     rows                              32   256  1024  2048  4096
//     float, ranks, no ties             78   141   138   161   193
//     float, ranks, ties               116   225   230   270   329
//     16-bit types, rows                58   110   102   120   147
//
// Who holds what, and how places are compared, is drawn in rank_tile.cuh.
#include "rank_merge.cuh"
#include "rank_values.cuh"

namespace rank {

// Few rows do not pay for many: a column goes to the smallest tile that holds it, 32 rows (one warp),
// 256, 1024, 2048 or 4096. 8 columns are a sector of ranks or of float. Small tiles have more warps
// rather than more items a thread, large ones as many items as registers hold.
using Tile32 = Tile<8, 8, 1>;
using Tile256 = Tile<8, 8, 8>;
using Tile1024 = Tile<8, 32, 8>;
using Tile2048 = Tile<8, 32, 16>;
using Tile4096 = Tile<4, 32, 16>;  // 64 items a thread for 8 columns spilled
// Of 128-bit pairs.
using Wide1024 = Tile<4, 16, 8>;
using Wide2048 = Tile<4, 16, 16>;
using Wide4096 = Tile<2, 16, 16>;

}  // namespace rank

#define EXPORT_SORT(SIZE, NAME, T, TILE, ...)                             \
    static_assert(rank::TILE::ROWS == SIZE, "plans know it by its name"); \
    KERNEL(rank_sort##SIZE##_##NAME, rank::TILE::BLOCK_THREADS, (__VA_ARGS__), rank::Sort<T>)

#define EXPORT_VALUES(SIZE, NAME, T, TILE) \
    EXPORT_SORT(SIZE, NAME, T, TILE, rank::sort_values<rank::TILE>)
EXPORT_VALUES(32, f32, float, Tile32)
EXPORT_VALUES(256, f32, float, Tile256)
EXPORT_VALUES(1024, f32, float, Tile1024)
EXPORT_VALUES(2048, f32, float, Tile2048)
EXPORT_VALUES(4096, f32, float, Tile4096)
#undef EXPORT_VALUES

#define EXPORT_PAIRS(SIZE, NAME, T, P, TILE) \
    EXPORT_SORT(SIZE, NAME, T, TILE, rank::sort_pairs<T, P, rank::TILE>)
#define EXPORT_16_BITS(T, NAME)                     \
    EXPORT_PAIRS(32, NAME, T, uint32_t, Tile32)     \
    EXPORT_PAIRS(256, NAME, T, uint32_t, Tile256)   \
    EXPORT_PAIRS(1024, NAME, T, uint32_t, Tile1024) \
    EXPORT_PAIRS(2048, NAME, T, uint32_t, Tile2048) \
    EXPORT_PAIRS(4096, NAME, T, uint32_t, Tile4096)
EXPORT_16_BITS(__half, f16)
EXPORT_16_BITS(__nv_bfloat16, bf16)
#undef EXPORT_16_BITS
EXPORT_PAIRS(32, f64, double, rank::Pair128, Tile32)
EXPORT_PAIRS(256, f64, double, rank::Pair128, Tile256)
EXPORT_PAIRS(1024, f64, double, rank::Pair128, Wide1024)
EXPORT_PAIRS(2048, f64, double, rank::Pair128, Wide2048)
EXPORT_PAIRS(4096, f64, double, rank::Pair128, Wide4096)
// Tiles to be merged, where rows have more than 16 bits or keys have.
#define EXPORT_SORT_PAIRS(T, NAME)                                \
    KERNEL(rank_sort_pairs_##NAME, rank::Tile4096::BLOCK_THREADS, \
           (rank::sort_pairs<T, uint64_t, rank::Tile4096>), rank::Sort<T>)
EXPORT_SORT_PAIRS(float, f32)
EXPORT_SORT_PAIRS(__half, f16)
EXPORT_SORT_PAIRS(__nv_bfloat16, bf16)
#undef EXPORT_SORT_PAIRS
#undef EXPORT_PAIRS
#undef EXPORT_SORT

#define EXPORT_MERGE(BITS, P, TILE)                                                         \
    KERNEL(rank_exchange_pairs##BITS, THREADS, rank::exchange<P>, rank::Exchange)           \
    KERNEL(rank_merge_pairs##BITS, rank::TILE::BLOCK_THREADS, (rank::merge<P, rank::TILE>), \
           rank::Merge)
EXPORT_MERGE(32, uint32_t, Tile4096)
EXPORT_MERGE(64, uint64_t, Tile4096)
EXPORT_MERGE(128, rank::Pair128, Wide4096)
#undef EXPORT_MERGE
