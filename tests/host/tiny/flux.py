"""Flux.1, Flux.2, Kontext, LongCat-Image, Ovis."""

from encoders import CLIP, T5, llm, te

from . import SMALL, TALL, Tiny, pooled, random

FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 24, "context_in_dim": 32,
    "hidden_size": 64, "mlp_ratio": 4.0, "num_heads": 2, "depth": 2, "depth_single_blocks": 2,
    "axes_dim": [8, 12, 12], "theta": 10000, "patch_size": 2, "qkv_bias": True, "txt_ids_dims": [],
    "guidance_embed": True,
}  # fmt: skip
FLUX2 = FLUX | {
    "image_model": "flux2", "vec_in_dim": None, "in_channels": 128, "out_channels": 128, "axes_dim": [8, 8, 8, 8],
    "theta": 2000, "mlp_ratio": 3.0, "patch_size": 1, "qkv_bias": False, "txt_ids_dims": [3], "ops_bias": False,
    "global_modulation": True, "mlp_silu_act": True, "default_ref_method": "index", "ref_index_scale": 10.0,
}  # fmt: skip
LONGCAT = FLUX | {"guidance_embed": False, "vec_in_dim": None, "txt_ids_dims": [1, 2]}

MODELS = {
    "Flux": Tiny("Flux", FLUX, SMALL, values=pooled(24)),
    "Flux Kontext": Tiny(
        "Flux", FLUX, SMALL,
        values=lambda: {"pooled_output": random(1, 24), "reference_latents": [random(1, 16, 8, 8)]},
    ),
    "Flux.2": Tiny("Flux2", FLUX2, TALL, values=pooled(24), columns=512, column=512 - 20 + 3),
    "LongCat-Image": Tiny("LongCatImage", LONGCAT, SMALL),
    # 0.16.3 asks for a pooled output that its encoder does not give
    "Ovis": Tiny("Flux", LONGCAT | {"yak_mlp": True, "txt_norm": True}, SMALL, version="0.24.0"),
}  # fmt: skip

ENCODERS = {
    "Flux": lambda: (te.flux.FluxTokenizer, te.flux.flux_clip(), {"clip_l": CLIP, "t5xxl": T5}),
    "Flux.2": lambda: (te.flux.Flux2Tokenizer, te.flux.flux2_te(), {"mistral3_24b": llm(31)}),
    "Klein": lambda: (te.flux.KleinTokenizer, te.flux.klein_te(), {"qwen3_4b": llm(28)}),
    "Klein 8B": lambda: (te.flux.KleinTokenizer8B, te.flux.klein_te(model_type="qwen3_8b"), {"qwen3_8b": llm(28)}),
    "LongCat": lambda: (te.longcat_image.LongCatImageTokenizer, te.longcat_image.te(), {"qwen25_7b": llm()}),
    "Ovis": lambda: (te.ovis.OvisTokenizer, te.ovis.te(), {"qwen3_2b": llm()}),
}
