"""When the database can't do it: a plain sentence with a mend, and what was stored is still there."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from search_doubles import EPOCH, attempt, run

from kernelwright.db.store import Store
from kernelwright.errors import StoreError

RUN = "softmax-7k3f9q"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Store(tmp_path / "k.db") as store:
        store.create_run(run())
        store.add_attempt(attempt(RUN, 1, 1e-5))
    return tmp_path / "k.db"


@pytest.fixture
def blocked(path: Path) -> Iterator[Path]:
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    yield path
    other.close()


def refused(caught: pytest.ExceptionInfo[StoreError], path: Path) -> str:
    """The sentence: it names the file, has a mend, and shows none of SQLAlchemy's text."""
    assert str(path) in caught.value.message
    assert caught.value.mend
    assert "sqlalche" not in str(caught.value)
    assert "[SQL" not in str(caught.value)
    return caught.value.message


def test_disk_full(path: Path) -> None:
    with Store(path) as store:
        with store._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            pages = driver.execute("PRAGMA page_count").fetchone()[0]
            driver.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError) as caught:
            store.add_attempt(attempt(RUN, 2, 1e-5, plan="long " * 10_000))
        assert "no room left on its disk" in refused(caught, path)
        assert len(store.attempts(RUN)) == 1
    with Store(path) as store:  # there is room again
        store.add_attempt(attempt(RUN, 2, 1e-5))
        assert len(store.attempts(RUN)) == 2


def test_read_only(path: Path) -> None:
    with Store(f"sqlite:///file:{path}?mode=ro&uri=true") as store:
        assert store.run(RUN) == run()
        with pytest.raises(StoreError) as caught:
            store.add_attempt(attempt(RUN, 2, 1e-5))
        assert "can't be written" in refused(caught, path)


def test_locked_for_longer_than_we_wait(blocked: Path) -> None:
    with Store(blocked, busy_seconds=0.05) as store:
        with pytest.raises(StoreError) as caught:
            store.add_attempt(attempt(RUN, 2, 1e-5))
        assert "locked by another process" in refused(caught, blocked)
        assert len(store.attempts(RUN)) == 1  # readers don't wait


def test_corrupt(path: Path) -> None:
    """The middle of the file is overwritten: opening may go well, reading does not."""
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        Store(path).run(RUN)
    assert "is damaged" in refused(caught, path)


def test_no_database_at_all(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a text file that somebody named by mistake\n" * 100)
    with pytest.raises(StoreError) as caught:
        Store(path)
    assert "is no SQLite database" in refused(caught, path)
    assert path.read_text().startswith("a text file")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Store(tmp_path)
    assert "can't be opened" in refused(caught, tmp_path)


def test_parent_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"folder of the database .* can't be made"):
        Store(tmp_path / "file" / "k.db")


@pytest.mark.parametrize(
    ("url", "said"), [("://", "no database URL"), ("nosuch://host/x", "No driver"), ("nosuch+driver://x", "No driver")]
)
def test_urls_that_mean_nothing(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        Store(url)


def test_password_is_never_shown() -> None:
    with pytest.raises(StoreError) as caught:
        Store("nosuch://ada:secret@host/x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_in_a_transaction_comes_after_it(tmp_path: Path, number: signal.Signals) -> None:
    """A real signal, while the transaction is open; the next write does not wait for a lock left behind."""
    armed = [number]

    def clock() -> datetime:  # asked for in the middle of a transaction
        if armed:
            os.kill(os.getpid(), armed.pop())
        return EPOCH

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command line does
    try:
        with Store(tmp_path / "k.db", clock=clock, busy_seconds=0.05) as store:
            with pytest.raises(KeyboardInterrupt):
                store.create_run(run())
            assert store.run(RUN) == run()
            assert signal.getsignal(number) is signal.default_int_handler
            store.add_attempt(attempt(RUN, 1, 1e-5))
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_write_too(path: Path) -> None:
    with Store(path) as store, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.add_attempt(attempt(RUN, number, 1e-5)), range(2, 10)))
        assert [a.number for a in store.attempts(RUN)] == list(range(1, 10))
