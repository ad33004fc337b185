"""What nodes say on themselves."""

import pytest

from .test_live import CONTRAST

WORDS, LOSS, SAMPLER = (f"L2S_{name}" for name in ("RelationParse", "ClassifierLoss", "SteeredKSampler"))
UNDERSTOOD = "giraffe | above | airplane"
UNTRAINED = "none: geometry alone, for any model"
NOTES = "No classifier: steered by where the words' maps are bright."


@pytest.fixture
def nodes(editor) -> tuple[str, str]:
    """The demo's Relation Parse and L2S Classifier Loss, both with something to say; its run is short."""
    editor.open_demo(**{SAMPLER: {"steps": 3}, LOSS: {"classifier": UNTRAINED}})
    return editor.node(WORDS), editor.node(LOSS)


def succeeded(editor) -> bool:
    editor.run()
    return bool(editor.heard("execution_success"))


def test_what_a_node_said_stays_until_it_says_something_else(editor, renderer, nodes):
    words, loss = nodes
    assert editor.said(words) == editor.said(loss) == ""
    saved = "id => app.graph.getNodeById(id).serialize().widgets_values"
    values = editor.page.evaluate(saved, words)
    assert succeeded(editor)
    editor.page.wait_for_timeout(500)  # the front end takes its own texts away when the run is over
    assert editor.said(words) == UNDERSTOOD and editor.said(loss) == NOTES
    assert editor.page.evaluate(saved, words) == values  # none is part of the file
    editor.choose(loss, "classifier", "emoji_world.safetensors")
    assert succeeded(editor)
    assert editor.said(words) == UNDERSTOOD and editor.said(loss) == ""


def test_what_a_node_said_is_there_again_when_its_tab_or_page_is(editor, renderer, nodes):
    page = editor.page
    assert succeeded(editor)
    page.evaluate("app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    page.wait_for_function("app.graph.nodes.length == 0")
    page.evaluate("app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    page.wait_for_function("app.graph.nodes.length > 0")
    assert editor.said(nodes[0]) == UNDERSTOOD and editor.said(nodes[1]) == NOTES
    page.reload()
    page.wait_for_function("window.app?.graph?.nodes.some(node => node.type == 'L2S_ClassifierLoss')")
    editor.listen()
    assert succeeded(editor)
    ran = {str(event["detail"]) for event in editor.heard("executing")}
    assert not ran & {str(node) for node in nodes}  # the server has kept it
    assert editor.said(nodes[0]) == UNDERSTOOD and editor.said(nodes[1]) == NOTES


def test_a_node_inside_a_subgraph_says_the_same(editor, renderer, nodes):
    page = editor.page
    page.evaluate("id => { window.made = app.graph.convertToSubgraph(new Set([app.graph.getNodeById(id)])) }", nodes[0])
    assert succeeded(editor)
    page.evaluate("app.canvas.openSubgraph(made.subgraph, made.node)")
    page.locator(".l2s-said").filter(has_text=UNDERSTOOD).wait_for()


def test_a_text_can_be_read_and_copied_however_long_it_is(editor, renderer, theme, nodes):
    """And stands on the node that is seen for the one that says it."""
    page, (words, _) = editor.page, nodes
    say = "([id, text]) => app.api.dispatchCustomEvent('learn-to-steer.said', {node: '9.0.1', display_node: id, text})"
    said, heights = page.locator(".l2s-said"), []
    editor.go_to(words)
    for lines in (1, 5, 100):
        text = "\n".join(f"a line, and a long one, so that it takes two lines of its node, {at}" for at in range(lines))
        page.evaluate(say, [words, text])
        said.wait_for()
        assert editor.said(words) == text
        page.wait_for_timeout(200)  # the layout follows
        place, node = said.bounding_box(), editor.place(words)
        assert place["y"] + place["height"] < node["y"] + node["height"] + 1
        heights.append(place["height"])
        editor.picture(f"said, {lines} lines, {theme}, {'nodes 2.0' if renderer else 'classic'}", words)
    assert 16 < heights[0] < heights[1] / 3 and heights[1] < heights[2] <= 240
    assert said.evaluate("element => element.scrollHeight > 1000")
    assert said.evaluate(CONTRAST) > 4.5
    page.evaluate(say, [words, UNDERSTOOD])
    page.wait_for_timeout(200)
    said.locator("div").click(click_count=3, position={"x": 20, "y": 14})
    assert page.evaluate("getSelection().toString().trim()") == UNDERSTOOD
    page.evaluate("document.addEventListener('copy', event => { window.taken = event.defaultPrevented })")
    page.keyboard.press("Control+c")
    assert page.evaluate("taken") is False  # else the front end copies its nodes instead
