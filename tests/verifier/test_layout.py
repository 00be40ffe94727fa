"""Layout of outputs: what PyTorch's own views are, and what a judge may be told."""

from __future__ import annotations

import pytest
import torch

from kernelwright.sandbox.places import Place, places_of
from kernelwright.verifier.layout import dense, layout_problem, overlap, overlaps_itself, same_strides


def problem(outputs: list[torch.Tensor], expected: list[torch.Tensor], *, contiguous_inputs: bool = True) -> str:
    return layout_problem(
        outputs, places_of(outputs), expected, places_of(expected), contiguous_inputs=contiguous_inputs
    )


def test_new_contiguous_outputs_pass() -> None:
    assert not problem([torch.ones(3, 4), torch.ones(5)], [torch.zeros(3, 4), torch.zeros(5)])


def test_two_outputs_in_one_memory_are_refused() -> None:
    y = torch.ones(8)
    assert "Outputs 0 and 1 share memory" in problem([y, y], [torch.ones(8), torch.ones(8)])
    assert "share memory" in problem([y[:5], y[4:]], [torch.ones(5), torch.ones(4)])


def test_two_halves_of_one_allocation_are_apart() -> None:
    y = torch.ones(2, 8)
    assert not problem([y[0], y[1]], [torch.ones(8), torch.ones(8)])


def test_outputs_may_share_where_those_of_the_reference_do() -> None:
    mine, theirs = torch.ones(8), torch.ones(8)
    assert not problem([mine, mine.view(2, 4)], [theirs, theirs.view(2, 4)])


def test_interleaved_views_of_one_buffer_are_apart() -> None:
    mine, theirs = torch.ones(4, 6), torch.ones(4, 6)
    assert not problem(list(mine.chunk(3, dim=1)), list(theirs.chunk(3, dim=1)))
    pairs = list(zip(mine.chunk(3, dim=1), places_of(mine.chunk(3, dim=1)), strict=True))
    assert not overlap(pairs[0], pairs[2])
    assert overlap(pairs[0], (mine, places_of([mine])[0]))


def test_elements_of_other_sizes_share_bytes() -> None:
    y = torch.zeros(8)
    halves = y.view(torch.float16)[15:]
    (a, b) = places_of([y, halves])
    assert overlap((y, a), (halves, b))
    assert not overlap((y[:7], a), (halves, b))


def test_an_expanded_output_is_refused_unless_the_reference_expands() -> None:
    column, full = torch.ones(3, 1).expand(3, 4), torch.ones(3, 4)
    assert "overlaps itself" in problem([column], [full])
    assert not problem([column], [torch.zeros(3, 1).expand(3, 4)])
    assert not problem([full], [column])


def test_windows_that_overlap_are_refused() -> None:
    windows = torch.ones(10).unfold(0, 4, 2)
    assert overlaps_itself(windows.shape, windows.stride())
    assert "overlaps itself" in problem([windows], [torch.ones(4, 4)])
    apart = torch.ones(16).unfold(0, 4, 4)
    assert not overlaps_itself(apart.shape, apart.stride())


@pytest.mark.parametrize(
    ("shape", "stride", "meets"),
    [((2, 3), (3, 1), False), ((2, 3), (2, 1), True), ((3, 2), (2, 3), False), ((4, 2), (2, 3), False), ((4, 3), (2, 4), True)],
)  # fmt: skip
def test_overlap_in_itself_is_exact(shape: tuple[int, ...], stride: tuple[int, ...], meets: bool) -> None:
    places = {a * stride[0] + b * stride[1] for a in range(shape[0]) for b in range(shape[1])}
    assert (len(places) < shape[0] * shape[1]) is meets
    assert overlaps_itself(shape, stride) is meets


def test_a_permuted_output_is_refused_where_the_reference_is_contiguous() -> None:
    permuted, plain = torch.ones(4, 3).t(), torch.ones(3, 4)
    found = problem([permuted], [plain])
    assert "(1, 3)" in found
    assert "(4, 1)" in found
    assert not problem([plain], [permuted])
    assert not problem([permuted], [torch.zeros(4, 3).t()])


def test_any_dense_output_passes_when_an_input_was_strided() -> None:
    permuted, plain = torch.ones(4, 3).t(), torch.ones(3, 4)
    assert not problem([permuted], [plain], contiguous_inputs=False)
    assert "other strides" in problem([torch.ones(3, 8)[:, ::2]], [plain], contiguous_inputs=False)


def test_strides_of_dimensions_of_one_say_nothing() -> None:
    odd = torch.ones(4).as_strided((4, 1), (1, 77))
    assert same_strides(odd.shape, odd.stride(), (1, 1))
    assert not problem([odd], [torch.ones(4, 1)])
    assert not problem([torch.empty(0, 3).t()], [torch.empty(3, 0)])


def test_dense_agrees_with_torch() -> None:
    for tensor in (torch.ones(2, 3, 4).permute(2, 0, 1), torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last)):
        assert dense(tensor.shape, tensor.stride())
    assert not dense((3, 2), (4, 1))
    assert not dense((3, 2), (0, 1))


def test_a_gradient_or_a_parameter_is_refused() -> None:
    plain = torch.ones(3)
    assert "Parameter" in problem([torch.nn.Parameter(plain)], [plain])
    assert "gradient" in problem([plain.clone().requires_grad_()], [plain])
    kept = torch.nn.Parameter(plain)
    assert not problem([torch.nn.Parameter(plain.clone())], [kept])


def test_addresses_that_lie_make_no_large_memory() -> None:
    one, two = torch.ones(3), torch.ones(3)
    told = [Place(0, False, "Tensor"), Place(1 << 60, False, "Tensor")]
    assert not layout_problem([one, two], told, [one, two], places_of([one, two]), contiguous_inputs=True)


def test_a_missing_place_is_said() -> None:
    y = torch.ones(3)
    assert "places" in layout_problem([y], [], [y], places_of([y]), contiguous_inputs=True)
