"""The walk on README's first screen, as a new user goes it; and the pictures of it and of the help pages.

    python -m pytest tests/browser/test_walk.py --write-pictures

puts the pictures where README and the help pages show them.
"""

import re

import pytest
from live_server import PACK, ROOT
from PIL import Image

DEMO = "Put things where the prompt says (emoji demo)"
SAMPLER = "L2S_SteeredKSampler"
WALK = ROOT / "demo" / "walk"
HELP = ROOT / "web" / "docs" / "pictures"
# A template in which each node can be seen at work.
SEEN_IN = {
    DEMO: ("LoadDemoModel", "RelationParse", "AttentionCapture", "ClassifierLoss", "SteeredKSampler", "SteeringReport"),
    "See what the model looks at (emoji demo)": ("PreviewAttentionMaps", "ChooseLayers"),
    "Steer any sampler (emoji demo)": ("SteerModel",),
    "Best of a batch (emoji demo)": ("Judge",),
    "Steer only what is wrong (emoji demo)": ("PutBack",),
    "Regions from relations (emoji demo)": ("RegionsFromRelations",),
}  # fmt: skip
ALONE = (
    "L2S_NameBoxes", "L2S_ComposedScenes", "L2S_AnnotatedPictures", "L2S_WritePrompts", "L2S_OwnGenerations",
    "L2S_RecordMaps", "L2S_TrainClassifier",
)  # fmt: skip


# How far below a node's top its strength slider is.
ACROSS = """id => {
    const node = app.graph.getNodeById(id)
    return node.pos[1] - node.boundingRect[1] + node.widgets.find(w => w.name == "strength").y + 10
}"""


@pytest.fixture
def keep(request, editor):
    """Keeps a screenshot of the page, a rectangle of it or a node, and, when asked to, where it is published."""

    def keep(name: str, folder, node=None, clip: dict | None = None) -> None:
        file = editor.picture(name, node, clip)
        if request.config.getoption("--write-pictures"):
            folder.mkdir(exist_ok=True)
            Image.open(file).convert("RGB").save(folder / f"{name}.jpg", quality=88)

    return keep


def test_the_walk(editor, keep):
    page = editor.page
    # 1 Install: the pack's nodes are there.
    library = page.get_by_role("button", name=re.compile("^Node Library"))
    library.click()
    page.get_by_placeholder("Search...").fill(PACK)
    for node in editor.server.object_info().values():
        if node["python_module"] == f"custom_nodes.{PACK}":
            page.get_by_text(node["display_name"], exact=True).first.wait_for()
    keep("1 install", WALK, clip={"x": 0, "y": 0, "width": 375, "height": 640})
    library.click()

    # 2 Open: the template.
    dialog = editor.templates()
    dialog.get_by_text(DEMO).first.wait_for()
    page.wait_for_function(
        "[...document.querySelectorAll('[role=dialog] img')].filter(i => i.offsetParent).every(i => i.complete)"
    )
    keep("2 open", WALK)
    dialog.get_by_test_id(f"template-workflow-{DEMO}").click()
    page.get_by_role("dialog").wait_for(state="hidden")
    sampler = editor.node(SAMPLER)
    editor.go_to(sampler)
    view = page.locator(".l2s")
    view.wait_for()

    # 3 Run: the chart and the picture while it samples.
    assert editor.press_run()
    page.wait_for_function("document.querySelector('.l2s img')?.src.startsWith('data:')")
    assert not editor.heard("execution_success")
    keep("3 run", WALK, sampler)
    editor.wait_for("execution_success")
    save = editor.node("SaveImage")
    (first,) = editor.shown(save)

    # 4 Change: fewer steps are steered, and only the sampler runs again.
    handle, track = view.locator(".l2s-thumb").nth(1), view.locator(".l2s-range").bounding_box()
    handle.drag_to(view.locator(".l2s-range"), target_position={"x": 0.32 * track["width"], "y": 8}, force=True)
    assert editor.value(sampler, "end") == 0.32
    place, y = editor.place(sampler), editor.page.evaluate(ACROSS, sampler)
    page.mouse.click(place["x"] + 0.3 * place["width"], place["y"] + y)
    assert 1.2 < editor.value(sampler, "strength") < 1.8
    keep("4 change", WALK, sampler)
    ran = {e["detail"] for e in editor.run() if e["kind"] == "executing" and e["detail"]}
    assert ran == editor.after(sampler)
    (second,) = editor.shown(save)
    assert second != first

    # 5 Look: what the model looked at, and the chart.
    report = editor.node("L2S_SteeringReport")
    editor.go_to(report)
    assert len(editor.shown(report)) == 2
    keep("5 look", WALK, report)


@pytest.mark.parametrize("template", SEEN_IN)
def test_every_node_has_its_picture(editor, keep, template):
    editor.open_template(template)
    if editor.press_run():
        editor.wait_for("execution_success")
    for name in SEEN_IN[template]:
        node = editor.node(f"L2S_{name}")
        editor.go_to(node)
        if any(e["detail"]["node"] == node and "images" in e["detail"]["output"] for e in editor.heard("executed")):
            editor.shown(node)
        keep(f"L2S_{name}", HELP, node)


@pytest.mark.parametrize("name", ALONE)
def test_a_node_alone_has_its_picture(editor, keep, name):
    """Their templates take minutes, or would need a checkpoint of a detector."""
    node = editor.page.evaluate(
        """name => {
            app.graph.clear()
            const node = LiteGraph.createNode(name)
            app.graph.add(node)
            if (name == "L2S_NameBoxes") node.widgets[0].value = "dog"
            if (name == "L2S_OwnGenerations") node.setSize([240, node.size[1]])
            return node.id
        }""",
        name,
    )
    editor.go_to(node)
    if name == "L2S_ComposedScenes":
        assert editor.press_run()
        editor.wait_for("execution_success")
        editor.page.evaluate("id => app.graph.getNodeById(id).setSize([400, 800])", node)
        editor.shown(f"{node}")
    keep(name, HELP, node)
