"""The host half of a CUDA source: C++ in which every kernel is a stub.

The body of a kernel becomes a call of `kernelwright::enter` with its parameters, so that C++ itself does overload
resolution, template deduction and conversions; `k<T><<<grid, block>>>(a)` becomes
`(kernelwright::push(grid, block), k<T>(a))`. The author's lines stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kernelwright.errors import BuildError, UnsupportedError
from kernelwright.sandbox.hostcode.declarations import Declaration, Unit
from kernelwright.sandbox.hostcode.edits import Edits, overloads, qualified
from kernelwright.sandbox.hostcode.headers import host_include
from kernelwright.sandbox.hostcode.preprocess import HIDDEN_INCLUDE
from kernelwright.sandbox.hostcode.tokens import CLOSING, OPENING, close_of

__all__ = ["HostText", "KernelRecord", "host_text"]


@dataclass(frozen=True)
class KernelRecord:
    """A kernel as the launch side knows it."""

    name: str
    """Qualified, without anonymous namespaces; with template arguments if it is an explicit specialisation."""
    template: bool


@dataclass(frozen=True)
class HostText:
    """The host half."""

    text: str
    kernels: tuple[KernelRecord, ...]
    main_params: int | None = None
    """How many parameters `main` takes, if there is one."""


def host_text(unit: Unit, name: str, *, torch: bool, light: bool = True) -> HostText:
    """The host half of a source.

    Args:
        name: the identifier under which the launch side knows this translation unit.
        torch: map CUDA devices to the CPU in calls of torch.
        light: see `headers.host_include`.

    Raises:
        UnsupportedError: device lambdas, managed variables, a library that is not there (with the line).
        BuildError: a kernel that can't be read.
    """
    edits = Edits(unit)
    kernels: list[KernelRecord] = []
    variables = 0
    main_params: int | None = None
    everything = list(unit.all())
    kernel_names = [d.names[0] for d in everything if d.is_global and d.body and d.names]
    renamed = overloads(everything)
    device_only = [d for d in everything if d.kind == "function" and d.is_device and not d.is_host]
    members = {id(child) for d in everything if d.kind == "class" for child in d.children}
    mentioned = _words_outside(unit, [*device_only, *(d for d in everything if d.is_global and d.body)])

    pointed = _words_of_device_variables(unit, everything)

    for made in everything:
        line = unit.token(made.first).line
        if made.kind == "directive":
            text = unit.token(made.first).text
            if text.startswith(HIDDEN_INCLUDE):
                include = text[len(HIDDEN_INCLUDE) :].strip()
                try:
                    edits.replace(made.first, host_include(include, light=light))
                except UnsupportedError as error:
                    error.line = line
                    raise
        elif made.is_global and made.body:
            own = renamed.get(id(made), _qualified(unit, made))
            spells = _header_names(unit, made)
            overloaded = kernel_names.count(made.names[0] if made.names else "") > 1
            edits.blank(made.body[0], made.body[1])
            edits.replace(made.body[0], _stub(unit, made, spells, f"{name}, {len(kernels)}", overloaded))
            kernels.append(KernelRecord(own, bool(spells)))
        elif made in device_only:
            if id(made) not in members and not (made.names and made.names[0] in mentioned):
                edits.blank(made.first, made.last)
            elif made.body:
                edits.blank(_body_start(unit, made), made.body[1])
                needed = id(made) not in members and made.names and made.names[0] in pointed
                edits.replace(made.body[1], "{ __builtin_trap(); }" if needed else ";")
        elif made.kind == "variable" and id(made) not in members:
            if made.words & {"__managed__"}:
                raise UnsupportedError(
                    "__managed__ variables are not supported.",
                    line=line,
                    mend="Use cudaMallocManaged, or a __device__ variable with cudaMemcpyToSymbol.",
                )
            if "__shared__" in made.words:
                edits.blank(made.first, made.last)
            elif made.words & {"__device__", "__constant__"} and not made.template and "extern" not in made.words:
                edits.after(made.last, _register(made, name, variables))
                variables += len(made.names)
        elif made.kind == "function" and made.body:
            _refuse_device_lambdas(unit, made)
            if made.names == ("main",) and not made.scope and made.params is not None and made.name_at is not None:
                main_params = len(_split(unit, made.params[0] + 1, made.params[1]))
                edits.replace(made.name_at, "kernelwright_main")
                edits.before(made.body[1], " return 0; ")
    _launches(unit, edits)
    if torch:
        _to_cpu(unit, edits)
    return HostText(edits.text(), tuple(kernels), main_params)


def _words_outside(unit: Unit, holes: Iterable[Declaration]) -> frozenset[str]:
    """The words of the source outside of some declarations."""
    hidden: set[int] = set()
    for hole in holes:
        hidden.update(range(hole.first, hole.last + 1))
    return frozenset(
        unit.token(p).text for p in range(len(unit.order)) if p not in hidden and unit.token(p).kind == "word"
    )


def _words_of_device_variables(unit: Unit, everything: Iterable[Declaration]) -> frozenset[str]:
    """The words of device variables' declarations: functions that a table of pointers names need an address on the host."""
    return frozenset(
        unit.token(p).text
        for made in everything
        if made.kind == "variable" and made.words & {"__device__", "__constant__"}
        for p in range(made.first, made.last + 1)
        if unit.token(p).kind == "word"
    )


def _qualified(unit: Unit, made: Declaration) -> str:
    assert made.name_at is not None
    assert made.params is not None
    return qualified(made, unit.text(made.name_at, made.params[0] - 1).strip())


def _body_start(unit: Unit, made: Declaration) -> int:
    """Where a function's member initialisers begin, else where its body does."""
    assert made.params is not None
    assert made.body is not None
    for position in range(made.params[1] + 1, made.body[0]):
        if unit.token(position).text == ":":
            return position
    return made.body[0]


def _split(unit: Unit, first: int, end: int) -> list[tuple[int, int]]:
    """The parts between commas, as (first, last) positions; angle brackets nest too."""
    parts: list[tuple[int, int]] = []
    depth, begin, at = 0, first, first
    while at < end:
        token = unit.token(at)
        if token.kind == "mark":
            if token.text in OPENING:
                at = close_of(unit.tokens, unit.order, at)
            elif token.text == "<":
                depth += 1
            elif token.text == ">":
                depth -= 1
            elif token.text == "," and depth <= 0:
                parts.append((begin, at - 1))
                begin = at + 1
        at += 1
    if begin < end:
        parts.append((begin, end - 1))
    if len(parts) == 1 and unit.text(*parts[0]).strip() == "void":
        return []
    return parts


def _before_default(unit: Unit, first: int, last: int) -> int:
    """The last position before a default value."""
    depth = 0
    for position in range(first, last + 1):
        token = unit.token(position)
        if token.kind != "mark":
            continue
        if token.text in OPENING or token.text == "<":
            depth += 1
        elif token.text in CLOSING or token.text == ">":
            depth -= 1
        elif token.text == "=" and depth <= 0:
            return position - 1
    return last


def _declared_name(unit: Unit, first: int, last: int) -> tuple[str, bool]:
    """A parameter's name (empty if it has none) and whether it is a pack."""
    last = _before_default(unit, first, last)
    pack = any(unit.token(p).text == "..." for p in range(first, last + 1))
    while last > first and unit.token(last).text == "]":
        while unit.token(last).text != "[":
            last -= 1
        last -= 1
    named = last > first and unit.token(last).kind == "word" and unit.token(last - 1).text != "::"
    word = unit.token(last).text if named else ""
    return ("" if word in _NO_NAMES else word), pack


_NO_NAMES = frozenset(
    {
        "const",
        "int",
        "float",
        "double",
        "long",
        "short",
        "char",
        "unsigned",
        "bool",
        "__restrict__",
        "typename",
        "class",
    }
)


def _header_names(unit: Unit, made: Declaration) -> list[str]:
    """What spells each template argument of an instance, as C++ for an initialiser list of strings."""
    spells: list[str] = []
    for opening, closing in made.template:
        for first, last in _split(unit, opening + 1, closing):
            name, pack = _declared_name(unit, first, last)
            head = unit.token(first).text
            if not name:
                if pack:
                    raise UnsupportedError(
                        "a kernel template with an unnamed parameter pack is not supported.",
                        mend="Name the pack.",
                        line=unit.token(first).line,
                    )
                return spells  # what follows has a default and can be left to it
            if head == "template":
                raise UnsupportedError(
                    f"the template template parameter {name} of a kernel is not supported.",
                    mend="Make it a functor type.",
                    line=unit.token(first).line,
                )
            # `typename T`, but `typename X::type value` is a value
            is_type = head in ("typename", "class") and not any(
                unit.token(p).text == "::" for p in range(first, _before_default(unit, first, last) + 1)
            )
            how = f"spell_type<{name}>()" if is_type else f"spell_value<{name}>()"
            spells.append(f"::kernelwright::{how}{'...' if pack else ''}")
    return spells


def _stub(unit: Unit, made: Declaration, spells: Sequence[str], which: str, overloaded: bool) -> str:
    """The body of a kernel's stub; `which` names the unit and the kernel's number, `spells` its template arguments."""
    assert made.params is not None
    assert made.name_at is not None
    arguments = []
    for first, last in _split(unit, made.params[0] + 1, made.params[1]):
        parameter, pack = _declared_name(unit, first, last)
        if not parameter:
            raise UnsupportedError(
                f"a parameter of kernel {made.names[0]} has no name that can be read.",
                mend="Give every parameter of a kernel a name.",
                line=unit.token(first).line,
            )
        arguments.append(parameter + ("..." if pack else ""))
    own = unit.text(made.name_at, made.params[0] - 1).strip()
    plain = [unit.token(p).text for p in range(made.name_at, made.params[0])]
    if spells and len(plain) == 1:
        names = []
        for opening, closing in made.template:
            for first, last in _split(unit, opening + 1, closing):
                parameter, pack = _declared_name(unit, first, last)
                if parameter:
                    names.append(parameter + ("..." if pack else ""))
        own = f"{own}<{', '.join(names)}>"
    address = "nullptr" if overloaded else f"&{own}"
    return (
        "{ struct kernelwright_info { static ::kernelwright::Kernel make() { return "
        f"{{{which}, {{{', '.join(spells)}}}}}; }} }}; "
        f"::kernelwright::enter<{address}, kernelwright_info>({', '.join(arguments)}); }}"
    )


def _register(made: Declaration, name: str, number: int) -> str:
    out = []
    for offset, each in enumerate(made.names):
        out.append(
            f" static const ::kernelwright::Variable kernelwright_variable_{number + offset}"
            f'({name}, "{qualified(made, each)}", (const void*)&{each}, sizeof({each}));'
        )
    return "".join(out)


def _refuse_device_lambdas(unit: Unit, made: Declaration) -> None:
    assert made.body is not None
    for position in range(made.body[0], made.body[1]):
        if unit.token(position).text == "__device__" and unit.token(position - 1).text in ("]", "__host__"):
            raise UnsupportedError(
                "extended lambdas (`[=] __device__ (...)`) are not supported.",
                mend="Write the operation as a functor with a __device__ operator().",
                line=unit.token(position).line,
            )


def _launches(unit: Unit, edits: Edits) -> None:
    """`k<T><<<grid, block>>>(a)` becomes `(kernelwright::push(grid, block), k<T>(a))`."""
    for position in range(len(unit.order)):
        token = unit.token(position)
        if token.kind != "mark" or token.text != "<<<" or edits.gone(position):
            continue
        end = _launch_end(unit, position)
        if end is None or end + 3 >= len(unit.order) or unit.token(end + 3).text != "(":
            raise BuildError("the launch `<<<` has no `>>>(...)`", line=token.line)
        first = _callee_start(unit, position)
        close = close_of(unit.tokens, unit.order, end + 3)
        callee = unit.text(first, position - 1)
        edits.blank(first, position - 1)
        edits.before(first, "(::kernelwright::push(")
        edits.replace(position, "")
        edits.replace(end, "")
        edits.replace(end + 1, "")
        edits.replace(end + 2, f"), {' '.join(callee.split())}")
        edits.after(close, ")")


def _launch_end(unit: Unit, position: int) -> int | None:
    at = position + 1
    while at + 2 < len(unit.order):
        token = unit.token(at)
        if token.kind == "mark":
            if token.text in OPENING:
                at = close_of(unit.tokens, unit.order, at)
            elif token.text == ";" or token.text in CLOSING:
                return None
            elif token.text == ">" and unit.text(at, at + 2) == ">>>":
                return at
        at += 1
    return None


def _callee_start(unit: Unit, position: int) -> int:
    """The first token of the expression before `<<<`: `ns::k<float, (4 > 2)>` for instance."""
    at = position - 1
    if unit.token(at).text == ">":
        depth = 0
        while at > 0:
            text = unit.token(at).text
            if text in CLOSING and unit.token(at).kind == "mark":
                at = _open_of(unit, at)
            else:
                depth += (text == ">") - (text == "<")
            at -= 1
            if depth == 0:
                break
    elif unit.token(at).text in (")", "]"):
        at = _open_of(unit, at)
        if unit.token(at).text == "(" and unit.token(at - 1).kind != "word":
            return at
        at -= 1
    while at > 0 and (unit.token(at - 1).text in ("::", ".", "->", "template")):
        at -= 1
        if (
            unit.token(at).text != "template"
            and at > 0
            and unit.token(at - 1).kind == "word"
            and unit.token(at - 1).text not in ("return", "else", "do")
        ):
            at -= 1
    return at


def _open_of(unit: Unit, at: int) -> int:
    depth = 0
    while at >= 0:
        token = unit.token(at)
        if token.kind == "mark":
            depth += (token.text in CLOSING) - (token.text in OPENING)
            if depth == 0:
                return at
        at -= 1
    return 0


def _to_cpu(unit: Unit, edits: Edits) -> None:
    """CUDA devices become the CPU in what the author asks of torch."""
    renamed = {"is_cuda": "is_cpu", "kCUDA": "kCPU", "CUDA": "CPU"}
    for position in range(len(unit.order)):
        token = unit.token(position)
        if edits.gone(position):
            continue
        before = unit.token(position - 1).text if position else ""
        if token.kind == "word" and token.text in renamed:
            edits.replace(position, renamed[token.text])
        elif token.kind == "word" and token.text == "cuda":
            if before in (".", "->"):
                edits.replace(position, "cpu")
            elif before == "::" and position > 1 and unit.token(position - 2).text == "torch":
                edits.replace(position, "kernelwright_cuda")
        elif token.kind == "string" and token.text in ('"cuda"', '"cuda:0"'):
            edits.replace(position, '"cpu"')
