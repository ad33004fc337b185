"""Templates, as they are found and opened in the front end."""

from urllib.parse import quote

from live_server import NOT_RUN, PACK, ROOT, choices, inputs

NAMES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))


def test_every_template_is_listed_with_its_picture(editor):
    dialog = editor.templates()
    cards = dialog.locator("[data-testid^=template-workflow-]")
    cards.first.wait_for()
    while cards.count() < len(NAMES):  # more come when the last ones are seen
        shown = cards.count()
        cards.last.scroll_into_view_if_needed()
        editor.page.wait_for_function(
            "shown => document.querySelectorAll('[data-testid^=template-workflow-]').length > shown", arg=shown
        )
    names = cards.evaluate_all("cards => cards.map(c => c.dataset.testid.replace('template-workflow-', ''))")
    assert sorted(names) == NAMES
    for card in cards.all():
        card.scroll_into_view_if_needed()
        # In the place of a picture that is not there stands another, and an error in the console.
        editor.page.wait_for_function("card => card.querySelector('img')?.naturalWidth", arg=card.element_handle())
    editor.picture("templates")


def lacking(workflow: dict) -> set[str]:
    """The models that are not here: loaders name them with their address."""
    running = [node for node in workflow["nodes"] if node["mode"] == 0]
    return {model["name"] for node in running for model in node["properties"].get("models", [])}


def lost(workflow: dict, classifiers: list[str]) -> set[str]:
    """What L2S Classifier Loss names and does not offer."""
    losses = [node for node in workflow["nodes"] if node["type"] == "L2S_ClassifierLoss"]
    return {node["widgets_values"][0] for node in losses} - set(classifiers)


def test_every_template_opens_and_lacks_only_what_it_names_and_offers_only_what_exists(editor, renderer, subtests):
    page, which = editor.page, "nodes 2.0" if renderer else "classic"
    info = editor.server.object_info()
    classifiers = choices(inputs(info["L2S_ClassifierLoss"])["classifier"])
    for name in NAMES:
        with subtests.test(name):
            workflow = editor.server.get(f"/api/workflow_templates/{PACK}/{quote(name)}.json")
            editor.open_file(workflow)  # the dialog takes a second to open
            editor.picture(f"{name}, {which}")
            types = page.evaluate("app.graph.nodes.map(n => n.type)")
            assert set(types) <= info.keys() | set(NOT_RUN)
            theirs = lost(workflow, classifiers)  # files that the user brings from the method's authors
            assert len(theirs) == name.endswith(" - as in the paper") and all(one.endswith(".pth") for one in theirs)
            models = lacking(workflow)
            if not models:
                assert not page.get_by_test_id("error-overlay").count()
                continue
            editor.complaint()
            panel = page.get_by_test_id("properties-panel")
            groups = panel.locator("[data-testid^=error-group-]:not([data-testid$=message])")
            kinds = groups.evaluate_all("all => all.map(e => e.dataset.testid)")
            names = groups.locator("[title]").evaluate_all(
                "all => all.filter(e => e.title == e.textContent.trim()).map(e => e.title)"
            )
            downloads = panel.get_by_test_id("missing-model-download").count()
            editor.picture(f"{name}, {which}, missing")
            editor.close_panel()
            assert kinds == ["error-group-missing-model"]
            assert sorted(names) == sorted(models | theirs) and downloads == len(models)
