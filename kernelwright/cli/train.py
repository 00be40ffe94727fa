"""The group `train`: what makes a better coder of the kernels that were judged. Its commands register themselves here."""

from __future__ import annotations

import click

__all__ = ["train"]


@click.group()
def train() -> None:
    """Train what writes kernels on kernels that were judged."""
