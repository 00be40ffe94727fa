"""Finds attention in a program: a matrix product, a softmax of what is made of it, and a second product with the values.

What stands between the first product and the softmax may be any pointwise work (a scale, masks, biases, a soft cap). Where
nothing else needs the scores, the second product becomes a node of kind `attention` (args: what the softmax is taken of, and
the values; attrs: `scores`, the first product, and `zero_if_masked`) and the first one a node of kind `scores`, which has no
kernel of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.agents.builtin import attention
from kernelwright.agents.builtin.ir import Node, Program, contiguous
from kernelwright.agents.builtin.plan import view_base

__all__ = ["fuse_attention"]

_SAME_PLACE = ("reshape", "expand", "pointwise")
"""Kinds through which an element of the scores stays the element it is, if the number of elements does."""


def fuse_attention(program: Program, outputs: Sequence[Node]) -> int:
    """Changes the program in place; returns how many attentions it found."""
    found = 0
    consumers = _consumers(outputs)
    for product in [n for n in program.nodes if n.kind == "matmul" and n in consumers]:
        if _fuse(product, outputs, consumers):
            found += 1
            consumers = _consumers(outputs)
    return found


def _consumers(outputs: Sequence[Node]) -> dict[Node, list[Node]]:
    """Who uses each live node; an output without other users has none."""
    found: dict[Node, list[Node]] = {node: [] for node in outputs}
    stack = list(dict.fromkeys(outputs))
    seen = set(stack)
    while stack:
        node = stack.pop()
        for x in node.args:
            found.setdefault(x, []).append(node)
            if x not in seen:
                seen.add(x)
                stack.append(x)
    return found


def _fuse(product: Node, outputs: Sequence[Node], consumers: dict[Node, list[Node]]) -> bool:
    shares, values = product.args
    softmax = _softmax_argument(_peeled(shares))
    if softmax is None or product.dtype not in attention.DTYPES or values.dtype != product.dtype:
        return False
    score, zero_if_masked = softmax
    batch, m, n = shares.shape
    if score.numel != shares.numel or not score.shape or score.shape[-1] != n:
        return False
    scores = _first_product(score, (batch, m, n))
    if scores is None or any(x.dtype != values.dtype for x in scores.args):
        return False
    if not attention.fits(scores.args[0].shape[2], values.shape[2], product.dtype):
        return False
    inside = _between(product, scores)
    if any(node in outputs or any(c not in inside for c in consumers[node]) for node in inside - {product}):
        return False
    result = _heads_apart(product, outputs, consumers)
    result.kind, result.args = "attention", (score, values)
    result.attrs = {**result.attrs, "scores": scores, "zero_if_masked": zero_if_masked, "origin": "attention"}
    scores.kind = "scores"
    stride = _stored_order(result, outputs, consumers)
    if stride is not None:
        result.stride = stride
    return True


def _peeled(node: Node) -> Node:
    """Without reshapes, copies, conversions between floating-point types and broadcasts that change nothing."""
    while node.args and node.args[0].numel == node.numel:
        if node.kind == "pointwise" and node.attrs["fn"] not in ("copy", "cast"):
            break
        if node.kind not in _SAME_PLACE or "float" not in node.args[0].dtype:
            break
        node = node.args[0]
    return node


def _bare(node: Node) -> Node:
    """Without reshapes and broadcasts."""
    while node.kind in ("reshape", "expand"):
        node = node.args[0]
    return node


def _is(node: Node, fn: str) -> bool:
    return node.kind == "pointwise" and node.attrs["fn"] == fn


def _number(node: Node) -> float | None:
    node = _bare(node)
    return float(node.attrs["value"]) if node.kind == "scalar" else None


def _softmax_argument(share: Node) -> tuple[Node, bool] | None:
    """What `share` is the softmax of over its last dimension, and whether rows of minus infinity give zeros."""
    zero = False
    if _is(share, "where"):
        test, empty, share = share.args
        test = _bare(test)
        if not _is(test, "eq") or _number(empty) != 0 or _number(test.args[1]) != float("-inf"):
            return None
        peak_tested, zero = _bare(test.args[0]), True
    if not _is(share, "div"):
        return None
    power, total = share.args[0], _bare(share.args[1])
    if not _is(power, "exp") or not _last_reduction(total, "sum", power):
        return None
    shifted = power.args[0]
    if not _is(shifted, "sub"):
        return None
    source, peak = shifted.args[0], _bare(shifted.args[1])
    if not _last_reduction(peak, "max", source) or (zero and peak_tested is not peak):
        return None
    return source, zero


def _last_reduction(node: Node, op: str, source: Node) -> bool:
    last = len(source.shape) - 1
    return node.kind == "reduce" and node.attrs["op"] == op and node.args[0] is source and node.attrs["dims"] == (last,)


def _first_product(score: Node, shape: tuple[int, int, int]) -> Node | None:
    """The matrix product of this shape that the scores are made of, element by element."""
    stack, seen = [score], set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.kind == "matmul" and node.shape == shape:
            return node
        if node.kind in _SAME_PLACE and node.numel == score.numel:
            stack.extend(reversed(node.args))
    return None


def _between(product: Node, scores: Node) -> set[Node]:
    """All nodes on a way from the second product down to the first, both included."""
    below: set[Node] = set()
    stack = [product]
    while stack:
        node = stack.pop()
        if node not in below and node.id >= scores.id:
            below.add(node)
            stack.extend(node.args)
    inside = {scores}
    for node in sorted(below, key=lambda n: n.id):
        if any(x in inside for x in node.args):
            inside.add(node)
    return inside


def _heads_apart(product: Node, outputs: Sequence[Node], consumers: dict[Node, list[Node]]) -> Node:
    """The node to turn into the attention: the reshape behind the product that takes batch and heads apart, if there is one, so
    that the result may be stored in another order than that of the product."""
    users = consumers[product]
    if product in outputs or len(users) != 1 or users[0].kind != "reshape":
        return product
    return users[0] if users[0].shape[-2:] == product.shape[-2:] else product


def _stored_order(node: Node, outputs: Sequence[Node], consumers: dict[Node, list[Node]]) -> tuple[int, ...] | None:
    """Strides that make the only thing done to the result, a permutation, cost nothing; None where torch's own stay."""
    users = consumers[node]
    if len(users) != 1 or users[0].kind != "permute" or any(view_base(o) is node for o in outputs):
        return None
    order = users[0].attrs["dims"]
    stride = [0] * len(order)
    for d, step in zip(order, contiguous(users[0].shape), strict=True):
        stride[d] = step
    return tuple(stride)
