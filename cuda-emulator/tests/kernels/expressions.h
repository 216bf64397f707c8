// What the random programs of tests/validation/programs.rs call, for nvcc and for a C compiler: no
// division by zero, no conversion out of range, one NaN.
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define FUNCTION static __device__ __forceinline__
#else
#define FUNCTION static inline
#endif

struct In {
    uint32_t a, b;
    uint64_t c;
    double y;
    float x;
    uint32_t pad;
};

FUNCTION uint32_t divide_u(uint32_t a, uint32_t b) { return b ? a / b : 7; }
FUNCTION uint32_t remainder_u(uint32_t a, uint32_t b) { return b ? a % b : 9; }
FUNCTION uint64_t divide_l(uint64_t a, uint64_t b) { return b ? a / b : 11; }
FUNCTION int divide_i(int a, int b) {
    return b == 0 || (a == -2147483647 - 1 && b == -1) ? 5 : a / b;
}

FUNCTION uint32_t bits_of_f(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return f != f ? 0x7fffffffu : u;
}
FUNCTION uint64_t bits_of_d(double f) {
    uint64_t u;
    memcpy(&u, &f, 8);
    return f != f ? 0x7fffffffffffffffull : u;
}
FUNCTION float f_of_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}

#ifdef __CUDACC__
FUNCTION uint64_t high_l(uint64_t a, uint64_t b) { return __umul64hi(a, b); }
FUNCTION uint32_t ones(uint32_t a) { return __popc(a); }
FUNCTION uint32_t leading_u(uint32_t a) { return __clz(a); }
FUNCTION uint64_t leading_l(uint64_t a) { return __clzll(a); }
// min.f32 and max.f32
FUNCTION float least(float a, float b) { return fminf(a, b); }
FUNCTION float greatest(float a, float b) { return fmaxf(a, b); }
#else
FUNCTION uint64_t high_l(uint64_t a, uint64_t b) {
    return (uint64_t)((unsigned __int128)a * b >> 64);
}
FUNCTION uint32_t ones(uint32_t a) { return __builtin_popcount(a); }
FUNCTION uint32_t leading_u(uint32_t a) { return a ? __builtin_clz(a) : 32; }
FUNCTION uint64_t leading_l(uint64_t a) { return a ? __builtin_clzll(a) : 64; }
// a NaN loses, and -0 is less than +0, which C leaves open
FUNCTION float least(float a, float b) {
    if (a != a || b != b) return a != a ? b : a;
    return a < b || (a == b && signbit(a)) ? a : b;
}
FUNCTION float greatest(float a, float b) {
    if (a != a || b != b) return a != a ? b : a;
    return a > b || (a == b && signbit(b)) ? a : b;
}
#endif

FUNCTION uint32_t high_u(uint32_t a, uint32_t b) { return (uint32_t)((uint64_t)a * b >> 32); }
FUNCTION uint32_t rotate(uint32_t a, uint32_t n) {
    n &= 31;
    return n ? a << n | a >> (32 - n) : a;
}
FUNCTION uint32_t least_u(uint32_t a, uint32_t b) { return a < b ? a : b; }
FUNCTION int least_i(int a, int b) { return a < b ? a : b; }
FUNCTION int magnitude(int a) { return a < 0 ? (int)(0u - (uint32_t)a) : a; }
FUNCTION float sign_of(float a, float b) { return copysignf(a, b != b ? 1.0f : b); }

FUNCTION int i_of_f(float f) { return f > -2e9f && f < 2e9f ? (int)f : 3; }
FUNCTION int i_of_d(double f) { return f > -2e9 && f < 2e9 ? (int)f : 3; }
FUNCTION uint32_t u_of_f(float f) { return f >= 0.f && f < 4e9f ? (uint32_t)f : 4; }
FUNCTION uint64_t l_of_f(float f) { return f > -9e18f && f < 9e18f ? (uint64_t)(int64_t)f : 6; }

// a jump table
FUNCTION uint32_t one_of_many(uint32_t k, uint32_t a, uint32_t b) {
    switch (k % 11) {
        case 0: return a + b;
        case 1: return a * 3u;
        case 2: return a - b;
        case 3: return b ^ 17u;
        case 4: return a & b;
        case 5: return a | b;
        case 6: a ^= b;  // and on
        case 7: return a * b + 1u;
        case 8: return ~a;
        case 9: return b << 3;
        default: return a >> 5;
    }
}
