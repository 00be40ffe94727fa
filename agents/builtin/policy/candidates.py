"""The choices of one kernel function that are weighed against each other: all legal ones, or a fixed random part of them."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping

from kernelwright.agents.builtin.lower import KernelTemplate
from kernelwright.agents.builtin.policy.facts import Value

__all__ = ["key_of", "legal_choices"]

Knobs = Mapping[str, Value]
_MOST_ENUMERATED = 4_000
"""Combinations that are all asked for being legal (50 to 200 us each); beyond, they are drawn."""
_DRAWS = 60
"""Draws for each choice wanted, at most: about one in eight combinations of a matrix product's knobs is legal."""


def key_of(knobs: Knobs) -> tuple[tuple[str, str], ...]:
    """The choice as something that can be compared: True and 1 are not the same value."""
    return tuple(sorted((name, repr(value)) for name, value in knobs.items()))


def legal_choices(kernel: KernelTemplate, count: int, seed: str) -> tuple[list[dict[str, Value]], bool]:
    """At most `count` legal choices in an order that looks random, the first choice (`defaults`) ahead of all, and whether
    these are all there are.

    The same kernel, count and seed give the same list, and a smaller count its beginning.
    """
    space = kernel.space()
    rng = random.Random(f"{seed}/{kernel.name}")
    first = dict(kernel.defaults())
    names = list(first)
    values = [space.get(name, (first[name],)) for name in names]
    found = {key_of(first): first}
    if math.prod(map(len, values)) <= _MOST_ENUMERATED:
        everything = [dict(zip(names, each, strict=True)) for each in itertools.product(*values)]
        rng.shuffle(everything)
        for choice in everything:
            if kernel.legal(choice):
                found.setdefault(key_of(choice), choice)
        return list(found.values())[:count], len(found) <= count
    for _ in range(_DRAWS * count):
        if len(found) >= count:
            break
        choice = {name: rng.choice(options) for name, options in zip(names, values, strict=True)}
        if key_of(choice) not in found and kernel.legal(choice):
            found[key_of(choice)] = choice
    return list(found.values()), False
