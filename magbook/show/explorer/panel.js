// A model as one sees and touches it: turn a constant field and run through time, or set its latent numbers.

import { Remote } from "./llg.js";
import { SP4, answer, decode, encode, fromPolar, latentAt, number, parts, polar, report, sketch, solved, turned } from "./model.js";
import { FRAME, drawCurves, drawFilm, drawPad, drawWheel, reach } from "./draw.js";
import { button, choices, drag, heed, heedSurroundings, knob, legend, make, note, range, share, sheet, showPlaying, wheel, write } from "./parts.js";

// ---------------------------------------------------------------------------- what there is to see and touch

// How far the sliders go beyond the fan: enough to see a model fail outside of it
const BEYOND = { degrees: 4, mT: 3 };
const WEAKEST = 5;  // mT

/** The film, and a slider for each latent number. */
function filmParts(model) {
  return {
    film: sheet("The film at the chosen moment", "mbx-film"),
    wheel: wheel(),
    sliders: model.high.map((high, k) => {
      const wide = Math.max(1e-6, high - model.low[k]);
      return range(`latent number ${k}`, model.low[k] - 0.1 * wide, high + 0.1 * wide, wide / 200);
    }),
  };
}

/** What turns the field: a pad to drag it on, and a slider each for its direction and strength. */
export function turners(fan, dots) {
  const pad = sheet(`The applied field, its x and y in millitesla. ${dots} Drag the blue ring, or use the sliders below.`, "mbx-pad");
  const { left, right, top, bottom } = reach(fan), side = fan.opening / 2 + BEYOND.degrees;
  pad.canvas.style.aspectRatio = (right - left) / (top - bottom);
  return {
    pad,
    direction: range("direction of the field in degrees", fan.angle - side, fan.angle + side, 0.5),
    strength: range("strength of the field in millitesla", Math.min(WEAKEST, fan.strength[0]), fan.strength[1] + BEYOND.mT, 0.25),
  };
}

/** Put the sliders where a field in mT is. */
export function showField({ direction, strength }, fan, field) {
  const [angle, size] = polar(field);
  for (const [one, value, shown] of [[direction, fan.angle + turned(fan, angle), `${number(angle)}°`], [strength, size, `${number(size)} mT`]]) {
    one.input.value = value;
    write(one.output, shown);
  }
}

/** The field in mT under a pointer on the pad, as far as the sliders go. */
export function fieldUnder({ pad, direction, strength }, fan, event) {
  const { left, right, top, bottom } = reach(fan), [x, y] = share(pad.canvas, event);
  const [angle, size] = polar([left + x * (right - left), top - y * (top - bottom)]);
  const within = ({ input }, value) => Math.max(Number(input.min), Math.min(Number(input.max), value));
  return fromPolar(within(direction, fan.angle + turned(fan, angle)), within(strength, size));
}

/** Let the solver run in a field in mT from its start; `grown` hears after each step what there is, and how many steps. Ends early where `stale` says so. */
export async function run(remote, { every, last, first, solver: { film, state } }, field, stale, grown) {
  const truth = { grid: `${film.nx} × ${film.ny}`, times: [0], mean: [...first], states: [state] };
  remote.restart(state);
  for (let k = 1; k <= Math.round(last / every); k++) {
    const { mean, state: next } = await remote.advance(every * 1e-9, Float32Array.from([field[0] * 1e-3, field[1] * 1e-3, 0]));
    if (stale()) return false;
    truth.times.push(k * every);
    truth.mean.push(...mean);
    truth.states.push(next);
    grown(truth, k);
  }
  return true;
}

/** What turns the field and runs through time. */
function fieldParts({ fan, last, dynamics }) {
  return {
    ...turners(fan, "Grey dots: fields of the training. Pink dots: unseen fields with the solver's answer. Orange: standard problem 4."),
    curve: sheet("Film averages of mx, my and mz against time", "mbx-curves"),
    clock: range("time in nanoseconds", 0, last, last / 100),
    play: button("▶", null, { className: "mbx-play", "aria-label": "play" }),
    legend: legend(note(parts(dynamics).length > 1 ? "thin: networks, shaded: their band, pale: solver" : "thin: network, pale: solver")),
    truth: sheet("The solver's film at the chosen moment", "mbx-film"),
  };
}

// ---------------------------------------------------------------------------- the panel

const differs = (a, b) => a.length !== b.length || a.some((v, i) => Math.abs(v - b[i]) > 1e-4 * (1 + Math.abs(v)));

/** One explorer. `now` is what it shows: field in mT, time in ns, latent state; a touch changes it, and a frame draws it. */
export class Panel {
  constructor(widget, model, el, said) {
    const panels = widget.get("panels"), given = Float32Array.from(widget.get("latent"));
    this.turning = panels.includes("field");
    Object.assign(this, { widget, model, el, said }, filmParts(model), this.turning && fieldParts(model));
    // `hand`: the latent state was set by hand, and is not that of field and time
    this.now = { field: widget.get("field").map((b) => b * 1e3), time: widget.get("time") * 1e9,
      latent: given.length ? given : Float32Array.from(model.start), hand: !this.turning || given.length > 0 };
    this.close = new AbortController();
    this.fieldIsNew = true;  // since the last frame
    this.held = false;  // by a pointer
    this.playing = false;
    this.solving = Promise.resolve();  // one run of the solver after the other
    this.waiting = this.refining = this.saving = 0;  // what the browser will call: a frame, or after some time

    el.replaceChildren(this.turning ? this.fieldLayout() : this.filmLayout());
    if (panels.includes("latent")) el.append(...this.latentLayout());
    el.append(said);
    this.heedSliders();
    if (this.turning) this.heedPointer();
    this.heedPython();
    heedSurroundings(el, () => this.redraw(), this.close.signal);
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
    const known = choices(), fields = this.model.known?.field, { solver } = this.model;
    if (fields) {
      const unseen = () => SP4 + Math.floor(Math.random() * (fields.length - SP4));
      for (const [text, pick] of [["SP4 field 1", () => 0], ["SP4 field 2", () => 1], ["unseen field", unseen]]) {
        known.append(button(text, () => this.turn(fields[pick()])));
      }
    }
    return make("div", { className: "mbx-grid" },
      make("div", { className: "mbx-left" }, this.pad.canvas,
        note([...(this.model.trained.length ? ["grey: trained"] : []), ...(fields ? ["pink: unseen, solved before", "orange: standard problem 4"] : [])].join("; ")),
        knob("direction", this.direction), knob("strength", this.strength), known),
      this.filmLayout([this.play, knob("time", this.clock)],
        [...(solver ? [note("above: networks, below: solver; white: +z, black: −z"), this.truth.canvas] : []), this.legend, this.curve.canvas]));
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
      this.solution = solved(model, now.field);
      this.first = model.dynamics.history ? null : model.start;  // a stepper waits for the solver
      this.curves = this.first ? sketch(model, now.field) : { times: [0], mean: model.first };
      this.refining = setTimeout(() => this.refine(), this.held ? 250 : 60);
      this.tell(report(model, now.field, null, this.solution));
    }
    this.fieldIsNew = false;
    if (this.turning && this.first && !now.hand) now.latent = latentAt(model, now.field, now.time, this.first);
    this.draw();
  }

  /** The curves in full, and the solver's, when a hand rests; a new field makes them stale. */
  refine() {
    const { model, now: { field } } = this, stale = () => this.now.field !== field || this.close.signal.aborted;
    if (this.first) this.ask(field, stale);
    if (model.solver) this.solving = this.solving.then(() => stale() || this.solve(field, stale)).catch((error) => this.tell(`The solver stopped: ${error.message}`));
  }

  async ask(field, stale) {
    const { model } = this;
    const better = await answer(model, field, () => new Promise((resolve) => setTimeout(() => resolve(stale()))), this.first);
    if (!better) return;
    this.exact = this.curves = better;
    this.told(field);
  }

  /** The solver's states and averages, one after the other as they come. */
  async solve(field, stale) {
    const { model, model: { solver: { film, state }, dynamics: { history } } } = this, known = this.solution;
    if (!this.remote) {
      this.remote = new Remote(film, state);
      this.close.signal.addEventListener("abort", () => this.remote.close());
    }
    const whole = await run(this.remote, model, field, stale, (truth, k) => {
      this.solution = { ...truth, ...known };
      if (k === history) {
        this.first = Float32Array.from(truth.states.flatMap((m) => Array.from(encode(model, m))));
        this.ask(field, stale);
      }
      this.redraw();
    });
    if (whole) this.told(field);
  }

  told(field) {
    this.tell(report(this.model, field, this.curves === this.exact ? this.exact : null, this.solution));
    this.redraw();
  }

  tell(text) {
    this.said.textContent = text;
    showField(this, this.model.fan, this.now.field);
  }

  draw() {
    const { model, now, film, wheel, sliders, pad, curve, clock } = this;
    if (!film.canvas.clientWidth) return;
    drawFilm(film.begin(), decode(model, now.latent), model.film);
    drawWheel(wheel.begin());
    sliders.forEach((one, i) => {
      one.input.value = now.latent[i];
      write(one.output, number(now.latent[i]));
    });
    if (!this.turning) return;
    drawPad(pad.begin(), model, now.field);
    drawCurves(curve.begin(), model.last, now.time, this.curves, this.solution);
    const state = this.solution?.states?.[Math.round(now.time / model.every)], page = model.solver && this.truth.begin();
    if (state) drawFilm(page, state, model.solver.film);
    clock.input.value = now.time;
    write(clock.output, `${now.time.toFixed(2)} ns`);
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
    showPlaying(this.play, playing);
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
    const { fan, known, last } = this.model, point = (event) => fieldUnder(this, fan, event);
    let from;
    drag(this.pad.canvas, (event) => { from ??= event; this.held = true; this.turn(point(event)); }, (event) => {
      this.held = false;
      // A click near a field whose answer is known means that field
      const still = from && Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) < 4, [x, y] = point(event);
      from = undefined;
      if (!still || !known) return;
      const gaps = known.field.map(([u, v]) => Math.hypot(u - x, v - y)), k = gaps.indexOf(Math.min(...gaps));
      if (gaps[k] < 1.2) this.turn(known.field[k]);
    });
    drag(this.curve.canvas, (event) => {
      const [x, , width] = share(this.curve.canvas, event);
      this.stop();
      this.move((x * width - FRAME.left) / (width - FRAME.left - FRAME.right) * last);
    });
  }

  /** What Python sets; what comes back of our own changes is no news. */
  heedPython() {
    const { widget, now, close: { signal } } = this;
    const hear = (name, follow) => heed(widget, name, (value) => !this.held && follow(value), signal);
    if (this.turning) {
      hear("field", (b) => differs(b.map((v) => v * 1e3), now.field) && this.turn(b.map((v) => v * 1e3)));
      hear("time", (t) => differs([t * 1e9], [now.time]) && this.move(t * 1e9));
    }
    hear("latent", (c) => c.length === this.model.latent && differs(c, now.latent) && this.hand(Float32Array.from(c)));
  }
}
