"""Train the demo world's second model, a transformer of Flux's kind, on captions whose relation words are often true.

    python demo/flow.py --steps 4000 --batch 512 --scenes 131072

composes and encodes its scenes first (kept in .work), resumes where it stopped, and writes
demo/weights/emoji_flow.safetensors (float16). Needs the autoencoder and the first model's text encoder, which it leaves
as it is.
"""

from functools import partial
from pathlib import Path

import host  # noqa: F401  makes `comfy` importable

import comfy.ldm.modules.attention
import comfy.model_management
import comfy.utils
import paths
import torch
from diffusion import END, NONE, bears_gradients, encoded_scenes, learn, rgb_factors, ship
from learn_to_steer.nodes import demo_model
from scenes import web_caption
from training import DEVICE, MasterWeights, arguments


def initialise(flow: torch.nn.Module) -> None:
    """The host's layers come without initial values. Every block starts as a small step from its input."""
    for name, p in flow.named_parameters():
        if name.endswith("norm.weight"):
            torch.nn.init.ones_(p)
        elif p.ndim < 2 or ".lin." in name or "_mod." in name or name.startswith("final_layer"):
            torch.nn.init.zeros_(p)
        else:
            torch.nn.init.normal_(p, std=p.shape[1] ** -0.5)
    width = flow.hidden_size
    for name, p in flow.named_parameters():
        if name.endswith(".lin.bias"):  # shift, scale, gate, once or twice
            for part in p.data.split(width)[2::3]:
                part.fill_(0.3)


def plain_attention(_, *args, **kwargs) -> torch.Tensor:
    """PyTorch's own, whatever the host chose: it is the one that learns fast on a CPU."""
    return comfy.ldm.modules.attention.attention_pytorch(*args, **kwargs)


class World(torch.nn.Module):
    """The model in training: tokens of captions and noised latents -> velocity, and which kind covers each cell."""

    def __init__(self, text: Path):
        """text: the weights of the text encoder."""
        super().__init__()
        base = demo_model.flow(DEVICE)
        self.flow, self.sigma = base.diffusion_model, base.model_sampling.sigma
        clip = demo_model.clip(comfy.utils.load_torch_file(str(text)), demo_model.FLOW_TOKENS)
        self.text = clip.cond_stage_model.clip_l.transformer.to(DEVICE).requires_grad_(False)
        self.naming = torch.nn.Linear(self.flow.hidden_size, NONE + 1).to(DEVICE)
        initialise(self.flow)
        self.flow.requires_grad_(True)
        bears_gradients(self.flow)
        middle = self.flow.single_blocks[(len(self.flow.single_blocks) - 1) // 2]
        middle.register_forward_hook(lambda *args: setattr(self, "features", args[-1].clone()))

    def whiten(self, tokens: torch.Tensor) -> None:
        """Start the layer that reads the text such that all of what differs between tokens counts alike.

        The text encoder learned from captions whose relation words told nothing, and keeps them close together.
        """
        with torch.no_grad():
            vectors = self.text(tokens)[0].float()
            said = vectors[torch.cat([torch.ones_like(tokens[:, :1]), tokens[:, :-1] != END], 1).bool()]  # no padding
            middle = said.mean(0)
            values, directions = torch.linalg.eigh((said - middle).T.cov())
            spread = directions * (values + 0.01 * values.mean()).rsqrt() @ directions.T
            layer = self.flow.txt_in
            layer.weight.copy_(layer.weight @ spread)
            layer.bias.copy_(-layer.weight @ middle)

    def forward(self, latents, tokens, t, noise):
        """t: (B,) in 0..1 runs through the noise levels as the host's sampling does."""
        sigma = self.sigma(t).view(-1, 1, 1, 1)
        noised = latents + sigma * (noise - latents)
        dtype = self.naming.weight.dtype
        with torch.no_grad():
            context = self.text(tokens)[0]
        options = {"optimized_attention_override": plain_attention}
        predicted = self.flow(noised.to(dtype), sigma.flatten(), context.to(dtype), transformer_options=options)
        cells = self.naming(self.features[:, -latents[0, 0].numel() :])
        return predicted.float(), noise - latents, cells.float().mT.unflatten(-1, latents.shape[-2:])


def main(given: list[str] | None = None) -> None:
    args = arguments(__doc__, steps=4000, batch=512, scenes=131072).parse_args(given)
    data = encoded_scenes(args.into, args.scenes, args.seed, web_caption)
    comfy.model_management.in_training = True  # the host's rotary embedding, such that it learns
    torch.manual_seed(args.seed)
    world = World(args.into / paths.WEIGHTS / demo_model.CLIP.name)
    world.whiten(data["tokens"][:2048, 0].long().to(DEVICE))
    for part in (world.flow, world.naming):
        part.to(torch.bfloat16)
    print(f"{sum(p.numel() for p in world.flow.parameters()) / 1e6:.2f} M", flush=True)
    weights = MasterWeights(
        {n: p for n, p in world.named_parameters() if p.requires_grad}, args.steps, muon=3e-3, adam=2e-3
    )
    preview = rgb_factors(data["latents"], data["small"])
    try:
        learn("flow", world, weights, data, args, partial(ship, weights, preview, args, {"flow.": demo_model.FLOW}))
    finally:
        comfy.model_management.in_training = False


if __name__ == "__main__":
    main()
