"""How the inputs of a FlashInfer-Bench definition are made: Python text for each, by its dtype, its name and the constraints.

Floating-point inputs are normal. Integers mean something (offsets, pages, slots): where a workload has no file of them, valid
ones are drawn by what the name and the constraints say, and where these say too little that is told.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelwright.bench_tasks.readers.flashinfer_definition import FLOAT8, FLOATS, INTEGERS, Definition, TensorOf

__all__ = ["HELPERS", "Recipe", "derived_axes", "recipe_of"]

_POOLS = ("num_pages", "num_blocks", "total_pages", "state_cache_size", "pool_size", "cache_size", "num_slots")
_PAGES, _SLOTS = _POOLS[:3], _POOLS[3:]

HELPERS = {
    "_split": '''
def _split(total, parts, least):
    """`total` in so many parts at random, none below its `least` where that is possible."""
    least = least if int(least.sum()) <= total else torch.zeros_like(least)
    spare = total - int(least.sum())
    cuts = torch.randint(0, spare + 1, (max(parts - 1, 0),)).sort().values
    ends = torch.tensor([0]), cuts, torch.tensor([spare])
    return least + torch.cat(ends).diff()
''',
    "_offsets": '''
def _offsets(sizes):
    """Where each part begins, and where the last one ends."""
    return torch.cat([torch.tensor([0]), sizes.cumsum(0)])
''',
    "_places": '''
def _places(count, among):
    """So many places, no two the same where there are enough."""
    return torch.randperm(among)[:count] if count <= among else torch.randint(0, among, (count,))
''',
    "_chosen": '''
def _chosen(rows, count, among):
    """For each row so many different places; -1 where there are no more."""
    found = torch.full((rows, count), -1)
    for row in found:
        row[: min(count, among)] = torch.randperm(among)[:count]
    return found
''',
    "_last_page_len": '''
def _last_page_len(pages, page_size, tokens):
    """How much of the last page is used: at random, but no less than `tokens` need."""
    least = (tokens - (pages - 1) * page_size).clamp(1, page_size)
    return least + (torch.rand(len(pages)) * (page_size - least + 1)).long()
''',
    "_stored": '''
def _stored(name, shape, dtype):
    """What the workload's file has, or None."""
    data = ATTACHMENTS.get(f"{WORKLOAD}/{name}")
    return None if data is None else torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
''',
}
"""Functions that the texts below call, by name."""


@dataclass(frozen=True)
class Recipe:
    """How one input is made."""

    text: str
    """A Python expression over the axes and the inputs that are made before it."""
    after: tuple[str, ...] = ()
    """Inputs that it reads."""


def derived_axes(definition: Definition) -> dict[str, str]:
    """Variable axes that another one decides, with the expression for each: an array of offsets is one longer than there are parts."""
    found: dict[str, str] = {}
    for left, right in _equalities(definition.constraints):
        if (
            isinstance(left, ast.Name) and left.id in definition.variables
            and isinstance(right, ast.BinOp) and isinstance(right.op, ast.Add | ast.Sub)
            and isinstance(right.left, ast.Name) and right.left.id in definition.variables
            and isinstance(right.right, ast.Constant) and type(right.right.value) is int
            and right.left.id not in found and right.left.id != left.id
        ):  # fmt: skip
            found[left.id] = ast.unparse(right)
    if {"len_indptr", "batch_size"} <= set(definition.variables) and not found:
        found["len_indptr"] = "batch_size + 1"
    return found


def _equalities(constraints: Sequence[str]) -> list[tuple[ast.expr, ast.expr]]:
    found = []
    for text in constraints:
        try:
            node = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
            found += [(node.left, node.comparators[0]), (node.comparators[0], node.left)]
    return found


def _ends(definition: Definition) -> dict[str, str]:
    """Inputs that are offsets, and the axis that they end with, by constraints like ``total_q == qo_indptr[-1].item()``."""
    found = {}
    for left, right in _equalities(definition.constraints):
        if isinstance(left, ast.Name) and left.id in definition.variables:
            for name in definition.inputs:
                if ast.unparse(right) in {f"{name}[-1].item()", f"{name}[-1]", f"int({name}[-1])"}:
                    found[name] = left.id
    return found


def recipe_of(definition: Definition, name: str, scalars: Mapping[str, object], *, drawn: bool) -> Recipe | str:
    """How the input is made, or why that can't be told, as a sentence.

    Args:
        scalars: plain numbers that all workloads give.
        drawn: whether a workload says that it is random.
    """
    spec = definition.inputs[name]
    if spec.shape is None:
        return _number(definition, name, spec)
    shape = f"({', '.join(spec.shape)}{',' if len(spec.shape) == 1 else ''})"
    if spec.dtype in FLOATS:
        return Recipe(_floats(definition, name, shape, spec.dtype))
    if spec.dtype in FLOAT8:
        # the bits: a judge that draws other numbers would leave the range of so short a type
        return Recipe(f"torch.randn{shape}.clamp(-2, 2).to(torch.{spec.dtype}).view(torch.uint8)")
    if spec.dtype == "bool":
        return Recipe(f"torch.randint(0, 2, {shape}).bool()")
    if spec.dtype not in INTEGERS:
        return f"the input {name!r} is of dtype {spec.dtype!r}, which torch's CPU operations do not have."
    found = _integers(definition, name, spec)
    if found is None and drawn:  # the bounds that FlashInfer-Bench has for random integers
        low, high = (-128, 128) if spec.dtype == "int8" else (-1024, 1024)
        found = Recipe(f"torch.randint({low}, {high}, {shape})")
    if found is None:
        return (
            f"nothing says which values the integers of the input {name!r} may have: its workloads have no file of them here, and "
            "neither its name nor the constraints tell."
        )
    if "pack" in spec.description.lower() or ("fp8" in name and spec.dtype == "int8"):
        return f"the input {name!r} holds several things packed into one number, which a definition does not describe."
    return Recipe(f"{found.text}.to(torch.{spec.dtype})", found.after)


def _number(definition: Definition, name: str, spec: TensorOf) -> Recipe | str:
    """A plain number that no workload gives."""
    if "scale" in name and spec.dtype in FLOATS:
        first = next((each for each, other in definition.inputs.items() if other.shape), None)
        if first is not None and "scaling" not in name:
            return Recipe(f"{first}.shape[-1] ** -0.5", (first,))
        return Recipe("1.0")
    if spec.dtype in FLOATS:
        return Recipe("1.0")
    return Recipe("0") if "offset" in name else f"no workload gives the number {name!r}."


def _floats(definition: Definition, name: str, shape: str, dtype: str) -> str:
    if name == "probs" and definition.op_type == "sampling":
        return f"torch.randn{shape}.softmax(-1).to(torch.{dtype})"
    if name == "top_p":
        return f"torch.rand{shape}.clamp(0.1, 0.99).to(torch.{dtype})"
    return f"torch.randn({shape}, dtype=torch.{dtype})"


def _integers(definition: Definition, name: str, spec: TensorOf) -> Recipe | None:
    assert spec.shape is not None
    axes = {**definition.constants, **dict.fromkeys(definition.variables)}
    count, *more = spec.shape or ("",)
    if name in (ends := _ends(definition)):
        return _offsets_of(definition, name, count, ends)
    page = "page_size" if "page_size" in axes else "1"
    pages = next((axis for axis in _PAGES if axis in axes), None)
    slots = next((axis for axis in _SLOTS if axis in axes), None)
    if "last_page_len" in name and len(spec.shape) == 1:
        offsets = [each for each in ends if "kv" in each] or [each for each in ends if "qo" not in each]
        if not offsets:
            return Recipe(f"torch.randint(1, {page} + 1, ({count},))")
        pages_of = f"{offsets[0]}.diff().long()"
        tokens = next(
            (f"{each}.diff().long()" for each in ends if each.startswith("q")), f"torch.ones_like({pages_of})"
        )
        text = f"_last_page_len({pages_of}, {page}, {tokens})"
        if count == definition.inputs[offsets[0]].shape[0]:  # type: ignore[index]
            text = f"torch.cat([{text}, torch.tensor([1])])"  # as long as the offsets: the last is not read
        return Recipe(text, (offsets[0], *(each for each in ends if each.startswith("q"))))
    if "sparse" in name and name.endswith("indices") and pages and more:
        return Recipe(f"_chosen({count}, {more[0]}, {pages} * {page})")
    if name.endswith(("indices", "indptr_indices", "table", "tables", "page_ids")):
        among = slots if "state" in name or "slot" in name or not pages else pages
        if among:
            return Recipe(f"_places({' * '.join(spec.shape)}, {among}).reshape({', '.join(spec.shape)})")
    if name in {"positions", "position_ids", "pos_ids"}:
        longest = next((axis for axis in axes if axis.startswith("max_") and ("len" in axis or "pos" in axis)), None)
        return Recipe(f"torch.randint(0, {longest}, ({', '.join(spec.shape)},))") if longest else None
    if name in {"seq_lens", "kv_lens", "context_lens", "cache_seqlens"} and "max_num_pages" in axes:
        return Recipe(f"torch.randint(1, max_num_pages * {page} + 1, ({count},))")
    if name == "top_k" and "vocab_size" in axes:
        return Recipe(f"torch.randint(1, min(vocab_size, 128), ({count},))")
    if name in {"topk_ids", "expert_ids", "topk_indices"} and "num_experts" in axes:
        return Recipe(f"torch.randint(0, num_experts, ({', '.join(spec.shape)},))")
    return None


def _offsets_of(definition: Definition, name: str, count: str, ends: Mapping[str, str]) -> Recipe:
    """Offsets into keys leave each sequence at least as many as it has queries, where there are offsets of those too."""
    queries = next((each for each in ends if each.startswith("q") and each != name), None)
    least = f"torch.ones({count} - 1, dtype=torch.int64)"
    after: tuple[str, ...] = ()
    if queries is not None and name.startswith("kv"):
        least, after = f"{queries}.diff().long()", (queries,)
        if "page_size" in definition.constants:
            least = f"({least} + page_size - 1) // page_size"
    return Recipe(f"_offsets(_split({ends[name]}, {count} - 1, {least}))", after)
