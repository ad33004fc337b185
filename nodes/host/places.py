"""Where text and picture lie in the attention calls of one forward pass."""

from torch import nn

from .families import Family, Places, grid_of, padded


class Sequence:
    """Of one pass of a model, as its forward begins: what it says of its text and of its picture."""

    def __init__(self, unet: nn.Module, family: Family):
        self.unet, self.family = unet, family
        self.text = self.columns = 0  # rows of the text, and how many of them are attended to at the least
        self.grid = (0, 0)  # image tokens down and across

    def begin(self, latent, kwargs: dict) -> None:
        """latent: as `latent_of` a forward's arguments; kwargs: its named arguments."""
        # Stable Cascade's text has a name of its own.
        texts = (kwargs.get(name) for name in ("context", "clip_text"))
        self.text = next((text.shape[1] for text in texts if text is not None), 0)
        self.columns = min(self.text, kwargs.get("num_tokens", self.text))  # Mochi leaves padding out
        self.grid = grid_of(self.family, self.unet, latent.shape)

    def size(self, transformer_options: dict | None) -> tuple[int, int]:
        """Image tokens down and across in a call; a UNet says how many there are at its level."""
        height, width = (transformer_options or {}).get("activations_shape", (0, 0, *self.grid))[2:]
        return height, width

    def places(self, rows: int, columns: int, size: tuple[int, int]) -> Places | None:
        """In a call of so many query rows and key columns; None where it is not about both text and picture."""
        picture = padded(self.unet, size[0] * size[1])
        if not self.family.has_both(rows, columns, self.columns, picture):
            return None
        return self.family.sequence(rows, columns, self.text, picture)


def latent_of(args: tuple):
    """The picture's latent among a forward's arguments; LTX-2's stands beside its sound's."""
    return args[0][0] if isinstance(args[0], list) else args[0]
