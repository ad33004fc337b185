"""Lumina 2, Z-Image, NewBie."""

from encoders import gemma, llm, pieces, te

from . import SMALL, Tiny, masked, pooled

LUMINA = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 64, "n_layers": 2, "n_refiner_layers": 1,
    "n_heads": 4, "n_kv_heads": 2, "cap_feat_dim": 32, "axes_dims": [4, 6, 6], "axes_lens": [300, 512, 512],
    "qk_norm": True, "multiple_of": 16, "ffn_dim_multiplier": 2.0, "rope_theta": 10000.0,
}  # fmt: skip
ZIMAGE = LUMINA | {
    "dim": 256, "n_heads": 8, "n_kv_heads": 8, "axes_dims": [8, 12, 12], "rope_theta": 256.0,
    "z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32,
}  # fmt: skip
ZPIXEL = ZIMAGE | {
    "image_model": "zimage_pixel", "patch_size": 16, "in_channels": 3, "decoder_hidden_size": 32,
    "decoder_num_res_blocks": 1, "decoder_max_freqs": 4, "decoder_in_channels": 768,
}  # fmt: skip

MODELS = {
    "Lumina 2": Tiny("Lumina2", LUMINA, SMALL, values=masked()),
    "NewBie": Tiny("Lumina2", LUMINA | {"clip_text_dim": 24}, SMALL, values=pooled(24)),
    "Z-Image": Tiny("ZImage", ZIMAGE, SMALL),
    "Z-Image pixel": Tiny("ZImagePixelSpace", ZPIXEL, (1, 3, 96, 80)),
}


def _newbie():
    # Jina's and Gemma's
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3}
    vocabularies = {"gemma_spiece_model": gemma(), "jina_spiece_model": pieces(bos=0, pad=1, eos=2, unk=3)}
    return te.newbie.NewBieTokenizer, te.newbie.te(), {"": sizes}, vocabularies


ENCODERS = {
    "Lumina 2": lambda: (te.lumina2.LuminaTokenizer, te.lumina2.te(), {"gemma2_2b": llm()}, {"spiece_model": gemma()}),
    "Lumina 2 Gemma 3": lambda: (
        te.lumina2.NTokenizer, te.lumina2.te(model_type="gemma3_4b"), {"gemma3_4b": llm()}, {"spiece_model": gemma()}
    ),
    "Z-Image": lambda: (te.z_image.ZImageTokenizer, te.z_image.te(), {"qwen3_4b": llm()}),
    "NewBie": _newbie,
}  # fmt: skip
