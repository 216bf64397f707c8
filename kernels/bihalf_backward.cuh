// Bi-half backward: dU = dB + c * (U - B), one pass over the elements, in place too.
//
//     vectors: 16 bytes of a row            a warp of LANES = 8, here: 4 rows x 8 vectors
//
//       row 0   [v0][v1][v2] ... [v7]       lanes  0 .. 7
//       row 1   [v0][v1][v2] ... [v7]       lanes  8 .. 15
//       ...                                 LANES is the power of two that covers a row, at most 32
//
// Where all matrices allow it (rows start at multiples of 16 bytes, columns are neighbours), every
// lane reads and writes 16 bytes at a time. A vector that reaches over the end of a row, and every
// row of other matrices, is done element by element, in the picture of common.cuh.
//
// An element is read before it is written, by the same thread, so dU may be the memory of dB.
#pragma once
#include "common.cuh"

namespace bihalf {

// The targets B: a dense matrix, or bits.
template <class T>
struct DenseTargets {
    Input<T> b;

    __device__ RealOf<T> at(uint64_t row, uint64_t col) const {
        return Element<T>::widen(b.at(row, col));
    }
    __device__ void vector(uint64_t row, uint64_t col, RealOf<T> (&target)[VECTOR<T>]) const {
        const Vector<T> read = vector_at(&b.data[row * b.row_stride + col]);
#pragma unroll
        for (int i = 0; i < VECTOR<T>; i++) target[i] = Element<T>::widen(read.value[i]);
    }
};

template <class T>
struct PackedTargets {
    Codes<const uint32_t> b;

    __device__ RealOf<T> at(uint64_t row, uint64_t col) const {
        return one<RealOf<T>>(b.at(row, col / WARP) >> col % WARP & 1);
    }
    // A vector starts at a multiple of its length, so its bits lie in one word.
    __device__ void vector(uint64_t row, uint64_t col, RealOf<T> (&target)[VECTOR<T>]) const {
        const uint32_t bits = b.at(row, col / WARP) >> col % WARP;
#pragma unroll
        for (int i = 0; i < VECTOR<T>; i++) target[i] = one<RealOf<T>>(bits >> i & 1);
    }
};

template <class T, class Targets>
struct Backward {
    Input<T> u, grad;  // grad is dB
    Targets targets;
    Output<T> out;  // dU; may be the memory of grad
    Shape shape;
    double c;  // gamma / (M * K)
    uint32_t by_vectors;
    uint32_t lanes_log2;  // lanes of a row of vectors
};
template <class T>
using BackwardDense = Backward<T, DenseTargets<T>>;
template <class T>
using BackwardPacked = Backward<T, PackedTargets<T>>;

template <class T, class Targets>
__device__ void backward_element(const Backward<T, Targets>& args, uint64_t row, uint64_t col) {
    const T grad = args.grad.at(row, col), u = args.u.at(row, col);
    args.out.at(row, col) = pulled(grad, u, args.targets.at(row, col), RealOf<T>(args.c));
}

template <class T, class Targets>
__device__ void backward(const Backward<T, Targets>& args) {
    const Shape shape = args.shape;
    if (!args.by_vectors) {
        const Place at(shape.cols);
        if (!at.in) return;
        for (uint64_t i = at.row; i < shape.rows; i += at.row_step) {
            backward_element(args, i, at.col);
        }
        return;
    }
    const unsigned lane = threadIdx.x & ((1u << args.lanes_log2) - 1);
    const uint64_t col = ((uint64_t(blockIdx.x) << args.lanes_log2) + lane) * VECTOR<T>;
    if (col >= shape.cols) return;
    const uint64_t thread = uint64_t(blockIdx.y) * THREADS + threadIdx.x;
    const uint64_t row_step = uint64_t(gridDim.y) * THREADS >> args.lanes_log2;
#pragma unroll 2
    for (uint64_t row = thread >> args.lanes_log2; row < shape.rows; row += row_step) {
        if (col + VECTOR<T> > shape.cols) {
#pragma unroll 1
            for (uint64_t j = col; j < shape.cols; j++) backward_element(args, row, j);
            continue;
        }
        Vector<T> grad = vector_at(&args.grad.data[row * args.grad.row_stride + col]);
        const Vector<T> u = vector_at(&args.u.data[row * args.u.row_stride + col]);
        RealOf<T> target[VECTOR<T>];
        args.targets.vector(row, col, target);
#pragma unroll
        for (int i = 0; i < VECTOR<T>; i++) {
            grad.value[i] = pulled(grad.value[i], u.value[i], target[i], RealOf<T>(args.c));
        }
        vector_at(&args.out.at(row, col)) = grad;
    }
}

}  // namespace bihalf
