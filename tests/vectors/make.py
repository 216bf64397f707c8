"""Writes torch_sort.txt: stable sorts of small columns by PyTorch, as they come out of torch.sort.

Run with a Python that has PyTorch: python3 tests/vectors/make.py > tests/vectors/torch_sort.txt
"""

import struct

import torch

SPECIAL = [0.0, -0.0, 1.0, -1.0, float("inf"), -float("inf"), float("nan"), 1e-45, -1e-45]

torch.manual_seed(1)
print(f"# torch.sort(column, 0, descending, stable=True) of PyTorch {torch.__version__}, by make.py.")
print("# One column of f32 a line: its bits | argsort ascending | argsort descending")
for rows in [1, 2, 3, 7, 16, 31, 32, 33, 40, 65]:
    columns = [
        torch.randn(rows),
        torch.randint(-2, 3, (rows,)).float(),
        torch.tensor(SPECIAL)[torch.randint(0, len(SPECIAL), (rows,))],
        torch.relu(torch.randn(rows)),
    ]
    for column in columns:
        bits = [f"{struct.unpack('<I', struct.pack('<f', x))[0]:08x}" for x in column.tolist()]
        sorts = [torch.sort(column, dim=0, descending=d, stable=True).indices.tolist() for d in (False, True)]
        print(" ".join(bits), *(" ".join(map(str, s)) for s in sorts), sep=" | ")
