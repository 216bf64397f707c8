// Packed codes: unpacking to +1/-1, and the number of ones of each bit. (Packing is the forward
// pass of sign.cu.)
//
// Warps walk down their tiles; a row of a tile is one 32-bit half of a word, the same for all
// lanes: lane j looks at its bit j.
#include "common.cuh"

namespace codes {

template <class T>
struct Unpack {
    Codes<const uint32_t> codes;
    Output<T> dense;
    Shape shape;
};

template <class T>
__device__ void unpack(const Unpack<T>& args) {
    const Place at(args.shape.cols);
    if (!at.in) return;
    for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
        const bool is_one = args.codes.at(i, at.tile) >> at.lane & 1;
        args.dense.at(i, at.col) = one<T>(is_one);
    }
}

struct Ones {
    Codes<const uint32_t> codes;
    uint32_t* counts;  // start at 0
    Shape shape;
};

__device__ inline void ones(const Ones& args) {
    const Place at(args.shape.cols);
    uint32_t mine = 0;
    for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
        mine += args.codes.at(i, at.tile) >> at.lane & 1;
    }
    add_to_counts(args.counts, at, mine);
}

}  // namespace codes

#define EXPORT(T, NAME) KERNEL(codes_unpack_##NAME, THREADS, codes::unpack, codes::Unpack<T>)
FOR_EACH_ELEMENT_TYPE(EXPORT)
#undef EXPORT

KERNEL(codes_ones, THREADS, codes::ones, codes::Ones)
