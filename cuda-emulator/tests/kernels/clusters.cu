// Clusters: blocks that reach one another's shared memory and meet at a barrier.
#include <cooperative_groups.h>
namespace cg = cooperative_groups;

__device__ unsigned rank_of_block() {
  unsigned r;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
  return r;
}
__device__ unsigned blocks_of_cluster() {
  unsigned n;
  asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(n));
  return n;
}
__device__ void arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ void wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ void meet() { arrive(); wait(); }
__device__ unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
__device__ unsigned map_rank(unsigned address, unsigned rank) {
  unsigned r;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(address), "r"(rank));
  return r;
}
__device__ int load_remote(unsigned address) {
  int v;
  asm volatile("ld.shared::cluster.s32 %0, [%1];" : "=r"(v) : "r"(address) : "memory");
  return v;
}
__device__ void store_remote(unsigned address, int v) {
  asm volatile("st.shared::cluster.s32 [%0], %1;" ::"r"(address), "r"(v) : "memory");
}

// ---- sound ----

// Sum of each cluster's part of `in`: block sums in shared memory, added by the first block.
template <int N>
__device__ void reduce(int* sums, const int* in) {
  __shared__ int part[64];
  __shared__ int total;
  cg::cluster_group cluster = cg::this_cluster();
  int t = threadIdx.x;
  part[t] = in[blockIdx.x * 64 + t];
  __syncthreads();
  for (int d = 32; d > 0; d >>= 1) {
    if (t < d) part[t] += part[t + d];
    __syncthreads();
  }
  if (t == 0) total = part[0];
  cluster.sync();
  if (cluster.block_rank() == 0 && t == 0) {
    int sum = 0;
    for (int r = 0; r < N; r++) sum += *cluster.map_shared_rank(&total, r);
    sums[blockIdx.x / N] = sum;
  }
  cluster.sync();
}
extern "C" __global__ void __cluster_dims__(2, 1, 1) reduce2(int* sums, const int* in) { reduce<2>(sums, in); }
extern "C" __global__ void __cluster_dims__(8, 1, 1) reduce8(int* sums, const int* in) { reduce<8>(sums, in); }

// The same by PTX, with the size of the launch: every block reads the sums of all.
extern "C" __global__ void reduce_ptx(int* sums, const int* in) {
  __shared__ int total;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  atomicAdd(&total, in[blockIdx.x * 64 + threadIdx.x]);
  meet();
  if (threadIdx.x == 0) {
    int sum = 0;
    for (unsigned r = 0; r < blocks_of_cluster(); r++)
      sum += load_remote(map_rank(shared_address(&total), r));
    sums[blockIdx.x] = sum;
  }
  meet();
}

// Each block leaves its number in the next one; what names block, rank and cluster agrees.
extern "C" __global__ void exchange(int* o, const int* in) {
  __shared__ int box;
  cg::cluster_group cluster = cg::this_cluster();
  unsigned me = cluster.block_rank(), n = cluster.num_blocks();
  cluster.sync();
  int* next = cluster.map_shared_rank(&box, (me + 1) % n);
  if (threadIdx.x == 0) *next = in[0] + me;
  cluster.sync();
  if (threadIdx.x == 0) {
    dim3 at = cluster.block_index(), dims = cluster.dim_blocks();
    bool agree = at.x + dims.x * (at.y + dims.y * at.z) == me && dims.x * dims.y * dims.z == n &&
                 cluster.query_shared_rank(next) == (me + 1) % n &&
                 cluster.query_shared_rank(&box) == me &&
                 cluster.map_shared_rank(&box, me) == &box &&
                 cluster.map_shared_rank(next, me) == &box &&
                 __isShared(next) == (n == 1) && __isShared(&box) &&
                 blockIdx.x == cg::this_grid().cluster_index().x * dims.x + at.x;
    int block = blockIdx.x + gridDim.x * blockIdx.y;
    o[block] = agree ? box : -1;
  }
}

// All threads of the cluster add to one counter and mark one bit in the last block's memory.
extern "C" __global__ void atomics(int* o, const int* in) {
  __shared__ int count;
  __shared__ unsigned long long bits;
  cg::cluster_group cluster = cg::this_cluster();
  if (threadIdx.x == 0) { count = 0; bits = 0; }
  cluster.sync();
  unsigned last = cluster.num_blocks() - 1;
  atomicAdd(cluster.map_shared_rank(&count, last), in[0]);
  atomicOr(cluster.map_shared_rank(&bits, last), 1ull << (cluster.thread_rank() & 63));
  unsigned remote = map_rank(shared_address(&count), last);
  int before;
  asm volatile("atom.shared::cluster.relaxed.cluster.add.u32 %0, [%1], 1;" : "=r"(before) : "r"(remote) : "memory");
  asm volatile("red.shared::cluster.add.u32 [%0], %1;" ::"r"(remote), "r"(before >= 0 ? 1 : 1000) : "memory");
  cluster.sync();
  if (cluster.block_rank() == last && threadIdx.x == 0) {
    o[blockIdx.x / (last + 1) * 2] = count;
    o[blockIdx.x / (last + 1) * 2 + 1] = __popcll(bits);
  }
}

// Two blocks write every other byte of the first one's array; both read it, 16 bytes at a time.
extern "C" __global__ void widths(int* o, const int* in) {
  __shared__ alignas(16) char s[128];
  cg::cluster_group cluster = cg::this_cluster();
  unsigned t = threadIdx.x, me = cluster.block_rank();
  char* first = cluster.map_shared_rank(s, 0);
  cluster.sync();
  first[2 * t + me] = (char)(in[0] + 2 * t + me);
  cluster.sync();
  if (t < 8) ((int4*)o)[blockIdx.x * 8 + t] = ((const int4*)first)[t];
  cluster.sync();
}

// Arrives, works in its own memory, waits; rounds of it, with a barrier of the block between.
extern "C" __global__ void rounds(int* o, const int* in) {
  __shared__ int now[64], work[64];
  unsigned t = threadIdx.x, other = rank_of_block() ^ 1;
  now[t] = in[blockIdx.x * 64 + t];
  work[t] = 0;
  for (int r = 0; r < 5; r++) {
    arrive();
    work[t] += now[t];
    wait();
    int theirs = load_remote(map_rank(shared_address(&now[63 - t]), other));
    meet();
    now[t] = theirs + 1;
    __syncthreads();
    work[t] += now[t ^ 32] & 1;
  }
  o[blockIdx.x * 64 + t] = now[t] + work[t];
}

// Global memory is ordered by the barrier too.
extern "C" __global__ void __cluster_dims__(2, 1, 1) through_global(int* o, const int* in) {
  int t = threadIdx.x;
  o[blockIdx.x * 64 + t] = in[blockIdx.x * 64 + t];
  cg::this_cluster().sync();
  int v = o[(blockIdx.x ^ 1) * 64 + t];
  cg::this_cluster().sync();
  o[blockIdx.x * 64 + t] = v + 1;
}

// A cooperative grid of clusters.
extern "C" __global__ void __cluster_dims__(2, 1, 1) grid_of_clusters(int* o, const int* in) {
  __shared__ int box;
  cg::cluster_group cluster = cg::this_cluster();
  cluster.sync();
  if (threadIdx.x == 0) *cluster.map_shared_rank(&box, cluster.block_rank() ^ 1) = blockIdx.x;
  cluster.sync();
  if (threadIdx.x == 0) o[blockIdx.x] = box;
  cg::this_grid().sync();
  int v = o[(blockIdx.x + 2) % gridDim.x];
  cg::this_grid().sync();
  if (threadIdx.x == 0) o[blockIdx.x] = v;
}

// ---- faults, each with a sound twin ----

// Fault: the other block reads before a barrier says that this one has written.
template <bool SOUND>
__device__ void late_write(int* o) {
  __shared__ int s[64];
  unsigned t = threadIdx.x;
  s[t] = 0;
  meet();
  s[t] = t;
  if (SOUND) meet();
  o[blockIdx.x * 64 + t] = load_remote(map_rank(shared_address(&s[t]), rank_of_block() ^ 1));
  meet();
}
extern "C" __global__ void no_barrier(int* o) { late_write<false>(o); }
extern "C" __global__ void no_barrier_ok(int* o) { late_write<true>(o); }

// Fault: writes after it has arrived, which waiting does not show to the other block.
extern "C" __global__ void after_arriving(int* o) {
  __shared__ int s[64];
  unsigned t = threadIdx.x;
  arrive();
  s[t] = t;
  wait();
  o[blockIdx.x * 64 + t] = load_remote(map_rank(shared_address(&s[t]), rank_of_block() ^ 1));
  meet();
}
// But this arrival of the second warp does: it knows of the write from the block's barrier.
extern "C" __global__ void after_arriving_ok(int* o) {
  __shared__ int s[32];
  unsigned t = threadIdx.x;
  if (t < 32) { arrive(); s[t] = t; }
  __syncthreads();
  if (t >= 32) arrive();
  wait();
  o[blockIdx.x * 64 + t] = load_remote(map_rank(shared_address(&s[t & 31]), rank_of_block() ^ 1));
  meet();
}

// Fault: both blocks write to the first one's memory.
extern "C" __global__ void both_write(int* o) {
  __shared__ int s;
  meet();
  if (threadIdx.x == 0) store_remote(map_rank(shared_address(&s), 0), blockIdx.x);
  meet();
  if (rank_of_block() == 0) o[blockIdx.x * 64 + threadIdx.x] = s;
}
extern "C" __global__ void both_write_ok(int* o) {
  __shared__ int s;
  meet();
  for (unsigned r = 0; r < 2; r++) {
    if (threadIdx.x == 0 && rank_of_block() == r) store_remote(map_rank(shared_address(&s), 0), r);
    meet();
  }
  if (rank_of_block() == 0) o[blockIdx.x * 64 + threadIdx.x] = s;
}

// Fault: overwrites what the other block may still be reading.
template <bool SOUND>
__device__ void early_write(int* o) {
  __shared__ int s[64];
  unsigned t = threadIdx.x;
  s[t] = t;
  meet();
  int v = load_remote(map_rank(shared_address(&s[t]), rank_of_block() ^ 1));
  if (SOUND) meet();
  s[t] = v + 1;
  meet();
  o[blockIdx.x * 64 + t] = s[t];
}
extern "C" __global__ void overwrites(int* o) { early_write<false>(o); }
extern "C" __global__ void overwrites_ok(int* o) { early_write<true>(o); }

// Fault: an arrival that releases nothing.
template <bool SOUND>
__device__ void relaxed(int* o) {
  __shared__ int s[64];
  unsigned t = threadIdx.x;
  s[t] = t;
  if (SOUND) asm volatile("fence.acq_rel.cluster;" ::: "memory");
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
  wait();
  o[blockIdx.x * 64 + t] = load_remote(map_rank(shared_address(&s[t]), rank_of_block() ^ 1));
  meet();
}
extern "C" __global__ void relaxed_arrive(int* o) { relaxed<false>(o); }
extern "C" __global__ void relaxed_arrive_ok(int* o) { relaxed<true>(o); }

// Fault: one element past the end of the other block's array.
template <int N>
__device__ void bounds(int* o) {
  extern __shared__ int dynamic[];
  unsigned t = threadIdx.x;
  dynamic[t] = t;
  meet();
  o[blockIdx.x * 64 + t] = load_remote(map_rank(shared_address(&dynamic[t + N]), rank_of_block() ^ 1));
  meet();
}
extern "C" __global__ void past_the_end(int* o) { bounds<1>(o); }
extern "C" __global__ void past_the_end_ok(int* o) { bounds<0>(o); }

// Fault: there is no block of rank 2.
extern "C" __global__ void no_such_rank(int* o) {
  __shared__ int s;
  if (threadIdx.x == 0) s = 1;
  meet();
  o[blockIdx.x * 64 + threadIdx.x] = load_remote(map_rank(shared_address(&s), rank_of_block() + 1));
  meet();
}

// Fault: the other block may have exited.
template <bool SOUND>
__device__ void leave(int* o) {
  __shared__ int s[64];
  unsigned t = threadIdx.x;
  s[t] = t;
  meet();
  if (rank_of_block() == 0) {
    if (!SOUND) for (int i = 0; i < 1000; i++) asm volatile("");
    o[blockIdx.x * 64 + t] = load_remote(map_rank(shared_address(&s[t]), 1));
  }
  if (SOUND) meet();
}
extern "C" __global__ void owner_exits(int* o) { leave<false>(o); }
extern "C" __global__ void owner_exits_ok(int* o) { leave<true>(o); }

// Fault: the other block may not have started.
extern "C" __global__ void not_started(int* o) {
  __shared__ int s[64];
  unsigned t = threadIdx.x;
  store_remote(map_rank(shared_address(&s[t]), rank_of_block() ^ 1), t);
  meet();
  o[blockIdx.x * 64 + t] = s[t];
}
extern "C" __global__ void not_started_ok(int* o) {
  __shared__ int s[64];
  unsigned t = threadIdx.x;
  meet();
  store_remote(map_rank(shared_address(&s[t]), rank_of_block() ^ 1), t);
  meet();
  o[blockIdx.x * 64 + t] = s[t];
}

// Fault: memory of the other block that nobody has written decides a branch.
extern "C" __global__ void unwritten(int* o) {
  __shared__ int s[64];
  unsigned t = threadIdx.x;
  if (t < 63) s[t] = t;
  meet();
  if (load_remote(map_rank(shared_address(&s[t]), rank_of_block() ^ 1)) > 5) o[blockIdx.x * 64 + t] = 1;
  meet();
}
extern "C" __global__ void unwritten_ok(int* o) {
  __shared__ int s[64];
  unsigned t = threadIdx.x;
  s[t] = t;
  meet();
  if (load_remote(map_rank(shared_address(&s[t]), rank_of_block() ^ 1)) > 5) o[blockIdx.x * 64 + t] = 1;
  meet();
}

// Fault: lanes of one warp go past the aligned barrier.
extern "C" __global__ void diverges(int* o) {
  unsigned t = threadIdx.x;
  if (t < 40) meet();
  o[blockIdx.x * 64 + t] = t;
}
extern "C" __global__ void diverges_ok(int* o) {
  unsigned t = threadIdx.x;
  if (t < 40) o[blockIdx.x * 64 + t] = t;
  meet();
}

// Fault: waits for a barrier it has not arrived at.
extern "C" __global__ void waits_only(int* o) {
  wait();
  o[blockIdx.x * 64 + threadIdx.x] = 1;
}

// Fault: arrives twice.
extern "C" __global__ void arrives_twice(int* o) {
  arrive();
  arrive();
  wait();
  o[blockIdx.x * 64 + threadIdx.x] = 1;
}

// Fault: one block waits at a barrier of its own, the other one at that of the cluster.
extern "C" __global__ void stuck(int* o) {
  if (rank_of_block() == 0 && threadIdx.x < 32) {
    asm volatile("bar.sync 3, 64;" ::: "memory");
  }
  meet();
  o[blockIdx.x * 64 + threadIdx.x] = 1;
}

// A warning: the second phase does without the threads that left.
extern "C" __global__ void some_leave(int* o) {
  meet();
  if (rank_of_block() == 1 && threadIdx.x < 32) return;
  meet();
  o[blockIdx.x * 64 + threadIdx.x] = 1;
}

// Fault: an address of the other block used as one of the own.
extern "C" __global__ void wrong_space(int* o) {
  __shared__ int s;
  if (threadIdx.x == 0) s = 1;
  meet();
  int v;
  asm volatile("ld.shared::cta.s32 %0, [%1];" : "=r"(v) : "r"(map_rank(shared_address(&s), rank_of_block() ^ 1)) : "memory");
  o[blockIdx.x * 64 + threadIdx.x] = v;
  meet();
}

// A warning: lanes of one warp, with nothing between them.
template <bool SOUND>
__device__ void lanes(int* o) {
  __shared__ int s[64];
  unsigned t = threadIdx.x, other = rank_of_block() ^ 1;
  meet();
  store_remote(map_rank(shared_address(&s[t]), other), t);
  if (SOUND) __syncwarp();
  o[blockIdx.x * 64 + t] = load_remote(map_rank(shared_address(&s[t ^ 1]), other));
  meet();
}
extern "C" __global__ void same_warp(int* o) { lanes<false>(o); }
extern "C" __global__ void same_warp_ok(int* o) { lanes<true>(o); }

// A hint and no error: a flag orders the two blocks.
extern "C" __global__ void handshake(int* o) {
  __shared__ int data, flag;
  unsigned t = threadIdx.x, me = rank_of_block();
  if (t == 0) flag = 0;
  meet();
  if (me == 0 && t == 0) {
    store_remote(map_rank(shared_address(&data), 1), 7);
    asm volatile("red.release.cluster.shared::cluster.add.u32 [%0], 1;" ::"r"(map_rank(shared_address(&flag), 1)) : "memory");
  }
  if (me == 1 && t == 0) {
    int f = 0;
    while (f == 0) asm volatile("ld.acquire.cluster.shared::cta.s32 %0, [%1];" : "=r"(f) : "r"(shared_address(&flag)) : "memory");
    o[blockIdx.x * 64] = data;
  }
  meet();
}

// ---- launches ----

extern "C" __global__ void __cluster_dims__(4, 1, 1) four(int* o) { o[blockIdx.x] = blockIdx.x; }
extern "C" __global__ void any(int* o) { if (threadIdx.x == 0) o[blockIdx.x] = blocks_of_cluster(); }
extern "C" __global__ void __cluster_dims__() must_be_set(int* o) { if (threadIdx.x == 0) o[blockIdx.x] = blocks_of_cluster(); }
extern "C" __global__ void __launch_bounds__(64, 1, 4) at_most_four(int* o) { if (threadIdx.x == 0) o[blockIdx.x] = blocks_of_cluster(); }
extern "C" __global__ void explicit_cluster(int* o) {
  unsigned e;
  asm volatile("{ .reg .pred p; mov.pred p, %%is_explicit_cluster; selp.u32 %0, 1, 0, p; }" : "=r"(e));
  if (threadIdx.x == 0) o[blockIdx.x] = e;
}
