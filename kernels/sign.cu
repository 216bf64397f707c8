// Sign: +1 where u > -t, else -1; and the straight-through gradient with the pull to the target.
//
// Contract: zeros, NaN and NaN shifts give -1; pad bits are 0. Warps walk down their tiles; the
// blocks of a tile share its rows by blockIdx.y (the picture in common.cuh). Packing is the forward
// pass with packed output alone.
#include "common.cuh"

namespace sign {

// The value that an element of a column must exceed; `shift` is null for 0.
template <class T>
__device__ RealOf<T> bound(const T* shift, const Place& at) {
    return shift && at.in ? -Element<T>::widen(shift[at.col]) : RealOf<T>(0);
}

template <class T>
struct Forward {
    Input<T> u;
    const T* shift;
    Outputs<T> out;  // counts start at 0
    Shape shape;
};

template <class T>
__device__ void forward(const Forward<T>& args) {
    const Place at(args.shape.cols);
    const RealOf<T> cut = bound(args.shift, at);
    uint32_t ones = 0;
#pragma unroll 1  // unrolled, it keeps more predicates than sm_100 has, and spills them
    for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
        const bool is_one = at.in && Element<T>::widen(args.u.at(i, at.col)) > cut;
        emit(args.out, at, i, is_one);
        ones += is_one;
    }
    if (args.out.counts) add_to_counts(args.out.counts, at, ones);
}

template <class T>
struct Backward {
    Input<T> u, grad;  // grad is dB
    const T* shift;
    Output<T> out;  // dU; may be the memory of grad
    Shape shape;
    double c;  // gamma / (M * K)
};

template <class T>
__device__ void backward(const Backward<T>& args) {
    const Place at(args.shape.cols);
    if (!at.in) return;
    const RealOf<T> cut = bound(args.shift, at);
    for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
        const T grad = args.grad.at(i, at.col), u = args.u.at(i, at.col);
        const RealOf<T> b = one<RealOf<T>>(Element<T>::widen(u) > cut);
        args.out.at(i, at.col) = pulled(grad, u, b, RealOf<T>(args.c));
    }
}

}  // namespace sign

#define EXPORT(T, NAME)                                                   \
    KERNEL(sign_forward_##NAME, THREADS, sign::forward, sign::Forward<T>) \
    KERNEL(sign_backward_##NAME, THREADS, sign::backward, sign::Backward<T>)
FOR_EACH_ELEMENT_TYPE(EXPORT)
#undef EXPORT
