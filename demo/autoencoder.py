"""Train the demo world's autoencoder: TAESD's architecture, 8 latent channels, 128 px <-> 16x16.

    python demo/autoencoder.py --steps 1800

writes demo/weights/emoji_vae.safetensors (float16) with its reconstruction error in the metadata.
"""

import host  # noqa: F401  makes `comfy` importable

import numpy as np
import paths
import torch
from comfy.taesd.taesd import TAESD
from safetensors.torch import save_file
from scenes import any_kinds, compose, render
from training import DEVICE, MasterWeights, Progress, arguments, write

LATENT_CHANNELS = 8
CROWDED = (0.0, 0.2, 0.3, 0.5)  # more objects a picture: more to learn from each


def pictures(rng: np.random.Generator, n: int) -> torch.Tensor:
    """n scenes, (n, 3, SIZE, SIZE) in 0..1."""
    batch = np.stack([render(rng, compose(rng, any_kinds(rng, CROWDED))) for _ in range(n)])
    return torch.from_numpy(batch).to(DEVICE).permute(0, 3, 1, 2).float() / 255


def initialise(module: torch.nn.Module) -> None:
    """The host's layers come without initial values."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            layer.weight.data *= 0.7
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)


def main(given: list[str] | None = None) -> None:
    args = arguments(__doc__, steps=1800, batch=8, fresh=256).parse_args(given)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    model = TAESD(latent_channels=LATENT_CHANNELS).to(DEVICE)
    initialise(model)
    model = model.to(torch.bfloat16, memory_format=torch.channels_last)
    model.vae_scale.requires_grad_(False)
    model.vae_shift.requires_grad_(False)
    weights = MasterWeights(
        {n: p for n, p in model.named_parameters() if p.requires_grad}, args.steps, muon=1e-3, adam=1e-3
    )
    resume = args.into / paths.WORK / "autoencoder.pt"
    if resume.exists():
        state = torch.load(resume, map_location=DEVICE)
        weights.load(state["weights"])
        rng.bit_generator.state = state["rng"]
    progress = Progress("autoencoder", weights.step, args.steps)
    while weights.step < args.steps:
        x = pictures(rng, args.batch).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        z = model.taesd_encoder(x)
        # A diffusion model's latents are never exact: the decoder learns to bear a little noise on them.
        y = model.taesd_decoder(z + 0.05 * torch.randn_like(z))
        error = (y.float() - x.float()).abs()
        wide = (z.float().abs() - 2.5).relu().square().mean()  # the decoder's first layer flattens beyond 3
        loss = error.mean() + 4 * error.square().mean() + 0.1 * wide
        loss.backward()
        weights.update()
        progress(weights.step, L1=error.detach().mean(), psnr=-10 * error.detach().square().mean().log10())
        if weights.step % 500 == 0:
            state = {"weights": weights.state(), "rng": rng.bit_generator.state}
            write(lambda path, state=state: torch.save(state, path), resume)

    model.float().load_state_dict(weights.averaged(), strict=False)
    with torch.no_grad():
        fresh = pictures(np.random.default_rng(args.seed + 1), args.fresh)
        z = torch.cat([model.taesd_encoder(part) for part in fresh.split(32)])
        # vae_scale and vae_shift make the latents outside the autoencoder zero-mean and of unit variance.
        model.vae_scale.copy_(z.std())
        model.vae_shift.copy_(-z.mean() / z.std())
        model.half().float()
        y = torch.cat([model.decode(model.encode(part * 2 - 1)) for part in fresh.split(32)]) / 2 + 0.5
        psnr = -10 * (y.clamp(0, 1) - fresh).square().mean().log10().item()
    print(f"fresh scenes: {psnr:.2f} dB, latent std by channel {z.std((0, 2, 3)).tolist()}")
    tensors = {name: p.half().contiguous() for name, p in model.state_dict().items()}
    metadata = {"psnr_db": f"{psnr:.2f}", "steps": str(args.steps), "batch": str(args.batch), "seed": str(args.seed)}
    write(lambda path: save_file(tensors, path, metadata), args.into / paths.WEIGHTS / "emoji_vae.safetensors")


if __name__ == "__main__":
    main()
