"""Lens."""

import torch
from encoders import byte_pairs, te

from . import TALL, Tiny

LENS = {
    "image_model": "lens", "in_channels": 128, "out_channels": 128, "num_layers": 2, "attention_head_dim": 32,
    "num_attention_heads": 2, "enc_hidden_dim": 32, "axes_dims_rope": [8, 12, 12], "patch_size": 1,
}  # fmt: skip
GPT_OSS = {
    "vocab_size": 2000, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1,
}  # fmt: skip

MODELS = {
    "Lens": Tiny("Lens", LENS, TALL, (20, 128), version="0.24.0"),
}


def _lens():
    class WithWeights(te.gpt_oss.lens_te()):
        """The host makes the weights of GPT-OSS only when it loads them."""

        def __init__(self, **options):
            super().__init__(**options)
            for module in self.modules():
                if hasattr(module, "in_features"):
                    experts = (module.num_experts,) if hasattr(module, "num_experts") else ()
                    shape = (*experts, module.out_features, module.in_features)
                    module.weight = torch.nn.Parameter(torch.empty(shape), requires_grad=False)

    marks = ("<|start|>", "<|message|>", "<|end|>", "<|channel|>")
    vocabulary = torch.frombuffer(bytearray(byte_pairs(*marks).to_str().encode()), dtype=torch.uint8)
    options = {"gpt_oss_config": GPT_OSS, "selected_layers": (0, 1)}
    return te.gpt_oss.LensTokenizer, WithWeights, {}, {"tokenizer_json": vocabulary}, options


ENCODERS = {
    "Lens": _lens,
}
