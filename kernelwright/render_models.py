"""What people see of language models in a run: what they cost, what was said, and what advice brought."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from kernelwright.agents.models.calls import Call
from kernelwright.render import plain_source
from kernelwright.words import counted, one_line, ratio

if TYPE_CHECKING:
    from kernelwright.agents.llm.outcomes import Outcome
    from kernelwright.db.costs import Costs

__all__ = ["advice_lines", "call_json", "conversation", "cost_line"]


def cost_line(costs: Costs, budget: Decimal | None = None) -> Text | None:
    """One line on what the models of a run cost together; None if none was asked."""
    from kernelwright.agents.models.paid import dollars_text

    if not costs.lines:
        return None
    calls = sum(line.calls for line in costs.lines)
    read = sum(line.input_tokens for line in costs.lines)
    written = sum(line.output_tokens for line in costs.lines)
    of = "" if budget is None else f" of the budget of ${budget:f}"
    return Text(
        f"Models: {counted(calls, 'call')}, {read:,} tokens read, {written:,} written, {dollars_text(costs.dollars)}{of}"
    )


def advice_lines(outcomes: Sequence[Outcome]) -> RenderableType:
    """What was expected of each piece of advice that named a figure, beside what came of it."""
    lines = []
    for one in outcomes:
        if one.predicted is None:
            continue
        came = ratio(one.happened) if one.happened is not None else one.verdict
        lines.append(
            Text(
                f"  {one.attempt}: {ratio(one.predicted)} expected by the judge of attempt {one.advised_after}, "
                f"{came} came of it",
                style="dim",
            )
        )
    return Group(*lines)


def conversation(calls: Sequence[Call]) -> RenderableType:
    """Every message of some calls, in order; what others wrote is shown as it is, without control characters."""
    parts: list[RenderableType] = []
    for call in calls:
        from kernelwright.agents.models.paid import dollars_text

        head = f"Attempt {call.place.attempt}, {call.place.role}"
        if call.place.turn:
            head += f", asked again ({call.place.turn})"
        about = f"{one_line(call.model)}, prompt {call.request.prompt}, {dollars_text(call.dollars)}"
        parts += [Text(f"{head}: {about}", style="bold")]
        for message in call.request.messages:
            parts += [Text(f"-- {message.role}", style="cyan"), plain_source(message.text)]
        if call.reply is None:
            parts.append(Text(f"-- no reply: {one_line(call.error, 2000)}", style="bold red"))
            continue
        if call.reply.reasoning:
            parts += [Text("-- reasoning", style="cyan"), plain_source(call.reply.reasoning)]
        parts += [
            Text(f"-- reply ({one_line(call.reply.stop_reason)})", style="cyan"),
            plain_source(call.reply.text),
            Text(""),
        ]
    return Group(*parts)


def call_json(call: Call) -> dict[str, Any]:
    """One call with its messages; dollars as text, exact."""
    usage = call.usage
    return {
        "attempt": call.place.attempt,
        "role": call.place.role,
        "turn": call.place.turn,
        "model": call.model,
        "prompt": call.request.prompt,
        "messages": [{"role": m.role, "text": m.text} for m in call.request.messages],
        "reply": None
        if call.reply is None
        else {
            "text": call.reply.text,
            "reasoning": call.reply.reasoning,
            "stop_reason": call.reply.stop_reason,
            "model": call.reply.model,
        },
        "error": call.error,
        "usage": {
            "input_tokens": usage.input_tokens,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "output_tokens": usage.output_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
        },
        "dollars": f"{call.dollars:f}",
        "estimated": call.estimated,
        "seconds": call.seconds,
        "created": call.created.isoformat(),
    }
