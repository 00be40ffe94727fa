"""Normal forms: what they forget and what they don't."""

from __future__ import annotations

import ast

from curation_doubles import kernel, task
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelwright.rl.curation.near import Near, jaccard
from kernelwright.rl.curation.normal import normal_kernel, normal_task, shingles

SOURCE = kernel("gated").source
DISGUISED = (
    SOURCE.replace("value", "accumulated").replace("place", "i").replace("gated_kernel", "mine").replace("KERNEL", "LAUNCH")
    .replace("    const int row = blockIdx.x;", "    // the row of this block\n    const int row  =  blockIdx.x; /* one each */")
    .replace("class ModelNew(torch.nn.Module):", 'class ModelNew(torch.nn.Module):\n    """Mine."""\n')
    .replace("import cupy\nimport torch\n", "import torch as t, cupy as cp\n# new\n").replace("torch.nn", "t.nn")
    .replace("torch.empty", "t.empty").replace("torch.ones", "t.ones").replace("cupy.Raw", "cp.Raw").replace("self.scale", "self.factor")
    .replace("out = t.empty_like(x)", "result = t.empty_like(x)").replace("out.data_ptr()", "result.data_ptr()")
    .replace("return out", "return result")
)  # fmt: skip


def test_a_kernel_in_disguise_is_the_same() -> None:
    assert DISGUISED != SOURCE
    assert normal_kernel(DISGUISED) == normal_kernel(SOURCE)


def test_layout_of_python_does_not_count() -> None:
    assert normal_kernel(ast.unparse(ast.parse(SOURCE))) == normal_kernel(SOURCE)


def test_what_a_kernel_does_counts() -> None:
    for old, new in (
        ("blockIdx.x", "blockIdx.y"), ("tanhf(", "sinhf("), ("256", "128"), ("x[place] * scale[col]", "x[place] + scale[col]"),
        ("value = x[place]", "value = y[place]"), ("empty_like", "zeros_like"), ("x.shape[0]", "x.shape[1]"),
    ):  # fmt: skip
        assert old in SOURCE
        assert normal_kernel(SOURCE.replace(old, new)) != normal_kernel(SOURCE), old


def test_a_kernel_called_by_its_name_is_followed_through_strings() -> None:
    other = SOURCE.replace('get_function("gated_kernel")', 'get_function("another")')
    assert normal_kernel(other) != normal_kernel(SOURCE)


def test_a_task_is_the_same_at_other_sizes_and_in_other_words() -> None:
    one = task("gated", rows=512, cols=1024).source
    other = task("gated", rows=8, cols=96, title="Something else.").source
    body = "        # a gate\n        z = self.scale * 1\n        return torch.tanh(z + y)"
    assert normal_task(one) == normal_task(other)
    renamed = (
        one.replace("hidden", "gate").replace("self.scale", "self.g").replace("(self, x, y)", "(self, left, right)")
    )
    renamed = renamed.replace("F.silu(x)", "nn.functional.silu(left)").replace("gate + y", "gate + right")
    assert normal_task(renamed) == normal_task(one)
    assert normal_task(task("gated", body=body).source) != normal_task(one)


def test_an_operation_is_one_however_it_is_spelt() -> None:
    forms = [
        "        return torch.softmax(x, dim=-1) + y",
        "        return F.softmax(x, -1) + y",
        "        return x.softmax(dim=1) + y",
    ]
    assert len({normal_task(task("mixed", body=body).source) for body in forms}) == 1


def test_hostile_text_is_taken_as_it_is() -> None:
    for text in (
        "",
        "def (",
        "\0",
        "(" * 5000,
        "class Model:\n" + " " * 300_000 + "pass",
        "x = '" + "\\" * 999,
        "'" * 50_001,
        "/*" * 40_000,
    ):
        normal_kernel(text)
        normal_task(text)


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=400))
def test_any_text_has_a_normal_form(text: str) -> None:
    assert normal_kernel(text) == normal_kernel(text)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.frozensets(st.integers(0, 60).map(str), min_size=1, max_size=40), min_size=1, max_size=12), st.data()
)
def test_near_gives_what_counting_gives(sets: list[frozenset[str]], data: st.DataObject) -> None:
    near = Near(0.8)
    for number, members in enumerate(sets):
        near.add(str(number), members)
    asked = data.draw(st.sampled_from(sets))
    found = near.nearest(asked)
    assert found is not None
    assert found[1] == max(jaccard(asked, each) for each in sets) == 1.0


def test_near_duplicates_share_their_runs() -> None:
    one = shingles(normal_kernel(SOURCE))
    other = shingles(normal_kernel(SOURCE.replace("        out[place]", "        value += 1.0f;\n        out[place]")))
    assert 0.85 <= jaccard(one, other) < 1
    assert jaccard(one, shingles(normal_kernel(kernel("rows").source))) < 0.85
