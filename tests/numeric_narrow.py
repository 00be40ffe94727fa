"""The functions of `numeric_cases` on inputs of 16 bits: honest ways, computed in float32 and rounded at the end, and faults.

    OMP_NUM_THREADS=1 python tests/numeric_narrow.py [--write]

Makes the second table of docs/numeric-policy.md; each number is a share of what is allowed, as in `numeric_table`.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
from numeric_cases import CASES, Array, Case, F, Variant, inputs_of, reference_of
from numeric_table import PAGE, _cell

from kernelwright.bench_tasks.task import DEFAULT_WORKLOADS, NumericPolicy
from kernelwright.verifier.correctness import limits_share

BEGIN, END = "<!-- narrow: begin -->\n", "<!-- narrow: end -->\n"
DTYPES = (torch.float16, torch.bfloat16)
SEED = 20
E4M3_BITS = 3
"""Explicit bits of the mantissa of an 8-bit float, the kind that tensor cores are twice as fast with."""


def cut(x: Array, bits: int = E4M3_BITS) -> Array:
    """Rounded to nearest with so many bits of mantissa; the exponent as it is."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    scale = 2.0 ** (bits + 1)
    return np.ldexp(np.round(mantissa * scale) / scale, exponent).astype(F)


def dithered(x: Array, bits: int = E4M3_BITS) -> Array:
    """The same, rounded up or down by chance, so that it errs without a bias."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    scale = 2.0 ** (bits + 1)
    noise = np.random.default_rng(0).random(x.shape)
    return np.ldexp(np.floor(mantissa * scale + noise) / scale, exponent).astype(F)


def faults(case: Case) -> dict[str, Variant]:
    """Faults that a 16-bit output may hide."""
    base = case.base
    return {
        "8-bit floats inside": lambda *x: base(*map(cut, x)),
        "the same, dithered": lambda *x: base(*map(dithered, x)),
        "times 1.01": lambda *x: np.asarray(base(*x), F) * F(1.01),
        "times 1.03": lambda *x: np.asarray(base(*x), F) * F(1.03),
    }


def shares(case: Case, dtype: torch.dtype, distribution: str) -> dict[str, float]:
    """By honest way and fault, how much of what is allowed it uses up; 1 and above is wrong."""
    inputs = [x.to(dtype) for x in inputs_of(case, distribution, SEED)]
    if case.positive:  # what is smaller became 0
        inputs = [x.clamp_min(torch.finfo(dtype).tiny) for x in inputs]
    expected = reference_of(case.function, inputs)
    wide = [x.float().numpy() for x in inputs]
    found = {}
    for name, variant in {**case.honest, **faults(case)}.items():
        with np.errstate(all="ignore"):
            got = torch.from_numpy(np.array(variant(*wide), F)).to(dtype)
        found[name] = limits_share(got.reshape(expected.native.shape), expected, NumericPolicy())
    return found


def table() -> str:
    """The rows in Markdown, for each function the honest ways' largest share and the faults' largest over all workloads."""
    names = list(faults(CASES[0]))
    lines = [f"| function | type | honest | {' | '.join(names)} |", "|---|---|---|" + "---|" * len(names)]
    for case in CASES:
        for dtype in DTYPES:
            rows = [
                shares(case, dtype, d.value)
                for d in dict.fromkeys(workload.distribution for workload in DEFAULT_WORKLOADS)
            ]
            honest = max(row[name] for row in rows for name in case.honest)
            cells = [_cell(max(row[name] for row in rows)) for name in names]
            lines.append(f"| {case.name} | {str(dtype)[6:]} | {honest:.2f} | {' | '.join(cells)} |")
            print(lines[-1], file=sys.stderr)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Prints the table, or writes it into the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    text = table()
    if not parser.parse_args().write:
        print(text)
        return
    head, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(head + BEGIN + text + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
