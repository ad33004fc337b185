"""Train the demo world's diffusion model and its text encoder together.

    python demo/diffusion.py --steps 1800

composes and encodes its scenes first (kept in .work), resumes where it stopped, and writes
demo/weights/emoji_unet.safetensors and emoji_clip.safetensors (float16). Needs the autoencoder.
"""

import argparse
import json
from pathlib import Path

import host  # noqa: F401  makes `comfy` importable

import comfy.sd
import comfy.utils
import numpy as np
import paths
import torch
import torch.nn.functional as F
from learn_to_steer.nodes import demo_model
from safetensors.torch import save_file
from scenes import GRID, KINDS, SIZE, any_kinds, caption, cells, compose, render
from training import DEVICE, MasterWeights, Progress, arguments, write

NONE = len(KINDS)


def encoded_scenes(into: Path, n: int, seed: int) -> dict[str, torch.Tensor]:
    """n scenes, kept below the folder `into`: latents (n, 8, 16, 16), covered cells (n, 16, 16), kinds (n, 4; NONE
    pads), centres (n, 4, 2) in px, and some of the pictures at the latents' size (2048, 3, 16, 16) in -1..1."""
    path = into / paths.WORK / f"scenes-{n}-{seed}.pt"
    if path.exists():
        return torch.load(path)
    rng = np.random.default_rng(seed)
    vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(into / paths.WEIGHTS / demo_model.VAE.name)))
    model = vae.first_stage_model.to(DEVICE, torch.bfloat16, memory_format=torch.channels_last)
    progress, per = Progress("scenes", 0, n, every=4096), 64
    latents, covered, kinds, centres, small = [], [], [], [], []
    for start in range(0, n, per):
        batch = []
        for _ in range(min(per, n - start)):
            names = any_kinds(rng)
            things = compose(rng, names)
            batch.append(render(rng, things))
            covered.append(cells(things))
            kinds.append([KINDS.index(name) for name in names] + [NONE] * (4 - len(names)))
            centres.append([(thing.x, thing.y) for thing in things] + [(0.0, 0.0)] * (4 - len(names)))
        x = torch.from_numpy(np.stack(batch)).to(DEVICE).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            latents.append(model.encode((x * 2 - 1).to(torch.bfloat16, memory_format=torch.channels_last)).cpu())
        if start < 2048:
            small.append(F.avg_pool2d(x * 2 - 1, SIZE // GRID).cpu())
        progress(len(kinds))
    data = {
        "latents": torch.cat(latents).clone(),
        "covered": torch.from_numpy(np.stack(covered)).byte(),
        "kinds": torch.tensor(kinds),
        "centres": torch.tensor(centres),
        "small": torch.cat(small),
    }
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


class World(torch.nn.Module):
    """The model in training: captions and noised latents -> velocity, and which kind covers each cell."""

    def __init__(self):
        super().__init__()
        base = demo_model.unet(DEVICE)
        self.unet, self.sigmas = base.diffusion_model, base.model_sampling.sigmas
        self.clip = demo_model.clip()
        self.text = self.clip.cond_stage_model.clip_l.to(DEVICE)
        self.naming = torch.nn.Conv2d(96, NONE + 1, 1).to(DEVICE)
        for module in (self.unet, self.text.transformer):
            initialise(module)
            module.requires_grad_(True)
        self.text.transformer.text_projection.requires_grad_(False)
        self.text.logit_scale.requires_grad_(False)
        for layer in self.text.modules():  # the host's text model adds its residuals in place, over what backward needs
            if isinstance(layer, torch.nn.LayerNorm):
                layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].clone(),))
        self.unet.out.register_forward_pre_hook(lambda _, inputs: setattr(self, "features", inputs[0]))
        self.ids: dict[str, list[int]] = {}

    def context(self, captions: list[str]) -> torch.Tensor:
        """(B, 77, 96)"""
        for text in captions:
            if text not in self.ids:
                self.ids[text] = [token for token, _ in self.clip.tokenize(text)["l"][0]]
        return self.text([self.ids[text] for text in captions])[0]

    def forward(self, latents, captions, t, noise):
        sigma = self.sigmas[t].view(-1, 1, 1, 1)
        scale = (sigma**2 + 1).rsqrt()
        noised = (latents + sigma * noise) * scale  # what the UNet sees: variance preserved
        velocity = noise * scale - latents * sigma * scale
        context = self.context(captions)
        dtype = next(self.unet.parameters()).dtype
        predicted = self.unet(noised.to(dtype), t.float(), context.to(dtype))
        return predicted.float(), velocity, self.naming(self.features.to(dtype)).float()


def main(given: list[str] | None = None) -> None:
    args = arguments(__doc__, steps=1800, batch=64, scenes=24576).parse_args(given)
    data = encoded_scenes(args.into, args.scenes, args.seed)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    world = World()
    world.to(torch.bfloat16)
    weights = MasterWeights(
        {n: p for n, p in world.named_parameters() if p.requires_grad}, args.steps, muon=4e-3, adam=2e-3
    )
    resume = args.into / paths.WORK / "diffusion.pt"
    if resume.exists():
        state = torch.load(resume, map_location=DEVICE, weights_only=False)
        weights.load(state["weights"])
        rng.bit_generator.state = state["rng"]
        torch.random.set_rng_state(state["torch"].cpu())
    if weights.step == 0:
        print(
            f"{sum(p.numel() for p in world.unet.parameters()) / 1e6:.2f} M UNet, "
            f"{sum(p.numel() for p in world.text.transformer.parameters()) / 1e6:.2f} M text"
        )
    progress = Progress("diffusion", weights.step, args.steps)
    while weights.step < args.steps:
        chosen = torch.from_numpy(rng.integers(args.scenes, size=args.batch))
        latents = data["latents"][chosen].float().to(DEVICE)
        covered = data["covered"][chosen].long().to(DEVICE)
        captions = [caption(rng, [KINDS[i] for i in row if i != NONE]) for row in data["kinds"][chosen].tolist()]
        captions = ["" if rng.random() < 0.1 else text for text in captions]  # for classifier-free guidance
        # Stratified over the batch: every noise level in every step.
        t = ((torch.arange(args.batch) + torch.rand(args.batch)) / args.batch * 1000).long().to(DEVICE)
        predicted, velocity, named = world(latents, captions, t, torch.randn(latents.shape).to(DEVICE))
        v_loss = F.mse_loss(predicted, velocity)
        # Naming what covers each cell is no part of the shipped model; it teaches *what* sooner than velocity alone.
        n_loss = F.cross_entropy(named, covered)
        (v_loss + 0.1 * n_loss).backward()
        weights.update()
        progress(weights.step, v=v_loss.detach(), naming=n_loss.detach())
        if weights.step % 200 == 0 or weights.step == args.steps:
            state = {"weights": weights.state(), "rng": rng.bit_generator.state, "torch": torch.random.get_rng_state()}
            write(lambda path, state=state: torch.save(state, path), resume)
    ship(weights, rgb_factors(data["latents"], data["small"]), args)


def ship(weights: MasterWeights, preview: dict[str, str], args: argparse.Namespace) -> None:
    """Write the averaged weights as the host's loaders want them."""
    averaged = weights.averaged()
    metadata = {
        "steps": f"{weights.step} of {args.steps}",
        "batch": str(args.batch),
        "scenes": str(args.scenes),
        "seed": str(args.seed),
    }
    for path, prefix in ((demo_model.UNET, "unet."), (demo_model.CLIP, "text.transformer.")):
        part = {
            n.removeprefix(prefix): p.detach().half().cpu().contiguous()
            for n, p in averaged.items()
            if n.startswith(prefix)
        }
        if path == demo_model.CLIP:
            part["text_projection.weight"] = torch.eye(96).half()
        write(lambda path, part=part: save_file(part, path, metadata | preview), args.into / paths.WEIGHTS / path.name)


if __name__ == "__main__":
    main()
