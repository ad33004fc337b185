"""What people see of a node while it runs: text, and a steered run as a chart and a picture."""

import base64
import time
from io import BytesIO

import latent_preview
from comfy_api.latest import io
from PIL import Image

from ...steering.pictures import overlay
from ...steering.report import Report

# web/steering.js listens to these.
STEERING = "learn-to-steer.steering"
SAID = "learn-to-steer.said"
SIDE = 256  # px, a live picture's longer side
# Newer hosts show what a node showed once more when its outputs were kept from an earlier run.
SHOWN_AGAIN = {"has_intermediate_output": True} if hasattr(io.Schema, "has_intermediate_output") else {}
PAUSE = 0.4  # s from one live picture to the next: drawing one must not be felt


def show(node, text: str) -> None:
    """Show on a node why it fails; what it gives back, it shows with its outputs.

    node: its class while it runs, whose schema asks for its unique_id.
    """
    if node.hidden and node.hidden.unique_id and _watched():  # scripts run without a server
        _tell(SAID, {**_named(node.hidden.unique_id), "text": text})


def _named(node_id: str) -> dict[str, str]:
    """A node as the host's messages name it, and the one that people see for it: a loop runs copies with own ids."""
    from comfy_execution.progress import get_progress_state

    return {"node": node_id, "display_node": get_progress_state().dynprompt.get_display_node_id(node_id)}


def _watched() -> bool:
    """Is there a browser that queued what runs?"""
    from server import PromptServer

    return PromptServer.instance.client_id in PromptServer.instance.sockets


def _tell(event: str, data: dict) -> None:
    """Tell that browser."""
    from server import PromptServer

    PromptServer.instance.send_sync(event, data, PromptServer.instance.client_id)


class Live:
    """Shows a steered run on the node with this id while it samples, in the browser that queued it."""

    def __init__(self, node_id: str | None):
        # Asked now: what a loop made may sample in a later run, which does not know the loop's ids.
        self.node = {} if node_id is None else _named(node_id)
        self.picture: str | None = None  # the latest, as a data URL
        self.drawn = 0.0  # when

    def watching(self, report: Report, callback, model):
        """A sampler's callback that draws pictures, in front of the one that there was. model: the MODEL in use."""
        if not self._watched():
            return callback
        self.picture, self.drawn = None, 0.0
        self.tell(report)

        def watch(step, x0, x, total_steps):
            if step + 1 == total_steps or time.monotonic() - self.drawn > PAUSE:
                self._draw(report, x0, model.model.latent_format)
                self.tell(report)
            if callback is not None:
                callback(step, x0, x, total_steps)

        return watch

    def tell(self, report: Report) -> None:
        """Tell the browser how things stand."""
        if self._watched():
            _tell(STEERING, {**self.node, **self.state(report)})

    def state(self, report: Report) -> dict:
        """A run so far, of the batch's first picture, in JSON's types."""
        return {
            "relations": report.wishes,
            "words": report.names,
            "steps": report.steps,
            "steered": [report.steered.start, report.steered.stop],
            "target": report.target,
            "seen": [
                [s.step, s.before.satisfaction[0].tolist(), s.after.satisfaction[0].tolist(), int(s.spent[0])]
                for s in report.seen
            ],
            "notes": report.notes,
            "picture": self.picture,
        }

    def _watched(self) -> bool:
        return bool(self.node) and _watched()

    def _draw(self, report: Report, x0, latent_format) -> None:
        """The picture as the latent's colours tell it, under the latest maps."""
        if x0.is_nested or not report.seen:
            return
        picture = Image.new("RGB", (SIDE, SIDE), "#808080")
        if latent_format.latent_rgb_factors is not None:
            picture = latent_preview.Latent2RGBPreviewer(
                latent_format.latent_rgb_factors,
                latent_format.latent_rgb_factors_bias,
                getattr(latent_format, "latent_rgb_factors_reshape", None),
            ).decode_latent_to_preview(x0)
        scale = SIDE / max(picture.size)
        picture = picture.resize([max(1, round(side * scale)) for side in picture.size])
        jpeg = BytesIO()
        overlay(picture, report.seen[-1].maps[0], report.names).save(jpeg, "JPEG", quality=85)
        self.picture = "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
        self.drawn = time.monotonic()


NOBODY = Live(None)
