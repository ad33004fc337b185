"""Train the demo world's diffusion model and its text encoder together.

    python demo/diffusion.py --steps 1800
    python demo/diffusion.py --shipped --steps 4000 --batch 512 --scenes 131072

composes and encodes its scenes first (kept in .work), resumes where it stopped, and writes
demo/weights/emoji_unet.safetensors and emoji_clip.safetensors (float16). Needs the autoencoder. With --shipped it goes
on from the weights that lie there, and leaves the text encoder as it is: the second model reads it too.
"""

import argparse
import json
import multiprocessing
import os
from functools import cache, partial
from pathlib import Path

import host  # noqa: F401  makes `comfy` importable

import comfy.sd
import comfy.sd1_clip
import comfy.utils
import numpy as np
import paths
import torch
import torch.nn.functional as F
from learn_to_steer.nodes import demo_model
from safetensors.torch import save_file
from scenes import GRID, KINDS, SHARES, SIZE, any_kinds, caption, cells, compose, render
from training import DEVICE, MasterWeights, Progress, arguments, write

NONE = len(KINDS)
CHUNK = 256  # scenes that one process composes at a time
TOLD = 4  # captions of each scene
TOKENS = demo_model.FLOW_TOKENS  # no caption of the demo world is longer, its two ends counted
START, END = 49406, 49407


# --- Scenes -----------------------------------------------------------------------------------------------------------


@cache
def tokenizer() -> comfy.sd1_clip.SDTokenizer:
    return comfy.sd1_clip.SDTokenizer()


def tokens(text: str) -> list[int]:
    """TOKENS ids. Raises ValueError for a longer text."""
    ids = [token for token, _ in tokenizer().tokenize_with_weights(text)[0]]
    if ids[TOKENS - 1] != END:
        raise ValueError(f"{text!r} has more than {TOKENS} tokens.")
    return ids[:TOKENS]


def composed(start: int, n: int, seed: int, say) -> dict[str, np.ndarray]:
    """One chunk of encoded_scenes, its pictures in place of latents."""
    rng = np.random.default_rng([seed, start])
    pictures, covered, kinds, centres, told = [], [], [], [], []
    for _ in range(start, min(start + CHUNK, n)):
        names = any_kinds(rng, SHARES)
        things = compose(rng, names)
        pictures.append(render(rng, things))
        covered.append(cells(things))
        kinds.append([KINDS.index(name) for name in names] + [NONE] * (4 - len(names)))
        centres.append([(thing.x, thing.y) for thing in things] + [(0.0, 0.0)] * (4 - len(names)))
        told.append([tokens(say(rng, things)) for _ in range(TOLD)])
    return {
        "pictures": np.stack(pictures), "covered": np.stack(covered).astype(np.uint8), "kinds": np.array(kinds),
        "centres": np.array(centres, np.float32), "tokens": np.array(told, np.int32),
    }  # fmt: skip


def encoded_scenes(into: Path, n: int, seed: int, say=caption) -> dict[str, torch.Tensor]:
    """n scenes, kept below the folder `into`: latents (n, 8, 16, 16), covered cells (n, 16, 16), kinds (n, 4; NONE
    pads), centres (n, 4, 2) in px, tokens (n, TOLD, TOKENS) of captions, and some of the pictures at the latents' size
    (2048, 3, 16, 16) in -1..1. say: (generator, things) -> a caption."""
    path = into / paths.WORK / f"scenes-{say.__name__}-{n}-{seed}.pt"
    if path.exists():
        return torch.load(path)
    tokenizer()  # before the processes part
    progress, parts, small = Progress("scenes", 0, n, every=4096), [], []
    starts = range(0, n, CHUNK)
    with multiprocessing.get_context("fork").Pool(min(len(starts), os.cpu_count() or 1)) as pool:
        chunks = pool.imap(partial(composed, n=n, seed=seed, say=say), starts)
        vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(into / paths.WEIGHTS / demo_model.VAE.name)))
        model = vae.first_stage_model.to(DEVICE, torch.bfloat16, memory_format=torch.channels_last)
        for start, chunk in zip(starts, chunks, strict=True):
            x = torch.from_numpy(chunk.pop("pictures")).to(DEVICE).permute(0, 3, 1, 2).float() / 127.5 - 1
            with torch.inference_mode():
                latents = [
                    model.encode(part.to(torch.bfloat16, memory_format=torch.channels_last)).cpu()
                    for part in x.split(64)
                ]
            parts.append({"latents": torch.cat(latents)} | {name: torch.from_numpy(a) for name, a in chunk.items()})
            if start < 2048:
                small.append(F.avg_pool2d(x, SIZE // GRID).cpu())
            progress(min(start + CHUNK, n))
    data = {name: torch.cat([part[name] for part in parts]).clone() for name in parts[0]} | {"small": torch.cat(small)}
    write(lambda path: torch.save(data, path), path)
    return data


def rgb_factors(latents: torch.Tensor, small: torch.Tensor) -> dict[str, str]:
    """The linear map from latents to colours that the host's live preview uses, as metadata."""
    z = latents[: len(small)].float().movedim(1, -1).flatten(0, -2)
    z = torch.cat([z, torch.ones(len(z), 1)], 1)
    factors = torch.linalg.lstsq(z, small.movedim(1, -1).flatten(0, -2)).solution
    return {
        "latent_rgb_factors": json.dumps(factors[:-1].tolist()),
        "latent_rgb_bias": json.dumps(factors[-1].tolist()),
    }


# --- The model -------------------------------------------------------------------------------------------------------


def initialise(module: torch.nn.Module) -> None:
    """The host's layers come without initial values."""
    for name, p in module.named_parameters():
        last = name.endswith(("proj_out.weight", "out_layers.3.weight", "out.2.weight"))
        if "embedding" in name:
            torch.nn.init.normal_(p, std=0.02)
        elif p.ndim >= 2:
            torch.nn.init.zeros_(p) if last else torch.nn.init.normal_(p, std=p[0].numel() ** -0.5)
        elif name.endswith("weight"):
            torch.nn.init.ones_(p)
        else:
            torch.nn.init.zeros_(p)


def bears_gradients(text: torch.nn.Module) -> None:
    """The host's text models and transformers add residuals in place, over what the way back needs."""
    for layer in text.modules():
        if isinstance(layer, torch.nn.LayerNorm):
            layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].clone(),))


class World(torch.nn.Module):
    """The model in training: tokens of captions and noised latents -> velocity, and which kind covers each cell."""

    def __init__(self, shipped: Path | None = None):
        """shipped: a folder of weights to go on from, the text encoder's as they are."""
        super().__init__()
        base = demo_model.unet(DEVICE)
        self.unet, self.sigmas = base.diffusion_model, base.model_sampling.sigmas.to(DEVICE)
        self.text = demo_model.clip().cond_stage_model.clip_l.transformer.to(DEVICE)
        self.naming = torch.nn.Conv2d(96, NONE + 1, 1).to(DEVICE)
        for module, path in ((self.unet, demo_model.UNET), (self.text, demo_model.CLIP)):
            initialise(module)
            if shipped:
                module.load_state_dict(comfy.utils.load_torch_file(str(shipped / path.name)))
        self.unet.requires_grad_(True)
        self.text.text_model.requires_grad_(not shipped)
        self.text.text_projection.requires_grad_(False)
        bears_gradients(self.text)
        self.unet.out.register_forward_pre_hook(lambda _, inputs: setattr(self, "features", inputs[0]))

    def forget(self, tokens: torch.Tensor) -> None:
        """Nothing in place of chance for the tokens that no caption has: nothing would be learnt of them."""
        table = self.text.text_model.embeddings.token_embedding.weight
        unseen = torch.ones(len(table), dtype=torch.bool)
        unseen[tokens.unique().long()] = False
        with torch.no_grad():
            table[unseen.to(table.device)] = 0

    def context(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, 77, 96). The host's own way from tokens to vectors goes one token at a time."""
        return self.text(F.pad(tokens, (0, 77 - TOKENS), value=END))[0]

    def forward(self, latents, tokens, t, noise):
        """t: (B,) in 0..1, of the noise levels in their order."""
        t = (t * len(self.sigmas)).long()
        sigma = self.sigmas[t].view(-1, 1, 1, 1)
        scale = (sigma**2 + 1).rsqrt()
        noised = (latents + sigma * noise) * scale  # what the UNet sees: variance preserved
        velocity = noise * scale - latents * sigma * scale
        dtype = self.naming.weight.dtype
        predicted = self.unet(noised.to(dtype), t.float(), self.context(tokens).to(dtype))
        return predicted.float(), velocity, self.naming(self.features.to(dtype)).float()


# --- Training ---------------------------------------------------------------------------------------------------------


def learn(name: str, world: torch.nn.Module, weights: MasterWeights, data: dict[str, torch.Tensor], args, ship) -> None:
    """Steps up to args.steps, from where the last go stopped. ship(): writes the weights of the moving average."""
    data = {key: data[key].to(DEVICE) for key in ("latents", "covered", "tokens")}
    nothing = torch.tensor([START] + [END] * (TOKENS - 1), device=DEVICE)
    chance = torch.Generator(DEVICE).manual_seed(args.seed)
    resume = args.into / paths.WORK / f"{name}.pt"
    if resume.exists():
        state = torch.load(resume, map_location=DEVICE, weights_only=False)
        weights.load(state["weights"])
        chance.set_state(state["chance"].cpu())
    draw = partial(torch.rand, args.batch, generator=chance, device=DEVICE)
    progress = Progress(name, weights.step, args.steps)
    while weights.step < args.steps:
        chosen = (draw() * len(data["latents"])).long()
        latents, covered = data["latents"][chosen].float(), data["covered"][chosen].long()
        told = data["tokens"][chosen, (draw() * TOLD).long()].long()
        told = torch.where(draw()[:, None] < 0.1, nothing, told)  # for classifier-free guidance
        # Stratified over the batch: every noise level in every step.
        t = (torch.arange(args.batch, device=DEVICE) + draw()) / args.batch
        noise = torch.randn(latents.shape, generator=chance, device=DEVICE)
        predicted, velocity, named = world(latents, told, t, noise)
        v_loss = F.mse_loss(predicted, velocity)
        # Naming what covers each cell is no part of the shipped model; it teaches *what* sooner than velocity alone.
        n_loss = F.cross_entropy(named, covered)
        (v_loss + 0.1 * n_loss).backward()
        weights.update()
        progress(weights.step, v=v_loss.detach(), naming=n_loss.detach())
        if weights.step % 200 == 0 or weights.step == args.steps:
            state = {"weights": weights.state(), "chance": chance.get_state()}
            write(lambda path, state=state: torch.save(state, path), resume)
    ship()


def main(given: list[str] | None = None) -> None:
    parser = arguments(__doc__, steps=1800, batch=64, scenes=24576)
    parser.add_argument("--shipped", action="store_true", help="go on from the weights that are there")
    args = parser.parse_args(given)
    data = encoded_scenes(args.into, args.scenes, args.seed)
    torch.manual_seed(args.seed)
    world = World(args.into / paths.WEIGHTS if args.shipped else None)
    if not args.shipped:
        world.forget(data["tokens"])
    world.to(torch.bfloat16)
    print(
        f"{sum(p.numel() for p in world.unet.parameters()) / 1e6:.2f} M UNet, "
        f"{sum(p.numel() for p in world.text.parameters()) / 1e6:.2f} M text", flush=True,
    )  # fmt: skip
    weights = MasterWeights(
        {n: p for n, p in world.named_parameters() if p.requires_grad}, args.steps, muon=4e-3, adam=2e-3
    )
    preview = rgb_factors(data["latents"], data["small"])
    models = {"unet.": demo_model.UNET} | ({} if args.shipped else {"text.": demo_model.CLIP})
    name = "diffusion-further" if args.shipped else "diffusion"
    learn(name, world, weights, data, args, partial(ship, weights, preview, args, models))


def ship(weights: MasterWeights, metadata: dict[str, str], args: argparse.Namespace, models: dict[str, Path]) -> None:
    """Write the averaged weights as the host's loaders want them. models: start of the weights' names -> file."""
    averaged = weights.averaged()
    metadata = metadata | {
        "steps": f"{weights.step} of {args.steps}",
        "batch": str(args.batch),
        "scenes": str(args.scenes),
        "seed": str(args.seed),
    }
    for prefix, path in models.items():
        part = {
            n.removeprefix(prefix): p.detach().half().cpu().contiguous()
            for n, p in averaged.items()
            if n.startswith(prefix)
        }
        if path == demo_model.CLIP:
            part["text_projection.weight"] = torch.eye(96).half()
        write(lambda path, part=part: save_file(part, path, metadata), args.into / paths.WEIGHTS / path.name)


if __name__ == "__main__":
    main()
