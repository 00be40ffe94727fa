"""Diagnosis goes to a file; a file that can't be written stops nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelwright import logs


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger(logs.ROOT)
    yield logger
    logs.close(logger)
    logger.propagate, logger.level = True, logging.NOTSET


def test_file_gets_its_level_and_the_terminal_nothing(
    tmp_path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "kw.log"
    logs.set_up(path, "info")
    logging.getLogger("kernelwright.sandbox").info("built %d", 3)
    logging.getLogger("kernelwright.sandbox").debug("not this")
    assert "INFO kernelwright.sandbox: built 3" in path.read_text()
    assert "not this" not in path.read_text()
    assert capsys.readouterr().err == ""


def test_verbose_shows_all_on_standard_error(
    tmp_path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up(tmp_path / "kw.log", "warning", verbose=True)
    logger.debug("details")
    assert "details" in capsys.readouterr().err
    assert (tmp_path / "kw.log").read_text() == ""


def test_setting_up_twice_writes_once(tmp_path: Path, logger: logging.Logger) -> None:
    for _ in range(2):
        logs.set_up(tmp_path / "kw.log", "info")
    logger.info("once")
    assert (tmp_path / "kw.log").read_text().count("once") == 1


def test_unwritable_file_stops_nothing(
    tmp_path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    logs.set_up(tmp_path / "file" / "kw.log", "info")
    assert "no log file" in capsys.readouterr().err


def test_traceback_is_kept_even_before_set_up(logger: logging.Logger) -> None:
    try:
        raise RuntimeError("inside")
    except RuntimeError as error:
        path = logs.keep_traceback(error)
    assert path is not None
    assert "RuntimeError: inside" in path.read_text()
    path.unlink()
