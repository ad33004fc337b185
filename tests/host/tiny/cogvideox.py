"""CogVideoX."""

from encoders import T5, te

from . import Tiny

COGVIDEO = {
    "image_model": "cogvideox", "num_attention_heads": 2, "attention_head_dim": 32, "in_channels": 16,
    "out_channels": 16, "time_embed_dim": 32, "text_embed_dim": 32, "num_layers": 2, "max_text_seq_length": 20,
    "use_rotary_positional_embeddings": True,
}  # fmt: skip

MODELS = {
    "CogVideoX": Tiny("CogVideoX_T2V", COGVIDEO, (1, 16, 1, 12, 10), version="0.24.0"),
}

ENCODERS = {
    "CogVideoX": lambda: (te.cogvideo.CogVideoXTokenizer, te.cogvideo.cogvideo_te(), {"t5xxl": T5}),
}
