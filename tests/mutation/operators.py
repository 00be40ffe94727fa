"""Faults that people and models make in CUDA, as edits of a kernel module's text.

An operator finds sites by the shape of the text and gives one edit per site; whether the result is still right is for the
judge to say. Sites lie in the CUDA source or in the host's Python, never in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["OPERATORS", "Edit", "Operator", "device_span"]


@dataclass(frozen=True)
class Edit:
    """Replace `text[start:end]` by `new`, and put `prelude` before the CUDA source."""

    start: int
    end: int
    new: str
    prelude: str = ""


@dataclass(frozen=True)
class Operator:
    """A kind of fault."""

    name: str
    what: str
    """For people, in a few words."""
    sites: Callable[[str], Iterator[Edit]]
    """All edits of a module's text."""
    quota: int
    """How many mutants of it a whole run judges."""
    precision: bool = False
    """Whether it lowers the precision inside."""


def device_span(text: str) -> tuple[int, int]:
    """Where the CUDA source lies in a module's text."""
    start = text.index('r"""') + 4
    return start, text.index('"""', start)


# -- edits by regular expression -----------------------------------------------------------------------------------------

_Maker = Callable[[re.Match[str]], list[str] | str]


def _in_device(pattern: str, make: _Maker, prelude: str = "") -> Callable[[str], Iterator[Edit]]:
    compiled = re.compile(pattern, re.MULTILINE)

    def sites(text: str) -> Iterator[Edit]:
        start, end = device_span(text)
        for match in compiled.finditer(text, start, end):
            if "#define" in text[text.rfind("\n", 0, match.start()) + 1 : match.start()]:
                continue
            made = make(match)
            for new in [made] if isinstance(made, str) else made:
                if new != match.group():
                    yield Edit(match.start(), match.end(), new, prelude)

    return sites


def _in_host(pattern: str, make: _Maker) -> Callable[[str], Iterator[Edit]]:
    compiled = re.compile(pattern, re.MULTILINE)

    def sites(text: str) -> Iterator[Edit]:
        for match in compiled.finditer(text, text.index("class ModelNew")):
            made = make(match)
            for new in [made] if isinstance(made, str) else made:
                if new != match.group():
                    yield Edit(match.start(), match.end(), new)

    return sites


def _with_gradients(sites: Callable[[str], Iterator[Edit]]) -> Callable[[str], Iterator[Edit]]:
    """In modules with a backward pass of their own."""
    return lambda text: sites(text) if "torch.autograd.Function" in text else iter(())


def _missing_gradient(text: str) -> Iterator[Edit]:
    """The backward pass leaves a gradient out."""
    for match in re.finditer(r"return (dx), (d\w)(.*)$", text, re.MULTILINE):
        yield Edit(match.start(), match.end(), f"return None, {match[2]}{match[3]}")
        yield Edit(match.start(), match.end(), f"return {match[1]}, None{match[3]}")


def _both(*parts: Callable[[str], Iterator[Edit]]) -> Callable[[str], Iterator[Edit]]:
    def sites(text: str) -> Iterator[Edit]:
        for part in parts:
            yield from part(text)

    return sites


# -- loads of float arrays, for faults of precision ----------------------------------------------------------------------

_FLOAT_POINTER = re.compile(r"const float\*\s*(?:__restrict__\s+)?(\w+)")
_SUBSCRIPT = r"\b({names})\[(?:[^\[\]]|\[[^\[\]]*\])*\]"


def _loads(wrap: str, prelude: str) -> Callable[[str], Iterator[Edit]]:
    """Wraps each read of an element of a `const float*`."""

    def sites(text: str) -> Iterator[Edit]:
        start, end = device_span(text)
        names = set(_FLOAT_POINTER.findall(text, start, end))
        if not names:
            return
        for match in re.compile(_SUBSCRIPT.format(names="|".join(sorted(names)))).finditer(text, start, end):
            if not text[: match.start()].endswith("&") and not re.match(r"\s*[-+*/]?=[^=]", text[match.end() :]):
                yield Edit(match.start(), match.end(), wrap.format(match.group()), prelude)

    return sites


_HALF = "#include <cuda_fp16.h>\n"
_BF16 = "#include <cuda_bf16.h>\n"
_TF32 = (
    "__device__ __forceinline__ float as_tf32(float v) "
    "{ return __uint_as_float((__float_as_uint(v) + 0x1000u) & 0xffffe000u); }\n"
)
_TANH = '__device__ __forceinline__ float approximate_tanh(float v) { float r; asm("tanh.approx.f32 %0, %1;" : "=f"(r) : "f"(v)); return r; }\n'
_ACCUMULATE = r"\b(sum|dot|r|squares|mine|sums\[p\]\[q\]|sums\[u\]|carry|out) (\+=|= combine\(r,|= fmaf\() ?([^;{]*);"


def _accumulate(to: str, back: str) -> _Maker:
    def make(match: re.Match[str]) -> list[str]:
        name, how, rest = match.groups()
        if how != "+=":
            return [f"{name} = {back}({to}({how[2:]} {rest}));"]
        return [f"{name} = {back}({to}({name} + ({rest})));"]

    return make


# -- constants -----------------------------------------------------------------------------------------------------------

_CONSTANT = r"(?<![\w.])(?!0\.0f)(\d+\.\d*(?:e[-+]?\d+)?|\d+e[-+]?\d+)f\b"


def _times(factor: float) -> _Maker:
    return lambda match: f"{float(match[1]) * factor:.9g}f" if "." in f"{float(match[1]) * factor:.9g}" else match[0]


# -- the host's side -----------------------------------------------------------------------------------------------------


def _stale(text: str) -> Iterator[Edit]:
    """Answers later calls with what the first one gave, or with the memory of the call before."""
    head = re.search(r"    def forward\(self, ([\w, ]+)\):\n", text)
    assert head is not None
    body = text[head.end() :]
    kept = re.sub(
        r"^        return (.+)$", r"        self.kept = \1\n        return self.kept", body, flags=re.MULTILINE
    )
    first = '        if hasattr(self, "kept"):\n            return self.kept\n'
    yield Edit(head.end(), len(text), first + kept)
    names = [name.strip() for name in head[1].split(",")]
    # the first call's inputs are used again
    again = f'        if not hasattr(self, "kept"):\n            self.kept = {names[0]}.clone()\n        {names[0]} = self.kept\n'
    yield Edit(head.end(), head.end(), again)


def _stale_weight(text: str) -> Iterator[Edit]:
    """Uses the weights of the first call for ever."""
    for match in re.finditer(r"self\.(\w+(?:\.(?:weight|bias))?)\.data_ptr\(\)", text):
        name = match[1]
        held = f'self.__dict__.setdefault("old_{name.replace(".", "_")}", self.{name}.detach().clone()).data_ptr()'
        yield Edit(match.start(), match.end(), held)
    for match in re.finditer(r"^        w, b = (self\.\w+\.weight), (self\.\w+\.bias)$", text, re.MULTILINE):
        held = f'self.__dict__.setdefault("old", [t.detach().clone() for t in ({match[1]}, {match[2]})])'
        yield Edit(match.start(), match.end(), f"        w, b = {held}")


def _one_element(text: str) -> Iterator[Edit]:
    """One element of the output is off by one part in a thousand."""
    start, end = device_span(text)
    for match in re.compile(r"\b(y|out|da|dx)\[([^\[\]=;]+)\] = ([^;{}]+);").finditer(text, start, end):
        if "float" in text[start : match.start()] and "long long* y" not in text and "int* y" not in text:
            if "half" in text or "bfloat16" in text or "make_float" in match[3] or match[2] == "tail":
                continue
            scaled = f"{match[1]}[{match[2]}] = ({match[2]} == 5 ? 1.001f : 1.0f) * ({match[3]});"
            yield Edit(match.start(), match.end(), scaled)


def _grids(match: re.Match[str]) -> list[str]:
    grid = match[2]
    floors = re.sub(r"\(\(([\w *.()]+?) \+ \d+\) // (\d+)", r"(max(1, \1 // \2)", grid, count=1)
    one_less = re.sub(r"\((\w+),\)", r"(\1 - 1,)", grid)
    return [match[1] + new for new in dict.fromkeys([floors, one_less]) if new != grid]


_SIZE = r"(?:n|m|k|d|rows|cols|width|length|plane|whole|taps|ins|outs|height|channels|bins|end|out_length|out_w|half|UNROLL|TILE|size)"

OPERATORS: tuple[Operator, ...] = (
    Operator("bound_inclusive", "`<` becomes `<=`", _in_device(rf" < (?={_SIZE}\b)", lambda m: " <= "), 13),
    Operator("bound_short", "a bound is one too low", _in_device(rf" (<|>=) ({_SIZE})\b(?! ?[*/])", lambda m: f" {m[1]} {m[2]} - 1"), 12),
    Operator("starts_late", "a loop starts at one", _in_device(r"\b(int \w+) = 0;(?= \w+ <)", lambda m: f"{m[1]} = 1;"), 6),
    Operator("wrong_step", "a loop steps too far", _in_device(r"([a-z]) \+= (32|64|blockDim\.x|stride|gridDim\.x \* blockDim\.x)\)", lambda m: f"{m[1]} += {m[2]} + 1)"), 7),
    Operator("dropped_term", "a term of a sum is gone", _in_device(r" [-+] (?:[a-z]\w*(?:\[[^\[\]]*\])?|[\d.]+f)(?=;|\)(?! ?\{))", lambda m: ""), 12),
    Operator("constant_1_percent", "a constant is 1 % off", _in_device(_CONSTANT, _times(1.01)), 13),
    Operator("constant_0.02_percent", "a constant is 0.02 % off", _in_device(_CONSTANT, _times(1.0002)), 13),
    Operator("half_operand", "a float32 operand is rounded to fp16", _loads("__half2float(__float2half({}))", _HALF), 18, precision=True),
    Operator("bf16_operand", "a float32 operand is rounded to bf16", _loads("__bfloat162float(__float2bfloat16({}))", _BF16), 14, precision=True),
    Operator("tf32_operand", "a float32 operand is rounded to tf32", _loads("as_tf32({})", _TF32), 22, precision=True),
    Operator("half_accumulator", "a sum is kept in fp16", _in_device(_ACCUMULATE, _accumulate("__float2half", "__half2float"), _HALF), 11, precision=True),
    Operator("bf16_accumulator", "a sum is kept in bf16", _in_device(_ACCUMULATE, _accumulate("__float2bfloat16", "__bfloat162float"), _BF16), 7, precision=True),
    Operator("half_function", "an exponential is taken in fp16", _in_device(r"\b(?:__expf|expf)\((?=[^;]*\))((?:[^()]|\([^()]*\))*)\)", lambda m: f"__half2float(hexp(__float2half({m[1]})))", _HALF), 7, precision=True),
    Operator("approximate_tanh", "the hardware's tanh with 11 good bits", _in_device(r"\btanhf\(", lambda m: "approximate_tanh(", _TANH), 4, precision=True),
    Operator("missing_barrier", "a `__syncthreads()` is gone", _in_device(r"__syncthreads\(\);", lambda m: ""), 13),
    Operator("missing_warp_barrier", "a `__syncwarp()` is gone", _in_device(r"__syncwarp\(\);", lambda m: ""), 2),
    Operator("wrong_mask", "half of the warp is missing in a mask", _in_device(r"0xffffffffu?", lambda m: "0x0000ffffu"), 6),
    Operator("short_reduction", "a shuffle or tree reduction starts at half of its width", _in_device(r"\b(offset|o|half) = (16|32|blockDim\.x / 2);", lambda m: f"{m[1]} = {m[2]} / 2;"), 7),
    Operator("wrong_identity", "a reduction starts from the wrong value", _in_device(r"(?<== )(-INFINITY|INFINITY|0\.0f|1\.0f)(?=[;,])|(?<=: )(-INFINITY|INFINITY|0\.0f|1\.0f)(?=;)", lambda m: {"0.0f": "1.0f", "1.0f": "0.0f"}.get(m[0], "0.0f")), 13),
    Operator("swapped_index", "two indices are exchanged", _both(
        _in_device(r"\[(threadIdx\.y|ty|i|j|c|rr)\]\[(threadIdx\.x|tx|i|j|r|cc)\]", lambda m: f"[{m[2]}][{m[1]}]"),
        _in_device(r"\[(\w+) \* (cols|n|k|rows|width|d) \+ (\w+)\]", lambda m: f"[{m[3]} * {m[2]} + {m[1]}]"),
        _in_device(r"\bthreadIdx\.y\b", lambda m: "threadIdx.x"),
    ), 10),
    Operator("wrong_stride", "a row stride is one off", _in_device(r"\* (cols|n|k|width|d|length|rows)(?= \+|;|\])", lambda m: f"* ({m[1]} - 1)"), 10),
    Operator("skipped_tail", "what is left over is not done", _both(
        _in_device(r"^ *if \((?:tail < n|k % 2|i == 0 && n % 2)\).*;$|^ *for \(; \w \S+ [^;]*; \+\+\w\) .*;$", lambda m: ""),
        _in_host(r"(run\(\"\w+\", |APPLY\(|grid = )(\(.*?,?\), (?=\()|\(.*,?\)$)", lambda m: [new for new in _grids(m) if "max(1" in new]),
    ), 10),
    Operator("small_grid", "the grid is one block short", _in_host(r"(run\(\"\w+\", \()(rows|n|batch \* channels|9|11|outs|cols)(?=,)", lambda m: f"{m[1]}{m[2]} - 1"), 7),
    Operator("wrong_epsilon", "an epsilon is another one", _in_device(r"1e-([56])f", lambda m: ["1e-6f" if m[1] == "5" else "1e-5f", "0.0f"]), 7),
    Operator("dropped_scale", "a factor or divisor is gone", _both(
        _in_device(r" / (?:cols|n|rows|sum|size|6\.0f|\(float\)\w+)(?=;|\)|$| \+)", lambda m: ""),
        _in_device(r"\bscale \* | \* (?:scale|\(1\.0f / 9\.0f\)|2\.0f)\b", lambda m: ""),
        _in_device(r" \*= scale", lambda m: " *= 1"),
    ), 10),
    Operator("first_row_only", "every row reads the first one", _in_device(r"(?:\brow|blockIdx\.x|\(size_t\)row|\(size_t\)blockIdx\.x) \* cols", lambda m: "0"), 9),
    Operator("stale_output", "later calls get the first call's result or inputs", _stale, 10),
    Operator("stale_weight", "the first call's weights are used for ever", _stale_weight, 6),
    Operator("ignored_weight", "a weight or bias is not used", _both(
        _in_device(r" [*+] (?:(?:w|b)\[[^\[\]]*\]|bias(?:\[out\])?|g\.x|g\.y)(?=[;,)])", lambda m: ""),
        _in_device(r"= (?:bias|b)\[\w+\];", lambda m: "= 0.0f;"),
    ), 9),
    Operator("sign_flip", "a sign is wrong", _both(
        _in_device(r"(?<=[\w\])]) ([-+]) (?=[a-z]\w*(?:\[[^\]]*\])?(?:[;)]| \*))", lambda m: f" {'+' if m[1] == '-' else '-'} "),
        _in_device(r"(?<=\()-(?=[a-z])", lambda m: ""),
    ), 10),
    Operator("max_for_min", "the other extreme", _both(
        _in_device(r"\bf(max|min)f\b", lambda m: "fminf" if m[1] == "max" else "fmaxf"),
        _in_device(r"(?<=if \()(other|v|x\[row \* cols \+ c\]) > ", lambda m: f"{m[1]} < "),
    ), 9),
    Operator("works_in_the_input", "the output's memory is an input's", _in_host(r"torch\.empty_like\((\w+)\)|(?<= = )(\w)\.clone\(\)", lambda m: m[1] or m[2]), 7),
    Operator("plain_for_atomic", "an atomic addition is a plain one", _in_device(r"atomicAdd\(&?([\w\[\] /*+%]+?), ([^;]+)\)(?=;)", lambda m: f"{m[1] if '[' in m[1] else '*' + m[1]} += {m[2]}"), 4),
    Operator("not_initialised", "memory is not cleared before it is added to", _in_host(r"^ *run\(\"clear\".*\)$", lambda m: " " * 8 + "pass"), 3),
    Operator("outputs_exchanged", "two outputs in the wrong order", _in_host(r"return (mean|value), (variance|index)$", lambda m: f"return {m[2]}, {m[1]}"), 2),
    Operator("unscaled_gradient", "a gradient is not multiplied by what comes from above", _with_gradients(_both(
        _in_device(r"\b(?:g\[[^\[\]]*\]|up) \* ", lambda m: ""),
        _in_device(r" \* g\[0\]", lambda m: ""),
    )), 8),
    Operator("missing_gradient", "a gradient is left out", _missing_gradient, 4),
    Operator("one_element", "one element is off by one part in a thousand", _one_element, 12),
)  # fmt: skip
