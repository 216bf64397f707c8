// Bi-half: in each column the k largest values become +1, the others -1; and the gradient.
//
// Contract of the forward kernels: ties go to the lower row, NaN is greatest, -0 equals +0; exactly
// k ones a column; threshold[j] is the canonical value of the k-th largest, NaN for k = 0; pad bits
// are 0. Results are a pure function of the input, whatever the grid.
//
//   rows      kernels                                           file
//   <= 64     bihalf_network32, bihalf_network64                bihalf_network.cuh
//   any       bihalf_radix_{histogram, pick, ties, scan, emit}  bihalf_radix.cuh
//
// Backward is one pass, in place too: dU = dB + c * (U - B), from dense or packed B.
#include "bihalf_network.cuh"
#include "bihalf_radix.cuh"

namespace bihalf {

template <class T>
struct BackwardDense {
    Input<T> u, b, grad;  // grad is dB
    Output<T> out;        // dU; may be the memory of grad
    Shape shape;
    double c;  // gamma / (M * K)
};

// Warps walk down their tiles; the blocks of a tile share its rows by blockIdx.y.
template <class T>
__device__ void backward_dense(const BackwardDense<T>& args) {
    const Place at(args.shape.cols);
    if (!at.in) return;
    for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
        const RealOf<T> b = Element<T>::widen(args.b.at(i, at.col));
        const T grad = args.grad.at(i, at.col), u = args.u.at(i, at.col);
        args.out.at(i, at.col) = pulled(grad, u, b, RealOf<T>(args.c));
    }
}

template <class T>
struct BackwardPacked {
    Input<T> u, grad;  // grad is dB
    Codes<const uint32_t> b;
    Output<T> out;  // dU; may be the memory of grad
    Shape shape;
    double c;  // gamma / (M * K)
};

template <class T>
__device__ void backward_packed(const BackwardPacked<T>& args) {
    const Place at(args.shape.cols);
    if (!at.in) return;
    for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
        const RealOf<T> b = one<RealOf<T>>(args.b.at(i, at.tile) >> at.lane & 1);
        const T grad = args.grad.at(i, at.col), u = args.u.at(i, at.col);
        args.out.at(i, at.col) = pulled(grad, u, b, RealOf<T>(args.c));
    }
}

}  // namespace bihalf

#define EXPORT(T, NAME)                                                                       \
    KERNEL(bihalf_network32_##NAME, WARP, (bihalf::network<T, 32>), bihalf::Forward<T>)       \
    KERNEL(bihalf_radix_histogram_##NAME, THREADS, bihalf::radix_histogram, bihalf::Digit<T>) \
    KERNEL(bihalf_radix_ties_##NAME, THREADS, bihalf::radix_ties, bihalf::Cut<T>)             \
    KERNEL(bihalf_radix_emit_##NAME, THREADS, bihalf::radix_emit, bihalf::Cut<T>)             \
    KERNEL(bihalf_backward_dense_##NAME, THREADS, bihalf::backward_dense,                     \
           bihalf::BackwardDense<T>)                                                          \
    KERNEL(bihalf_backward_packed_##NAME, THREADS, bihalf::backward_packed,                   \
           bihalf::BackwardPacked<T>)
FOR_EACH_ELEMENT_TYPE(EXPORT)
#undef EXPORT

// A network of 64 keeps 128 keys in registers: 64-bit keys would not fit, so they take the radix
// kernels from 33 rows on.
#define EXPORT(T, NAME) \
    KERNEL(bihalf_network64_##NAME, WARP, (bihalf::network<T, 64>), bihalf::Forward<T>)
EXPORT(float, f32)
EXPORT(__half, f16)
EXPORT(__nv_bfloat16, bf16)
#undef EXPORT

KERNEL(bihalf_radix_pick, THREADS, bihalf::radix_pick, bihalf::Pick)
KERNEL(bihalf_radix_scan, THREADS, bihalf::radix_scan, bihalf::Scan)
