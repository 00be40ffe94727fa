"""Which layer wins, and what a wrong setting is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelwright.config import Settings, load_settings, settings_files
from kernelwright.errors import ConfigError


@pytest.fixture
def files(home: Path) -> tuple[Path, Path]:
    user, project = settings_files()
    user.parent.mkdir(parents=True)
    return user, project


def test_defaults_need_no_file(home: Path) -> None:
    settings = load_settings()
    assert (settings.gpu, settings.device, settings.rounds) == ("H200", "auto", 6)
    assert settings.database_url == f"sqlite:///{home / 'kernelwright.db'}"


def test_each_layer_wins_over_the_one_before(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    user, project = files
    user.write_text('gpu = "T4"\nrounds = 2\nisolation = "process"\ncall_seconds = 5\n')
    assert load_settings().gpu == "T4"
    project.write_text('gpu = "L40S"\nrounds = 3\nisolation = "auto"\n')
    monkeypatch.setenv("KERNELWRIGHT_GPU", "B200")
    monkeypatch.setenv("KERNELWRIGHT_ROUNDS", "4")
    settings = load_settings(gpu="A100", device=None)
    assert (settings.gpu, settings.rounds, settings.isolation, settings.call_seconds) == ("A100", 4, "auto", 5.0)


def test_unknown_key_names_the_closest(files: tuple[Path, Path]) -> None:
    files[1].write_text("# mine\nrouns = 3\n")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert caught.value.mend == "Did you mean 'rounds'?"
    assert (caught.value.path, caught.value.line) == (str(files[1]), 2)


def test_file_that_is_no_toml(files: tuple[Path, Path]) -> None:
    files[0].write_text("gpu: H200\n")
    with pytest.raises(ConfigError, match="no TOML") as caught:
        load_settings()
    assert caught.value.path == str(files[0])


@pytest.mark.parametrize(
    ("flags", "variable", "text", "said"),
    [
        ({"rounds": 0}, None, None, "--rounds can't be 0"),
        ({}, "KERNELWRIGHT_CALL_SECONDS", "soon", "KERNELWRIGHT_CALL_SECONDS can't be 'soon'"),
        ({}, None, 'device = "tpu"\n', "device can't be 'tpu'"),
    ],
)
def test_wrong_value_names_where_it_came_from(
    files: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    flags: dict[str, object],
    variable: str | None,
    text: str | None,
    said: str,
) -> None:
    if variable is not None and text is not None:
        monkeypatch.setenv(variable, text)
    elif text is not None:
        files[1].write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(**flags)
    assert said in caught.value.message
    if variable is None and text is not None:
        assert caught.value.path == str(files[1])


def test_paths_are_made_absolute(home: Path) -> None:
    settings = load_settings(data="here", cache="~/there")
    assert settings.data == Path.cwd() / "here"
    assert settings.cache == Path.home() / "there"


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
