// Relaxations of the sign: Y = tanh(beta U), and dU = dY beta (1 - Y^2).
//
// Contract: computed in Real and rounded once more for 16-bit types; tanh is CUDA's. Warps walk
// down their tiles; the blocks of a tile share its rows by blockIdx.y (the picture in common.cuh).
#include "common.cuh"

namespace relax {

template <class T>
struct Forward {
    Input<T> u;
    Output<T> out;  // Y
    Shape shape;
    double beta;
};

template <class T>
__device__ void forward(const Forward<T>& args) {
    const Place at(args.shape.cols);
    if (!at.in) return;
    const RealOf<T> beta = RealOf<T>(args.beta);
    for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
        const RealOf<T> u = Element<T>::widen(args.u.at(i, at.col));
        args.out.at(i, at.col) = Element<T>::narrow(tanh(beta * u));
    }
}

template <class T>
struct Backward {
    Input<T> u, grad;  // grad is dY
    Output<T> out;     // dU; may be the memory of grad
    Shape shape;
    double beta;
};

template <class T>
__device__ void backward(const Backward<T>& args) {
    const Place at(args.shape.cols);
    if (!at.in) return;
    const RealOf<T> beta = RealOf<T>(args.beta);
    for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
        const RealOf<T> y = tanh(beta * Element<T>::widen(args.u.at(i, at.col)));
        const RealOf<T> grad = Element<T>::widen(args.grad.at(i, at.col));
        args.out.at(i, at.col) = Element<T>::narrow(grad * (beta * (RealOf<T>(1) - y * y)));
    }
}

}  // namespace relax

#define EXPORT(T, NAME)                                                      \
    KERNEL(relax_forward_##NAME, THREADS, relax::forward, relax::Forward<T>) \
    KERNEL(relax_backward_##NAME, THREADS, relax::backward, relax::Backward<T>)
FOR_EACH_ELEMENT_TYPE(EXPORT)
#undef EXPORT
