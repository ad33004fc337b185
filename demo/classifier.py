"""Train what reads the demo models' maps: relation classifiers, their controls, and readers of places.

    python demo/classifier.py --model unet flow --draws 2 --steps 1500

records the demo model's maps of composed scenes (kept in .work, as Record Maps does), under true prompts and under
wrong ones, and under true ones alone for the control; keeps a quarter of all pairs of kinds for the measurement. Writes
emoji_world.safetensors into classifier_weights and its control, emoji_world_true_prompts; of the second model
emoji_flow and emoji_flow_true_prompts; and of both together universal, a reader of places for any model, of worn maps.
--reader unet trains, in their place, a reader of one model's worn maps alone, to be tried on the other, and writes
.work/reader_of_unet.safetensors.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import host  # noqa: F401  makes `comfy` importable

import paths
import torch
from learn_to_steer.nodes import demo_model
from learn_to_steer.nodes.host.capture import model_layers
from learn_to_steer.nodes.host.recorder import Wanted, record_into
from learn_to_steer.steering.maps import MapSettings
from learn_to_steer.steering.recordings import Recording, opened, together
from learn_to_steer.steering.train import (
    ANY,
    CLASSIFIER,
    READER,
    Training,
    leak,
    learner,
    measured,
    save,
    split,
    train,
    worn,
)
from scenes import held_out, pictures
from training import Progress, arguments

MODELS: dict[str, tuple[str, Callable, int, str]] = {  # its classifier, loader, usual number of scenes, layers
    "unet": ("emoji_world", demo_model.load, 5000, "all"),
    "flow": ("emoji_flow", demo_model.load_flow, 3000, "1-4"),  # in the others things are not to be seen
}
WRONG = {"": 0.5, "_true_prompts": 0.0}  # the control sees as many looks, all under true prompts


def kept_apart(a: str, b: str) -> bool:
    return frozenset((a, b)) in held_out()


def recorded(name: str, wrong: float, args) -> Recording:
    _, load, usual, layers = MODELS[name]
    model, clip, vae = load(args.into / paths.WEIGHTS)
    count = args.scenes or usual
    folder = args.into / paths.WORK / f"recordings-{name}-{wrong:g}-{count}-{args.draws}-{args.seed}"
    layout = MapSettings(layers=layers).layout(model_layers(model))
    progress = Progress(f"looks of {name}, wrong {wrong:g}", 0, count, every=640)
    wanted = Wanted(args.draws, wrong, seed=args.seed, batch=32)
    with torch.inference_mode():  # as the host runs its nodes
        scenes = pictures(count, args.seed)
        record_into(folder, model, clip, vae, scenes, layout, wanted, tell=lambda done: progress(int(done)))
    return opened(folder).load()


def trained(network: str, name: str, data: Recording, measure: Recording, args, path: Path) -> None:
    """Train on data, measure on the pairs of measure that were kept, and write the file."""
    progress = Progress(name, 0, args.steps, every=250)

    def tell(step, curve) -> None:
        if curve.learnt:
            progress(step, loss=curve.learnt[-1])

    done = train(network, data, Training(args.steps, args.batch, seed=args.seed), kept=kept_apart, tell=tell)
    one = replace(learner(network, measure, "cpu"), network=done.network)
    table = measured(one, measure, split(measure, kept_apart).measured)
    if measure.layout.family == ANY:
        done.network.config = replace(done.network.config, layout=None)
    notes = {
        "network": network,
        "model": measure.layout.family,
        "accuracy": table,
        "leak": leak(table),
        "made": [
            f"{done.step} of {args.steps} steps of {args.batch}, seed {args.seed}; {len(data.level)} looks.",
            *data.made,
            f"python demo/classifier.py --draws {args.draws} --steps {args.steps} --batch {args.batch} "
            f"--seed {args.seed}" + (f" --scenes {args.scenes}" if args.scenes else ""),
        ],
    }
    print(name, notes["accuracy"], notes["leak"], flush=True)
    save(done, notes, path)


def reader(names: list[str], args, path: Path) -> None:
    """The reader of places, of these models' maps, worn."""
    data = together([worn(recorded(name, WRONG[""], args), args.seed + i) for i, name in enumerate(names)])
    trained(READER, path.stem, data, data, args, path)


def main(given: list[str] | None = None) -> None:
    parser = arguments(__doc__, steps=1500, batch=128, draws=2)
    parser.add_argument("--model", choices=MODELS, nargs="+", default=list(MODELS))
    parser.add_argument("--reader", choices=MODELS, help="of this model's maps alone")
    args = parser.parse_args(given)
    if args.reader:
        reader([args.reader], args, args.into / paths.WORK / f"reader_of_{args.reader}.safetensors")
        return
    for model in args.model:
        both = {control: recorded(model, wrong, args) for control, wrong in WRONG.items()}
        for control, data in both.items():
            path = args.into / paths.CLASSIFIERS / f"{MODELS[model][0]}{control}.safetensors"
            trained(CLASSIFIER, path.stem, data, both[""], args, path)
    if args.model == list(MODELS):
        reader(args.model, args, args.into / paths.CLASSIFIERS / "universal.safetensors")


if __name__ == "__main__":
    main()
