"""The terms that kernels are found by: words of free text, and facts such as an operation, a shape or a technique.

A term is a few ASCII letters and digits, made here and nowhere else, whatever the text was: so neither full-text engine has anything
to parse in it, and both find the same. A fact is a hash, so no text that a stranger writes can pass for one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from math import prod

from kernelwright.bench_tasks.traits import plain

__all__ = ["asked_words", "dtype_named", "fact", "operation_named", "shape_facts", "shape_named", "words_of"]

_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+|\d+")
_FACT = "0f"
"""How every fact begins, and no word."""
_LONGEST_WORD = 40
_READ = 4000
"""Characters of one text that are read for words."""
_DTYPES = {
    "fp16": "float16", "half": "float16", "f16": "float16", "bf16": "bfloat16", "fp32": "float32", "f32": "float32",
    "float": "float32", "fp64": "float64", "f64": "float64", "double": "float64", "int": "int32", "long": "int64",
}  # fmt: skip
_OPERATIONS = {"@": "matmul", "+": "add", "-": "sub", "*": "mul", "/": "div", "**": "pow"}


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, each once: identifiers whole and in their parts (`row_softmax`, `LayerNorm`)."""
    found: dict[str, None] = {}
    for match in _WORD.finditer(text[:_READ]):
        found.update(dict.fromkeys(_spelt(match[0])))
    return list(found)


def asked_words(text: str) -> list[str]:
    """What to look for when a person asks for these words: of `LayerNorm` its parts, which are found in `layer_norm` too."""
    found: dict[str, None] = {}
    for match in _WORD.finditer(text[:_READ]):
        parts = _spelt(match[0])
        humped = len(parts) > 1 and any(a.islower() and b.isupper() for a, b in pairwise(match[0]))
        found.update(dict.fromkeys(parts[1:] if humped else parts[:1]))
    return list(found)


@lru_cache(maxsize=16384)
def _spelt(word: str) -> tuple[str, ...]:
    if not word.isascii():
        return ("u" + _hash(word.casefold()),)
    humps = _HUMP.findall(word)
    parts = [word, *humps] if len(humps) > 1 else [word]
    lower = (part.lower()[:_LONGEST_WORD] for part in parts)
    return tuple(part for part in lower if not part.startswith(_FACT))


@lru_cache(maxsize=65536)
def fact(kind: str, value: str) -> str:
    """The term that says that `kind`, an operation for instance, is `value`."""
    return _FACT + _hash(f"{kind}={value}")


def operation_named(text: str) -> str:
    """As `traits_of` spells what a person may write: `torch.softmax`, `F.softmax` and `nn.Softmax` are `softmax`, `@` is `matmul`."""
    name = text.strip().removesuffix("()")
    return _OPERATIONS.get(name) or plain(name.rpartition(".")[2])


def dtype_named(text: str) -> str:
    """As torch spells it, without the prefix: `fp16`, `half` and `torch.float16` are `float16`."""
    name = text.strip().lower().removeprefix("torch.")
    return _DTYPES.get(name, name)


def shape_named(text: str) -> str:
    """`4096x1024` for `(4096, 1024)`, `4096 x 1024` and `[4096,1024]`; empty where no number is."""
    return "x".join(number.lstrip("0") or "0" for number in re.findall(r"\d{1,15}", text[:200]))


def shape_facts(shapes: Iterable[tuple[int, ...]]) -> list[str]:
    """Each shape whole, and each of its extents."""
    found: dict[str, None] = {}
    for shape in shapes:
        if prod(shape) > 0:
            found[fact("shape", "x".join(map(str, shape)))] = None
            found.update({fact("shape", str(extent)): None for extent in shape})
    return list(found)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
