"""What people see of a node while it runs."""


def show(node, text: str) -> None:
    """Show text on a node that runs in a server; node: its class, whose schema asks for its unique_id."""
    if node.hidden and node.hidden.unique_id:
        from server import PromptServer  # scripts run without one

        PromptServer.instance.send_progress_text(text, node.hidden.unique_id)
