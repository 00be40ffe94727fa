"""Reading replies of a model under training: whatever it writes, a kernel or a reason, and nothing raised."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from llm_doubles import fenced, module
from unhurried import unhurried

from kernelwright.rl.contrastive.reading import LARGEST, read_reply


def test_a_kernel_with_its_plan_author_and_parents() -> None:
    found = read_reply(fenced(module(3), "tile by 32"), "trained:tiny", ("a" * 16,))
    assert found.kernel is not None
    assert found.kernel.source == module(3)
    assert (found.kernel.author, found.kernel.parents, found.plan) == ("trained:tiny", ("a" * 16,), "tile by 32")


def test_three_parts_as_the_prompt_asks_for_them() -> None:
    text = f"## Analysis\nThe second is wider.\n\n## Design\n1. Wider.\nPLAN: wider\n\n## Code\n```python\n{module(1)}```\n"
    found = read_reply(text, "x")
    assert found.kernel is not None
    assert (found.kernel.source, found.plan) == (module(1), "wider")


def test_replies_without_a_kernel_say_why() -> None:
    assert read_reply("", "x").plan == "an empty reply"
    assert read_reply("<think>on and on", "x").plan == "an empty reply"
    assert read_reply("I can't.", "x").plan == "no module that defines ModelNew"
    assert read_reply("x" * (4 * LARGEST + 1), "x").kernel is None
    assert read_reply(f"```python\nclass ModelNew: pass\n{'#' * LARGEST}\n```", "x").kernel is None


def test_code_that_does_not_parse_is_a_kernel_for_the_verifier_to_refuse() -> None:
    assert read_reply("```python\nclass ModelNew(:\n```", "x").kernel is not None


@unhurried
@given(st.text())
def test_no_text_raises_and_a_plan_is_one_line(text: str) -> None:
    found = read_reply(text, "x")
    assert "\n" not in found.plan
    assert found.kernel is None or "ModelNew" in found.kernel.source
