// Bitonic sorting of registers: each thread sorts an array of its own.
//
// Every comparator is ascending: the first step of a merge compares mirrored places instead of
// sorting one half downwards. All loops unroll, so that places are registers.
#pragma once
#include "common.cuh"

template <class V>
__device__ V lesser(V a, V b) {
    return min(a, b);
}
template <class V>
__device__ V greater(V a, V b) {
    return max(a, b);
}

// Puts the lesser one first. Anything with `<`; integers have instructions for it.
template <class V>
__device__ void compare_exchange(V& low, V& high) {
    const V a = low, b = high;
    const bool swap = b < a;
    low = swap ? b : a;
    high = swap ? a : b;
}

__device__ inline void compare_exchange(uint32_t& low, uint32_t& high) {
    const uint32_t a = low, b = high;
    low = min(a, b);
    high = max(a, b);
}

__device__ inline void compare_exchange(uint64_t& low, uint64_t& high) {
    const uint64_t a = low, b = high;
    low = min(a, b);
    high = max(a, b);
}

// The strides of a merge from `stride` places down to 1.
template <class V, int N>
__device__ void merge_registers(V (&v)[N], int stride) {
#pragma unroll
    for (; stride > 0; stride /= 2) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            if ((i & stride) == 0) compare_exchange(v[i], v[i + stride]);
        }
    }
}

// The first step of a merge of runs of `size` places.
template <class V, int N>
__device__ void mirrored_step(V (&v)[N], int size) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        const int mirror = i ^ (size - 1);
        if (i < mirror) compare_exchange(v[i], v[mirror]);
    }
}

template <class V, int N>
__device__ void sort_registers(V (&v)[N]) {
#pragma unroll
    for (int size = 2; size <= N; size *= 2) {
        mirrored_step(v, size);
        merge_registers(v, size / 4);
    }
}
