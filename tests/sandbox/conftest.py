"""The corpus of extensions runs whole only when it is asked for: `pytest -m extensions`."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "extensions(representative): an extension module run end to end; only the representative ones run by default",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "extensions" in str(config.getoption("-m")):
        return
    left_out = [
        item
        for item in items
        if (marker := item.get_closest_marker("extensions")) and not marker.kwargs.get("representative", False)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(map(id, left_out))
        items[:] = [item for item in items if id(item) not in gone]
