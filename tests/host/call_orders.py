"""Families of newer hosts, whose classes are not here: tiny models of our own that ask for attention in their order.

Qwen-Image 2.1: a call a segment, the text first and under a causal mask, references, the picture last; residuals are
added in place; with a prefix pass, each block runs for text and references and then for the picture alone. SenseNova
U1.5: each layer's text is computed by one method and its picture by another, and the layer itself is never called; keys
have fewer heads than queries. Other packs hook these models too, so the names of classes and parts are the host's.
"""

import torch
from comfy.ldm.modules.attention import attention_pytorch
from tiny import random
from torch import nn

WIDTH, HEADS = 32, 4
NUM_HEADS = HEADS  # as SenseNova's module has it


def linear(into: int, out: int, seed: int) -> nn.Linear:
    layer = nn.Linear(into, out, bias=False)
    layer.weight = nn.Parameter(random(out, into, seed=seed) * into**-0.5)
    return layer


def rows_of(picture):
    return picture.flatten(2).transpose(1, 2)


# --- Qwen-Image 2.1 ---------------------------------------------------------------------------------------------------


class SegmentAttention(nn.Module):
    def __init__(self, seed: int):
        super().__init__()
        self.heads = HEADS
        self.to_q, self.to_k, self.to_v = (linear(WIDTH, WIDTH, seed + i) for i in range(3))

    def forward(self, x, attend):
        return attend(self.to_q(x), self.to_k(x), self.to_v(x))


class SegmentBlock(nn.Module):
    def __init__(self, seed: int):
        super().__init__()
        self.attn, self.out = SegmentAttention(seed), linear(WIDTH, WIDTH, seed + 3)

    def forward(self, x, attend, gate):
        normed = torch.nn.functional.layer_norm(x, (WIDTH,))
        x[:, :].addcmul_(self.out(self.attn(normed, attend)), gate)
        return x


class QwenImage21Transformer2DModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.img_in, self.txt_in = linear(4, WIDTH, 50), linear(8, WIDTH, 51)
        self.transformer_blocks = nn.ModuleList(SegmentBlock(10 * n) for n in (1, 2))
        self.prefix_pass = False

    def forward(self, x, timestep, context, ref_latents=(), transformer_options=None):
        parts = [self.txt_in(context), *(self.img_in(rows_of(picture)) for picture in (*ref_latents, x))]
        ends = torch.tensor([part.shape[1] for part in parts]).cumsum(0).tolist()
        segments = list(zip([0, *ends], ends, strict=False))
        rows, gate = torch.cat(parts, 1), torch.full((1, 1, WIDTH), 0.7)
        prefix = segments[-1][0]

        def call(q, k, v, mask=None):
            return attention_pytorch(q, k, v, HEADS, mask=mask, transformer_options=transformer_options)

        def by_segment(kept, segments):
            def attend(q, k, v):
                kept[:] = k, v
                outs = []
                for number, (start, end) in enumerate(segments):
                    mask = torch.ones(end, end, dtype=torch.bool).tril() if number == 0 else None
                    outs.append(call(q[:, start:end], k[:, :end], v[:, :end], mask))
                return torch.cat(outs, 1)

            return attend

        def picture_alone(kept):
            return lambda q, k, v: call(q, *(torch.cat(pair, 1) for pair in zip(kept, (k, v), strict=True)))

        before, rows = (rows[:, :prefix], rows[:, prefix:]) if self.prefix_pass else (None, rows)
        for block in self.transformer_blocks:
            kept = []
            if self.prefix_pass:
                before = block(before.clone(), by_segment(kept, segments[:-1]), gate)
                rows = block(rows.clone(), picture_alone(kept), gate)
            else:
                rows = block(rows.clone(), by_segment(kept, segments), gate)
        return rows


# --- SenseNova U1.5 ---------------------------------------------------------------------------------------------------


class TwoAttention(nn.Module):
    def __init__(self, seed: int):
        super().__init__()
        for number, kind in enumerate(("", "_mot_gen")):
            for place, (name, width) in enumerate((("q", WIDTH), ("k", WIDTH // 2), ("v", WIDTH // 2))):
                setattr(self, f"{name}_proj{kind}", linear(WIDTH, width, seed + 3 * number + place))

    def project(self, x, kind):
        projected = (getattr(self, f"{name}_proj{kind}")(x) for name in "qkv")
        return [t.unflatten(-1, (-1, WIDTH // HEADS)).transpose(1, 2) for t in projected]

    def attend(self, q, k, v, mask, transformer_options):
        return attention_pytorch(
            q, k, v, HEADS, mask=mask, skip_reshape=True, enable_gqa=True, transformer_options=transformer_options
        )  # fmt: skip


class TwoLayer(nn.Module):
    def __init__(self, seed: int):
        super().__init__()
        self.self_attn = TwoAttention(seed)

    def forward_prefix(self, x, options):
        q, k, v = self.self_attn.project(x, "")
        mask = torch.full((q.shape[2], q.shape[2]), float("-inf")).triu(1)
        return x + self.self_attn.attend(q, k, v, mask, options), k, v

    def forward_generation(self, x, k_before, v_before, options):
        q, k, v = self.self_attn.project(x, "_mot_gen")
        k, v = torch.cat((k_before, k), 2), torch.cat((v_before, v), 2)
        return x + self.self_attn.attend(q, k, v, None, options)


class SenseNovaU15(nn.Module):
    def __init__(self):
        super().__init__()
        self.language_model = nn.Module()
        self.language_model.model = nn.Module()
        self.language_model.model.layers = nn.ModuleList(TwoLayer(10 * n) for n in (1, 2))
        self.patches, self.embed = linear(3 * 32 * 32, WIDTH, 50), linear(8, WIDTH, 51)

    def forward(self, x, timestep, context, transformer_options=None):
        image = self.patches(torch.nn.functional.unfold(x, 32, stride=32).transpose(1, 2))
        prefix = self.embed(context)
        for layer in self.language_model.model.layers:
            prefix, k, v = layer.forward_prefix(prefix, transformer_options)
            image = layer.forward_generation(image, k, v, transformer_options)
        return image


# Name -> (class, latent, its picture's grid)
COPIES = {
    "Qwen-Image 2.1": (QwenImage21Transformer2DModel, (1, 4, 6, 5), (6, 5)),
    "SenseNova U1.5": (SenseNovaU15, (1, 3, 192, 160), (6, 5)),
}
