"""PixArt alpha and sigma."""

from encoders import T5, te

from . import Tiny

PIXART = {
    "image_model": "pixart_sigma", "micro_condition": False, "hidden_size": 72, "depth": 2, "num_heads": 2,
    "caption_channels": 32, "model_max_length": 20, "pe_interpolation": 1.0, "pe_precision": 2, "input_size": 16,
}  # fmt: skip

MODELS = {
    "PixArt alpha": Tiny(
        "PixArtAlpha", PIXART | {"image_model": "pixart_alpha", "micro_condition": True}, (1, 4, 64, 48),
    ),
    "PixArt sigma": Tiny("PixArtSigma", PIXART, (1, 4, 64, 48)),
}  # fmt: skip

ENCODERS = {
    "PixArt, Chroma": lambda: (te.pixart_t5.PixArtTokenizer, te.pixart_t5.pixart_te(), {"t5xxl": T5}),
}
