"""The reference process: what it computes, and what it says of a task that can't be used."""

from __future__ import annotations

import os
import textwrap

import pytest
import torch

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.live import task_from_module
from kernelwright.bench_tasks.task import Distribution
from kernelwright.errors import TaskError
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.sandbox.trees import same_bits

HEAD = "import torch\nfrom torch import nn\n"
TAIL = "\ndef get_inputs():\n    return [torch.rand(4, 8)]\ndef get_init_inputs():\n    return []\n"


def task(body: str, tail: str = TAIL):
    return task_from_source(HEAD + textwrap.dedent(body) + tail, name="t", path=None)


LINEAR = task("""
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 3)
            self.register_buffer("shift", torch.randn(3))
        def forward(self, x):
            return self.fc(x) + self.shift
""")


@pytest.fixture(scope="module")
def linear():
    with Reference(LINEAR) as reference:
        yield reference


def test_the_signature_names_inputs_outputs_and_weights(linear):
    signature = linear.signature
    assert [(s.shape, s.dtype) for s in signature.inputs] == [((4, 8), "float32")]
    assert [(s.shape, s.dtype) for s in signature.outputs] == [((4, 3), "float32")]
    assert {s.name: s.shape for s in signature.parameters} == {"fc.weight": (3, 8), "fc.bias": (3,), "shift": (3,)}
    assert not linear.hidden_tensors


def test_outputs_agree_with_torch_run_here(linear):
    (x,) = linear.inputs(Distribution.NORMAL, 7)
    state = linear.init(11).state
    result = linear.run([x], weights_seed=11)
    exact = x.double() @ state["fc.weight"].double().t() + state["fc.bias"].double() + state["shift"].double()
    torch.testing.assert_close(result.exact, exact, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(result.native.double(), exact, rtol=1e-5, atol=1e-6)
    moved = (result.moved - exact).abs().max()
    assert 0 < moved < 1e-5  # inputs and weights moved by one float32 epsilon
    assert result.native.dtype == torch.float32
    assert result.changed == ()
    assert result.after is None
    assert result.aliases == ()


def test_a_seed_decides_inputs_and_weights(linear):
    for distribution in Distribution:
        one, two, other = (linear.inputs(distribution, seed)[0] for seed in (1, 1, 2))
        assert same_bits(one, two)
        assert distribution is Distribution.ZEROS or not torch.equal(one, other)
    assert torch.equal(linear.init(1).state["shift"], linear.init(1).state["shift"])
    assert not torch.equal(linear.init(1).state["shift"], linear.init(2).state["shift"])


def test_distributions_are_what_they_say():
    body = "class Model(nn.Module):\n    def forward(self, x, n, i):\n        return x * n + i\n"
    tail = "\ndef get_inputs():\n    return [torch.rand(100, 1000).t(), 3, torch.arange(100)]\n"
    with Reference(task(body, tail)) as reference:
        drawn = {d: reference.inputs(d, 3) for d in Distribution}
    for x, n, i in drawn.values():
        assert x.stride() == (1, 1000)  # the layout that the file gives
        assert n == 3
        assert torch.equal(i, torch.arange(100))
    values = {d: v[0].double() for d, v in drawn.items()}
    assert values[Distribution.AS_GIVEN].min() >= 0
    assert abs(float(values[Distribution.NORMAL].std()) - 1) < 0.02
    assert abs(float(values[Distribution.LARGE].std()) - 100) < 2
    assert abs(float(values[Distribution.TINY].std()) - 1e-3) < 2e-5
    assert float(values[Distribution.UNIFORM].abs().max()) <= 1
    assert float(values[Distribution.CONSTANT].std()) == 0
    assert float(values[Distribution.ZEROS].abs().max()) == 0
    rows = values[Distribution.SORTED].sort(dim=1).values
    ascending = (rows if rows[0, 0] < rows[1, 0] else rows.flip(0)).flatten()
    assert bool((ascending[1:] >= ascending[:-1]).all())
    assert bool(((values[Distribution.ONE_HOT] != 0).sum(-1) == 1).all())
    far = values[Distribution.ONE_HOT].abs().amax(-1) > 100
    assert 0.3 < float(far.double().mean()) < 0.5
    assert bool(
        (values[Distribution.ONE_HOT][far].abs().amax(-1) > 65_504).double().mean() > 0.6
    )  # half precision's end
    for distribution, rare in ((Distribution.INFINITE, torch.isinf), (Distribution.NAN, torch.isnan)):
        assert int(rare(values[distribution]).sum()) == 100_000 // 200
        assert abs(float(values[distribution][~rare(values[distribution])].std()) - 1) < 0.02
    changed = values[Distribution.SPIKED] != values[Distribution.AS_GIVEN]
    spikes = values[Distribution.SPIKED][changed] / values[Distribution.AS_GIVEN].square().mean().sqrt()
    assert int(changed.sum()) == 1000 // 2  # the tensor is handed over as (1000, 100): one in every other row
    assert int(changed.sum(-1).max()) == 1
    assert len(changed.nonzero()[:, 1].unique()) > 90
    assert 7.99 < float(spikes.min()) < 9
    assert 57 < float(spikes.max()) < 64.01
    assert set(values[Distribution.INFINITE].sign()[values[Distribution.INFINITE].isinf()].tolist()) == {-1.0, 1.0}
    spread = values[Distribution.MIXED].abs().log10()
    assert (
        float(spread.quantile(torch.tensor(0.95, dtype=torch.float64)))
        - float(spread.quantile(torch.tensor(0.05, dtype=torch.float64)))
        > 3
    )


def test_the_hot_element_of_a_row_of_half_precision_is_no_infinity():
    body = "class Model(nn.Module):\n    def forward(self, x):\n        return x\n"
    with Reference(task(body, "\ndef get_inputs():\n    return [torch.rand(200, 30).half()]\n")) as reference:
        (x,) = reference.inputs(Distribution.ONE_HOT, 3)
    assert 1 < float(x.abs().max()) < 10


def test_the_largest_has_a_twin_that_half_precision_takes_for_it():
    body = "class Model(nn.Module):\n    def forward(self, x, y, z):\n        return x, y, z\n"
    tail = "\ndef get_inputs():\n    return [torch.rand(1, 50), torch.rand(30, 50).half(), torch.rand(1, 1)]\n"
    with Reference(task(body, tail)) as reference:
        for seed in range(5):
            x, y, _ = reference.inputs(Distribution.MIXED, seed)
            largest, twin = (float(v) for v in x.flatten().topk(2).values)
            assert 0 < abs(largest - twin) < 2**-11 * abs(largest)
            assert float(y.flatten().topk(2).values.diff().abs()) > 0.01  # no ties where none can be told apart


def test_the_hot_elements_of_rows_are_in_every_column_before_any_comes_again():
    body = "class Model(nn.Module):\n    def forward(self, x):\n        return x\n"
    with Reference(task(body, "\ndef get_inputs():\n    return [torch.rand(30, 20)]\n")) as reference:
        counts = [(reference.inputs(Distribution.ONE_HOT, seed)[0] != 0).sum(0) for seed in range(2)]
    for count in counts:
        assert sorted(count.tolist()) == [1] * 10 + [2] * 10
    assert not torch.equal(*counts)


def test_sorted_rows_run_up_and_down_along_every_dimension():
    body = "class Model(nn.Module):\n    def forward(self, x, v):\n        return x, v\n"
    tail = "\ndef get_inputs():\n    return [torch.rand(4, 6, 5), torch.rand(7)]\n"
    directions = set()
    with Reference(task(body, tail)) as reference:
        for seed in range(12):
            cube, row = reference.inputs(Distribution.SORTED, seed)
            for dim in range(3):
                signs = cube.diff(dim=dim).sign()
                first = signs.narrow(dim, 0, 1)
                assert bool((first != 0).all())
                assert torch.equal(signs, first.expand_as(signs))  # each row runs one way
                if dim:
                    beside = (
                        first.narrow(dim - 1, 0, cube.shape[dim - 1] - 1),
                        first.narrow(dim - 1, 1, cube.shape[dim - 1] - 1),
                    )
                    assert torch.equal(beside[0], -beside[1])  # and the next one the other way
            assert bool((row.diff() > 0).all()) or bool((row.diff() < 0).all())
            directions |= {(0, float(row[1] > row[0])), (1, float(cube[1, 0, 0] > cube[0, 0, 0]))}
    assert len(directions) == 4


def test_strided_inputs_hold_the_same_values_apart():
    body = "class Model(nn.Module):\n    def forward(self, x, y, i):\n        return x * y[:, None] + i\n"
    tail = "\ndef get_inputs():\n    return [torch.rand(6, 5), torch.rand(6), torch.arange(5)]\n"
    with Reference(task(body, tail)) as reference:
        apart = reference.inputs(Distribution.NORMAL, 3, strided=True)
        together = reference.inputs(Distribution.NORMAL, 3)
        results = [reference.run(inputs, weights_seed=0).native for inputs in (apart, together)]
    assert [t.stride() for t in apart] == [(1, 6), (2,), (2,)]
    assert [t.stride() for t in together] == [(5, 1), (1,), (1,)]
    assert all(torch.equal(a, b) for a, b in zip(apart, together, strict=True))
    assert torch.equal(*results)


def test_a_module_that_needs_float32_is_judged_against_its_own_dtype():
    body = "class Model(nn.Module):\n    def forward(self, x):\n        assert x.dtype == torch.float32\n        return x.sum(-1)\n"
    with Reference(task(body)) as reference:
        inputs = reference.inputs(Distribution.NORMAL, 1)
        result = reference.run(inputs, weights_seed=0)
    assert result.exact is None
    assert "AssertionError" in result.exact_error
    error = (result.moved - result.native.double()).abs() / inputs[0].abs().sum(-1)
    assert 0 < float(error.max()) < 2**-22


def test_a_reference_that_changes_or_returns_its_input_is_known_for_it():
    with Reference(task("class Model(nn.Module):\n    def forward(self, x):\n        return x.add_(1)\n")) as reference:
        inputs = reference.inputs(Distribution.NORMAL, 1)
        result = reference.run(inputs, weights_seed=0)
    assert result.changed == (0,)
    assert result.aliases == ((0, 0),)
    assert result.after is not None
    torch.testing.assert_close(result.after.exact[0], inputs[0].double() + 1, rtol=0, atol=0)
    torch.testing.assert_close(result.after.native[0], inputs[0] + 1, rtol=0, atol=0)
    far = (result.after.moved[0] - result.after.exact[0]).abs()
    assert 0 < float(far.max()) < 1e-5


def test_float64_inputs_that_are_changed_stay_as_they_were_for_each_run():
    body = "class Model(nn.Module):\n    def forward(self, x, y):\n        y.mul_(x)\n        return x + y\n"
    tail = "\ndef get_inputs():\n    return [torch.rand(30).double(), torch.rand(30).double()]\n"
    with Reference(task(body, tail)) as reference:
        x, y = inputs = reference.inputs(Distribution.NORMAL, 1)
        result = reference.run(inputs, weights_seed=0)
    assert result.changed == (1,)
    torch.testing.assert_close(result.after.exact[0], x * y, rtol=0, atol=0)
    torch.testing.assert_close(result.exact, x + x * y, rtol=0, atol=0)
    assert float((result.moved - result.exact).abs().max()) < 1e-14


def test_a_module_that_insists_on_float32_is_still_run():
    body = (
        "class Model(nn.Module):\n    def forward(self, x):\n        return x @ torch.ones(8, 2, dtype=torch.float32)\n"
    )
    with Reference(task(body)) as reference:
        result = reference.run(reference.inputs(Distribution.NORMAL, 1), weights_seed=0)
    assert result.exact is None
    assert "dtype" in result.exact_error
    assert result.native.shape == (4, 2)


def test_code_written_for_a_gpu_runs_on_the_cpu():
    body = """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.w = nn.Parameter(torch.ones(8, device="cuda"))
            def forward(self, x):
                torch.cuda.synchronize()
                return x.to("cuda") * self.w
    """
    tail = "\ndef get_inputs():\n    return [torch.rand(4, 8).cuda()]\n"
    with Reference(task(body, tail)) as reference:
        assert reference.signature.outputs[0].shape == (4, 8)


def test_a_live_module_keeps_its_weights():
    module = torch.nn.Sequential(torch.nn.Linear(5, 2), torch.nn.ReLU())
    live = task_from_module(module, torch.randn(3, 5))
    assert live.name == "sequential"
    with Reference(live) as reference:
        assert not reference.hidden_tensors
        (x,) = reference.inputs(Distribution.NORMAL, 1)
        got = reference.run([x], weights_seed=5).native
    torch.testing.assert_close(got, module(x).detach())


def test_weights_can_be_moved_off_their_initial_values():
    body = """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.norm = nn.BatchNorm1d(8).eval()
            def forward(self, x):
                return self.norm(x)
    """
    with Reference(task(body)) as reference:
        plain, moved = reference.init(3).state, reference.init(3, moved=True).state
        (x,) = reference.inputs(Distribution.NORMAL, 1)
        result = reference.run([x], weights_seed=3, moved=True)
    assert bool((plain["norm.weight"] == 1).all())
    for name in ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"):
        assert float((moved[name] - plain[name]).abs().max()) > 0.05
    variance = moved["norm.running_var"]
    assert float(variance.min()) > 0
    assert int((variance < 1e-3).sum()) == 2  # one in four is so small that an epsilon of 1e-5 shows
    assert float(moved["norm.weight"].min()) > 1e-2  # no weight is
    wide = {k: v.double() for k, v in moved.items() if v.is_floating_point()}
    scaled = (x.double() - wide["norm.running_mean"]) / torch.sqrt(wide["norm.running_var"] + 1e-5)
    torch.testing.assert_close(result.exact, scaled * wide["norm.weight"] + wide["norm.bias"])


def test_random_tensors_outside_the_state_are_known():
    body = """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.c = torch.randn(8)
            def forward(self, x):
                return x * self.c
    """
    with Reference(task(body)) as reference:
        assert reference.hidden_tensors


def test_a_named_tuple_of_tensors_is_an_output():
    with Reference(task("class Model(nn.Module):\n    def forward(self, x):\n        return x.min(0)\n")) as reference:
        assert [s.dtype for s in reference.signature.outputs] == ["float32", "int64"]


@pytest.mark.parametrize(
    ("body", "tail", "says", "line"),
    [
        ("import nosuchpackage\nclass Model: ...\n", TAIL, "nosuchpackage", 3),
        ("class Model(nn.Module):\n    def forward(self, x):\n        return x / undefined_name\n", TAIL, "undefined_name", 5),
        ("class Model(nn.Module):\n    def forward(self, x):\n        return 'text'\n", TAIL, "a str", 4),
        ("class Model(nn.Module):\n    def forward(self, x):\n        return None\n", TAIL, "None", 4),
        ("class Model(nn.Module):\n    def forward(self, x):\n        return torch.rand(3)\n", TAIL, "not deterministic", 4),
        (
            "class Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.d = nn.Dropout(0.5)\n"
            "    def forward(self, x):\n        return self.d(x)\n",
            TAIL, "Dropout in training mode", None,
        ),
        ("class Model(nn.Module):\n    def forward(self, x):\n        return x\n", "\ndef get_inputs():\n    raise ValueError('boo')\n", "boo", 8),
        ("class Model(nn.Module):\n    def forward(self, x):\n        return x\n", "\ndef get_inputs():\n    return torch.rand(3)\n", "a Tensor", 7),
        ("class Model(nn.Module):\n    def forward(self, x):\n        return x\n", "\ndef get_inputs():\n    return [3]\n", "no tensor", 7),
        ("class Model(nn.Module):\n    def forward(self, x):\n        return x\n", "\ndef get_inputs():\n    return [object()]\n", "neither a tensor", 7),
        (
            "class Model(nn.Module):\n    def forward(self, x):\n        return x[:0]\n",
            TAIL,
            "nothing to compute",
            4,
        ),
        ("class Model:\n    def forward(self, x):\n        return x\n", TAIL, "torch.nn.Module", None),
        ("import sys\nsys.exit(3)\nclass Model: ...\n", TAIL, "SystemExit", 4),
        ("class Model(nn.Module):\n    def __init__(self, n):\n        super().__init__()\n", TAIL, "missing 1 required", None),
    ],
)  # fmt: skip
def test_a_task_that_can_not_be_used_is_explained_with_its_line(body, tail, says, line):
    with pytest.raises(TaskError, match=says) as caught:
        Reference(task(body, tail)).close()
    assert caught.value.mend
    if line is not None:
        assert caught.value.line == line


def test_a_reference_that_dies_or_hangs_is_a_task_error():
    dies = task("import os\nclass Model(nn.Module):\n    def forward(self, x):\n        os.abort()\n")
    with pytest.raises(TaskError, match="SIGABRT"):
        Reference(dies).close()
    hangs = task("class Model(nn.Module):\n    def forward(self, x):\n        while True: pass\n")
    with pytest.raises(TaskError, match="time limit"):
        Reference(hangs, limits=Limits(call_seconds=1, load_seconds=6)).close()


def test_no_key_of_the_person_reaches_a_worker(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    body = """
        import os
        class Model(nn.Module):
            def forward(self, x):
                return x + sum("secret" in v for v in os.environ.values())
    """
    with Reference(task(body)) as reference:
        (x,) = reference.inputs(Distribution.NORMAL, 1)
        assert torch.equal(reference.run([x], weights_seed=0).native, x)
    assert os.environ["OPENAI_API_KEY"] == "sk-secret"


def test_spikes_leave_masks_alone_and_stay_positive_and_finite():
    body = "class Model(nn.Module):\n    def forward(self, x, m, h, e, n):\n        return x\n"
    tail = (
        "\ndef get_inputs():\n    mask = torch.full((4, 300), -math.inf).triu(1)\n    mask[:, 0] = 2.0\n"
        "    return [torch.rand(4, 300), mask, torch.full((4, 300), 30000.0).half(), torch.zeros(0, 3), torch.full((3,), math.nan)]\n"
    )
    with Reference(task("import math\n" + body, tail)) as reference:
        for seed in range(8):
            given, (x, m, h, e, n) = (reference.inputs(d, seed) for d in (Distribution.AS_GIVEN, Distribution.SPIKED))
            assert float(x.min()) >= 0
            assert 7.9 < float(x.max() / given[0].square().mean().sqrt()) < 64.1
            assert torch.equal(m.isinf(), given[1].isinf())
            assert not m.isnan().any()
            assert float(h.max()) == torch.finfo(torch.half).max
            assert e.shape == (0, 3)
            assert bool(n.isnan().all())
