"""The built-in coder: CUDA from templates, moved by parameters. Needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kernelwright.agents.builtin.forecast import forecast_all
from kernelwright.agents.builtin.generated import Generated
from kernelwright.agents.builtin.lessons import best as best_of
from kernelwright.agents.builtin.lower import KernelTemplate, lower
from kernelwright.agents.builtin.space import Choice, ParameterSpace, Value
from kernelwright.agents.builtin.write import write_module
from kernelwright.agents.protocols import Advice, PastAttempt, Proposal, Turn
from kernelwright.bench_tasks.graph import Graph
from kernelwright.errors import NotFoundError
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.model.gpus import find_gpu

__all__ = ["BuiltinCoder"]


class BuiltinCoder:
    """Writes kernels for one captured module (implements `agents.protocols.Coder`).

    Args:
        graph: the module, captured by `kernelwright.sandbox.capture`.
        task_name: for the docstring of the source.
        plain_first: begin with the plainest kernels; not worth it when there is one round only.
        arch: the architecture that kernels are for (`sm_90`): what it lacks is no choice. Without it they are for compute
            capability 8.0 and later.
        sms: streaming multiprocessors of the GPU, for grids that fill it once; 0 leaves such grids out.

    Raises:
        LoweringError: nothing of the module can be lowered; the message names the operations.
    """

    name = "builtin"

    def __init__(self, graph: Graph, task_name: str, *, plain_first: bool = True, arch: str = "", sms: int = 0) -> None:
        self.task_name = task_name
        self.plain_first = plain_first
        self._lowered = lower(graph, arch, sms)
        self._space = ParameterSpace(self._lowered.kernels)

    @property
    def space(self) -> Mapping[str, tuple[Value, ...]]:
        """Values that may be tried, by ``"<kernel function>.<knob>"``."""
        return self._space.values

    @property
    def defaults(self) -> Mapping[str, Value]:
        """The first choice of every parameter."""
        return self._space.defaults

    @property
    def kernels(self) -> tuple[KernelTemplate, ...]:
        """The kernel functions, in launch order, before their parameters are chosen."""
        return self._lowered.kernels

    def generate(self, kernel: KernelTemplate, knobs: Mapping[str, Value]) -> Generated:
        """The CUDA of one of `kernels`, with its knobs by their short names."""
        return kernel.generate(knobs, self._lowered.pointers)

    @property
    def conservative(self) -> Mapping[str, Value]:
        """The plainest choice of every parameter."""
        return self._space.conservative

    def neighbours(self, base: Mapping[str, Value]) -> Iterator[Choice]:
        """Legal choices near `base`, the nearest first."""
        return self._space.neighbours(base)

    @property
    def stays_in_torch(self) -> tuple[str, ...]:
        """ATen operations that the module still calls, in order, each once."""
        return self._lowered.stays_in_torch

    def changed(self, base: Mapping[str, Value], wanted: Mapping[str, Value]) -> Choice | None:
        """`base` with the wanted values, and what else must change to make that legal; None if nothing does."""
        return self._space.changed(base, wanted)

    def write(self, parameters: Mapping[str, Value]) -> tuple[str, dict[str, Generated]]:
        """The source for a full choice of parameters, and what was generated per kernel."""
        return write_module(self._lowered, self.task_name, self._space.split(parameters))

    def propose(
        self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn | None = None
    ) -> Proposal | None:
        """The plainest kernels first, easy to get right and the measure of all that follows; then the usual choice
        for these shapes, after the judge's advice if that promises more; then what the judge advises, applied to the best
        kernel so far, or that one's nearest untried neighbour. None when every neighbour has been tried."""
        tried = {attempt.kernel.id for attempt in history}
        best = self._best(history)
        parents = (best.kernel.id,) if best is not None else tuple(a.kernel.id for a in history[-1:])
        if self.plain_first:
            plain = self.proposal(self._space.conservative, parents, None, "plain kernels first")
            if plain.kernel.id not in tried:
                return plain
        usual = self.proposal(self._space.defaults, parents, None, "the usual choice")
        if usual.kernel.id not in tried and not self._promises_more(advice, best):
            return usual
        if best is None:
            base: Choice = dict(self._space.conservative)
        else:
            base = {**self.defaults, **self._own(best.kernel.parameters)}
        if advice is not None and advice.parameters:
            wanted = self._space.changed(base, advice.parameters)
            if wanted is not None and wanted != base:
                proposal = self.proposal(wanted, parents, base, "as the judge advises")
                if proposal.kernel.id not in tried:
                    return proposal
        if usual.kernel.id not in tried:
            return usual
        for neighbour in self._space.neighbours(base):
            if neighbour == base:
                continue
            proposal = self.proposal(neighbour, parents, base, "nearest untried")
            if proposal.kernel.id not in tried:
                return proposal
        return None

    def _own(self, parameters: Mapping[str, Value]) -> Choice:
        return {name: value for name, value in parameters.items() if name in self.defaults}

    def _best(self, history: tuple[PastAttempt, ...]) -> PastAttempt | None:
        return best_of([attempt for attempt in history if attempt.kernel.author == self.name])

    def _promises_more(self, advice: Advice | None, base: PastAttempt | None) -> bool:
        """Whether the advice is forecast to bring more than the usual choice, both from `base`."""
        if advice is None or advice.expected_speedup is None or base is None or base.evaluation.timing is None:
            return False
        try:
            gpu = find_gpu(base.evaluation.timing.gpu)
        except NotFoundError:  # a measured time of a card that the model does not know
            return False
        usual = forecast_all(base, self.defaults, gpu)
        return usual is not None and advice.expected_speedup > usual

    def proposal(self, choice: Choice, parents: tuple[str, ...], base: Choice | None, why: str) -> Proposal:
        """The kernel of a full choice of parameters; `base` is what it changes and `why` how it was chosen, for its plan."""
        source, generated = self.write(choice)
        kernel = Kernel(source, author=self.name, parents=parents, parameters=dict(choice))
        changes = [
            f"{name} {base[name]} -> {value}" for name, value in choice.items() if base and base.get(name) != value
        ]
        if changes:
            plan = f"{', '.join(changes)} ({why})"
        else:
            plan = (
                f"{'; '.join(f'{name}: {g.summary}' for name, g in generated.items()) or 'nothing to compute'} ({why})"
            )
        notes = tuple(f"{op} stays in torch" for op in self.stays_in_torch)
        return Proposal(kernel, plan, notes, {"stays_in_torch": list(self.stays_in_torch)})
