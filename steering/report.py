"""What happened in a steered run, for people and for plots."""

from dataclasses import dataclass, field, replace

from torch import Tensor

from .guidance import Steering
from .losses import Score
from .words import Words


@dataclass(frozen=True)
class SteeredStep:
    """One steered sampling step: scores of the first and of the best look, (B, wishes) each, the gradient steps spent,
    and the maps that were read last (the mean over all channels of their shapes)."""

    step: int
    level: float
    before: Score
    after: Score
    spent: Tensor  # (B,)
    maps: Tensor  # (B, words, R, R)


@dataclass(frozen=True)
class Origin:
    """Where a run took place. node: the id of the host's node that ran it; graph: that node and all that lead to it,
    id -> (class, inputs); None where the host does not tell."""

    node: str | None = None
    graph: dict | None = None

    def stands_in(self, graph: dict) -> bool:
        """Whether that graph holds the same node, made of the same."""
        return self.graph is not None and all(graph.get(node) == made for node, made in self.graph.items())


NOWHERE = Origin()


@dataclass
class Report:
    """The latest run. names: of the words whose maps were read; steps: sampling steps of the whole schedule, of which
    the run did those from first on, before until; steered: those among them; target: as in Steering; failed: steering
    was given up on the way; runs: finished runs by the node that ran them, where several nodes may: None where one."""

    wishes: list[str] = field(default_factory=list)
    seen: list[SteeredStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: bool = False
    names: list[str] = field(default_factory=list)
    steps: int = 0
    first: int = 0
    until: int = 0
    steered: range = range(0)
    target: float = 0.0
    origin: Origin = NOWHERE
    runs: "dict[str | None, Report] | None" = None

    def begin(
        self, words: Words, steering: Steering, run: range, steps: int | None = None, origin: Origin = NOWHERE
    ) -> None:
        """Forget the last run: one of these steps out of so many (None: no others) begins. It keeps what is told of a
        run whose latent it takes over."""
        self.wishes, self.names = [str(wish) for wish in words.wishes], list(words.names)
        self.first, self.until, self.steps, self.origin = run.start, run.stop, steps or run.stop, origin
        self.seen, self.notes, self.failed = [], [], False
        self.steered, self.target = steering.steps(self.steps), steering.target
        runs = self.runs or {}
        before = next(filter(self._goes_on, reversed(runs.values())), None) if run.start else None
        if before is not None:
            self.seen, self.notes = list(before.seen), list(before.notes)
        runs.pop(origin.node, None)  # should this one be cancelled, the one before is not shown for it

    def _goes_on(self, before: "Report") -> bool:
        same = (before.until, before.steps, before.wishes) == (self.first, self.steps, self.wishes)
        return same and (self.origin.graph is None or before.origin.stands_in(self.origin.graph))

    def end(self) -> None:
        """The run is finished."""
        if not self.seen and not self.notes:
            acting = range(max(self.first, self.steered.start), min(self.until, self.steered.stop))
            why = "none of its steps lies between start and end"
            if acting:
                why = (
                    "the prompt acts at none of the steered steps; see the node that limits its conditioning to a time"
                )
            self.notes.append(f"Not steered: {why}.")
        if self.runs is not None:
            self.runs.pop(self.origin.node, None)  # the newest comes last
            self.runs[self.origin.node] = replace(self, runs=None)

    def behind(self, graph: dict | None) -> "Report":
        """The run that made what this graph (as in Origin) leads to; None: no graph is known, so the latest."""
        if self.runs is None or graph is None or (self.notes and not self.runs):
            return self
        found = [run for run in self.runs.values() if run.origin.stands_in(graph)]
        last = [
            run
            for run in found
            if not any(run.origin.node in (other.origin.graph or {}) for other in found if other is not run)
        ]
        if len(last) == 1:
            return last[0]
        why = (
            "It cannot be known which run of Steer Model made these pictures: several samplers lead to them."
            if last
            else "Not steered: no run of this Steer Model is known to have made these pictures. Does the sampler "
            "before them get its model?"
        )
        return Report(notes=[why])

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of the whole run, all pictures of the batch together."""
        return int(sum(seen.spent.sum() for seen in self.seen))

    def text(self) -> str:
        lines = [self._line(seen, picture) for seen in self.seen for picture in range(len(seen.spent))]
        if self.seen:
            lines.append(f"{self.gradient_steps} gradient steps in all.")
        return "\n".join(lines + self.notes)

    def _line(self, seen: SteeredStep, picture: int) -> str:
        name = f"step {seen.step + 1}" + (f", picture {picture + 1}" if len(seen.spent) > 1 else "")
        before, after = (score.satisfaction[picture].tolist() for score in (seen.before, seen.after))
        rows = zip(self.wishes, before, after, strict=True)
        changes = "; ".join(f"{wish}: {b:.2f}" + (f" -> {a:.2f}" if a != b else "") for wish, b, a in rows)
        spent = int(seen.spent[picture])
        return f"{name}: {changes} ({spent} gradient step{'' if spent == 1 else 's'})"

    def loss_map(self) -> dict[str, list[float]]:
        """The mean loss before and after each steered step, in the form of the host's LOSS_MAP."""
        return {"loss": [float(score.loss.mean()) for seen in self.seen for score in (seen.before, seen.after)]}
