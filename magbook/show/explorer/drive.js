// The film under a hand: time runs, the reader holds the applied field, and the solver answers; on request the driven model beside it.

import { Remote } from "./llg.js";
import { averages, decode, driven, encode, fromPolar, number, polar } from "./model.js";
import { COLOURS, arrow, drawFilm, drawWheel, levels } from "./draw.js";
import { button, choices, drag, heed, heedSurroundings, knob, legend, make, note, range, share, sheet, showPlaying, wheel, write } from "./parts.js";

const STEP = 10;  // ps, one step of the driven model
const LARGEST = 45;  // mT, as far as the driven model knows
const ROOM = 1.16;  // how much wider the pad is, for the ring
const USUAL = [-35.5, -6.3];  // mT, what a signal takes where no field is held: standard problem 4's second
const WINDOW = 15;  // s, how long a curve stays on the screen
const KEPT = 4000;  // samples
const REST = 2e-5;  // a film whose average moves less than this in a step of the model is at rest

/** Fields in mT as functions of the time in ns, named as in `magbook.applied`, and when they end; b is the field that was held. */
const SIGNALS = {
  step: { last: 0.1, title: "off for 0.1 ns, then the field that you held", of: (b) => (t) => (t < 0.1 ? [0, 0] : b) },
  pulse: { last: 0.3, title: "the field that you held, for 0.3 ns", of: (b) => (t) => (t < 0.3 ? b : [0, 0]) },
  ramp: { last: 5, title: "to the opposite field and back, in 5 ns: a hysteresis loop",
    of: (b) => (t) => b.map((v) => v * (Math.abs(Math.min(t, 5) - 2.5) / 1.25 - 1)) },
  rotating: { last: Infinity, title: "once around in a nanosecond", of: (b) => (t) => fromPolar(polar(b)[0] + 360 * t, polar(b)[1]) },
  noise: { last: Infinity, title: "band-limited noise up to 3 GHz",
    of: (b) => {
      const waves = Array.from({ length: 24 }, (_, k) => ({ frequency: 0.125 + 0.25 * (k >> 1), phase: 2 * Math.PI * Math.random(), along: k % 2 }));
      return (t) => {
        const way = [0, 1].map((c) => 0.17 * polar(b)[1] * waves.filter((one) => one.along === c)
          .reduce((sum, one) => sum + Math.cos(2 * Math.PI * one.frequency * t + one.phase), 0));
        return way.map((v) => v * Math.min(1, LARGEST / Math.hypot(...way)));
      };
    } },
};

/** Where a film points, in words. */
function direction([x, y]) {
  if (Math.hypot(x, y) < 0.35) return "has no direction as a whole";
  const names = ["to the right", "up and to the right", "up", "up and to the left", "to the left", "down and to the left", "down", "down and to the right"];
  return `points ${names[Math.round(polar([x, y])[0] / 45) % 8]}`;
}

// ---------------------------------------------------------------------------- what is drawn

function drawHold({ pen, width, height, ink }, field, untouched) {
  const scale = 0.5 * Math.min(width, height) / (ROOM * LARGEST), px = (x) => width / 2 + scale * x, py = (y) => height / 2 - scale * y;
  pen.textAlign = "center";
  for (const size of [15, 30, LARGEST]) {
    pen.beginPath();
    pen.arc(px(0), py(0), scale * size, 0, 7);
    pen.globalAlpha = size === LARGEST ? 0.5 : 0.22;
    pen.strokeStyle = ink;
    pen.lineWidth = 1;
    pen.stroke();
    pen.globalAlpha = 0.8;
    pen.fillStyle = ink;
    pen.fillText(size === LARGEST ? `${size} mT` : size, px(0), py(-size) - 8);
  }
  pen.globalAlpha = 1;
  const [x, y] = [px(field[0]), py(field[1])];
  pen.strokeStyle = COLOURS.y;
  pen.lineWidth = 2.5;
  arrow(pen, (x + px(0)) / 2, (y + py(0)) / 2, x - px(0), y - py(0), 0);
  pen.beginPath();
  pen.arc(x, y, 11, 0, 7);
  pen.fillStyle = "rgba(10,133,199,0.3)";
  pen.fill();
  pen.stroke();
  if (!untouched) return;
  pen.fillStyle = ink;
  pen.font = pen.font.replace("12px", "bold 13px");
  pen.fillText("drag me", px(0), py(0) - 22);
  arrow(pen, px(-20), py(0), scale * -14, 0, 7);
}

/** Film averages of the last `wide` ns. samples: {t, mean, model}, t in ns; the driven model's are null where it was not asked. */
function drawScroll(page, samples, now, wide) {
  const { pen, width, height, ink } = page, left = 30, right = width - 8, top = 6, bottom = height - 22;
  const px = (t) => right - (now - t) / wide * (right - left), py = (v) => top + (1.05 - v) / 2.1 * (bottom - top);
  levels(page, left, right, py);
  const every = [0.05, 0.1, 0.25, 0.5, 1, 2].find((step) => wide / step <= 5) ?? 4;
  for (let t = Math.ceil(Math.max(0, now - wide) / every) * every; t <= now; t += every) {
    if (px(t) > left + 8 && px(t) < right - 56) pen.fillText(Number(t.toFixed(2)), px(t), height - 9);
  }
  pen.textAlign = "right";
  pen.fillText(`${now.toFixed(2)} ns`, right, height - 9);
  const seen = samples.filter(({ t }) => t >= now - wide), beside = seen.filter(({ model }) => model);
  Object.values(COLOURS).forEach((color, c) => {
    pen.strokeStyle = color;
    const line = (all, value) => {
      pen.beginPath();
      all.forEach((one) => pen.lineTo(px(one.t), py(value(one)[c])));
      pen.stroke();
    };
    pen.globalAlpha = beside.length ? 0.4 : 1;
    pen.lineWidth = beside.length ? 6 : 1.8;
    line(seen, (one) => one.mean);
    pen.globalAlpha = 1;
    pen.lineWidth = 1.6;
    line(beside, (one) => one.model);
  });
}

/** The path of the field's x and the film's mx: its own hysteresis loop. */
function drawLoop(page, samples) {
  const { pen, width, height, ink } = page, left = 26, right = width - 8, top = 6, bottom = height - 22;
  const px = (b) => left + (b / LARGEST + 1) / 2 * (right - left), py = (v) => top + (1.05 - v) / 2.1 * (bottom - top);
  levels(page, left, right, py);
  pen.fillText("mx", px(0) + 14, top + 16);
  for (const b of [-30, 0, 30]) pen.fillText(b < 0 ? `−${-b}` : b ? `${b} mT` : "0", px(b), height - 9);
  pen.globalAlpha = 0.25;
  pen.beginPath();
  pen.moveTo(px(0), top);
  pen.lineTo(px(0), bottom);
  pen.stroke();
  pen.strokeStyle = pen.fillStyle = COLOURS.x;
  pen.globalAlpha = 0.8;
  pen.lineWidth = 1.4;
  pen.beginPath();
  samples.forEach(({ field, mean }) => pen.lineTo(px(field[0]), py(mean[0])));
  pen.stroke();
  pen.globalAlpha = 1;
  const { field, mean } = samples.at(-1);
  pen.beginPath();
  pen.arc(px(field[0]), py(mean[0]), 4, 0, 7);
  pen.fill();
  pen.fillStyle = ink;
}

// ---------------------------------------------------------------------------- the panel

/** One film that runs. `aim` is where the hand holds the field, in mT; `ps` counts the film's time in whole picoseconds. */
export class Drive {
  constructor(widget, { film, state }, fetchModel, el, said) {
    Object.assign(this, { widget, film, fetchModel, el, said });
    this.close = new AbortController();
    this.begin = { state, ps: 0 };  // the S-state
    this.aim = widget.get("field").map((b) => b * 1e3);
    this.field = [...this.aim];  // at the film's present time
    this.running = true;
    this.seen = !document.hidden;
    this.untouched = this.aim.every((b) => b === 0);
    this.owed = 0;  // ps of the film's time that the wall's has run ahead
    this.remote = new Remote(film, state);
    this.layOut();
    this.set(this.begin);
    this.heedTouch();
    heedSurroundings(el, () => this.draw(), this.close.signal);
    this.close.signal.addEventListener("abort", () => this.remote.close());
    this.before = performance.now();
    this.tick(this.before);
  }

  // ---- where it stands

  layOut() {
    const [lx, ly] = this.film.size;
    this.picture = sheet("The film, as the solver has it now", "mbx-film");
    this.second = sheet("The film, as the network has it now", "mbx-film");
    for (const { canvas } of [this.picture, this.second]) canvas.style.aspectRatio = lx / ly;
    this.pad = sheet("The applied field", "mbx-hold");
    this.wheel = wheel();
    this.curves = sheet("Film averages of mx, my and mz against time", "mbx-curves");
    this.loop = sheet("mx against the field's x: the film's hysteresis loop", "mbx-loop");
    this.speed = range("speed, in picoseconds of the film a second", 1, 2.7, 0.01);
    this.speed.input.value = 2;
    this.damping = range("Gilbert damping", -2.3, 0, 0.01);
    this.damping.input.value = Math.log10(this.film.alpha);
    this.play = button("", () => this.pause(), { className: "mbx-play" });
    showPlaying(this.play, true);
    this.holder = make("div", { className: "mbx-holder", tabIndex: 0, role: "application", "aria-label":
      "Applied field. Arrow keys move it by 2 millitesla, with shift by 10; 0 switches it off; the space bar stops time and lets it run." }, this.pad.canvas);
    this.signals = Object.keys(SIGNALS).map((name) => button(name, () => this.signal(name), { "aria-pressed": "false", title: SIGNALS[name].title }));
    this.asked = button("the network beside it", () => this.beside(), { "aria-pressed": "false" });
    this.again = button("set it to the truth", () => { this.encodeNow(); this.draw(); }, { hidden: true });
    this.back = button("back", () => this.undo(), { title: "to the state before the field was last moved" });
    this.gap = make("output", { className: "mbx-gap" });
    this.secondRow = make("div", { hidden: true }, make("div", { className: "mbx-row mbx-between" }, note("the network, 64 numbers:"), this.gap, this.again),
      this.second.canvas);
    this.kinds = note("wide: solver, thin: network");
    this.kinds.hidden = true;
    this.el.replaceChildren(
      this.picture.canvas, this.secondRow,
      make("div", { className: "mbx-drive" },
        this.holder, make("div", { className: "mbx-scroll" }, legend(this.kinds, note("film: white +z, black −z")), this.curves.canvas), this.loop.canvas),
      make("div", { className: "mbx-row" }, this.play, knob("speed", this.speed), knob("damping", this.damping), this.wheel.canvas),
      choices(make("span", { textContent: "a signal:" }), ...this.signals),
      choices(button("S-state", () => { this.keep(); this.restart(this.begin); }), this.back, this.asked),
      this.said);
  }

  // ---- what a touch changes

  /** The hand takes the field: to b in mT. */
  hold(b) {
    const size = Math.hypot(...b), most = Math.min(1, LARGEST / size || 1);
    this.untouched = false;
    this.end();
    this.aim = b.map((v) => v * most);
    this.wake();
  }

  /** A signal takes the field. */
  signal(name) {
    if (this.playing === name) return this.end();
    const held = Math.hypot(...this.aim) < 5 ? USUAL : [...this.aim];
    this.keep();
    this.end();
    this.untouched = false;
    this.playing = name;
    this.follow = { at: SIGNALS[name].of(held), since: this.ps, last: SIGNALS[name].last * 1e3 };
    this.press();
    this.wake();
  }

  /** No signal any more: the field stays where it is. */
  end() {
    if (!this.playing) return;
    this.playing = this.follow = null;
    this.aim = [...this.field];
    this.press();
  }

  press() {
    for (const one of this.signals) one.setAttribute("aria-pressed", one.textContent === this.playing);
  }

  wake() {
    this.still = 0;
    this.notice = null;
    if (!this.running) this.pause();
    this.draw();
    this.save();
  }

  /** The field to Python, at most ten times a second. */
  save() {
    this.saving ||= setTimeout(() => {
      this.saving = 0;
      this.sent = [...this.aim];
      this.widget.set({ field: this.aim.map((b) => b * 1e-3) });
      this.widget.save_changes();
    }, 100);
  }

  /** What `undo` goes back to. */
  keep() { this.kept = { state: this.state, ps: this.ps, field: [...this.field] }; }

  undo() { this.restart(this.kept ?? this.begin); }

  restart(kept) {
    this.end();
    this.aim = [...(kept.field ?? [0, 0])];
    this.field = [...this.aim];
    this.set(kept);
    if (this.remote.closed) {
      this.remote = new Remote(this.film, kept.state);
      this.remote.alpha = this.alpha();
    }
    this.remote.restart(kept.state, kept.ps * 1e-12);
    this.asking = false;
    this.turn = (this.turn ?? 0) + 1;  // what was asked before is no answer any more
    this.wake();
  }

  set({ state, ps }) {
    this.state = state;
    this.ps = ps;
    this.mean = [0, 1, 2].map((c) => { let sum = 0; for (let i = c; i < state.length; i += 3) sum += state[i]; return 3 * sum / state.length; });
    this.samples = [{ t: ps * 1e-3, field: [...this.field], mean: this.mean, model: null }];
    this.passed = [0, 0];  // the field's integral since the model's last step
    this.lastMean = this.mean;
    this.still = 0;
    if (this.model) this.encodeNow();
  }

  pause() {
    this.running = !this.running;
    showPlaying(this.play, this.running);
    this.before = performance.now();
  }

  /** The driven model beside the solver, or no more. */
  async beside() {
    const wanted = this.asked.getAttribute("aria-pressed") !== "true";
    this.asked.setAttribute("aria-pressed", wanted);
    if (wanted && !this.loaded) {
      this.tell(this.notice = "The network is being loaded.");
      try {
        this.loaded = await this.fetchModel();
      } catch (error) {
        this.asked.setAttribute("aria-pressed", "false");
        return this.tell(this.notice = `The network could not be loaded: ${error.message}`);
      }
      this.notice = null;
    }
    this.model = this.asked.getAttribute("aria-pressed") === "true" ? this.loaded : null;
    this.secondRow.hidden = this.kinds.hidden = this.again.hidden = !this.model;
    for (const one of this.samples) one.model = null;
    if (this.model) this.encodeNow();
    this.draw();
  }

  /** The network begins anew from the solver's state, and from that at its next whole step where this is none. */
  encodeNow() {
    this.latent = encode(this.model, this.state);
    this.between = this.ps % STEP !== 0;
    this.worst = 0;
    this.judge();
    this.still = 0;
  }

  // ---- time

  tick(stamp) {
    if (this.close.signal.aborted) return;
    requestAnimationFrame((next) => this.tick(next));
    const passed = Math.min(stamp - this.before, 100) * 1e-3, speed = this.pace();
    this.before = stamp;
    if (!this.running || !this.seen || this.still > 30) return;
    const piece = [10, 5, 2, 1].find((ps) => ps <= 0.04 * speed) ?? 1;
    this.owed = Math.min(this.owed + passed * speed, 2 * piece);
    if (this.owed >= piece && !this.asking) this.advance(Math.min(piece, STEP - this.ps % STEP));
  }

  pace() { return 10 ** Number(this.speed.input.value); }

  async advance(ps) {
    const parts = 4, from = this.field, aim = [...this.aim], fields = new Float32Array(3 * parts), turn = this.turn;
    const at = this.follow ? (share) => this.follow.at((this.ps - this.follow.since + share * ps) * 1e-3)
      : (share) => from.map((b, c) => b + share * (aim[c] - b));
    for (let k = 0; k < parts; k++) {
      const b = at((k + 0.5) / parts);
      fields.set(b.map((v) => v * 1e-3), 3 * k);
      b.forEach((v, c) => { this.passed[c] += v * ps / parts; });
    }
    const end = at(1);
    this.asking = true;
    this.owed -= ps;
    try {
      const { mean, state } = await this.remote.advance(ps * 1e-12, fields);
      if (turn !== this.turn) return;
      this.take(ps, end, mean, state);
    } catch (error) {
      if (turn !== this.turn || this.close.signal.aborted) return;
      if (this.running) this.pause();
      this.tell(this.notice = `The solver stopped: ${error.message}`);
    }
    this.asking = false;
  }

  take(ps, field, mean, state) {
    Object.assign(this, { field, mean, state });
    this.ps += ps;
    if (this.follow) {
      this.aim = [...field];
      this.save();
      if (this.ps - this.follow.since > this.follow.last) this.end();
    }
    let model = null;
    if (this.ps % STEP === 0) {
      model = this.stepModel();
      const moved = Math.max(...mean.map((v, c) => Math.abs(v - this.lastMean[c])));
      this.still = moved < REST && !this.follow && this.aim.every((b, c) => b === field[c]) ? this.still + 1 : 0;
      this.lastMean = mean;
      this.passed = [0, 0];
    }
    this.samples.push({ t: this.ps * 1e-3, field: [...field], mean, model });
    if (this.samples.length > KEPT) this.samples.splice(0, this.samples.length - KEPT);
    this.draw();
  }

  /** The driven model's step over the last 10 ps; returns its film average. */
  stepModel() {
    const { model, passed } = this;
    if (!model) return null;
    this.latent = this.between ? encode(model, this.state) : driven(model.dynamics, this.latent, passed.map((b) => b / STEP));
    this.between = false;
    return this.judge();
  }

  /** How far the network's film average, which it returns, is from the solver's. */
  judge() {
    const mean = averages(this.model, this.latent), off = Math.hypot(...this.mean.map((v, c) => v - mean[c]));
    this.worst = Math.max(this.worst, off);
    write(this.gap, `off by ${off.toFixed(3)}, at most ${this.worst.toFixed(3)}`);
    return mean;
  }

  // ---- what is seen and said

  draw() { this.waiting ||= requestAnimationFrame(() => { this.waiting = 0; this.paint(); }); }

  paint() {
    if (!this.picture.canvas.clientWidth) return;
    const { film, follow, field, aim, samples } = this, now = this.ps * 1e-3;
    drawFilm(this.picture.begin(), this.state, film);
    if (this.model && this.latent) drawFilm(this.second.begin(), decode(this.model, this.latent), film);
    drawHold(this.pad.begin(), follow ? field : aim, this.untouched);
    drawWheel(this.wheel.begin());
    drawScroll(this.curves.begin(), samples, now, WINDOW * this.pace() * 1e-3);
    drawLoop(this.loop.begin(), samples);
    write(this.speed.output, `${Number(this.pace().toPrecision(2))} ps/s`);
    write(this.damping.output, this.alpha().toPrecision(2));
    this.telling ||= setTimeout(() => {  // at most once in two seconds, for those who hear it
      this.telling = 0;
      this.tell(this.words());
    }, this.told ? 2000 : 0);
    this.told = true;
  }

  words() {
    const [angle, size] = polar(this.field), off = [];
    if (this.notice) return this.notice;
    if (this.untouched) return "Move the field, and the film answers. The equation is solved as you watch.";
    if (this.model && Math.abs(this.alpha() / this.film.alpha - 1) > 0.02) off.push(`The network knows a damping of ${this.film.alpha} alone.`);
    if (this.still > 30) off.push("It is at rest, and its time waits.");
    return `${(this.ps * 1e-3).toFixed(2)} ns. The field is ${size < 0.05 ? "off" : `${number(size, 0)} mT at ${number(angle, 0)}°`}. `
      + `The film ${direction(this.mean)}, mx = ${number(this.mean[0], 2)}. ${off.join(" ")}`;
  }

  tell(text) { if (this.said.textContent !== text) this.said.textContent = text; }

  alpha() { return 10 ** Number(this.damping.input.value); }

  // ---- what it listens to

  heedTouch() {
    const { signal } = this.close, { canvas } = this.pad;
    let begun = false;
    drag(canvas, (event) => {
      if (!begun) this.keep();
      begun = true;
      const [x, y] = share(canvas, event);
      this.hold([(2 * x - 1) * ROOM * LARGEST, (1 - 2 * y) * ROOM * LARGEST]);
    }, () => { begun = false; });
    this.holder.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const by = event.shiftKey ? 10 : 2, [x, y] = this.aim;
      const to = { ArrowLeft: [x - by, y], ArrowRight: [x + by, y], ArrowUp: [x, y + by], ArrowDown: [x, y - by], 0: [0, 0] }[event.key];
      if (!to && event.key !== " ") return;
      event.preventDefault();
      if (!to) return this.pause();
      if (!event.repeat) this.keep();
      this.hold(to);
    };
    this.speed.input.oninput = () => this.draw();
    this.damping.input.oninput = () => {
      this.remote.alpha = this.alpha();
      this.wake();
    };
    heed(this.widget, "field", (b) => {
      const to = b.map((v) => v * 1e3), news = (of) => !of || Math.hypot(to[0] - of[0], to[1] - of[1]) > 1e-3;
      if (!this.follow && news(this.aim) && news(this.sent)) this.hold(to);  // what was sent may come back
    }, signal);
    const look = new IntersectionObserver((entries) => { this.near = entries.at(-1).isIntersecting; this.looked(); });
    look.observe(this.el);
    document.addEventListener("visibilitychange", () => this.looked(), { signal });
    signal.addEventListener("abort", () => {
      look.disconnect();
      clearTimeout(this.saving);
      clearTimeout(this.telling);
    });
  }

  /** Out of sight it waits. */
  looked() { this.seen = this.near && !document.hidden; }
}
