"""Kernels in replies, whatever they are wrapped in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_doubles import fenced, module

from kernelwright.agents.llm.parse import clean, find_kernel, is_module, plan_of, without_thoughts

KERNEL = module(2)
OTHER = module(3)
WITH_FENCES = KERNEL.replace("import cupy", '"""How it was made:\n```\nby hand\n```\n"""\nimport cupy', 1)


@pytest.mark.parametrize(
    "reply",
    [
        fenced(KERNEL),
        KERNEL,
        f"Here you are:\n\n{KERNEL}",
        f"PLAN: wider\nHere you are.\n\n{KERNEL}\n\nIt loads 16 bytes at a time. Enjoy!\n",
        f"```\n{KERNEL}```",
        f"```cuda\n{KERNEL}```",
        f"```Python title=kernel.py\n{KERNEL}```",
        f"~~~python\n{KERNEL}~~~",
        f"`````python\n{KERNEL}`````",
        f"```python\n{KERNEL}",
        f"\ufeff```python\r\n{KERNEL}```\r\n".replace("\n", "\r\n"),
        f"```cpp\n__global__ void k() {{}}\n```\nand\n```python\n{KERNEL}```\nand\n```sh\npython x.py\n```",
        f"```python\nclass Helper: pass\n```\n```python\n{KERNEL}```",
        f"First try:\n```python\n{OTHER}```\nBut that is wrong. Better:\n```python\n{KERNEL}```",
        f"```python\n{KERNEL}```\nDo not write\n```python\nclass ModelNew(:\n```",
        "1. so\n\n" + "\n".join("   " + line for line in f"```python\n{KERNEL}```".split("\n")),
        json.dumps({"plan": "wider", "code": KERNEL}),
        f"```json\n{json.dumps({'kernel': KERNEL})}\n```",
        json.dumps({"answer": fenced(KERNEL)}),
        f"<think>\nmaybe\n```python\n{OTHER}```\n</think>\n```python\n{KERNEL}```",
    ],
)
def test_the_kernel_is_found(reply: str) -> None:
    found = find_kernel(without_thoughts(clean(reply)))
    assert found is not None
    assert found[0].strip() == KERNEL.strip()


def test_a_module_with_fences_in_it_is_whole() -> None:
    found = find_kernel(fenced(WITH_FENCES))
    assert found is not None
    assert found[0] == WITH_FENCES


def test_what_stands_in_code_is_not_touched() -> None:
    source = KERNEL + "# &lt;float&gt; &amp;x \\n \t ``` \u202e\n"
    found = find_kernel(clean(fenced(source)))
    assert found is not None
    assert found[0] == source


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "   \n",
        "I'm sorry, I can't.",
        '```cuda\nextern "C" __global__ void k() {}\n```',
        "```rust\nfn main() {}\n```",
        "```python\nprint('hello')\n```",
        "# ModelNew is a class",
        "{",
        '{"code": 3}',
        "[" * 50_000,
        '{"a":' * 20_000,
        "```" * 30_000,
        "```python\n" * 5_000,
    ],
)
def test_no_kernel_is_found_where_there_is_none(reply: str) -> None:
    assert find_kernel(without_thoughts(clean(reply))) is None


def test_an_end_that_is_not_there_is_told() -> None:
    assert find_kernel(f"```python\n{KERNEL}```") == (KERNEL, True)
    assert find_kernel(f"```python\n{KERNEL}") == (KERNEL, False)
    cut = f"```python\n{KERNEL[:200]}"
    assert "ModelNew" not in cut
    assert find_kernel(cut) is None


def test_thoughts_that_never_end_leave_nothing() -> None:
    assert without_thoughts("<think>\nfor ever and") == ""
    assert without_thoughts("We <think> so") == "We <think> so"


def test_clean_text_can_be_kept_anywhere() -> None:
    text = clean("a\0b\ud800c\r\nd\re\ufeff")
    assert text == "a\ufffdb?c\nd\ne"
    text.encode()


@given(st.text(max_size=2000))
def test_any_text_is_read(text: str) -> None:
    find_kernel(without_thoughts(clean(text)))
    plan_of(clean(text))


@given(
    st.lists(st.sampled_from(["```", "```python", "~~~", "class ModelNew: pass", "x = 1", "{", '"', ""]), max_size=40)
)
def test_any_mixture_of_fences_is_read(lines: list[str]) -> None:
    find_kernel("\n".join(lines))


def test_two_hundred_kilobytes_are_read() -> None:
    source = KERNEL + "".join(f"# line {n}\n" for n in range(18_000))
    assert len(source) > 200_000
    found = find_kernel(f"prose\n\n{source}")
    assert found is not None
    assert found[0] == source


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "reply",
    ["```" + " " * 300_000 + "`", "```python\nfrom a import" + " " * 300_000 + "\n```"],
    ids=["a fence that is none", "an import of nothing"],
)
def test_blanks_cost_no_more_than_their_number(reply: str) -> None:
    """Of two repetitions side by side that both take blanks, each share-out was tried: hours for a reply of 300 KB."""
    assert find_kernel(reply) is None
    assert len(plan_of(reply)) < 100


def test_a_module_is_python_that_binds_the_name() -> None:
    assert is_module("ModelNew = make()\n")
    assert not is_module("class ModelNewer: pass\n")
    assert not is_module("class ModelNew(:\n")
    assert not is_module("def f():\n    class ModelNew: pass\n")


@pytest.mark.parametrize(
    ("reply", "plan"),
    [
        ("PLAN: load 16 bytes at a time\n```python\nx = 1\n```", "load 16 bytes at a time"),
        ("**PLAN:** wider loads.", "wider loads."),
        ("- PLAN: a\nPLAN: b", "a"),
        ("I widen the loads. That brings much.\n```python\nPLAN = 1\n```", "I widen the loads."),
        (KERNEL, ""),
        ('{"code": "x"}', ""),
        ("", ""),
    ],
)
def test_the_plan_is_what_is_stated_or_said_first(reply: str, plan: str) -> None:
    assert plan_of(reply) == plan
