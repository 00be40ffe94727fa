"""From what a person writes to a model at a server, and where its key comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from kernelwright.agents.models.spec import Models, ModelSpec, client_for, find_key, parse_spec
from kernelwright.config import Settings
from kernelwright.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("openai:gpt-6-sol", ModelSpec("openai", "gpt-6-sol")),
        ("openai:ft:gpt-4.1:me::a1", ModelSpec("openai", "ft:gpt-4.1:me::a1")),
        (" anthropic:claude-opus-5-5\n", ModelSpec("anthropic", "claude-opus-5-5")),
        ("http://localhost:8000/v1#m", ModelSpec("compatible", "m", "http://localhost:8000/v1")),
        ("https://openrouter.ai/api/v1/#a/b:free", ModelSpec("compatible", "a/b:free", "https://openrouter.ai/api/v1")),
        ("http://[::1]:8000/v1#m#2", ModelSpec("compatible", "m#2", "http://[::1]:8000/v1")),
    ],
)
def test_forms(text: str, spec: ModelSpec) -> None:
    assert parse_spec(text) == spec
    assert parse_spec(spec.name) == spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no model"),
        ("gpt-5", "Write openai:NAME"),
        ("openai:", "Write openai:NAME"),
        ("openai://gpt", "names no model"),
        ("mistral:large", "Write openai:NAME"),
        ("http://host/v1", "names no model"),
        ("http://#m", "names no host"),
        ("http://host:port/v1#m", "can't be read"),
        ("http://host:99999/v1#m", "can't be read"),
        ("ftp://host/v1#m", "names no model"),
        ("openai:a b", "names no model"),
        ("openai:a\x00", "names no model"),
        ("openai:" + "a" * 500, "names no model"),
    ],
)
def test_what_names_no_model(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_spec(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["http://me:hunter2@host/v1#m", "http://host/v1?key=hunter2#m"])
def test_a_url_with_a_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="neither a password nor a query") as caught:
        parse_spec(text)
    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_spec_or_a_config_error(text: str) -> None:
    try:
        spec = parse_spec(text)
    except ConfigError:
        return
    assert spec.model


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Settings()


class TestKeys:
    def test_the_vendors_variable_wins_over_the_setting(self, settings: Settings) -> None:
        kept = settings.model_copy(update={"openai_api_key": SecretStr("from-settings")})
        assert find_key("openai", kept, {"OPENAI_API_KEY": "from-variable"}) == "from-variable"
        assert find_key("openai", kept, {"OPENAI_API_KEY": " \n"}) == "from-settings"
        assert find_key("openai", kept, {}) == "from-settings"

    @pytest.mark.parametrize("provider", ["openai", "anthropic"])
    def test_a_missing_one_says_what_to_set(self, settings: Settings, provider: str) -> None:
        with pytest.raises(ConfigError, match="need a key, and none is set") as caught:
            find_key(provider, settings, {})
        assert f"{provider.upper()}_API_KEY" in caught.value.mend
        assert f"{provider}_api_key in the settings" in caught.value.mend

    def test_a_compatible_server_may_need_none(self, settings: Settings) -> None:
        assert find_key("compatible", settings, {"OPENAI_API_KEY": "not-for-others"}) == ""

    @pytest.mark.parametrize("key", ["two words", "hunter2\nX-Admin: 1", "hunter2-ключ"])
    def test_one_that_can_be_none_is_not_repeated(self, settings: Settings, key: str) -> None:
        with pytest.raises(ConfigError, match="OPENAI_API_KEY holds characters that no key has") as caught:
            find_key("openai", settings, {"OPENAI_API_KEY": key})
        assert "hunter2" not in str(caught.value)

    def test_settings_do_not_show_them(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KERNELWRIGHT_OPENAI_API_KEY", "hunter2")
        loaded = Settings()
        assert loaded.openai_api_key is not None
        assert loaded.openai_api_key.get_secret_value() == "hunter2"
        assert "hunter2" not in repr(loaded) + str(loaded.model_dump()) + loaded.model_dump_json()


def test_one_client_for_one_name(settings: Settings) -> None:
    with Models(settings, environ={}) as models:
        assert models.client("http://h/v1#m") is models.client("http://h/v1/#m")
        assert models.client("http://h/v1#m")._gate is models.client("http://h/v1#n")._gate
        assert models.client("http://h/v1#m")._gate is not models.client("http://g/v1#m")._gate


def test_a_run_is_not_recorded_and_replayed(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="either recorded or replayed"):
        client_for("http://h/v1#m", settings, record=tmp_path, replay=tmp_path)
