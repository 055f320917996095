// The training fields nearest to a field, and whether what the film does in them agrees: what a table of runs would say, and the solver.

import { Remote } from "./llg.js";
import { fromPolar, number, polar } from "./model.js";
import { drawCurves, drawPad, light } from "./draw.js";
import { fieldUnder, run, showField, turners } from "./panel.js";
import { button, choices, drag, heed, heedSurroundings, knob, legend, make, note, sheet } from "./parts.js";

const NEAREST = 3;
// Up to which difference of film averages neighbours agree, and up to which they part a little
const AGREE = 0.03, PART = 0.08;
const FAR = 3;  // mT; in the fan the nearest is always nearer

/** How far film averages (times, 3) are from each other: the mean absolute difference, over times and components. */
export const difference = (a, b) => a.reduce((sum, v, i) => sum + Math.abs(v - b[i]), 0) / a.length;

/** The training fields nearest to a field in mT, the nearest first: how far, in mT, which, and their film averages. */
export function nearest({ trained, means }, field, count = NEAREST) {
  const n = means.length / (trained.length / 2);
  return Array.from({ length: trained.length / 2 }, (_, k) => ({ far: Math.hypot(trained[2 * k] - field[0], trained[2 * k + 1] - field[1]), k }))
    .sort((a, b) => a.far - b.far).slice(0, count)
    .map(({ far, k }) => ({ far, field: [trained[2 * k], trained[2 * k + 1]], mean: means.subarray(n * k, n * (k + 1)) }));
}

/** The mean difference of any two of them. */
export function spread(near) {
  const pairs = near.flatMap((a, i) => near.slice(i + 1).map((b) => difference(a.mean, b.mean)));
  return pairs.reduce((a, b) => a + b) / pairs.length;
}

/** What there is to say of a field in mT, its neighbours, and the solver's answer as far as it is there. */
function comparison(field, near, truth) {
  const [angle, size] = polar(field), apart = spread(near), far = near.map((one) => number(one.far));
  const judged = near[0].far > FAR ? "but none is near, so that this says nothing" : apart < AGREE ? "they agree, and a table of runs would do" : apart < PART ? "they part a little"
    : "they part, and none of them says what the film does here";
  const off = truth?.mean.length === near[0].mean.length + 3
    ? ` The nearest is off by ${number(difference(near[0].mean, truth.mean.slice(3)), 3)} from the solver on ${truth.grid} cells.` : " The solver is at work.";
  return `${number(size)} mT at ${number(angle)}°. The nearest training fields are ${far.slice(0, -1).join(", ")} and ${far.at(-1)} mT away. `
    + `Their film averages differ by ${number(apart, 3)}${near[0].far > FAR ? ", " : ": "}${judged}.${off}`;
}

/** The panel. data: as `pack.neighbours` packs it. */
export class Neighbours {
  constructor(widget, data, el, said) {
    const { fan, solver: { state } } = data, first = [0, 1, 2].map((c) => state.reduce((sum, v, i) => sum + (i % 3 === c ? v : 0), 0) * 3 / state.length);
    Object.assign(this, { widget, data: { ...data, first }, el, said },
      turners(fan, "Grey dots: fields of the training. Pink dots: the three nearest to the ring."));
    this.curve = sheet("Film averages of mx, my and mz against time: in the three nearest training fields, and of the solver", "mbx-curves mbx-still");
    this.close = new AbortController();
    this.solving = Promise.resolve();  // one run of the solver after the other
    this.held = false;
    this.waiting = this.resting = 0;

    const known = choices(...[["SP4 field 1", [-24.6, 4.3]], ["SP4 field 2", [-35.5, -6.3]], ["edge of the blade", fromPolar(193, 30)]]
      .map(([text, field]) => button(text, () => this.turn(field))));
    el.replaceChildren(make("div", { className: "mbx-grid" },
      make("div", { className: "mbx-left" }, this.pad.canvas, note("grey: trained; pink: the three nearest"),
        knob("direction", this.direction), knob("strength", this.strength), known),
      make("div", { className: "mbx-right" }, legend(note("thin: in the three nearest fields, pale: solver, in yours")), this.curve.canvas, said)));
    this.direction.input.oninput = this.strength.input.oninput = () => {
      this.turn(fromPolar(Number(this.direction.input.value), Number(this.strength.input.value)));
    };
    drag(this.pad.canvas, (event) => { this.held = true; this.turn(fieldUnder(this, fan, event)); }, () => { this.held = false; });
    heed(widget, "field", (b) => {
      const field = b.map((v) => v * 1e3);
      if (!this.held && Math.hypot(field[0] - this.field[0], field[1] - this.field[1]) > 1e-3) this.turn(field);
    }, this.close.signal);
    heedSurroundings(el, () => this.redraw(), this.close.signal);
    this.turn(widget.get("field").map((b) => b * 1e3));
  }

  /** Ask about another field, in mT: of the neighbours at once, of the solver when the hand rests. */
  turn(field) {
    const stale = () => this.field !== field || this.close.signal.aborted;
    this.field = [...field];
    field = this.field;
    this.near = nearest(this.data, field);
    this.truth = null;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      this.widget.set({ field: field.map((b) => b * 1e-3) });
      this.widget.save_changes();
      this.solving = this.solving.then(() => stale() || this.solve(stale)).catch((error) => { this.said.textContent = `The solver stopped: ${error.message}`; });
    }, this.held ? 250 : 60);
    this.tell();
  }

  async solve(stale) {
    const { data, data: { solver: { film, state } } } = this;
    if (!this.remote) {
      this.remote = new Remote(film, state);
      this.close.signal.addEventListener("abort", () => this.remote.close());
    }
    const whole = await run(this.remote, data, this.field, stale, (truth) => { this.truth = truth; this.redraw(); });
    if (whole) this.tell();
  }

  tell() {
    this.said.textContent = comparison(this.field, this.near, this.truth);
    showField(this, this.data.fan, this.field);
    this.redraw();
  }

  redraw() { this.waiting ||= requestAnimationFrame(() => this.draw()); }

  draw() {
    const { data, data: { every, last, fan, first }, pad, curve, field, near } = this;
    this.waiting = 0;
    if (!pad.canvas.clientWidth) return;
    const page = pad.begin(), times = Array.from({ length: near[0].mean.length / 3 + 1 }, (_, i) => i * every);
    light(page, fan, near.map((one) => one.field));
    drawPad(page, data, field);
    drawCurves(curve.begin(), last, undefined, near.map(({ mean }) => ({ times, mean: [...first, ...mean] })), this.truth);
  }
}
