"""Rules about ModelNew itself: that it is there, and that it is not the reference under another name."""

from __future__ import annotations

import ast

from kernelwright.verifier.static.collect import Findings
from kernelwright.verifier.static.module import PythonModule
from kernelwright.verifier.static.scopes import FunctionNode, Scope, dotted
from kernelwright.verifier.static.sources import Sources

__all__ = ["check_cuda_there", "check_model"]

_REFERENCE = "Model"
_BINDERS = {f"builtins.{name}" for name in ("exec", "eval", "globals", "vars", "setattr", "locals")}


def check_model(module: PythonModule, found: Findings) -> None:
    """Adds what is to be said of the class statement, in whatever way it is written."""
    top = module.scopes.module
    bindings = top.bindings.get(module.model_name, [])
    if not bindings and not top.star_imports and not _made_by_text(module):
        found.add("no_model_new", f"The module defines no class {module.model_name}.")
        return
    for scope in top.subtree():
        for node in scope.nodes:
            if isinstance(node, ast.ClassDef) and node in module.models:
                for base in node.bases:
                    _check_base(module, base, scope, node, found)
    for binding in bindings:
        if binding.value is not None:
            _check_value(module, binding.value, top, found)
        elif binding.imported:
            found.add("uses_reference", f"{module.model_name} is imported, from {binding.imported.rpartition('.')[0]}.")


def _check_base(module: PythonModule, base: ast.expr, scope: Scope, at: ast.AST, found: Findings) -> None:
    name = _reference_name(module, base, scope)
    if name is None:
        return
    if isinstance(at, ast.ClassDef) and _is_own_class(module, base, scope) and _has_forward_of_its_own(at):
        found.add(
            "uses_reference", f"{at.name} is derived from the module's own {name}, with a forward() of its own.", at
        )
    else:
        found.add(
            "derived_from_reference",
            f"{module.model_name} is derived from {name}, so it may be the reference itself.",
            at,
        )


def _check_value(module: PythonModule, value: ast.expr, scope: Scope, found: Findings) -> None:
    """``ModelNew = Model``, ``ModelNew = type("ModelNew", (Model,), {})``, ``ModelNew = wrap(Model)``."""
    if isinstance(value, ast.Call) and module.name(value, scope) is None:
        if (
            module.name(value.func, scope) == "builtins.type"
            and len(value.args) > 1
            and isinstance(value.args[1], ast.Tuple | ast.List)
        ):
            for base in value.args[1].elts:
                _check_base(module, base, scope, value, found)
            return
        for argument in value.args:
            if name := _reference_name(module, argument, scope):
                found.add("uses_reference", f"{module.model_name} is made of {name}.", value)
        return
    name = _reference_name(module, value, scope)
    if name is None:
        return
    if _is_own_class(module, value, scope):
        found.add("uses_reference", f"{module.model_name} is the module's own class {name}.", value)
    else:
        found.add("derived_from_reference", f"{module.model_name} is {name}, the reference itself.", value)


def _reference_name(module: PythonModule, node: ast.expr, scope: Scope) -> str | None:
    """`node` as written, if it names a class called Model, directly or through aliases; not torch's own classes."""
    for _ in range(40):
        name = module.name(node, scope)
        if name is not None:
            if name.startswith("torch."):
                return None
            if isinstance(node, ast.Name) and node.id == _REFERENCE:
                return _REFERENCE
            return name if name.rpartition(".")[2] == _REFERENCE else None
        if isinstance(node, ast.Attribute):
            return dotted(node) if node.attr == _REFERENCE else None
        if not isinstance(node, ast.Name):
            return None
        if node.id == _REFERENCE:
            return _REFERENCE
        found = scope.find(node.id)
        value = next((b.value for b in found[1] if b.value is not None), None) if found else None
        if value is None or found is None:
            return None
        node, scope = value, found[0]
    return None


def _is_own_class(module: PythonModule, node: ast.expr, scope: Scope) -> bool:
    return any(isinstance(made, ast.ClassDef) for made in module.definitions(node, scope))


def _has_forward_of_its_own(node: ast.ClassDef) -> bool:
    """Whether a class defines forward() without calling that of its base."""
    for child in node.body:
        if isinstance(child, FunctionNode) and child.name == "forward":
            return not any(
                (isinstance(part, ast.Name) and part.id == "super")
                or (isinstance(part, ast.Attribute) and part.attr in {"forward", "__call__"})
                for part in ast.walk(child)
            )
    return False


def _made_by_text(module: PythonModule) -> bool:
    """Whether names may be bound in ways that are not written out: `exec`, `globals()`, `setattr` on the module."""
    for node, scope in module.nodes(ast.Call):
        name = module.name(node.func, scope)
        if name in _BINDERS:
            return True
    return False


def check_cuda_there(module: PythonModule, sources: Sources, found: Findings) -> None:
    """Adds `no_cuda_kernel` if no source that could be read declares a ``__global__`` function, and all could be read."""
    if any(source.declares_kernel for source in sources.parsed):
        return
    if sources.unknown:
        return  # said by `source_not_analysed`; what was made at run time is compiled at run time
    found.add("no_cuda_kernel", "The module holds no CUDA kernel: no source in it declares a __global__ function.")
