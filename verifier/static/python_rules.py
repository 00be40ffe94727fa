"""Rules about the module's Python: what it uses of libraries, what it changes in them, what it hides."""

from __future__ import annotations

import ast
from collections.abc import Callable
from itertools import chain

from kernelwright.verifier.static.collect import Findings
from kernelwright.verifier.static.library import rule_of_call, rule_of_use
from kernelwright.verifier.static.module import PythonModule
from kernelwright.verifier.static.scopes import FunctionNode, Scope
from kernelwright.verifier.static.wordlists import words

__all__ = ["check_python"]

_SENTENCES = {
    "walks_memory": "It uses {}, which finds objects that it was not given.",
    "reaches_into_process": "It uses {}, which reads or writes the process's own memory.",
    "starts_process": "It calls {}(), which starts a process or a thread.",
    "network": "It calls {}(), which is for networks.",
    "reaches_for_judge": "It names {}, a module of the judge's.",
    "compiles_reference": "It uses {}: torch compiles the operations, not the author.",
    "runs_text": "It calls {}(), which runs what can't be read here.",
    "stream": "It calls {}(): work goes to a stream of its own.",
    "graph": "It calls {}(), of CUDA graphs.",
    "clock": "It calls {}(), which reads a clock or waits.",
    "precision_flag": "It calls {}(), which changes how torch computes everywhere.",
    "tensor_subclass": "It uses {}: a tensor of its own kind may compute when it is looked at.",
    "library_state": "It uses {}, which belongs to the interpreter or to torch as a whole.",
    "file_in_forward": "It calls {}(), which changes files or shares memory.",
    "loads_library": "It uses {}, which loads a library into the process.",
    "signal": "It calls {}(), which ends the process or handles its signals.",
    "persisting_l2": "It calls {}(), which changes a limit of the device.",
    "file": "It calls {}(), which opens a file.",
    "environment": "It reads {}, which differs between machines.",
}
_FRAME_ATTRIBUTES = words("f_back f_locals f_builtins gi_frame cr_frame ag_frame tb_frame")
_LIBRARIES = words(
    "torch builtins sys time os json gc cupy numpy math ctypes socket struct pickle inspect random torchvision importlib io threading types warnings"
)
"""Roots whose attributes no honest kernel assigns, settings apart."""
_SETTINGS = (
    "torch._dynamo.config", "torch._inductor.config", "torch._functorch.config", "torch.utils.cpp_extension", "os.environ", "torch.backends",
)  # fmt: skip
_HARMLESS_TARGETS = words("sys.path sys.argv sys.dont_write_bytecode sys.stdout sys.stderr")
_MUTATORS = words("update setdefault pop clear __setitem__ __delitem__ popitem")
_SET = {"builtins.setattr", "builtins.delattr", "torch.nn.Module.__setattr__", "builtins.object.__setattr__", "builtins.type.__setattr__",
        "unittest.mock.patch", "unittest.mock.patch.object", "mock.patch", "mock.patch.object"}  # fmt: skip
_HOOKS = words("__torch_function__ __torch_dispatch__")


def check_python(module: PythonModule, found: Findings) -> None:
    """Adds what is to be said of the module's Python."""
    for node, scope in chain(module.nodes(ast.Attribute, ast.Name), module.nodes(ast.Call, ast.Subscript)):
        parent = module.scopes.parents.get(node)
        stored = not isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        if not stored and not (isinstance(parent, ast.Attribute | ast.Subscript) and module.name(parent, scope)):
            _check_name(module, node, scope, parent, found)
        if isinstance(node, ast.Attribute):
            _check_attribute(node.attr, node, found)
    checks: tuple[tuple[type[ast.AST], Callable[..., None]], ...] = (
        (ast.Call, _check_call),
        (ast.Assign, _check_assignment),
        (ast.AugAssign, _check_assignment),
        (ast.AnnAssign, _check_assignment),
        (ast.Delete, _check_assignment),
        (ast.For, _check_assignment),
        (ast.With, _check_assignment),
        (ast.ClassDef, _check_class),
        (ast.Import, _check_import),
        (ast.ImportFrom, _check_import),
    )
    for kind, check in checks:
        for met, scope in module.nodes(kind):
            check(module, met, scope, found)
    _check_strings(module, found)


def _say(rule: str, name: str, node: ast.AST, found: Findings) -> None:
    found.add(rule, _SENTENCES[rule].format(name.removeprefix("builtins.")), node)


def _check_name(module: PythonModule, node: ast.expr, scope: Scope, parent: ast.AST | None, found: Findings) -> None:
    name = module.name(node, scope)
    if name is None or name in {"self", "cls"}:
        return
    called = isinstance(parent, ast.Call) and parent.func is node
    decorates = isinstance(parent, ast.FunctionDef | ast.ClassDef) and node in parent.decorator_list
    passed = isinstance(parent, ast.Call) and node in parent.args  # partial(eval, ...), map(exec, ...)
    if (
        passed
        and isinstance(parent, ast.Call)
        and module.name(parent.func, scope)
        in {"builtins.isinstance", "builtins.issubclass", "builtins.getattr", "builtins.hasattr"}
    ):
        passed = False
    rule = rule_of_call(name) if called or decorates or passed else rule_of_use(name)
    if rule is None and isinstance(parent, ast.Raise) and name in {"builtins.SystemExit", "builtins.KeyboardInterrupt"}:
        rule = "signal"
    if rule is None or _is_excused(module, name, parent, scope):
        return
    if rule == "file" and module.is_hot(scope):
        found.add(
            "file_in_forward", f"It calls {name.removeprefix('builtins.')}() in forward(), which opens a file.", node
        )
        return
    _say(rule, name, node, found)


def _is_excused(module: PythonModule, name: str, parent: ast.AST | None, scope: Scope) -> bool:
    """Uses of a table's name that mean nothing: `torch.compiler.disable`, a module's own entry of `sys.modules`."""
    if name.startswith(("torch.compiler.is_", "torch.compiler.disable", "torch.fx.wrap", "torch._dynamo.disable")):
        return True
    if name == "sys.modules" and isinstance(parent, ast.Subscript):
        key = parent.slice
        return (isinstance(key, ast.Name) and key.id == "__name__") or module.strings.known(key, scope) is not None
    return name in {"weakref.ref", "threading.Lock"}


def _check_attribute(attribute: str, node: ast.AST, found: Findings) -> None:
    if attribute in _FRAME_ATTRIBUTES:
        found.add("walks_memory", f"It follows .{attribute}, a caller's frame, to what it was not given.", node)
    elif attribute == "from_address":
        found.add(
            "reaches_into_process",
            "It makes an object at an address of its own choice, by from_address() of ctypes.",
            node,
        )
    elif attribute in {"f_globals", "__subclasses__", "__globals__", "__closure__", "__code__"}:
        found.add("library_state", f"It looks into .{attribute}.", node)
    elif attribute == "accessPolicyWindow":
        found.add("persisting_l2", "It sets aside L2 cache by accessPolicyWindow.", node)


def _check_call(module: PythonModule, node: ast.Call, scope: Scope, found: Findings) -> None:
    name = module.name(node.func, scope) or ""
    if name in _SET and node.args:
        _check_setattr(module, node, name, scope, found)
    elif name in {"builtins.getattr", "builtins.__import__", "importlib.import_module"}:
        _check_lookup(module, node, name, scope, found)
    elif name == "builtins.vars" or (isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATORS):
        _check_mutation(module, node, scope, found)
    elif name == "ctypes.CDLL" or name.startswith("ctypes.cdll."):
        first = node.args[0] if node.args else None
        text = module.strings.known(first, scope) if first is not None else ""
        if (
            (isinstance(first, ast.Constant) and first.value is None)
            or (text or "").startswith("libc.so")
            or text in {"libc", "c", ""}
        ):
            found.add("reaches_into_process", "It loads the process's own C library by ctypes.", node)


def _check_setattr(module: PythonModule, node: ast.Call, name: str, scope: Scope, found: Findings) -> None:
    if "mock" in name:
        target = module.strings.known(node.args[0], scope) or module.name(node.args[0], scope) or "something"
        found.add("patches_library", f"It replaces {target} by {name}().", node)
        return
    base = module.name(node.args[0], scope)
    attribute = (module.strings.known(node.args[1], scope) if len(node.args) > 1 else None) or "*"
    if base and base not in {"self", "cls"}:
        _say_assigned(f"{base}.{attribute}", node, found)


def _check_lookup(module: PythonModule, node: ast.Call, name: str, scope: Scope, found: Findings) -> None:
    if name == "builtins.getattr":
        if len(node.args) < 2:
            return
        base = module.name(node.args[0], scope)
        attribute = module.strings.known(node.args[1], scope)
        if attribute is not None:
            _check_attribute(attribute, node, found)
        elif base and base.split(".")[0] in _LIBRARIES:
            found.add("computed_name", f"It calls what it finds in {base} under a name made at run time.", node)
    elif node.args and module.strings.known(node.args[0], scope) is None:
        found.add(
            "computed_name",
            f"It imports a module whose name is made at run time, by {name.removeprefix('builtins.')}().",
            node,
        )


def _check_mutation(module: PythonModule, node: ast.Call, scope: Scope, found: Findings) -> None:
    """``sys.modules.update(...)``, ``torch.__dict__.update(...)``."""
    if not isinstance(node.func, ast.Attribute):
        return
    base = module.name(node.func.value, scope) or ""
    if base == "sys.modules" or base == "builtins" or (base.endswith(".__dict__") and base.split(".")[0] in _LIBRARIES):
        found.add("patches_library", f"It changes {base} by {node.func.attr}().", node)


def _check_assignment(module: PythonModule, node: ast.AST, scope: Scope, found: Findings) -> None:
    if isinstance(node, ast.Assign | ast.Delete):
        targets = list(node.targets)
    elif isinstance(node, ast.With):
        targets = [item.optional_vars for item in node.items if item.optional_vars is not None]
    else:
        assert isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For)
        targets = [node.target]
    while targets:
        target = targets.pop()
        if isinstance(target, ast.Tuple | ast.List):
            targets.extend(target.elts)
        elif isinstance(target, ast.Attribute):
            base = module.name(target.value, scope)
            if base and base not in {"self", "cls"}:
                _say_assigned(f"{base}.{target.attr}", target, found)
        elif isinstance(target, ast.Subscript):
            base = module.name(target.value, scope)
            if base:
                key = module.strings.known(target.slice, scope) or "..."
                _say_assigned_item(base, key, target, found)


def _say_assigned_item(base: str, key: str, node: ast.AST, found: Findings) -> None:
    root = base.split(".")[0]
    if base == "os.environ":
        found.add("environment", f"It sets the environment's {key}.", node)
    elif base == "sys.modules" or base == "builtins" or (base.endswith(".__dict__") and root in _LIBRARIES):
        found.add("patches_library", f"It puts a thing of its own into {base}[{key!r}].", node)


def _say_assigned(name: str, node: ast.AST, found: Findings) -> None:
    root = name.split(".")[0]
    if name.startswith(("torch.backends", "torch.cuda.matmul")):
        found.add("precision_flag", f"It sets {name}, which changes how torch computes everywhere.", node)
    elif name.startswith(_SETTINGS):
        found.add("sets_attribute", f"It sets {name}.", node)
    elif name in _HARMLESS_TARGETS or name.startswith(("sys.path", "torch.ops.")):
        found.add("library_state", f"It sets {name}.", node)
    elif root in _LIBRARIES:
        found.add("patches_library", f"It replaces {name.removeprefix('builtins.')}.", node)
    elif root == "kernelwright" or root == "kernelwright_task":
        found.add("reaches_for_judge", f"It replaces {name}, of the judge's.", node)
    elif not name.startswith("."):
        found.add("sets_attribute", f"It sets {name}.", node)


def _check_class(module: PythonModule, node: ast.ClassDef, scope: Scope, found: Findings) -> None:
    for base in node.bases:
        name = module.name(base, scope) or ""
        if name in {
            "torch.Tensor",
            "torch.nn.Parameter",
            "torch.nn.parameter.Parameter",
            "torch.FloatTensor",
            "torch.nn.Buffer",
        }:
            found.add("tensor_subclass", f"The class {node.name} is derived from {name}.", node)
    for child in node.body:
        if isinstance(child, FunctionNode) and child.name in _HOOKS:
            found.add(
                "tensor_subclass",
                f"The class {node.name} defines {child.name}, by which it takes torch's calls.",
                child,
            )


def _check_import(module: PythonModule, node: ast.Import | ast.ImportFrom, scope: Scope, found: Findings) -> None:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    for name in names:
        if name.split(".")[0] in {"kernelwright", "kernelwright_task"}:
            _say("reaches_for_judge", name, node, found)
    if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
        found.add(
            "computed_name",
            f"It imports all names of {node.module or 'a package'}, so what each stands for can't be read.",
            node,
        )


def _check_strings(module: PythonModule, found: Findings) -> None:
    for node, scope in module.nodes(ast.Constant, ast.JoinedStr):
        parent = module.scopes.parents.get(node)
        if isinstance(parent, ast.Expr | ast.JoinedStr) or not isinstance(getattr(node, "value", ""), str):
            continue
        text = module.strings.literal(node, scope).value
        if text == "/proc" or text.startswith(("/proc/", "/dev/mem", "/sys/kernel")):
            found.add("reads_proc", f"It names {text[:60]!r}, the system's window into processes.", node)
