"""The table of prices: exact, editable, and with an error that says what is wrong with it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.agents.models.prices import Price, Prices, Rate, load_prices
from kernelwright.agents.models.protocol import Usage
from kernelwright.errors import ConfigError

MINE = '[[price]]\nmodels = ["openai:gpt-6-sol", "http://*#llama*"]\ninput = "0.30"\noutput = 1\n'

tokens = st.integers(0, 10**7)
figures = st.integers(0, 10**9).map(lambda micros: Decimal(micros).scaleb(-6))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "kernelwright").mkdir()
    return tmp_path / "kernelwright" / "prices.toml"


@given(st.builds(Rate, figures, figures, figures, figures), st.builds(Usage, tokens, tokens, tokens, tokens))
def test_a_cost_is_the_exact_sum(rate: Rate, usage: Usage) -> None:
    """Against rational arithmetic."""
    pairs = [
        (usage.input_tokens, rate.input),
        (usage.cache_read_tokens, rate.cached_input),
        (usage.cache_write_tokens, rate.cache_write),
        (usage.output_tokens, rate.output),
    ]
    assert Fraction(rate.cost(usage)) == sum(n * Fraction(price) for n, price in pairs) / 10**6


@given(
    st.builds(Rate, figures, figures, figures, figures),
    st.builds(Rate, figures, figures, figures, figures),
    st.builds(Usage, tokens, tokens, tokens, tokens),
    st.integers(0, 10**7),
)
def test_nothing_costs_more_than_its_bound(rate: Rate, long: Rate, usage: Usage, above: int) -> None:
    price = Price(rate, long, above)
    given = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    base, per_token = price.bound(given)
    assert price.cost(usage) <= base + per_token * usage.output_tokens


def test_long_prompts_have_a_price_of_their_own() -> None:
    price = load_prices().of("anthropic:claude-haiku-5-5")
    assert price is not None
    assert price.cost(Usage(100_000, output_tokens=1000)) == Decimal("0.0105")
    assert price.cost(Usage(50_000, 50_000, 1, 1000)) == Decimal("0.025") + Decimal("0.0025") + Decimal(
        "0.000000625"
    ) + Decimal("0.0025")


def test_the_table_that_comes_with_the_program(own: Path) -> None:
    prices = load_prices()
    price = prices.of("anthropic:claude-opus-5-5")
    assert price == Price(Rate(Decimal("4.00"), Decimal("0.20"), Decimal("5.00"), Decimal("20.00")))
    assert prices.of("openai:gpt-5-mini-2025-08-07") == prices.of("openai:gpt-5-mini")
    for unknown in (
        "openai:gpt-5-mini-super",
        "openai:gpt-5-turbo",
        "anthropic:claude-opus-5-6",
        "http://h#gpt-5",
        "gpt-5",
        "",
    ):
        assert prices.of(unknown) is None
    assert prices.file == own
    for _, one in prices.entries:
        rate = one.rate
        assert rate.cached_input <= rate.input <= rate.output, "a slip of the pen"
        assert rate.input <= rate.cache_write <= 2 * rate.input
        assert one.long is None or (one.long.input > rate.input and one.above >= 100_000)


def test_a_file_of_ones_own_wins(own: Path) -> None:
    own.write_text(MINE)
    prices = load_prices()
    price = prices.of("openai:gpt-6-sol")
    assert price is not None
    assert price.rate == Rate(Decimal("0.30"), Decimal("0.30"), Decimal("0.30"), Decimal(1))
    assert prices.of("http://localhost:8000/v1#llama-4") == price
    assert prices.of("openai:gpt-6-luna") is not None


def test_a_named_file(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(MINE)
    assert load_prices(tmp_path / "p.toml").of("http://h#llama") is not None
    with pytest.raises(ConfigError, match="can't be read"):
        load_prices(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("price = 1", "'price' is no part"),
        ("[prices]", "'prices' is no part"),
        ("[[price]]\ninput = 1\noutput = 1", "entry 1 .* needs `models`"),
        ('[[price]]\nmodels = ["m"]\noutput = 1', "needs `input`"),
        ('[[price]]\nmodels = ["m"]\ninput = 1', "needs `output`"),
        ('[[price]]\nmodels = ["m"]\ninput = -1\noutput = 1', "input = -1, which is no number of dollars"),
        ('[[price]]\nmodels = ["m"]\ninput = nan\noutput = 1', "no number of dollars"),
        ('[[price]]\nmodels = ["m"]\ninput = inf\noutput = 1', "no number of dollars"),
        ('[[price]]\nmodels = ["m"]\ninput = true\noutput = 1', "no number of dollars"),
        ('[[price]]\nmodels = ["m"]\ninput = "free"\noutput = 1', "no number of dollars"),
        ('[[price]]\nmodels = ["m"]\ninput = "0.0000001"\noutput = 1', "at most 6 decimals"),
        ('[[price]]\nmodels = ["m"]\ninput = 1\noutput = 1\nouput = 2', "has 'ouput', which is none of"),
        ('[[price]]\nmodels = ["m"]\ninput = 1\noutput = 1\nlong = { input = 1, output = 1 }', "has a `long`"),
        ("[[price]", "no TOML"),
        ("\x00", "no TOML"),
    ],
)
def test_what_is_wrong_is_said(own: Path, text: str, said: str) -> None:
    own.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_prices()
    assert caught.value.path == str(own)


def test_an_empty_file_is_an_empty_table(own: Path) -> None:
    own.write_text("")
    assert load_prices().of("openai:gpt-6-sol") is not None


def test_the_hint_is_an_entry_that_works(own: Path) -> None:
    hint = Prices((), own).how_to_add("http://h:1/v1#m")
    own.write_text(hint.split(": ", 1)[1])  # as it can be copied
    assert load_prices().of("http://h:1/v1#m") is not None
