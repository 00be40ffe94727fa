"""Writes the Python module a person gets: the CUDA text, its launches, and `ModelNew`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from kernelwright.agents.builtin.functions import helper_source
from kernelwright.agents.builtin.generated import Generated, Launch, Scratch
from kernelwright.agents.builtin.ir import VIEWS, Node, contiguous
from kernelwright.agents.builtin.lower import KernelTemplate, LoweredGraph
from kernelwright.agents.builtin.plan import view_base
from kernelwright.agents.builtin.prelude import prelude
from kernelwright.agents.builtin.spec import Unit
from kernelwright.agents.builtin.values import buffer_of
from kernelwright.bench_tasks.graph import GraphInput, refs
from kernelwright.errors import LoweringError

__all__ = ["write_module"]

_HELPERS = '''
def _expect(tensor, name, shape, dtype):
    """The tensor, if it is what the kernels below were compiled for."""
    if tuple(tensor.shape) != shape or tensor.dtype != dtype:
        raise ValueError(
            f"{name}: these kernels are for {dtype} of shape {shape}, got {tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    return tensor


def _dense(tensor):
    """The tensor with row-major elements that start at a multiple of 16 bytes; a copy only where needed."""
    tensor = tensor.contiguous()
    return tensor.clone() if tensor.data_ptr() % 16 else tensor
'''

_ATTACH = '''
def _attach(root, name, value, persistent=True):
    """Registers a parameter or buffer under its dotted name, as in the original module's state_dict."""
    *path, leaf = name.split(".")
    for part in path:
        if not hasattr(root, part):
            root.add_module(part, torch.nn.Module())
        root = getattr(root, part)
    if isinstance(value, torch.nn.Parameter):
        root.register_parameter(leaf, value)
    else:
        root.register_buffer(leaf, value, persistent=persistent)
'''


def write_module(
    lowered: LoweredGraph, title: str, choices: Mapping[str, Mapping[str, int | str | bool]]
) -> tuple[str, dict[str, Generated]]:
    """The source, and what was generated for each kernel by its name.

    Args:
        title: name of the task, for the docstring.
        choices: parameters of every kernel, by kernel name.
    """
    generated = {k.name: k.generate(choices[k.name], lowered.pointers) for k in lowered.kernels}
    return _Module(lowered, title, generated).text(), generated


class _Module:
    def __init__(self, lowered: LoweredGraph, title: str, generated: dict[str, Generated]) -> None:
        self.low = lowered
        self.title = title
        self.generated = generated
        self.body: list[str] = []
        self.bound: set[Node] = set()
        self.kernel_of = {id(k.unit): k for k in lowered.kernels}

    def text(self) -> str:
        self._forward_body()
        launches = [launch for g in self.generated.values() for launch in g.launches]
        functions = [f'_{launch.function} = _MODULE.get_function("{launch.function}")' for launch in launches]
        functions += [
            f"_{launch.function}.max_dynamic_shared_size_bytes = {launch.shared}"
            for launch in launches
            if launch.shared
        ]
        parts = [
            self._docstring(),
            "import cupy\nimport torch\n",
            f'CUDA_SOURCE = r"""{self._cuda()}"""\n',
            '_MODULE = cupy.RawModule(code=CUDA_SOURCE, options=("--std=c++17",))',
            *functions,
            "",
            _HELPERS,
        ]
        if self._state_lines():
            parts.append(_ATTACH)
        parts += ["", self._class()]
        return "\n".join(parts)

    def _docstring(self) -> str:
        lines = [f"{self.title}: CUDA kernels for one shape, written by Kernelwright's built-in coder.", ""]
        lines += [f"{name}: {g.summary}." for name, g in self.generated.items()]
        if self.low.stays_in_torch:
            lines.append(f"Left to torch: {', '.join(self.low.stays_in_torch)}.")
        lines += ["", "Load the original module's weights with load_state_dict; inputs of other shapes are refused."]
        text = "\n".join("\n".join(textwrap.wrap(line, 116)) if line else "" for line in lines)
        return f'"""{_plain(text)}\n"""\n'

    def _cuda(self) -> str:
        features: set[str] = set()
        helpers: set[str] = set()
        for g in self.generated.values():
            features |= g.features
            helpers |= g.helpers
        if any("__half" in g.source for g in self.generated.values()):
            features.add("half")
        if any("__nv_bfloat16" in g.source or "__float2bfloat16" in g.source for g in self.generated.values()):
            features.add("bfloat16")
        pieces = [prelude(features), helper_source(sorted(helpers)), *[g.source for g in self.generated.values()]]
        return "\n" + "\n".join(p for p in pieces if p)

    # the class

    def _class(self) -> str:
        lines = ["class ModelNew(torch.nn.Module):"]
        lines.append(
            f'    """Computes what the original module computes; its kernels are for {_plain(self._shapes())}."""'
        )
        lines += ["", "    def __init__(self, *args, **kwargs):", "        super().__init__()"]
        lines += [f"        {line}" for line in self._state_lines()]
        lines += ["", "    @torch.no_grad()", f"    def forward(self, {self._arguments()}):"]
        lines += [f"        {line}" if line else "" for line in self.body]
        return "\n".join(lines) + "\n"

    def _shapes(self) -> str:
        users = [i for i in self.low.graph.inputs if i.kind == "user" and i.meta is not None]
        return ", ".join(f"{i.target} {i.meta.dtype}{list(i.meta.shape)}" for i in users if i.meta) or "no input"

    def _arguments(self) -> str:
        given = sorted((i for i in self.low.graph.inputs if i.position is not None), key=lambda i: i.position or 0)
        texts: list[str] = []
        trailing = True
        for source in reversed(given):
            if source.kind == "scalar" and trailing:
                texts.append(f"{source.target}={_python(source.value)}")
            else:
                trailing = False
                texts.append(source.target)
        return ", ".join(reversed(texts))

    def _state_lines(self) -> list[str]:
        lines: list[str] = []
        for entry in self.low.graph.state:
            if not entry.persistent and entry.kind == "buffer":
                continue
            if entry.same_as is not None:
                get = "get_parameter" if entry.kind == "parameter" else "get_buffer"
                lines.append(f'_attach(self, "{entry.name}", self.{get}("{entry.same_as}"))')
                continue
            value = f"torch.zeros({_shape(entry.meta.shape)}, dtype=torch.{entry.meta.dtype})"
            if entry.kind == "parameter":
                extra = "" if entry.requires_grad else ", requires_grad=False"
                value = f"torch.nn.Parameter({value}{extra})"
            lines.append(f'_attach(self, "{entry.name}", {value})')
        for source in self._constants():
            assert source.meta is not None
            value = f"torch.tensor({_python(source.value)}, dtype=torch.{source.meta.dtype})"
            if 0 in source.meta.shape:
                value = f"torch.zeros({_shape(source.meta.shape)}, dtype=torch.{source.meta.dtype})"
            lines.append(f'_attach(self, "{_constant_name(source)}", {value}, persistent=False)')
        return lines

    def _constants(self) -> list[GraphInput]:
        return [n.attrs["input"] for n in self._used_inputs() if n.attrs["input"].kind == "constant"]

    def _used_inputs(self) -> list[Node]:
        found: dict[Node, None] = {}
        for unit in self.low.plan.units:
            for node in unit.external:
                if node.kind == "input":
                    found[node] = None
        for node in self.low.plan.outputs:
            base = view_base(node)
            if base.kind == "input":
                found[base] = None
        return list(found)

    # forward

    def _forward_body(self) -> None:
        body = self.body
        dense = self._read_by_kernels()
        users: dict[str, Node] = {n.attrs["input"].name: n for n in self._used_inputs()}
        for source in sorted(self.low.graph.inputs, key=lambda i: (i.position is None, i.position or 0)):
            if source.kind == "scalar":
                text = _python(source.value)
                body.append(f"if {source.target} != {text}:")
                body.append(
                    f'    raise ValueError(f"{source.target}: these kernels are for {_plain(text)}, got {{{source.target}!r}}")'
                )
                continue
            node = users.get(source.name)
            if source.meta is None or (node is None and source.kind != "user"):
                continue
            where = source.target if source.kind == "user" else f"self.{_path(source)}"
            label = source.target
            text = f'_expect({where}, "{label}", {_shape(source.meta.shape)}, torch.{source.meta.dtype})'
            if node is None:
                body.append(text)
                continue
            name = self._variable(node)
            body.append(f"{name} = {f'_dense({text})' if node in dense else text}")
            self.bound.add(node)
        body.append(f"device = {self._device()}")
        body.append("with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):")
        before = len(body)
        for unit in self.low.plan.units:
            if unit.kind == "torch":
                self._torch_call(unit, dense)
            else:
                self._kernel_call(unit)
        body[before:] = [f"    {line}" for line in body[before:]]
        if len(body) == before:
            del body[before - 1]
        body.append(f"return {self._structure(self.low.graph.output)}")

    def _variable(self, node: Node) -> str:
        name = self.low.names.get(node)
        if name is None:  # an input that goes straight to the output
            source = node.attrs["input"]
            name = source.target if source.kind == "user" else f"state_{source.name}"
        return name

    def _device(self) -> str:
        for node in self._used_inputs():
            return f"{self._variable(node)}.device"
        users = [i for i in self.low.graph.inputs if i.kind == "user"]
        return f"{users[0].target}.device" if users else 'torch.device("cuda")'

    def _read_by_kernels(self) -> set[Node]:
        return {n for u in self.low.plan.units if u.kind != "torch" for n in u.external}

    def _kernel_call(self, unit: Unit) -> None:
        for node in unit.stores:
            self._allocate(node)
        kernel: KernelTemplate | None = self.kernel_of.get(id(unit))
        if kernel is None:
            return
        generated = self.generated[kernel.name]
        scratch = {a for launch in generated.launches for a in launch.arguments if isinstance(a, Scratch)}
        for piece in sorted(scratch, key=lambda s: s.name):
            self.body.append(f"{piece.name} = torch.empty(({piece.numel},), dtype=torch.{piece.dtype}, device=device)")
        for launch in generated.launches:
            self.body.append(self._launch(launch))

    def _allocate(self, node: Node) -> None:
        buffer = buffer_of(node)
        name = self.low.names[node]
        if buffer.stride == contiguous(buffer.shape):
            text = f"torch.empty({_shape(node.shape)}, dtype=torch.{node.dtype}, device=device)"
        else:
            text = f"torch.empty_strided({_shape(node.shape)}, {_shape(buffer.stride)}, dtype=torch.{node.dtype}, device=device)"
        self.body.append(f"{name} = {text}")
        self.bound.add(node)

    def _launch(self, launch: Launch) -> str:
        arguments = [
            f"{a.name}.data_ptr()" if isinstance(a, Scratch) else f"{self.low.names[a.node]}.data_ptr()"
            for a in launch.arguments
        ]
        shared = f", shared_mem={launch.shared}" if launch.shared else ""
        return f"_{launch.function}({launch.grid}, ({launch.block}, 1, 1), ({', '.join(arguments)}{',' if len(arguments) == 1 else ''}){shared})"

    def _torch_call(self, unit: Unit, dense: set[Node]) -> None:
        node = unit.members[0]
        op = str(node.attrs["op"])
        args = [self._torch_argument(a, node) for a in node.attrs["call_args"]]
        for key, value in node.attrs["call_kwargs"].items():
            args.append(f"{key}={'device' if key == 'device' else self._torch_argument(value, node)}")
        call = f"torch.ops.{op}({', '.join(args)})"
        name = self.low.names[node]
        if not node.attrs["many"]:
            self.body.append(f"{name} = {f'_dense({call})' if node in dense else call}")
            self.bound.add(node)
            return
        self.body.append(f"{name} = {call}")
        results = [n for n in self.low.lowered.program.nodes if n.kind == "result" and n.args[0] is node]
        for result in results:
            if result in self.low.names:
                text = f"{name}[{result.attrs['index']}]"
                self.body.append(f"{self.low.names[result]} = {f'_dense({text})' if result in dense else text}")

    def _torch_argument(self, value: Any, node: Node) -> str:
        if isinstance(value, Mapping):
            if "tensor" in value:
                return self._view(node.args[int(value["tensor"])])
            if "dtype" in value:
                return f"torch.{value['dtype']}"
            if "float" in value:
                return f'float("{value["float"]}")'
            text = str(value["other"])
            if text.startswith("torch.") and text.removeprefix("torch.").isidentifier():
                return text
            raise LoweringError(f"{node.attrs['op']} takes {text}, which can't be written down")
        if isinstance(value, list | tuple):
            return f"[{', '.join(self._torch_argument(v, node) for v in value)}]"
        return repr(value)

    def _view(self, node: Node) -> str:
        """Python for a node in memory or a view of one."""
        if node in self.low.names or node.kind == "input":
            return self._variable(node)
        if node.kind not in VIEWS:
            raise LoweringError(f"{node} is needed as a tensor and is none")
        source = self._view(node.args[0])
        if node.kind == "permute":
            return f"{source}.permute({_shape(node.attrs['dims'])})"
        if node.kind == "expand":
            return f"{source}.expand({_shape(node.shape)})"
        if node.kind == "reshape":
            return f"{source}.reshape({_shape(node.shape)})"
        if node.kind == "flip":
            return f"{source}.flip({_shape(node.attrs['dims'])})"
        dim, start, step = (int(node.attrs[k]) for k in ("dim", "start", "step"))
        stop = start + (node.shape[dim] - 1) * step + 1 if node.shape[dim] else start
        colons = ":, " * dim
        return f"{source}[{colons}{start}:{stop}{f':{step}' if step != 1 else ''}]"

    def _structure(self, value: Any) -> str:
        if isinstance(value, Mapping):
            if "ref" in value:
                return self._view(self._result(str(value["ref"])))
            if "tuple" in value:
                items = [self._structure(v) for v in value["tuple"]]
                return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
            if "list" in value:
                return f"[{', '.join(self._structure(v) for v in value['list'])}]"
            if "dict" in value:
                return "{" + ", ".join(f"{k!r}: {self._structure(v)}" for k, v in value["dict"].items()) + "}"
        return _python(value)

    def _result(self, name: str) -> Node:
        order = list(refs(self.low.graph.output))
        return self.low.plan.outputs[order.index(name)]


def _shape(values: Any) -> str:
    items = [str(int(v)) for v in values]
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def _python(value: Any) -> str:
    if isinstance(value, Mapping) and "float" in value:
        return f'float("{value["float"]}")'
    if isinstance(value, list):
        return f"[{', '.join(_python(v) for v in value)}]"
    return repr(value)


def _constant_name(source: GraphInput) -> str:
    return "constant_" + "".join(c if c.isalnum() else "_" for c in source.target)


def _path(source: GraphInput) -> str:
    if source.kind == "constant":
        return _constant_name(source)
    return source.target if all(p.isidentifier() for p in source.target.split(".")) else _get(source)


def _get(source: GraphInput) -> str:
    return f'{"get_parameter" if source.kind == "parameter" else "get_buffer"}("{source.target}")'


def _plain(text: str) -> str:
    """Text that can stand in a docstring or a message."""
    return text.replace("\\", "/").replace('"', "'")
