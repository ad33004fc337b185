"""A node of another pack, put beside this one: it runs copies of nodes, as loops do."""

from comfy_execution.graph_utils import GraphBuilder, is_link


class Again:
    """Runs the nodes with these ids, and what they take from each other, once more with the next seed."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "test", "again", ("LATENT",), True

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"body": ("LATENT", {"rawLink": True}), "ids": ("STRING", {})},  # a raw link: where it is from
            "hidden": {"dynprompt": "DYNPROMPT"},
        }

    def again(self, body, ids, dynprompt):
        graph, names = GraphBuilder(), ids.split(",")
        copies = {name: graph.node(dynprompt.get_node(name)["class_type"], name) for name in names}
        for name, copy in copies.items():
            copy.set_override_display_id(name)
            for key, value in dynprompt.get_node(name)["inputs"].items():
                if is_link(value) and value[0] in copies:
                    value = copies[value[0]].out(value[1])
                copy.set_input(key, value + 1 if key == "seed" else value)
        return {"result": (copies[body[0]].out(body[1]),), "expand": graph.finalize()}


NODE_CLASS_MAPPINGS = {"Again": Again}
