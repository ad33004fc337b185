"""The pack in the host's own front end: a real server, a headless Chromium, and what a person does with both."""

import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import install
import pytest
from live_server import PACK, ROOT, Server, serving, widgets
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, sync_playwright

DEMO = ROOT / "workflows" / "Put things where the prompt says (emoji demo).json"
PICTURES = ROOT / "output" / "browser"
# The default workflow is there, and selecting a node has its effect, which is the last that the front end sets up;
# where that is a function to call. A newer one has none, and is ready when it stops to spin.
READY = """window.app?.extensionManager?.spinner === false && app.graph.nodes.length
    && !!(app.canvas.onSelectionChange ?? app.canvas.selectionView)"""
PATIENCE = 60  # s, for anything in the page
VIEW = {"width": 1600, "height": 1100}
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing leaves this machine
)  # fmt: skip
SETTINGS = {
    "Comfy.TutorialCompleted": True,  # else the templates open by themselves
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Window.UnloadConfirmation": False,
    "Comfy.Appearance.DisableAnimations": True,
    "Comfy.Minimap.Visible": False,  # it lies over the nodes
    "Comfy.RightSidePanel.IsOpen": False,
    "Comfy.Locale": "en",
}
GRAPH_TOO_EARLY = r"ComfyApp graph accessed before initialization"
# Errors in the console that are the front end's own, as "address text": a pattern and its reason. test_frontend.py
# hears them all without this pack.
ALLOWED = {
    r"/user\.css .* 404 ": "a new ComfyUI has no style sheet of its user",
    r"/userdata\?dir=(workflows|subgraphs)&\S+ .* 404 ": "nor saved workflows",
    r"/userdata/comfy\.templates\.json .* 404 ": "nor templates of the old kind",
    r"/docs/\w+/en\.md .* 404 ": "a node's help is looked for in the user's language, then without",
    GRAPH_TOO_EARLY: "its start; the newest has stopped that",
    r"^\S+/assets/\S+ .* Content Security Policy": "other sites, asked about missing models and packs, stay out",
    r"/api/prompt .* 400 ": "how it says that the server refused a graph",
    r"PromptExecutionError": "the same once more",
}
EVENTS = (
    "execution_start", "execution_cached", "executing", "executed", "progress",
    "execution_success", "execution_error", "execution_interrupted",
)  # fmt: skip
ENDS = EVENTS[-3:]


def without(problem: str) -> None:
    """Skip what cannot run here; fail where it must run."""
    (pytest.fail if os.environ.get("BROWSER_TESTS") == "required" else pytest.skip)(problem)


@pytest.fixture(scope="package")
def newest() -> tuple[str, str]:
    """The options of a server with the newest front end."""
    if not (folder := install.front_end()).exists():
        without(f"ComfyUI's front end {install.FRONT_END} is not here; `make test` gets it.")
    return "--front-end-root", str(folder)


@pytest.fixture(scope="package")
def options(request) -> tuple[str, ...]:
    """Of every server: which front end it has."""
    return request.getfixturevalue("newest") if request.config.getoption("--newest-front-end") else ()


@pytest.fixture(scope="package")
def server(tmp_path_factory, options):
    base = tmp_path_factory.mktemp("comfyui")
    (base / "custom_nodes").mkdir()
    shutil.copy(Path(__file__).with_name("again.py"), base / "custom_nodes")
    with serving(base, *options) as running:
        yield running


@pytest.fixture(scope="package")
def browser():
    if not (path := install.browser()):
        without("No Chromium or Chrome is on the PATH; `make test` says how to get one.")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=FLAGS) as running,
    ):
        yield running


@pytest.fixture(params=[False, True], ids=["classic", "nodes 2.0"])
def renderer(request) -> bool:
    """Does the newer renderer draw the nodes? Who asks for it is run with both."""
    return request.param


@pytest.fixture(params=["dark", "light"])
def theme(request) -> str:
    return request.param


@pytest.fixture(scope="package")
def opened(browser: Browser):
    """Opens a front end as after its first start: the page, and a list that takes what goes wrong in it."""

    @contextmanager
    def opened(server: Server, **settings):
        server.open("/api/settings", SETTINGS | settings)
        context = browser.new_context(locale="en-US", viewport=VIEW)
        page, problems = context.new_page(), []
        page.set_default_timeout(PATIENCE * 1000)

        def hear(message: ConsoleMessage) -> None:
            if message.type == "error":
                problems.append(f"{message.location['url']} {message.text}")

        page.on("console", hear)
        page.on("pageerror", lambda error: problems.append(f"{page.url} {error}"))
        page.goto(server.address)
        page.wait_for_function(READY)
        yield page, problems
        context.close()

    return opened


@pytest.fixture(scope="package")
def allowed(options) -> dict[str, str]:
    return {p: reason for p, reason in ALLOWED.items() if not (options and p == GRAPH_TOO_EARLY)}


@pytest.fixture
def page(request, opened, server):
    asked = {name: request.getfixturevalue(name) for name in ("renderer", "theme") if name in request.fixturenames}
    settings = {
        "Comfy.VueNodes.Enabled": asked.get("renderer", False),
        "Comfy.ColorPalette": asked.get("theme", "dark"),
    }  # fmt: skip
    with opened(server, **settings) as (page, problems):
        yield page
    wrong = [text for text in problems if not any(re.search(p, text) for p in ALLOWED)]
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def editor(page, server) -> "Editor":
    return Editor(page, server)


class Editor:
    """What a person does in the editor, in either renderer. Nodes go by their ids."""

    def __init__(self, page: Page, server: Server):
        self.page, self.server = page, server
        self.new_nodes = page.evaluate("LiteGraph.vueNodesMode")
        self.listen()

    def listen(self) -> None:
        """Hear what the server says to this page from now on."""
        self.page.evaluate(
            """kinds => {
                window.heard = []
                for (const kind of kinds)
                    app.api.addEventListener(kind, ({detail}) => heard.push({kind, detail, at: performance.now()}))
            }""",
            EVENTS,
        )

    # --- Workflows

    def templates(self) -> Locator:
        """The templates dialog, with this pack's before one."""
        self.page.get_by_role("button", name="Templates").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_text(PACK, exact=True).first.click()
        return dialog

    def open_template(self, name: str) -> None:
        self.templates().get_by_test_id(f"template-workflow-{name}").click()
        self._loaded(json.loads((ROOT / "workflows" / f"{name}.json").read_text()))

    def open_file(self, workflow: dict) -> None:
        content = json.dumps(workflow).encode()
        file = {"name": "opened.json", "mimeType": "application/json", "buffer": content}
        self.page.locator("#comfy-file-input").set_input_files(file)
        self._loaded(workflow)

    def open_demo(self, **changes: dict) -> None:
        """The demo as a file, with these values: of a kind of node, those of its widgets."""
        workflow, info = json.loads(DEMO.read_text()), self.server.object_info()
        for node in workflow["nodes"]:
            for name, value in changes.get(node["type"], {}).items():
                node["widgets_values"][widgets(info[node["type"]]).index(name)] = value
        self.open_file(workflow)

    def _loaded(self, workflow: dict) -> None:
        self.page.get_by_role("dialog").wait_for(state="hidden")
        self.page.wait_for_function(
            "([id, size]) => app.graph.id == id && app.graph.nodes.length == size",
            arg=[workflow["id"], len(workflow["nodes"])],
        )
        self._drawn()

    def _drawn(self) -> None:
        self.page.evaluate(
            """async () => {
                app.canvas.draw(true, true)
                for (const _ of "ab") await new Promise(requestAnimationFrame)
            }"""
        )

    # --- Nodes

    def node(self, kind: str, title: str = "") -> str:
        """The one node of this kind, with this in its title."""
        (found,) = self.page.evaluate(
            "([kind, title]) => app.graph.nodes.filter(n => n.type == kind && n.title.includes(title)).map(n => n.id)",
            [kind, title],
        )
        return found

    def after(self, node: str) -> set[str]:
        """The node and all that take from it."""
        links = self.page.evaluate("[...app.graph.links.values()].map(link => [link.origin_id, link.target_id])")
        found, more = set(), {node}
        while more:
            found |= more
            more = {target for origin, target in links if origin in found} - found
        return found

    def go_to(self, node: str) -> None:
        """Move the view so that the node stands at its upper left, in full size."""
        self.page.evaluate(
            """id => {
                const {ds} = app.canvas, [x, y] = app.graph.getNodeById(id).pos
                ds.scale = 1
                ds.offset = [180 - x, 180 - y]
            }""",
            node,
        )
        self._drawn()

    def place(self, node: str) -> dict[str, float]:
        """The node's rectangle on the screen, with its title."""
        return self.page.evaluate(
            """id => {
                const {ds, canvas} = app.canvas, [x, y, width, height] = app.graph.getNodeById(id).boundingRect
                const [left, top] = ds.convertOffsetToCanvas([x, y]), shift = canvas.getBoundingClientRect()
                return {x: left + shift.x, y: top + shift.y, width: width * ds.scale, height: height * ds.scale}
            }""",
            node,
        )

    def picture(self, name: str, node: str | None = None, clip: dict | None = None) -> Path:
        """The file of a screenshot: of the page, a rectangle of it, or the node."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        file = PICTURES / f"{name}.png"
        self.page.screenshot(path=file, clip=clip if node is None else self.place(node))
        return file

    def in_page(self, node: str) -> Locator:
        """The node as the newer renderer draws it; the older one draws on a canvas."""
        return self.page.locator(f'[data-node-id="{node}"]')

    # --- Values

    def value(self, node: str, name: str):
        return self.page.evaluate(
            "([id, name]) => app.graph.getNodeById(id).widgets.find(w => w.name == name).value",
            [node, name],
        )

    def _field(self, node: str, name: str) -> Locator:
        """The widget's row in the newer renderer."""
        self.go_to(node)
        row = self.in_page(node).get_by_test_id("node-widget")
        row = row.filter(has=self.page.get_by_text(name, exact=True))
        if not row.count():
            self.in_page(node).get_by_text("Show advanced inputs").click()
        return row

    def _click_on_canvas(self, node: str, name: str, at: float = 0.5) -> None:
        """at: 0 left to 1 right on the widget."""
        self.go_to(node)
        place = self.place(node)
        y = self.page.evaluate(
            """([id, name]) => {
                const node = app.graph.getNodeById(id)
                return node.pos[1] - node.boundingRect[1] + node.widgets.find(w => w.name == name).y + 10
            }""",
            [node, name],
        )
        self.page.mouse.click(place["x"] + at * place["width"], place["y"] + y)

    def slide(self, node: str, name: str, share: float) -> None:
        """Click on the slider there. share: 0..1 of its length."""
        if self.new_nodes:
            track = self._field(node, name).locator("[data-slot=slider-track]")
            at = {"x": share * track.bounding_box()["width"], "y": 1}
            track.click(position=at, force=True)  # it is a line, with a wider area around
        else:
            self._click_on_canvas(node, name, share)

    def type_number(self, node: str, name: str, number: float) -> None:
        if self.new_nodes:
            field = self._field(node, name).get_by_role("spinbutton")
        else:
            self._click_on_canvas(node, name)
            field = self.page.locator(".graphdialog input")
        field.fill(str(number))
        field.press("Enter")

    def type_text(self, node: str, name: str, text: str) -> None:
        if self.new_nodes:
            self._field(node, name).get_by_role("textbox").fill(text)
        else:
            self._click_on_canvas(node, name)
            self.page.locator("textarea:focus").fill(text)

    def choose(self, node: str, name: str, option: str) -> None:
        if self.new_nodes:
            self._field(node, name).get_by_label(name, exact=True).click()
            self.page.get_by_role("option", name=option, exact=True).click()
        else:
            self._click_on_canvas(node, name)
            self.page.locator(".litecontextmenu").get_by_text(option, exact=True).click()

    # --- Runs

    def press_run(self) -> bool:
        """Did the server take the graph?"""
        self.page.evaluate("heard.length = 0")
        with self.page.expect_response("**/prompt") as answer:
            self.page.get_by_test_id("queue-button").click()
        return answer.value.ok

    def run(self) -> list[dict]:
        """Press Run and wait for the end: what the server said meanwhile; nothing when it did not take the graph."""
        if self.press_run():
            self.wait_for(*ENDS)
        else:
            self.page.wait_for_function("!!app.lastNodeErrors")
        return self.heard()

    def wait_for(self, *kinds: str) -> None:
        self.page.wait_for_function("kinds => heard.some(e => kinds.includes(e.kind))", arg=kinds)

    def heard(self, kind: str | None = None) -> list[dict]:
        return [event for event in self.page.evaluate("heard") if kind in (None, event["kind"])]

    def shown(self, node: str) -> list[str]:
        """Wait until the node shows the pictures of the last run: their addresses. It must be in view."""
        outputs = [e["detail"]["output"] for e in self.heard("executed") if e["detail"]["node"] == node]
        names = [image["filename"] for output in outputs for image in output["images"]]
        assert names, "The server sent this node no picture."
        query = """([id, names, inPage]) => {
            const images = inPage
                ? [...document.querySelectorAll(`[data-node-id="${id}"] img`)]
                : app.graph.getNodeById(id).imgs ?? []
            const there = i => i.complete && i.naturalWidth && names.some(name => i.src.includes(name))
            return images.length && images.every(there) && images.map(image => image.src)
        }"""
        answer = self.page.wait_for_function(query, arg=[node, names, self.new_nodes])
        return answer.json_value()

    def said(self, node: str) -> str:
        """Go to the node: the texts that are seen on it, the front end's own for a moment among them."""
        self.go_to(node)
        return self.page.evaluate(
            """id => app.graph.getNodeById(id).widgets.map(widget =>
                widget.name.startsWith("$$") ? widget.value
                : widget.name == "said" && widget.element.checkVisibility() ? widget.element.innerText : ""
            ).filter(Boolean).join()""",
            node,
        )

    def complaint(self) -> str:
        """What the front end says of the run that failed, in the panel that its message leads to."""
        self.page.get_by_test_id("error-overlay-see-errors").click()
        panel = self.page.get_by_test_id("properties-panel")
        panel.locator("[data-testid^=error-group-]").first.wait_for()
        if panel.get_by_test_id("runtime-error-panel").count():
            panel.get_by_text("Exception Message").wait_for()  # the server's log is asked for first
        for details in panel.get_by_role("button", name="Info for").all():
            details.click()
        return panel.inner_text()

    def close_panel(self) -> None:
        panel = self.page.get_by_test_id("properties-panel")
        panel.get_by_role("button", name="Toggle properties panel").click()
        panel.wait_for(state="hidden")
