"""A workflow that steers -> the graph of each method: the same model, prompt, sampler and seed, moved otherwise.

The workflow is taken apart at its Steer Model (or Steered KSampler): what stands between it and the decoded picture
samples; everything that only shows or saves is left away.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from accuracy import AS_PUBLISHED, BOUND, CONTROL, GEOMETRY, INFSPLIGN, INFSPLIGN_PUBLISHED, MODELS, OWN
from accuracy import BEST as BEST_OF
from accuracy import METHODS as LOSSES
from accuracy import ONLY_WRONG as FAILURES
from learn_to_steer.nodes import classifier_loss
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.prompts import parse
from live_server import to_api

METHODS = tuple(LOSSES)
USUAL = ("plain", "steered", "steered, geometry alone", "regions", "regions with steering", "steer only failures")
CHOICES = {  # how L2S Classifier Loss calls what needs no file
    GEOMETRY: classifier_loss.UNTRAINED,
    INFSPLIGN: classifier_loss.INFSPLIGN,
    INFSPLIGN_PUBLISHED: classifier_loss.INFSPLIGN_PUBLISHED,
}
STEERS = ("L2S_SteerModel", "L2S_SteeredKSampler")
KSAMPLER = (  # what it takes, of what Steered KSampler takes
    "model", "seed", "steps", "cfg", "sampler_name", "scheduler", "positive", "negative", "latent_image", "denoise",
)  # fmt: skip
DECODES = ("VAEDecode", "VAEDecodeTiled")
SEEDS = ("seed", "noise_seed")
DEMO_KINDS = {"UNet": "unet", "transformer": "flow"}
OF = 4  # pictures, of which the best is taken
LEAST = 0.1  # what a detector is asked for; each rule has a threshold of its own above it
# The nodes that are asked for, by what of a picture they give.
WORDS, NOTES, PICTURE, BOXES, REPORT = "words_text", "loss_text", "picture", "boxes_text", "report_text"
Graph = dict[str, dict]
Link = list


class Methods:
    """A workflow's graphs. graph: in API form.

    own: a classifier of this model's own, as L2S Classifier Loss calls it; rtdetr, sam3: the file of a detector that
    names boxes in the same graph. Raises ValueError, saying what the workflow lacks.
    """

    def __init__(self, graph: Graph, own: str | None = None, rtdetr: str | None = None, sam3: str | None = None):
        self.graph, self.rtdetr, self.sam3 = copy.deepcopy(graph), rtdetr, sam3
        self.words = self.only(("L2S_RelationParse",), "Relation Parse")
        steer = self.only(STEERS, "Steer Model or Steered KSampler")
        inputs = self.graph[steer]["inputs"]
        self.model: Link = inputs["model"]
        bound = {self.graph[node]["class_type"] for node in self.leading_to(self.model[0])}
        if bound & {*STEERS, "L2S_RegionsFromRelations"}:
            raise ValueError(
                "The workflow's model comes from Regions from Relations, so nothing of it would be plain. Take that "
                "node out; the bench has regions as methods of their own."
            )
        loss = self.graph[inputs["loss"][0]]
        self.capture = self.graph[loss["inputs"]["capture"][0]]["inputs"]
        self.classifier = loss["inputs"]["classifier"]
        if not isinstance(self.classifier, str):
            raise ValueError(
                "The workflow trains its classifier. Take one that steers by a file, or choose the file in it."
            )
        self.settings = {name: inputs[name] for name in asdict(Steering()) if name in inputs}
        if self.graph[steer]["class_type"] == "L2S_SteeredKSampler":
            kept = {name: inputs[name] for name in KSAMPLER if name in inputs}
            self.graph[steer] = {"class_type": "KSampler", "inputs": kept}
            self.between = self.from_here_to_picture({steer})
        else:
            self.between = self.from_here_to_picture(self.users(steer, output=0))
            for node in self.between:
                values = self.graph[node]["inputs"]
                values |= {name: self.model for name, value in values.items() if value == [steer, 0]}
        foreign = [self.graph[node]["class_type"] for node in self.between if self.is_ours(node)]
        if foreign:
            raise ValueError(
                f"Between the steering and the picture stands {foreign[0]}. Take a workflow that only samples there, "
                'for example one whose name ends in "steered".'
            )
        self.own = own or self.demo_own()
        if not self.own and self.classifier not in (classifier_loss.UNIVERSAL, *CHOICES.values()):
            self.own = self.classifier

    # --- The workflow's parts

    def only(self, kinds: Sequence[str], name: str) -> str:
        found = [node for node, entry in self.graph.items() if entry["class_type"] in kinds]
        if len(found) != 1:
            raise ValueError(f"The workflow has {len(found)} nodes {name}; it must have one.")
        return found[0]

    def is_ours(self, node: str) -> bool:
        return self.graph[node]["class_type"].startswith("L2S_")

    def users(self, node: str, output: int | None = None) -> set[str]:
        """Nodes that take from this one (from one of its outputs)."""
        return {
            name
            for name, entry in self.graph.items()
            for value in entry["inputs"].values()
            if _is_link(value) and value[0] == node and output in (None, value[1])
        }

    def from_here_to_picture(self, begin: set[str]) -> list[str]:
        """The nodes from these on that lead to the decoded picture. Finds the decoder and the latent too."""
        after, coming = set(begin), list(begin)
        while coming:
            coming += (new := self.users(coming.pop()) - after)
            after |= new
        decoders = [node for node in after if self.graph[node]["class_type"] in DECODES]
        lead = {node: after & self.leading_to(self.graph[node]["inputs"]["samples"][0]) for node in decoders}
        if not decoders or not any(lead.values()):
            raise ValueError("The workflow decodes no picture that it steered. It needs VAE Decode behind its sampler.")
        last = max(decoders, key=lambda node: len(lead[node]))
        self.decode = self.graph[last]
        return sorted(lead[last])

    def leading_to(self, node: str, graph: Graph | None = None) -> set[str]:
        """This node and all that it takes from."""
        graph = graph or self.graph
        found, coming = set(), [node]
        while coming:
            name = coming.pop()
            if name not in found:
                found.add(name)
                coming += [value[0] for value in graph[name]["inputs"].values() if _is_link(value)]
        return found

    @property
    def demo(self) -> bool:
        """Is it one of the demo models?"""
        return self.graph[self.model[0]]["class_type"] == "L2S_LoadDemoModel"

    def demo_own(self) -> str | None:
        if not self.demo:
            return None
        return f"{MODELS[DEMO_KINDS[self.graph[self.model[0]]['inputs'].get('kind', 'UNet')]][2]}.safetensors"

    # --- The methods

    def classifier_of(self, method: str) -> str:
        """Raises ValueError where a method needs a classifier that is not there."""
        loss = LOSSES[method]
        if loss in CHOICES:
            return CHOICES[loss]
        if loss in (BEST_OF, FAILURES):
            return self.own or self.classifier
        if loss == OWN and self.own:
            return self.own
        if loss == CONTROL and self.demo:
            return self.own.removesuffix(".safetensors") + "_true_prompts.safetensors"
        if loss in (OWN, CONTROL):
            raise ValueError(
                f"{method!r} needs a classifier of this model's own, and there is none. Train one (its template), name "
                "it in --own, or leave the method out."
            )
        return self.classifier

    def of(self, method: str, text: str, seed: int, things: Sequence[str] = ()) -> tuple[Graph, list[str], list[str]]:
        """The graph of one picture; the nodes to run before it is timed, and those to run after it.

        things: that SAM3 searches.
        """
        graph = copy.deepcopy(self.graph)
        graph[self.words]["inputs"] |= {"text": text, "corrections": ""}
        for entry in graph.values():
            entry["inputs"] |= {name: seed for name in SEEDS if name in entry["inputs"]}
        graph[WORDS] = _node("PreviewAny", source=[self.words, 2])
        before, after = [WORDS], []
        steered = LOSSES[method] is not None
        if steered:
            classifier = self.classifier_of(method)
            graph["capture"] = _node("L2S_AttentionCapture", **self.capture)
            graph["loss"] = _node("L2S_ClassifierLoss", capture=["capture", 0], classifier=classifier)
            graph[NOTES] = _node("PreviewAny", source=["loss", 1])
            before.append(NOTES)
        model = self.model
        if method in BOUND:
            graph["regions"] = _node("L2S_RegionsFromRelations", model=model, relations=[self.words, 1])
            model = ["regions", 0]
        looked_at = LOSSES[method] in (BEST_OF, FAILURES) and parse(text).wishes  # nothing else can be judged
        if steered and LOSSES[method] != BEST_OF and (looked_at or LOSSES[method] != FAILURES):
            settings = asdict(AS_PUBLISHED[method]) if method in AS_PUBLISHED else self.settings
            graph["steer"] = _node("L2S_SteerModel", model=model, loss=["loss", 0], **settings)
        if looked_at:
            picture, of_run = self.judged(graph, method)
        else:
            latent = self.sampled(graph, ["steer", 0] if "steer" in graph else model, method)
            picture = of_run = self.decoded(graph, latent, "decoded")
        graph[PICTURE] = _node("PreviewImage", images=picture)
        if "steer" in graph:
            graph["report"] = _node("L2S_SteeringReport", run=["steer", 1], images=of_run)
            graph[REPORT] = _node("PreviewAny", source=["report", 2])
            after.append(REPORT)
        if boxes := self.detected(graph, picture, things):
            graph[BOXES] = _node("PreviewAny", source=boxes)
            after.append(BOXES)
        kept = set().union(*(self.leading_to(name, graph) for name in (*before, PICTURE, *after)))
        return {name: entry for name, entry in graph.items() if name in kept}, before, after

    def judged(self, graph: Graph, method: str) -> tuple[Link, Link]:
        """The best of several plain pictures, or the plain one, drawn again and steered where the model's own look
        finds it wrong; and the pictures that were steered."""
        begun, positive = self.begun(), self.positive()
        if LOSSES[method] == BEST_OF:
            graph["several"] = _node("RepeatLatentBatch", samples=begun, amount=OF)
            begun = ["several", 0]
        latent = self.sampled(graph, self.model, f"{method}, plain", begun, "first_")
        decoded = self.decoded(graph, latent, "first")
        graph["judge"] = _node(
            "L2S_Judge", images=decoded, relations=[self.words, 1], samples=latent, model=self.model, positive=positive,
            loss=["loss", 0], latent_image=begun,
        )  # fmt: skip
        if LOSSES[method] == BEST_OF:
            return ["judge", 0], decoded
        again = self.sampled(graph, ["steer", 0], method, ["judge", 3], "again_")
        graph["back"] = _node("L2S_PutBack", samples=latent, judged=["judge", 4], again=again)
        return self.decoded(graph, ["back", 0], "decoded"), self.decoded(graph, again, "again")

    def sampled(
        self, graph: Graph, model: Link, turn: str, begun: Link | None = None, tag: str = ""
    ) -> Link:  # fmt: skip
        """The finished latent, of nodes under names that begin with tag. begun: the latent to begin with, in place of
        the workflow's. turn is no input of theirs: it keeps the host from taking what it remembers of another method,
        so that each method's time is its own."""
        names = {node: f"{tag}{node}" for node in self.between}

        def renamed(value):
            return [names[value[0]], value[1]] if _is_link(value) and value[0] in names else value

        for node in self.between:
            entry = copy.deepcopy(graph[node])
            inputs = {name: renamed(value) for name, value in entry["inputs"].items()}
            inputs |= {name: model for name, value in entry["inputs"].items() if value == self.model}
            if begun and self.begins(node):
                inputs["latent_image"] = begun
            graph[names[node]] = {"class_type": entry["class_type"], "inputs": inputs | {"turn": turn}}
        return renamed(self.decode["inputs"]["samples"])

    def begins(self, node: str) -> bool:
        """Does this node take the latent that sampling begins with?"""
        value = self.graph[node]["inputs"].get("latent_image")
        return _is_link(value) and value[0] not in self.between

    def begun(self) -> Link:
        found = [self.graph[node]["inputs"]["latent_image"] for node in self.between if self.begins(node)]
        if len(found) != 1:
            raise ValueError(f"The workflow's samplers begin with {len(found)} latents; they must begin with one.")
        return found[0]

    def positive(self) -> Link:
        """The prompt as the sampler gets it."""
        values = [
            self.graph[node]["inputs"].get(name) for node in self.between for name in ("positive", "conditioning")
        ]
        found = [value for value in values if value]
        if not found:
            raise ValueError("It is not seen where the workflow's sampler gets its prompt: it has no input positive.")
        return found[0]

    def decoded(self, graph: Graph, latent: Link, name: str) -> Link:
        graph[name] = copy.deepcopy(self.decode)
        graph[name]["inputs"]["samples"] = latent
        return [name, 0]

    def detected(self, graph: Graph, picture: Link, things: Sequence[str]) -> Link | None:
        """Named boxes; None where the detector is no node."""
        if self.rtdetr:
            graph["detector"] = _node("UNETLoader", unet_name=self.rtdetr, weight_dtype="default")
            graph["detect"] = _node(
                "RTDETR_detect", model=["detector", 0], image=picture, threshold=LEAST, class_name="all",
                max_detections=100,
            )  # fmt: skip
            return ["detect", 0]
        boxes: dict[str, Link] = {}
        if self.sam3:
            graph["detector"] = _node("CheckpointLoaderSimple", ckpt_name=self.sam3)
            for number, thing in enumerate(dict.fromkeys(things)):
                asked, seen, named = (f"{name}_{number}" for name in ("asked", "seen", "named"))
                graph[asked] = _node("CLIPTextEncode", clip=["detector", 1], text=f"{thing}:16")  # at most 16
                graph[seen] = _node(
                    "SAM3_Detect", model=["detector", 0], image=picture, conditioning=[asked, 0], threshold=LEAST,
                    refine_iterations=0, individual_masks=False,
                )  # fmt: skip
                graph[named] = _node("L2S_NameBoxes", bboxes=[seen, 1], name=thing, **boxes)
                boxes = {"others": [named, 0]}
        return boxes.get("others")


def _node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def _is_link(value) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def opened(path: Path, object_info: dict) -> Graph:
    """A workflow's graph: as the editor saves it, or in API form. Raises ValueError for anything else."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"There is no workflow {str(path)!r}. Give a file of workflows/, or one that you saved."
        ) from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no workflow ({error}).") from None
    if isinstance(saved, dict) and "nodes" in saved and "links" in saved:
        return to_api(saved, object_info)
    if isinstance(saved, dict) and all(isinstance(node, dict) and "class_type" in node for node in saved.values()):
        lacking = {node["class_type"] for node in saved.values()} - object_info.keys()
        if lacking:
            raise ValueError(
                f'ComfyUI has no node "{min(lacking)}" here. Install its pack, or choose another workflow.'
            )
        return saved
    raise ValueError(f"{path} is no workflow of ComfyUI: neither as the editor saves it nor in API form.")


def sized(graph: Graph, steps: int | None, side: int | None, checkpoint: str | None) -> Graph:
    """The graph with other steps, another size, or another checkpoint, one picture at a time. Raises ValueError where
    it loads no checkpoint."""
    loaders = [node for node in graph.values() if node["class_type"] == "CheckpointLoaderSimple"]
    if checkpoint and not loaders:
        raise ValueError(f"The workflow has no Load Checkpoint that could load {checkpoint!r}. Choose the file in it.")
    for node in graph.values():
        values = node["inputs"]
        values |= {name: side for name in ("width", "height") if side and isinstance(values.get(name), int)}
        values |= {"steps": steps} if steps and isinstance(values.get("steps"), int) else {}
        values |= {"batch_size": 1} if isinstance(values.get("batch_size"), int) else {}
    for node in loaders:
        node["inputs"] |= {"ckpt_name": checkpoint} if checkpoint else {}
    return graph
