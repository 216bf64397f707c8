// Bi-half: in each column the k largest values become +1, the others -1; and the gradient.
//
// Contract of the forward kernels: ties go to the lower row, NaN is greatest, -0 equals +0; exactly
// k ones a column; threshold[j] is the canonical value of the k-th largest, NaN for k = 0; pad bits
// are 0. Results are a pure function of the input, whatever the kernel and the grid.
//
//   rows      few columns (shortest way)          many columns (fewest instructions)   launches
//   <= 32     counting32, counting32x8            network32; pairs32 (16-bit, sm_90)    1
//   <= 64     counting64, counting64x8            network64 (not double)               1
//   <= 128    counting128, short_slices128        slices128 (not double)               1
//   <= 4096   histogram256, 1024, 4096,           slices256, 1024, 2048, 4096          1
//             short_slices256, 1024               (not double)
//   <= 8192                                       slices8192 (16-bit types),           1
//                                                 slices8192x4 (float)
//   any       radix_{histogram, pick, scan, emit}                                fixed
//
//   where blocks form clusters (capability 9.0):
//   <= 4096   cluster_histogram1024, 4096                                         1
//   <= 32768  cluster_slices8192, 32768 (float); to 65536 for 16-bit types        1
//
// Each algorithm is one template in a file of its own, bihalf_<algorithm>.cuh; which kernel is
// launched, src/plan/bihalf.rs tells.
//
// Backward, bihalf_backward_{dense, packed}, is one pass, in place too.
#include "bihalf_backward.cuh"
#include "bihalf_cluster_histogram.cuh"
#include "bihalf_counting.cuh"
#include "bihalf_histogram.cuh"
#include "bihalf_network.cuh"
#include "bihalf_pairs.cuh"
#include "bihalf_radix.cuh"
#include "bihalf_slices.cuh"

#define FORWARD(T, NAME, THREADS_OF_BLOCK, ...) \
    KERNEL(bihalf_##NAME, THREADS_OF_BLOCK, (bihalf::__VA_ARGS__), bihalf::Forward<T>)

#define EXPORT(T, NAME)                                                                       \
    FORWARD(T, counting32_##NAME, 128, counting<T, 32, 1, 4>)                                 \
    FORWARD(T, counting32x8_##NAME, 256, counting<T, 32, 8, 1>)                               \
    FORWARD(T, counting64_##NAME, 256, counting<T, 64, 1, 4>)                                 \
    FORWARD(T, counting64x8_##NAME, 512, counting<T, 64, 8, 1>)                               \
    FORWARD(T, counting128_##NAME, 512, counting<T, 128, 1, 4>)                               \
    FORWARD(T, histogram256_##NAME, 256, histogram<T, 256, 1, 64>)                            \
    FORWARD(T, histogram1024_##NAME, 512, histogram<T, 512, 2, 64>)                           \
    FORWARD(T, histogram4096_##NAME, 1024, histogram<T, 1024, 4, 128>)                        \
    FORWARD(T, network32_##NAME, WARP, network<T, 32>)                                        \
    FORWARD(T, short_slices128_##NAME, 128, slices<T, 32, 4, 1>)                              \
    FORWARD(T, short_slices256_##NAME, 256, slices<T, 32, 8, 1>)                              \
    FORWARD(T, short_slices1024_##NAME, 256, slices<T, 8, 8, 1>)                              \
    KERNEL(bihalf_radix_histogram_##NAME, THREADS, bihalf::radix_histogram, bihalf::Digit<T>) \
    KERNEL(bihalf_radix_emit_##NAME, THREADS, bihalf::radix_emit, bihalf::Emit<T>)            \
    KERNEL(bihalf_backward_dense_##NAME, THREADS, bihalf::backward, bihalf::BackwardDense<T>) \
    KERNEL(bihalf_backward_packed_##NAME, THREADS, bihalf::backward, bihalf::BackwardPacked<T>)
FOR_EACH_ELEMENT_TYPE(EXPORT)
#undef EXPORT

// These keep so much in registers that 64-bit keys do not fit.
#define EXPORT(T, NAME)                                     \
    FORWARD(T, network64_##NAME, WARP, network<T, 64>)      \
    FORWARD(T, slices128_##NAME, WARP, slices<T, 32, 1, 4>) \
    FORWARD(T, slices256_##NAME, 64, slices<T, 32, 2, 4>)   \
    FORWARD(T, slices1024_##NAME, 64, slices<T, 8, 2, 4>)   \
    FORWARD(T, slices2048_##NAME, 128, slices<T, 8, 4, 4>)  \
    FORWARD(T, slices4096_##NAME, 256, slices<T, 8, 8, 4>)
EXPORT(float, f32)
EXPORT(__half, f16)
EXPORT(__nv_bfloat16, bf16)
#undef EXPORT

#define EXPORT(T, NAME) FORWARD(T, slices8192x4_##NAME, 256, slices<T, 4, 8, 4>)
EXPORT(float, f32)
#undef EXPORT

// And here 32-bit keys do not.
#define EXPORT(T, NAME)                                     \
    FORWARD(T, slices8192_##NAME, 512, slices<T, 8, 16, 4>) \
    FORWARD(T, pairs32_##NAME, WARP, pairs<T>)
EXPORT(__half, f16)
EXPORT(__nv_bfloat16, bf16)
#undef EXPORT

// Clusters, where the architecture has them.
#if __CUDA_ARCH__ >= 900
#define CLUSTERED(T, NAME, THREADS_OF_BLOCK, ...) \
    CLUSTER_KERNEL(bihalf_##NAME, THREADS_OF_BLOCK, (bihalf::__VA_ARGS__), bihalf::Forward<T>)

#define EXPORT(T, NAME)                                                                \
    CLUSTERED(T, cluster_histogram1024_##NAME, 512, cluster_histogram<T, 512, 2, 64>)  \
    CLUSTERED(T, cluster_histogram4096_##NAME, 512, cluster_histogram<T, 512, 8, 128>) \
    CLUSTERED(T, cluster_slices8192_##NAME, 256, slices<T, 8, 8, 1, CLUSTER>)
FOR_EACH_ELEMENT_TYPE(EXPORT)
#undef EXPORT

#define EXPORT(T, NAME) CLUSTERED(T, cluster_slices32768_##NAME, 256, slices<T, 8, 8, 4, CLUSTER>)
EXPORT(float, f32)
#undef EXPORT

#define EXPORT(T, NAME) CLUSTERED(T, cluster_slices65536_##NAME, 512, slices<T, 8, 16, 4, CLUSTER>)
EXPORT(__half, f16)
EXPORT(__nv_bfloat16, bf16)
#undef EXPORT
#endif

KERNEL(bihalf_radix_pick, THREADS, bihalf::radix_pick, bihalf::Pick)
KERNEL(bihalf_radix_scan, THREADS, bihalf::radix_scan, bihalf::Scan)
