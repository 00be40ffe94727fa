"""A bare `.cu` file as a kernel: the Python module that builds it and hands its `forward` the task's inputs and weights."""

from __future__ import annotations

from kernelwright.errors import KernelError
from kernelwright.sandbox.hostcode.tokens import close_of, significant, tokenize

__all__ = ["exported_as", "literal", "module_of"]

_OWN_NAME = "TORCH_EXTENSION_NAME"  # the macro that torch defines for the name it was given
_NAME = "bare_kernel"
_EXPORT = 'PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("forward", &forward); }'
# A ModelNew has to have its weights before it is called; this one takes those it is given, under their names.
_MODULE = '''import torch
from torch.utils.cpp_extension import load_inline

CUDA_SOURCE = {source}

EXTENSION = load_inline(name="{name}", cpp_sources="", cuda_sources=CUDA_SOURCE)


class ModelNew(torch.nn.Module):
    """forward() of the CUDA source, on the inputs of a call and then the weights in the order of their state_dict."""

    def __init__(self, *args, **kwargs):
        super().__init__()
        self.weight_names = []

    def load_state_dict(self, state_dict, strict=True, assign=False):
        self.weight_names = list(state_dict)
        for number, weight in enumerate(state_dict.values()):
            self.register_buffer(f"weight_{{number}}", weight.detach().clone())

    def state_dict(self, *args, **kwargs):
        return {{name: getattr(self, f"weight_{{number}}") for number, name in enumerate(self.weight_names)}}

    def forward(self, *inputs):
        return EXTENSION.forward(*inputs, *self.buffers())
'''


def module_of(source: str, *, path: str | None = None) -> str:
    """The kernel module around CUDA C++ that exports `forward` through `PYBIND11_MODULE`.

    Raises:
        KernelError: it exports nothing of the kind.
    """
    return _MODULE.format(source=literal(source), name=exported_as(source, "forward", path=path))


def exported_as(source: str, function: str, *, path: str | None = None) -> str:
    """The name of the extension that exports `function`.

    Raises:
        KernelError: there is none, or several.
    """
    export = _EXPORT.replace("forward", function)
    tokens = tokenize(source)
    kept = significant(tokens)
    words = [tokens[number].text for number in kept]
    exports = [
        words[at + 2 : close_of(tokens, kept, at + 1)]
        for at, word in enumerate(words[:-1])
        if word == "PYBIND11_MODULE" and words[at + 1] == "("
    ]
    if not exports and "main" in words:
        raise KernelError(
            "this is a program with a main of its own, not a kernel.", path=path,
            mend=f"Run it: kernelwright run, sanitize or profile. A kernel for a task exports {function}: {export}",
        )  # fmt: skip
    if len(exports) != 1 or not exports[0] or f'"{function}"' not in words:
        found = "none" if not exports else f"{len(exports)}" if len(exports) > 1 else "one without it"
        raise KernelError(
            f'a bare .cu kernel exports "{function}" through one PYBIND11_MODULE; this one has {found}.', path=path,
            mend=f"Add {export}",
        )  # fmt: skip
    own = exports[0][0]
    name = _NAME if own == _OWN_NAME else own
    if not name.isidentifier():
        raise KernelError(f"PYBIND11_MODULE names its module {name[:80]!r}.", path=path, mend=f"Write {export}")
    return name


def literal(text: str) -> str:
    """A Python literal of the text, as it stands where that can be, so that people can read it."""
    lines = text.replace("\r\n", "\n")
    plain = all(each.isprintable() or each in "\n\t" for each in lines)
    if not plain or '"""' in lines or lines.endswith(('"', "\\")):
        return repr(lines)
    return f'r"""{lines}"""'
