// CUB's algorithms of a block and of a warp, a kernel each.
#include <cub/block/block_merge_sort.cuh>
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/warp/warp_merge_sort.cuh>
#include <cub/warp/warp_reduce.cuh>
#include <cub/warp/warp_scan.cuh>
#include <cuda_fp16.h>
#include <stdint.h>

// A block sorts its part, T threads with I items each; `order` gets the place each key had.
template <typename K, int T, int I>
__device__ void sort(const K* in, K* out, int* order, bool descending) {
    using Sort = cub::BlockRadixSort<K, T, I, int>;
    __shared__ typename Sort::TempStorage storage;
    K key[I];
    int value[I];
    for (int i = 0; i < I; i++) {
        int place = threadIdx.x * I + i;
        key[i] = in[blockIdx.x * T * I + place];
        value[i] = place;
    }
    if (descending)
        Sort(storage).SortDescending(key, value);
    else
        Sort(storage).Sort(key, value);
    for (int i = 0; i < I; i++) {
        int place = blockIdx.x * T * I + threadIdx.x * I + i;
        out[place] = key[i];
        order[place] = value[i];
    }
}
#define SORT(NAME, K, T, I, DESCENDING)                                               \
    extern "C" __global__ void NAME(const K* in, K* out, int* order) {                \
        sort<K, T, I>(in, out, order, DESCENDING);                                    \
    }
SORT(cub_sort_f32, float, 128, 8, false)
SORT(cub_sort_f64, double, 64, 2, false)
SORT(cub_sort_f16, __half, 64, 3, false)
SORT(cub_sort_u64, uint64_t, 64, 4, false)
SORT(cub_sort_i16, int16_t, 32, 7, false)
SORT(cub_sort_i8, int8_t, 96, 5, false)
SORT(cub_sort_u32_descending, uint32_t, 256, 2, true)

// Sums of blocks of 256.
template <cub::BlockReduceAlgorithm ALGORITHM>
__device__ void reduce(const int* in, int* out) {
    using Reduce = cub::BlockReduce<int, 256, ALGORITHM>;
    __shared__ typename Reduce::TempStorage storage;
    int sum = Reduce(storage).Sum(in[blockIdx.x * 256 + threadIdx.x]);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}
#define REDUCE(NAME, ALGORITHM) \
    extern "C" __global__ void NAME(const int* in, int* out) { reduce<cub::ALGORITHM>(in, out); }
REDUCE(cub_reduce, BLOCK_REDUCE_WARP_REDUCTIONS)
REDUCE(cub_reduce_raking, BLOCK_REDUCE_RAKING)
REDUCE(cub_reduce_commutative, BLOCK_REDUCE_RAKING_COMMUTATIVE_ONLY)

// Exclusive sums in blocks of 256.
template <cub::BlockScanAlgorithm ALGORITHM>
__device__ void scan(const int* in, int* out) {
    using Scan = cub::BlockScan<int, 256, ALGORITHM>;
    __shared__ typename Scan::TempStorage storage;
    int sum;
    Scan(storage).ExclusiveSum(in[blockIdx.x * 256 + threadIdx.x], sum);
    out[blockIdx.x * 256 + threadIdx.x] = sum;
}
#define SCAN(NAME, ALGORITHM) \
    extern "C" __global__ void NAME(const int* in, int* out) { scan<cub::ALGORITHM>(in, out); }
SCAN(cub_scan, BLOCK_SCAN_RAKING)
SCAN(cub_scan_memoize, BLOCK_SCAN_RAKING_MEMOIZE)
SCAN(cub_scan_warps, BLOCK_SCAN_WARP_SCANS)

struct Less {
    template <typename K>
    __device__ bool operator()(const K& a, const K& b) const {
        return a < b;
    }
};
extern "C" __global__ void cub_merge(const float* in, float* out) {
    using Sort = cub::BlockMergeSort<float, 128, 4>;
    __shared__ typename Sort::TempStorage storage;
    int first = blockIdx.x * 512 + threadIdx.x * 4;
    float key[4];
    for (int i = 0; i < 4; i++) key[i] = in[first + i];
    Sort(storage).Sort(key, Less());
    for (int i = 0; i < 4; i++) out[first + i] = key[i];
}
extern "C" __global__ void cub_merge_stable(const uint32_t* in, uint32_t* out, int* order) {
    using Sort = cub::BlockMergeSort<uint32_t, 64, 5, int>;
    __shared__ typename Sort::TempStorage storage;
    int first = blockIdx.x * 320 + threadIdx.x * 5;
    uint32_t key[5];
    int value[5];
    for (int i = 0; i < 5; i++) {
        key[i] = in[first + i];
        value[i] = threadIdx.x * 5 + i;
    }
    Sort(storage).StableSort(key, value, Less());
    for (int i = 0; i < 5; i++) {
        out[first + i] = key[i];
        order[first + i] = value[i];
    }
}

// Two warps a block, each on its own.
extern "C" __global__ void cub_merge_warp(const float* in, float* out) {
    using Sort = cub::WarpMergeSort<float, 4, 32>;
    __shared__ typename Sort::TempStorage storage[2];
    int first = blockIdx.x * 256 + threadIdx.x * 4;
    float key[4];
    for (int i = 0; i < 4; i++) key[i] = in[first + i];
    Sort(storage[threadIdx.x / 32]).Sort(key, Less());
    for (int i = 0; i < 4; i++) out[first + i] = key[i];
}
extern "C" __global__ void cub_scan_warp(const int* in, int* out) {
    using Scan = cub::WarpScan<int>;
    __shared__ typename Scan::TempStorage storage[2];
    int sum, place = blockIdx.x * 64 + threadIdx.x;
    Scan(storage[threadIdx.x / 32]).ExclusiveSum(in[place], sum);
    out[place] = sum;
}
extern "C" __global__ void cub_reduce_warp(const int* in, int* out) {
    using Reduce = cub::WarpReduce<int>;
    __shared__ typename Reduce::TempStorage storage[2];
    int sum = Reduce(storage[threadIdx.x / 32]).Sum(in[blockIdx.x * 64 + threadIdx.x]);
    if (threadIdx.x % 32 == 0) out[blockIdx.x * 2 + threadIdx.x / 32] = sum;
}
