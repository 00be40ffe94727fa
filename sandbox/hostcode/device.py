"""The device half of a CUDA source: what NVRTC gets. Everything that no kernel needs is blank, and lines stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kernelwright.errors import UnsupportedError
from kernelwright.sandbox.hostcode.declarations import Declaration, Unit
from kernelwright.sandbox.hostcode.edits import Edits, base_name, overloads, qualified
from kernelwright.sandbox.hostcode.headers import device_includes
from kernelwright.sandbox.hostcode.preprocess import HIDDEN_INCLUDE

__all__ = ["DeviceText", "device_texts"]

_HOST_ONLY_WORDS = frozenset({"torch", "at", "Tensor", "TORCH_CHECK", "vector", "string", "ostream", "map", "cout"})
_KNOWN_NAMESPACES = frozenset({"std", "cooperative_groups", "cg", "nvcuda", "wmma", "cub", "cuda"})


@dataclass(frozen=True)
class DeviceText:
    """Device code of kernels that share variables, and of nothing else."""

    text: str
    kernels: tuple[str, ...]
    variables: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def device_texts(unit: Unit) -> list[DeviceText]:
    """The device half: one text for each set of kernels that share `__device__` or `__constant__` variables.

    Raises:
        UnsupportedError: a kernel that launches kernels.
    """
    pieces = [d for d in _pieces(unit.declarations) if _may_be_device(d)]
    words = {id(d): _words(unit, d) for d in pieces}
    by_name: dict[str, list[Declaration]] = {}
    for made in pieces:
        for each in made.names:
            by_name.setdefault(each, []).append(made)
    always = [d for d in pieces if d.names == ("operator",) and d.is_device]
    # the host may hand what such a variable points to to any kernel
    always += [
        d
        for d in pieces
        if _is_mutable(d) and any(f.kind == "function" for w in words[id(d)] for f in by_name.get(w, ()))
    ]
    kernels: dict[str, list[Declaration]] = {}
    for made in pieces:
        if made.is_global and made.body:
            kernels.setdefault(base_name(made), []).append(made)
            for position in range(*made.body):
                if unit.token(position).text == "<<<":
                    raise UnsupportedError(
                        "a kernel that launches kernels (dynamic parallelism) is not supported.",
                        mend="Launch the second kernel from the host, or do its work in a loop of the first.",
                        line=unit.token(position).line,
                    )

    renamed = overloads(pieces)
    groups: list[tuple[set[str], set[int]]] = []
    # an instance may name types and functions that the template itself does not mention
    instances = [d for d in pieces if _may_be_argument(d, words[id(d)])]
    for kernel, definitions in kernels.items():
        more = instances if any(d.template for d in definitions) else []
        needed = _closure([*definitions, *always, *more], words, by_name)
        shared = {i for i in needed if _is_mutable(next(d for d in pieces if id(d) == i))}
        names = {kernel}
        rest = []
        for other_names, other_needed in groups:
            if shared & other_needed:
                names |= other_names
                needed |= other_needed
            else:
                rest.append((other_names, other_needed))
        groups = [*rest, (names, needed)]
    texts = []
    for names, needed in groups:
        kept = [d for d in pieces if id(d) in needed and not (d.is_global and base_name(d) not in names)]
        variables = tuple(qualified(d, each) for d in kept if _is_mutable(d) for each in d.names)
        names = names | {renamed[id(d)] for d in kept if id(d) in renamed}
        texts.append(DeviceText(_device_text(unit, kept, renamed), tuple(sorted(names)), variables))
    return texts


def _pieces(declarations: Sequence[Declaration]) -> list[Declaration]:
    """The declarations of namespace scope, out of their namespaces."""
    found: list[Declaration] = []
    for made in declarations:
        if made.kind in ("namespace", "linkage"):
            found += _pieces(made.children)
        else:
            found.append(made)
    return found


def _may_be_device(made: Declaration) -> bool:
    if made.kind == "function":
        return made.is_global or made.is_device or bool(made.words & {"constexpr", "consteval"})
    return made.kind in ("class", "enum", "variable", "alias", "using_namespace")


def _may_be_argument(made: Declaration, words: frozenset[str]) -> bool:
    """Whether a kernel template may be given it as an argument, and device code can hold it."""
    if made.kind == "function":
        return made.is_device and not made.is_global
    if made.kind not in ("class", "enum", "alias"):
        return False
    return "__device__" in words or not words & (_HOST_ONLY_WORDS | {"std", "c10", "pybind11"})


def _is_mutable(made: Declaration) -> bool:
    return (
        made.kind == "variable" and bool(made.words & {"__device__", "__constant__"}) and "constexpr" not in made.words
    )


def _words(unit: Unit, made: Declaration) -> frozenset[str]:
    return frozenset(unit.token(p).text for p in range(made.first, made.last + 1) if unit.token(p).kind == "word")


def _closure(
    roots: Sequence[Declaration], words: dict[int, frozenset[str]], by_name: dict[str, list[Declaration]]
) -> set[int]:
    """All that some declarations need, by name."""
    found = {id(d) for d in roots}
    queue = list(roots)
    while queue:
        for word in words[id(queue.pop())]:
            for made in by_name.get(word, ()):
                if id(made) not in found and not made.is_global and made.kind != "using_namespace":
                    found.add(id(made))
                    queue.append(made)
    return found


def _device_text(unit: Unit, kept: Sequence[Declaration], renamed: dict[int, str]) -> str:
    edits = Edits(unit)
    for made in kept:
        if id(made) in renamed and made.name_at is not None:
            edits.replace(made.name_at, renamed[id(made)].split("::")[-1])
    wanted = {id(d) for d in kept}
    words = frozenset(word for d in kept for word in _words(unit, d))
    spaces = {s for d in kept for s in d.scope} | _KNOWN_NAMESPACES | {d.names[0] for d in kept if d.names}

    def visit(declarations: Sequence[Declaration]) -> bool:
        any_kept = False
        for made in declarations:
            if made.kind in ("namespace", "linkage"):
                inside = visit(made.children)
                assert made.body is not None
                if not inside:
                    edits.blank(made.first, made.body[0])
                    edits.blank(made.last, made.last)
                any_kept |= inside
            elif made.kind == "directive":
                text = unit.token(made.first).text
                if text.startswith(HIDDEN_INCLUDE):
                    edits.replace(made.first, device_includes(text[len(HIDDEN_INCLUDE) :].strip(), words))
            elif made.kind == "using_namespace" and made.names and made.names[0] in spaces:
                continue
            elif id(made) in wanted:
                any_kept = True
                _drop_host_members(unit, edits, made)
            else:
                edits.blank(made.first, made.last)
        return any_kept

    visit(unit.declarations)
    return edits.text()


def _drop_host_members(unit: Unit, edits: Edits, made: Declaration) -> None:
    """Member functions of a class that only the host can have."""
    for child in made.children:
        if child.kind == "class":
            _drop_host_members(unit, edits, child)
        elif child.kind == "function" and not child.is_device and _words(unit, child) & _HOST_ONLY_WORDS:
            edits.blank(child.first, child.last)
