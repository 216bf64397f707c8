"""A library call beside a call of Python, in pairs, and rows of a report."""

import ctypes
import os
import pathlib
import platform
import statistics
import sys
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = {"Darwin": "libbihalf_peers.dylib", "Windows": "bihalf_peers.dll"}

# Elements from which on calls are timed as they come, with whatever lies in the caches.
LARGE_CALL = 1 << 20


def verdict(ratio, aim):
    return "" if aim is None else "reached" if ratio >= aim else "**missed**"


class Call(ctypes.Structure):
    """`Call` of src/lib.rs."""

    _fields_ = [("rows", ctypes.c_size_t), ("cols", ctypes.c_size_t), ("calls", ctypes.c_size_t),
                ("threads", ctypes.c_size_t), ("dtype", ctypes.c_uint32)]


DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
NUMBER = ctypes.c_size_t
POINTERS = {"peers_forward": 2, "peers_forward_packed": 2, "peers_backward": 3, "peers_rank": 2, "peers_argsort": 2,
            "peers_candle_forward": 2, "peers_copy": 2, "peers_copy_past_caches": 2, "peers_read": 1}


def load():
    """The functions of the library, by name."""
    # candle's threads are those of the global pool, whatever pool it is called in.
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    name = LIBRARY.get(platform.system(), "libbihalf_peers.so")
    library = ctypes.CDLL(str(ROOT / "target" / "release" / name))
    pointer = ctypes.c_void_p
    for function, pointers in POINTERS.items():
        getattr(library, function).argtypes = [pointer] * pointers + [Call]
    library.peers_cosine.argtypes = [pointer, NUMBER, pointer, pointer, pointer, Call]
    library.peers_operation.argtypes = [ctypes.c_uint32, pointer, pointer, pointer, NUMBER, Call]
    library.peers_adapter.argtypes = [ctypes.c_uint32, ctypes.c_bool, NUMBER, Call]
    for function in [*POINTERS, "peers_cosine", "peers_operation", "peers_adapter"]:
        getattr(library, function).restype = ctypes.c_double
    return library


def seconds_of(call):
    """Seconds of a call of Python, of the kind of time that is compared."""
    start = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - start) * 1e-9


class Ours:
    """A call of the library that can be repeated. Peers in it are called in the same way."""

    def __init__(self, function, arguments, shape, dtype=torch.float32, threads=1):
        self.function, self.arguments = function, arguments
        self.call = Call(*shape, 1, threads, DTYPES[dtype])

    def seconds(self, calls=1):
        self.call.calls = calls
        pointers = [a.data_ptr() if isinstance(a, torch.Tensor) else a for a in self.arguments]
        seconds = self.function(*pointers, self.call)
        if seconds != seconds:
            sys.exit("peers.py: a call failed, see above")
        return seconds

    def calls_for(self, seconds):
        """How many calls last about so long."""
        once = min(self.seconds(), self.seconds(8))
        return max(1, round(seconds / max(once, 1e-8)))


def peer_seconds(peer, calls):
    if hasattr(peer, "seconds"):
        return peer.seconds(calls)
    return seconds_of(lambda: [peer() for _ in range(calls)]) / calls


def compare(ours, peer, budget, renew=None):
    """Median seconds of both, and the median of the ratios of pairs, within a budget of seconds.

    `renew` draws other values for a pair.
    """
    once = peer_seconds(peer, 1)
    peer_calls = max(1, round(1e-3 / max(once, 1e-8)))
    calls = ours.calls_for(1e-3)
    pairs = min(max(2, round(budget / max(once * peer_calls, 1e-3))), 101)
    warm = ours.call.rows * ours.call.cols < LARGE_CALL
    times = []
    for _ in range(pairs):
        if renew:
            renew()
        if warm:
            peer_seconds(peer, peer_calls)
        theirs = peer_seconds(peer, peer_calls)
        if warm:
            ours.seconds(calls)
        times.append((ours.seconds(calls), theirs))
    return (statistics.median(o for o, _ in times), statistics.median(p for _, p in times),
            statistics.median(p / o for o, p in times))


class Scaled(Ours):
    """A copy, as if it moved some times as many bytes."""

    def __init__(self, library, source, shape, times, function=None):
        super().__init__(function or library.peers_copy, [source, torch.empty_like(source)], shape)
        self.times = times

    def seconds(self, calls=1):
        return super().seconds(calls) * self.times


class Table:
    """Rows of the report, printed as they come; `aims` by operation, peer and shape, of which None is any."""

    def __init__(self, budget, aims):
        self.budget, self.aims = budget, aims
        print("| operation | shape | bihalf, us | peer | peer, us | ratio | aim | |")
        print("|---|---|---|---|---|---|---|---|", flush=True)

    def row(self, operation, shape, name, ours, peer, renew=None):
        mine, theirs, ratio = compare(ours, peer, self.budget, renew)
        aims = self.aims.get((operation, name), {})
        aim = aims.get(shape, aims.get(None))
        print(f"| {operation} | {shape[0]} x {shape[1]} | {mine * 1e6:.4g} | {name} | {theirs * 1e6:.4g} "
              f"| {ratio:.3g} | {'' if aim is None else aim} | {verdict(ratio, aim)} |", flush=True)


def check(name, theirs, ours):
    if not torch.equal(torch.as_tensor(theirs), ours):
        sys.exit(f"peers.py: {name} and bihalf differ")
