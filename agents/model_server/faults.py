"""What each fault does: errors instead of a reply, other words in it, cuts in its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kernelwright.agents.model_server.asked import Answer, Piece, Refused, tokens
from kernelwright.agents.model_server.script import Fault, Provider, ScriptedReply

__all__ = [
    "CLOSES",
    "CUTS",
    "PAGE",
    "USES_UP",
    "altered_answer",
    "altered_reply",
    "cut",
    "error_of",
    "retry_after",
]

USES_UP = frozenset({"slow", "wrong_usage", "no_code_fence"})
"""Faults in which the scripted reply is given all the same, so it is used up."""
CLOSES = frozenset({"drop_before", "drop_mid"})
CUTS = frozenset({"drop_mid", "truncated_json"})

PAGE = (
    b"<!doctype html>\n<html><head><title>Please wait</title></head><body><h1>One moment, please</h1></body></html>\n"
)
REFUSAL = "I can't help with that request."
RUST = """Here is a fast version in Rust:

```rust
pub fn forward(input: &[f32], output: &mut [f32]) {
    for (to, from) in output.iter_mut().zip(input) {
        *to = from.max(0.0);
    }
}
```
"""
PYTHON = """This is quick enough in plain Python:

```python
def forward(rows):
    return [[max(value, 0.0) for value in row] for row in rows]
```
"""
FILLER = "The memory hierarchy of the device decides how fast this kernel can be, so let us look at it once more.\n"


def error_of(fault: Fault, provider: Provider) -> Refused | None:
    """The error that stands in place of a reply, if the fault is one."""
    if fault.kind == "rate_limit":
        return Refused(429, "Rate limit reached: too many requests. Try again later.", kind="rate_limit")
    if fault.kind == "overloaded":
        status = 529 if provider == "anthropic" else 503
        return Refused(status, "Overloaded", kind="overloaded")
    if fault.kind == "server_error":
        return Refused(500, "The server had an error while processing the request.", kind="server")
    if fault.kind == "bad_status":
        return Refused(
            fault.status, f"Scripted status {fault.status}.", kind="invalid" if fault.status < 500 else "server"
        )
    return None


def retry_after(fault: Fault | None) -> float | None:
    """Seconds for the header Retry-After; None for no such header."""
    if fault is None:
        return None
    if fault.retry_after is None and fault.kind == "rate_limit":
        return 1.0
    return fault.retry_after


def altered_reply(reply: ScriptedReply, fault: Fault | None) -> ScriptedReply:
    """The entry with what the fault makes of its words."""
    kind = fault.kind if fault else None
    if kind == "no_code_fence":
        lines = reply.text.splitlines(keepends=True)
        return _saying(reply, "".join(line for line in lines if not line.lstrip().startswith("```")))
    if kind == "empty":
        return _saying(reply, "")
    if kind == "refusal":
        return _saying(reply, reply.text if reply.fault and reply.text else REFUSAL)
    if kind == "wrong_language" and not (reply.fault and reply.text):
        assert fault is not None
        return _saying(reply, PYTHON if fault.language == "python" else RUST)
    return reply


def _saying(reply: ScriptedReply, text: str) -> ScriptedReply:
    return reply.model_copy(update={"text": text, "tool": None})


def altered_answer(answer: Answer, fault: Fault | None) -> Answer:
    """The answer with what the fault makes of it, after it was counted and cut off."""
    kind = fault.kind if fault else None
    if kind == "wrong_usage":
        return replace(answer, tells_usage=False)
    if kind == "refusal":
        return replace(answer, stop="refusal")
    if kind == "huge":
        assert fault is not None
        text = (FILLER * (fault.size // len(FILLER) + 1))[: fault.size]
        return replace(answer, text=text, stop="end", tool=None)
    return answer


def huge_tokens(fault: Fault, limit: int | None) -> int:
    """What 200 KB of text are charged as: never more than the request allowed, as no server does."""
    counted = tokens("x" * fault.size)
    return counted if limit is None else min(counted, limit)


def cut(pieces: Sequence[Piece], fault: Fault) -> list[Piece]:
    """The beginning of a reply. A cut event or body ends in its middle; a dropped stream ends between two events."""
    if len(pieces) == 1:
        data = pieces[0].data
        return [Piece(data[: int(len(data) * fault.after)])]
    kept = int(len(pieces) * fault.after)
    whole = list(pieces[:kept])
    if fault.kind == "truncated_json":
        data = pieces[kept].data
        whole.append(Piece(data[: len(data) // 2]))
    return whole
