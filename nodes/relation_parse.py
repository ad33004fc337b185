"""Relation Parse: a prompt -> its conditioning, and the relations in it with the places of their words."""

from comfy_api.latest import io, ui

from ..steering.prompts import NOTHING, override, parse
from .host.given import words_of_given
from .host.marks import mark
from .host.screen import SHOWN_AGAIN, show
from .host.words import find_words, one_sequence

WordsType = io.Custom("L2S_RELATIONS")


class RelationParse(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_RelationParse",
            display_name="Relation Parse",
            category="learn-to-steer",
            description="Encodes a prompt and reads where it says that things are: left of, above, on, near, behind "
            "and so on, or at the top, in a corner. Shows what it understood; correct it in the box below the prompt.",
            search_aliases=[
                "clip text encode",
                "learn to steer",
                "spatial prompt",
                "spatial relations",
                "relation",
                "position",
                "left of",
                "right of",
                "above",
                "below",
            ],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of the model that will draw the picture."),
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
                    '"subject | relation | object" or "thing | place" a line, in the prompt\'s own words: "dog | left '
                    'of | cat", "dog | upper left". "dog#2" is the second dog, "dog@5-6" gives its token positions by '
                    "hand.",
                ),
                io.Conditioning.Input(
                    "conditioning",
                    optional=True,
                    tooltip="Leave open to encode the text here. Or connect what another node encoded from the same "
                    "text with the same CLIP (CLIPTextEncodeSDXL, CLIPTextEncodeFlux ...).",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="The encoded prompt."),
                WordsType.Output(
                    display_name="relations",
                    tooltip="What should be where: goes to Attention Capture.",
                ),
                io.String.Output(
                    display_name="understood",
                    tooltip="The relations and places as text, one a line. Show it with Preview as Text.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            **SHOWN_AGAIN,
        )

    @classmethod
    def execute(cls, clip, text: str, corrections: str = "", conditioning=None) -> io.NodeOutput:
        try:
            parsed = override(text, corrections) if corrections.strip() else parse(text)
        except ValueError as error:
            show(cls, str(error))  # the front end hides it two clicks away
            raise
        notes: list[str] = []
        if conditioning is None:
            made = clip.encode_from_tokens_scheduled(clip.tokenize(text))
            words = find_words(clip, text, parsed.wishes, rows=made[0][0].shape[-2])
            conditioning = mark(made, text, one_sequence(clip))
        else:
            try:
                words, conditioning, notes = words_of_given(clip, text, parsed.wishes, conditioning)
            except ValueError as error:
                show(cls, str(error))
                raise
        understood = [str(wish) for wish in parsed.wishes] or [NOTHING]
        report = "\n".join([*understood, *parsed.warnings, *notes])
        return io.NodeOutput(conditioning, words, report, ui=ui.PreviewText(report))
