"""PixelDiT."""

from encoders import gemma, llm, te

from . import Tiny

PIXELDIT = {
    "image_model": "pixeldit_t2i", "num_groups": 2, "hidden_size": 64, "pixel_hidden_size": 8,
    "pixel_attn_hidden_size": 64, "pixel_num_groups": 2, "patch_depth": 2, "pixel_depth": 1, "patch_size": 16,
    "txt_embed_dim": 32, "txt_max_length": 20,
}  # fmt: skip

MODELS = {
    "PixelDiT": Tiny("PixelDiTT2I", PIXELDIT, (1, 3, 64, 48), version="0.24.0"),
}

ENCODERS = {
    "PixelDiT": lambda: (
        te.pixeldit.PixelDiTGemma2Tokenizer, te.pixeldit.pixeldit_te(), {"gemma2_2b": llm()}, {"spiece_model": gemma()}
    ),
}  # fmt: skip
