#!/usr/bin/env python3
"""Refits the plan's table of one-launch kernels (src/plan/bihalf.rs) from `gpu --variants`.

A kernel takes its latency while the device is not full and in proportion to the columns afterwards:
so the latency is the least of its times, and the instructions a column follow from the time at the
most columns. Prints the table's columns for each kernel, and where the plan's choice was not the
fastest.
"""

import csv
import re
import sys

ISSUED_PER_CYCLE = 3  # as in src/plan/bihalf.rs


def device(text):
    """Multiprocessors and cycles in a microsecond; those of an H200 where the file does not tell."""
    clock = re.search(r"(\d+)\s*MHz", text)
    return 132, float(clock.group(1)) if clock else 1980.0


def main():
    multiprocessors, cycles = device(open(sys.argv[2], encoding="utf-8", errors="replace").read())
    times = {}
    with open(sys.argv[1], newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            kernel = row["operation"].split(":")[1]
            at = times.setdefault(kernel, {}).setdefault(int(row["rows"]), {})
            # Of cold and warm the first, which is cold.
            at.setdefault(int(row["cols"]), float(row["median_us"]))
    print("\nthe plan's table, refitted:")
    print(f"{'kernel':>28} {'rows':>6} {'latency':>9} {'instructions':>12}")
    for kernel, by_rows in times.items():
        rows = max(by_rows)
        by_cols = by_rows[rows]
        latency = min(by_cols.values()) * cycles
        cols = max(by_cols)
        instructions = by_cols[cols] * cycles * multiprocessors * ISSUED_PER_CYCLE / cols
        print(f"{kernel:>28} {rows:>6} {latency:9.0f} {instructions:12.0f}")
    print("\nfastest kernel by rows x columns:")
    shapes = sorted({(rows, cols) for by_rows in times.values() for rows in by_rows
                     for cols in by_rows[rows]})
    for rows, cols in shapes:
        of = [(by_rows[rows][cols], kernel) for kernel, by_rows in times.items()
              if cols in by_rows.get(rows, {})]
        ranked = ", ".join(f"{kernel} {time:.2f}" for time, kernel in sorted(of)[:3])
        print(f"{rows:>8} x {cols:<6} {ranked}")


main()
