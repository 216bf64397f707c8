// Exact search of packed codes by Hamming distance: the distances of all pairs, the k nearest items
// of each query by (distance, index), and counts of items and relevant items by distance.
//
// Distances are small integers, so the k nearest are found by counting. A block has a chunk of
// items and eight queries, which share the loads:
//
//                 chunk 0          chunk 1        ...
//   queries 0-7   block (0, 0)     block (1, 0)           thread t: items t, t + 256, ...
//   queries 8-15  block (0, 1)     block (1, 1)
//
//   1. histogram  counts the items at each distance.
//   2. limit      finds the distance of the k-th nearest item, and where each nearer one begins.
//   3. count      counts, for each chunk, the items below the limit and those at it.
//   4. scan       adds these up over the chunks before.
//   5. emit       writes the items of each chunk: those below the limit to a list, by index; of
//                 those at it the first ones, which are the last neighbours, to their places. Most
//                 chunks have none and end at once.
//   6. sort       sorts the list by distance, keeping the order of equal ones.
//
// Atomics add integers alone, so no result depends on an order.
#include "common.cuh"

namespace search {

// Queries of a block.
constexpr unsigned QUERIES = 8;
// Items that a thread compares at once with each word of a query.
constexpr unsigned AT_ONCE = 4;
// Items of a chunk.
constexpr unsigned CHUNK = 4096;
static_assert(CHUNK % (THREADS * AT_ONCE) == 0, "a chunk is whole rounds of a block");

// Packed codes as rows of words.
struct Words {
    const uint64_t* data;
    uint64_t width;

    __device__ const uint64_t* row(uint64_t i) const { return data + i * width; }
};

// The distance of the k-th nearest item, and how many items are nearer.
struct Limit {
    uint32_t distance, nearer;
};

// Items below a limit and at it.
struct Counts {
    uint32_t below, at;
};

struct Candidate {
    uint32_t distance, index;
};

struct Search {
    Words queries, database;
    uint32_t* histogram;  // [rows, bits + 1], starts at 0; after step 2 where each distance begins
    Limit* limits;        // [rows]
    Counts* counts;       // [rows, chunks + 1]; after step 4 of all chunks before
    Candidate* candidates;  // [rows, wanted]
    uint32_t* indices;      // [rows, wanted]
    uint32_t* distances;    // [rows, wanted], of all pairs [rows, items]
    uint32_t rows, items, bits, wanted;
    uint32_t chunks;
    uint32_t in_shared;  // whether the histogram of a block has room in shared memory
};

// Bits of word `w` of a code, without the pads behind the last one: of memory that is not this
// crate's they may be set.
__device__ inline uint64_t bits_of_word(uint32_t bits, uint64_t w) {
    const uint64_t left = bits - w * 64;
    return left < 64 ? (uint64_t(1) << left) - 1 : ~uint64_t(0);
}

// A block's items and queries.
struct Part {
    uint64_t first, end;  // items
    uint32_t query;       // the first one
    uint32_t queries;

    template <class Args>
    __device__ Part(const Args& args, uint32_t block)
        : first(uint64_t(blockIdx.x) * CHUNK),
          end(min(first + CHUNK, uint64_t(args.items))),
          query(block * QUERIES),
          queries(min(QUERIES, args.rows - query)) {}
};

// Calls take(item, query of the block, distance) with each pair of a block.
template <class Args, class Take>
__device__ void for_each_pair(const Args& args, const Part& at, Take take) {
    for (uint64_t base = at.first + threadIdx.x; base < at.end; base += THREADS * AT_ONCE) {
        uint32_t distance[AT_ONCE][QUERIES] = {};
        for (uint64_t w = 0; w < args.database.width; w++) {
            const uint64_t bits = bits_of_word(args.bits, w);
            uint64_t item[AT_ONCE];
#pragma unroll
            for (unsigned m = 0; m < AT_ONCE; m++) {
                const uint64_t i = base + m * THREADS;
                item[m] = i < at.end ? args.database.row(i)[w] : 0;
            }
#pragma unroll
            for (unsigned n = 0; n < QUERIES; n++) {
                // One of the block's where there are fewer: no branch in the loop.
                const uint64_t query = args.queries.row(at.query + min(n, at.queries - 1))[w];
#pragma unroll
                for (unsigned m = 0; m < AT_ONCE; m++) {
                    distance[m][n] += __popcll((item[m] ^ query) & bits);
                }
            }
        }
#pragma unroll
        for (unsigned m = 0; m < AT_ONCE; m++) {
            const uint64_t i = base + m * THREADS;
            if (i >= at.end) break;
#pragma unroll
            for (unsigned n = 0; n < QUERIES; n++) {
                if (n < at.queries) take(i, n, distance[m][n]);
            }
        }
    }
}

// Blocks of queries of a block, where the grid does not reach to the last one.
#define FOR_EACH_BLOCK(ARGS, BLOCK) \
    for (uint32_t BLOCK = blockIdx.y; BLOCK <= (ARGS.rows - 1) / QUERIES; BLOCK += gridDim.y)

__device__ inline void distances(const Search& args) {
    FOR_EACH_BLOCK(args, block) {
        const Part at(args, block);
        for_each_pair(args, at, [&](uint64_t i, unsigned n, uint32_t distance) {
            args.distances[uint64_t(at.query + n) * args.items + i] = distance;
        });
    }
}

extern __shared__ uint32_t shared_bins[];

// Step 1.
__device__ inline void histogram(const Search& args) {
    const uint32_t bins = args.bits + 1;
    FOR_EACH_BLOCK(args, block) {
        const Part at(args, block);
        uint32_t* const all = args.histogram + uint64_t(at.query) * bins;
        uint32_t* const mine = args.in_shared ? shared_bins : all;
        if (args.in_shared) {
            for (unsigned n = threadIdx.x; n < QUERIES * bins; n += THREADS) shared_bins[n] = 0;
            __syncthreads();
        }
        for_each_pair(args, at, [&](uint64_t, unsigned n, uint32_t distance) {
            atomicAdd(&mine[uint64_t(n) * bins + distance], 1);
        });
        if (args.in_shared) {
            __syncthreads();
            for (unsigned n = threadIdx.x; n < at.queries * bins; n += THREADS) {
                if (shared_bins[n]) atomicAdd(&all[n], shared_bins[n]);
            }
            __syncthreads();  // bins are read before the next queries clear them
        }
    }
}

// Items and relevant items at each distance, for the measures that do not depend on the order of
// items. An item is relevant that is of the query's class or, without classes, shares a label.
struct Tally {
    Words queries, database;
    Words query_labels, database_labels;
    const uint32_t* query_classes;  // null where labels are given
    const uint32_t* classes;
    uint32_t* counts;    // [rows, bits + 1], starts at 0
    uint32_t* relevant;  // the same
    uint32_t rows, items, bits;
    uint32_t in_shared;  // whether the counts of a block have room in shared memory
};

__device__ inline bool is_relevant(const Tally& args, uint64_t query, uint64_t i) {
    if (args.classes) return args.query_classes[query] == args.classes[i];
    for (uint64_t w = 0; w < args.database_labels.width; w++) {
        if (args.query_labels.row(query)[w] & args.database_labels.row(i)[w]) return true;
    }
    return false;
}

__device__ inline void tally(const Tally& args) {
    const uint32_t bins = args.bits + 1;
    FOR_EACH_BLOCK(args, block) {
        const Part at(args, block);
        uint32_t* const all = args.counts + uint64_t(at.query) * bins;
        uint32_t* const all_relevant = args.relevant + uint64_t(at.query) * bins;
        uint32_t* const mine = args.in_shared ? shared_bins : all;
        uint32_t* const hits = args.in_shared ? shared_bins + QUERIES * bins : all_relevant;
        if (args.in_shared) {
            for (unsigned n = threadIdx.x; n < 2 * QUERIES * bins; n += THREADS) shared_bins[n] = 0;
            __syncthreads();
        }
        for_each_pair(args, at, [&](uint64_t i, unsigned n, uint32_t distance) {
            const uint64_t bin = uint64_t(n) * bins + distance;
            atomicAdd(&mine[bin], 1);
            if (is_relevant(args, at.query + n, i)) atomicAdd(&hits[bin], 1);
        });
        if (args.in_shared) {
            __syncthreads();
            for (unsigned n = threadIdx.x; n < at.queries * bins; n += THREADS) {
                if (mine[n]) atomicAdd(&all[n], mine[n]);
                if (hits[n]) atomicAdd(&all_relevant[n], hits[n]);
            }
            __syncthreads();  // bins are read before the next queries clear them
        }
    }
}

// The sum over the lanes before this one.
__device__ inline uint32_t before(uint32_t value, unsigned lane) {
    uint32_t sum = value;
#pragma unroll
    for (unsigned step = 1; step < WARP; step *= 2) {
        const uint32_t other = __shfl_up_sync(ALL_LANES, sum, step);
        if (lane >= step) sum += other;
    }
    return sum - value;
}

// Step 2. One warp per query.
__device__ inline void limit(const Search& args) {
    const unsigned lane = threadIdx.x;
    const uint64_t query = blockIdx.x;
    uint32_t* const bins = args.histogram + query * (uint64_t(args.bits) + 1);
    uint32_t nearer = 0;
    for (uint64_t base = 0; base <= args.bits; base += WARP) {
        const uint64_t d = base + lane;
        const uint32_t count = d <= args.bits ? bins[d] : 0;
        const uint32_t start = nearer + before(count, lane);
        if (d <= args.bits) bins[d] = start;
        const uint32_t reached = __ballot_sync(ALL_LANES, start + count >= args.wanted);
        if (reached) {
            // There are at least as many items as are wanted.
            if (lane == __ffs(reached) - 1) args.limits[query] = {uint32_t(d), start};
            return;
        }
        nearer = __shfl_sync(ALL_LANES, start + count, WARP - 1);
    }
}

// Step 3.
__device__ inline void count(const Search& args) {
    __shared__ Counts of_block[QUERIES];
    FOR_EACH_BLOCK(args, block) {
        const Part at(args, block);
        if (threadIdx.x < QUERIES) of_block[threadIdx.x] = {0, 0};
        __syncthreads();
        Counts mine[QUERIES] = {};
        uint32_t limits[QUERIES];
#pragma unroll
        for (unsigned n = 0; n < QUERIES; n++) {
            limits[n] = n < at.queries ? args.limits[at.query + n].distance : 0;
        }
        for_each_pair(args, at, [&](uint64_t, unsigned n, uint32_t distance) {
            mine[n].below += distance < limits[n];
            mine[n].at += distance == limits[n];
        });
#pragma unroll
        for (unsigned n = 0; n < QUERIES; n++) {
            if (mine[n].below) atomicAdd(&of_block[n].below, mine[n].below);
            if (mine[n].at) atomicAdd(&of_block[n].at, mine[n].at);
        }
        __syncthreads();
        if (threadIdx.x < at.queries) {
            const uint64_t row = uint64_t(at.query + threadIdx.x) * (uint64_t(args.chunks) + 1);
            args.counts[row + blockIdx.x] = of_block[threadIdx.x];
        }
        __syncthreads();  // counts are written before the next queries clear them
    }
}

// Step 4. One warp per query.
__device__ inline void scan(const Search& args) {
    const unsigned lane = threadIdx.x;
    Counts* const row = args.counts + uint64_t(blockIdx.x) * (uint64_t(args.chunks) + 1);
    Counts sum = {0, 0};
    for (uint64_t base = 0; base <= args.chunks; base += WARP) {
        const uint64_t n = base + lane;
        const Counts of_chunk = n < args.chunks ? row[n] : Counts{0, 0};
        const Counts start = {sum.below + before(of_chunk.below, lane),
                              sum.at + before(of_chunk.at, lane)};
        if (n <= args.chunks) row[n] = start;
        sum.below = __shfl_sync(ALL_LANES, start.below + of_chunk.below, WARP - 1);
        sum.at = __shfl_sync(ALL_LANES, start.at + of_chunk.at, WARP - 1);
    }
}

// How many threads of the block before this one have a flag; `all` becomes how many of the block.
// `of_warp` is shared. Whole blocks call it.
__device__ inline uint32_t rank_in_block(bool flag, uint32_t* of_warp, uint32_t& all) {
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t flags = __ballot_sync(ALL_LANES, flag);
    if (lane == 0) of_warp[warp] = __popc(flags);
    __syncthreads();
    uint32_t rank = __popc(flags & ((1u << lane) - 1));
    all = 0;
#pragma unroll
    for (unsigned n = 0; n < WARPS; n++) {
        if (n < warp) rank += of_warp[n];
        all += of_warp[n];
    }
    __syncthreads();  // counts are read before the next ones are written
    return rank;
}

// Step 5. A block has a chunk and a query.
__device__ inline void emit(const Search& args) {
    __shared__ uint32_t of_warp[WARPS];
    for (uint64_t query = blockIdx.y; query < args.rows; query += gridDim.y) {
        const Counts* const row = args.counts + query * (uint64_t(args.chunks) + 1) + blockIdx.x;
        const Limit limit = args.limits[query];
        const uint32_t ties = args.wanted - limit.nearer;
        Counts start = row[0];
        const Counts end = row[1];
        if (start.below == end.below && (start.at == end.at || start.at >= ties)) continue;
        const uint64_t first = uint64_t(blockIdx.x) * CHUNK;
        const uint64_t last = min(first + CHUNK, uint64_t(args.items));
        for (uint64_t base = first; base < last; base += THREADS) {
            const uint64_t i = base + threadIdx.x;
            uint32_t distance = ~0u;
            if (i < last) {
                distance = 0;
                for (uint64_t w = 0; w < args.database.width; w++) {
                    const uint64_t differ = args.database.row(i)[w] ^ args.queries.row(query)[w];
                    distance += __popcll(differ & bits_of_word(args.bits, w));
                }
            }
            Counts all;
            const bool is_below = distance < limit.distance, is_at = distance == limit.distance;
            const uint32_t rank = start.below + rank_in_block(is_below, of_warp, all.below);
            const uint32_t tie = start.at + rank_in_block(is_at, of_warp, all.at);
            if (is_below) {
                args.candidates[query * args.wanted + rank] = {distance, uint32_t(i)};
            }
            if (is_at && tie < ties) {
                const uint64_t place = query * args.wanted + limit.nearer + tie;
                args.indices[place] = uint32_t(i);
                args.distances[place] = distance;
            }
            start.below += all.below;
            start.at += all.at;
        }
    }
}

// Step 6. One warp per query.
__device__ inline void sort(const Search& args) {
    const unsigned lane = threadIdx.x;
    const uint64_t query = blockIdx.x;
    const uint32_t below = args.limits[query].nearer;
    uint32_t* const starts = args.histogram + query * (uint64_t(args.bits) + 1);
    for (uint64_t base = 0; base < below; base += WARP) {
        const uint64_t n = base + lane;
        const uint32_t active = __ballot_sync(ALL_LANES, n < below);
        if (n < below) {
            const Candidate candidate = args.candidates[query * args.wanted + n];
            // Lanes with the same distance take places in turn.
            const uint32_t equal = __match_any_sync(active, candidate.distance);
            const uint32_t place = starts[candidate.distance] + __popc(equal & ((1u << lane) - 1));
            args.indices[query * args.wanted + place] = candidate.index;
            args.distances[query * args.wanted + place] = candidate.distance;
            __syncwarp(active);  // starts are read before they go on
            if (lane == __ffs(equal) - 1) starts[candidate.distance] += __popc(equal);
        }
        __syncwarp();
    }
}

}  // namespace search

KERNEL(search_distances, THREADS, search::distances, search::Search)
KERNEL(search_histogram, THREADS, search::histogram, search::Search)
KERNEL(search_limit, WARP, search::limit, search::Search)
KERNEL(search_count, THREADS, search::count, search::Search)
KERNEL(search_scan, WARP, search::scan, search::Search)
KERNEL(search_emit, THREADS, search::emit, search::Search)
KERNEL(search_sort, WARP, search::sort, search::Search)
KERNEL(search_tally, THREADS, search::tally, search::Tally)
