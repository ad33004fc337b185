"""MiniMax H3: its text encoder only; it makes films with sound."""

from encoders import llm, te

ENCODERS = {
    "MiniMax H3": lambda: (te.minimax.MiniMaxH3Tokenizer, te.minimax.te(), {"qwen3vl_32b": llm()}),
}
