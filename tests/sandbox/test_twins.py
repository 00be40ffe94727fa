"""Finding smaller sizes: what is halved, what is kept, and that it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kernelwright.bench_tasks.task import TensorSpec
from kernelwright.sandbox.twins import MOST_ELEMENTS, MOST_FLOPS, Extent, find_twin

Measure = Callable[[Mapping[str, int]], Extent | None]


def matmul(numbers: Mapping[str, int]) -> Measure:
    """An M x K by K x N product, counted."""

    def measure(sizes: Mapping[str, int]) -> Extent:
        m, n, k = ({**numbers, **sizes}[name] for name in "MNK")
        shapes = ((m, k), (k, n), (m, n))
        specs = [TensorSpec("", shape, "float32", ()) for shape in shapes]
        elements = sum(s.numel for s in specs)
        return Extent(tuple(specs[:2]), (specs[2],), elements, 4 * elements, 2 * m * n * k)

    return measure


def last(numbers: Mapping[str, int], measure: Measure) -> tuple[dict[str, int], Extent]:
    full = measure({})
    assert full is not None
    return list(find_twin(full, numbers, measure))[-1]


def test_the_largest_is_halved_until_it_is_small():
    numbers = {"M": 4096, "N": 4096, "K": 256, "SEED": 3}
    twin, extent = last(numbers, matmul(numbers))
    assert extent.small
    assert twin == {"M": 512, "N": 512} or twin == {"M": 1024, "N": 256} or twin == {"M": 512, "N": 512, "K": 256}
    assert extent.elements <= MOST_ELEMENTS
    assert extent.flops <= MOST_FLOPS
    assert last(numbers, matmul(numbers))[0] == twin  # the same every time


def test_what_changes_nothing_stays():
    numbers = {"M": 4096, "N": 4096, "K": 4096, "UNUSED": 1 << 20}
    twin, _ = last(numbers, matmul(numbers))
    assert "UNUSED" not in twin


def test_numbers_that_only_run_when_equal_are_halved_together():
    numbers = {"M": 8192, "N": 8192, "K": 8192}
    plain = matmul(numbers)

    def square(sizes: Mapping[str, int]) -> Extent | None:
        return (
            plain(sizes)
            if len({**numbers, **sizes}.values()) == 3 and len({*{**numbers, **sizes}.values()}) == 1
            else None
        )

    twin, extent = last(numbers, square)
    assert set(twin.values()) == {256}
    assert extent.small


def test_no_dimension_is_lost():
    numbers = {"M": 1 << 22, "N": 2, "K": 3}
    twin, extent = last(numbers, matmul(numbers))
    assert extent.outputs[0].shape[1] == 2
    assert set(twin) == {"M"}


def test_it_ends_where_nothing_helps():
    numbers = {"A": 1 << 30}
    huge = matmul({"M": 1 << 15, "N": 1 << 15, "K": 8})({})
    assert huge is not None
    assert list(find_twin(huge, numbers, lambda _sizes: huge)) == []
    assert list(find_twin(huge, numbers, lambda _sizes: None)) == []
    assert list(find_twin(huge, {}, lambda _sizes: None)) == []


def test_the_number_of_tries_is_bounded():
    numbers = {f"N{i}": 1 << 40 for i in range(40)}
    tries = []
    huge = matmul({"M": 1 << 15, "N": 1 << 15, "K": 8})({})
    assert huge is not None

    def never(sizes: Mapping[str, int]) -> Extent | None:
        tries.append(sizes)
        return None

    assert list(find_twin(huge, numbers, never)) == []
    assert len(tries) == 120
