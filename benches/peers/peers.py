"""Times bihalf's CPU path beside what a user would run instead, in one process on the same memory.

Each figure is of pairs: a peer's call, then bihalf's, over and over; the ratio is the median of the
ratios of the pairs. With one thread, times are processor times of the thread, which other programs
on the machine disturb least. Before anything is timed, results are compared: a peer that ignores
ties, too, has the same ones on the values drawn here, which are distinct.

Below a million elements each half of a pair is run once before it is timed: what the other half left
in the caches is not its business, and a layer's input was written a moment ago. The forward pass, whose
time depends on values, has other ones in each pair.
"""

import argparse
import ctypes
import os
import pathlib
import platform
import statistics
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = {"Darwin": "libbihalf_peers.dylib", "Windows": "bihalf_peers.dll"}
SHAPES = [(32, 16), (32, 64), (128, 64), (256, 256), (1024, 64), (4096, 128), (16384, 256)]
LARGE = [(65536, 512), (1048576, 64)]
GAMMA = 6.0

# Elements from which on calls are timed as they come, with whatever lies in the caches.
LARGE_CALL = 1 << 20

FROM_1024_ROWS = {shape: 1 for shape in SHAPES + LARGE if shape[0] >= 1024}

# What a ratio should be at least, by operation, peer and shape; a shape of None stands for all others.
AIMS = {
    ("forward", "torch"): {(32, 16): 250, (32, 64): 120, (128, 64): 90, (65536, 512): 300, (1048576, 64): 400,
                           None: 120},
    ("forward", "torch stable"): {None: 80},
    ("forward", "numpy stable"): {None: 80},
    ("forward", "numpy threshold"): {None: 12},
    ("forward", "copy past caches"): {(65536, 512): 0.4, (1048576, 64): 0.5},
    ("forward, packed", "bihalf dense"): {None: 1},
    ("forward, float16", "bihalf float32"): FROM_1024_ROWS,
    ("forward, bfloat16", "bihalf float32"): FROM_1024_ROWS,
    ("backward", "torch"): {None: 5},
    ("backward", "copy"): {(16384, 256): 0.9, (65536, 512): 0.9, (1048576, 64): 0.9},
    ("argsort", "torch stable"): {(32, 64): 10, (1024, 64): 4, (4096, 128): 4, (16384, 256): 4},
    ("rank", "torch stable"): {(32, 64): 10, (1024, 64): 4, (4096, 128): 4, (16384, 256): 4},
    ("cosine loss", "torch"): {None: 3},
}

# The same for two threads, from where there are two; the narrowest matrix waits for memory.
TWO_THREADS = {(4096, 128): 1.7, (16384, 256): 1.7, (65536, 512): 1.7, (1048576, 64): 1}

# The most that other data may take, as a multiple of the time of normal ones.
ANY_DATA = 3


def verdict(ratio, aim):
    return "" if aim is None else "reached" if ratio >= aim else "**missed**"


class Call(ctypes.Structure):
    """`Call` of src/lib.rs."""

    _fields_ = [("rows", ctypes.c_size_t), ("cols", ctypes.c_size_t), ("calls", ctypes.c_size_t),
                ("threads", ctypes.c_size_t), ("dtype", ctypes.c_uint32)]


DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
NUMBER = ctypes.c_size_t
POINTERS = {"peers_forward": 2, "peers_forward_packed": 2, "peers_backward": 3, "peers_rank": 2, "peers_argsort": 2,
            "peers_candle_forward": 2, "peers_copy": 2, "peers_copy_past_caches": 2}


def load():
    """The functions of the library, by name."""
    name = LIBRARY.get(platform.system(), "libbihalf_peers.so")
    library = ctypes.CDLL(str(ROOT / "target" / "release" / name))
    pointer = ctypes.c_void_p
    for function, pointers in POINTERS.items():
        getattr(library, function).argtypes = [pointer] * pointers + [Call]
    library.peers_cosine.argtypes = [pointer, NUMBER, pointer, pointer, pointer, Call]
    for function in [*POINTERS, "peers_cosine"]:
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
    if isinstance(peer, Ours):
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


# ----------------------------------------------------------------------------------------------
# What a user would write
# ----------------------------------------------------------------------------------------------

def scattered(order):
    """+1 in the first half of an order of rows, -1 in the rest."""
    signs = torch.ones(order.shape)
    signs[order.shape[0] // 2:] = -1
    return torch.zeros(order.shape).scatter_(0, order, signs)


def numpy_stable(u):
    order = np.argsort(-u, axis=0, kind="stable")
    b = np.full_like(u, -1)
    np.put_along_axis(b, order[:u.shape[0] // 2], 1, axis=0)
    return b


def numpy_threshold(u):
    """Right where no value occurs twice."""
    rows = u.shape[0]
    cut = np.partition(u, rows - rows // 2, axis=0)[rows - rows // 2]
    return np.where(u >= cut, np.float32(1), np.float32(-1))


def torch_ranks(u):
    order = u.sort(dim=0, stable=True).indices
    places = torch.arange(u.shape[0]).unsqueeze(1).expand_as(order)
    return torch.empty_like(order).scatter_(0, order, places)


def cosine_loss(x, b):
    half = x.shape[0] // 2
    return F.mse_loss(F.cosine_similarity(b[:half], b[half:2 * half]),
                      F.cosine_similarity(x[:half], x[half:2 * half]))


# ----------------------------------------------------------------------------------------------
# The table
# ----------------------------------------------------------------------------------------------

class Table:
    """Rows of the report, printed as they come."""

    def __init__(self, budget):
        self.budget = budget
        print("| operation | shape | bihalf, us | peer | peer, us | ratio | aim | |")
        print("|---|---|---|---|---|---|---|---|", flush=True)

    def row(self, operation, shape, name, ours, peer, renew=None):
        mine, theirs, ratio = compare(ours, peer, self.budget, renew)
        aims = AIMS.get((operation, name), {})
        aim = aims.get(shape, aims.get(None))
        print(f"| {operation} | {shape[0]} x {shape[1]} | {mine * 1e6:.4g} | {name} | {theirs * 1e6:.4g} "
              f"| {ratio:.3g} | {'' if aim is None else aim} | {verdict(ratio, aim)} |", flush=True)


def check(name, theirs, ours):
    if not torch.equal(torch.as_tensor(theirs), ours):
        sys.exit(f"peers.py: {name} and bihalf differ")


def forward(table, library, shape):
    u = torch.randn(shape)
    b = torch.empty_like(u)
    ours = Ours(library.peers_forward, [u, b], shape)
    peers = {"torch": lambda: scattered(u.sort(dim=0, descending=True).indices)}
    if shape not in LARGE:
        peers |= {"torch stable": lambda: scattered(u.sort(dim=0, descending=True, stable=True).indices),
                  "numpy stable": lambda: numpy_stable(u.numpy())}
    peers["numpy threshold"] = lambda: numpy_threshold(u.numpy())
    ours.seconds()
    for name, peer in peers.items():
        if shape[0] <= 4096:
            distinct = all(len(column.unique()) == len(column) for column in u.T)
            if distinct or name != "numpy threshold":
                check(name, peer(), b)
        table.row("forward", shape, name, ours, peer, u.normal_)
    other = torch.empty_like(u)
    if shape not in LARGE:
        candle = Ours(library.peers_candle_forward, [u, other], shape)
        candle.seconds()
        check("candle", other, b)
        table.row("forward", shape, "candle", ours, candle, u.normal_)
    for name, function in [("copy", library.peers_copy), ("copy past caches", library.peers_copy_past_caches)]:
        table.row("forward", shape, name, ours, Ours(function, [u, other], shape), u.normal_)


def forms(table, library, shape):
    """Packed codes and 16-bit types, against dense f32."""
    u = torch.randn(shape)
    b = torch.empty_like(u)
    dense = Ours(library.peers_forward, [u, b], shape)
    codes = torch.empty((shape[0], -(-shape[1] // 64)), dtype=torch.int64)
    packed = Ours(library.peers_forward_packed, [u, codes], shape)
    table.row("forward, packed", shape, "bihalf dense", packed, dense, u.normal_)
    for dtype in [torch.float16, torch.bfloat16, torch.float64]:
        typed, out = u.to(dtype), b.to(dtype)
        name = str(dtype).removeprefix("torch.")
        ours = Ours(library.peers_forward, [typed, out], shape, dtype)
        table.row(f"forward, {name}", shape, "bihalf float32", ours, dense, lambda: typed.copy_(u.normal_()))


def backward(table, library, shape):
    u, grad = torch.randn(shape), torch.randn(shape)
    b = torch.empty_like(u)
    codes = torch.empty((shape[0], -(-shape[1] // 64)), dtype=torch.int64)
    Ours(library.peers_forward, [u, b], shape).seconds()
    Ours(library.peers_forward_packed, [u, codes], shape).seconds()
    peer = lambda: grad + GAMMA * (u - b) / b.numel()
    du = grad.clone()
    ours = Ours(library.peers_backward, [u, codes, du], shape)
    ours.seconds()
    if not torch.allclose(peer(), du, rtol=1e-5, atol=1e-6):
        sys.exit("peers.py: torch and bihalf differ in the gradient")
    table.row("backward", shape, "torch", ours, peer)
    # U, dB and dU, and the bits of B, against the 8 bytes an element that a copy moves.
    table.row("backward", shape, "copy", ours, Scaled(library, u, du, shape, 12.125 / 8))


class Scaled(Ours):
    """A copy, as if it moved some times as many bytes."""

    def __init__(self, library, source, target, shape, times):
        super().__init__(library.peers_copy, [source, torch.empty_like(target)], shape)
        self.times = times

    def seconds(self, calls=1):
        return super().seconds(calls) * self.times


def orders(table, library, shape):
    u = torch.randn(shape)
    out = torch.empty(shape, dtype=torch.int32)
    for name, function, peer in [("argsort", library.peers_argsort, lambda: u.sort(dim=0, stable=True).indices),
                                 ("rank", library.peers_rank, lambda: torch_ranks(u))]:
        ours = Ours(function, [u, out], shape)
        ours.seconds()
        check(name, peer().int(), out)
        # A rank takes torch's argsort and a scatter: both are measured against the sort alone.
        table.row(name, shape, "torch stable", ours, lambda: u.sort(dim=0, stable=True))


def cosine(table, library, shape, features):
    x = torch.randn((shape[0], features))
    b = torch.randn(shape).sign().requires_grad_()
    grad, loss = torch.empty(shape), torch.empty(1, dtype=torch.float64)
    ours = Ours(library.peers_cosine, [x, features, b.detach(), grad, loss], shape)

    def peer():
        b.grad = None
        value = cosine_loss(x, b)
        value.backward()
        return value

    ours.seconds()
    value = peer()
    if not (torch.allclose(value.double(), loss, rtol=1e-4) and torch.allclose(b.grad, grad, rtol=1e-3, atol=1e-6)):
        sys.exit("peers.py: torch and bihalf differ in the loss")
    table.row("cosine loss", shape, "torch", ours, peer)


DATA = {
    "all equal": torch.zeros_like,
    "two values": torch.sign,
    "few values": lambda u: (2 * u).round(),
    "ReLU": torch.relu,
    "sorted": lambda u: u.sort(0).values.contiguous(),
    "some NaN": lambda u: u.masked_fill(u > 1, float("nan")),
    "exponential": torch.exp,
    "of bfloat16": lambda u: u.bfloat16().float(),
}


def any_data(library, budget):
    """Times on other data as multiples of those on normal ones."""
    shapes = [(32, 64), (32, 61), (128, 64), (1024, 64), (1024, 61), (4096, 128), (65536, 64)]
    print(f"\n| shape | {' | '.join(DATA)} |\n|---|{'---|' * len(DATA)}", flush=True)
    for shape in shapes:
        normal = torch.randn(shape)
        b = torch.empty(shape)
        reference = Ours(library.peers_forward, [normal, b], shape)
        cells = []
        for make in DATA.values():
            values = make(normal)
            other = Ours(library.peers_forward, [values, b], shape)
            _, _, ratio = compare(reference, other, budget, lambda: values.copy_(make(normal.normal_())))
            cells.append(f"{ratio:.2g}" if ratio <= ANY_DATA else f"{ratio:.2g}, **missed**")
        print(f"| {shape[0]} x {shape[1]} | {' | '.join(cells)} |", flush=True)


def more_threads(library, threads):
    """Wall time of one thread over that of several: what more threads bring."""
    print(f"\n| forward, shape | one thread, us | {threads} threads, us | ratio | aim | |\n|---|---|---|---|---|---|",
          flush=True)
    for shape in [*SHAPES, *LARGE]:
        u = torch.randn(shape)
        b = torch.empty(shape)
        # 0: one thread, by the clock on the wall as well.
        one, more = (Ours(library.peers_forward, [u, b], shape, threads=n) for n in (0, threads))
        _, _, ratio = compare(more, one, 1.0)
        aim = TWO_THREADS.get(shape) if threads == 2 else None
        calls = more.calls_for(2e-2)
        print(f"| {shape[0]} x {shape[1]} | {min(one.seconds(calls) for _ in range(5)) * 1e6:.4g} "
              f"| {min(more.seconds(calls) for _ in range(5)) * 1e6:.4g} | {ratio:.3g} "
              f"| {'' if aim is None else aim} | {verdict(ratio, aim)} |", flush=True)


def processor():
    try:
        names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        return f"{names[0]}, {len(names)} logical processors"
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="without the two largest shapes")
    options.add_argument("--budget", type=float, default=1.0, help="seconds for each line")
    options.add_argument("--threads", type=int, default=0, help="also compare one thread with so many")
    options = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    # One processor, where that can be asked for: its caches stay warm. The last one, as the first one
    # often serves interrupts.
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if processors:
        os.sched_setaffinity(0, {max(processors)})
    library = load()
    print(f"{processor()}; {platform.system()}; torch {torch.__version__}, numpy {np.__version__}; "
          f"{time.strftime('%Y-%m-%d')}; one thread\n")
    table = Table(options.budget)
    shapes = SHAPES if options.quick else SHAPES + LARGE
    for shape in shapes:
        forward(table, library, shape)
    for shape in shapes:
        forms(table, library, shape)
    for shape in shapes:
        backward(table, library, shape)
    for shape in [(32, 64), (1024, 64), (4096, 128), (16384, 256)]:
        orders(table, library, shape)
    cosine(table, library, (32, 64), 4096)
    any_data(library, options.budget)
    if options.threads:
        if processors:
            os.sched_setaffinity(0, processors)
        more_threads(library, options.threads)


main()
