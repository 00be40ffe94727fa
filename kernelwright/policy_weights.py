"""The weights of the sampler `policy` as a run keeps them: where they are, and a digest, so that going on with it uses the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelwright.config import Settings
from kernelwright.errors import ConfigError

if TYPE_CHECKING:
    from kernelwright.agents.builtin.policy.net import Policy

__all__ = ["KEY", "kept_weights", "with_weights"]

KEY = "policy_weights"
"""In the settings of a stored run."""


def kept_weights(settings: Settings) -> dict[str, Any]:
    """What a new run keeps: under `KEY` the path, None for those that come with the program, and the digest. Nothing where the
    built-in coder does not write with them.

    Raises:
        ConfigError: they can't be read.
    """
    writes = settings.builtin_first > 0 or "builtin" in (settings.model or "builtin", *settings.authors)
    if settings.sampler != "policy" or settings.strategy == "refine" or not writes:
        return {}
    path = None if settings.policy is None else settings.policy.expanduser().absolute()
    return {KEY: {"path": None if path is None else str(path), "digest": _load(path).digest}}


def with_weights(settings: Settings, kept: Mapping[str, Any]) -> Settings:
    """`settings` with the weights that a stored run was begun with; as they are where it keeps none.

    Args:
        kept: the settings of the run.

    Raises:
        ConfigError: the file is gone, can't be read, or holds other weights now.
    """
    found = kept.get(KEY)
    if found is None:
        return settings
    path = None if found["path"] is None else Path(found["path"])
    where = "came with the program" if path is None else f"were in {path}"
    begun = f"the run was begun with the weights {found['digest']}, which {where}"
    mend = (
        "Go on with it in the version that it was begun in, or begin a new run."
        if path is None
        else "Put the file back, or begin a new run."
    )
    try:
        digest = _load(path).digest
    except ConfigError as error:
        raise ConfigError(f"{begun} and can't be read now: {error.message}", mend=mend) from None
    if digest != found["digest"]:
        raise ConfigError(f"{begun}; those there now are others, {digest}.", mend=mend)
    return settings.model_copy(update={"policy": path})


def _load(path: Path | None) -> Policy:
    from kernelwright.agents.builtin.policy.net import load_policy, shipped_policy

    return shipped_policy() if path is None else load_policy(path)
