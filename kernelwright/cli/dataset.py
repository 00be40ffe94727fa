"""`kernelwright dataset`: data sets for training, and kernels from elsewhere. Each command has a file of its own."""

from __future__ import annotations

import click

__all__ = ["dataset"]


@click.group(name="dataset", context_settings={"help_option_names": ["-h", "--help"]})
def dataset() -> None:
    """Data sets of judged kernels: build them from the store, import archives, make new tasks."""
