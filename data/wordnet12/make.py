#!/usr/bin/env python3
"""Make the bundled files from the full set: the first rows of each part, 8 bits a value.

    python3 make.py FULL.npz [FOLDER]

FULL.npz holds db_x, q_x (float16, [rows, 384]) and db_y, q_y (uint8, [rows]). Its rows come
class by class in turn (0, 1, .., 11, 0, 1, ..), so that the first 12 n rows hold n rows of every
class; the script checks that. Nothing is random: the same input gives the same bytes.
"""

import pathlib
import sys

import numpy as np

CLASSES = 12
# 160 + 25 rows of each class keep the six files together under 1 MB.
ROWS = {"database": ("db", 160 * CLASSES), "query": ("q", 25 * CLASSES)}


def quantise(x):
    """Rows to i8 and one scale a row: x[i, j] is about scales[i] * values[i, j].

    The largest magnitude of a row becomes 127, so that a value is off by at most scale / 2.
    """
    scales = np.abs(x).max(axis=1) / np.float32(127)
    values = np.rint(x / scales[:, None]).astype(np.int8)
    return values, scales


def main(source, folder):
    full = np.load(source)
    for name, (prefix, rows) in ROWS.items():
        x = full[f"{prefix}_x"][:rows].astype(np.float32)
        labels = full[f"{prefix}_y"][:rows].astype(np.uint8)
        counts = np.bincount(labels, minlength=CLASSES)
        if not (counts == rows // CLASSES).all():
            sys.exit(f"{name}: {counts.tolist()} rows a class; {rows // CLASSES} of each expected")

        values, scales = quantise(x)
        error = np.abs(values - x / scales[:, None]).max()
        if error > 0.5001:
            sys.exit(f"{name}: a value is off by {error:.3f} scales; at most 0.5 expected")

        np.save(folder / f"{name}_features.npy", values)
        np.save(folder / f"{name}_scales.npy", scales)
        np.save(folder / f"{name}_labels.npy", labels)
        print(f"{name}: {rows} rows, {rows // CLASSES} of each of {CLASSES} classes")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    beside_this_script = pathlib.Path(__file__).parent
    main(sys.argv[1], pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else beside_this_script)
