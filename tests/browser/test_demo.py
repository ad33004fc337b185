"""The demo, run with the browser's own buttons."""

DEMO = "Put things where the prompt says (emoji demo)"
SAMPLER = "L2S_SteeredKSampler"
# From the click to the server, and back from it to the page: two messages on one machine, each of them waiting for a
# thread of the server's while another one computes. Alone, both take some 20 ms; on a busy machine ten times as long.
TRANSPORT = 0.5  # s


def test_run_makes_the_picture_and_a_changed_strength_only_what_depends_on_it(editor, renderer):
    editor.open_template(DEMO)
    sampler, save = editor.node(SAMPLER), editor.node("SaveImage")
    editor.run()
    assert editor.heard("execution_success")
    first = editor.shown(save)
    editor.picture(f"demo, {'nodes 2.0' if renderer else 'classic'}")

    before = editor.value(sampler, "strength")
    editor.slide(sampler, "strength", 0.5)
    assert editor.value(sampler, "strength") > before
    editor.go_to(save)
    editor.run()
    ran = {event["detail"] for event in editor.heard("executing") if event["detail"]}
    (cached,) = editor.heard("execution_cached")
    kept = set(cached["detail"]["nodes"])
    assert ran == editor.after(sampler)
    assert editor.node("L2S_LoadDemoModel") in kept and not ran & kept
    assert editor.shown(save) != first


def test_cancel_ends_a_steered_run_within_one_call_of_the_model(editor):
    """In the middle of a sampling step: one that never is satisfied is some fifty calls of the model."""
    page = editor.page
    editor.open_demo(**{SAMPLER: {"steps": 400, "refinements": 50, "target": 0.9999, "end": 1.0}})
    page.evaluate(
        """() => {
            window.told = []
            app.api.addEventListener("learn-to-steer.steering", ({detail}) => {
                told.push({at: performance.now(), spent: detail.seen[0]?.[3]})
            })
        }"""
    )
    assert editor.press_run()
    page.wait_for_function("told.length > 1 && performance.now() > told[1].at + (told[1].at - told[0].at) / 3")
    cancel = page.get_by_role("button", name="Cancel current run")
    cancel.evaluate("button => button.addEventListener('click', () => { window.clicked = performance.now() }, true)")
    cancel.click()
    editor.wait_for("execution_interrupted")
    (end,) = editor.heard("execution_interrupted")
    assert end["detail"]["node_id"] == editor.node(SAMPLER)
    (begin, first, *_), clicked = page.evaluate("[told, clicked]")
    # In the first sampling step: the gradient steps, and the last reading of their result.
    call = (first["at"] - begin["at"]) / (first["spent"] + 1) / 1000
    took = (end["at"] - clicked) / 1000
    print(f"cancelled {took:.3f} s after the click; one call of the model: {call:.3f} s")
    assert took < call + TRANSPORT
    editor.open_demo(**{SAMPLER: {"steps": 5}})
    editor.go_to(editor.node("SaveImage"))
    assert editor.run()[-1]["kind"] != "execution_error"
    editor.shown(editor.node("SaveImage"))
