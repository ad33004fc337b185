// What Steered KSampler and Steer Model show at their bottom: a range control for the steered steps, each relation's
// probability over the steps, and the picture so far with the words' attention in colours. And what Relation Parse and
// L2S Classifier Loss say of what they were given. Without this file the nodes work the same; the range is two numbers
// then.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const STEERED = ["L2S_SteeredKSampler", "L2S_SteerModel"];
const STEERING = "learn-to-steer.steering"; // nodes/host/screen.py sends these
const SAID = "learn-to-steer.said";
const MOST = 240; // px, of a text; a longer one scrolls
const LINES = ["#2fbf71", "#b18cff", "#ff8552", "#00b8d4", "#d4a600", "#f06595"]; // as in steering/pictures.py

const TEXTS = {
  en: {
    range: "Steered steps",
    of: (first, last, total) => `${first}–${last} of ${total}`,
    share: (first, last) => `${first}–${last} %`,
    none: "none",
    start: "first steered step",
    end: "last steered step",
    empty: "Run, and see here how sure the loss is of each relation, and where the model looks.",
    target: "target",
  },
  zh: {
    range: "引导步数",
    of: (first, last, total) => `第 ${first}–${last} 步，共 ${total} 步`,
    share: (first, last) => `${first}–${last} %`,
    none: "无",
    start: "引导的第一步",
    end: "引导的最后一步",
    empty: "运行后，这里会显示损失对每个关系的把握，以及模型在看哪里。",
    target: "目标",
  },
  "zh-TW": {
    range: "引導步驟",
    of: (first, last, total) => `第 ${first}–${last} 步，共 ${total} 步`,
    share: (first, last) => `${first}–${last} %`,
    none: "無",
    start: "引導的第一步",
    end: "引導的最後一步",
    empty: "執行後，這裡會顯示損失對每個關係的把握，以及模型在看哪裡。",
    target: "目標",
  },
  ja: {
    range: "ガイダンスのステップ",
    of: (first, last, total) => `${first}–${last} / ${total}`,
    share: (first, last) => `${first}–${last} %`,
    none: "なし",
    start: "ガイダンスの最初のステップ",
    end: "ガイダンスの最後のステップ",
    empty: "実行すると、各関係に対する損失の確信度と、モデルが見ている場所がここに表示されます。",
    target: "目標",
  },
};

const STYLE = `
.l2s { display: flex; flex-direction: column; gap: 6px; box-sizing: border-box; width: 100%; height: 100%;
  min-height: 370px; padding: 2px 10px 8px; font: 12px/1.35 Inter, Arial, sans-serif; color: var(--input-text, #ddd); }
.l2s-head { display: flex; justify-content: space-between; }
.l2s-head b { font-weight: 600; }
.l2s-range { position: relative; height: 16px; margin: 0 7px; touch-action: none; cursor: pointer; }
.l2s-range::before, .l2s-fill { content: ""; position: absolute; top: 6px; height: 4px; border-radius: 2px; }
.l2s-range::before { left: 0; right: 0; background: var(--border-color, #555); }
.l2s-fill { background: #2fbf71; }
.l2s-thumb { position: absolute; top: 1px; width: 14px; height: 14px; margin-left: -7px; border-radius: 50%;
  box-sizing: border-box; background: var(--fg-color, #fff); border: 3px solid #2fbf71; cursor: ew-resize; }
.l2s-thumb:focus-visible { outline: 2px solid #35b6ff; outline-offset: 1px; }
.l2s-chart { position: relative; flex: none; height: 84px; margin: 0 7px; border-radius: 4px;
  background: var(--comfy-input-bg, #222); }
.l2s-chart svg { display: block; width: 100%; height: 100%; overflow: visible; }
.l2s-chart svg * { vector-effect: non-scaling-stroke; fill: none; stroke-linecap: round; stroke-linejoin: round; }
.l2s-chart .steered { fill: var(--fg-color, #fff); fill-opacity: 0.07; }
.l2s-chart .target { stroke: var(--descrip-text, #999); stroke-dasharray: 3 4; stroke-linecap: butt; }
.l2s-chart span { position: absolute; right: 4px; color: var(--descrip-text, #999); font-size: 10px; }
.l2s-legend { display: flex; flex-direction: column; }
.l2s-legend div { display: flex; gap: 6px; align-items: center; }
.l2s-legend i { flex: none; width: 14px; height: 4px; border-radius: 2px; }
.l2s-legend span { flex: 1; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
.l2s-legend b { font-variant-numeric: tabular-nums; }
.l2s-note { color: var(--descrip-text, #999); }
.l2s-picture { flex: 1 1 200px; height: 0; min-height: 0; display: flex; justify-content: center; }
.l2s-picture img { max-width: 100%; height: 100%; object-fit: contain; border-radius: 4px; }
.l2s [hidden] { display: none; }
.l2s-said { box-sizing: border-box; width: 100%; max-height: ${MOST}px; overflow-y: auto; border-radius: 4px;
  background: var(--comfy-input-bg, #222); color: var(--input-text, #ddd); }
.l2s-said:has(div:empty) { display: none; }
.l2s-said div { padding: 6px 8px; font: 12px/1.35 Inter, Arial, sans-serif; white-space: pre-wrap;
  overflow-wrap: anywhere; user-select: text; cursor: text; }
`;

const text = (key) => {
  const locale = String(app.ui?.settings?.getSettingValue?.("Comfy.Locale") ?? "en");
  return (TEXTS[locale] ?? TEXTS[locale.slice(0, 2)] ?? TEXTS.en)[key];
};

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const SVG = new Set(["svg", "path", "rect"]);

/** An element with attributes and children. */
function make(tag, attributes = {}, ...children) {
  const element = SVG.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Two handles over the widgets `start` and `end` (shares of the steps), in whole steps where their number is known. */
class Range {
  constructor(node) {
    this.node = node;
    this.total = 0; // of the last run, where the node has no steps of its own
    this.said = make("b");
    this.fill = make("div", { class: "l2s-fill" });
    this.thumbs = ["start", "end"].map((name) => this.thumb(name));
    this.track = make("div", { class: "l2s-range" }, this.fill, ...this.thumbs);
    this.track.addEventListener("pointerdown", (event) => this.grab(event));
    this.label = make("span");
    this.element = make("div", {}, make("div", { class: "l2s-head" }, this.label, this.said), this.track);
  }

  thumb(name) {
    const thumb = make("div", { class: "l2s-thumb", role: "slider", tabindex: 0 });
    thumb.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      this.set(name, this.share(name) + by / (this.steps || 20));
    });
    return thumb;
  }

  widget(name) {
    return this.node.widgets?.find((widget) => widget.name === name);
  }

  /** Is a value linked, so that only its source knows it? */
  linked(name) {
    return this.node.inputs?.some((input) => input.widget?.name === name && input.link != null);
  }

  share(name) {
    return Number(this.widget(name).value);
  }

  get steps() {
    const own = this.linked("steps") ? null : this.widget("steps");
    return own ? Number(own.value) : this.total;
  }

  grab(event) {
    event.preventDefault();
    event.stopPropagation(); // or the node would be dragged
    const box = this.track.getBoundingClientRect();
    const at = (e) => clamp((e.clientX - box.left) / box.width, 0, 1);
    const [toStart, toEnd] = ["start", "end"].map((name) => Math.abs(at(event) - this.share(name)));
    const name = toStart < toEnd || (toStart === toEnd && at(event) < this.share("start")) ? "start" : "end";
    this.thumbs[name === "start" ? 0 : 1].focus({ preventScroll: true });
    const move = (e) => this.set(name, at(e));
    const stop = () => {
      this.track.removeEventListener("pointermove", move);
      this.node.graph?.setDirtyCanvas?.(true, true);
    };
    this.track.setPointerCapture(event.pointerId);
    this.track.addEventListener("pointermove", move);
    this.track.addEventListener("pointerup", stop, { once: true });
    this.track.addEventListener("pointercancel", stop, { once: true });
    move(event);
  }

  /** Whole steps, and start never behind end. */
  set(name, share) {
    const steps = this.steps || 100;
    share = Math.round(clamp(share, 0, 1) * steps) / steps;
    share = name === "start" ? Math.min(share, this.share("end")) : Math.max(share, this.share("start"));
    const widget = this.widget(name);
    widget.value = Math.round(share * 1e4) / 1e4;
    widget.callback?.(widget.value);
    this.draw();
  }

  draw() {
    const linked = this.linked("start") || this.linked("end");
    this.element.hidden = linked;
    for (const name of ["start", "end"]) {
      const widget = this.widget(name);
      widget.hidden = widget.options.hidden = !linked;
    }
    if (linked) return;
    const shares = ["start", "end"].map((name) => this.share(name));
    const steps = this.steps;
    const [first, last] = shares.map((share) => Math.round(share * (steps || 100)));
    this.fill.style.left = `${100 * shares[0]}%`;
    this.fill.style.width = `${100 * Math.max(0, shares[1] - shares[0])}%`;
    this.thumbs.forEach((thumb, at) => {
      thumb.style.left = `${100 * shares[at]}%`;
      thumb.setAttribute("aria-label", text(at ? "end" : "start"));
      thumb.setAttribute("aria-valuenow", at ? last : first + 1);
    });
    this.label.textContent = text("range");
    this.said.textContent =
      first >= last ? text("none") : steps ? text("of")(first + 1, last, steps) : text("share")(first, last);
  }
}

/** A run as the server tells it (Live.state in nodes/host/screen.py). */
class View {
  constructor(node) {
    this.range = new Range(node);
    this.chart = make("div", { class: "l2s-chart" });
    this.legend = make("div", { class: "l2s-legend" });
    this.image = make("img", { alt: "" });
    const picture = make("div", { class: "l2s-picture" }, this.image);
    this.element = make("div", { class: "l2s" }, this.range.element, this.chart, this.legend, picture);
    this.show(null);
  }

  show(run) {
    this.chart.replaceChildren();
    this.legend.replaceChildren();
    this.image.hidden = !run?.picture;
    if (run?.picture) this.image.src = run.picture;
    this.range.total = run?.steps || this.range.total;
    if (!run?.relations?.length) {
      this.legend.append(make("div", { class: "l2s-note" }, text("empty")));
      return;
    }
    this.draw(run);
    run.relations.forEach((relation, at) => {
      const now = run.seen.at(-1)?.[2][at];
      const line = make("i");
      line.style.background = LINES[at % LINES.length];
      const sure = now === undefined ? "" : now.toFixed(2) + (now >= run.target ? " ✓" : "");
      const name = relation.replaceAll(" | ", " ");
      this.legend.append(make("div", { title: name }, line, make("span", {}, name), make("b", {}, sure)));
    });
    for (const note of run.notes) this.legend.append(make("div", { class: "l2s-note" }, note));
  }

  /** x: sampling steps, in line with the range control; y: probability. */
  draw({ relations, seen, steps, steered, target }) {
    const [first, last] = steered;
    const y = (probability) => 1 - probability;
    const svg = make(
      "svg",
      { viewBox: `0 0 ${steps} 1`, preserveAspectRatio: "none" },
      make("rect", { class: "steered", x: first, y: 0, width: Math.max(0, last - first), height: 1 }),
      make("path", { class: "target", d: `M0 ${y(target)}H${steps}` }),
    );
    relations.forEach((_, at) => {
      const points = seen.flatMap(([step, before, after]) => [
        `${step} ${y(before[at])}`,
        `${step + 0.5} ${y(after[at])}`,
      ]);
      if (!points.length) return;
      const stroke = LINES[at % LINES.length];
      const dots = seen.map(([step, , after]) => `M${step + 0.5} ${y(after[at])}h0`).join("");
      svg.append(make("path", { d: `M${points.join("L")}`, stroke, "stroke-width": 2 }));
      svg.append(make("path", { d: dots, stroke, "stroke-width": 6 }));
    });
    const label = make("span", {}, `${text("target")} ${target}`);
    label.style.top = `${100 * y(target)}%`;
    this.chart.append(svg, label);
  }
}

const views = new WeakMap(); // node -> View

const isOurs = (node) => String(node.comfyClass).startsWith("L2S_");

/** Whatever else is called when node[name] is, call this too. */
function also(object, name, does) {
  const before = object[name];
  object[name] = function (...values) {
    const result = before?.apply(this, values);
    does(...values);
    return result;
  };
}

function attach(node) {
  const view = new View(node);
  views.set(node, view);
  // Options keep it out of the prompt, the property out of the saved workflow.
  const widget = node.addDOMWidget("steering", "l2s_steering", view.element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => 370,
  });
  widget.serialize = false;
  const [width, height] = node.computeSize();
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  const redraw = () => view.range.draw();
  for (const name of ["start", "end", "steps"]) {
    const watched = view.range.widget(name);
    if (watched) also(watched, "callback", redraw);
  }
  also(node, "onConfigure", redraw);
  also(node, "onConnectionsChange", redraw);
  redraw();
}

function show(node, run) {
  const view = views.get(node);
  if (!view) return;
  view.show(run);
  view.range.draw();
}

const texts = new WeakMap(); // node -> the element that holds what it says

/** One of our nodes says this at its bottom until it says more; the front end's own texts go when a run is over. */
function say(node, words) {
  if (!isOurs(node)) return;
  if (!texts.has(node)) {
    if (!words) return;
    const text = make("div");
    const height = () => {
      const lines = text.textContent ? text.textContent.split("\n").length : 0;
      const needed = text.offsetHeight || 16 * lines + 12; // the first is 0 while it is out of view
      return lines && Math.min(needed, MOST) + 20; // with the margins that the front end puts round it
    };
    const widget = node.addDOMWidget("said", "l2s_said", make("div", { class: "l2s-said" }, text), {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: height,
      getMaxHeight: height,
    });
    widget.serialize = false; // as above
    new ResizeObserver(() => node.graph?.setDirtyCanvas?.(true, true)).observe(text);
    texts.set(node, text);
  }
  texts.get(node).textContent = words;
  node.graph?.setDirtyCanvas?.(true, true);
}

/** What the server keeps of a node's last run: texts, and a run as JSON text in a list. */
function showKept(node, output) {
  if (output?.text) say(node, output.text.join("\n"));
  if (output?.l2s_steering) show(node, JSON.parse(output.l2s_steering[0]));
}

/** A node by the id that the server knows it by; inside subgraphs "4:7", the way there. */
function find(id) {
  let graph = app.rootGraph ?? app.graph;
  let node;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById(part);
    graph = node?.subgraph;
  }
  return node;
}

app.registerExtension({
  name: "LearnToSteer.Steering",
  setup() {
    document.head.append(make("style", {}, STYLE));
    api.addEventListener(STEERING, ({ detail }) => {
      const node = find(detail.display_node);
      if (node) show(node, detail);
    });
    api.addEventListener(SAID, ({ detail }) => {
      const node = find(detail.display_node);
      if (node) say(node, detail.text);
    });
  },
  nodeCreated(node) {
    if (STEERED.includes(node.comfyClass)) attach(node);
    if (isOurs(node)) also(node, "onExecuted", (output) => showKept(node, output));
  },
  onNodeOutputsUpdated(outputs) {
    // A workflow's tab is opened again. Inside subgraphs a node is known by "its subgraph's id:its own".
    for (const [id, output] of Object.entries(outputs ?? {})) {
      const [own, subgraph] = id.split(":").reverse();
      const root = app.rootGraph ?? app.graph;
      const node = (subgraph ? root.subgraphs?.get(subgraph) : root)?.getNodeById(own);
      if (node) showKept(node, output);
    }
  },
});
