"""Which `__global__` functions are launched, and whether any is."""

from __future__ import annotations

import ast
import re

from kernelwright.verifier.static.collect import Findings
from kernelwright.verifier.static.cuda import CudaSource
from kernelwright.verifier.static.module import PythonModule
from kernelwright.verifier.static.origins import Origins
from kernelwright.verifier.static.scopes import Scope
from kernelwright.verifier.static.sources import Sources
from kernelwright.verifier.static.torch_names import FREE, METHODS
from kernelwright.verifier.static.wordlists import words

__all__ = ["check_launches"]

_WORD = re.compile(r"[A-Za-z_]\w*")
_REGISTERS = ("PYBIND11_MODULE", "TORCH_LIBRARY", "TORCH_LIBRARY_IMPL", "TORCH_LIBRARY_FRAGMENT", "NB_MODULE")
_KNOWN_MODULES = words("""torch numpy math typing functools itertools collections dataclasses os re textwrap warnings operator __future__
    pathlib tempfile string enum abc contextlib logging hashlib time random copy sys json builtins""")
"""Modules that launch no kernel of the author's, apart from torch's way to build extensions."""
_PLAIN_METHODS = words("""append extend update get items keys values pop setdefault add insert join format split strip replace encode decode
    startswith endswith lower upper index count copy super eval train parameters named_parameters buffers children modules
    register_buffer register_parameter state_dict zero_grad""")
_TENSOR_METHODS = FREE | METHODS | _PLAIN_METHODS
_UNCERTAIN = ("runs_text", "computed_name", "loads_library", "library_state", "source_not_analysed", "calls_python")


def check_launches(module: PythonModule, sources: Sources, origins: Origins, found: Findings) -> None:
    """Adds `never_launched` per kernel, or `no_kernel_launched` where it is certain that none is."""
    kernels = {kernel.name: (source, kernel) for source in sources.parsed for kernel in source.kernels}
    if not kernels:
        return
    if reason := _certainly_none(module, sources, origins, found):
        source, kernel = next(iter(kernels.values()))
        found.add("no_kernel_launched", reason, source.text.index(kernel.offset))
        return
    names = _names_in_python(module, sources)
    if names is None:
        return
    reached = _reached(sources.parsed, names)
    for name, (source, kernel) in kernels.items():
        if name not in reached:
            found.add("never_launched", f"The kernel {name} is launched nowhere.", source.text.index(kernel.offset))


def _names_in_python(module: PythonModule, sources: Sources) -> set[str] | None:
    """Names of kernels and C++ functions that the Python code says; None if it computes such names."""
    said: set[str] = set()
    exported = {
        id(part)
        for build in sources.builds
        for k in build.call.keywords
        if k.arg == "functions"
        for part in ast.walk(k.value)
    }
    for node, _ in module.nodes(ast.Constant, ast.JoinedStr):
        if node not in sources.literals and id(node) not in exported and isinstance(getattr(node, "value", None), str):
            said.update(_WORD.findall(str(getattr(node, "value", ""))))
    for attribute, _ in module.nodes(ast.Attribute):
        said.add(attribute.attr)
    for call, scope in module.nodes(ast.Call):
        named = _named_kernel(module, call, scope)
        if named is None:
            continue
        text = module.strings.fold(named, scope)
        if text is None or text.holes:
            return None
        said.update(_WORD.findall(text.value))
    for build in sources.builds:
        if build.is_extension and any(s.functions and _has_function_list_unknown(build.call) for s in sources.parsed):
            return None
    return said


def _has_function_list_unknown(call: ast.Call) -> bool:
    given = next((k.value for k in call.keywords if k.arg == "functions"), None)
    if given is None or isinstance(given, ast.Constant):
        return False
    return not (isinstance(given, ast.List | ast.Tuple) and all(isinstance(e, ast.Constant) for e in given.elts))


def _named_kernel(module: PythonModule, call: ast.Call, scope: Scope) -> ast.expr | None:
    """The expression that names a kernel: of `get_function` and `RawKernel`, and of a computed attribute."""
    if isinstance(call.func, ast.Attribute) and call.func.attr in {"get_function", "get_global"}:
        return call.args[0] if call.args else next((k.value for k in call.keywords), None)
    name = module.name(call.func, scope) or ""
    last = name.rpartition(".")[2] or getattr(call.func, "attr", "")
    if last in {"RawKernel", "_compile_kernel"}:
        return (
            call.args[1]
            if len(call.args) > 1
            else next((k.value for k in call.keywords if k.arg in {"name", "kernel_name"}), None)
        )
    if (
        name == "builtins.getattr"
        and len(call.args) > 1
        and not (module.name(call.args[0], scope) or "").startswith("torch")
    ):
        return call.args[1]
    return None


def _reached(sources: tuple[CudaSource, ...], names: set[str]) -> set[str]:
    """All names that what `names` stands for mentions, directly or through functions and macros."""
    mentions: dict[str, set[str]] = {}
    pending = set(names)
    for source in sources:
        pending |= source.host_words
        for function in source.functions:
            if function.name in _REGISTERS:
                pending |= function.words
            else:
                mentions.setdefault(function.name, set()).update(function.words)
        for macro in source.macros:
            mentions.setdefault(macro.name, set()).update(macro.words)
    reached: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending |= mentions.get(name, set()) - reached
    return reached


def _certainly_none(module: PythonModule, sources: Sources, origins: Origins, found: Findings) -> str:
    """Why no kernel can be launched; empty if one may be."""
    if any(found.has(rule) for rule in _UNCERTAIN) or sources.unknown or module.scopes.module.star_imports:
        return ""
    imported = {
        binding.imported.lstrip(".").split(".")[0]
        for scope in module.scopes.module.subtree() for bindings in scope.bindings.values() for binding in bindings
        if binding.imported
    }  # fmt: skip
    if not sources.builds:
        if imported <= _KNOWN_MODULES:
            return "The module declares a kernel and hands it to no compiler, so none is launched."
        return ""
    if all(build.is_extension for build in sources.builds) and imported <= _KNOWN_MODULES:
        mentioned = set().union(*(f.words for s in sources.parsed for f in s.functions), *(m.words for s in sources.parsed for m in s.macros),
                                *(s.host_words for s in sources.parsed))  # fmt: skip
        names = {k.name for s in sources.parsed for k in s.kernels}
        if (
            not any(s.launches for s in sources.parsed)
            and not names & mentioned
            and all(b.maker == "load_inline" for b in sources.builds)
        ):
            return "Its C++ launches none of the kernels that it declares."
    if imported <= _KNOWN_MODULES | {"cupy"} and module.models and not _may_launch(module, origins):
        return "The outputs are not the work of its own kernels: forward() calls nothing that could launch one."
    return ""


def _may_launch(module: PythonModule, origins: Origins) -> bool:
    """Whether forward() calls anything that is not known to be no kernel."""
    for call, scope in module.nodes(ast.Call):
        if not module.is_hot(scope) or (isinstance(call.func, ast.Attribute) and call.func.attr == "get_function"):
            continue
        if origins.is_built(call.func, scope):
            return True
        name = module.name(call.func, scope)
        if (
            name is not None
            and (name.startswith(("torch.", "builtins.", "math.", "numpy.")))
            and not name.startswith("torch.ops.")
        ):
            if name in {"builtins.map", "builtins.getattr", "builtins.vars", "builtins.next"}:
                return True
            continue
        if _is_plain_function(module, call.func, scope):
            continue
        if (
            isinstance(call.func, ast.Attribute)
            and call.func.attr in _TENSOR_METHODS
            and not _kept(module, origins, call.func.value, scope)
        ):
            continue
        if isinstance(call.func, ast.Attribute) and _is_torch_module(module, call.func):
            continue
        return True
    return False


def _is_plain_function(module: PythonModule, node: ast.expr, scope: Scope) -> bool:
    """Whether a call of `node` runs nothing but functions of the module, whose own calls are looked at."""
    if isinstance(node, ast.Name):
        found = scope.find(node.id)
        made = [binding.definition for binding in found[1]] if found else []
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}:
        made = [] if node.attr in module.attributes else [*module.definitions(node, scope)]
    else:
        return False
    return bool(made) and all(m is not None and (isinstance(m, ast.ClassDef) or not m.decorator_list) for m in made)


def _kept(module: PythonModule, origins: Origins, node: ast.expr, scope: Scope) -> bool:
    """Whether a value may come from a variable of the module's or an attribute: then it need be no tensor."""
    for leaf, where in origins.leaves(node, scope):
        if isinstance(leaf, ast.Attribute) and isinstance(leaf.value, ast.Name) and leaf.value.id in {"self", "cls"}:
            return True
        found = where.find(leaf.id) if isinstance(leaf, ast.Name) else None
        if found is not None and found[0].is_module and any(binding.value is not None for binding in found[1]):
            return True
    return False


def _is_torch_module(module: PythonModule, function: ast.Attribute) -> bool:
    """Whether `self.linear` is a module of torch.nn's."""
    if not (isinstance(function.value, ast.Name) and function.value.id == "self"):
        return False
    made = module.attributes.get(function.attr, [])
    return bool(made) and all(
        isinstance(value, ast.Call) and (module.name(value.func, scope) or "").startswith("torch.nn.")
        for value, scope in made
    )
