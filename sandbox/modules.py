"""A module's text and a model's weights, as every worker handles them."""

from __future__ import annotations

import linecache
import sys
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["copy_weights", "new_module"]


def new_module(name: str, file: str, source: str) -> types.ModuleType:
    """A module that can be imported by `name` and whose lines tracebacks show; nothing of it has run."""
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    module = types.ModuleType(name)
    module.__file__ = file
    sys.modules[name] = module
    return module


def copy_weights(
    model: torch.nn.Module, state: Mapping[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Copies `state` into the model where names and shapes agree; the model's own tensors by name, and the names that did.

    A model without tensors whose class has a `load_state_dict` of its own is asked to load them.
    """
    import torch

    if state and not model.state_dict() and type(model).load_state_dict is not torch.nn.Module.load_state_dict:
        model.load_state_dict({name: value.clone() for name, value in state.items()})
    own = {k: v for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)}
    matched = [k for k in own if k in state and own[k].shape == state[k].shape]
    with torch.no_grad():
        for key in matched:
            own[key].copy_(state[key])
    return own, matched
