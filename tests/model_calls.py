"""Requests, replies and calls as tests need them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from search_doubles import EPOCH

from kernelwright.agents.models.calls import Call
from kernelwright.agents.models.protocol import Message, Place, Reply, Request, Usage

USAGE = Usage(1200, 300, 40, 500, 120)


def request(number: int = 1, role: str = "coder", turn: int = 0, text: str = "Write it.", **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "messages": (Message("system", "You write CUDA. π", cache=True), Message("user", text)),
        "place": Place(number, role, turn),
        "prompt": "coder/start@1f0c9a2b",
    }
    return Request(**(fields | changes))


def call(run_id: str = "softmax-7k3f9q", number: int = 1, role: str = "coder", turn: int = 0, **changes: Any) -> Call:
    asked = request(number, role, turn)
    fields: dict[str, Any] = {
        "run_id": run_id,
        "place": asked.place,
        "model": "openai:gpt-6-sol",
        "request": asked,
        "reply": Reply("```python\n```", USAGE, "end", "gpt-6-sol-2026-09-22", "chatcmpl-1", "Let me see.", 1.5),
        "error": "",
        "usage": USAGE,
        "dollars": Decimal("0.007565"),
        "estimated": False,
        "seconds": 1.25,
        "created": EPOCH,
    }
    return Call(**(fields | changes))
