"""What goes wrong is said where it went wrong, with what to do; and when that is done, the run succeeds."""

WORDS, CAPTURE, LOSS, SAMPLER = (
    f"L2S_{name}" for name in ("RelationParse", "AttentionCapture", "ClassifierLoss", "SteeredKSampler")
)  # fmt: skip
BUNDLED = "emoji_world.safetensors"


def to_start(editor) -> None:
    """Drag the first handle of the steered steps to the very left."""
    editor.go_to(editor.node(SAMPLER))
    handle = editor.page.get_by_role("slider", name="first steered step")
    handle.drag_to(editor.page.locator(".l2s-range"), target_position={"x": 0, "y": 8})


# What is wrong -> values in the file that is opened, what a person does then, the node that complains, what it says,
# and what the person does about it.
CASES = {
    "corrections": (
        {},
        lambda e: e.type_text(e.node(WORDS), "corrections", "cow | above | airplane"),
        WORDS,
        ('"cow" is not in the prompt', "Write it as it stands there"),
        lambda e: e.type_text(e.node(WORDS), "corrections", "giraffe | above | airplane"),
    ),
    "another layout": (
        {LOSS: {"classifier": BUNDLED}},
        lambda e: e.type_number(e.node(CAPTURE), "resolution", 32),
        LOSS,
        ("resolution is 32 in Attention Capture", "trained with 16", "Set resolution to 0 there"),
        lambda e: e.type_number(e.node(CAPTURE), "resolution", 0),
    ),
    "no classifier": (
        {LOSS: {"classifier": ""}},
        lambda e: None,
        LOSS,
        ("No classifier is chosen. Choose one of", BUNDLED),
        lambda e: e.choose(e.node(LOSS), "classifier", BUNDLED),
    ),
    "missing classifier": (
        {LOSS: {"classifier": "gone.safetensors"}},
        lambda e: None,
        LOSS,
        ('There is no classifier "gone.safetensors". Choose one of', BUNDLED),
        lambda e: e.choose(e.node(LOSS), "classifier", BUNDLED),
    ),
    "start after end": (
        {SAMPLER: {"start": 0.9}},
        lambda e: None,
        SAMPLER,
        ("from 0.9 to 0.6", "the first must not come after the last"),
        to_start,
    ),
}  # fmt: skip


def complaining(editor) -> list[str]:
    """The kinds of the nodes that the front end marks."""
    return editor.page.evaluate(
        """() => {
            const ids = [...Object.keys(app.lastNodeErrors ?? {}), app.lastExecutionError?.node_id]
            return ids.filter(Boolean).map(id => app.graph.getNodeById(id).type)
        }"""
    )


def succeeded(editor) -> bool:
    """Press Run: does it end well, with the picture on its node?"""
    save = editor.node("SaveImage")
    editor.go_to(save)
    editor.run()
    return editor.heard("execution_success") and complaining(editor) == [] and editor.shown(save)


def test_what_is_wrong_is_said_on_the_node_and_can_be_mended(editor, renderer, subtests):
    which = "nodes 2.0" if renderer else "classic"
    for case, (values, spoil, kind, words, mend) in CASES.items():
        with subtests.test(case):
            editor.open_demo(**{**values, SAMPLER: {"steps": 5} | values.get(SAMPLER, {})})
            spoil(editor)
            editor.run()
            assert complaining(editor) == [kind]
            editor.go_to(editor.node(kind))
            text = editor.complaint()
            editor.picture(f"bad input, {case}, {which}")
            editor.close_panel()
            for part in words:
                assert part in text
            if kind == WORDS:
                assert words[0] in editor.said(editor.node(kind))
            mend(editor)
            assert succeeded(editor)

    with subtests.test("no relation, which is no mistake"):
        editor.open_demo(**{SAMPLER: {"steps": 5}})
        node = editor.node(WORDS)
        # What the server still knows from the other renderer's test, it would not say again.
        editor.type_text(node, "text", "a giraffe" if renderer else "an airplane")
        assert succeeded(editor)
        editor.go_to(node)
        editor.picture(f"no relation, {which}", node)
        assert "No place or relation found" in editor.said(node)
        editor.type_text(node, "text", "a giraffe above an airplane")
        assert succeeded(editor)
        assert "giraffe | above | airplane" in editor.said(node)
