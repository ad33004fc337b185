"""Which node of which graph is running, and what leads to it."""

from ...steering.report import Origin

Graph = dict[str, tuple[str, dict]]  # id -> (class, inputs)


def leading_to(node: str, nodes, name: str | None = None) -> Graph:
    """A node and all that lead to it; with the name of one of its inputs, only what leads to that.

    nodes: an API graph, or the host's dynamic prompt.
    """
    find = nodes.get_node if hasattr(nodes, "get_node") else nodes.get
    graph, coming = {}, [node if name is None else find(node)["inputs"][name][0]]
    while coming:
        node = coming.pop()
        if node in graph:
            continue
        made = find(node)
        graph[node] = made["class_type"], made["inputs"]
        links = (value for value in made["inputs"].values() if isinstance(value, list) and len(value) == 2)
        coming += [link[0] for link in links if isinstance(link[0], str)]
    return graph


def origin() -> Origin:
    """Of the run that begins now. Scripts have none, and older hosts do not tell."""
    try:
        from comfy_execution.utils import get_executing_context
    except ImportError:
        return Origin()
    context = get_executing_context()
    if context is None:
        return Origin()
    from server import PromptServer

    running = PromptServer.instance.prompt_queue.currently_running.values()
    graphs = [item[2] for item in list(running) if item[1] == context.prompt_id]
    known = graphs and context.node_id in graphs[0]
    return Origin(context.node_id, leading_to(context.node_id, graphs[0]) if known else None)
