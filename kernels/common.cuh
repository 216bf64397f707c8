// What several kernels share: element types and their keys, where a thread works, and how a +1/-1
// result is written.
//
// Everything rests on one picture: a warp owns a tile of 32 neighbouring columns and walks down
// its rows, one lane a column.
//
//               tile 0: columns 0..31        tile 1: columns 32..63
//         lane  0  1  2 ... 31               0  1  2 ... 31
//     row 0     u  u  u      u               u  u  u      u      one request of 32 elements
//     row 1     u  u  u      u               u  u  u      u
//     ...
//
// A row of a tile is one coalesced request, what happens within a column stays within a lane, and
// the packed bits of a row of a tile are one ballot. Tiles are numbered by blockIdx.x.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

#include <type_traits>

constexpr unsigned WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// Warps of a block of the kernels that walk down rows. Their 256 threads divide the threads and
// registers of a multiprocessor of every architecture without a rest.
constexpr unsigned WARPS = 8;
constexpr unsigned THREADS = WARPS * WARP;

// ---------------------------------------------------------------------------------------------
// Matrices, as src/cuda/args.rs lays them out
// ---------------------------------------------------------------------------------------------

struct Shape {
    uint32_t rows, cols;
};

// An input: element (i, j) is data[i * row_stride + j * col_stride].
template <class T>
struct Input {
    const T* data;
    uint64_t row_stride, col_stride;

    __device__ T at(uint64_t row, uint64_t col) const {
        return data[row * row_stride + col * col_stride];
    }
};

// An output: row-major, unit column stride. `data` is null when it is not asked for.
template <class T>
struct Output {
    T* data;
    uint64_t row_stride;

    __device__ T& at(uint64_t row, uint64_t col) const { return data[row * row_stride + col]; }
};

// Packed codes, seen as the 32-bit halves of their 64-bit words: one half is a row of a tile. The
// halves of a row are even in number. `data` is null when they are not asked for.
template <class Half>
struct Codes {
    Half* data;
    uint64_t row_stride;

    __device__ Half& at(uint64_t row, uint64_t tile) const { return data[row * row_stride + tile]; }

    // Eight bits of a row.
    __device__ uint8_t& byte(uint64_t row, uint64_t n) const {
        return reinterpret_cast<uint8_t*>(data + row * row_stride)[n];
    }
};

// Any subset of the forms of a +1/-1 matrix.
template <class T>
struct Outputs {
    Output<T> dense;
    Output<int8_t> dense_i8;
    Codes<uint32_t> codes;
    uint32_t* counts;
};

// Sixteen bytes of a row: the most that one thread reads or writes at once.
constexpr unsigned VECTOR_BYTES = 16;
template <class T>
constexpr int VECTOR = VECTOR_BYTES / sizeof(T);

template <class T>
struct alignas(VECTOR_BYTES) Vector {
    T value[VECTOR<T>];
};

// The vector that starts at an element, whose address is a multiple of 16 bytes.
template <class T>
__device__ Vector<T>& vector_at(T* first) {
    return *reinterpret_cast<Vector<T>*>(first);
}
template <class T>
__device__ const Vector<T>& vector_at(const T* first) {
    return *reinterpret_cast<const Vector<T>*>(first);
}

// The place of a thread in the picture above. Rows are walked from `row` in steps of `row_step`;
// both are the same for all lanes of a warp, so that warps may ballot in the loop.
struct Place {
    unsigned lane, warp, tile;
    uint64_t col, row, row_step;
    bool in;  // the column exists

    __device__ explicit Place(uint32_t cols)
        : lane(threadIdx.x % WARP),
          warp(threadIdx.x / WARP),
          tile(blockIdx.x),
          col(uint64_t(blockIdx.x) * WARP + lane),
          row(uint64_t(blockIdx.y) * (blockDim.x / WARP) + warp),
          row_step(uint64_t(gridDim.y) * (blockDim.x / WARP)),
          in(col < cols) {}
};

// ---------------------------------------------------------------------------------------------
// Element types
// ---------------------------------------------------------------------------------------------

// Order-preserving integers: a < b exactly when ordered(a) < ordered(b), for numbers whose zero has
// no sign and whose NaN is 0x7f..ff, which then is the greatest key. No value has key 0.
template <class Bits>
__device__ Bits ordered(Bits bits) {
    using Signed = std::make_signed_t<Bits>;
    constexpr unsigned SIGN_AT = sizeof(Bits) * 8 - 1;
    constexpr Bits SIGN = Bits(Bits(1) << SIGN_AT);
    return Bits(bits ^ Bits(Bits(Signed(bits) >> SIGN_AT) | SIGN));
}

// The bits of the canonical value of a key: +0 for both zeros, the quiet NaN for every NaN.
template <class Bits>
__device__ Bits from_ordered(Bits key, Bits quiet_nan) {
    constexpr Bits SIGN = Bits(Bits(1) << (sizeof(Bits) * 8 - 1));
    if (key == Bits(~Bits(0))) return quiet_nan;
    return key & SIGN ? Bits(key & Bits(~SIGN)) : Bits(~key);
}

// What kernels need of an element: its key, and its arithmetic type Real (16-bit types compute in
// float and round once, at the end). Adding +0 makes a value canonical in one instruction: it turns
// -0 into +0, every NaN into the one that arithmetic gives, 0x7f..ff, and keeps all others. Of
// double the architecture does not promise which NaN that is.
template <class T>
struct Element;

template <>
struct Element<float> {
    using Key = uint32_t;
    using Real = float;
    static constexpr Key ONE = 0x3f800000, INF = 0x7f800000, QUIET_NAN = 0x7fc00000;
    static __device__ float of_bits(Key bits) { return __uint_as_float(bits); }
    static __device__ Key key(float x) { return ordered(__float_as_uint(__fadd_rn(x, 0.0f))); }
    static __device__ Real widen(float x) { return x; }
    static __device__ float narrow(Real x) { return x; }
    static __device__ float of_double(double x) { return __double2float_rn(x); }
};

template <>
struct Element<double> {
    using Key = uint64_t;
    using Real = double;
    static constexpr Key ONE = 0x3ff0000000000000, INF = 0x7ff0000000000000,
                         QUIET_NAN = 0x7ff8000000000000;
    static __device__ double of_bits(Key bits) { return __longlong_as_double((long long)bits); }
    static __device__ Key key(double x) {
        return x != x ? ~Key(0) : ordered(Key(__double_as_longlong(__dadd_rn(x, 0.0))));
    }
    static __device__ Real widen(double x) { return x; }
    static __device__ double narrow(Real x) { return x; }
    static __device__ double of_double(double x) { return x; }
};

// The one of the two floats around `x` whose last bit is 1; `x` itself where it is a float.
// Rounding the result to a type of at least two bits less rounds `x` correctly.
__device__ inline float round_to_odd(double x) {
    const float down = __double2float_rz(x);
    const bool exact = double(down) == x || x != x || isinf(down);
    return exact ? down : __uint_as_float(__float_as_uint(down) | 1u);
}

template <>
struct Element<__half> {
    using Key = uint16_t;
    using Real = float;
    static constexpr Key ONE = 0x3c00, INF = 0x7c00, QUIET_NAN = 0x7e00;
    static __device__ __half of_bits(Key bits) { return __ushort_as_half(bits); }
    static __device__ Key key(__half x) {
        return ordered(__half_as_ushort(__hadd_rn(x, __ushort_as_half(0))));
    }
    static __device__ Real widen(__half x) { return __half2float(x); }
    static __device__ __half narrow(Real x) { return __float2half_rn(x); }
    static __device__ __half of_double(double x) { return narrow(round_to_odd(x)); }
};

template <>
struct Element<__nv_bfloat16> {
    using Key = uint16_t;
    using Real = float;
    static constexpr Key ONE = 0x3f80, INF = 0x7f80, QUIET_NAN = 0x7fc0;
    static __device__ __nv_bfloat16 of_bits(Key bits) { return __ushort_as_bfloat16(bits); }
    static __device__ Key key(__nv_bfloat16 x) {
        return ordered(__bfloat16_as_ushort(__hadd_rn(x, __ushort_as_bfloat16(0))));
    }
    static __device__ Real widen(__nv_bfloat16 x) { return __bfloat162float(x); }
    static __device__ __nv_bfloat16 narrow(Real x) { return __float2bfloat16_rn(x); }
    static __device__ __nv_bfloat16 of_double(double x) { return narrow(round_to_odd(x)); }
};

template <class T>
using KeyOf = typename Element<T>::Key;
template <class T>
using RealOf = typename Element<T>::Real;

// The canonical value of a key.
template <class T>
__device__ T value_of(KeyOf<T> key) {
    return Element<T>::of_bits(from_ordered(key, Element<T>::QUIET_NAN));
}

template <class T>
constexpr KeyOf<T> SIGN = KeyOf<T>(KeyOf<T>(1) << (sizeof(T) * 8 - 1));

// Bounds of all values: the NaN, which is greatest, and minus infinity.
template <class T>
__device__ T greatest() {
    return Element<T>::of_bits(Element<T>::QUIET_NAN);
}
template <class T>
__device__ T least() {
    return Element<T>::of_bits(KeyOf<T>(Element<T>::INF | SIGN<T>));
}

// +1 or -1.
template <class T>
__device__ T one(bool positive) {
    return Element<T>::of_bits(positive ? Element<T>::ONE : KeyOf<T>(Element<T>::ONE | SIGN<T>));
}

// ---------------------------------------------------------------------------------------------
// Results
// ---------------------------------------------------------------------------------------------

// Writes one element of a +1/-1 matrix in every form that was asked for. All lanes of a warp call
// it together, with the same row. Columns that do not exist give bit 0: the pad bits.
template <class T>
__device__ void emit(const Outputs<T>& out, const Place& at, uint64_t row, bool is_one) {
    if (out.dense.data && at.in) out.dense.at(row, at.col) = one<T>(is_one);
    if (out.dense_i8.data && at.in) out.dense_i8.at(row, at.col) = is_one ? 1 : -1;
    const uint32_t bits = __ballot_sync(ALL_LANES, is_one && at.in);
    if (out.codes.data && at.lane == 0) out.codes.at(row, at.tile) = bits;
}

// Bits of `one` where `mask` is 1, else of `zero`. In assembly, or the compiler splits it up.
__device__ inline uint32_t select_bits(uint32_t mask, uint32_t one, uint32_t zero) {
    uint32_t bits;
    asm("lop3.b32 %0, %1, %2, %3, 0xe4;" : "=r"(bits) : "r"(one), "r"(zero), "r"(mask));
    return bits;
}

// Every other run of `size` bits, from the lowest on.
__device__ constexpr uint32_t every_other(int size) {
    return size == 16  ? 0x0000ffff
           : size == 8 ? 0x00ff00ff
           : size == 4 ? 0x0f0f0f0f
           : size == 2 ? 0x33333333
                       : 0x55555555;
}

// Transposes bits between neighbouring lanes, COLUMNS of them: bit r of lane c becomes bit c of lane
// r. Where lanes are fewer than bits, every run of COLUMNS bits is transposed by itself.
template <int COLUMNS>
__device__ uint32_t transpose_over_lanes(uint32_t bits) {
    if constexpr (COLUMNS > 1) {
        constexpr int SIZE = COLUMNS / 2;
        constexpr uint32_t LOW = every_other(SIZE);
        const uint32_t other = __shfl_xor_sync(ALL_LANES, bits, SIZE);
        bits = threadIdx.x & SIZE ? select_bits(LOW, other >> SIZE, bits)
                                  : select_bits(LOW, bits, other << SIZE);
        return transpose_over_lanes<SIZE>(bits);
    }
    return bits;
}

// Adds up a number of each thread over the warps of a block, column by column, and adds the sum to
// counts[col], which starts at 0. Whole blocks call it.
__device__ inline void add_to_counts(uint32_t* counts, const Place& at, uint32_t mine) {
    __shared__ uint32_t of_column[WARP];
    if (at.warp == 0) of_column[at.lane] = 0;
    __syncthreads();
    atomicAdd(&of_column[at.lane], mine);
    __syncthreads();
    if (at.warp == 0 && at.in) atomicAdd(&counts[at.col], of_column[at.lane]);
}

// dU = dB + c * (U - B), the pull of Eq. 9. Each operation is rounded by itself (kernels are
// compiled with -fmad=false), so that the result is the host's.
template <class T>
__device__ T pulled(T grad, T u, RealOf<T> b, RealOf<T> c) {
    return Element<T>::narrow(Element<T>::widen(grad) + c * (Element<T>::widen(u) - b));
}

// ---------------------------------------------------------------------------------------------
// Exported kernels: `<op>_<algorithm>_<type>`, one for each element type. The arguments of a kernel
// are one struct, mirrored field by field in src/cuda.
// ---------------------------------------------------------------------------------------------

#define KERNEL(NAME, THREADS, BODY, ARGS) \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME(const ARGS args) { BODY(args); }

#define FOR_EACH_ELEMENT_TYPE(EXPORT) \
    EXPORT(float, f32)                \
    EXPORT(double, f64)               \
    EXPORT(__half, f16)               \
    EXPORT(__nv_bfloat16, bf16)
