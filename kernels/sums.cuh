// Sums in double over a block, and over all blocks of a launch, in an order that depends on the grid
// alone.
//
//   block 0     value --+
//   block 1     value --+--> values[0..gridDim.x] --> added up by the block that finishes last
//   ...                 |
//   block n     value --+
#pragma once
#include "common.cuh"

// Replaces N numbers of each thread by their sums over all threads of a block. Whole blocks call it.
// A warp adds up one sum, which takes a third of the additions that shuffles among all warps would:
// where there are few units for double, these are the most of a short vector's time.
template <unsigned N, unsigned BLOCK>
__device__ void block_sums(double (&mine)[N]) {
    static_assert(BLOCK % WARP == 0 && N <= BLOCK / WARP, "there is a warp for each sum");
    __shared__ double of_thread[N][BLOCK], of_block[N];
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
#pragma unroll
    for (unsigned n = 0; n < N; n++) of_thread[n][threadIdx.x] = mine[n];
    __syncthreads();
    if (warp < N) {
        double sum = 0;
        for (unsigned thread = lane; thread < BLOCK; thread += WARP) {
            sum += of_thread[warp][thread];
        }
        for (unsigned step = WARP / 2; step > 0; step /= 2) {
            sum += __shfl_xor_sync(ALL_LANES, sum, step);
        }
        if (lane == 0) of_block[warp] = sum;
    }
    __syncthreads();
#pragma unroll
    for (unsigned n = 0; n < N; n++) mine[n] = of_block[n];
}

// Where the blocks of a launch leave their numbers, and where the result goes.
struct Total {
    double* values;      // one a block
    uint32_t* finished;  // blocks that have; 0 before and after a launch
    double* loss;
};

// loss = factor * sum / count, the sum over the `value`s that the threads 0 of all blocks
// pass, by the block that finishes last. Whole blocks call it, at the end.
template <unsigned BLOCK>
__device__ void add_up(const Total& args, double value, double factor, uint32_t count) {
    __shared__ bool is_last;
    volatile double* const values = args.values;  // written and read past the first cache
    if (threadIdx.x == 0) {
        values[blockIdx.x] = value;
        __threadfence();  // the value is there before the block counts as finished
        // The counter wraps to 0 with the last block, so it is ready for the next launch.
        is_last = atomicInc(args.finished, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!is_last) return;
    __threadfence();  // values are read after all blocks have finished
    double sum[1] = {0};
#pragma unroll 4
    for (uint64_t i = threadIdx.x; i < gridDim.x; i += BLOCK) sum[0] += values[i];
    block_sums<1, BLOCK>(sum);
    if (threadIdx.x == 0) *args.loss = count == 0 ? 0 : factor * (sum[0] / double(count));
}
