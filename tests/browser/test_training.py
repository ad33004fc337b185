"""A classifier is trained in the editor, from the template's Run to a picture that it steered."""

import json

from live_server import ROOT, widgets

TRAINING = "Train a classifier (emoji demo)"
SMALL = {  # the template's own sizes take minutes
    "L2S_ComposedScenes": {"count": 40},
    "L2S_RecordMaps": {"looks": 2, "folder": "in_the_editor"},
    "L2S_TrainClassifier": {"steps": 20, "batch": 16, "name": "in_the_editor"},
}


def test_a_classifier_is_trained_by_run_and_steers(editor, renderer):
    workflow, info = json.loads((ROOT / "workflows" / f"{TRAINING}.json").read_text()), editor.server.object_info()
    for node in workflow["nodes"]:
        for name, value in SMALL.get(node["type"], {}).items():
            node["widgets_values"][widgets(info[node["type"]]).index(name)] = value
    editor.open_file(workflow)
    editor.run()
    assert editor.heard("execution_success")
    train = editor.node("L2S_TrainClassifier")
    card = editor.said(train)
    assert "relations read rightly, on pairs never seen together" in card and "leak" in card
    if renderer:
        assert editor.shown(train)  # the chart
    else:  # where the last one of the run stays, which is the same
        assert editor.page.evaluate("id => app.graph.getNodeById(id).imgs.map(i => i.naturalWidth)", train) == [512]
    for name in ("Plain", "Steered"):
        save = editor.node("SaveImage", name)
        editor.go_to(save)
        assert editor.shown(save)
    editor.go_to(train)
    editor.picture(f"training, {'nodes 2.0' if renderer else 'classic'}")

    # The file is there for every other workflow, with no restart: the loss of a new node offers it.
    spec = editor.server.object_info()["L2S_ClassifierLoss"]["input"]["required"]["classifier"]
    assert "in_the_editor.safetensors" in spec[1]["options"]
    sampler = editor.node("L2S_SteeredKSampler")
    editor.type_number(sampler, "steps", 12)
    ran = {e["detail"] for e in editor.run() if e["kind"] == "executing" and e["detail"]}
    assert ran == editor.after(sampler)  # nothing is recorded or learnt again
