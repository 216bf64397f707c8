"""Searches in packed codes, and what is measured of them, beside FAISS, usearch and numpy: `run.sh search`.

Random codes; one thread, its processor time; each line is the median of pairs, a peer's call and then bihalf's.
Distances are compared before anything is timed (ties of a peer come in its own order). Above 1 bihalf is faster.
"""

import argparse
import ctypes
import os
import pathlib
import platform
import statistics
import sys
import time

import faiss
import numpy as np
import usearch
from usearch.index import MetricKind
from usearch.index import search as usearch_search

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = {"Darwin": "libbihalf_peers.dylib", "Windows": "bihalf_peers.dll"}
NEAREST, DISTANCES, RANK, EVALUATE, COUNTERS, READ = range(6)

# What a ratio should be at least, by operation, peer and bits. A single query is as fast as memory at best.
AIMS = {("nearest 10", "FAISS"): {32: 5, 64: 5, 128: 3, 256: 3, 512: 3}, ("nearest 1000", "FAISS"): {64: 20},
        ("nearest 10 of one query", "read"): {64: 0.8}, ("distances", "numpy fill"): {64: 0.8},
        ("evaluate", "numpy"): {64: 100}}


class Call(ctypes.Structure):
    """`Call` of src/lib.rs."""

    _fields_ = [("rows", ctypes.c_size_t), ("cols", ctypes.c_size_t), ("calls", ctypes.c_size_t),
                ("threads", ctypes.c_size_t), ("dtype", ctypes.c_uint32)]


class Searched(ctypes.Structure):
    """`Searched` of src/search.rs."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("queries", "database", "query_labels", "database_labels",
                                                     "indices", "distances", "measure")]
    _fields_ += [("bits", ctypes.c_size_t), ("k", ctypes.c_size_t)]


def load():
    library = ctypes.CDLL(str(ROOT / "target" / "release" / LIBRARY.get(platform.system(), "libbihalf_peers.so")))
    library.peers_search.argtypes = [ctypes.c_uint32, Searched, Call]
    library.peers_search.restype = ctypes.c_double
    return library


class Case:
    """Queries, a database, and room for results."""

    def __init__(self, library, queries, items, bits, k):
        random = np.random.default_rng(1)
        self.library, self.shape, self.bits, self.k = library, (queries, items), bits, k
        self.queries, self.database = (random.integers(0, 256, (n, bits // 8), np.uint8) for n in (queries, items))
        self.words = [self.in_words(codes) for codes in (self.queries, self.database)]
        self.labels = [random.integers(0, 10, n).astype(np.uint32) for n in (queries, items)]
        self.measure = np.zeros(1)

    def in_words(self, codes):
        """Rows padded to whole words."""
        words = np.zeros((len(codes), -(-self.bits // 64) * 8), np.uint8)
        words[:, :codes.shape[1]] = codes
        return words

    def seconds(self, operation, threads=1):
        queries, items = self.shape
        width = {NEAREST: self.k, DISTANCES: items, RANK: items}.get(operation, 0)
        if getattr(self, "width", None) != width:
            self.width = width
            self.indices, self.distances = (np.zeros((queries, width), np.uint32) for _ in range(2))
        arrays = [*self.words, *self.labels, self.indices, self.distances, self.measure]
        searched = Searched(*(array.ctypes.data for array in arrays), self.bits, self.k)
        seconds = self.library.peers_search(operation, searched, Call(queries, items, 1, threads, 0))
        if seconds != seconds:
            sys.exit("search.py: a call failed, see above")
        return seconds


def seconds_of(call, clock=time.thread_time_ns):
    start = clock()
    call()
    return (clock() - start) * 1e-9


def row(case, budget, operation, number, name, peer, scale=1):
    """A line; the peer's time counts `scale` times, where it does a part of the work."""
    ours, theirs, end = [], [], time.monotonic() + budget
    while len(ours) < 3 or time.monotonic() < end and len(ours) < 50:
        theirs.append(peer() * scale)
        ours.append(case.seconds(number))
    ratio = statistics.median(t / o for o, t in zip(ours, theirs))
    rates = [case.shape[0] * case.shape[1] / statistics.median(times) / 1e9 for times in (ours, theirs)]
    aim = AIMS.get((operation, name), {}).get(case.bits)
    verdict = "" if aim is None else "reached" if ratio >= aim else "**missed**"
    print(f"| {operation} | {case.shape[0]} x {case.shape[1]:,} | {case.bits} | {rates[0]:.3g} | {name} | {rates[1]:.3g} "
          f"| {ratio:.3g} | {'' if aim is None else aim} | {verdict} |", flush=True)


def check(name, theirs, ours):
    if not np.array_equal(theirs, ours):
        sys.exit(f"search.py: {name} and bihalf differ")


def nearest(library, budget, queries, items, bits, k):
    case = Case(library, queries, items, bits, k)
    case.seconds(NEAREST)
    index = faiss.IndexBinaryFlat(bits)
    index.add(case.database)
    check("FAISS", index.search(case.queries, k)[0], case.distances)
    name = f"nearest {k}" if queries > 1 else f"nearest {k} of one query"
    row(case, budget, name, NEAREST, "FAISS", lambda: seconds_of(lambda: index.search(case.queries, k)))
    if queries == 1:
        row(case, budget, name, NEAREST, "read", lambda: case.seconds(READ))
    elif items <= 100_000 and k == 10:
        by_usearch = lambda: usearch_search(case.database, case.queries, k, MetricKind.Hamming, exact=True, threads=1)
        check("usearch", by_usearch().distances.astype(np.uint32), case.distances)
        row(case, budget, name, NEAREST, "usearch", lambda: seconds_of(by_usearch))


def pairs(library, budget, bits):
    case = Case(library, 100, 100_000, bits, 1)
    case.seconds(DISTANCES)
    counts = np.array([bin(n).count("1") for n in range(256)], np.uint8)
    by_numpy = lambda: counts[np.bitwise_xor(case.queries[0], case.database)].sum(1, dtype=np.uint32)
    check("numpy", by_numpy(), case.distances[0])
    row(case, budget, "distances", DISTANCES, "numpy", lambda: seconds_of(by_numpy), scale=100)
    row(case, budget, "distances", DISTANCES, "numpy fill", lambda: seconds_of(lambda: case.distances.fill(7)))
    by_numpy = lambda: np.argsort(distances, kind="stable")
    case.seconds(DISTANCES)
    distances = case.distances[0].copy()
    case.seconds(RANK)
    check("numpy", by_numpy(), case.indices[0])
    row(case, budget, "rank", RANK, "numpy, of distances", lambda: seconds_of(by_numpy), scale=100)


def published(queries, database, query_labels, database_labels, k):
    """mAP@k as hashing code on the web works it out: -1 and +1 in floats, a sort for each query."""
    total, counted = 0.0, 0
    for query, label in zip(queries, query_labels):
        relevant = (database_labels == label).astype(np.float32)
        distances = 0.5 * (query.shape[0] - database @ query)
        found = relevant[np.argsort(distances, kind="stable")][:k]
        if found.sum():
            places = np.flatnonzero(found) + 1.0
            total += (np.arange(1, len(places) + 1) / places).mean()
            counted += 1
    return total / counted


def measures(library, budget):
    case = Case(library, 1000, 50_000, 64, 50_000)
    some = 20
    dense = [np.unpackbits(codes, axis=1, bitorder="little") * 2.0 - 1 for codes in (case.queries[:some], case.database)]
    by_numpy = lambda: published(*dense, case.labels[0][:some], case.labels[1], case.k)
    few = Case(library, 1000, 50_000, 64, 50_000)
    few.shape = (some, 50_000)
    few.seconds(EVALUATE)
    if not np.isclose(few.measure[0], by_numpy(), rtol=1e-9):
        sys.exit("search.py: the published loop and bihalf differ")
    row(case, budget, "evaluate", EVALUATE, "numpy", lambda: seconds_of(by_numpy), scale=len(case.queries) / some)
    row(case, budget, "counters", COUNTERS, "numpy", lambda: seconds_of(by_numpy), scale=len(case.queries) / some)


def threads(library, budget, number):
    """Ratios of the wall time of one thread to that of several."""
    print(f"\n| operation | queries x items | bits | {number} threads over one |\n|---|---|---|---|")
    cases = [("nearest 10", NEAREST, (1000, 1_000_000, 64, 10)), ("nearest 10", NEAREST, (1, 10_000_000, 64, 10)),
             ("distances", DISTANCES, (100, 100_000, 64, 1)), ("evaluate", EVALUATE, (1000, 50_000, 64, 10))]
    for name, operation, size in cases:
        case = Case(library, *size)
        case.seconds(operation)
        ratios = [seconds_of(lambda: case.seconds(operation, 1), time.perf_counter_ns)
                  / seconds_of(lambda: case.seconds(operation, number), time.perf_counter_ns) for _ in range(7)]
        print(f"| {name} | {size[0]} x {size[1]:,} | {size[2]} | {statistics.median(ratios):.3g} |", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--budget", type=float, default=3.0, help="seconds for each line")
    options.add_argument("--threads", type=int, default=0, help="also compare one thread with so many")
    options = options.parse_args()
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    faiss.omp_set_num_threads(1)
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if processors:
        os.sched_setaffinity(0, {max(processors)})
    library = load()
    print(f"{platform.machine()}; faiss {faiss.__version__}, usearch {usearch.__version__}, numpy {np.__version__}; "
          f"{time.strftime('%Y-%m-%d')}; one thread; rates in 10^9 pairs of a query and an item a second\n")
    print("| operation | queries x items | bits | bihalf | peer | peer | ratio | aim | |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for items in (100_000, 1_000_000):
        for bits in (32, 64, 128, 256, 512):
            nearest(library, options.budget, 100, items, bits, 10)
        nearest(library, options.budget, 100, items, 64, 1000)
    nearest(library, options.budget, 1, 10_000_000, 64, 10)
    for bits in (64, 256):
        pairs(library, options.budget, bits)
    measures(library, options.budget)
    if options.threads:
        if processors:
            os.sched_setaffinity(0, processors)
        threads(library, options.budget, options.threads)


main()
