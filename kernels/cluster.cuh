// Clusters of blocks: their barrier, and shared memory of the other blocks. Architectures from 9.0 on
// have them; kernels that use them are compiled for those alone.
//
//     grid.y = 8 blocks, a cluster, work on the same columns: blockIdx.y is the rank in the cluster
//
// A block must not touch the memory of another one before that has started, or after it has ended:
// between the first and the last of all such accesses and the ends of a kernel lies a barrier.
#pragma once
#include "common.cuh"

// Every device that has clusters takes so many blocks in one.
constexpr unsigned CLUSTER = 8;

// All that the cluster's threads wrote before they arrived is there for those who waited.
__device__ inline void cluster_arrive() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
__device__ inline void cluster_wait() {
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
__device__ inline void cluster_sync() {
    cluster_arrive();
    cluster_wait();
}

// A variable in shared memory, as the block of that rank has it.
template <class T>
__device__ T& in_block(T& shared, unsigned rank) {
    uint64_t address;
    asm("mapa.u64 %0, %1, %2;" : "=l"(address) : "l"(&shared), "r"(rank));
    return *reinterpret_cast<T*>(address);
}

// A number for each column, `of_block` of it, as every block has it: numbers[b] of all blocks become
// those of block b. Whole blocks call it.
template <int COLUMNS, class OfBlock>
__device__ void share_over_cluster(uint32_t (&numbers)[CLUSTER][COLUMNS], OfBlock of_block) {
    for (unsigned i = threadIdx.x; i < CLUSTER * COLUMNS; i += blockDim.x) {
        const unsigned column = i % COLUMNS, other = i / COLUMNS;
        in_block(numbers[blockIdx.y][column], other) = of_block(column);
    }
    cluster_sync();
}

#define CLUSTER_KERNEL(NAME, THREADS, BODY, ARGS)                                         \
    extern "C" __global__ void __launch_bounds__(THREADS) __cluster_dims__(1, CLUSTER, 1) \
        NAME(const ARGS args) {                                                           \
        BODY(args);                                                                       \
    }
