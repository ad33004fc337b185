"""What one look of steering costs, beside a plain step and beside the straightforward way.

    python bench/cost.py
    python bench/cost.py --device cuda --full

Models of true width with random weights, made by the host's own classes: SD1.5's UNet, SDXL's (on a card, or where
--models asks for it), and a transformer of FLUX's width (of its full depth with --full, else of as few blocks as told).
Measured on each, in turns within one process:

- plain step: the model under the positive and the negative prompt, batched as the host does, with its usual attention
  (on the CPU a slow one: so with PyTorch's too, which is the usual one on a card, and not measured apart there);
- guided: our pass, from the latent to the classifier's loss and back; with save_memory too;
- straightforward: the same as a research script does it. All layers, attention computed step by step and its matrices
  kept whole, the whole model, weights that require gradients because nobody switched that off. The gradient is asked
  of the latent alone (torch.autograd.grad), as the published code does. "weights too", if asked for with --ways, has
  loss.backward() instead.
- recorded, if asked for with --ways: what Record Maps does with two looks in a pass, which is the plain step's batch.

Peak memory is measured in a fresh process for each way: above what lay there when the pass began (the weights), and in
all. Writes bench/cost.json. Memory on the CPU is read from /proc, so on Linux only.
"""

import argparse
import contextlib
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import host  # noqa: F401  makes `comfy` importable

import comfy.ldm.modules.attention
import comfy.model_management
import comfy.model_patcher
import comfy.sampler_helpers
import comfy.samplers
import comfy.supported_models
import comfyui_version
import paths
import psutil
import torch
from learn_to_steer.nodes.host.capture import capture, model_layers
from learn_to_steer.nodes.host.gradient import differentiable, ordinary, saved_before_writing
from learn_to_steer.nodes.host.recorder import Ready, see
from learn_to_steer.steering.dataset import Look
from learn_to_steer.steering.losses import Aim, Moment
from learn_to_steer.steering.losses.classifier import ClassifierConfig, ClassifierLoss, RelationClassifier
from learn_to_steer.steering.maps import MapSettings, pooling, stack_layers
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.words import Words
from PIL import Image
from training import write

PROMPT, ROWS, MOMENT = "a dog left of a cat", ((2,), (6,)), Moment(0.8)
WAYS = (
    "plain step",
    "plain step, PyTorch's attention",
    "guided",
    "guided, save_memory",
    "straightforward",
    "straightforward, weights too",
    "recorded",
)
GB = 1e9


# --- Models -----------------------------------------------------------------------------------------------------------

UNET = {
    "use_checkpoint": False, "image_size": 32, "use_spatial_transformer": True, "legacy": False,
    "in_channels": 4, "out_channels": 4, "model_channels": 320, "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4], "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], "context_dim": 768, "adm_in_channels": None,
    "use_linear_in_transformer": False, "use_temporal_attention": False, "use_temporal_resblock": False,
}  # fmt: skip
XL = UNET | {
    "num_classes": "sequential", "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "context_dim": 2048, "adm_in_channels": 2816,
    "num_head_channels": 64, "use_linear_in_transformer": True,
}  # fmt: skip
FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 768, "context_in_dim": 4096,
    "hidden_size": 3072, "mlp_ratio": 4.0, "num_heads": 24, "depth": 19, "depth_single_blocks": 38,
    "axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2, "qkv_bias": True, "txt_ids_dims": [],
    "guidance_embed": True,
}  # fmt: skip
SMALLER = (
    {"model_channels": 32, "context_dim": 24},
    {"model_channels": 64, "context_dim": 24, "adm_in_channels": 6 * 256 + 24, "transformer_depth_middle": 2,
     "transformer_depth": [0, 0, 1, 1, 2, 2], "transformer_depth_output": [0, 0, 0, 1, 1, 1, 2, 2, 2]},
    {"hidden_size": 64, "num_heads": 2, "axes_dim": [8, 12, 12], "context_in_dim": 32, "vec_in_dim": 24},
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A model and a picture. config: class of the host's supported_models; text: rows of the conditioning;
    joint: are text and picture one sequence; layers: that are read; repeat: rounds of the timing."""

    name: str
    config: str
    unet: dict
    latent: tuple[int, ...]
    text: int
    joint: bool
    sigma: float
    dtype: str
    layers: str
    repeat: int


def cases(args) -> list[Case]:
    cuda = args.device == "cuda"
    text = 512 if cuda else 256
    unet, xl, flux = UNET, XL, FLUX
    if args.tiny:
        unet, xl, flux = UNET | SMALLER[0], XL | SMALLER[1], FLUX | SMALLER[2]
    sides, text = ((16,), 16) if args.tiny else ((64, 128), text)
    repeat = args.repeat or 3
    chosen = [
        Case("SD1.5, 512 px", "SD15", unet, (1, 4, sides[0], sides[0]), 77, False, 7.0,
             args.dtype or ("float16" if cuda else "bfloat16"), "auto", repeat),
    ]  # fmt: skip
    if cuda or args.tiny or args.models:
        chosen.append(
            Case("SDXL, 1024 px", "SDXL", xl, (1, 4, sides[-1], sides[-1]), 77, False, 7.0,
                 args.dtype or ("float16" if cuda else "bfloat16"), "auto", repeat)
        )  # fmt: skip
    for side, depth in zip(sides, (args.depth, args.depth_1024), strict=False):
        double, single = (19, 38) if args.full else depth
        # Half of the layers, as "auto" chooses at FLUX's own depth; of so few it would choose all.
        layers = f"1-{(double + single + 1) // 2}"
        # A pass at 1024 px is long enough to be measured once.
        rounds = repeat if args.repeat or side < 128 or cuda else 1
        chosen.append(
            Case(f"FLUX's width, {double} + {single} blocks, {side * 8} px", "Flux",
                 flux | {"depth": double, "depth_single_blocks": single}, (1, 16, side, side), text, True, 0.8,
                 args.dtype or "bfloat16", layers, rounds)
        )  # fmt: skip
    return chosen


class Passes:
    """A model of random weights, and the ways to run it."""

    def __init__(self, case: Case, device: str):
        self.case, self.device = case, torch.device(device)
        with torch.inference_mode():
            config = getattr(comfy.supported_models, case.config)(dict(case.unet))
            config.set_inference_dtype(getattr(torch, case.dtype), None)
            self.model = config.get_model({}, "", device=self.device)
            _randomise(self.unet)
        patcher = comfy.model_patcher.ModelPatcher(self.model, self.device, self.device)
        self.model.current_patcher = self.patcher = patcher
        torch.manual_seed(1)
        with torch.no_grad():
            self.latent = torch.randn(case.latent, device=self.device)
            self.sigma = torch.tensor([case.sigma], device=self.device)
            self.positive, self.negative = self._conditioning()
        self.pool = pooling(ROWS).to(self.device)
        layers = model_layers(patcher)
        self.aim = self._aim(MapSettings(case.layers).layout(layers))
        self.aim_at_all = self._aim(MapSettings("all").layout(layers))

    @property
    def unet(self) -> torch.nn.Module:
        return self.model.diffusion_model

    def _conditioning(self):
        width = self.case.unet.get("context_in_dim") or self.case.unet["context_dim"]
        pooled = self.case.unet.get("vec_in_dim")
        if whole := self.case.unet.get("adm_in_channels"):
            pooled = whole - 6 * 256  # SDXL's sizes of the picture stand beside it
        conds, self.entries = {}, {}
        for name in ("positive", "negative"):
            values = {"pooled_output": torch.randn(1, pooled)} if pooled else {}
            self.entries[name] = [torch.randn(1, self.case.text, width), values]
            conds[name] = comfy.sampler_helpers.convert_cond([self.entries[name]])
        comfy.samplers.process_conds(self.model, self.latent, conds, self.device)
        for cond in (entry for entries in conds.values() for entry in entries):
            for value in cond["model_conds"].values():
                value.cond = value.cond.to(self.device)
        return conds["positive"], conds["negative"]

    def _aim(self, layout) -> Aim:
        classifier = RelationClassifier(ClassifierConfig(layout)).requires_grad_(False).train(False)
        words = Words(PROMPT, parse(PROMPT).wishes, ("dog", "cat"), ROWS, ((0, 1),))
        return Aim(ClassifierLoss(classifier.to(self.device)), words, layout)

    def run(self, way: str, watch=None) -> torch.Tensor:
        """One pass. watch: called with the loss (plain step: with its queries and keys) before the way back."""
        if way.startswith("plain step"):
            return self.plain(way != "plain step", watch)
        if way.startswith("guided"):
            return self.guided(way.endswith("save_memory"), watch)
        if way == "recorded":
            return self.recorded()
        return self.straightforward(way.endswith("weights too"))

    def plain(self, pytorch: bool = False, watch=None) -> torch.Tensor:
        def attend(function, q, k, *args, **kwargs):
            if watch:
                watch(q, k, args)
            function = comfy.ldm.modules.attention.attention_pytorch if pytorch else function
            return function(q, k, *args, **kwargs)

        options = {"transformer_options": {"optimized_attention_override": attend}}
        with torch.inference_mode():
            conds = [self.positive, self.negative]
            return comfy.samplers.calc_cond_batch(self.model, conds, self.latent, self.sigma, options)[0]

    def recorded(self) -> torch.Tensor:
        look, picture = Look(0, PROMPT, (), (), True, 0.5, 0), Image.new("RGB", (8, 8))
        latent = self.latent.cpu()
        with torch.inference_mode():
            ready = [Ready(look, picture, latent, ROWS, tuple(entry)) for entry in self.entries.values()]
            seen, _ = see(self.patcher, ready, self.aim.layout)
            self.model.current_patcher = self.patcher  # the host leaves none
            return torch.stack([one.maps for one in seen])

    def guided(self, save_memory: bool, watch=None, aim: Aim | None = None):
        aim = aim or self.aim
        writing = self.case.joint  # a run knows it from its first look: FLUX adds in place, a UNet does not
        with torch.inference_mode(), differentiable(self.unet, *aim.loss.modules, writing=writing):
            x = self.latent.clone().requires_grad_(True)
            maps = capture(self.model, self.positive[0], x, self.sigma.clone(), {}, self.pool, aim.layout, save_memory)
            value = aim.loss.score(maps, aim.words, MOMENT).loss.sum()
            if watch:
                watch(value)
            return torch.autograd.grad(value, x)[0]

    def straightforward(self, weights_too: bool = False) -> torch.Tensor:
        kept = []
        options = {"transformer_options": {"optimized_attention_override": self._materialised(kept)}}
        with _as_a_script_has_them(self.unet):
            x = self.latent.clone().requires_grad_(True)
            noise = comfy.samplers.calc_cond_batch(self.model, [self.positive], x, self.sigma, options)
            maps = []
            for matrix in kept:
                of_words = self.pool[:, None] @ matrix[..., : self.pool.shape[-1]].float().mT
                side = round(of_words.shape[-1] ** 0.5)
                maps.append((of_words, (side, side)))
            maps = stack_layers(maps, "averaged", self.aim.layout.resolution)
            value = self.aim_at_all.loss.score(maps, self.aim_at_all.words, MOMENT).loss.sum()
            if weights_too:
                value.backward()
                return x.grad
            (gradient,) = torch.autograd.grad(value, x)
            del noise  # a script holds it until here
            return gradient

    def _materialised(self, kept: list[torch.Tensor]):
        """Attention in place of the host's: matrices as they stand in a textbook, those of the text kept."""
        text = self.case.text

        def attend(function, q, k, v, heads, mask=None, precision=None, skip_reshape=False, **kwargs):
            if not skip_reshape:
                q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
            scores = q @ k.mT * q.shape[-1] ** -0.5
            probabilities = scores.softmax(-1)
            if self.case.joint:
                kept.append(scores[:, :, text:, :text].softmax(-1))
            elif k.shape[2] == text:
                kept.append(probabilities)
            return (probabilities @ v).transpose(1, 2).flatten(2)

        return attend


def _randomise(unet: torch.nn.Module) -> None:
    torch.manual_seed(0)
    for name, p in unet.named_parameters():
        if p.ndim >= 2:
            p.normal_(0, p[0].numel() ** -0.5)
        else:
            p.fill_(0.0 if name.endswith("bias") else 1.0)


@contextlib.contextmanager
def _as_a_script_has_them(unet: torch.nn.Module):
    """Weights that require gradients, and a host in which they can be had (a script's model adds nothing in place)."""
    swapped = []
    comfy.model_management.in_training = True
    try:
        for part in unet.modules():
            for tensors in (part._parameters, part._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        swapped.append((tensors, name, tensor))
                        tensors[name] = ordinary(tensor)
            for name, p in part._parameters.items():
                if p is not None:
                    part._parameters[name] = p.requires_grad_(True)
        with torch.enable_grad(), saved_before_writing():
            yield
    finally:
        comfy.model_management.in_training = False
        for tensors, name, tensor in swapped:
            tensors[name] = tensor


# --- Measuring --------------------------------------------------------------------------------------------------------


def kept_by(value: torch.Tensor, unet: torch.nn.Module) -> int:
    """Bytes that a graph keeps for the way back, the weights left out."""
    seen = {p.untyped_storage().data_ptr(): 0 for p in unet.parameters()}
    nodes, known = [value.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in known:
            continue
        known.add(node)
        nodes += [before for before, _ in node.next_functions]
        saved = [getattr(node, name) for name in dir(node) if name.startswith("_saved_")]
        saved += getattr(node, "saved_tensors", ())
        for tensor in saved:
            for part in tensor if isinstance(tensor, tuple | list) else (tensor,):
                if isinstance(part, torch.Tensor):
                    storage = part.untyped_storage()
                    seen.setdefault(storage.data_ptr(), storage.nbytes())
    return sum(seen.values())


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def memory_of(case: Case, device: str, way: str) -> dict:
    """Peak memory of one pass, in bytes. To be asked in a process of its own."""
    passes, notes = Passes(case, device), {}
    weights = sum(p.numel() * p.element_size() for p in passes.unet.parameters())
    if way.startswith("plain step"):
        sizes = []

        def watch(q, k, args):
            matrix = args[1] * q.shape[-2] * k.shape[-2] * q.element_size()
            sizes.append((matrix * q.shape[0] // 2, matrix))  # of one prompt of the two

    elif way.startswith("guided"):

        def watch(value):
            notes["saved"] = kept_by(value, passes.unet)

    else:
        watch = None
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of making the weights
        before = resident("VmRSS:")
    gradient = passes.run(way, watch)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else resident("VmHWM:")
    if way == "plain step":
        shape = list(case.latent)
        notes |= {
            "parameters": sum(p.numel() for p in passes.unet.parameters()),
            "layers": [passes.aim.layout.last, passes.aim_at_all.layout.last],
            "attention": [sum(size for size, _ in sizes), max(matrix for _, matrix in sizes)],
            "host_estimate": int(passes.model.memory_required(shape)),
        }
        # What the same method says on a card whose attention is PyTorch's.
        ask = comfy.model_management.pytorch_attention_flash_attention
        comfy.model_management.pytorch_attention_flash_attention = lambda: True
        notes["host_estimate_flash"] = int(passes.model.memory_required(shape))
        comfy.model_management.pytorch_attention_flash_attention = ask
    finite = bool(torch.isfinite(gradient).all())
    return notes | {"above": peak - before, "all": peak, "weights": weights, "finite": finite}


def times_of(case: Case, device: str, ways: list[str]) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each way by the clock and on the processor, in turns."""
    passes, seconds = Passes(case, device), {way: [] for way in ways}
    if device == "cuda":
        for way in ways:  # kernels are chosen and memory is fetched at first
            passes.run(way)
    for _ in range(case.repeat):
        for way in ways:
            gc.collect()
            if device == "cuda":
                torch.cuda.synchronize()
            began, used = time.perf_counter(), time.process_time()
            passes.run(way)
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[way].append((time.perf_counter() - began, time.process_time() - used))
    return seconds


def apart(task: str, case: Case, device: str, way) -> dict | None:
    """The same in a process of its own; None when that did not survive it."""
    job = json.dumps({"task": task, "case": asdict(case), "device": device, "way": way})
    command = [sys.executable, __file__, "--job", job]
    # Freed memory goes back at once: what is resident is what is held.
    malloc = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    environment = os.environ | (malloc if task == "memory" else {})
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        return None
    return json.loads(done.stdout.splitlines()[-1])


def work(job: str) -> None:
    job = json.loads(job)
    case = Case(**job["case"])
    case = replace(case, latent=tuple(case.latent))
    function = {"memory": memory_of, "times": times_of}[job["task"]]
    print(json.dumps(function(case, job["device"], job["way"])))


def free_memory(device: str) -> int:
    return torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available


def needed(memory: dict[str, dict], way: str) -> int:
    """What a straightforward pass will need, weights and all: an estimate, to leave out what cannot fit."""
    plain, guided = memory["plain step"], memory["guided"]
    (last, layers), (matrices, largest) = plain["layers"], plain["attention"]
    activations = 1.3 * guided["above"] * layers / last
    gradients = plain["weights"] if way.endswith("weights too") else 0
    return int(plain["all"] + activations + matrices + 3 * largest + gradients)


def measure(case: Case, device: str, ways: list[str]) -> list[dict]:
    """One row per way."""
    memory, left_out = {}, {}
    for way in ways:
        free = free_memory(device)
        if way.startswith("straightforward") and (wants := needed(memory, way)) > free:
            left_out[way] = f"left out: needs about {wants / GB:.0f} GB, {free / GB:.0f} GB are free"
            continue
        found = apart("memory", case, device, way)
        if found:
            memory[way] = found
        else:
            left_out[way] = f"ran out of memory ({free / GB:.0f} GB were free)"
        print(f"{case.name}: memory of {way} measured", file=sys.stderr, flush=True)
    seconds = apart("times", case, device, list(memory))
    if seconds is None:
        raise RuntimeError(f"{case.name}: the timing did not end well")
    rows = []
    for way in ways:
        row = {"model": case.name, "way": way}
        if way in left_out:
            rows.append(row | {"note": left_out[way]})
            continue
        clock, processor = zip(*seconds[way], strict=True)
        rows.append(row | {
            "seconds": statistics.median(clock), "all_seconds": clock,
            "processor_seconds": statistics.median(processor), "memory": memory[way],
        })  # fmt: skip
    return rows


# --- Telling ----------------------------------------------------------------------------------------------------------


def ratios(rows: list[dict]) -> dict:
    """The figures of one model that mean something elsewhere."""
    of = {row["way"]: row for row in rows if "note" not in row}
    plain, guided = of["plain step"], of["guided"]
    estimates = [plain["memory"]["host_estimate"], plain["memory"]["host_estimate_flash"]]
    result = {"model": plain["model"]}
    for way, row in of.items():
        result[way] = {
            "time_over_plain_step": round(row["seconds"] / plain["seconds"], 3),
            "time_over_guided": round(row["seconds"] / guided["seconds"], 3),
            # Where others use the machine too, the processor's time says more than the clock's.
            "processor_time_over_plain_step": round(row["processor_seconds"] / plain["processor_seconds"], 3),
            "memory_above_weights_over_guided": round(row["memory"]["above"] / guided["memory"]["above"], 3),
            "memory_in_all_over_guided": round(row["memory"]["all"] / guided["memory"]["all"], 3),
        }
        if saved := row["memory"].get("saved"):
            result[way]["saved_over_host_estimate"] = round(saved / estimates[0], 3)
            result[way]["saved_over_host_estimate_flash"] = round(saved / estimates[1], 3)
            result[way]["peak_over_host_estimate_flash"] = round(row["memory"]["above"] / estimates[1], 3)
    return result


def markdown(rows: list[dict], figures: list[dict]) -> str:
    columns = ("model", "way", "time", "of a plain step", "of guided", "memory above the weights")
    columns += ("of guided", "in all")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    by_model = {figure["model"]: figure for figure in figures}
    for row in rows:
        if "note" in row:
            lines.append(f"| {row['model']} | {row['way']} | {row['note']} | | | | | |")
            continue
        of, memory = by_model[row["model"]][row["way"]], row["memory"]
        lines.append(
            f"| {row['model']} | {row['way']} | {row['seconds']:.3g} s | {of['time_over_plain_step']:.2f}x "
            f"| {of['time_over_guided']:.2f}x | {memory['above'] / GB:.2f} GB "
            f"| {of['memory_above_weights_over_guided']:.2f}x | {memory['all'] / GB:.2f} GB |"
        )
    lines.append("")
    for row in rows:
        if "saved" in row.get("memory", {}):
            of = by_model[row["model"]][row["way"]]
            lines.append(
                f"{row['model']}, {row['way']}: {row['memory']['saved'] / GB:.3f} GB saved for the way back, "
                f"{of['saved_over_host_estimate']:.2f} of the host's estimate here, "
                f"{of['saved_over_host_estimate_flash']:.2f} of its estimate where attention is PyTorch's "
                f"(the peak: {of['peak_over_host_estimate_flash']:.2f})."
            )
    return "\n".join(lines)


def machine(device: str) -> dict:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {
        "cpu": names[0].split(":")[1].strip() if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "attention": comfy.ldm.modules.attention.optimized_attention.__name__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "comfyui": comfyui_version.__version__,
        "date": date.today().isoformat(),
    }


def arguments(given: list[str] | None = None):
    parser = paths.arguments(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", help="of the weights: float32, bfloat16, float16")
    parser.add_argument("--depth", type=int, nargs=2, default=(2, 2), help="double, single blocks")
    parser.add_argument("--depth-1024", type=int, nargs=2, default=(2, 1), help="the same at 1024 px")
    parser.add_argument("--full", action="store_true", help="FLUX's own depth, 19 and 38")
    parser.add_argument("--repeat", type=int, help="rounds of the timing")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS[:-2])
    parser.add_argument("--models", default="", help="only those whose name holds this")
    parser.add_argument("--tiny", action="store_true", help="small models, to try the script")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> None:
    given = sys.argv[1:] if given is None else given
    args = arguments(given)
    if args.job:
        return work(args.job)
    rows, figures = [], []
    ways = [way for way in args.ways if args.device == "cpu" or "PyTorch's" not in way]
    for case in cases(args):
        if args.models in case.name:
            found = measure(case, args.device, ways)
            rows += found
            figures.append(ratios(found))
    print(markdown(rows, figures))
    results = {
        "command": " ".join(["python bench/cost.py", *given]),
        "machine": machine(args.device),
        "cases": [asdict(case) for case in cases(args) if args.models in case.name],
        "rows": rows,
        "ratios": figures,
    }
    write(lambda path: path.write_text(json.dumps(results, indent=1) + "\n"), args.into / paths.BENCH / "cost.json")


if __name__ == "__main__":
    main()
