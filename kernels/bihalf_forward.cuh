// What the forward kernels of Bi-half that do all in one launch share.
#pragma once
#include "common.cuh"

namespace bihalf {

template <class T>
struct Forward {
    Input<T> u;
    Outputs<T> out;
    T* threshold;
    Shape shape;
    uint32_t k;
    uint32_t dense_alone;  // whether no other output than `out.dense` is asked for
};

// Whether the bits of a row of a tile of so many columns are a byte or a word, which can be written.
template <int COLUMNS>
constexpr bool PACKS = COLUMNS == 8 || COLUMNS == 32;

// Writes the bits of a row of a tile of COLUMNS columns.
template <int COLUMNS>
__device__ void write_bits(const Codes<uint32_t>& codes, uint64_t row, uint32_t tile,
                           uint32_t bits) {
    static_assert(PACKS<COLUMNS>, "packed bits are written by bytes or words");
    if constexpr (COLUMNS == 8) {
        codes.byte(row, tile) = uint8_t(bits);
    } else {
        codes.at(row, tile) = bits;
    }
}

// Whether the tile of a block has no column, only bits that pad the last word of each row; these are 0.
template <int COLUMNS, class T>
__device__ bool pads_alone(const Outputs<T>& out, uint32_t tile, uint32_t cols, uint64_t begin,
                           uint64_t end) {
    if (uint64_t(tile) * COLUMNS < cols) return false;
    for (uint64_t row = begin + threadIdx.x; row < end; row += blockDim.x) {
        write_bits<COLUMNS>(out.codes, row, tile, 0);
    }
    return true;
}

// The same of all rows. Of a cluster, whose blocks share the columns, the first block writes.
template <int COLUMNS, bool CLUSTERED = false, class T>
__device__ bool pads_alone(const Forward<T>& args) {
    if constexpr (PACKS<COLUMNS>) {
        const uint32_t rows = CLUSTERED && blockIdx.y > 0 ? 0 : args.shape.rows;
        return pads_alone<COLUMNS>(args.out, blockIdx.x, args.shape.cols, 0, rows);
    }
    return false;
}

// The lowest n of the bits of a word; all of them, if there are fewer.
__device__ inline uint32_t lowest_bits(uint32_t word, int n) {
#pragma unroll 1
    for (int surplus = __popc(word) - max(n, 0); surplus > 0; surplus--) {
        word ^= 1u << (31 - __clz(word));
    }
    return word;
}

// Writes up to 32 rows of a column, of which bit i of `ones` is row `first + i`, in every form that
// was asked for. Whole warps call it, COLUMNS neighbouring lanes with the same rows.
template <int COLUMNS, class T>
__device__ void write_mask(const Outputs<T>& out, uint32_t tile, uint64_t first, int count,
                           uint64_t col, bool in, uint32_t ones) {
    if (out.dense.data && in) {
        T* b = &out.dense.at(first, col);
#pragma unroll 4
        for (int i = 0; i < count; i++, b += out.dense.row_stride) *b = one<T>(ones >> i & 1);
    }
    if (out.dense_i8.data && in) {
        for (int i = 0; i < count; i++) out.dense_i8.at(first + i, col) = ones >> i & 1 ? 1 : -1;
    }
    if constexpr (PACKS<COLUMNS>) {
        if (!out.codes.data) return;
        // A lane gets the bits of all columns for one row of each COLUMNS rows.
        const uint32_t bits = transpose_over_lanes<COLUMNS>(in ? ones : 0);
#pragma unroll
        for (int part = 0; part < 32 / COLUMNS; part++) {
            const int i = part * COLUMNS + threadIdx.x % COLUMNS;
            const uint32_t of_row = bits >> part * COLUMNS % 32;
            if (i < count) write_bits<COLUMNS>(out.codes, first + i, tile, of_row);
        }
    }
}

// The largest key stands for NaN, whatever the width that it was compared in.
template <class T, class Key>
__device__ T threshold_of(Key cut) {
    using Compared = std::conditional_t<sizeof(Key) == sizeof(T), T, RealOf<T>>;
    if (cut == Key(~Key(0))) return greatest<T>();
    return T(Element<T>::narrow(Element<Compared>::widen(value_of<Compared>(cut))));
}

}  // namespace bihalf
