"""What a test needs to stand where a sampler stands: model loaded, conditioning processed, a layout, an aim."""

import comfy.model_management
import comfy.samplers
import torch
from learn_to_steer.nodes.host.capture import model_layers
from learn_to_steer.steering.losses import Aim
from learn_to_steer.steering.losses.classifier import ClassifierConfig, ClassifierLoss, RelationClassifier
from learn_to_steer.steering.maps import MapLayout, MapSettings
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.words import Words
from torch.utils import _pytree as tree

PROMPT = "a dog above a cat"
CARD = comfy.model_management.get_torch_device()  # the CPU where there is none


class _With(comfy.samplers.Sampler):
    def __init__(self, function):
        self.function = function

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image, *rest, **options):
        cond = model_wrap.conds["positive"][0]
        self.result = self.function(model_wrap.inner_model, cond, extra_args["model_options"])
        return latent_image


def inside(model, cond, latent, function):
    """function(the host's BaseModel, the processed positive entry, model_options), where the host would sample: on
    CARD. What it gives comes back on the CPU."""
    guider, sampler = comfy.samplers.CFGGuider(model), _With(function)
    guider.set_conds(cond, cond)
    guider.sample(latent, torch.zeros_like(latent), sampler, torch.tensor([0.5]), disable_pbar=True)
    return tree.tree_map_only(torch.Tensor, torch.Tensor.cpu, sampler.result)


def middle_sigma(inner) -> torch.Tensor:
    return torch.tensor([min(float(inner.model_sampling.sigma_max), 20.0) / 2], device=CARD)


def layout_of(model, layers="auto", heads="averaged", resolution=16, softmax="text") -> MapLayout:
    """Of a MODEL's maps, for a loss that takes any."""
    return MapSettings(layers, heads, resolution, softmax).layout(model_layers(model))


def aim_of(layout: MapLayout, subject: tuple[int, ...], object: tuple[int, ...]) -> Aim:
    """PROMPT's wish, by a classifier of random weights. subject, object: the text rows of the two words."""
    torch.manual_seed(1)
    classifier = RelationClassifier(ClassifierConfig(layout)).train(False)
    with torch.no_grad():
        classifier.logits[-1].weight.mul_(20)
    words = Words(PROMPT, parse(PROMPT).wishes, ("dog", "cat"), (subject, object), ((0, 1),))
    return Aim(ClassifierLoss(classifier), words, layout)
