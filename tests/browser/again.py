"""A node of another pack, put beside this one: it runs copies of nodes, as loops do."""

from comfy_execution.graph_utils import GraphBuilder, is_link


class Again:
    """Runs the nodes with these ids, and what they take from each other, once more for each of the times."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "test", "again", ("LATENT",), True

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "body": ("LATENT", {"rawLink": True}),  # where it comes from; it is not run itself
                "ids": ("STRING", {}),
                "times": ("INT", {}),
            },
            "hidden": {"dynprompt": "DYNPROMPT"},
        }

    def again(self, body, ids, times, dynprompt):
        graph, names = GraphBuilder(), ids.split(",")
        for time in range(times):
            copies = {name: graph.node(dynprompt.get_node(name)["class_type"], f"{time}.{name}") for name in names}
            for name, copy in copies.items():
                copy.set_override_display_id(name)
                for key, value in dynprompt.get_node(name)["inputs"].items():
                    if is_link(value) and value[0] in copies:
                        value = copies[value[0]].out(value[1])
                    copy.set_input(key, value + time if key == "seed" else value)
        return {"result": (copies[body[0]].out(body[1]),), "expand": graph.finalize()}


NODE_CLASS_MAPPINGS = {"Again": Again}
