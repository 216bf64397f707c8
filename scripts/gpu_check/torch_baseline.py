#!/usr/bin/env python3
"""What PyTorch takes on a GPU for what benches/gpu.rs measures, as CSV in its form.

The same protocol: calls captured in a graph where they can be, 5 replays unmeasured and 30 between
events. Names are those of gpu.rs, behind a colon the way that PyTorch does it.
"""

import argparse
import time

import torch

SHAPES = [(32, 64), (1024, 64), (4096, 128), (32768, 64), (65536, 512), (1 << 20, 64),
          (4096, 512), (4096, 2048), (1 << 20, 8)]
DIMS = 512


def sort_scatter(u):
    """As the authors do it."""
    _, index = u.sort(dim=0)
    half = u.shape[0] // 2
    b = torch.empty_like(u)
    return b.scatter_(0, index, torch.cat([-torch.ones_like(u[half:]), torch.ones_like(u[:half])]))


def topk_scatter(u):
    index = torch.topk(u, u.shape[0] // 2, dim=0, sorted=False).indices
    return torch.full_like(u, -1).scatter_(0, index, 1)


def threshold(u):
    """Other than Bi-half where values are equal."""
    return torch.where(u >= torch.kthvalue(u, u.shape[0] - u.shape[0] // 2 + 1, dim=0).values, 1.0, -1.0)


def rank(u):
    index = u.sort(dim=0, descending=True, stable=True).indices
    rows = torch.arange(u.shape[0], device=u.device).unsqueeze(1).expand_as(index)
    return torch.empty_like(index).scatter_(0, index, rows)


def cosine(x, b):
    half = b.shape[0] // 2
    b = b.detach().requires_grad_()
    of = torch.nn.functional.cosine_similarity
    loss = (of(x[:half], x[half:2 * half]) - of(b[:half], b[half:2 * half])).square().mean()
    return torch.autograd.grad(loss, b)


def penalty(b):
    mean = b.mean(dim=0)
    return mean.square().mean() / 2, (mean / b.numel()).expand_as(b).contiguous()


OPERATIONS = {
    "Copy": [("copy_", lambda s: s["out"].copy_(s["u"]))],
    "Forward": [("sort", lambda s: sort_scatter(s["u"])), ("topk", lambda s: topk_scatter(s["u"])),
                ("kthvalue", lambda s: threshold(s["u"]))],
    "Backward": [("torch", lambda s: s["grad"] + (6.0 / s["u"].numel()) * (s["u"] - s["b"]))],
    "Rank": [("sort", lambda s: rank(s["u"]))],
    "Median": [("median", lambda s: s["u"].median(dim=0).values)],
    "Sign": [("sign", lambda s: torch.sign(s["u"]))],
    "Relax": [("tanh", lambda s: torch.tanh(s["u"]))],
    "RelaxBackward": [("torch", lambda s: s["grad"] * (1 - torch.tanh(s["u"]) ** 2))],
    "Cosine": [("torch", lambda s: cosine(s["x"], s["b"]))],
    "EntropyPenalty": [("torch", lambda s: penalty(s["b"]))],
}


def replayed(call, calls):
    """A function that does the call so often, and how often."""
    stream = torch.cuda.Stream()
    try:
        with torch.cuda.stream(stream):
            call()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(calls):
                call()
        return graph.replay
    except RuntimeError:  # what synchronises cannot be captured
        torch.cuda.synchronize()
        return lambda: [call() for _ in range(calls)]


def measure(call, calls, replays):
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    host = (time.perf_counter() - start) * 1e6
    torch.cuda.synchronize()
    once = time.perf_counter() - start
    calls = max(1, min(calls, int(0.01 / once)))
    replay = replayed(call, calls)
    times = []
    for n in range(replays + 5):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        replay()
        after.record()
        after.synchronize()
        if n >= 5:
            times.append(before.elapsed_time(after) * 1e3 / calls)
    times.sort()
    at = lambda part: times[(len(times) - 1) * part // 10]
    return at(5), at(1), at(9), host


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tiny", action="store_true")
    options.add_argument("--seconds", type=float, default=3600)
    options = options.parse_args()
    end = time.monotonic() + options.seconds
    print("operation,dtype,rows,cols,state,median_us,p10_us,p90_us,host_us,bytes,gb_s")
    for name, ways in OPERATIONS.items():
        for rows, cols in [(32, 64)] if options.tiny else SHAPES:
            u = torch.randn(rows, cols, device="cuda")
            sets = {"u": u, "b": torch.sign(u), "grad": torch.randn_like(u), "out": torch.empty_like(u)}
            if name == "Cosine":
                sets["x"] = torch.randn(rows, DIMS, device="cuda")
            for way, run in ways:
                if time.monotonic() > end:
                    continue
                median, p10, p90, host = measure(lambda: run(sets), 20, 30)
                print(f"{name}:{way},f32,{rows},{cols},warm,{median:.3f},{p10:.3f},{p90:.3f},{host:.3f},,",
                      flush=True)


main()
