"""What happened in a steered run, for people and for plots."""

from dataclasses import dataclass, field

from torch import Tensor

from .guidance import Steering
from .losses import Score
from .words import Words


@dataclass(frozen=True)
class SteeredStep:
    """One steered sampling step: scores before and after, (B, wishes) each, the gradient steps spent, and the maps
    that were read last (the mean over all channels of their shapes)."""

    step: int
    level: float
    before: Score
    after: Score
    spent: Tensor  # (B,)
    maps: Tensor  # (B, words, R, R)


@dataclass
class Report:
    """The latest run. names: of the words whose maps were read; steps: sampling steps in all; steered: those among
    them; target: as in Steering; failed: steering was given up on the way."""

    wishes: list[str] = field(default_factory=list)
    seen: list[SteeredStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: bool = False
    names: list[str] = field(default_factory=list)
    steps: int = 0
    steered: range = range(0)
    target: float = 0.0

    def begin(self, words: Words, steering: Steering, steps: int) -> None:
        """Forget the last run: one of so many sampling steps begins."""
        self.wishes, self.names = [str(wish) for wish in words.wishes], list(words.names)
        self.seen, self.notes, self.failed = [], [], False
        self.steps, self.steered, self.target = steps, steering.steps(steps), steering.target

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
        changes = "; ".join(f"{wish}: {b:.2f} -> {a:.2f}" for wish, b, a in rows)
        spent = int(seen.spent[picture])
        return f"{name}: {changes} ({spent} gradient step{'' if spent == 1 else 's'})"

    def loss_map(self) -> dict[str, list[float]]:
        """The mean loss before and after each steered step, in the form of the host's LOSS_MAP."""
        return {"loss": [float(score.loss.mean()) for seen in self.seen for score in (seen.before, seen.after)]}
