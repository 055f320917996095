// What panels are made of: elements, canvases, sliders, and what they listen to.

import { COLOURS } from "./draw.js";

/** An element with properties, attributes (names with a dash, or role) and children. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

/** A canvas as sharp as the screen; `begin` clears it and gives its context, in units of css pixels. */
export function sheet(label, className) {
  const canvas = make("canvas", { className, role: "img", "aria-label": label });
  const begin = () => {
    const ratio = globalThis.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const { color, fontFamily } = getComputedStyle(canvas);
    pen.font = `12px ${fontFamily}`;
    pen.textBaseline = "middle";
    return { pen, width, height, ink: color };
  };
  return { canvas, begin };
}

export function range(label, min, max, step) {
  return { input: make("input", { type: "range", min, max, step, "aria-label": label }), output: make("output") };
}

export const button = (textContent, onclick, more = {}) => make("button", { type: "button", textContent, onclick, ...more });
export const knob = (name, { input, output }) => make(typeof name === "string" ? "label" : "div", { className: "mbx-knob" },
  typeof name === "string" ? make("span", { textContent: name }) : name, input, output);
export const choices = (...children) => make("div", { className: "mbx-choices" }, ...children);
export const note = (textContent) => make("span", { className: "mbx-note", textContent });

/** Change a node's text in place: a page's own script waits until nodes no longer come and go, and what is drawn anew never rests. */
export function write(node, text) {
  if (!node.firstChild) node.textContent = text;
  else if (node.firstChild.data !== text) node.firstChild.data = text;
}

/** Which colour is which component, and what else there is to say. */
export function legend(...more) {
  const components = Object.entries(COLOURS).map(([c, color]) => make("span", { innerHTML: `<i style="background:${color}"></i><em>m</em><sub>${c}</sub>` }));
  return make("div", { className: "mbx-legend", "aria-hidden": "true" }, ...components, ...more);
}

export const wheel = () => sheet("Colour wheel: red along +x, yellow-green along +y, cyan along −x, violet along −y, white out of the plane", "mbx-wheel");

/** What the button that plays and pauses does next. */
export function showPlaying(play, playing) {
  play.textContent = playing ? "❚❚" : "▶";
  play.setAttribute("aria-label", playing ? "pause" : "play");
}

/** What a pointer does on a canvas: `follow` hears where it is pressed and moves, `drop` where it is let go. */
export function drag(canvas, follow, drop = () => {}) {
  canvas.onpointerdown = (event) => {
    if (event.button || !event.isPrimary) return;
    canvas.setPointerCapture(event.pointerId);
    follow(event);
  };
  canvas.onpointermove = (event) => canvas.hasPointerCapture(event.pointerId) && follow(event);
  canvas.onpointerup = canvas.onpointercancel = drop;
}

/** Where on a canvas a pointer is: shares of its width and height, and its width. */
export function share(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, box.width];
}

/** What Python sets of a widget's traits; `signal` ends it. */
export function heed(widget, name, follow, signal) {
  const callback = () => follow(widget.get(name));
  widget.on(`change:${name}`, callback);
  signal.addEventListener("abort", () => widget.off(`change:${name}`, callback));
}

/** Size and colours of what a panel stands in, and keys that would leave it. */
export function heedSurroundings(el, redraw, signal) {
  // Arrows move the panel's sliders; JupyterLab's notebook would take them for itself
  el.addEventListener("keydown", (event) => event.ctrlKey || event.metaKey || event.altKey || event.stopPropagation(), { signal });
  const size = new ResizeObserver(redraw);
  size.observe(el);
  const theme = new MutationObserver(redraw);
  const attributeFilter = ["data-theme", "data-jp-theme-light"];
  for (const node of [document.documentElement, document.body]) theme.observe(node, { attributeFilter });
  signal.addEventListener("abort", () => { size.disconnect(); theme.disconnect(); });
}
