"""The authors' own relation classifiers (Learn-to-Steer, section 3): their .pth files, and their use as a loss.

The network and all that its maps and steps need follow from the file. Who opens the file is not our business: `read`
takes what was in it.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..maps import MapLayout, ModelLayers, noise_level
from ..relations import NAME_OF, RELATIONS
from ..words import Words
from . import Moment, Score, files

WAYS = {
    "left": (-1, 0), "right": (1, 0),
    "above": (0, -1), "over": (0, -1), "upper": (0, -1), "top": (0, -1),
    "below": (0, 1), "under": (0, 1), "lower": (0, 1), "bottom": (0, 1),
}  # fmt: skip
FILLING = {"to", "the", "of", "and", "on", "diagonally"}
DDIM = (0.00085**0.5, 0.012**0.5, 1000)  # roots of the first and the last beta, and how many there are
LEAST = 1e-8  # the authors' addition to a map's sum


def relation_of(label: str) -> str | None:
    """Our name of a relation that the authors call so; None for what is none of ours ("is")."""
    words = label.lower().replace("-", " ").replace("_", " ").split()
    name = " ".join(words)
    if name in RELATIONS and RELATIONS[name].things == 2:  # their "left" is no place in the picture
        return name
    if any(word not in WAYS and word not in FILLING for word in words):
        return None
    ways = [WAYS[word] for word in words if word in WAYS]
    return NAME_OF.get((sum(x for x, _ in ways), sum(y for _, y in ways), 0, 0))


# --- What a file says -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PublishedConfig:
    """model: for people; families: the host's names of the models that it was trained for; flow: is that a flow model;
    steps: of the sampling run that its step numbers count; trained: those that it was trained at, ascending; native:
    cells along a side of a transformer's maps; labels: our names of the outputs, None where we have none; divided: are
    maps divided by their sums.

    width: of the network; cells: along a side of a map; most: maps a word; layers, heads, inner: of the extractor's
    transformer; pooling_heads: of its last attention; relation_...: of the second transformer; moment: width of its
    embedded step.

    Of a network of this kind that we trained, not its authors: layout: of its maps; levels: the noise level of each
    step; notes: how it was trained and measured, for people.
    """

    model: str
    families: tuple[str, ...]
    flow: bool
    steps: int
    trained: tuple[int, ...]
    native: int
    labels: tuple[str | None, ...]
    divided: bool
    width: int
    cells: int
    most: int
    layers: int
    heads: int
    inner: int
    pooling_heads: int
    relation_layers: int
    relation_heads: int
    relation_inner: int
    moment: int
    layout: MapLayout | None = None
    levels: tuple[float, ...] = ()
    notes: dict = field(default_factory=dict)

    def level(self, step: int) -> float:
        """The noise level of a step of the authors' run: DDIM for Stable Diffusion, Euler for FLUX."""
        if self.levels:
            return self.levels[step]
        if not self.flow:
            first, last, count = DDIM
            betas = torch.linspace(first, last, count, dtype=torch.float64) ** 2
            kept = (1 - betas).cumprod(0)[(self.steps - 1 - step) * (count // self.steps) + 1].item()
            return noise_level(math.sqrt(kept), math.sqrt(1 - kept))
        sigma = 1 - step / self.steps
        if self.steps > 4:  # dev's shift grows with the number of image tokens; schnell has none
            shift = math.exp(0.5 + 0.65 * (self.native**2 - 256) / (4096 - 256))
            sigma = shift * sigma / (1 + (shift - 1) * sigma)
        return noise_level(1 - sigma, sigma)

    def step_at(self, level: float) -> int:
        """The trained step for a noise level of any run: the first that comes no earlier, as the authors choose it."""
        for step in self.trained[:-1]:
            if level > (self.level(step) + self.level(step + 1)) / 2:
                return step
        return self.trained[-1]


def _number(value, most: int = 4096) -> int:
    if not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{value!r} is no number from 1 to {most}")
    return value


def _config(contents: dict) -> PublishedConfig:
    """Raises KeyError, TypeError or ValueError for what the authors' training does not write."""
    config, training, names = contents["config"], contents["training_config"], contents["rel_name_to_idx"]
    extractor, relation = config["extractor"], config["classifier"]
    for where, key, known in (
        (config, "architecture", "attention"),
        (extractor["timestep_embedding"], "mode", "mid"),
        (relation, "mode", "multiclass"),
        (relation, "fc_ver", "v1"),
    ):
        if where[key] != known:
            raise ValueError(f"its {key} is {where[key]!r}, and only {known!r} is known")
    if sorted(names.values()) != list(range(len(names))):
        raise ValueError("its labels are not numbered from 0 on")
    steps, native = _number(config["num_timesteps"], 500), _number(training.get("orig_map_size", 16))
    trained = tuple(sorted(_number(step + 1, steps) - 1 for step in training["timesteps"]))
    if not trained:
        raise ValueError("it was trained at no step")
    model, families = _model(steps, native, str(training.get("exp_name", "")))
    cells = _number(config["map_size"], 64)
    return PublishedConfig(
        model=model,
        families=families,
        flow="FLUX" in model,
        steps=steps,
        trained=trained,
        native=native,
        labels=tuple(relation_of(label) for label in sorted(names, key=names.__getitem__)),
        divided="FLUX" not in model or native != cells,  # FLUX's maps are divided only where they are resized
        width=_number(config["d_model"]),
        cells=cells,
        most=_number(contents["input_channels"], 100000),
        layers=_number(extractor["num_layers"], 64),
        heads=_number(extractor["nhead"]),
        inner=_number(extractor["dim_feedforward"], 65536),
        pooling_heads=_number(extractor["layer_attn_nheads"]),
        relation_layers=_number(relation["num_layers"], 64),
        relation_heads=_number(relation["nhead"]),
        relation_inner=_number(relation["dim_feedforward"], 65536),
        moment=_number(relation["timestep_embedding_dim"]),
    )


def _model(steps: int, native: int, name: str) -> tuple[str, tuple[str, ...]]:
    """For which model a file was trained, for people and as the host names it; name: of the training run."""
    if steps == 4:
        return "FLUX.1 schnell", ("FluxSchnell",)
    if native == 32:
        return "FLUX.1 dev", ("Flux",)
    if name.startswith("sd1"):
        return "Stable Diffusion 1", ("SD15",)
    if name.startswith("sd2"):
        return "Stable Diffusion 2", ("SD20",)
    return "Stable Diffusion 1 or 2", ("SD15", "SD20")


# --- The network ------------------------------------------------------------------------------------------------------
# Modules are named as in the files.


class _Order(nn.Module):
    """Sines and cosines that tell a sequence's entries apart; they come with the file."""

    pe: Tensor

    def __init__(self, entries: int, width: int):
        super().__init__()
        self.register_buffer("pe", torch.empty(1, entries, width))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, entries or fewer, width)."""
        return x + self.pe[:, : x.shape[1]]


def _transformer(width: int, heads: int, inner: int, layers: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(width, heads, inner, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


class _Extractor(nn.Module):
    """All of a word's maps -> one map that tells where the thing is."""

    def __init__(self, config: PublishedConfig):
        super().__init__()
        width, places = config.width, config.cells**2
        self.query_vector = nn.Parameter(torch.empty(1, 1, width))
        self.input_projection = nn.Linear(places, width)
        self.timestep_embedding = nn.Embedding(config.steps, width)
        self.positional_encoding = _Order(config.most, width)
        self.transformer = _transformer(width, config.heads, config.inner, config.layers)
        self.layer_attention = nn.MultiheadAttention(width, config.pooling_heads, batch_first=True)
        self.output_projection = nn.Linear(width, places)

    def forward(self, maps: Tensor, step: Tensor) -> Tensor:
        """maps: (N, channels, R, R); step: (N,). Returns (N, R * R)."""
        x = self.positional_encoding(self.input_projection(maps.flatten(2)))
        for layer in self.transformer.layers:
            x = layer(x + self.timestep_embedding(step)[:, None])
        query = self.query_vector.expand(len(x), -1, -1)
        pooled, _ = self.layer_attention(query, x, x, need_weights=False)
        return self.output_projection(pooled[:, 0])


class _Relation(nn.Module):
    """Both things' maps -> which relation holds."""

    def __init__(self, config: PublishedConfig):
        super().__init__()
        width, places = config.width, config.cells**2
        self.timestep_embedding = nn.Embedding(config.steps, config.moment)
        self.positional_encoding = _Order(256, width)
        self.projection = nn.Linear(2 * places, width)
        self.transformer = _transformer(width, config.relation_heads, config.relation_inner, config.relation_layers)
        self.fc = nn.Sequential(
            nn.Linear(width + config.moment, 256), nn.LayerNorm(256), nn.LeakyReLU(0.1), nn.Dropout(0.3),
            nn.Linear(256, 128), nn.LayerNorm(128), nn.LeakyReLU(0.1), nn.Dropout(0.3),
            nn.Linear(128, len(config.labels)),
        )  # fmt: skip

    def forward(self, subject: Tensor, object: Tensor, step: Tensor) -> Tensor:
        """subject, object: (N, R * R); step: (N,). Returns logits (N, labels)."""
        x = self.projection(torch.cat([subject, object], 1))[:, None]  # a sequence of one
        x = self.transformer(self.positional_encoding(x))[:, 0]
        return self.fc(torch.cat([x, self.timestep_embedding(step)], 1))


class PublishedClassifier(nn.Module):
    """The authors' network (Learn-to-Steer, section 3)."""

    def __init__(self, config: PublishedConfig):
        super().__init__()
        self.config = config
        self.object_extractor = _Extractor(config)
        self.relation_classifier = _Relation(config)

    def where(self, maps: Tensor, step: Tensor) -> Tensor:
        """Words' maps (N, channels, R, R) as this classifier was trained on -> (N, R * R); step: step numbers (N,)."""
        return self.object_extractor(maps, step)

    def forward(self, subject: Tensor, object: Tensor, step: Tensor) -> Tensor:
        """subject, object: of `where`. Returns logits (N, labels)."""
        return self.relation_classifier(subject, object, step)


def read(contents: object, name: str) -> PublishedClassifier:
    """The classifier of a file's contents; name: of the file. Raises ValueError for those of any other file."""
    needed = ("model_state_dict", "rel_name_to_idx", "input_channels", "config", "training_config")
    if not isinstance(contents, dict) or any(key not in contents for key in needed):
        raise ValueError(
            f'"{name}" is no relation classifier of the authors of Learn-to-Steer. Choose another in L2S Classifier '
            f"Loss."
        )
    try:
        with torch.device("meta"):  # takes no memory, whatever sizes the file asks for
            classifier = PublishedClassifier(_config(contents))
        weights = {key: weight.float() for key, weight in contents["model_state_dict"].items()}
        wanted = classifier.state_dict()
        for key in wanted | weights:
            if key not in wanted or key not in weights or wanted[key].shape != weights[key].shape:
                raise ValueError(f"its weights do not fit its configuration, first {key}")
        classifier.load_state_dict(weights, assign=True)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f'The classifier file "{name}" is damaged, or of another version than is known: {why}.'
        ) from error
    return classifier.requires_grad_(False).train(False)


# --- One that we train ------------------------------------------------------------------------------------------------


def untrained(layout: MapLayout, labels: tuple[str, ...], levels: tuple[float, ...]) -> PublishedClassifier:
    """The authors' network for maps of a layout, in their sizes for Stable Diffusion, with the first weights that torch
    draws now. levels: noise levels of its steps, descending."""
    config = PublishedConfig(
        model=layout.family, families=(layout.family,), flow=True, steps=len(levels), trained=tuple(range(len(levels))),
        native=layout.resolution, labels=labels, divided=True, width=256, cells=layout.resolution,
        most=layout.channels, layers=2, heads=2, inner=128, pooling_heads=4, relation_layers=2, relation_heads=4,
        relation_inner=512, moment=16, layout=layout, levels=levels,
    )  # fmt: skip
    classifier = PublishedClassifier(config)
    nn.init.normal_(classifier.object_extractor.query_vector)
    with torch.no_grad():  # maps of sum 1 are weak: without this it takes thousands of steps before anything is learnt
        classifier.object_extractor.input_projection.weight.mul_(layout.resolution**2 / 4)
    for order in (classifier.object_extractor.positional_encoding, classifier.relation_classifier.positional_encoding):
        entries, width = order.pe.shape[1:]
        waves = torch.arange(entries)[:, None] * 10000 ** (-torch.arange(0, width, 2) / width)
        order.pe.copy_(torch.stack([waves.sin(), waves.cos()], -1).flatten(1)[None])
    return classifier


def of(file: files.File) -> PublishedClassifier:
    """One that we trained. Raises ValueError, naming the file, when it is damaged."""

    def make(config: dict) -> PublishedClassifier:
        lists = {name: tuple(value) for name, value in config.items() if isinstance(value, list)}
        return PublishedClassifier(PublishedConfig(**{**config, **lists}))

    network = file.network(make)
    assert isinstance(network, PublishedClassifier)
    return network


# --- The loss ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PublishedLoss:
    """The authors' cross-entropy for every wish. model: whose maps it will be given."""

    classifier: PublishedClassifier
    model: ModelLayers

    @property
    def layout(self) -> MapLayout:
        """All layers of the model, heads kept. Raises ValueError for a model that the classifier does not fit."""
        config, model, channels = self.classifier.config, self.model, sum(self.model.heads)
        if config.layout is not None:
            return config.layout
        if model.family not in config.families:
            raise ValueError(f"it was trained for {config.model}, and this model is {model.family}. Choose another.")
        if channels > config.most:
            raise ValueError(f"it reads at most {config.most} maps a word, and this model gives {channels}.")
        return MapLayout(model.family, 1, len(model.heads), "kept", channels, config.cells, "text", published=True)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self.classifier,)

    @property
    def relations(self) -> tuple[str, ...]:
        return tuple(label for label in self.classifier.config.labels if label is not None)

    def score(self, maps: Tensor, words: Words, moment: Moment) -> Score:
        """The negative log-probability of each wish's relation, and that probability."""
        config = self.classifier.config
        if config.divided:
            maps = maps / (maps.sum((-1, -2), keepdim=True) + LEAST)
        batch, count = maps.shape[:2]
        step = torch.full((batch * count,), config.step_at(moment.level), device=maps.device)
        where = self.classifier.where(maps.flatten(0, 1), step).unflatten(0, (batch, count))
        losses = []
        for wish, (subject, object) in zip(words.wishes, words.pairs, strict=True):
            logits = self.classifier(where[:, subject], where[:, object], step[:batch])
            label = torch.full((batch,), config.labels.index(wish.relation), device=maps.device)
            losses.append(F.cross_entropy(logits, label, reduction="none"))
        loss = torch.stack(losses, 1)
        return Score(loss, (-loss.detach()).exp())
