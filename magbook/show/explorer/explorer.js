// The explorer: a reduced order model that runs where it is looked at, in JupyterLab and on a page of the book.
// `pack.py` packs the model, `Explorer` in `__init__.py` is the widget. Chapter 7 introduces it.

// ---------------------------------------------------------------------------- the model

const HALF = (() => {  // the value of each number of 16 bits
  const table = new Float32Array(65536);
  for (let i = 0; i < 65536; i++) {
    const exponent = (i >> 10) & 31, mantissa = i & 1023;
    const size = exponent ? 2 ** (exponent - 25) * (1024 + mantissa) : 2 ** -24 * mantissa;
    table[i] = i & 0x8000 ? -size : size;
  }
  return table;
})();

/** The packed model: its header, with a Float32Array in place of each {shape, from}. */
export function unpack(header, bytes) {
  const stored = new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const fill = (node) => {
    if (node === null || typeof node !== "object") return node;
    if (Array.isArray(node)) return node.map(fill);
    if ("from" in node && "shape" in node) {
      const n = node.shape.reduce((a, b) => a * b, 1);
      const values = new Float32Array(n);
      for (let i = 0; i < n; i++) values[i] = HALF[stored[node.from + i]];
      return values;
    }
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, fill(value)]));
  };
  const model = fill(header);
  if (model.decoder.kind === "components") model.rough = thin(model);
  model.first = averages(model, Float32Array.from(model.start));  // at t = 0
  return model;
}

/** y = x w for the rows of x. Four rows of w at a time, so that y is read and written a quarter as often. */
function product(x, rows, w, inputs, outputs, y) {
  for (let r = 0; r < rows; r++) {
    const from = r * inputs, to = r * outputs;
    for (let i = 0; i + 3 < inputs; i += 4) {
      const a = x[from + i], b = x[from + i + 1], c = x[from + i + 2], d = x[from + i + 3];
      let k = i * outputs;
      for (let o = 0; o < outputs; o++, k++) {
        y[to + o] += a * w[k] + b * w[k + outputs] + c * w[k + 2 * outputs] + d * w[k + 3 * outputs];
      }
    }
    for (let i = inputs - inputs % 4; i < inputs; i++) {
      const a = x[from + i], k = i * outputs;
      for (let o = 0; o < outputs; o++) y[to + o] += a * w[k + o];
    }
  }
  return y;
}

const ACTIVATIONS = {
  linear: (v) => v,
  elu: (v) => (v > 0 ? v : Math.expm1(v)),
  gelu: (v) => 0.5 * v * (1 + Math.tanh(0.7978845608028654 * v * (1 + 0.044715 * v * v))),
  sine: Math.sin,
  tanh: Math.tanh,
};

function activate(values, name) {
  const f = ACTIVATIONS[name];
  if (name !== "linear") for (let i = 0; i < values.length; i++) values[i] = f(values[i]);
  return values;
}

/** Rows of inputs through dense layers. */
function dense(layers, x, rows) {
  for (const layer of layers) {
    if (layer.kind === "scale") {
      x = x.map((v, i) => v * layer.scale[i % layer.scale.length] + layer.offset[i % layer.offset.length]);
    } else {
      const n = layer.bias.length, y = new Float32Array(rows * n);
      for (let r = 0; r < rows; r++) y.set(layer.bias, r * n);
      x = activate(product(x, rows, layer.weights, layer.weights.length / n, n, y), layer.activation);
    }
  }
  return x;
}

/** A transposed convolution with stride 2 and "same" padding: each input's patch is added to the output. */
function deconvolve(layer, x, ny, nx) {
  const { kernel, bias, weights, activation } = layer;
  const out = bias.length, inputs = weights.length / (kernel * kernel * out), before = (kernel - 2) / 2;
  const y = new Float32Array(4 * ny * nx * out), patches = new Float32Array(ny * nx * kernel * kernel * out);
  product(x, ny * nx, weights, inputs, kernel * kernel * out, patches);
  for (let i = 0; i < y.length; i++) y[i] = bias[i % out];
  for (let p = 0, k = 0; p < ny * nx; p++) {
    const row = 2 * Math.floor(p / nx) - before, column = 2 * (p % nx) - before;
    for (let a = 0; a < kernel; a++) {
      for (let b = 0; b < kernel; b++, k += out) {
        if (row + a < 0 || row + a >= 2 * ny || column + b < 0 || column + b >= 2 * nx) continue;
        const to = ((row + a) * 2 * nx + column + b) * out;
        for (let o = 0; o < out; o++) y[to + o] += patches[k + o];
      }
    }
  }
  return activate(y, activation);
}

/** All coefficients of latent states (rows, latent): what is known, and what follows from it. */
function complete(decoder, c, rows) {
  const more = dense(decoder.closure, c, rows);
  const known = c.length / rows, rest = more.length / rows, all = new Float32Array(rows * (known + rest));
  for (let r = 0; r < rows; r++) {
    all.set(c.subarray(r * known, (r + 1) * known), r * (known + rest));
    all.set(more.subarray(r * rest, (r + 1) * rest), r * (known + rest) + known);
  }
  return all;
}

/** A quarter of the cells, evenly spread, of what the components rebuild: for averages while a hand moves. */
function thin({ decoder }) {
  const { ny, nx, restore } = decoder, n = ny * nx * 3, modes = restore.weights.length / n;
  const keep = [];
  for (let i = 0; i < ny; i++) {
    for (let j = 0; j < nx; j++) {
      if (i % 2 === (j >> 1) % 2 && j % 2 === (i >> 1) % 2) keep.push(...[0, 1, 2].map((c) => (i * nx + j) * 3 + c));
    }
  }
  const weights = new Float32Array(modes * keep.length);
  for (let k = 0; k < modes; k++) for (let i = 0; i < keep.length; i++) weights[k * keep.length + i] = restore.weights[k * n + keep[i]];
  return { weights, bias: Float32Array.from(keep, (i) => restore.bias[i]), activation: "linear" };
}

/** The state (ny, nx, 3) of a latent state. */
export function decode(model, c) {
  const { decoder, film } = model;
  if (decoder.kind === "convolutions") {
    let x = dense(decoder.dense, Float32Array.from(c), 1), { ny, nx } = decoder;
    for (const layer of decoder.layers) {
      x = deconvolve(layer, x, ny, nx);
      ny *= 2;
      nx *= 2;
    }
    return x;
  }
  const { ny, nx } = decoder, half = dense([decoder.restore], complete(decoder, Float32Array.from(c), 1), 1);
  // The film stays even under inversion, so the other half is this one, turned; then to twice as many cells, linearly.
  const m = new Float32Array(film.ny * film.nx * 3);
  const at = (i, j) => 3 * (j < nx ? i * nx + j : (ny - 1 - i) * nx + 2 * nx - 1 - j);
  for (let y = 0; y < film.ny; y++) {
    const i = y >> 1, i2 = Math.min(ny - 1, Math.max(0, y % 2 ? i + 1 : i - 1));
    for (let x = 0; x < nx * 2; x++) {
      const j = x >> 1, j2 = Math.max(0, x % 2 ? j + 1 : j - 1);
      const a = at(i, j), b = at(i, j2), d = at(i2, j), e = at(i2, j2);
      const u = 0.5625 * half[a] + 0.1875 * (half[b] + half[d]) + 0.0625 * half[e];
      const v = 0.5625 * half[a + 1] + 0.1875 * (half[b + 1] + half[d + 1]) + 0.0625 * half[e + 1];
      const w = 0.5625 * half[a + 2] + 0.1875 * (half[b + 2] + half[d + 2]) + 0.0625 * half[e + 2];
      const length = Math.sqrt(u * u + v * v + w * w) || 1;
      const to = 3 * (y * film.nx + x), turned = 3 * ((film.ny - 1 - y) * film.nx + film.nx - 1 - x);
      m[to] = m[turned] = u / length;
      m[to + 1] = m[turned + 1] = v / length;
      m[to + 2] = m[turned + 2] = w / length;
    }
  }
  return m;
}

/** Latent states (times, latent) that one network of field and time gives. field: mT. times: ns. */
export function rollout(model, member, field, times) {
  const x = new Float32Array(3 * times.length);
  times.forEach((t, i) => x.set([field[0] * 1e-3, field[1] * 1e-3, t * 1e-9], 3 * i));
  return dense(model.networks[member], x, times.length);
}

/** The latent state at one time in ns: the mean of all networks, from the start on. */
export function latentAt(model, field, time) {
  const first = model.every, t = Math.max(time, first);
  const c = new Float32Array(model.latent);
  model.networks.forEach((_, k) => rollout(model, k, field, [t]).forEach((v, i) => { c[i] += v / model.networks.length; }));
  return time >= first ? c : c.map((v, i) => model.start[i] + (time / first) * (v - model.start[i]));
}

/** Film averages (rows, 3) of latent states. rough: of a quarter of the cells, off by some thousandths. */
export function averages(model, c, rough = false) {
  const n = model.latent, rows = c.length / n, out = new Float32Array(3 * rows);
  const all = rough ? dense([model.rough], complete(model.decoder, c, rows), rows) : null;
  for (let r = 0; r < rows; r++) {
    const m = rough ? all.subarray(r * all.length / rows, (r + 1) * all.length / rows)
      : decode(model, c.subarray(r * n, (r + 1) * n));
    let x = 0, y = 0, z = 0;
    for (let i = 0; i < m.length; i += 3) {
      const length = rough ? Math.sqrt(m[i] * m[i] + m[i + 1] * m[i + 1] + m[i + 2] * m[i + 2]) || 1 : 1;
      const share = 3 / m.length / length;
      x += m[i] * share;
      y += m[i + 1] * share;
      z += m[i + 2] * share;
    }
    out.set([x, y, z], 3 * r);
  }
  return out;
}

/** Film averages against time while a hand moves: one network, a third of the times, a quarter of the cells. */
function sketch(model, field) {
  const times = Array.from({ length: 34 }, (_, i) => (3 * i + 1) * model.last / 100);
  const mean = averages(model, rollout(model, 0, field, times), Boolean(model.rough));
  return { times: [0, ...times], mean: [...model.first, ...mean] };
}

/** The same of all networks, times and cells, with the band of an ensemble. Stops where `pause` says so between its slices. */
async function answer(model, field, pause) {
  const times = Array.from({ length: 100 }, (_, i) => (i + 1) * model.last / 100), n = model.networks.length, step = 5 * model.latent;
  const c = new Float32Array(times.length * model.latent), mean = [...model.first], members = [];
  for (let k = 0; k < n; k++) {
    const one = rollout(model, k, field, times);
    one.forEach((v, i) => { c[i] += v / n; });
    if (await pause()) return null;
    if (n > 1) members.push(averages(model, one, Boolean(model.rough)));
    if (await pause()) return null;
  }
  for (let from = 0; from < c.length; from += step) {
    mean.push(...averages(model, c.subarray(from, from + step)));
    if (await pause()) return null;
  }
  if (n < 2) return { times: [0, ...times], mean };
  const spread = mean.map((_, i) => {
    const values = members.map((m) => m[i - 3] ?? mean[i]), middle = values.reduce((a, b) => a + b) / n;
    return model.widen * Math.sqrt(values.reduce((sum, v) => sum + (v - middle) ** 2, 0) / (n - 1));
  });
  return { times: [0, ...times], mean, low: mean.map((v, i) => v - spread[i]), high: mean.map((v, i) => v + spread[i]) };
}

/** The solver's film averages at a field in mT that ships with them, and which of these fields it is; else null. */
function solved(model, field) {
  const which = (model.known?.field ?? []).findIndex(([x, y]) => Math.hypot(x - field[0], y - field[1]) < 0.02);
  if (which < 0) return null;
  const mean = model.known.mean.subarray(300 * which, 300 * (which + 1));
  return { which, times: Array.from({ length: 101 }, (_, i) => i * model.last / 100), mean: [...model.first, ...mean] };
}

const polar = ([x, y]) => [(Math.atan2(y, x) * 180 / Math.PI + 360) % 360, Math.hypot(x, y)];
const number = (value, digits = 1) => value.toFixed(digits).replace("-", "−");

/** What there is to say of a field in mT; of exact curves also how wrong they are, where that is known. */
function report(model, field, curves) {
  const [angle, size] = polar(field), { fan } = model, truth = solved(model, field);
  const beyond = [[Math.max(fan.strength[0] - size, size - fan.strength[1]), " mT"], [Math.abs(angle - fan.angle) - fan.opening / 2, "°"]]
    .filter(([by]) => by > 0.05).map(([by, unit]) => number(by) + unit).join(" and ");
  const kind = truth?.which < 2 ? `Standard problem 4, field ${truth.which + 1}` : "A field that the networks never saw";
  const text = beyond ? `Outside the fan of trained fields by ${beyond}: do not trust what you see.`
    : truth ? `${kind}, with the solver's answer, pale.` : "Between the fields of the training; the solver was not asked.";
  const off = truth && curves && curves.mean.reduce((sum, v, i) => sum + Math.abs(v - truth.mean[i]), 0) / 300;
  return `μ₀H = (${field.map((b) => number(b)).join(", ")}) mT, ${number(size)} mT at ${number(angle)}°. ${text}`
    + (truth && curves ? ` Mean absolute error of the film average: ${number(off, 4)}.` : "");
}

// ---------------------------------------------------------------------------- what is drawn

const COLOURS = { x: "#d55e00", y: "#0a85c7", z: "#009e73" };  // of plots.py
const PAD = { left: -47, right: 2, bottom: -20.5, top: 18.5 };  // mT

/** RGBA of states (ny, nx, 3) with row 0 at the bottom: hue from the angle in the plane, lightness from mz. */
export function colours(m, nx, ny) {
  const pixels = new Uint8ClampedArray(4 * nx * ny);
  for (let row = 0, from = 0; row < ny; row++) {
    let to = 4 * nx * (ny - 1 - row);
    for (let column = 0; column < nx; column++, from += 3, to += 4) {
      const angle = Math.atan2(m[from + 1], m[from]) * 3 / Math.PI, z = Math.max(-1, Math.min(1, m[from + 2]));
      const purity = 1 - Math.abs(z), middle = z / 2 + 0.5;
      for (let c = 0; c < 3; c++) {
        const sextant = (((angle - 2 * c) % 6) + 6) % 6;
        const share = Math.max(0, Math.min(1, Math.abs(sextant - 3) - 1));
        pixels[to + c] = 255 * (middle + purity * (share - 0.5));
      }
      pixels[to + 3] = 255;
    }
  }
  return pixels;
}

/** An element with properties, attributes (names with a dash, or role) and children. */
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

/** A canvas as sharp as the screen; `begin` clears it and gives its context, in units of css pixels. */
function sheet(label, className) {
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

function arrow(pen, x, y, dx, dy, head) {
  const angle = Math.atan2(dy, dx);
  pen.beginPath();
  pen.moveTo(x - dx / 2, y - dy / 2);
  pen.lineTo(x + dx / 2, y + dy / 2);
  for (const side of [2.6, -2.6]) {
    pen.moveTo(x + dx / 2, y + dy / 2);
    pen.lineTo(x + dx / 2 + head * Math.cos(angle + side), y + dy / 2 + head * Math.sin(angle + side));
  }
  pen.stroke();
}

function drawFilm({ pen, width, height }, m, { nx, ny }) {
  const picture = new OffscreenCanvas(nx, ny);
  picture.getContext("2d").putImageData(new ImageData(colours(m, nx, ny), nx, ny), 0, 0);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, 0, 0, width, height);
  const step = width / 20, rows = Math.max(1, Math.round(height / step));
  for (const [color, thick] of [["rgba(255,255,255,0.55)", 3], ["#111", 1.2]]) {
    pen.strokeStyle = color;
    pen.lineWidth = thick;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < 20; column++) {
        const i = Math.floor((row + 0.5) * ny / rows), j = Math.floor((column + 0.5) * nx / 20), k = 3 * (i * nx + j);
        const size = 0.62 * Math.min(step, 26);
        arrow(pen, (column + 0.5) * width / 20, height - (row + 0.5) * height / rows, size * m[k], -size * m[k + 1], size * 0.32);
      }
    }
  }
}

function drawWheel({ pen, width, height, ink }) {
  const n = 96, r = 0.5 * Math.min(width, height) - 15, vectors = new Float32Array(3 * n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const x = 2 * (j + 0.5) / n - 1, y = 2 * (i + 0.5) / n - 1;
      vectors.set([x, y, Math.max(0, 1 - Math.hypot(x, y))], 3 * (i * n + j));
    }
  }
  const picture = new OffscreenCanvas(n, n);
  picture.getContext("2d").putImageData(new ImageData(colours(vectors, n, n), n, n), 0, 0);
  pen.save();
  pen.beginPath();
  pen.arc(width / 2, height / 2, r, 0, 7);
  pen.clip();
  pen.drawImage(picture, width / 2 - r, height / 2 - r, 2 * r, 2 * r);
  pen.restore();
  pen.fillStyle = ink;
  pen.font = pen.font.replace("12px", "11px");
  pen.textAlign = "center";
  for (const [text, x, y] of [["+x", 1, 0], ["−x", -1, 0], ["+y", 0, -1], ["−y", 0, 1]]) {
    pen.fillText(text, width / 2 + x * (r + 8), height / 2 + y * (r + 7));
  }
}

function drawPad({ pen, width, height, ink }, model, field) {
  const px = (x) => (x - PAD.left) / (PAD.right - PAD.left) * width, py = (y) => (PAD.top - y) / (PAD.top - PAD.bottom) * height;
  const scale = width / (PAD.right - PAD.left), { angle, opening, strength } = model.fan, radians = Math.PI / 180;
  const wedge = [(180 - angle - opening / 2) * radians + Math.PI, (180 - angle + opening / 2) * radians + Math.PI];
  pen.beginPath();
  pen.arc(px(0), py(0), strength[1] * scale, wedge[0], wedge[1]);
  pen.arc(px(0), py(0), strength[0] * scale, wedge[1], wedge[0], true);
  pen.closePath();
  pen.globalAlpha = 0.1;
  pen.fillStyle = ink;
  pen.fill();
  pen.strokeStyle = ink;
  pen.lineWidth = 1;
  pen.globalAlpha = 0.22;
  for (const size of [10, 20, 30, 40]) {
    pen.beginPath();
    pen.arc(px(0), py(0), size * scale, Math.PI - 0.44, Math.PI + 0.44);
    pen.stroke();
  }
  pen.globalAlpha = 0.35;
  pen.fillStyle = ink;
  for (let i = 0; i < model.trained.length; i += 2) pen.fillRect(px(model.trained[i]) - 0.8, py(model.trained[i + 1]) - 0.8, 1.6, 1.6);
  pen.globalAlpha = 0.75;
  pen.textAlign = "center";
  for (const size of [10, 20, 30, 40]) pen.fillText(size < 40 ? size : "40 mT", px(-size * Math.cos(0.44)), py(-size * Math.sin(0.44)) + 9);
  pen.globalAlpha = 1;
  (model.known?.field ?? []).forEach(([x, y], i) => {
    pen.beginPath();
    pen.arc(px(x), py(y), i < 2 ? 5.5 : 2.4, 0, 7);
    pen.fillStyle = i < 2 ? COLOURS.x : "#cc79a7";
    pen.fill();
  });
  pen.strokeStyle = COLOURS.y;
  pen.lineWidth = 2.5;
  const [x, y] = [px(field[0]), py(field[1])];
  arrow(pen, (x + px(0)) / 2, (y + py(0)) / 2, x - px(0), y - py(0), 0);
  pen.beginPath();
  pen.arc(x, y, 8, 0, 7);
  pen.fillStyle = "rgba(10,133,199,0.3)";
  pen.fill();
  pen.stroke();
}

const FRAME = { left: 30, right: 8, top: 6, bottom: 22 };

function drawCurves({ pen, width, height, ink }, last, time, curves, truth) {
  const px = (t) => FRAME.left + t / last * (width - FRAME.left - FRAME.right);
  const py = (v) => FRAME.top + (1.05 - v) / 2.1 * (height - FRAME.top - FRAME.bottom);
  pen.lineWidth = 1;
  pen.fillStyle = pen.strokeStyle = ink;
  for (const v of [-1, 0, 1]) {
    pen.globalAlpha = 0.25;
    pen.beginPath();
    pen.moveTo(px(0), py(v));
    pen.lineTo(px(last), py(v));
    pen.stroke();
    pen.globalAlpha = 0.85;
    pen.textAlign = "right";
    pen.fillText(String(v).replace("-", "−"), FRAME.left - 6, py(v));
  }
  pen.textAlign = "center";
  for (let k = 0; k <= 4; k++) pen.fillText(`${Number((k * last / 4).toFixed(2))}${k < 4 ? "" : " ns"}`, px(k * last / 4) - (k < 4 ? 0 : 10), height - 9);
  const line = (times, values, c) => {
    pen.beginPath();
    times.forEach((t, i) => pen.lineTo(px(t), py(values[3 * i + c])));
    pen.stroke();
  };
  Object.values(COLOURS).forEach((color, c) => {
    pen.strokeStyle = pen.fillStyle = color;
    if (truth) {
      pen.globalAlpha = 0.4;
      pen.lineWidth = 6;
      line(truth.times, truth.mean, c);
    }
    if (curves.low) {
      pen.globalAlpha = 0.3;
      pen.beginPath();
      curves.times.forEach((t, i) => pen.lineTo(px(t), py(curves.low[3 * i + c])));
      for (let i = curves.times.length - 1; i >= 0; i--) pen.lineTo(px(curves.times[i]), py(curves.high[3 * i + c]));
      pen.fill();
    }
    pen.globalAlpha = 1;
    pen.lineWidth = 1.6;
    line(curves.times, curves.mean, c);
  });
  pen.strokeStyle = ink;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(px(time), py(1.05));
  pen.lineTo(px(time), py(-1.05));
  pen.stroke();
}

// ---------------------------------------------------------------------------- the widget

const models = (globalThis.magbookUnpacked ??= new Map());  // what the widgets of a page share

/** The packed model that a widget names, unpacked once: from a page's script, or asked of Python. */
function fetchModel(widget) {
  const name = widget.get("model");
  if (!models.has(name)) {
    const answer = widget.packed ? widget.packed(name) : new Promise((resolve) => {
      widget.on("msg:custom", (header, buffers) => resolve([header, buffers[0]]));
      widget.send({ want: "model" });
    });
    models.set(name, answer.then(([header, bytes]) => unpack(header, bytes)));
    models.get(name).catch(() => models.delete(name));
  }
  return models.get(name);
}

function range(label, min, max, step) {
  return { input: make("input", { type: "range", min, max, step, "aria-label": label }), output: make("output") };
}

const button = (textContent, onclick, more = {}) => make("button", { type: "button", textContent, onclick, ...more });
const knob = (name, { input, output }) => make(typeof name === "string" ? "label" : "div", { className: "mbx-knob" },
  typeof name === "string" ? make("span", { textContent: name }) : name, input, output);

/** Everything there is to see and touch, not yet put together. */
function controls(model) {
  const film = sheet("The film at the chosen moment", "mbx-film");
  const wheel = sheet("Colour wheel: red along +x, yellow-green along +y, cyan along −x, violet along −y, white out of the plane",
    "mbx-wheel");
  const sliders = model.high.map((high, k) => {
    const reach = Math.max(1e-6, high - model.low[k]);
    return range(`latent number ${k}`, model.low[k] - 0.1 * reach, high + 0.1 * reach, reach / 200);
  });
  if (!model.networks.length) return { film, wheel, sliders };
  const pad = sheet("The applied field, its x and y in millitesla. Grey dots: fields of the training. Pink dots: unseen fields "
    + "with the solver's answer. Orange: standard problem 4. Drag the blue ring, or use the sliders below.", "mbx-pad");
  return {
    film, wheel, sliders, pad,
    curve: sheet("Film averages of mx, my and mz against time", "mbx-curves"),
    clock: range("time in nanoseconds", 0, model.last, model.last / 100),
    direction: range("direction of the field in degrees", 150, 210, 0.5),
    strength: range("strength of the field in millitesla", 5, 50, 0.25),
    play: button("▶", null, { className: "mbx-play", "aria-label": "play" }),
    legend: make("div", { className: "mbx-legend", "aria-hidden": "true" },
      ...Object.entries(COLOURS).map(([c, color]) => make("span", { innerHTML: `<i style="background:${color}"></i><em>m</em><sub>${c}</sub>` })),
      make("span", { className: "mbx-note",
        textContent: model.networks.length > 1 ? "thin: networks, shaded: their band, pale: solver" : "thin: network, pale: solver" })),
  };
}

async function render({ model: widget, el }) {
  el.classList.add("magbook-explorer-panel");
  const said = make("p", { className: "mbx-said", role: "status", textContent: "The networks are being loaded." });
  el.replaceChildren(said);
  let model;
  try {
    model = await fetchModel(widget);
  } catch (error) {
    said.textContent = `The networks could not be loaded: ${error.message}`;
    throw error;
  }

  const turning = widget.get("panels").includes("field"), sliding = widget.get("panels").includes("latent"), { last } = model;
  const { film, wheel, sliders, pad, curve, clock, direction, strength, play, legend } = controls(model);
  const close = new AbortController(), { signal } = close;
  const given = Float32Array.from(widget.get("latent"));
  // `hand`: the latent state was set by hand, and is not that of field and time
  const now = { field: widget.get("field").map((b) => b * 1e3), time: widget.get("time") * 1e9,
    latent: given.length ? given : Float32Array.from(model.start), hand: !turning || given.length > 0 };

  // ---- where it stands

  const choices = make("div", { className: "mbx-choices" });
  if (turning && model.known) {
    const unseen = () => 2 + Math.floor(Math.random() * (model.known.field.length - 2));
    for (const [text, pick] of [["SP4 field 1", () => 0], ["SP4 field 2", () => 1], ["unseen field", unseen]]) {
      choices.append(button(text, () => turn(model.known.field[pick()])));
    }
  }
  const top = make("div", { className: "mbx-top" }, ...(turning ? [play, knob("time", clock)] : [make("span")]), wheel.canvas);
  const right = make("div", { className: "mbx-right" }, top, film.canvas, ...(turning ? [legend, curve.canvas] : []));
  el.replaceChildren(!turning ? right : make("div", { className: "mbx-grid" },
    make("div", { className: "mbx-left" }, pad.canvas, knob("direction", direction), knob("strength", strength), choices), right));
  if (sliding) {
    let base = model.start.map(() => 0);
    const starts = [["S-state", model.start], ["mean", model.mean], ["zero", base]].map(([text, values]) => button(text, () => {
      base = values;
      hand(Float32Array.from(base));
    }));
    const alone = (k) => {
      const c = Float32Array.from(base), up = now.latent[k] !== Math.fround(model.high[k]);
      c[k] = up ? model.high[k] : model.low[k];
      hand(c);
      said.textContent = `Number ${k} alone, at its ${up ? "highest" : "lowest"} value in the fan.`;
    };
    el.append(
      make("div", { className: "mbx-choices" }, make("span", { textContent: "begin with" }), ...starts,
        make("span", { className: "mbx-note", textContent: "A number's button shows it alone, high, then low." })),
      make("div", { className: "mbx-sliders" }, ...sliders.map((one, k) => knob(button(k, () => alone(k), {
        title: `only number ${k}`, "aria-label": `only latent number ${k}` }), one))));
  }
  el.append(said);

  // ---- what follows from a touch

  const dirty = new Set(["field"]);
  let curves, waiting = 0, refining = 0, saving = 0, playing = false, held = false;
  const redraw = (what) => { dirty.add(what); waiting ||= requestAnimationFrame(frame); };

  function change(what, values, byHand = false) {
    Object.assign(now, values, { hand: byHand });
    redraw(what);
    saving ||= setTimeout(save, 100);  // to Python, at most ten times a second
  }
  const turn = (field) => change("field", { field: [...field] });
  const move = (time) => change("time", { time: Math.min(last, Math.max(0, time)) });
  const hand = (latent) => { stop(); change("latent", { latent }, true); };

  function save() {
    saving = 0;
    widget.set({ field: now.field.map((b) => b * 1e-3), time: now.time * 1e-9, latent: Array.from(now.latent) });
    widget.save_changes();
  }

  function frame() {
    waiting = 0;
    if (turning && dirty.has("field")) {
      clearTimeout(refining);
      curves = sketch(model, now.field);
      refining = setTimeout(refine, held ? 250 : 60);
      tell(report(model, now.field));
    }
    if (turning && !now.hand) now.latent = latentAt(model, now.field, now.time);
    dirty.clear();
    draw();
  }

  async function refine() {
    const { field } = now, stale = () => now.field !== field || signal.aborted;
    const better = await answer(model, field, () => new Promise((resolve) => setTimeout(() => resolve(stale()))));
    if (!better) return;
    curves = better;
    tell(report(model, field, curves));
    redraw("time");
  }

  function tell(text) {
    const [angle, size] = polar(now.field);
    said.textContent = text;
    for (const [one, value, unit] of [[direction, angle, "°"], [strength, size, " mT"]]) {
      one.input.value = value;
      one.output.textContent = number(value) + unit;
    }
  }

  function draw() {
    if (!film.canvas.clientWidth) return;
    drawFilm(film.begin(), decode(model, now.latent), model.film);
    drawWheel(wheel.begin());
    sliders.forEach((one, i) => {
      one.input.value = now.latent[i];
      one.output.textContent = number(now.latent[i]);
    });
    if (!turning) return;
    drawPad(pad.begin(), model, now.field);
    drawCurves(curve.begin(), last, now.time, curves, solved(model, now.field));
    clock.input.value = now.time;
    clock.output.textContent = `${now.time.toFixed(2)} ns`;
  }

  function stop() {
    if (!playing) return;
    playing = false;
    play.textContent = "▶";
    play.setAttribute("aria-label", "play");
  }

  function tick(before) {
    if (!playing || signal.aborted) return;
    // A nanosecond in eight seconds; who asked for less motion sees ten pictures
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches, stamp = performance.now();
    if (calm && stamp - before < 800) return void requestAnimationFrame(() => tick(before));
    move(now.time + (calm ? last / 10 : last * Math.min(stamp - before, 100) / 8000));
    if (now.time >= last) return stop();
    requestAnimationFrame(() => tick(stamp));
  }

  function drag(canvas, follow, drop = () => {}) {
    canvas.onpointerdown = (event) => {
      canvas.setPointerCapture(event.pointerId);
      held = true;
      follow(event);
    };
    canvas.onpointermove = (event) => held && canvas.hasPointerCapture(event.pointerId) && follow(event);
    canvas.onpointerup = canvas.onpointercancel = (event) => { held = false; drop(event); };
  }

  sliders.forEach(({ input }, k) => { input.oninput = () => hand(now.latent.map((v, i) => (i === k ? Number(input.value) : v))); });
  if (turning) {
    play.onclick = () => {
      if (playing) return stop();
      if (now.time >= last) now.time = 0;
      playing = true;
      play.textContent = "❚❚";
      play.setAttribute("aria-label", "pause");
      tick(performance.now());
    };
    clock.input.oninput = () => { stop(); move(Number(clock.input.value)); };
    direction.input.oninput = strength.input.oninput = () => {
      const angle = Number(direction.input.value) * Math.PI / 180, size = Number(strength.input.value);
      turn([size * Math.cos(angle), size * Math.sin(angle)]);
    };
    const point = (event) => {
      const box = pad.canvas.getBoundingClientRect();
      return [PAD.left + (event.clientX - box.left) / box.width * (PAD.right - PAD.left),
        PAD.top - (event.clientY - box.top) / box.height * (PAD.top - PAD.bottom)];
    };
    let from;
    drag(pad.canvas, (event) => { from ??= event; turn(point(event)); }, (event) => {
      // A click near a field whose answer is known means that field
      const still = from && Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) < 4, [x, y] = point(event);
      from = undefined;
      if (!still || !model.known) return;
      const gaps = model.known.field.map(([u, v]) => Math.hypot(u - x, v - y)), k = gaps.indexOf(Math.min(...gaps));
      if (gaps[k] < 1.2) turn(model.known.field[k]);
    });
    drag(curve.canvas, (event) => {
      const box = curve.canvas.getBoundingClientRect();
      stop();
      move((event.clientX - box.left - FRAME.left) / (box.width - FRAME.left - FRAME.right) * last);
    });
  }

  // What Python sets; what comes back of our own changes is no news
  const differs = (a, b) => a.length !== b.length || a.some((v, i) => Math.abs(v - b[i]) > 1e-4 * (1 + Math.abs(v)));
  const heed = (name, f) => {
    const callback = () => !held && f(widget.get(name));
    widget.on(`change:${name}`, callback);
    signal.addEventListener("abort", () => widget.off(`change:${name}`, callback));
  };
  if (turning) {
    heed("field", (b) => differs(b.map((v) => v * 1e3), now.field) && turn(b.map((v) => v * 1e3)));
    heed("time", (t) => differs([t * 1e9], [now.time]) && move(t * 1e9));
  }
  heed("latent", (c) => c.length === model.latent && differs(c, now.latent) && hand(Float32Array.from(c)));

  // Arrows move the panel's sliders; JupyterLab's notebook would take them for itself
  el.addEventListener("keydown", (event) => event.stopPropagation(), { signal });
  const size = new ResizeObserver(() => redraw("size"));
  size.observe(el);
  const theme = new MutationObserver(() => redraw("theme"));
  const attributeFilter = ["data-theme", "data-jp-theme-light"];
  for (const node of [document.documentElement, document.body]) theme.observe(node, { attributeFilter });
  said.textContent = "";
  frame();
  save();
  return () => { close.abort(); size.disconnect(); theme.disconnect(); };
}

export default { render };
