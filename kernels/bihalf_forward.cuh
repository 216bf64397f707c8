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

// The bits of a row that a block of COLUMNS columns writes.
template <int COLUMNS>
__device__ void write_bits(const Codes<uint32_t>& codes, uint64_t row, uint32_t bits) {
    static_assert(COLUMNS == 8 || COLUMNS == 32, "packed bits are written by bytes or words");
    if constexpr (COLUMNS == 8) {
        codes.byte(row, blockIdx.x) = uint8_t(bits);
    } else {
        codes.at(row, blockIdx.x) = bits;
    }
}

// Whether a block has no column, only bits that pad the last word of each row; these are 0.
template <int COLUMNS, class T>
__device__ bool pads_alone(const Forward<T>& args) {
    if (uint64_t(blockIdx.x) * COLUMNS < args.shape.cols) return false;
    for (uint32_t row = threadIdx.x; row < args.shape.rows; row += blockDim.x) {
        write_bits<COLUMNS>(args.out.codes, row, 0);
    }
    return true;
}

// The largest key stands for NaN, whatever the width that it was compared in.
template <class T, class Key>
__device__ T threshold_of(Key cut) {
    using Compared = std::conditional_t<sizeof(Key) == sizeof(T), T, RealOf<T>>;
    if (cut == Key(~Key(0))) return greatest<T>();
    return T(Element<T>::narrow(Element<Compared>::widen(value_of<Compared>(cut))));
}

}  // namespace bihalf
