// The explorer as one sees and touches it, in JupyterLab and on a page of the book. `Explorer` in `__init__.py` is the widget.

import { SP4, answer, decode, fromPolar, latentAt, number, parts, polar, report, sketch, solved, turns, unpack } from "./model.js";
import { COLOURS, FRAME, drawCurves, drawFilm, drawPad, drawWheel, make, reach, sheet } from "./draw.js";

const models = (globalThis.magbookUnpacked ??= new Map());  // what the widgets of a page share

/** The packed model that a widget names, unpacked once: from a page's script, or asked of Python. */
function fetchModel(widget) {
  const name = widget.get("model");
  if (!models.has(name)) {
    const packed = widget.packed ? widget.packed(name) : new Promise((resolve) => {
      widget.on("msg:custom", (header, buffers) => resolve([header, buffers[0]]));
      widget.send({ want: "model" });
    });
    models.set(name, packed.then(([header, bytes]) => unpack(header, bytes)));
    models.get(name).catch(() => models.delete(name));
  }
  return models.get(name);
}

// ---------------------------------------------------------------------------- what there is to see and touch

// How far the sliders go beyond the fan: enough to see a model fail outside of it
const BEYOND = { degrees: 8, mT: 9 };
const WEAKEST = 5;  // mT

function range(label, min, max, step) {
  return { input: make("input", { type: "range", min, max, step, "aria-label": label }), output: make("output") };
}

const button = (textContent, onclick, more = {}) => make("button", { type: "button", textContent, onclick, ...more });
const knob = (name, { input, output }) => make(typeof name === "string" ? "label" : "div", { className: "mbx-knob" },
  typeof name === "string" ? make("span", { textContent: name }) : name, input, output);
const choices = (...children) => make("div", { className: "mbx-choices" }, ...children);
const note = (textContent) => make("span", { className: "mbx-note", textContent });

/** The film, and a slider for each latent number. */
function filmParts(model) {
  return {
    film: sheet("The film at the chosen moment", "mbx-film"),
    wheel: sheet("Colour wheel: red along +x, yellow-green along +y, cyan along −x, violet along −y, white out of the plane",
      "mbx-wheel"),
    sliders: model.high.map((high, k) => {
      const wide = Math.max(1e-6, high - model.low[k]);
      return range(`latent number ${k}`, model.low[k] - 0.1 * wide, high + 0.1 * wide, wide / 200);
    }),
  };
}

/** What turns the field and runs through time. */
function fieldParts({ fan, last, dynamics }) {
  const pad = sheet("The applied field, its x and y in millitesla. Grey dots: fields of the training. Pink dots: unseen fields "
    + "with the solver's answer. Orange: standard problem 4. Drag the blue ring, or use the sliders below.", "mbx-pad");
  const { left, right, top, bottom } = reach(fan), side = fan.opening / 2 + BEYOND.degrees;
  pad.canvas.style.aspectRatio = (right - left) / (top - bottom);
  const components = Object.entries(COLOURS).map(([c, color]) => make("span", {
    innerHTML: `<i style="background:${color}"></i><em>m</em><sub>${c}</sub>` }));
  return {
    pad,
    curve: sheet("Film averages of mx, my and mz against time", "mbx-curves"),
    clock: range("time in nanoseconds", 0, last, last / 100),
    direction: range("direction of the field in degrees", fan.angle - side, fan.angle + side, 0.5),
    strength: range("strength of the field in millitesla", Math.min(WEAKEST, fan.strength[0]), fan.strength[1] + BEYOND.mT, 0.25),
    play: button("▶", null, { className: "mbx-play", "aria-label": "play" }),
    legend: make("div", { className: "mbx-legend", "aria-hidden": "true" }, ...components,
      note(parts(dynamics).length > 1 ? "thin: networks, shaded: their band, pale: solver" : "thin: network, pale: solver")),
  };
}

// ---------------------------------------------------------------------------- the panel

const differs = (a, b) => a.length !== b.length || a.some((v, i) => Math.abs(v - b[i]) > 1e-4 * (1 + Math.abs(v)));

/** One explorer. `now` is what it shows: field in mT, time in ns, latent state; a touch changes it, and a frame draws it. */
class Panel {
  constructor(widget, model, el, said) {
    const panels = widget.get("panels"), given = Float32Array.from(widget.get("latent"));
    this.turning = panels.includes("field") && turns(model);
    Object.assign(this, { widget, model, el, said }, filmParts(model), this.turning && fieldParts(model));
    // `hand`: the latent state was set by hand, and is not that of field and time
    this.now = { field: widget.get("field").map((b) => b * 1e3), time: widget.get("time") * 1e9,
      latent: given.length ? given : Float32Array.from(model.start), hand: !this.turning || given.length > 0 };
    this.close = new AbortController();
    this.fieldIsNew = true;  // since the last frame
    this.held = false;  // by a pointer
    this.playing = false;
    this.waiting = this.refining = this.saving = 0;  // what the browser will call: a frame, or after some time

    el.replaceChildren(this.turning ? this.fieldLayout() : this.filmLayout());
    if (panels.includes("latent")) el.append(...this.latentLayout());
    el.append(said);
    this.heedSliders();
    if (this.turning) this.heedPointer();
    this.heedPython();
    this.heedSurroundings();
    said.textContent = "";
    this.frame();
    this.save();
  }

  // ---- where it stands

  filmLayout(beside = [make("span")], below = []) {
    return make("div", { className: "mbx-right" },
      make("div", { className: "mbx-top" }, ...beside, this.wheel.canvas), this.film.canvas, ...below);
  }

  fieldLayout() {
    const known = choices(), fields = this.model.known?.field;
    if (fields) {
      const unseen = () => SP4 + Math.floor(Math.random() * (fields.length - SP4));
      for (const [text, pick] of [["SP4 field 1", () => 0], ["SP4 field 2", () => 1], ["unseen field", unseen]]) {
        known.append(button(text, () => this.turn(fields[pick()])));
      }
    }
    return make("div", { className: "mbx-grid" },
      make("div", { className: "mbx-left" }, this.pad.canvas, knob("direction", this.direction), knob("strength", this.strength), known),
      this.filmLayout([this.play, knob("time", this.clock)], [this.legend, this.curve.canvas]));
  }

  latentLayout() {
    const { start, mean, low, high } = this.model;
    let base = start.map(() => 0);
    const starts = [["S-state", start], ["mean", mean], ["zero", base]].map(([text, values]) => button(text, () => {
      base = values;
      this.hand(Float32Array.from(base));
    }));
    const alone = (k) => {
      const c = Float32Array.from(base), up = this.now.latent[k] !== Math.fround(high[k]);
      c[k] = up ? high[k] : low[k];
      this.hand(c);
      this.said.textContent = `Number ${k} alone, at its ${up ? "highest" : "lowest"} value in the fan.`;
    };
    const only = (k) => button(k, () => alone(k), { title: `only number ${k}`, "aria-label": `only latent number ${k}` });
    return [choices(make("span", { textContent: "begin with" }), ...starts, note("A number's button shows it alone, high, then low.")),
      make("div", { className: "mbx-sliders" }, ...this.sliders.map((one, k) => knob(only(k), one)))];
  }

  // ---- what a touch changes, and what follows from it

  turn(field) { this.fieldIsNew = true; this.change({ field: [...field], hand: false }); }

  move(time) { this.change({ time: Math.min(this.model.last, Math.max(0, time)), hand: false }); }

  hand(latent) { this.stop(); this.change({ latent, hand: true }); }

  change(values) {
    Object.assign(this.now, values);
    this.redraw();
    this.saving ||= setTimeout(() => this.save(), 100);  // to Python, at most ten times a second
  }

  save() {
    const { field, time, latent } = this.now;
    this.saving = 0;
    this.widget.set({ field: field.map((b) => b * 1e-3), time: time * 1e-9, latent: Array.from(latent) });
    this.widget.save_changes();
  }

  redraw() { this.waiting ||= requestAnimationFrame(() => this.frame()); }

  frame() {
    const { model, now } = this;
    this.waiting = 0;
    if (this.turning && this.fieldIsNew) {
      clearTimeout(this.refining);
      this.curves = sketch(model, now.field);
      this.refining = setTimeout(() => this.refine(), this.held ? 250 : 60);
      this.tell(report(model, now.field));
    }
    this.fieldIsNew = false;
    if (this.turning && !now.hand) now.latent = latentAt(model, now.field, now.time);
    this.draw();
  }

  /** The curves in full, when a hand rests; a new field makes them stale. */
  async refine() {
    const { model, now, now: { field } } = this, stale = () => now.field !== field || this.close.signal.aborted;
    const better = await answer(model, field, () => new Promise((resolve) => setTimeout(() => resolve(stale()))));
    if (!better) return;
    this.curves = better;
    if (!now.hand) this.tell(report(model, field, better));
    this.redraw();
  }

  tell(text) {
    const [angle, size] = polar(this.now.field);
    this.said.textContent = text;
    for (const [one, value, unit] of [[this.direction, angle, "°"], [this.strength, size, " mT"]]) {
      one.input.value = value;
      one.output.textContent = number(value) + unit;
    }
  }

  draw() {
    const { model, now, film, wheel, sliders, pad, curve, clock } = this;
    if (!film.canvas.clientWidth) return;
    drawFilm(film.begin(), decode(model, now.latent), model.film);
    drawWheel(wheel.begin());
    sliders.forEach((one, i) => {
      one.input.value = now.latent[i];
      one.output.textContent = number(now.latent[i]);
    });
    if (!this.turning) return;
    drawPad(pad.begin(), model, now.field);
    drawCurves(curve.begin(), model.last, now.time, this.curves, solved(model, now.field));
    clock.input.value = now.time;
    clock.output.textContent = `${now.time.toFixed(2)} ns`;
  }

  // ---- playing

  start() {
    if (this.now.time >= this.model.last) this.now.time = 0;
    this.setPlaying(true);
    this.tick(performance.now());
  }

  stop() { if (this.playing) this.setPlaying(false); }

  setPlaying(playing) {
    this.playing = playing;
    this.play.textContent = playing ? "❚❚" : "▶";
    this.play.setAttribute("aria-label", playing ? "pause" : "play");
  }

  tick(before) {
    if (!this.playing || this.close.signal.aborted) return;
    // From start to end in eight seconds; who asked for less motion sees ten pictures
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches, stamp = performance.now(), { last } = this.model;
    if (calm && stamp - before < 800) return void requestAnimationFrame(() => this.tick(before));
    this.move(this.now.time + (calm ? last / 10 : last * Math.min(stamp - before, 100) / 8000));
    if (this.now.time >= last) return this.stop();
    requestAnimationFrame(() => this.tick(stamp));
  }

  // ---- what it listens to

  heedSliders() {
    const { sliders, clock, direction, strength, play } = this;
    sliders.forEach(({ input }, k) => {
      input.oninput = () => this.hand(this.now.latent.map((v, i) => (i === k ? Number(input.value) : v)));
    });
    if (!this.turning) return;
    play.onclick = () => (this.playing ? this.stop() : this.start());
    clock.input.oninput = () => { this.stop(); this.move(Number(clock.input.value)); };
    direction.input.oninput = strength.input.oninput = () => {
      this.turn(fromPolar(Number(direction.input.value), Number(strength.input.value)));
    };
  }

  /** Drags on the pad turn the field, drags on the curves run through time. */
  heedPointer() {
    const { fan, known, last } = this.model, { left, right, top, bottom } = reach(fan);
    const share = (canvas, event) => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, box.width];
    };
    const point = (event) => {
      const [x, y] = share(this.pad.canvas, event);
      return [left + x * (right - left), top - y * (top - bottom)];
    };
    let from;
    this.drag(this.pad.canvas, (event) => { from ??= event; this.turn(point(event)); }, (event) => {
      // A click near a field whose answer is known means that field
      const still = from && Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) < 4, [x, y] = point(event);
      from = undefined;
      if (!still || !known) return;
      const gaps = known.field.map(([u, v]) => Math.hypot(u - x, v - y)), k = gaps.indexOf(Math.min(...gaps));
      if (gaps[k] < 1.2) this.turn(known.field[k]);
    });
    this.drag(this.curve.canvas, (event) => {
      const [x, , width] = share(this.curve.canvas, event);
      this.stop();
      this.move((x * width - FRAME.left) / (width - FRAME.left - FRAME.right) * last);
    });
  }

  drag(canvas, follow, drop = () => {}) {
    canvas.onpointerdown = (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.held = true;
      follow(event);
    };
    canvas.onpointermove = (event) => this.held && canvas.hasPointerCapture(event.pointerId) && follow(event);
    canvas.onpointerup = canvas.onpointercancel = (event) => { this.held = false; drop(event); };
  }

  /** What Python sets; what comes back of our own changes is no news. */
  heedPython() {
    const { widget, now, close: { signal } } = this;
    const heed = (name, follow) => {
      const callback = () => !this.held && follow(widget.get(name));
      widget.on(`change:${name}`, callback);
      signal.addEventListener("abort", () => widget.off(`change:${name}`, callback));
    };
    if (this.turning) {
      heed("field", (b) => differs(b.map((v) => v * 1e3), now.field) && this.turn(b.map((v) => v * 1e3)));
      heed("time", (t) => differs([t * 1e9], [now.time]) && this.move(t * 1e9));
    }
    heed("latent", (c) => c.length === this.model.latent && differs(c, now.latent) && this.hand(Float32Array.from(c)));
  }

  /** Size and colours of what it stands in, and keys that would leave it. */
  heedSurroundings() {
    const { signal } = this.close;
    // Arrows move the panel's sliders; JupyterLab's notebook would take them for itself
    this.el.addEventListener("keydown", (event) => event.stopPropagation(), { signal });
    const size = new ResizeObserver(() => this.redraw());
    size.observe(this.el);
    const theme = new MutationObserver(() => this.redraw());
    const attributeFilter = ["data-theme", "data-jp-theme-light"];
    for (const node of [document.documentElement, document.body]) theme.observe(node, { attributeFilter });
    signal.addEventListener("abort", () => { size.disconnect(); theme.disconnect(); });
  }
}

async function render({ model: widget, el }) {
  el.classList.add("magbook-explorer-panel");
  const said = make("p", { className: "mbx-said", role: "status", textContent: "The networks are being loaded." });
  el.replaceChildren(said);
  try {
    const panel = new Panel(widget, await fetchModel(widget), el, said);
    return () => panel.close.abort();
  } catch (error) {
    said.textContent = `The networks could not be loaded: ${error.message}`;
    throw error;
  }
}

export default { render };
