// Losses on a batch of codes, with their gradients: the cosine-preserving loss of pairs of rows and
// the entropy penalty, one launch each.
//
// Contract: sums run in double in an order that depends on the shape and the type alone, so results
// are the same bits on every run, wherever a matrix lies; each result is rounded once. Zero vectors
// have cosine 0 and gradient 0; no gradient is -0.
//
//   cosine_dense      a block a pair of rows: loss and gradient of the codes
//   cosine_packed     the same from packed codes of +1 and -1: loss, and two pair gradients a pair
//   cosine_backward   warps walk down pairs of rows: dU, from U, the codes and their pair gradients
//   entropy_penalty   a block a tile of 32 columns: means and gradient
//
// The blocks that make a loss leave a number each; the block that finishes last adds them up.
//
//   the pair (p, p + half) in cosine_dense and cosine_packed; v is a vector of 16 bytes, t the
//   thread that reads it
//
//     row p           v v v ... v  v v ... v  x x      the tail: less than a vector, read by the
//     row p + half    v v v ... v  v v ... v  x x      thread whose turn it is
//                     t 0 1 2 ...255 0 1 ...  t
//
//   1. Each thread adds up the products of its vectors: features, then codes.
//   2. A warp for each of the six sums adds up those of all threads.
//   3. Thread 0 makes cosines of them, and the pair's loss.
//   4. All threads write the gradient, or the two pair gradients that it takes.
//   5. The last block adds up the losses.
#include "common.cuh"
#include "sums.cuh"

namespace loss {

// ---------------------------------------------------------------------------------------------
// Cosine loss
// ---------------------------------------------------------------------------------------------

// What two vectors are multiplied by.
struct Scales {
    double left, right;

    __device__ bool any() const { return left != 1 || right != 1; }
};

// A power of two for a vector of this squared norm: then nothing overflows, and nothing that matters
// underflows. Only vectors of double have such norms.
__device__ inline double scale_of(double squared) {
    if (squared > 0x1p960) return 0x1p-600;
    return squared < 0x1p-960 ? 0x1p600 : 1;
}

template <class X>
constexpr bool MAY_NEED_SCALES = sizeof(X) == sizeof(double);

// Dot product and squared norms of two vectors.
struct Products {
    double dot, left, right;

    __device__ void add(double l, double r) {
        dot = __fma_rn(l, r, dot);
        left = __fma_rn(l, l, left);
        right = __fma_rn(r, r, right);
    }

    __device__ bool has_zero() const { return left == 0 || right == 0; }

    // Product of the two norms. The root of the product is exact for codes of +1 and -1; where the
    // product leaves the normal range the roots are taken first.
    __device__ double norms() const {
        const double product = left * right;
        const bool normal = product >= 0x1p-1022 && product <= 0x1.fffffffffffffp1023;
        return normal ? sqrt(product) : sqrt(left) * sqrt(right);
    }

    __device__ double cosine() const { return has_zero() ? 0 : dot / norms(); }
};

// Vectors of each row that a thread has under way.
constexpr unsigned UNDER_WAY = 4;

// Elements j.. of a row, as many as a vector has: one access where rows are known to be of aligned
// vectors, else one for each element.
template <class X, bool ALIGNED>
__device__ Vector<X> load(const Input<X>& x, uint64_t row, uint64_t j) {
    if constexpr (ALIGNED) return vector_at(x.data + row * x.row_stride + j);
    Vector<X> vector;
#pragma unroll
    for (int n = 0; n < VECTOR<X>; n++) vector.value[n] = x.at(row, j + n);
    return vector;
}

// Step 1: this thread's part of the products of rows i and k. Which elements those are does not
// depend on how they are read.
template <class X, bool ALIGNED>
__device__ Products products(const Input<X>& x, uint64_t cols, uint64_t i, uint64_t k) {
    constexpr unsigned N = VECTOR<X>;
    Products sum = {0, 0, 0};
    uint64_t j = uint64_t(threadIdx.x) * N;
#pragma unroll UNDER_WAY
    for (; j + N <= cols; j += THREADS * N) {
        const Vector<X> left = load<X, ALIGNED>(x, i, j), right = load<X, ALIGNED>(x, k, j);
#pragma unroll
        for (unsigned n = 0; n < N; n++) {
            sum.add(Element<X>::widen(left.value[n]), Element<X>::widen(right.value[n]));
        }
    }
    for (; j < cols; j++) sum.add(Element<X>::widen(x.at(i, j)), Element<X>::widen(x.at(k, j)));
    return sum;
}

// The same of rows that are multiplied by scales.
__device__ inline Products products(const Input<double>& x, uint64_t cols, uint64_t i, uint64_t k,
                                    const Scales& scales) {
    Products sum = {0, 0, 0};
    for (uint64_t j = threadIdx.x; j < cols; j += THREADS) {
        sum.add(x.at(i, j) * scales.left, x.at(k, j) * scales.right);
    }
    return sum;
}

// Element types as numbers: `DType` of src/plan/mod.rs.
constexpr uint32_t F32 = 0, F64 = 1, F16 = 2;  // and bf16

// Features of a type that is known at run time, so that there is not a kernel for every pair of
// types: all threads of a launch take the same way.
struct Features {
    const void* data;
    uint64_t row_stride, col_stride;  // as those of Input, in elements
    uint32_t cols;
    uint32_t type;
    uint32_t aligned;  // each row is of vectors that may be read at once
    uint32_t unused;

    template <class X>
    __device__ Products products_of(uint64_t i, uint64_t k) const {
        const Input<X> x = {static_cast<const X*>(data), row_stride, col_stride};
        return aligned ? products<X, true>(x, cols, i, k) : products<X, false>(x, cols, i, k);
    }

    __device__ Products products_of_rows(uint64_t i, uint64_t k) const {
        switch (type) {
            case F32:
                return products_of<float>(i, k);
            case F64:
                return products_of<double>(i, k);
            case F16:
                return products_of<__half>(i, k);
            default:
                return products_of<__nv_bfloat16>(i, k);
        }
    }
};

// What the gradient of a pair's loss needs.
struct Pair {
    Products features, codes;
    double norms, cosine;
    double loss;   // of the pair
    double outer;  // derivative of the loss of the batch for the cosine of the codes

    __device__ Pair() = default;

    __device__ Pair(const Products& features, const Products& codes, uint32_t half)
        : features(features), codes(codes), norms(codes.norms()), cosine(codes.cosine()) {
        const double miss = cosine - features.cosine(), weight = 1.0 / double(half);
        loss = miss * miss;
        outer = 2 * weight * miss;
    }

    // The gradient for the element `from` of one row, whose squared norm is `squared`, and which has
    // been multiplied by `scale`; `to` is the element of the other row.
    __device__ double gradient(double from, double to, double squared, double scale) const {
        if (codes.has_zero()) return 0;
        const double of_cosine = to / norms - cosine * from / squared;
        return __dadd_rn(outer * of_cosine * scale, 0.0);  // -0 becomes +0
    }
};

// Steps 1 to 3 once more, where norms ask for scales. Not inline: it is hardly ever called, and all
// launches would have its registers.
template <class T>
__noinline__ __device__ void scale(Pair& pair, uint32_t half, Scales of_features, Input<double> x,
                                   uint32_t x_cols, Scales of_codes, Input<T> b, uint32_t b_cols) {
    const uint64_t i = blockIdx.x, k = i + half;
    Products features = {0, 0, 0}, codes = {0, 0, 0};
    if (of_features.any()) features = products(x, x_cols, i, k, of_features);
    if constexpr (MAY_NEED_SCALES<T>) codes = products(b, b_cols, i, k, of_codes);
    double sums[] = {features.dot, features.left, features.right,
                     codes.dot,    codes.left,    codes.right};
    block_sums<6, THREADS>(sums);
    if (threadIdx.x == 0) {
        const Products scaled = {sums[0], sums[1], sums[2]},
                       scaled_codes = {sums[3], sums[4], sums[5]};
        pair = Pair(of_features.any() ? scaled : pair.features,
                    MAY_NEED_SCALES<T> ? scaled_codes : pair.codes, half);
    }
    __syncthreads();
}

// Steps 1 to 3, for the pair of this block. `codes` is this thread's part of the products of the rows
// of `b`, of `cols` columns. Whole blocks call it, once. `of_codes` are what those rows count as
// multiplied by.
template <class T>
__device__ const Pair& pair_of(const Features& x, uint32_t half, const Products& codes,
                               const Input<T>& b, uint32_t cols, Scales& of_codes) {
    __shared__ Pair pair;
    const Products features = x.products_of_rows(blockIdx.x, uint64_t(blockIdx.x) + half);
    double sums[] = {features.dot, features.left, features.right,
                     codes.dot,    codes.left,    codes.right};
    block_sums<6, THREADS>(sums);
    if (threadIdx.x == 0) {
        pair = Pair({sums[0], sums[1], sums[2]}, {sums[3], sums[4], sums[5]}, half);
    }
    __syncthreads();
    Scales of_features = {1, 1};
    of_codes = {1, 1};
    if (x.type == F64) of_features = {scale_of(sums[1]), scale_of(sums[2])};
    if (MAY_NEED_SCALES<T>) of_codes = {scale_of(sums[4]), scale_of(sums[5])};
    if (of_features.any() || of_codes.any()) {
        const Input<double> rows = {static_cast<const double*>(x.data), x.row_stride, x.col_stride};
        scale(pair, half, of_features, rows, x.cols, of_codes, b, cols);
    }
    return pair;
}

template <class T>
struct Dense {
    Features x;
    Input<T> b;
    Output<T> grad;
    Total total;
    Shape shape;
};

// Block 0 also clears the gradient of the last row of an odd batch, which has no partner; it is
// there where there is no pair, too.
template <class T>
__device__ void cosine_dense(const Dense<T>& args) {
    const Shape shape = args.shape;
    const uint32_t half = shape.rows / 2;
    const uint64_t p = blockIdx.x, k = p + half;
    if (p == 0 && shape.rows % 2 == 1) {
        for (uint64_t j = threadIdx.x; j < shape.cols; j += THREADS) {
            args.grad.at(shape.rows - 1, j) = Element<T>::of_double(0);
        }
    }
    double loss = 0;
    if (p < half) {
        const Products codes = products<T, false>(args.b, shape.cols, p, k);
        Scales of_codes;
        const Pair& pair = pair_of<T>(args.x, half, codes, args.b, shape.cols, of_codes);
        for (uint64_t j = threadIdx.x; j < shape.cols; j += THREADS) {
            const double l = Element<T>::widen(args.b.at(p, j)) * of_codes.left;
            const double r = Element<T>::widen(args.b.at(k, j)) * of_codes.right;
            const double dl = pair.gradient(l, r, pair.codes.left, of_codes.left);
            const double dr = pair.gradient(r, l, pair.codes.right, of_codes.right);
            args.grad.at(p, j) = Element<T>::of_double(dl);
            args.grad.at(k, j) = Element<T>::of_double(dr);
        }
        loss = pair.loss;
    }
    add_up<THREADS>(args.total, loss, 1, half);
}

// The gradient for an element b of a code of +1 and -1 is b times one of these.
enum Slope { AGREE, DIFFER, SLOPES };  // as the element of the other row does

struct Packed {
    Features x;
    Codes<const uint32_t> codes;
    double* pair_grads;  // [half, SLOPES]
    Total total;
    Shape shape;
};

// Sums of +1 and -1 are exact, so that the cosine is (bits - 2 hamming) / bits, rounded once.
__device__ inline void cosine_packed(const Packed& args) {
    const uint32_t half = args.shape.rows / 2, bits = args.shape.cols;
    const uint64_t p = blockIdx.x, k = p + half;
    double loss = 0;
    if (p < half) {
        Products codes = {0, 0, 0};
        for (uint64_t n = threadIdx.x; n * WARP < bits; n += THREADS) {
            const int there = int(min(uint64_t(WARP), bits - n * WARP));
            codes.dot += there - 2 * __popc(args.codes.at(p, n) ^ args.codes.at(k, n));
            codes.left += there;
        }
        codes.right = codes.left;
        Scales of_codes;
        const Pair& pair = pair_of<float>(args.x, half, codes, {}, 0, of_codes);
        if (threadIdx.x < SLOPES) {
            const double to = threadIdx.x == AGREE ? 1 : -1;
            args.pair_grads[p * SLOPES + threadIdx.x] = pair.gradient(1, to, pair.codes.left, 1);
        }
        loss = pair.loss;
    }
    add_up<THREADS>(args.total, loss, 1, half);
}

template <class T>
struct Backward {
    Input<T> u;
    Codes<const uint32_t> codes;
    const double* pair_grads;  // [half, SLOPES]
    Output<T> out;             // dU; may be the memory of u
    Shape shape;
    double c;  // gamma / (M * K)
};

// One element of dU: the gradient for its bit, rounded to T, and the pull of Bi-half.
template <class T>
__device__ void pull(const Backward<T>& args, uint64_t i, const Place& at, bool is_one,
                     double slope) {
    // As in Pair::gradient, there is no -0.
    const T grad = Element<T>::of_double(__dadd_rn(is_one ? slope : -slope, 0.0));
    const RealOf<T> b = one<RealOf<T>>(is_one);
    args.out.at(i, at.col) = pulled(grad, args.u.at(i, at.col), b, RealOf<T>(args.c));
}

// Warps walk down the pairs of their tiles. The last row of an odd batch has no partner: it is the
// second row of a pair without a first one, and its gradient is 0.
template <class T>
__device__ void cosine_backward(const Backward<T>& args) {
    const Place at(args.shape.cols);
    if (!at.in) return;
    const uint64_t half = args.shape.rows / 2, pairs = args.shape.rows - half;
    for (uint64_t p = at.row; p < pairs; p += at.row_step) {
        const uint64_t k = p + half;
        const bool lower = args.codes.at(k, at.tile) >> at.lane & 1;
        double slope = 0;
        if (p < half) {
            const bool upper = args.codes.at(p, at.tile) >> at.lane & 1;
            slope = args.pair_grads[p * SLOPES + (upper == lower ? AGREE : DIFFER)];
            pull(args, p, at, upper, slope);
        }
        pull(args, k, at, lower, slope);
    }
}

// ---------------------------------------------------------------------------------------------
// Entropy penalty
// ---------------------------------------------------------------------------------------------

// Warps of a block that goes down all rows of its tile, twice: as many as a block may have.
constexpr unsigned PENALTY_WARPS = 32;
constexpr unsigned PENALTY_THREADS = PENALTY_WARPS * WARP;

template <class T>
struct Penalty {
    Input<T> b;
    Output<T> grad;
    Total total;
    Shape shape;
    double scale;   // alpha / (M * K): gradient = scale * mean of the column
    double factor;  // alpha / 2: loss = factor * mean of the squares
};

// 1. Each warp adds up its rows of the tile, lane by lane, then warp 0 adds up the warps.
// 2. All warps write the gradient, which is the same for all rows.
// 3. The last block adds up the squares of all tiles.
template <class T>
__device__ void entropy_penalty(const Penalty<T>& args) {
    __shared__ double of_warp[PENALTY_WARPS][WARP], of_column[WARP];
    const Place at(args.shape.cols);
    double mine = 0;
    if (at.in) {
#pragma unroll 4
        for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
            mine += Element<T>::widen(args.b.at(i, at.col));
        }
    }
    of_warp[at.warp][at.lane] = mine;
    __syncthreads();
    double squares = 0;
    if (at.warp == 0) {
        double sum = 0;
        for (unsigned warp = 0; warp < PENALTY_WARPS; warp++) sum += of_warp[warp][at.lane];
        const double mean = sum / double(args.shape.rows);
        of_column[at.lane] = mean;
        squares = mean * mean;  // 0 where there is no column
        for (unsigned step = WARP / 2; step > 0; step /= 2) {
            squares += __shfl_xor_sync(ALL_LANES, squares, step);
        }
    }
    __syncthreads();
    if (at.in) {
        const T value = Element<T>::of_double(args.scale * of_column[at.lane]);
        for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
            args.grad.at(i, at.col) = value;
        }
    }
    add_up<PENALTY_THREADS>(args.total, squares, args.factor, args.shape.cols);
}

}  // namespace loss

#define EXPORT(T, NAME)                                                               \
    KERNEL(cosine_dense_##NAME, THREADS, loss::cosine_dense, loss::Dense<T>)          \
    KERNEL(cosine_backward_##NAME, THREADS, loss::cosine_backward, loss::Backward<T>) \
    KERNEL(entropy_penalty_##NAME, loss::PENALTY_THREADS, loss::entropy_penalty, loss::Penalty<T>)
FOR_EACH_ELEMENT_TYPE(EXPORT)
#undef EXPORT

KERNEL(cosine_packed, THREADS, loss::cosine_packed, loss::Packed)
