"""Train the demo world's relation classifier, and its control that never saw a wrong prompt.

    python demo/classifier.py --draws 2 --steps 1800

looks through ComfyUI at composed scenes of two things, noised to many levels, under a true prompt and under one with
a wrong relation; labels by the picture; keeps a quarter of all pairs of kinds for the measurement. Writes
classifier_weights/emoji_world.safetensors and emoji_world_true_prompts.safetensors with their accuracies.
"""

import math
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import host  # noqa: F401  makes `comfy` importable

import numpy as np
import paths
import torch
from diffusion import encoded_scenes
from learn_to_steer.nodes import demo_model
from learn_to_steer.nodes.host.capture import model_layers
from learn_to_steer.nodes.host.finished import finished_maps
from learn_to_steer.nodes.host.noise import sigma_at
from learn_to_steer.nodes.host.words import find_words
from learn_to_steer.steering.losses.classifier import save
from learn_to_steer.steering.maps import MapSettings, noise_level, pooling, shapes
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.recordings import Recording, together
from learn_to_steer.steering.relations import clear
from learn_to_steer.steering.train import CLASSIFIER, Training, learner, measured, train
from scenes import KINDS, RELATIONS, SIZE, Thing, held_out, relation_prompt
from training import Progress, arguments

PROMPTS = ("true", "wrong", "true again")


class Recorder:
    """Maps of scenes that the demo model reads, in batches, through the host's own sampling code."""

    def __init__(self, weights: Path, scenes: dict[str, torch.Tensor], batch: int = 64):
        self.model, self.clip, _ = demo_model.load(weights)
        unet = self.model.model.diffusion_model
        unet.dtype = torch.bfloat16  # maps need few digits, and these passes are most of the work
        unet.to(unet.dtype)
        self.layout = MapSettings().layout(model_layers(self.model))
        self.scenes, self.batch = scenes, batch
        self.ids = cache(lambda text: [token for token, _ in self.clip.tokenize(text)["l"][0]])
        self.rows = cache(lambda text: find_words(self.clip, text, parse(text).wishes).rows)

    def record(self, pairs: list[tuple[int, str, str, str]], kind: str, rng: np.random.Generator) -> Recording:
        """pairs: (scene, subject, true relation, object); kind: of the prompts, one of PROMPTS. Levels lean towards the
        noisy side, where the layout is decided."""
        prompts = [prompt(rng, pair, kind) for pair in pairs]
        maps, levels = [], []
        for start in range(0, len(pairs), self.batch):
            part, texts = pairs[start : start + self.batch], prompts[start : start + self.batch]
            latents = self.scenes["latents"][[scene for scene, *_ in part]].float()
            level = np.where(
                rng.random(len(part)) < 0.3, rng.uniform(0.05, 0.6, len(part)), rng.uniform(0.6, 0.957, len(part))
            )
            sigmas = torch.tensor([sigma_at(self.model, share) for share in level])
            ids = [self.ids(text) for text in texts]
            pool = torch.cat([pooling(self.rows(text), 77) for text in texts])
            noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
            with torch.inference_mode():
                context = self.clip.cond_stage_model.clip_l(ids)[0]
                read = finished_maps(self.model, [[context, {}]], latents, noise, sigmas, pool, self.layout)
            maps.append(shapes(read).half().flatten(0, 1).clone())
            levels += [noise_level(1.0, float(sigma)) for sigma in sigmas]
        return Recording(
            self.layout,
            torch.cat(maps),
            torch.ones(2 * len(pairs), self.layout.channels),
            torch.cat([self.boxes(*pair) for pair in pairs]),
            tuple(name for _, subject, _, object in pairs for name in (subject, object)),
            torch.arange(len(pairs)).repeat_interleave(2),
            torch.tensor(levels),
            torch.tensor([kind != "wrong"] * len(pairs)),
            torch.tensor([scene for scene, *_ in pairs]),
            (),
        )

    def boxes(self, scene: int, subject: str, relation: str, object: str) -> torch.Tensor:
        """Of a pair, (2, 4) in shares of the picture's side; all things have the usual size."""
        kinds, centres = self.scenes["kinds"][scene].tolist(), self.scenes["centres"][scene].tolist()
        things = [Thing(kind, *centres[kinds.index(KINDS.index(kind))], 48.0) for kind in (subject, object)]
        return torch.tensor([thing.found().box for thing in things]) / SIZE


def clear_pairs(scenes: dict[str, torch.Tensor], rng: np.random.Generator) -> tuple[list, list]:
    """Scenes of just two things in a clear relation: those of known pairs, and those of held-out pairs."""
    known, kept = [], []
    two = (scenes["kinds"] < len(KINDS)).sum(1) == 2
    for scene in two.nonzero().flatten().tolist():
        things = [
            Thing(KINDS[kind], *centre, 48.0)
            for kind, centre in zip(
                scenes["kinds"][scene, :2].tolist(), scenes["centres"][scene, :2].tolist(), strict=True
            )
        ]
        if rng.random() < 0.5:
            things.reverse()
        if relation := clear((things[0].x - things[1].x, things[0].y - things[1].y)):
            side = kept if frozenset(thing.kind for thing in things) in held_out() else known
            side.append((scene, things[0].kind, relation, things[1].kind))
    return known, kept


def prompt(rng: np.random.Generator, pair: tuple[int, str, str, str], kind: str) -> str:
    """The pair's prompt with its true relation, or with one of the three wrong ones."""
    _, subject, relation, object = pair
    if kind == "wrong":
        relation = str(rng.choice([other for other in RELATIONS if other != relation]))
    return relation_prompt(rng, [subject, object], [relation])


def kept_apart(a: str, b: str) -> bool:
    return frozenset((a, b)) in held_out()


def main(given: list[str] | None = None) -> None:
    args = arguments(__doc__, steps=1800, batch=256, scenes=24576, draws=2).parse_args(given)
    rng = np.random.default_rng(args.seed)
    scenes = encoded_scenes(args.into, args.scenes, args.seed)
    recorder = Recorder(args.into / paths.WEIGHTS, scenes)
    known, kept = clear_pairs(scenes, rng)
    print(f"{len(known)} scenes to learn from, {len(kept)} of held-out pairs to measure on", flush=True)
    if not (known and kept):
        sys.exit("Without both there is nothing to train. Choose more --scenes.")

    looks: dict[str, list[Recording]] = {kind: [] for kind in PROMPTS}
    unseen: dict[str, Recording] = {}
    for kind in PROMPTS:
        for draw in range(args.draws):
            looks[kind].append(recorder.record(known, kind, rng))
            print(f"looks under {kind} prompts: {draw + 1} of {args.draws} draws", flush=True)
        unseen[kind] = recorder.record(kept, kind, rng)

    # The control has as many looks: each scene twice under its true prompt, instead of once under a wrong one.
    measure = together([unseen["true"], unseen["wrong"]])
    for name, other in (("emoji_world", "wrong"), ("emoji_world_true_prompts", "true again")):
        progress = Progress(name, 0, args.steps, every=200)
        data = together([*looks["true"], *looks[other], unseen["true"]])
        training = Training(args.steps, args.batch, patience=args.steps, seed=args.seed)
        trained = train(
            CLASSIFIER, data, training, kept=kept_apart,
            tell=lambda step, curve, p=progress: p(step, loss=curve.learnt[-1] if curve.learnt else math.nan),
        )  # fmt: skip
        one = replace(learner(CLASSIFIER, measure, "cpu"), network=trained.network)
        notes = {
            "prompts": f"true and {other}",
            "looks": len(data.level),
            "scenes": len(known),
            "held_out_pairs": len(held_out()),
            "accuracy": measured(one, measure, torch.ones(len(measure.level), dtype=torch.bool))["relations"],
            "command": f"python demo/classifier.py --draws {args.draws} --steps {args.steps} --seed {args.seed}",
        }
        print(name, notes, flush=True)
        trained.network.config = replace(trained.network.config, notes=notes)
        save(trained.network, args.into / paths.CLASSIFIERS / f"{name}.safetensors")


if __name__ == "__main__":
    main()
