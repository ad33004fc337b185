"""What Steered KSampler shows while it samples, and its range control, as a person sees and drags them."""

import itertools
import json
import re

import pytest

DEMO = "Put things where the prompt says (emoji demo)"
SAMPLER = "L2S_SteeredKSampler"
RESULT = r"giraffe above airplane\s+\d\.\d\d"
seeds = itertools.count(2)
# What stands on the node whenever the server has said something of the run.
WATCH = """() => {
    window.seen = []
    app.api.addEventListener("learn-to-steer.steering", () => {
        const view = document.querySelector(".l2s")
        seen.push({
            dots: (view.querySelector("svg path:last-child")?.getAttribute("d").match(/h0/g) ?? []).length,
            picture: !view.querySelector("img").hidden,
            running: !heard.some(event => event.kind == "execution_success"),
        })
    })
}"""
# The contrast of the text with what it stands on (WCAG 2, from 1 to 21).
CONTRAST = """view => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number)
    const light = colour => {
        const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
        const [r, g, b] = numbers(colour).map(v => linear(v / 255))
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const probe = document.createElement("div")
    document.body.append(probe)
    probe.style.color = LiteGraph.NODE_DEFAULT_BGCOLOR
    let ground = getComputedStyle(probe).color  // the canvas paints the classic node
    probe.remove()
    for (let at = view; at && LiteGraph.vueNodesMode; at = at.parentElement) {
        const colour = getComputedStyle(at).backgroundColor, alpha = numbers(colour)[3] ?? 1
        if (alpha > 0.9) { ground = colour; break }
    }
    const [a, b] = [ground, getComputedStyle(view).color].map(light).sort((a, b) => b - a)
    return (a + 0.05) / (b + 0.05)
}"""


@pytest.fixture
def demo(editor):
    """The demo's steered sampler, in view."""
    editor.open_template(DEMO)
    node = editor.node(SAMPLER)
    # The server keeps what it made, so every test has its own seed: a run must sample.
    editor.page.evaluate(
        "([id, seed]) => { app.graph.getNodeById(id).widgets.find(w => w.name == 'seed').value = seed }",
        [node, next(seeds)],
    )
    editor.go_to(node)
    return node


@pytest.fixture
def view(editor, demo):
    view = editor.page.locator(".l2s")
    view.wait_for()
    return view


def drag(editor, view, handle: int, steps: int) -> None:
    """Drag the first (0) or the last (1) handle by so many of the 25 steps."""
    box = view.locator(".l2s-thumb").nth(handle).bounding_box()
    track = view.locator(".l2s-range").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse = editor.page.mouse
    mouse.move(x, y)
    mouse.down()
    for part in range(1, 5):
        mouse.move(x + steps / 25 * track["width"] * part / 4, y)
    mouse.up()


def succeeded(heard: list[dict]) -> bool:
    return any(event["kind"] == "execution_success" for event in heard)


def said(view) -> str:
    return view.locator(".l2s-head b").inner_text()


def shares(editor, node) -> list[float]:
    return [editor.value(node, name) for name in ("start", "end")]


def test_a_run_is_seen_while_it_samples(editor, renderer, theme, demo, view):
    assert "Run, and see here" in view.inner_text() and said(view) == "1–15 of 25"
    editor.page.evaluate(WATCH)
    height = editor.place(demo)["height"]
    assert succeeded(editor.run())
    seen = editor.page.evaluate("seen")
    dots = [state["dots"] for state in seen if state["running"]]
    assert dots[0] == 0 and dots == sorted(dots) and len(set(dots)) >= 4
    assert any(state["picture"] and state["running"] for state in seen)
    assert re.search(RESULT, view.inner_text())
    size = view.locator("img").evaluate("img => [img.naturalWidth, img.clientWidth, img.clientHeight]")
    assert size[0] == 256 and min(size[1:]) > 120
    assert editor.place(demo)["height"] == pytest.approx(height, abs=4)  # nothing jumps
    assert view.evaluate(CONTRAST) > 4.5
    editor.picture(f"live, {theme}, {'nodes 2.0' if renderer else 'classic'}", demo)


def test_the_range_is_dragged_and_only_the_sampler_runs_again(editor, renderer, demo, view):
    saved = "id => app.graph.getNodeById(id).serialize().widgets_values.length"
    values = editor.page.evaluate(saved, demo)
    editor.run()
    before = editor.page.evaluate("id => app.graph.getNodeById(id).pos.join()", demo)
    drag(editor, view, 1, -5)
    assert said(view) == "1–10 of 25" and shares(editor, demo) == [0, 0.4]
    drag(editor, view, 0, 2)
    assert said(view) == "3–10 of 25" and shares(editor, demo) == [0.08, 0.4]
    assert editor.page.evaluate("id => app.graph.getNodeById(id).pos.join()", demo) == before
    heard = editor.run()
    ran = {e["detail"] for e in heard if e["kind"] == "executing" and e["detail"]}
    kinds = editor.page.evaluate("ids => ids.map(id => app.graph.getNodeById(id).type)", list(ran))
    assert sorted(kinds) == sorted([SAMPLER, "VAEDecode", "SaveImage", "L2S_SteeringReport"])
    kept = editor.page.evaluate("id => app.nodeOutputs[id].l2s_steering[0]", demo)
    seen = json.loads(kept)["seen"]
    assert seen[0][0] == 2 and max(step for step, *_ in seen) < 10
    assert editor.page.evaluate(saved, demo) == values
    drag(editor, view, 0, 20)  # start stops at end
    assert said(view) == "none" and shares(editor, demo) == [0.4, 0.4]


def test_the_range_follows_the_keyboard_and_the_number_of_steps(editor, renderer, demo, view):
    view.locator(".l2s-thumb").nth(1).press("ArrowRight")
    assert said(view) == "1–16 of 25" and shares(editor, demo) == [0, 0.64]
    editor.type_number(demo, "steps", 50)
    assert said(view) == "1–32 of 50"


def test_a_linked_value_is_a_number_again(editor, renderer, demo, view):
    link = """id => {
        const source = LiteGraph.createNode("PrimitiveFloat"), node = app.graph.getNodeById(id)
        app.graph.add(source)
        source.connect(0, node, node.inputs.findIndex(input => input.name == "end"))
    }"""
    # By us: the newest front end itself hides what is linked.
    hidden = """id => app.graph.getNodeById(id).widgets
        .filter(w => w.visibility?.suppression.byExtension ?? w.hidden).map(w => w.name)"""
    assert editor.page.evaluate(hidden, demo) == ["start", "end"]
    editor.page.evaluate(link, demo)
    view.locator(".l2s-range").wait_for(state="hidden")
    assert editor.page.evaluate(hidden, demo) == []
    editor.page.evaluate(
        "id => { const n = app.graph.getNodeById(id); n.disconnectInput(n.inputs.findIndex(i => i.name == 'end')) }",
        demo,
    )
    view.locator(".l2s-range").wait_for()
    assert editor.page.evaluate(hidden, demo) == ["start", "end"]


def test_the_view_is_there_again_when_its_tab_is(editor, renderer, demo, view):
    editor.run()
    editor.page.evaluate("app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    view.wait_for(state="hidden")
    editor.page.evaluate("app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    view.wait_for()
    assert re.search(RESULT, view.inner_text())


def test_a_sampler_inside_a_subgraph_shows_its_run(editor, renderer, demo, view):
    editor.page.evaluate(
        """id => { window.made = app.graph.convertToSubgraph(new Set([app.graph.getNodeById(id)])) }""",
        demo,
    )
    assert succeeded(editor.run())
    editor.page.evaluate("app.canvas.openSubgraph(made.subgraph, made.node)")
    view.wait_for()
    assert re.search(RESULT, view.inner_text())


def test_a_sampler_in_a_loop_shows_its_runs_while_they_sample(editor, renderer, demo, view):
    """The loop runs its nodes, then copies, which have ids of their own; Relation Parse says what it understood."""
    words = editor.node("L2S_RelationParse")
    editor.page.evaluate(
        """sampler => {
            for (const node of [...app.graph.nodes])
                if (["VAEDecode", "SaveImage", "L2S_SteeringReport", "KSampler"].includes(node.type))
                    app.graph.remove(node)
            const loop = LiteGraph.createNode("Again"), body = app.graph.getNodeById(sampler)
            app.graph.add(loop)
            body.connect(0, loop, 0)
            const copied = app.graph.nodes.filter(n => n.type.startsWith("L2S_") && n.type != "L2S_LoadDemoModel")
            const set = (node, name, value) => { node.widgets.find(w => w.name == name).value = value }
            set(loop, "ids", copied.map(node => node.id).join())
            set(body, "steps", 8)
        }""",
        demo,
    )
    editor.page.evaluate(WATCH)
    assert succeeded(editor.run())
    seen = editor.page.evaluate("seen")
    dots = [state["dots"] for state in seen if state["running"]]
    first, *_, second = (at for at, count in enumerate(dots) if count == 0)
    assert max(dots[first:second]) >= 4 and max(dots[second:]) >= 4  # both of them grow
    assert any(state["picture"] for state in seen[second:])
    assert re.search(RESULT, view.inner_text())
    assert "giraffe | above | airplane" in editor.said(words)


@pytest.mark.parametrize("locale, words", [("zh", "引导步数"), ("ja", "ガイダンスのステップ")])
def test_the_view_speaks_the_editors_language(editor, server, page, locale, words):
    server.open("/api/settings", {"Comfy.Locale": locale})
    try:
        page.reload()
        page.wait_for_function("window.app?.vueAppReady")
        graph = json.loads(server.open(f"/api/workflow_templates/learn-to-steer/{DEMO.replace(' ', '%20')}.json"))
        editor.open_file(graph)
        view = page.locator(".l2s")
        view.wait_for()
        assert words in view.inner_text()
        editor.picture(f"live, {locale}", editor.node(SAMPLER))
    finally:
        server.open("/api/settings", {"Comfy.Locale": "en"})
