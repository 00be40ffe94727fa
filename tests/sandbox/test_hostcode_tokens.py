"""The tokenizer and the declarations of host code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.errors import BuildError
from kernelwright.sandbox.hostcode.declarations import parse
from kernelwright.sandbox.hostcode.tokens import tokenize

_PIECES = st.sampled_from(
    [
        "int", " ", "\n", "x", "<<<", ">>>", "(", ")", "{", "}", '"a\\"b"', '"', "'", "'\\''", "//c\n", "/* d\n */", "/*",
        'R"q(x)"\n)q"', 'R"(', "#define A \\\n b\n", "\\\n", "1'000", "0x1p-3f", "::", "->*", ";", ",", "é", "<", ">",
    ]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=30).map("".join) | st.text(max_size=60))
def test_tokens_joined_are_the_source(text: str) -> None:
    tokens = tokenize(text)
    assert "".join(token.text for token in tokens) == text
    line = 1
    for token in tokens:
        assert token.line == line
        line += token.text.count("\n")


def kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokenize(text) if token.kind not in ("space", "comment")]


def test_launch_brackets_are_told_from_templates() -> None:
    found = [text for _, text in kinds("k<A<B<int>>><<<g, b>>>(x << 3)")]
    assert found == [*"k<A<B<", "int", *">>>", "<<<", "g", ",", "b", *">>>", "(", "x", "<<", "3", ")"]


def test_launch_brackets_inside_literals_and_comments_are_text() -> None:
    text = 'f("k<<<1,1>>>(); \\" {"); /* k<<<1>>>() } */ // {\nR"x({ <<< )" )x";'
    assert "<<<" not in [word for _, word in kinds(text)]


def test_a_directive_is_one_token_with_its_continuations() -> None:
    assert kinds("  #define F(x) { \\\n  x<<<1>>>\nint y;")[0] == ("directive", "#define F(x) { \\\n  x<<<1>>>")
    assert kinds("a # b")[1] == ("mark", "#")


def declared(text: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(d.kind, d.names) for d in parse(text).all()]


@pytest.mark.parametrize(
    ("text", "kind", "names"),
    [
        ("__global__ void k(int x) {}", "function", ("k",)),
        ("static __global__ void __launch_bounds__(32 * 4) k(float (&x)[3]) {}", "function", ("k",)),
        ("template <typename T, int N = (4 > 2)> __global__ void k(T* x);", "function", ("k",)),
        ('extern "C" __global__ void k() {}', "function", ("k",)),
        ("template <> __global__ void k<int>(int* x) {}", "function", ("k",)),
        ("template __global__ void k<int>(int*);", "instantiation", ()),
        ("auto f(int a) -> decltype(a + 1) { return a + 1; }", "function", ("f",)),
        ("S::S(int a) : x(a), y{a} { go(); }", "function", ("S",)),
        ("__device__ float2 operator+(float2 a, float2 b) { return a; }", "function", ("operator",)),
        ("struct alignas(16) V { float x[4]; };", "class", ("V",)),
        ("template <typename T> class C final : public B<T> { int y; } ;", "class", ("C",)),
        ("enum class E : int { A, B };", "enum", ("E",)),
        ("enum E { A = 1, B };", "enum", ("E", "A", "B")),
        ("__constant__ float table[4] = {1, 2, 3, 4};", "variable", ("table",)),
        ("constexpr int N{4};", "variable", ("N",)),
        ("static std::vector<int> v(3);", "function", ("v",)),  # as C++ itself might read it; no body, so harmless
        ("extern __shared__ float smem[];", "variable", ("smem",)),
        ("using T = float;", "alias", ("T",)),
        ("using at::Tensor;", "alias", ("Tensor",)),
        ("namespace cg = cooperative_groups;", "alias", ("cg",)),
        ("using namespace torch::indexing;", "using_namespace", ("torch", "indexing")),
        ("static_assert(sizeof(int) == 4, \"{\");", "assertion", ()),
    ],
)  # fmt: skip
def test_what_a_declaration_is(text: str, kind: str, names: tuple[str, ...]) -> None:
    assert declared(text)[0] == (kind, names)


def test_scopes_and_bodies() -> None:
    unit = parse(
        "namespace a { namespace { __global__ void k() { if (1) {} } } struct S { __device__ void f() {} int g; }; }"
    )
    found = {d.names[0]: d for d in unit.all() if d.names}
    assert found["k"].scope == ("a", "")
    assert found["k"].is_global
    assert found["f"].scope == ("a", "S")
    assert found["f"].is_device
    assert not found["f"].is_host
    assert found["g"].kind == "variable"


@pytest.mark.parametrize(("text", "line"), [("void f() {\n  g(];\n}", 2), ("\nvoid f() {\n", 2), ("}", 1)])
def test_unbalanced_brackets_are_refused_with_their_line(text: str, line: int) -> None:
    with pytest.raises(BuildError) as caught:
        parse(text)
    assert caught.value.line == line
