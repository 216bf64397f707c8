#!/usr/bin/env python3
"""Prints ours / torch / floor / ratio from the CSV of benches/gpu.rs and of torch_baseline.py.

The floor is a launch, or the operation's least bytes at the best rate that a copy reached.
"""

import csv
import sys

LAUNCH_US = 2.0


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def key(row):
    return row["operation"].split(":")[0], row["dtype"], int(row["rows"]), int(row["cols"])


def main():
    ours, torch = read(sys.argv[1]), read(sys.argv[2])
    best = max((float(row["gb_s"]) for row in ours if row["operation"] == "Copy"), default=0.0)
    theirs = {}
    for row in torch:
        theirs.setdefault(key(row), []).append(
            (float(row["median_us"]), row["operation"].split(":")[1]))
    print(f"\ncopy: at most {best:.0f} GB/s; times in us, cold where the cache is smaller than the data")
    head = ("operation", "dtype", "shape", "ours", "torch", "floor", "torch/ours", "ours/floor", "by")
    print("{:>21} {:>5} {:>14} {:>10} {:>10} {:>10} {:>10} {:>10}  {}".format(*head))
    seen = set()
    for row in ours:
        at = key(row)
        if at in seen:  # cold comes before warm
            continue
        seen.add(at)
        time = float(row["median_us"])
        floor = max(LAUNCH_US, int(row["bytes"]) / best / 1e3) if best else LAUNCH_US
        other, way = min(theirs.get(at, [(float("nan"), "")]))
        print(f"{at[0]:>21} {at[1]:>5} {f'{at[2]}x{at[3]}':>14} {time:10.2f} {other:10.2f} "
              f"{floor:10.2f} {other / time:10.2f} {time / floor:10.2f}  {way}")


main()
