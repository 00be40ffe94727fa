"""Normal forms of tasks: what they forget and what they don't."""

from __future__ import annotations

from curation_doubles import kernel, task
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelwright.rl.curation.near import Near, jaccard
from kernelwright.rl.curation.normal import normal_task, shingles
from kernelwright.rl.same_kernel import unmasked_source


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
        normal_task(text)


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=400))
def test_any_text_has_a_normal_form(text: str) -> None:
    assert normal_task(text) == normal_task(text)


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
    def runs(text: str) -> frozenset[str]:
        return shingles(unmasked_source(text).tokens)

    source = kernel("gated").source
    one, other = runs(source), runs(source.replace("        out[place]", "        value += 1.0f;\n        out[place]"))
    assert 0.85 <= jaccard(one, other) < 1
    assert jaccard(one, runs(kernel("rows").source)) < 0.85
