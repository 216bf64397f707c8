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
import os
import platform
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

import layers
from timing import Ours, Scaled, Table, check, compare, load, verdict

SHAPES = [(32, 16), (32, 64), (128, 64), (256, 256), (1024, 64), (4096, 128), (16384, 256)]
LARGE = [(65536, 512), (1048576, 64)]
GAMMA = 6.0

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
# The tables
# ----------------------------------------------------------------------------------------------

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
    table.row("backward", shape, "copy", ours, Scaled(library, u, shape, 12.125 / 8))


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
    options.add_argument("--only", choices=["bihalf", "layers"], help="Bi-half and what it learns with, or the others")
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
    if options.only != "bihalf":
        layers.compare_all(library, options.budget)
        print()
    if options.only == "layers":
        return
    table = Table(options.budget, AIMS)
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
