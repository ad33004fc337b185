"""Which stretches of a prompt a CONDITIONING holds, found by encoding them again and comparing the rows."""

import re
from dataclasses import dataclass

from torch import Tensor

NEAR = 0.02  # of the usual distance of a row from the mean row: rounding differs between kernels, words differ by 1


@dataclass(frozen=True)
class Piece:
    """A stretch of a prompt that was encoded by itself. start: its first character; row: its first row."""

    text: str
    start: int
    row: int = 0


def pieces_in(clip, prompt: str, rows: Tensor, moved: bool = True) -> tuple[Piece, ...]:
    """The prompt as a whole among a CONDITIONING's rows, (..., rows, channels), else its pieces between BREAKs.

    moved: whether they may stand behind others (Conditioning Concat). Empty when one is missing.
    """
    for pieces in ([Piece(prompt, 0)], _between_breaks(prompt) if moved else []):
        found, after = [], 0
        for piece in pieces:
            own = clip.encode_from_tokens(clip.tokenize(piece.text))
            row = _row_of(own, rows, after, moved)
            if row is None:
                break
            found.append(Piece(piece.text, piece.start, row))
            after = row + own.shape[-2]
        if found and len(found) == len(pieces):
            return tuple(found)
    return ()


def _between_breaks(prompt: str) -> list[Piece]:
    """As packs that know BREAK encode them: each for itself, without the blanks around it."""
    breaks = list(re.finditer(r"\bBREAK\b", prompt))
    starts, ends = [0, *(b.end() for b in breaks)], [*(b.start() for b in breaks), len(prompt)]
    found = [Piece(prompt[start:end], start) for start, end in zip(starts, ends, strict=True)]
    stripped = (Piece(p.text.strip(), p.start + len(p.text) - len(p.text.lstrip())) for p in found)
    pieces = [piece for piece in stripped if piece.text]
    return pieces if len(pieces) > 1 else []


def _row_of(own: Tensor, rows: Tensor, after: int, moved: bool) -> int | None:
    """Where `own` stands among the rows, not before `after`; None: nowhere."""
    count, last = own.shape[-2], rows.shape[-2] - own.shape[-2]
    if last < 0 or own.shape[:-2] != rows.shape[:-2] or own.shape[-1] != rows.shape[-1] or (last and not moved):
        return None
    own, rows = own.float(), rows.to(own.device).float()
    near = NEAR * (own - own.mean(-2, keepdim=True)).norm(dim=-1).mean()
    for row in range(after, last + 1):
        # Most places differ in their first row already.
        for size in (1, count):
            distance = (rows[..., row : row + size, :] - own[..., :size, :]).norm(dim=-1).max()
            if not distance <= near:
                break
        else:
            return row
    return None
