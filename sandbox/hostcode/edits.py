"""Edits of a parsed source that keep its lines, and the names of its kernels."""

from __future__ import annotations

from collections.abc import Iterable

from kernelwright.sandbox.hostcode.declarations import Declaration, Unit

__all__ = ["Edits", "base_name", "overloads", "qualified"]


class Edits:
    """Replacements of token ranges; the number of lines stays."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._blank: set[int] = set()
        self._put: dict[int, str] = {}
        self._before: dict[int, str] = {}
        self._after: dict[int, str] = {}

    def blank(self, first: int, last: int) -> None:
        """Takes the text between two positions out."""
        self._blank.update(range(self._unit.order[first], self._unit.order[last] + 1))

    def gone(self, position: int) -> bool:
        """Whether that token was taken out."""
        return self._unit.order[position] in self._blank

    def replace(self, position: int, text: str) -> None:
        """Another text for one token."""
        self._put[self._unit.order[position]] = text

    def before(self, position: int, text: str) -> None:
        """Text in front of a token."""
        index = self._unit.order[position]
        self._before[index] = text + self._before.get(index, "")

    def after(self, position: int, text: str) -> None:
        """Text behind a token."""
        index = self._unit.order[position]
        self._after[index] = self._after.get(index, "") + text

    def text(self) -> str:
        """The edited source."""
        out = []
        for index, token in enumerate(self._unit.tokens):
            out.append(self._before.get(index, ""))
            if token.kind == "directive" and token.text.startswith("#line"):
                out.append(token.text)
            elif index in self._put:
                made = self._put[index]
                out.append(made + "\n" * max(0, token.newlines - made.count("\n")))
            elif index in self._blank:
                out.append("\n" * token.newlines)
            else:
                out.append(token.text)
            out.append(self._after.get(index, ""))
        return "".join(out)


def qualified(made: Declaration, name: str) -> str:
    """One of a declaration's names with its namespaces, without anonymous ones."""
    return "::".join([*(space for space in made.scope if space), name])


def base_name(made: Declaration) -> str:
    """The qualified first name, without template arguments."""
    return qualified(made, made.names[0] if made.names else "")


def overloads(declarations: Iterable[Declaration]) -> dict[int, str]:
    """Qualified names of our own for the second and later kernels of one name: a name expression can't tell them apart."""
    seen: dict[str, int] = {}
    names = {}
    for made in declarations:
        if made.is_global and made.body and made.params is not None and made.name_at == made.params[0] - 1:
            base = base_name(made)
            if (count := seen.get(base, 0)) > 0:
                names[id(made)] = f"{base}_overload{count}"
            seen[base] = count + 1
    return names
