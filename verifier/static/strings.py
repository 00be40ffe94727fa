"""The strings of a Python module, folded as far as they are constant, with the place each character comes from."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from kernelwright.verifier.static.scopes import Scope, Scopes
from kernelwright.verifier.static.texts import HOLE, Lines, Piece, Text, read_literals

__all__ = ["Strings"]

_DEEPEST = 60
_LARGEST = 8 << 20  # characters of one folded string
_MOST_NESTED = 16  # f-strings, each in a field of the next
_MOST_PIECES = 50_000
_MOST_IN_ALL = 32 << 20  # characters, and pieces times 8, of all strings that are put together in one module
_DEPTH_KNOWN = 8
"""What was folded with this many steps left or more is folded for good."""
_SAME_TEXT = {"strip", "lstrip", "rstrip", "dedent", "encode", "decode", "expandtabs"}
"""Methods and functions that leave a source what it is, as far as analysis goes."""


class Strings:
    """Folds string expressions of one module."""

    def __init__(self, lines: Lines, scopes: Scopes) -> None:
        self._lines, self._scopes = lines, scopes
        self._literals: dict[ast.expr, Text] = {}
        self._folded: dict[tuple[ast.expr, Scope], Text | None] = {}
        self._left = _MOST_IN_ALL
        self._nested = 0
        self.used: set[ast.expr] = set()
        """Literals that went into a folded string."""

    def known(self, node: ast.expr, scope: Scope) -> str | None:
        """The value of `node` if it is a string known without running the module."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        text = self.fold(node, scope)
        return None if text is None or text.holes else text.value

    def fold(self, node: ast.expr, scope: Scope) -> Text | None:
        """The text of `node`, holes where it is not constant; None if nothing of it is known to be a string."""
        return self._fold(node, scope, _DEEPEST)

    def literal(self, node: ast.Constant | ast.JoinedStr, scope: Scope) -> Text:
        """A literal's text."""
        self.used.add(node)
        if node not in self._literals:
            self._nested += 1
            self._literals[node] = self._read(node, scope)
            self._nested -= 1
        return self._literals[node]

    def _read(self, node: ast.Constant | ast.JoinedStr, scope: Scope) -> Text:
        start = self._lines.index(node.lineno, node.col_offset)
        end = self._lines.index(node.end_lineno or node.lineno, node.end_col_offset or 0)
        read = read_literals(self._lines.source, start, end)
        if isinstance(node, ast.Constant):
            text = Text(tuple(piece for piece in read if piece is not None))
            # should the reader and Python ever disagree, Python is right, and lines are counted from the first
            return text if text.value == node.value else Text((Piece(str(node.value), start),))
        fields = [part for part in node.values if isinstance(part, ast.FormattedValue)]
        if len(fields) != sum(piece is None for piece in read):
            return self._parts(node, start)
        pieces: list[Piece] = []
        holes = at = size = 0
        for piece in read:
            if piece is not None:
                pieces.append(piece)
                continue
            field, at = fields[at], at + 1
            index = pieces[-1].index + len(pieces[-1].text) if pieces else start
            value = self._field(field, scope)
            size += 0 if value is None else len(value)
            if size > _LARGEST:  # what is larger is told as made at run time
                value = None
            holes += value is None
            pieces.append(Piece(HOLE if value is None else value, index, False))
        return self._made(pieces, holes) or self._parts(node, start)

    def _made(self, pieces: Sequence[Piece], holes: int) -> Text | None:
        """A string that was put together; None if it, or all of them together, are larger than any source is."""
        text = Text(tuple(pieces), holes)
        cost = text.size + 8 * len(text.pieces)
        if text.size > _LARGEST or len(text.pieces) > _MOST_PIECES or cost > self._left:
            return None
        self._left -= cost
        return text

    def _parts(self, node: ast.JoinedStr, start: int) -> Text:
        texts = [str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values]
        return Text(tuple(Piece(text, start, False) for text in texts), texts.count(HOLE))

    def _field(self, field: ast.FormattedValue, scope: Scope) -> str | None:
        """What an f-string's field becomes, if it is a name of one constant."""
        if field.format_spec is not None or field.conversion not in {-1, 115}:
            return None
        value: ast.expr | None = field.value
        if isinstance(value, ast.Name):
            found = scope.find(value.id)
            value = found[1][0].value if found is not None and len(found[1]) == 1 else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str | int | float):
            try:
                return str(value.value)
            except ValueError:  # an integer of thousands of digits
                return None
        text = self._fold(field.value, scope, 8) if self._nested <= _MOST_NESTED else None
        return None if text is None or text.holes else text.value

    def _fold(self, node: ast.expr, scope: Scope, depth: int) -> Text | None:
        if depth <= 0:
            return None
        key = (node, scope)
        if key in self._folded:
            return self._folded[key]
        if depth >= _DEPTH_KNOWN:
            self._folded[key] = None  # a name bound in terms of itself
        text = self._fold_once(node, scope, depth)
        if depth >= _DEPTH_KNOWN:
            self._folded[key] = text
        return text

    def _fold_once(self, node: ast.expr, scope: Scope, depth: int) -> Text | None:
        if isinstance(node, ast.JoinedStr):
            return self.literal(node, scope)
        if isinstance(node, ast.Constant):
            return self.literal(node, scope) if isinstance(node.value, str) else None
        if isinstance(node, ast.BinOp):
            return self._operator(node, scope, depth)
        if isinstance(node, ast.Name):
            found = scope.find(node.id)
            if found is None or len(found[1]) != 1 or found[1][0].value is None:
                return None
            return self._fold(found[1][0].value, found[0], depth - 1)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, scope, depth)
        if isinstance(node, ast.Call):
            return self._call(node, scope, depth)
        return None

    def _operator(self, node: ast.BinOp, scope: Scope, depth: int) -> Text | None:
        if isinstance(node.op, ast.Mod):  # "..." % values: where the values go is not followed
            text = self._fold(node.left, scope, depth - 1)
            return None if text is None else self._made(text.pieces, text.holes + 1)
        if not isinstance(node.op, ast.Add):
            return None
        terms: list[ast.expr] = []
        current: ast.expr = node
        while isinstance(current, ast.BinOp) and isinstance(current.op, ast.Add):
            terms.append(current.right)
            current = current.left
        terms.append(current)
        return self._joined([self._fold(term, scope, depth - 1) for term in reversed(terms)], node)

    def _joined(self, parts: list[Text | None], node: ast.expr) -> Text | None:
        if all(part is None for part in parts):
            return None
        hole = Text((Piece(HOLE, self._lines.index(node.lineno, node.col_offset), False),), 1)
        pieces: list[Piece] = []
        holes = size = 0
        for part in parts:
            text = part or hole
            size += text.size
            if size > _LARGEST or len(pieces) + len(text.pieces) > _MOST_PIECES:
                return None
            pieces.extend(text.pieces)
            holes += text.holes
        return self._made(pieces, holes)

    def _attribute(self, node: ast.Attribute, scope: Scope, depth: int) -> Text | None:
        """`self.SOURCE` or `Class.SOURCE`, bound once in a class body."""
        if not isinstance(node.value, ast.Name):
            return None
        owner = scope.enclosing_class
        if node.value.id not in {"self", "cls"}:
            found = scope.find(node.value.id)
            definition = found[1][0].definition if found is not None and len(found[1]) == 1 else None
            owner = definition if isinstance(definition, ast.ClassDef) else None
        if owner is None:
            return None
        inner = self._scopes.of[owner]
        bindings = inner.bindings.get(node.attr, [])
        if len(bindings) != 1 or bindings[0].value is None:
            return None
        return self._fold(bindings[0].value, inner, depth - 1)

    def _call(self, node: ast.Call, scope: Scope, depth: int) -> Text | None:
        function = node.func
        if isinstance(function, ast.Name) and function.id == "dedent" and node.args:
            return self._fold(node.args[0], scope, depth - 1)
        if not isinstance(function, ast.Attribute):
            return None
        if function.attr == "dedent" and node.args:
            return self._fold(node.args[0], scope, depth - 1)
        text = self._fold(function.value, scope, depth - 1)
        if text is None:
            return None
        if function.attr in _SAME_TEXT:
            return text
        if function.attr == "replace" and len(node.args) >= 2:
            old, new = (self._fold(argument, scope, depth - 1) for argument in node.args[:2])
            if old is None or old.holes:
                return self._made(text.pieces, text.holes + 1)
            return self._replaced(text, old.value, new or Text((Piece(HOLE, 0, False),), 1))
        if function.attr == "join" and node.args and isinstance(node.args[0], ast.List | ast.Tuple):
            parts: list[Text | None] = []
            for element in node.args[0].elts:
                if parts:
                    parts.append(text)
                parts.append(self._fold(element, scope, depth - 1))
            return self._joined(parts, node)
        if function.attr in {"format", "format_map", "substitute", "safe_substitute"}:
            return self._made(text.pieces, text.holes + 1)
        return None

    def _replaced(self, text: Text, old: str, new: Text) -> Text | None:
        """`text.replace(old, new)`, unless that is larger than any source is."""
        found = sum(piece.text.count(old) for piece in text.pieces) if old and self._left > 0 else 0
        size = text.size + found * (new.size - len(old))
        if size > _LARGEST or len(text.pieces) + found * (1 + len(new.pieces)) > _MOST_PIECES:
            return None
        replaced = text.replaced(old, new)
        return self._made(replaced.pieces, replaced.holes)
