"""Learn-to-Steer for ComfyUI: put things where the prompt says."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    # Imported here and not above: tools that import this folder without a ComfyUI (pytest does) must not fail.
    from .nodes import LearnToSteer

    return LearnToSteer()
