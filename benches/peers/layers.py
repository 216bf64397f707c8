"""The operations around Bi-half beside torch and numpy: a line for an operation, a peer and a shape."""

import numpy as np
import torch

from timing import Ours, Scaled, Table, check

SHAPES = [(32, 64), (1024, 64), (16384, 256), (262144, 64)]
BETA, GAMMA = 2.0, 6.0
LARGE = {(16384, 256), (262144, 64)}

# What a ratio should be at least, for each operation and peer.
AIMS = {
    ("sign", "torch"): {None: 1},
    ("sign", "copy past caches"): {shape: 0.9 for shape in LARGE},
    ("sign, packed", "numpy"): {None: 3},
    ("sign, packed", "read"): {shape: 0.9 for shape in LARGE},
    ("sign, packed, float16", "bihalf float32"): {None: 1},
    ("sign, packed, bfloat16", "bihalf float32"): {None: 1},
    ("sign, i8", "bihalf packed"): {None: 0.8},
    ("sign, counts", "bihalf packed"): {None: 0.8},
    ("sign, shifted, packed", "bihalf packed"): {None: 0.8},
    ("sign, backward", "torch"): {None: 1},
    ("sign, backward", "bihalf backward"): {None: 0.9},
    ("relax", "numpy"): {None: 1},
    ("relax", "torch"): {None: 1},
    ("relax, backward", "torch"): {None: 5},
    ("unpack", "numpy"): {None: 5},
    ("entropy penalty", "torch"): {None: 1.5},
    ("entropy penalty", "copy"): {shape: 0.8 for shape in LARGE},
    ("ones", "numpy of dense"): {None: 1},
    ("correlation", "numpy"): {None: 15},
    ("histogram", "numpy"): {None: 5},
    ("transport cost", "forward and a read"): {None: 0.67},
    ("threshold", "torch"): {None: 20},
    **{(f"cosine loss, {features}", "read"): {None: 0.8} for features in (512, 4096)},
    **{(f"cosine loss of candle, {features}", "candle"): {None: 2} for features in (512, 4096)},
    ("sign_ste", "candle"): {None: 1},
    ("tanh_relax", "candle"): {None: 5},
    ("bihalf of candle", "bihalf"): {None: 0.75},
}

# Numbers of the library's operations.
(SIGN, PACKED, SIGN_I8, COUNTS, SHIFTED, SIGN_BACKWARD, RELAX, RELAX_BACKWARD, UNPACK, PENALTY, ONES, CORRELATION,
 HISTOGRAM, TRANSPORT, THRESHOLD, COSINE) = range(16)


class Operation(Ours):
    """An operation of the library by its number."""

    def __init__(self, library, number, shape, tensors, dtype=torch.float32, features=0):
        super().__init__(library.peers_operation, [number, *tensors, features], shape, dtype)


class Sum:
    """One call and another."""

    def __init__(self, *calls):
        self.calls = calls

    def seconds(self, calls=1):
        return sum(call.seconds(calls) for call in self.calls)


def sign(table, library, shape):
    rows, cols = shape
    u = torch.randn(shape)
    b = torch.empty(shape)
    ours = Operation(library, SIGN, shape, [u, u, b])
    ours.seconds()
    out = torch.empty(shape)
    check("torch", torch.sign(u), b)
    table.row("sign", shape, "torch", ours, lambda: torch.sign(u, out=out))
    table.row("sign", shape, "copy past caches", ours, Scaled(library, u, shape, 1, library.peers_copy_past_caches))

    codes = torch.empty((rows, -(-cols // 64)), dtype=torch.int64)
    packed = Operation(library, PACKED, shape, [u, u, codes])
    packed.seconds()
    by_numpy = lambda: np.packbits(u.numpy() > 0, axis=1, bitorder="little")
    check("numpy", by_numpy(), codes.view(torch.uint8)[:, :-(-cols // 8)])
    table.row("sign, packed", shape, "numpy", packed, by_numpy)
    table.row("sign, packed", shape, "read", packed, Ours(library.peers_read, [u], shape))
    for dtype in [torch.float16, torch.bfloat16]:
        typed = u.to(dtype)
        of_type = Operation(library, PACKED, shape, [typed, typed, codes], dtype)
        table.row(f"sign, packed, {str(dtype).removeprefix('torch.')}", shape, "bihalf float32", of_type, packed)
    small = torch.empty(shape, dtype=torch.int8)
    i8 = Operation(library, SIGN_I8, shape, [u, u, small])
    i8.seconds()
    check("torch", torch.sign(u).to(torch.int8), small)
    table.row("sign, i8", shape, "bihalf packed", i8, packed)
    counts = torch.empty(cols, dtype=torch.int32)
    counted = Operation(library, COUNTS, shape, [u, u, counts])
    counted.seconds()
    check("torch", (u > 0).sum(0).int(), counts)
    table.row("sign, counts", shape, "bihalf packed", counted, packed)
    t = torch.randn(cols)
    shifted = Operation(library, SHIFTED, shape, [u, t, codes])
    shifted.seconds()
    check("numpy", np.packbits(u.numpy() > -t.numpy(), axis=1, bitorder="little"),
          codes.view(torch.uint8)[:, :-(-cols // 8)])
    table.row("sign, shifted, packed", shape, "bihalf packed", shifted, packed)

    packed.seconds()
    grad = torch.randn(shape)
    du = grad.clone()
    backward = Operation(library, SIGN_BACKWARD, shape, [u, u, du])
    backward.seconds()
    by_torch = lambda: grad + GAMMA / b.numel() * (u - b)
    close("torch", by_torch(), du)
    table.row("sign, backward", shape, "torch", backward, by_torch)
    table.row("sign, backward", shape, "bihalf backward", backward,
              Ours(library.peers_backward, [u, codes, du], shape))


def close(name, theirs, ours):
    if not torch.allclose(torch.as_tensor(theirs), ours, rtol=1e-5, atol=1e-5):
        raise SystemExit(f"layers.py: {name} and bihalf differ")


def relax(table, library, shape):
    u = torch.randn(shape)
    y, out = torch.empty(shape), torch.empty(shape)
    ours = Operation(library, RELAX, shape, [u, u, y])
    ours.seconds()
    close("torch", torch.tanh(BETA * u), y)
    table.row("relax", shape, "numpy", ours,
              lambda: np.tanh(np.multiply(u.numpy(), np.float32(BETA), out=out.numpy()), out=out.numpy()))
    table.row("relax", shape, "torch", ours, lambda: torch.tanh(torch.mul(u, BETA, out=out), out=out))
    grad = torch.randn(shape)
    du = torch.empty(shape)
    backward = Operation(library, RELAX_BACKWARD, shape, [u, grad, du])
    backward.seconds()

    def by_torch():
        y = torch.tanh(BETA * u)
        return grad * (BETA * (1 - y * y))

    close("torch", by_torch(), du)
    table.row("relax, backward", shape, "torch", backward, by_torch)


def codes(table, library, shape):
    rows, cols = shape
    u = torch.randn(shape)
    b = torch.sign(u)
    words = torch.empty((rows, -(-cols // 64)), dtype=torch.int64)
    Operation(library, PACKED, shape, [u, u, words]).seconds()
    bytes_ = words.view(torch.uint8)[:, :-(-cols // 8)].contiguous().numpy()
    dense = torch.empty(shape)
    unpack = Operation(library, UNPACK, shape, [words, words, dense])
    unpack.seconds()
    by_numpy = lambda: np.unpackbits(bytes_, axis=1, bitorder="little").astype(np.float32) * 2 - 1
    check("numpy", by_numpy(), dense)
    table.row("unpack", shape, "numpy", unpack, by_numpy)

    counts = torch.empty(cols, dtype=torch.int32)
    ones = Operation(library, ONES, shape, [words, words, counts])
    ones.seconds()
    check("torch", (b > 0).sum(0).int(), counts)
    table.row("ones", shape, "numpy of dense", ones, lambda: b.numpy().mean(0))
    value = torch.empty(1, dtype=torch.float64)
    correlation = Operation(library, CORRELATION, shape, [words, words, value])
    correlation.seconds()
    by_numpy = lambda: np.corrcoef(b.numpy().T)
    close("numpy", np.abs(by_numpy()[np.triu_indices(cols, 1)]).mean(), value[0])
    table.row("correlation", shape, "numpy", correlation, by_numpy)


def values(table, library, shape):
    rows, cols = shape
    b = torch.sign(torch.randn(shape))
    grad = torch.empty(shape)
    penalty = Operation(library, PENALTY, shape, [b, b, grad])
    penalty.seconds()

    def by_torch():
        means = b.mean(0)
        return (means * means).mean() / 2, (means / b.numel()).expand(shape).contiguous()

    close("torch", by_torch()[1], grad)
    table.row("entropy penalty", shape, "torch", penalty, by_torch)
    table.row("entropy penalty", shape, "copy", penalty, Scaled(library, b, shape, 1))

    u = torch.rand(shape) * 2 - 1
    counts = torch.empty((cols, 64), dtype=torch.int64)
    histogram = Operation(library, HISTOGRAM, shape, [u, u, counts])
    histogram.seconds()
    by_numpy = lambda: [np.histogram(column, 64, (-1, 1))[0] for column in u.numpy().astype(np.float64).T]
    check("numpy", np.stack(by_numpy()), counts)
    table.row("histogram", shape, "numpy", histogram,
              lambda: [np.histogram(column, 64, (-1, 1)) for column in u.numpy().T])
    u = torch.randn(shape)
    costs = torch.empty(cols, dtype=torch.float64)
    transport = Operation(library, TRANSPORT, shape, [u, u, costs])
    words = torch.empty((rows, -(-cols // 64)), dtype=torch.int64)
    forward = Ours(library.peers_forward_packed, [u, words], shape)
    transport.seconds()
    forward.seconds()
    signs = np.unpackbits(words.view(torch.uint8).numpy(), axis=1, bitorder="little")[:, :cols] * 2.0 - 1
    close("numpy", ((u.double() - signs) ** 2).mean(0), costs)
    table.row("transport cost", shape, "forward and a read", transport,
              Sum(forward, Ours(library.peers_read, [u], shape)))
    medians = torch.empty(cols)
    threshold = Operation(library, THRESHOLD, shape, [u, u, medians])
    threshold.seconds()
    check("torch", torch.median(u, 0).values, medians)
    table.row("threshold", shape, "torch", threshold, lambda: torch.median(u, 0))


FEATURES = [(32, 64, 512), (32, 64, 4096), (128, 64, 512), (1024, 64, 512)]


def losses(table, library, shape):
    """The cosine-preserving loss, of each number of features of a shape, and its read of the features."""
    for rows, cols, features in FEATURES:
        if (rows, cols) != shape:
            continue
        x, b = torch.randn((rows, features)), torch.sign(torch.randn(shape))
        value = torch.empty(1, dtype=torch.float64)
        loss = Operation(library, COSINE, (rows, cols), [x, b, value], features=features)
        table.row(f"cosine loss, {features}", shape, "read", loss, Ours(library.peers_read, [x], (rows, features)))
        grad = torch.empty(shape)
        learnt = Ours(library.peers_cosine, [x, features, b, grad, value], shape)
        table.row(f"cosine loss and gradient, {features}", shape, "bihalf without gradient", learnt, loss)
        ours, native = (Ours(library.peers_adapter, [0, own, features], shape) for own in (True, False))
        table.row(f"cosine loss of candle, {features}", shape, "candle", ours, native)


def tensors(table, library, shape):
    """Tensor ops of the adapter."""
    for number, name in [(1, "sign_ste"), (2, "tanh_relax")]:
        ours, native = (Ours(library.peers_adapter, [number, own, 0], shape) for own in (True, False))
        table.row(name, shape, "candle", ours, native)
    u, b = torch.randn(shape), torch.empty(shape)
    ours = Ours(library.peers_adapter, [3, True, 0], shape)
    table.row("bihalf of candle", shape, "bihalf", ours, Ours(library.peers_forward, [u, b], shape))


def compare_all(library, budget, only=None):
    table = Table(budget, AIMS)
    for operation in [globals()[only]] if only else [sign, relax, codes, values, losses, tensors]:
        for shape in [*SHAPES, (128, 64)]:
            operation(table, library, shape)
