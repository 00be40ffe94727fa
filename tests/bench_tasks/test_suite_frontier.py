"""The suite frontier: what its files promise, read without running them."""

from __future__ import annotations

import ast
from collections import Counter

from kernelwright.bench_tasks.constants import constants_of
from kernelwright.bench_tasks.own import own_suite

SUITE = own_suite("frontier")
BASES = [task for task in SUITE.tasks if "@" not in task.name]


def test_it_has_the_kernels_that_it_promises() -> None:
    wanted = (
        "any_bit_dequantise csr_gemm fft_long_convolution gqa_decode graph_gather_reduce hash_grid_encoding im2win_convolution "
        "int4_gemm int8_cache_attention linear_attention linear_cross_entropy log_bessel_i log_bessel_k lora_gather_gemm "
        "paged_attention rope sliding_window_attention sparse24_gemm splat_blend splat_project subpixel_upscale tiny_mlp "
        "top_k_sampling top_p_sampling"
    )
    assert set(wanted.split()) <= {task.name for task in BASES}
    assert len(BASES) >= 45


def test_families_are_several_and_none_is_half_of_the_suite() -> None:
    counts = Counter(task.family for task in BASES)
    assert "" not in counts
    assert len(counts) >= 15
    assert max(counts.values()) <= len(BASES) // 3


def test_names_and_titles_are_unique_and_each_file_names_a_paper_or_a_format() -> None:
    assert len({task.name for task in SUITE.tasks}) == len(SUITE.tasks)
    assert len({task.title for task in BASES}) == len(BASES)
    for task in BASES:
        assert "arXiv:" in (ast.get_docstring(ast.parse(task.task.source)) or ""), task.name


def test_a_twin_is_smaller_than_its_task_and_leaves_no_size_at_one() -> None:
    for task in SUITE.tasks:
        assert task.twin, task.name
        full = constants_of(task.task.source)
        for name, size in task.twin.items():
            assert 1 < size <= full[name], (task.name, name)
        assert any(size < full[name] for name, size in task.twin.items()), task.name


def test_half_precision_and_gradients_are_asked_for_where_they_are_used() -> None:
    types = Counter(constants_of(task.task.source)["DTYPE"] for task in SUITE.tasks)
    assert types["float16"] >= 12
    assert types["bfloat16"] >= 12
    assert sum(task.task.backward for task in SUITE.tasks) >= 18
