"""A Graph lowered: the plan, with a name for every kernel and every tensor."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kernelwright.agents.builtin import attention, attention_cores, matmul, pointwise, rows, rows_write
from kernelwright.agents.builtin.aten import Lowered, Translator
from kernelwright.agents.builtin.attention_match import fuse_attention
from kernelwright.agents.builtin.errors import CannotFold, NotLowered
from kernelwright.agents.builtin.generated import Generated, without_unused
from kernelwright.agents.builtin.ir import ANCHORS, Node
from kernelwright.agents.builtin.plan import Plan, make_plan, view_base
from kernelwright.agents.builtin.spec import KernelSpec, Unit
from kernelwright.agents.builtin.values import Buffer, buffer_of
from kernelwright.bench_tasks.graph import Graph
from kernelwright.errors import LoweringError

__all__ = ["KernelTemplate", "LoweredGraph", "lower"]

_CPP_WORDS = """
alignas alignof and asm auto bool break case catch char class const constexpr continue default delete do double else enum
explicit export extern false float for friend goto if inline int long mutable namespace new noexcept not nullptr operator or
private protected public register return short signed sizeof static struct switch template this throw true try typedef typename
union unsigned using virtual void volatile while xor
"""
_TEMPLATE_WORDS = """
abs acos acosh all any asin asinh assert at atan atan2 atanh begin block ceil clock cos cosh dim3 end erf erfc erfinv exp exp2
expm1 fabs flat floor floor_divide fma fmod half hypot isinf isnan lane lgamma live load_vector log log10 log1p log2 max maximum
min minimum more my_row part peak pow printf prod reduce_row reduce_strided relu remainder_of rint round rsqrt shuffle_xor sigmoid
sign sin sinh sqrt stage steps store_vector sum tan tanh total trunc turn value vector
a_tile b_tile a_part b_part a_next b_next me of_slice slice step tile_m tile_n thread_m thread_n later k_begin multiply
fetch_a fetch_b stage_a stage_b copy_a copy_b copy_async commit_copies wait_for_copies shared shared_address load_matrices
load_matrices_transposed multiply_add_float16 multiply_add_bfloat16 warp_m warp_n rows row column held
part first of_part partial further place COUNT a_from b_from a_to b_to a_rows b_rows a_m a_k b_n b_k
q_tile k_tile v_tile p_tile q_part k_part v_part p_part s_part o_part q_next k_next v_next tile_q tile_k key_begin key_end seen
all_tiles first highest shift shrink score share inverse group warp_q pair two piece column offset M N K TILE_M TILE_N TILE_K TILE_Q TILES_M TILES_N
THREADS SLICES TILES LANES GROUPS STRIPS QUERIES KEYS LOG2E ROWS COLUMNS VECTORS
"""
_RESERVED = frozenset((_CPP_WORDS + _TEMPLATE_WORDS).split())
"""Words that no tensor may have as its name in C++."""
_SHORT_LOCAL = re.compile(r"^([cijkmnpquvt]|row|batch|flat)\d*(_.*)?$")
"""Names the templates use for their own variables."""

_SILENT = {
    "view",
    "clone",
    "_to_copy",
    "expand",
    "permute",
    "getitem",
    "unsqueeze",
    "squeeze",
    "scalar_tensor",
    "slice",
    "full",
    "select",
}
_NO_WORK = _SILENT | {
    "_assert_tensor_metadata",
    "full_like",
    "zeros",
    "zeros_like",
    "ones",
    "ones_like",
    "empty",
    "alias",
    "detach",
    "unfold",
    "arange",
    "copy",
}
"""Names of operations that compute nothing: views, copies, constants."""


@dataclass(frozen=True)
class KernelTemplate:
    """One kernel of the plan, before its parameters are chosen."""

    name: str
    spec: KernelSpec
    unit: Unit

    def space(self) -> dict[str, tuple[int | str | bool, ...]]:
        """Values of each knob."""
        spaces = {
            "rows": rows.space,
            "pointwise": pointwise.space,
            "matmul": matmul.space,
            "attention": attention.space,
        }
        return spaces[self.spec.kind](self.spec)

    def defaults(self) -> dict[str, int | str | bool]:
        """The first choice."""
        first = {
            "rows": rows.defaults,
            "pointwise": pointwise.defaults,
            "matmul": matmul.defaults,
            "attention": attention.defaults,
        }
        return first[self.spec.kind](self.spec)

    def plain(self) -> dict[str, int | str | bool]:
        """The plainest kernel where a template has one of its own, else the first choice."""
        return attention.plain(self.spec) if self.spec.kind == "attention" else self.defaults()

    def legal(self, choice: Mapping[str, int | str | bool]) -> bool:
        """Whether a combination can run."""
        if self.spec.kind == "rows":
            return rows.legal(self.spec, choice)
        if self.spec.kind == "attention":
            return attention.legal(self.spec, choice)
        return (pointwise if self.spec.kind == "pointwise" else matmul).legal(self.spec, choice)

    def generate(self, choice: Mapping[str, int | str | bool], pointers: Mapping[Buffer, str]) -> Generated:
        """The CUDA of one choice."""
        write = {
            "rows": rows_write.generate,
            "pointwise": pointwise.generate,
            "matmul": matmul.generate,
            "attention": attention_cores.generate,
        }
        generated = write[self.spec.kind](self.spec, self.name, choice, pointers)
        functions = re.split(r'(?=extern "C" __global__)', generated.source)
        generated.source = "".join(without_unused(text) for text in functions)
        return generated

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compute: every result has no elements."""
        return all(s.buffer.node.numel == 0 for s in self.spec.stores)


@dataclass(frozen=True)
class LoweredGraph:
    """What the source is written from."""

    graph: Graph
    lowered: Lowered
    plan: Plan
    kernels: tuple[KernelTemplate, ...]
    """In launch order; empty ones left out."""
    names: Mapping[Node, str]
    """A name for every node in memory, good in Python and in C++."""
    pointers: Mapping[Buffer, str]
    stays_in_torch: tuple[str, ...]


def lower(graph: Graph, arch: str = "", sms: int = 0) -> LoweredGraph:
    """Lowers a graph, for an architecture (`sm_90`) or any from compute capability 8.0 on, and a GPU of so many SMs.

    Raises:
        LoweringError: nothing of it can be lowered, or it can't be written down; says which operations and why.
    """
    if graph.problem:
        raise LoweringError(graph.problem, mend="A kernel can still be written by another coder or by hand.")
    try:
        lowered, plan = _planned(graph)
    except (NotLowered, CannotFold) as why:
        raise LoweringError(f"this module can't be lowered: {why}") from why
    live_torch = [u.members[0].attrs["op"] for u in plan.units if u.kind == "torch"]
    why_left = dict(lowered.left)
    reasons = ", ".join(f"{op} ({why_left.get(op, 'no rule for it')})" for op in dict.fromkeys(live_torch))
    message = ""
    if all(u.kind == "torch" for u in plan.units):
        told = f"no kernel can be written for this module; left over: {reasons}"
        message = told if reasons else "this module computes nothing"
    elif live_torch and not _work(node.op for node in graph.nodes) - _work(live_torch):
        message = f"kernels could be written for what moves data only; all that computes would be left over: {reasons}"
    if message:
        raise LoweringError(message, mend="The built-in coder writes pointwise work, reductions and matrix products.")
    for node in _inputs(plan):
        if node.attrs["input"].opaque:
            raise LoweringError(
                f"the module uses the constant {node.name!r} of shape {node.shape}, too large to write into a source",
                mend="Register it as a buffer of the module.",
            )
    names = _names(graph, plan)
    pointers = {buffer_of(node): name for node, name in names.items()}
    kernels, used = [], set(names.values())
    for unit in plan.units:
        if unit.kind == "torch":
            continue
        assert unit.spec is not None
        unit.spec.arch, unit.spec.sms = arch, sms
        kernel = KernelTemplate(_unique(_kernel_name(unit), used), unit.spec, unit)
        if not kernel.empty:
            kernels.append(kernel)
    return LoweredGraph(graph, lowered, plan, tuple(kernels), names, pointers, tuple(dict.fromkeys(live_torch)))


def _work(operations: Iterable[str]) -> Counter[str]:
    """The operations among these (``aten.add.Tensor``) that compute."""
    return Counter(op for op in operations if op.removeprefix("aten.").split(".")[0] not in _NO_WORK)


def _planned(graph: Graph) -> tuple[Lowered, Plan]:
    """With attention in kernels of its own, or, where some view forbids that, as the products and softmaxes it is made of."""
    lowered = Translator(graph).run()
    if fuse_attention(lowered.program, lowered.outputs):
        try:
            return lowered, make_plan(lowered.program, lowered.outputs)
        except CannotFold:
            lowered = Translator(graph).run()
    return lowered, make_plan(lowered.program, lowered.outputs)


def _inputs(plan: Plan) -> list[Node]:
    found: dict[Node, None] = {}
    for unit in plan.units:
        for node in unit.external:
            if node.kind == "input":
                found[node] = None
    return list(found)


def _names(graph: Graph, plan: Plan) -> dict[Node, str]:
    used = {i.target for i in graph.inputs if i.kind in ("user", "scalar")}
    names: dict[Node, str] = {}
    for node in _inputs(plan):
        kind = node.attrs["input"].kind
        base = _identifier(node.name)
        if kind == "user":
            # The argument itself may keep its name when C++ has nothing against it.
            names[node] = base if base == node.name and base not in names.values() else _unique(base, used)
        else:
            names[node] = _unique(base, used)
    outputs = set(plan.outputs)
    results = [n for n in map(view_base, plan.outputs) if n.kind == "result"]
    for unit in plan.units:
        results += [n for n in unit.external if n.kind == "result"]
    for nodes in [*(unit.stores for unit in plan.units), results]:
        for node in nodes:
            if node not in names:
                base = _identifier(
                    node.name or ("out" if node in outputs else f"{node.attrs.get('origin', 'value')}_{node.id}")
                )
                if node in outputs and len(outputs) == 1:
                    base = "out"
                names[node] = _unique(base, used)
    return names


def _identifier(text: str) -> str:
    name = re.sub(r"\W", "_", text) or "value"
    if name[0].isdigit() or name[0] == "_":
        name = "t" + name if name[0] == "_" else "p" + name
        return f"{name}_in" if _SHORT_LOCAL.match(name) else name
    return f"{name}_in" if name in _RESERVED or _SHORT_LOCAL.match(name) else name


def _unique(name: str, used: set[str]) -> str:
    candidate, count = name, 1
    while candidate in used:
        count += 1
        candidate = f"{name}_{count}"
    used.add(candidate)
    return candidate


def _kernel_name(unit: Unit) -> str:
    """From the ATen operations computed in it: `softmax_rows`, `mul_add_pointwise`, `linear_relu_tiles`."""
    assert unit.spec is not None
    if unit.kind == "attention":
        return "attention"
    suffix = {"rows": "rows", "pointwise": "pointwise", "matmul": "tiles"}[unit.kind]
    seen: set[Node] = set()
    origins: dict[str, int] = {}
    stack = [*unit.members, *unit.stores]
    inside = {*unit.members, *unit.stores}
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        origin = str(node.attrs.get("origin", "")).strip("_")
        if origin and node.attrs.get("origin") not in _SILENT and node.kind not in ("scalar", "expand", "reshape"):
            origins[origin] = min(origins.get(origin, node.id), node.id)
        for x in node.args:
            if x in inside or (x not in unit.external and x.kind not in ANCHORS):
                stack.append(x)
    ordered = sorted(origins, key=lambda o: origins[o])
    text = re.sub(r"\W", "_", "_".join(ordered[:3])) or "copy"
    return f"{text}_{suffix}"
