"""Kandinsky 5."""

from encoders import CLIP, llm, te

from . import SMALL, Tiny, pooled

KANDINSKY = {
    "image_model": "kandinsky5", "model_dim": 64, "in_visual_dim": 16, "out_visual_dim": 16,
    "visual_embed_dim": 64, "in_text_dim": 32, "in_text_dim2": 24, "time_dim": 32, "ff_dim": 64,
    "num_text_blocks": 1, "num_visual_blocks": 2, "axes_dims": (8, 12, 12),
}  # fmt: skip

MODELS = {
    "Kandinsky 5": Tiny("Kandinsky5Image", KANDINSKY, SMALL, values=pooled(24)),
}

ENCODERS = {
    "Kandinsky 5": lambda: (
        te.kandinsky5.Kandinsky5Tokenizer, te.kandinsky5.te(), {"clip_l": CLIP, "qwen25_7b": llm()}
    ),
    "Kandinsky 5 Image": lambda: (
        te.kandinsky5.Kandinsky5TokenizerImage, te.kandinsky5.te(), {"clip_l": CLIP, "qwen25_7b": llm()}
    ),
}  # fmt: skip
