"""A built-in coder for a product and a softmax, from a graph written by hand (no torch), and times that its knobs decide."""

from __future__ import annotations

from collections.abc import Mapping

from search_doubles import Outcome, evaluation

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.knobs import by_function
from kernelwright.agents.builtin.space import Value
from kernelwright.agents.protocols import PastAttempt
from kernelwright.bench_tasks.graph import Graph, GraphInput, GraphNode, TensorMeta
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Verdict

PRODUCT, ROWS = "mm_tiles", "softmax_rows"
"""Its two kernel functions."""


def product_coder() -> BuiltinCoder:
    """softmax(a @ b) of a (256, 1024) and b (1024, 512), on an H200."""
    a, b, c = (TensorMeta(shape, "float32", (shape[1], 1)) for shape in ((256, 1024), (1024, 512), (256, 512)))
    graph = Graph(
        inputs=(GraphInput("a", "user", "a", 0, a), GraphInput("b", "user", "b", 1, b)),
        nodes=(
            GraphNode("mm", "aten.mm.default", ({"ref": "a"}, {"ref": "b"}), {}, (c,)),
            GraphNode("softmax", "aten._softmax.default", ({"ref": "mm"}, -1, False), {}, (c,)),
        ),
        output={"ref": "softmax"},
    )
    return BuiltinCoder(graph, "product", arch="sm_90", sms=132)


def timed(kernel: Kernel, rows: Mapping[str, float]) -> Evaluation:
    """It passed; `rows` are the seconds of each kernel function."""
    found = evaluation(kernel, sum(rows.values()))
    assert found.timing is not None
    breakdown = [{"name": name, "seconds": seconds, "limited_by": "dram"} for name, seconds in rows.items()]
    return found.model_copy(update={"timing": found.timing.model_copy(update={"breakdown": breakdown})})


def seconds_of(coder: BuiltinCoder, choice: Mapping[str, Value], best: Mapping[str, Value]) -> dict[str, float]:
    """Separable: each knob adds as much as it is away from its value in `best`, 1 µs for the whole way; 1 µs at best."""
    found = {}
    for function, names in by_function(coder.defaults).items():
        ways = [
            abs(values.index(choice[name]) - values.index(best[name])) / (len(values) - 1)
            for name in names
            if (values := coder.space.get(name)) is not None
        ]
        found[function] = 1e-6 * (1 + sum(ways))
    return found


def made(
    coder: BuiltinCoder, number: int, outcome: Outcome | Mapping[str, float], choice: Mapping[str, Value] | None = None
) -> PastAttempt:
    """An attempt with this choice, the defaults if none is given."""
    kernel = coder.proposal({**coder.defaults, **(choice or {})}, (), None, "").kernel
    judged = timed(kernel, outcome) if isinstance(outcome, Mapping) else evaluation(kernel, outcome)
    return PastAttempt(number, kernel, judged)


def let_go(kernel: Kernel, rows: Mapping[str, float]) -> Evaluation:
    """It was outclassed, with these seconds of each kernel function."""
    evidence = {
        "rival_seconds": 1e-9,
        "modelled_seconds": sum(rows.values()),
        "breakdown": [{"name": name, "seconds": seconds} for name, seconds in rows.items()],
    }
    found = evaluation(kernel, Verdict.OUTCLASSED)
    stage = found.stages[-1].model_copy(update={"evidence": evidence})
    return found.model_copy(update={"stages": [*found.stages[:-1], stage]})
