"""The declarations of a C++ source: enough of its grammar to tell kernels, device code and host code apart.

No types are resolved. The source is one whose macros have been expanded (`preprocess`), so brackets balance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kernelwright.errors import BuildError
from kernelwright.sandbox.hostcode.tokens import CLOSING, OPENING, Token, close_of, significant, tokenize

__all__ = ["Declaration", "Unit", "parse"]

_CLASS_KEYS = frozenset({"class", "struct", "union"})
_ACCESS = frozenset({"public", "private", "protected"})
# words followed by a parenthesis that is not a parameter list
_ATTRIBUTES = frozenset(
    {
        "__launch_bounds__", "__attribute__", "__align__", "__declspec", "__cluster_dims__", "__maxnreg__",
        "__block_size__", "alignas", "decltype", "noexcept", "explicit", "requires", "sizeof", "typeof",
        "C10_LAUNCH_BOUNDS_0", "C10_LAUNCH_BOUNDS_1", "C10_LAUNCH_BOUNDS_2", "asm", "__asm__",
    }
)  # fmt: skip


@dataclass
class Declaration:
    """One declaration; positions count significant tokens of its `Unit`.

    `kind` is one of `namespace`, `linkage` (an `extern "C"` block), `function`, `class`, `enum`, `variable`, `alias`
    (using, typedef, namespace alias), `using_namespace`, `assertion`, `instantiation`, `label`, `directive`, `empty`.
    """

    kind: str
    first: int
    last: int
    """Its last token: the semicolon or the closing brace."""
    names: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()
    """The words outside of any bracket before the name: `static`, `__global__`, `constexpr`, ..."""
    template: tuple[tuple[int, int], ...] = ()
    """The angle brackets of its template headers."""
    params: tuple[int, int] | None = None
    """A function's parentheses."""
    name_at: int | None = None
    """Where a function's unqualified name stands."""
    body: tuple[int, int] | None = None
    """The braces of a definition."""
    scope: tuple[str, ...] = ()
    """The namespaces around it; the empty string for an anonymous one."""
    children: list[Declaration] = field(default_factory=list)

    @property
    def is_global(self) -> bool:
        """A kernel."""
        return self.kind == "function" and "__global__" in self.words

    @property
    def is_device(self) -> bool:
        """Marked to exist on the device."""
        return bool(self.words & {"__device__", "C10_DEVICE", "C10_HOST_DEVICE"})

    @property
    def is_host(self) -> bool:
        """Exists on the host: marked so, or not marked at all."""
        return bool(self.words & {"__host__", "C10_HOST", "C10_HOST_DEVICE"}) or not (self.is_device or self.is_global)

    def walk(self) -> Iterator[Declaration]:
        """This one and all inside."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass
class Unit:
    """A parsed source."""

    tokens: list[Token]
    order: list[int]
    """Indices of the significant tokens."""
    declarations: list[Declaration]

    def token(self, position: int) -> Token:
        """A significant token."""
        return self.tokens[self.order[position]]

    def text(self, first: int, last: int) -> str:
        """The source between two significant tokens, both included; empty if `last < first`."""
        if last < first:
            return ""
        return "".join(t.text for t in self.tokens[self.order[first] : self.order[last] + 1])

    def all(self) -> Iterator[Declaration]:
        """Every declaration at every depth."""
        for declaration in self.declarations:
            yield from declaration.walk()


def parse(text: str) -> Unit:
    """The declarations of `text`.

    Raises:
        BuildError: a bracket is not closed (with its line).
    """
    tokens = tokenize(text)
    order = significant(tokens)
    _balance(tokens, order)
    unit = Unit(tokens, order, [])
    unit.declarations = _Parser(unit).scope(0, len(order), (), in_class=False)
    return unit


def _balance(tokens: list[Token], order: list[int]) -> None:
    stack: list[Token] = []
    for index in order:
        token = tokens[index]
        if token.kind != "mark":
            continue
        if token.text in OPENING:
            stack.append(token)
        elif token.text in CLOSING:
            if not stack or stack[-1].text != CLOSING[token.text]:
                raise BuildError(f"the {token.text!r} closes nothing", line=token.line)
            stack.pop()
    if stack:
        raise BuildError(f"the {stack[-1].text!r} is never closed", line=stack[-1].line)


class _Parser:
    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._text = [unit.tokens[i].text for i in unit.order]
        self._kind = [unit.tokens[i].kind for i in unit.order]
        self._close: dict[int, int] = {}

    def scope(self, at: int, end: int, scope: tuple[str, ...], *, in_class: bool) -> list[Declaration]:
        """The declarations between two positions."""
        found = []
        while at < end:
            declaration = self._one(at, end, scope, in_class)
            found.append(declaration)
            at = declaration.last + 1
        return found

    def _shut(self, at: int) -> int:
        if at not in self._close:
            self._close[at] = close_of(self._unit.tokens, self._unit.order, at)
        return self._close[at]

    def _one(self, at: int, end: int, scope: tuple[str, ...], in_class: bool) -> Declaration:
        text, kind = self._text[at], self._kind[at]
        if kind == "directive":
            return Declaration("directive", at, at, scope=scope)
        if text == ";":
            return Declaration("empty", at, at, scope=scope)
        if in_class and text in _ACCESS and self._at(at + 1) == ":":
            return Declaration("label", at, at + 1, scope=scope)
        if text == "namespace" or (text == "inline" and self._at(at + 1) == "namespace"):
            return self._namespace(at, end, scope)
        if text == "extern" and self._kind_at(at + 1) == "string" and self._at(at + 2) == "{":
            close = self._shut(at + 2)
            inside = self.scope(at + 3, close, scope, in_class=False)
            return Declaration("linkage", at, close, body=(at + 2, close), scope=scope, children=inside)
        if text == "using" or text == "typedef":
            return self._alias(at, end, scope)
        if text in ("static_assert", "_Static_assert"):
            return Declaration("assertion", at, self._semicolon(at, end), scope=scope)
        headers: list[tuple[int, int]] = []
        first = at
        while self._at(at) == "template":
            if self._at(at + 1) != "<":
                return Declaration("instantiation", first, self._semicolon(at, end), scope=scope)
            close = self.angle(at + 1, end)
            headers.append((at + 1, close))
            at = close + 1
        if headers and self._at(at) in ("using", "concept"):
            last = self._semicolon(at, end)
            return Declaration("alias", first, last, (self._at(at + 1),), template=tuple(headers), scope=scope)
        return self._entity(first, at, end, tuple(headers), scope)

    def _at(self, position: int) -> str:
        return self._text[position] if position < len(self._text) else ""

    def _kind_at(self, position: int) -> str:
        return self._kind[position] if position < len(self._kind) else ""

    def _semicolon(self, at: int, end: int) -> int:
        while at < end:
            if self._text[at] in OPENING and self._kind[at] == "mark":
                at = self._shut(at)
            elif self._text[at] == ";":
                return at
            at += 1
        return end - 1

    def angle(self, at: int, end: int) -> int:
        """Where the angle bracket at `at` closes; `end - 1` if it does not."""
        depth = 0
        while at < end:
            text = self._text[at]
            if self._kind[at] == "mark":
                if text == "<":
                    depth += 1
                elif text == ">":
                    depth -= 1
                    if depth == 0:
                        return at
                elif text in OPENING:
                    at = self._shut(at)
                elif text == ";":
                    break
            at += 1
        return min(at, end - 1)

    def _namespace(self, at: int, end: int, scope: tuple[str, ...]) -> Declaration:
        first = at
        at += 2 if self._text[at] == "inline" else 1
        names: list[str] = []
        while at < end and self._text[at] not in ("{", "=", ";"):
            if self._text[at] in OPENING:
                at = self._shut(at)
            elif self._kind[at] == "word":
                names.append(self._text[at])
            at += 1
        if self._at(at) != "{":
            return Declaration("alias", first, self._semicolon(first, end), tuple(names[:1]), scope=scope)
        close = self._shut(at)
        inside = self.scope(at + 1, close, scope + (tuple(names) or ("",)), in_class=False)
        return Declaration("namespace", first, close, tuple(names), body=(at, close), scope=scope, children=inside)

    def _alias(self, at: int, end: int, scope: tuple[str, ...]) -> Declaration:
        last = self._semicolon(at, end)
        if self._text[at] == "using":
            if self._at(at + 1) == "namespace":
                names = tuple(t for t in self._text[at + 2 : last] if t != "::")
                return Declaration("using_namespace", at, last, names, scope=scope)
            if "=" in self._text[at:last]:
                return Declaration("alias", at, last, (self._text[at + 1],), scope=scope)
            words = [t for t, k in zip(self._text[at:last], self._kind[at:last], strict=True) if k == "word"]
            return Declaration("alias", at, last, (words[-1],), scope=scope)
        # typedef: the declared name is the last word before the end, a parenthesis or a bracket; all are kept
        return Declaration("alias", at, last, self._declared(at + 1, last), scope=scope)

    def _declared(self, at: int, end: int) -> tuple[str, ...]:
        """Words at bracket depth 0, and those of a `(*name)`: candidates for the declared name."""
        names = []
        while at < end:
            if self._text[at] in ("(", "{", "[") and self._kind[at] == "mark":
                if self._text[at] == "(" and self._at(at + 1) in ("*", "&"):
                    names.append(self._at(at + 2))
                at = self._shut(at)
            elif self._kind[at] == "word":
                names.append(self._text[at])
            at += 1
        return tuple(names[-2:])

    def _entity(
        self, first: int, at: int, end: int, template: tuple[tuple[int, int], ...], scope: tuple[str, ...]
    ) -> Declaration:
        """A function, class, enumeration or variable."""
        words: list[str] = []
        names: list[str] = []
        params: tuple[int, int] | None = None
        name_at: int | None = None
        key = ""
        class_name = ""
        assigned = False
        while at < end:
            text, kind = self._text[at], self._kind[at]
            if kind == "directive":
                at += 1
                continue
            if kind == "word":
                if text == "operator":
                    name_at = at
                    at = self._operator(at)
                    params = (at, self._shut(at))
                    at = params[1] + 1
                    names.append("operator")
                    continue
                if text in _CLASS_KEYS | {"enum"} and params is None and not assigned:
                    key = key or text
                elif key and not class_name and text not in _ATTRIBUTES and text not in ("final",):
                    class_name = text
                if params is None and not assigned:
                    words.append(text)
            elif text == ";":
                return self._finish(
                    first, at, key, class_name, words, names, params, name_at, template, scope, assigned
                )
            elif text == "<" and kind == "mark" and not assigned and params is None:
                at = self.angle(at, end)
            elif text == "(" and kind == "mark":
                close = self._shut(at)
                before = self._text[at - 1] if at > first else ""
                if before not in _ATTRIBUTES and not assigned and not (key and not class_name):
                    if params is None and (self._kind[at - 1] == "word" or before == ">" or before == ")"):
                        params = (at, close)
                        name_at = self._name_before(at)
                    elif params is None and self._at(at + 1) in ("*", "&"):
                        names.append(self._at(at + 2))  # a pointer to a function
                at = close
            elif text == "[" and kind == "mark":
                at = self._shut(at)
            elif text == "=" and kind == "mark":
                assigned = True
            elif text == ":" and kind == "mark" and params is not None and not assigned:
                at = self._initialisers(at + 1, end)
                continue
            elif text == "{" and kind == "mark":
                close = self._shut(at)
                if params is not None and not assigned:
                    last = close + 1 if self._at(close + 1) == ";" and close + 1 < end else close
                    made = Declaration("function", first, last, scope=scope, template=template)
                    made.body = (at, close)
                    self._name_function(made, words, params, name_at)
                    return made
                if key and not assigned and params is None:
                    return self._class(first, at, close, end, key, class_name, words, template, scope)
                at = close  # an initialiser
            elif text == "," and kind == "mark" and params is None:
                names.extend(words[-1:])
            at += 1
        return self._finish(first, end - 1, key, class_name, words, names, params, name_at, template, scope, assigned)

    def _finish(
        self,
        first: int,
        last: int,
        key: str,
        class_name: str,
        words: list[str],
        names: list[str],
        params: tuple[int, int] | None,
        name_at: int | None,
        template: tuple[tuple[int, int], ...],
        scope: tuple[str, ...],
        assigned: bool,
    ) -> Declaration:
        made = Declaration("variable", first, last, tuple(names + words[-1:]), frozenset(words), template, scope=scope)
        if params is not None and not ("extern" in words and "__shared__" in words):
            made.kind = "function"
            self._name_function(made, words, params, name_at)
        elif key and len(words) - words.index(key) <= 2 and not assigned:
            made.kind = "enum" if key == "enum" else "class"
            made.names = (class_name,)
        return made

    def _name_function(self, made: Declaration, words: list[str], params: tuple[int, int], name_at: int | None) -> None:
        made.params = params
        made.name_at = name_at
        made.words = frozenset(words)
        made.names = (self._text[name_at],) if name_at is not None else ()

    def _class(
        self,
        first: int,
        opening: int,
        close: int,
        end: int,
        key: str,
        class_name: str,
        words: list[str],
        template: tuple[tuple[int, int], ...],
        scope: tuple[str, ...],
    ) -> Declaration:
        last = self._semicolon(close, end)
        names = [class_name] if class_name else []
        names += [
            t for t, k in zip(self._text[close + 1 : last], self._kind[close + 1 : last], strict=True) if k == "word"
        ]
        made = Declaration("class", first, last, tuple(names), frozenset(words), template, scope=scope)
        made.body = (opening, close)
        if key == "enum":
            made.kind = "enum"
            if "class" not in words and "struct" not in words:
                made.names += tuple(
                    self._text[i]
                    for i in range(opening + 1, close)
                    if self._kind[i] == "word" and self._text[i - 1] in ("{", ",")
                )
        else:
            made.children = self.scope(opening + 1, close, (*scope, class_name), in_class=True)
        return made

    def _operator(self, at: int) -> int:
        """From `operator` to the parenthesis of its parameters."""
        at += 1
        if self._at(at) == "(" and self._at(at + 1) == ")":
            return at + 2
        while at < len(self._text) and self._text[at] != "(":
            at += 1
        return at

    def _name_before(self, at: int) -> int | None:
        """The name in front of a parameter list: `k`, or the `k` of `k<float>`."""
        position = at - 1
        if self._text[position] == ">":
            depth = 0
            while position > 0:
                depth += (self._text[position] == ">") - (self._text[position] == "<")
                position -= 1
                if depth == 0:
                    break
        return position if position >= 0 and self._kind[position] == "word" else None

    def _initialisers(self, at: int, end: int) -> int:
        """Past a constructor's member initialisers, to its body."""
        while at < end:
            if self._text[at] in ("(", "{") and self._kind[at] == "mark":
                if self._text[at] == "{" and self._kind[at - 1] != "word" and self._text[at - 1] != ">":
                    return at
                at = self._shut(at)
                if self._at(at + 1) != ",":
                    return at + 1
            elif self._text[at] == ";":
                return at
            at += 1
        return end
