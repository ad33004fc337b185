"""Relation Parse: a prompt -> its conditioning, and the relations in it with the places of their words."""

from comfy_api.latest import io

from ..steering import relations
from .host import find_words

Relations = io.Custom("L2S_RELATIONS")


class RelationParse(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_RelationParse",
            display_name="Relation Parse",
            category="learn-to-steer",
            description="Encodes a prompt and reads its relations: left of, right of, above, below. Shows "
            "what it understood; correct it below.",
            search_aliases=[
                "spatial prompt",
                "left of",
                "above",
                "learn to steer",
                "clip text encode",
            ],
            inputs=[
                io.Clip.Input(
                    "clip", tooltip="The text encoder of the model that will draw the picture."
                ),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip='The prompt, for example "a giraffe above an airplane".',
                ),
                io.String.Input(
                    "corrections",
                    multiline=True,
                    default="",
                    optional=True,
                    tooltip="Leave empty to read the relations from the prompt. Or write them yourself, one "
                    '"subject | relation | object" a line, in the prompt\'s own words.',
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="The encoded prompt."),
                Relations.Output(
                    display_name="relations",
                    tooltip="What should be where: goes to Attention Capture.",
                ),
                io.String.Output(
                    display_name="understood",
                    tooltip="The relations as text, one a line. Show it with Preview as Text.",
                ),
            ],
        )

    @classmethod
    def execute(cls, clip, text: str, corrections: str = "") -> io.NodeOutput:
        parsed = (
            relations.override(text, corrections) if corrections.strip() else relations.parse(text)
        )
        words = find_words(clip, text, parsed.relations)
        understood = [str(relation) for relation in parsed.relations] or [
            "No relation found: the picture will not be steered."
        ]
        conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
        return io.NodeOutput(conditioning, words, "\n".join([*understood, *parsed.warnings]))
