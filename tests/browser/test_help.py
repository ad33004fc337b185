"""The help that a node shows about itself."""

from live_server import PACK

MINE = f"custom_nodes.{PACK}"


def test_every_node_tells_about_itself(editor, subtests):
    page = editor.page
    nodes = {
        name: info["display_name"]
        for name, info in editor.server.object_info().items()
        if info["python_module"] == MINE
    }
    assert nodes
    for index, (name, title) in enumerate(nodes.items()):
        with subtests.test(name):
            node = page.evaluate(
                """name => {
                    app.graph.clear()
                    const node = LiteGraph.createNode(name)
                    app.graph.add(node)
                    return node.id
                }""",
                name,
            )
            editor.go_to(node)
            place = editor.place(node)
            # Elsewhere than on the node before: two quick clicks on one spot would be a double click, which renames.
            page.mouse.click(place["x"] + place["width"] * (0.4, 0.6)[index % 2], place["y"] + 12)
            page.get_by_test_id("info-button").click()
            help = page.locator("[data-testid=properties-panel] .node-help-content")
            help.get_by_role("heading", name=title, exact=True).first.wait_for()
            editor.picture(f"help, {name}")
            images = help.locator("img")
            assert images.count()
            for image in images.all():
                page.wait_for_function("image => image.complete", arg=image.element_handle())
                assert image.evaluate("image => image.naturalWidth")
            editor.close_panel()
