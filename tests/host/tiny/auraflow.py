"""AuraFlow."""

from encoders import T5, te

from . import Tiny

MODELS = {
    "AuraFlow": Tiny(
        "AuraFlow",
        {"max_seq": 64, "cond_seq_dim": 32, "n_double_layers": 2, "n_layers": 4, "dim": 64, "n_heads": 2,
         "global_conddim": 64},
        (1, 4, 12, 10),
    ),
}  # fmt: skip

ENCODERS = {
    "AuraFlow": lambda: (te.aura_t5.AuraT5Tokenizer, te.aura_t5.AuraT5Model, {"pile_t5xl": T5}),
}
