// Bi-half forward for up to 32 rows of a 16-bit type: the network of bihalf_network.cuh with two
// columns a lane, for devices that compare two 16-bit integers in one instruction (sm_90 and later;
// right on others too, but slower than one column a lane).
//
//     lane:              0           1      ...     31
//     key[0]          u1 | u0     u3 | u2        u63 | u62     one 32-bit register: two columns
//        :
//
// Needs dense output alone, an even number of columns, and rows that start at multiples of 4 bytes;
// others take bihalf_network32. The steps are the same.
#pragma once
#include "bihalf_network.cuh"

namespace bihalf {

// Two 16-bit integers, each compared by itself.
struct Pair {
    uint32_t bits;

    __device__ uint32_t half(int i) const { return bits >> 16 * i & 0xffff; }
};

__device__ inline Pair lesser(Pair a, Pair b) { return {__vminu2(a.bits, b.bits)}; }
__device__ inline Pair greater(Pair a, Pair b) { return {__vmaxu2(a.bits, b.bits)}; }
__device__ inline void compare_exchange(Pair& low, Pair& high) {
    const Pair a = low, b = high;
    low = lesser(a, b);
    high = greater(a, b);
}

// Both keys of two values: as `ordered` of common.cuh.
__device__ inline Pair ordered_pair(uint32_t bits) {
    // Bytes 1, 1, 3, 3, of each its sign alone, which `__byte_perm` cannot ask for.
    uint32_t signs;
    asm("prmt.b32 %0, %1, 0, 0xbb99;" : "=r"(signs) : "r"(bits));
    return {bits ^ (signs | 0x80008000u)};
}
__device__ inline Pair keys_of(__half2 x) {
    const __half2 canonical = __hadd2_rn(x, __half2half2(__ushort_as_half(0)));
    return ordered_pair(reinterpret_cast<const uint32_t&>(canonical));
}
__device__ inline Pair keys_of(__nv_bfloat162 x) {
    const __nv_bfloat162 canonical = __hadd2_rn(x, __bfloat162bfloat162(__ushort_as_bfloat16(0)));
    return ordered_pair(reinterpret_cast<const uint32_t&>(canonical));
}

template <class T>
struct PairOf;
template <>
struct PairOf<__half> {
    using Type = __half2;
};
template <>
struct PairOf<__nv_bfloat16> {
    using Type = __nv_bfloat162;
};

template <class T>
__device__ void pairs(const Forward<T>& args) {
    using Two = typename PairOf<T>::Type;
    constexpr int ROWS = 32, HALF = ROWS / 2;
    constexpr uint32_t GREATEST = 0xffffffff, LEAST = 0;
    const int rows = args.shape.rows;
    const uint64_t pair = uint64_t(blockIdx.x) * WARP + threadIdx.x;
    const bool in = 2 * pair < args.shape.cols;

    // Step 1. Lanes without columns sort those of the last lane that has some.
    const uint64_t loaded = in ? pair : args.shape.cols / 2 - 1;
    const T* u = args.u.data + 2 * loaded;
    const int greatest_pads_end = rows + HALF - int(args.k);
    Pair key[ROWS], a[HALF], b[HALF];
    if (rows == ROWS) {
#pragma unroll
        for (int i = 0; i < ROWS; i++, u += args.u.row_stride) {
            key[i] = keys_of(*reinterpret_cast<const Two*>(u));
        }
    } else {
#pragma unroll
        for (int i = 0; i < ROWS; i++, u += args.u.row_stride) {
            key[i] = {i < greatest_pads_end ? GREATEST : LEAST};
            if (i < rows) key[i] = keys_of(*reinterpret_cast<const Two*>(u));
        }
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) (i < HALF ? a[i % HALF] : b[i % HALF]) = key[i];
    // Step 2.
    sort_odd_even(a);
    sort_odd_even(b);
    // Step 3.
    const auto [cut, next] = Boundary<Pair>(a, b);
    const bool tie = next.half(0) == cut.half(0) || next.half(1) == cut.half(1);
    const bool surplus = __any_sync(ALL_LANES, tie);
    if (!in) return;

    // Step 4. A key with all below its own half is compared as a whole.
    constexpr uint32_t ONE = Element<T>::ONE, BOTH = ONE << 16 | ONE, SIGN_OF_HALF = 0x8000;
    T* out = &args.out.dense.at(0, 2 * pair);
    if (rows == ROWS && !surplus) {
        const uint32_t low_cut = cut.bits << 16, high_cut = cut.bits & 0xffff0000;
#pragma unroll
        for (int i = 0; i < ROWS; i++, out += args.out.dense.row_stride) {
            const uint32_t low = key[i].bits << 16 >= low_cut ? 0 : SIGN_OF_HALF;
            const uint32_t high = key[i].bits >= high_cut ? 0 : SIGN_OF_HALF << 16;
            *reinterpret_cast<uint32_t*>(out) = BOTH ^ low ^ high;
        }
        return;
    }
    // Step 4 with surplus ties or pads: a bit a row, column by column.
    const uint32_t exist = rows < 32 ? (1u << rows) - 1 : ~0u;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        uint32_t above = 0, equal = 0;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            if (key[i].half(half) > cut.half(half)) above |= 1u << i;
            if (key[i].half(half) == cut.half(half)) equal |= 1u << i;
        }
        above &= exist;
        // Pads, behind the rows, are the last ties to be taken, and the rows' are enough.
        const uint32_t ones = above | lowest_bits(equal, int(args.k) - __popc(above));
        for (int i = 0; i < rows; i++) {
            args.out.dense.at(i, 2 * pair + half) = one<T>(ones >> i & 1);
        }
    }
}

}  // namespace bihalf
