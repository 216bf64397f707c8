// Losses on a batch of codes, with their gradients: the cosine-preserving loss of pairs of rows and
// the entropy penalty.
//
// Contract: sums run in double in an order that depends on the shape alone (each thread adds every
// THREADS-th term, threads are added pairwise), so results are the same bits on every run; each
// result is rounded once. Zero vectors have cosine 0 and gradient 0.
//
//   cosine loss     cosine_targets   a block a pair: cosine of the features of rows p and p + half
//                   cosine_pairs     a block a pair: loss and gradient of the codes of the pair
//                   loss_mean        one block: mean of the pairs' losses
//   penalty         penalty_means    a block a tile: mean of every column
//                   penalty_grad     warps walk down their tiles: gradient
//                   loss_mean        one block: mean of the squared means
#include "common.cuh"

namespace loss {

// The sum over all threads of a block, for all threads. Whole blocks call it.
__device__ inline double block_sum(double mine) {
    __shared__ double of_warp[WARPS];
    for (unsigned step = WARP / 2; step > 0; step /= 2) {
        mine += __shfl_xor_sync(ALL_LANES, mine, step);
    }
    if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = mine;
    __syncthreads();
    double sum = 0;
    for (unsigned warp = 0; warp < WARPS; warp++) sum += of_warp[warp];
    __syncthreads();  // before the next sum reuses the memory
    return sum;
}

// Dot product and squared norms of two vectors.
struct Products {
    double dot, left, right;

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

template <class T>
__device__ Products products(const Input<T>& m, uint32_t cols, uint64_t i, uint64_t k) {
    double dot = 0, left = 0, right = 0;
    for (uint64_t j = threadIdx.x; j < cols; j += THREADS) {
        const double l = Element<T>::widen(m.at(i, j)), r = Element<T>::widen(m.at(k, j));
        dot += l * r;
        left += l * l;
        right += r * r;
    }
    dot = block_sum(dot);
    left = block_sum(left);
    return {dot, left, block_sum(right)};
}

template <class X>
struct Targets {
    Input<X> x;
    double* targets;  // [half]
    uint32_t cols, half;
};

template <class X>
__device__ void cosine_targets(const Targets<X>& args) {
    const uint64_t pair = blockIdx.x;
    const double cosine = products(args.x, args.cols, pair, pair + args.half).cosine();
    if (threadIdx.x == 0) args.targets[pair] = cosine;
}

template <class T>
struct Pairs {
    Input<T> b;
    Output<T> grad;
    double* values;  // [half]: the targets, become the losses
    Shape shape;
};

// The gradient of `weight * (cosine - target)^2` for the element `from` of one row, whose squared
// norm is `squared`; `to` is the element of the other row.
__device__ inline double cosine_gradient(const Products& codes, double target, double weight,
                                         double from, double to, double squared) {
    if (codes.has_zero()) return 0;
    const double cosine = codes.cosine();
    const double of_cosine = to / codes.norms() - cosine * from / squared;
    return 2 * weight * (cosine - target) * of_cosine;
}

// Block 0 also clears the gradient of the last row of an odd batch, which has no partner.
template <class T>
__device__ void cosine_pairs(const Pairs<T>& args) {
    const Shape shape = args.shape;
    const uint64_t half = shape.rows / 2, pair = blockIdx.x;
    if (pair == 0 && shape.rows % 2 == 1) {
        for (uint64_t j = threadIdx.x; j < shape.cols; j += THREADS) {
            args.grad.at(shape.rows - 1, j) = Element<T>::of_double(0);
        }
    }
    if (pair >= half) return;

    const Products codes = products(args.b, shape.cols, pair, pair + half);
    const double target = args.values[pair], weight = 1.0 / double(half);
    for (uint64_t j = threadIdx.x; j < shape.cols; j += THREADS) {
        const double l = Element<T>::widen(args.b.at(pair, j));
        const double r = Element<T>::widen(args.b.at(pair + half, j));
        args.grad.at(pair, j) =
            Element<T>::of_double(cosine_gradient(codes, target, weight, l, r, codes.left));
        args.grad.at(pair + half, j) =
            Element<T>::of_double(cosine_gradient(codes, target, weight, r, l, codes.right));
    }
    __syncthreads();  // all have read the target
    const double miss = codes.cosine() - target;
    if (threadIdx.x == 0) args.values[pair] = miss * miss;
}

struct Mean {
    const double* values;
    double* loss;
    double factor;  // loss = factor * mean(values), or of their squares
    uint32_t count;
    uint32_t squared;
};

__device__ inline void mean(const Mean& args) {
    double mine = 0;
    for (uint64_t i = threadIdx.x; i < args.count; i += THREADS) {
        mine += args.squared ? args.values[i] * args.values[i] : args.values[i];
    }
    const double sum = block_sum(mine);
    if (threadIdx.x == 0) *args.loss = args.factor * (sum / double(args.count));
}

template <class T>
struct ColumnMeans {
    Input<T> b;
    double* means;  // [cols]
    Shape shape;
};

template <class T>
__device__ void penalty_means(const ColumnMeans<T>& args) {
    __shared__ double of_warp[WARPS][WARP];
    const Place at(args.shape.cols);
    double mine = 0;
    if (at.in) {
        for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
            mine += Element<T>::widen(args.b.at(i, at.col));
        }
    }
    of_warp[at.warp][at.lane] = mine;
    __syncthreads();
    if (at.warp > 0 || !at.in) return;
    double sum = 0;
    for (unsigned warp = 0; warp < WARPS; warp++) sum += of_warp[warp][at.lane];
    args.means[at.col] = sum / double(args.shape.rows);
}

template <class T>
struct PenaltyGrad {
    const double* means;  // [cols]
    Output<T> grad;
    Shape shape;
    double scale;
};

template <class T>
__device__ void penalty_grad(const PenaltyGrad<T>& args) {
    const Place at(args.shape.cols);
    if (!at.in) return;
    const T value = Element<T>::of_double(args.scale * args.means[at.col]);
    for (uint64_t i = at.row; i < args.shape.rows; i += at.row_step) {
        args.grad.at(i, at.col) = value;
    }
}

}  // namespace loss

#define EXPORT(T, NAME)                                                              \
    KERNEL(cosine_targets_##NAME, THREADS, loss::cosine_targets, loss::Targets<T>)   \
    KERNEL(cosine_pairs_##NAME, THREADS, loss::cosine_pairs, loss::Pairs<T>)         \
    KERNEL(penalty_means_##NAME, THREADS, loss::penalty_means, loss::ColumnMeans<T>) \
    KERNEL(penalty_grad_##NAME, THREADS, loss::penalty_grad, loss::PenaltyGrad<T>)
FOR_EACH_ELEMENT_TYPE(EXPORT)
#undef EXPORT

KERNEL(loss_mean, THREADS, loss::mean, loss::Mean)
