"""The pack's nodes, in the order in which a workflow uses them."""

from comfy_api.latest import ComfyExtension

from .annotated_pictures import AnnotatedPictures
from .attention_capture import AttentionCapture, PreviewAttentionMaps
from .choose_layers import ChooseLayers
from .classifier_loss import L2SClassifierLoss, register_folders
from .composed_scenes import ComposedScenes
from .demo_model import LoadDemoModel
from .judge import Judge, NameBoxes, PutBack
from .own_generations import OwnGenerations, WritePrompts
from .record_maps import RecordMaps
from .regions import RegionsFromRelations
from .relation_parse import RelationParse
from .steered_ksampler import SteeredKSampler, SteeringReport, SteerModel
from .train import TrainClassifier


class LearnToSteer(ComfyExtension):
    async def on_load(self) -> None:
        register_folders()

    async def get_node_list(self) -> list:
        return [
            LoadDemoModel,
            RelationParse,
            AttentionCapture,
            PreviewAttentionMaps,
            ChooseLayers,
            L2SClassifierLoss,
            SteeredKSampler,
            SteerModel,
            RegionsFromRelations,
            SteeringReport,
            Judge,
            PutBack,
            NameBoxes,
            ComposedScenes,
            AnnotatedPictures,
            WritePrompts,
            OwnGenerations,
            RecordMaps,
            TrainClassifier,
        ]
