"""The front end without this pack: it says all that is allowed to go wrong with it."""

import re

from live_server import serving

# Another pack, with a node and no help page; its combo offers nothing.
OTHER = """
class Other:
    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "test", "nothing", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"choice": ([],)}}


NODE_CLASS_MAPPINGS = {"Other": Other}
WEB_DIRECTORY = "."
"""


def test_what_is_allowed_is_the_hosts_own(tmp_path, opened, options, allowed):
    pack = tmp_path / "custom_nodes" / "other"
    pack.mkdir(parents=True)
    (pack / "__init__.py").write_text(OTHER)
    only = ("--disable-all-custom-nodes", "--whitelist-custom-nodes", "other", *options)
    with serving(tmp_path, *only) as server, opened(server) as (page, problems):
        assert "Other" in server.object_info() and "L2S_ClassifierLoss" not in server.object_info()
        page.evaluate(
            """() => {
                const node = LiteGraph.createNode("Other")
                app.graph.add(node)
                app.canvas.selectNode(node)
            }"""
        )
        with page.expect_response("**/docs/Other.md"):
            page.get_by_test_id("info-button").click()
        with page.expect_response("**/prompt"):
            page.get_by_test_id("queue-button").click()
        page.get_by_test_id("error-overlay-see-errors").click()
        for pattern in allowed:
            while not any(re.search(pattern, text) for text in problems):
                page.wait_for_event("console")
