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

// The largest key stands for NaN, whatever the width that it was compared in.
template <class T, class Key>
__device__ T threshold_of(Key cut) {
    using Compared = std::conditional_t<sizeof(Key) == sizeof(T), T, RealOf<T>>;
    if (cut == Key(~Key(0))) return greatest<T>();
    return T(Element<T>::narrow(Element<Compared>::widen(value_of<Compared>(cut))));
}

}  // namespace bihalf
