// Batcher's odd-even merge sort of registers: each thread sorts an array of its own. It needs fewer
// comparators than a bitonic sort (63 against 80 for 16 keys, 191 against 240 for 32), but has no
// place for exchanges between threads.
#pragma once
#include "bitonic.cuh"

// Sorts N keys, a power of two, ascending. All loops unroll, so that places are registers.
template <class V, int N>
__device__ void sort_odd_even(V (&v)[N]) {
    static_assert((N & (N - 1)) == 0, "a power of two");
    // Runs of `run` keys become runs of twice as many: keys at distance `run` first, then, at ever
    // smaller distances, those that the step before may have left in the wrong order.
#pragma unroll
    for (int run = 1; run < N; run *= 2) {
#pragma unroll
        for (int distance = run; distance > 0; distance /= 2) {
            const int first = distance % run;
#pragma unroll
            for (int i = 0; i < N; i++) {
                const bool low = i >= first && (i - first) % (2 * distance) < distance;
                const int partner = i + distance;
                if (low && partner < N && i / (2 * run) == partner / (2 * run)) {
                    compare_exchange(v[i], v[partner]);
                }
            }
        }
    }
}
