// A reduced order model in a browser: what `pack.py` packed becomes states, film averages, and what to say of them.

const HALF = (() => {  // the value of each number of 16 bits
  const table = new Float32Array(65536);
  for (let i = 0; i < 65536; i++) {
    const exponent = (i >> 10) & 31, mantissa = i & 1023;
    const size = exponent ? 2 ** (exponent - 25) * (1024 + mantissa) : 2 ** -24 * mantissa;
    table[i] = i & 0x8000 ? -size : size;
  }
  return table;
})();

/** A header with a Float32Array in place of each {shape, from, bits}, and of what was rounded, {..., step}. packed: the weights, compressed. */
export async function unpacked(header, packed) {
  const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(inflated).arrayBuffer());
  const fill = (node) => {
    if (node === null || typeof node !== "object") return node;
    if (Array.isArray(node)) return node.map(fill);
    if (!("from" in node && "shape" in node)) return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, fill(value)]));
    const { shape, from, bits } = node, n = shape.reduce((a, b) => a * b, 1), size = bits / 8;
    if (node.step) {  // the lowest byte of all numbers, then the next
      const step = fill(node.step), row = n / step.length, unused = 32 - bits;
      return Float32Array.from({ length: n }, (_, i) => {
        let whole = 0;
        for (let k = 0; k < size; k++) whole |= bytes[from + k * n + i] << unused + 8 * k;
        return (whole >> unused) * step[Math.floor(i / row)];
      });
    }
    const stored = bytes.slice(from, from + size * n).buffer;
    return bits === 32 ? new Float32Array(stored) : Float32Array.from(new Uint16Array(stored), (v) => HALF[v]);
  };
  return fill(header);
}

/** The packed model, ready to answer. */
export async function unpack(header, packed) {
  const model = await unpacked(header, packed);
  if (model.decoder.kind === "components") model.rough = thin(model);
  if (model.decoder.kind === "linear") model.decoder.whole = whole(model);
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

/** A convolution with stride 2 and "same" padding: each patch of the input becomes one output. */
function convolve({ kernel, bias, weights, activation }, x, ny, nx) {
  const inputs = x.length / (ny * nx), out = bias.length, patch = kernel * kernel * inputs, before = (kernel - 2) / 2;
  const patches = new Float32Array(ny / 2 * nx / 2 * patch), y = new Float32Array(ny / 2 * nx / 2 * out);
  for (let p = 0, to = 0; p < ny * nx / 4; p++) {
    const row = 2 * Math.floor(p / (nx / 2)) - before, column = 2 * (p % (nx / 2)) - before;
    for (let a = row; a < row + kernel; a++) {
      for (let b = column; b < column + kernel; b++, to += inputs) {
        if (a >= 0 && a < ny && b >= 0 && b < nx) patches.set(x.subarray((a * nx + b) * inputs, (a * nx + b + 1) * inputs), to);
      }
    }
  }
  for (let i = 0; i < y.length; i++) y[i] = bias[i % out];
  return activate(product(patches, ny * nx / 4, weights, patch, out, y), activation);
}

/** A state (ny, nx, 3) on the grid of a model's film, from one with fewer cells: linear between their middles, then of unit length. */
function finer(m, coarse, film) {
  const by = film.nx / coarse.nx, out = new Float32Array(3 * film.nx * film.ny);
  const between = (i, n) => {
    const at = Math.max(0, Math.min(n - 1, (i + 0.5) / by - 0.5)), low = Math.min(n - 2, Math.floor(at));
    return [low, at - low];
  };
  for (let i = 0, to = 0; i < film.ny; i++) {
    const [y, v] = between(i, coarse.ny);
    for (let j = 0; j < film.nx; j++, to += 3) {
      const [x, u] = between(j, coarse.nx), k = 3 * (y * coarse.nx + x), up = k + 3 * coarse.nx;
      for (let c = 0; c < 3; c++) out[to + c] = (1 - v) * ((1 - u) * m[k + c] + u * m[k + 3 + c]) + v * ((1 - u) * m[up + c] + u * m[up + 3 + c]);
      const length = Math.hypot(out[to], out[to + 1], out[to + 2]) || 1;
      for (let c = 0; c < 3; c++) out[to + c] /= length;
    }
  }
  return out;
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

/** Components (latent, ny, nx, 3), of which a quarter was stored: the others are its mirror images, with the signs of magnetization. */
function whole({ latent, film: { nx, ny }, decoder: { components, parities } }) {
  if (!parities) return components;
  const all = new Float32Array(latent * ny * nx * 3);
  for (let k = 0, from = 0; k < latent; k++) {
    const [px, py] = parities[k];
    for (let i = 0; i < ny / 2; i++) {
      for (let j = 0; j < nx / 2; j++, from += 3) {
        for (const [y, x] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
          const to = 3 * ((k * ny + (y ? ny - 1 - i : i)) * nx + (x ? nx - 1 - j : j));
          all[to] = components[from] * (x ? -px : 1) * (y ? py : 1);
          all[to + 1] = components[from + 1] * (x ? px : 1) * (y ? -py : 1);
          all[to + 2] = components[from + 2] * (x ? -px : 1) * (y ? -py : 1);
        }
      }
    }
  }
  return all;
}

/** The latent state of a state (ny, nx, 3) of the solver in the page. */
export function encode({ latent, decoder, encoder, film, solver }, m) {
  if (encoder) {
    let x = film.nx > solver.film.nx ? finer(m, solver.film, film) : m, { ny, nx } = film;
    for (const layer of encoder.layers) {
      x = convolve(layer, x, ny, nx);
      ny /= 2;
      nx /= 2;
    }
    return dense(encoder.dense, x, 1);
  }
  return Float32Array.from({ length: latent }, (_, k) => {
    let sum = 0;
    for (let i = 0, from = k * m.length; i < m.length; i++) sum += m[i] * decoder.whole[from + i];
    return 3 * sum / m.length;
  });
}

/** The state (ny, nx, 3) of a latent state. */
export function decode(model, c) {
  const { decoder, film } = model;
  if (decoder.kind === "linear") {
    const m = product(c, 1, decoder.whole, model.latent, 3 * film.ny * film.nx, new Float32Array(3 * film.ny * film.nx));
    for (let i = 0; i < m.length; i += 3) {
      const length = Math.hypot(m[i], m[i + 1], m[i + 2]) || 1;
      for (let k = i; k < i + 3; k++) m[k] /= length;
    }
    return m;
  }
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

/** Latent states (times, latent) of a dynamics, one function a kind. Each takes its node, and what `rollout` takes. */
const KINDS = {
  atlas({ layers }, start, field, times) {
    const x = new Float32Array(3 * times.length);
    times.forEach((t, i) => x.set([field[0] * 1e-3, field[1] * 1e-3, t * 1e-9], 3 * i));
    return dense(layers, x, times.length);
  },
  ensemble({ members: all }, ...given) {
    return mean(all.map((one) => rollout(one, ...given)));
  },
  spline(node, start, field, times) {
    const { coefficients, patterns, every } = node, n = start.length, { x, distances } = place(node, field), c = new Float32Array(n * times.length);
    const rows = [...distances.map((r) => (r > 0 ? r * r * Math.log(r) : 0)), 1, ...x], k = coefficients.length / rows.length;
    const amplitudes = new Float64Array(k);
    rows.forEach((row, i) => { for (let a = 0; a < k; a++) amplitudes[a] += row * coefficients[i * k + a]; });
    const width = patterns.length / k, at = (sample, i) => {  // the patterns begin at the first sample after the start
      if (sample === 0) return start[i];
      let sum = 0;
      for (let a = 0; a < k; a++) sum += amplitudes[a] * patterns[a * width + (sample - 1) * n + i];
      return sum;
    };
    times.forEach((t, row) => {
      const steps = Math.min(t / every, width / n), near = Math.round(steps), before = Math.floor(steps), share = steps - before;
      for (let i = 0; i < n; i++) {
        c[row * n + i] = Math.abs(steps - near) < 1e-6 ? at(near, i) : (1 - share) * at(before, i) + share * at(before + 1, i);
      }
    });
    return c;
  },
  driven(node, start, field, times) {
    const c = new Float32Array(start.length * times.length);
    let now = Float32Array.from(start), steps = 0;
    times.forEach((t, row) => {
      for (; steps < Math.round(t / node.every); steps++) now = driven(node, now, field);
      c.set(now, row * start.length);
    });
    return c;
  },
  stepper({ layers, scale, residual, unit, every, history }, first, field, times) {
    const n = first.length / (1 + history), steps = Array.from({ length: 1 + history }, (_, k) => first.subarray(k * n, (k + 1) * n));
    const c = new Float32Array(n * times.length), drive = field.map((b) => b / unit);
    const at = (k) => {
      while (steps.length <= k) {
        const seen = steps.slice(-history).flatMap((one) => Array.from(one, (v) => v / scale));
        const next = dense(layers, Float32Array.from([...drive, ...seen]), 1).map((v) => v * scale), last = steps.at(-1);
        steps.push(residual ? next.map((v, i) => v + last[i]) : next);
      }
      return steps[k];
    };
    times.forEach((t, row) => {
      const before = Math.floor(t / every + 1e-6), share = Math.max(0, t / every - before), a = at(before), b = share > 1e-6 ? at(before + 1) : a;
      c.set(a.map((v, i) => v + share * (b[i] - v)), row * n);
    });
    return c;
  },
  hybrid(node, start, field, times) {
    return rollout(chosen(node, field), start, field, times);
  },
};

/** One step of a driven dynamics. field: its mean in mT over the step. The network is asked about the image whose mean points to the upper right. */
export function driven({ layers, parities }, c, field) {
  const first = (x, y) => parities.findIndex(([px, py]) => px === x && py === y);
  const [x, y] = parities ? [first(-1, 1), first(1, -1)].map((k) => (c[k] < 0 ? -1 : 1)) : [1, 1];
  const flips = Float32Array.from(c, (_, k) => (parities?.[k][0] < 0 ? x : 1) * (parities?.[k][1] < 0 ? y : 1));
  const change = dense(layers, Float32Array.from([...c.map((v, k) => flips[k] * v), x * field[0] * 1e-3, y * field[1] * 1e-3]), 1);
  return c.map((v, k) => v + flips[k] * change[k]);
}

const mean = (all) => all[0].map((_, i) => all.reduce((sum, one) => sum + one[i], 0) / all.length);

/** Where a field in mT lies among the knots of a spline: its coordinates, and its distances from them. */
function place({ knots, middle, scale }, field) {
  const x = polar(field).map((v, i) => (v - middle[i]) / scale);
  return { x, distances: Array.from({ length: knots.length / 2 }, (_, i) => Math.hypot(x[0] - knots[2 * i], x[1] - knots[2 * i + 1])) };
}

/** Of a hybrid the one that it asks at this field: networks where the spline is rough about it. Any other dynamics itself. */
export function chosen(dynamics, field) {
  if (dynamics.kind !== "hybrid") return dynamics;
  const { leftOut, neighbours } = dynamics.slow, { distances } = place(dynamics.slow, field);
  const nearest = distances.map((r, i) => [r, i]).sort(([a], [b]) => a - b).slice(0, neighbours);
  return nearest.reduce((sum, [, i]) => sum + leftOut[i], 0) / neighbours > dynamics.limit ? dynamics.fast : dynamics.slow;
}

/** Latent states (times, latent) from the latent state at t = 0 on, and those of the solver that a stepper needs. field: mT. times: ns. */
export function rollout(dynamics, start, field, times) {
  const c = KINDS[dynamics.kind](dynamics, start, field, times), n = c.length / times.length;
  times.forEach((t, i) => { if (t <= 0) c.set(start.slice(0, n), i * n); });
  return c;
}

/** The members of an ensemble, and of a hybrid those of its networks; of any other dynamics itself. */
export const parts = (dynamics) => dynamics.members ?? (dynamics.fast ? parts(dynamics.fast) : [dynamics]);


/** The times in ns that a model was trained at, without the start. */
const samples = ({ every, last }) => Array.from({ length: Math.round(last / every) }, (_, i) => (i + 1) * every);

/** The latent state at one time in ns; between the start and the first sample on the line from one to the other. */
export function latentAt({ dynamics, start, every }, field, time, first = start) {
  const c = rollout(dynamics, first, field, [Math.max(time, every)]);
  return time >= every ? c : c.map((v, i) => start[i] + (time / every) * (v - start[i]));
}

/** Film averages (rows, 3) of latent states. rough: of a quarter of the cells, off by some thousandths. */
export function averages(model, c, rough = false) {
  const { latent: n, dynamics: { readout } } = model;
  if (readout) return product(c, c.length / n, readout, n, 3, new Float32Array(3 * c.length / n));
  const rows = c.length / n, out = new Float32Array(3 * rows);
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

/** Film averages against time while a hand moves: one part, a third of the times, a quarter of the cells. */
export function sketch(model, field, first = model.start) {
  const times = samples(model).filter((_, i, all) => i % 3 === (all.length - 1) % 3);
  const c = rollout(parts(chosen(model.dynamics, field))[0], first, field, times);
  return { times: [0, ...times], mean: [...model.first, ...averages(model, c, Boolean(model.rough))] };
}

/** The same at all times and cells, with the band of an ensemble. Stops where `pause` says so between its slices. */
export async function answer(model, field, pause, first = model.start) {
  const { dynamics, latent } = model, times = samples(model), step = 5 * latent;
  const c = rollout(dynamics, first, field, times), curves = [...model.first], members = [];
  for (let from = 0; from < c.length; from += step) {
    curves.push(...averages(model, c.subarray(from, from + step)));
    if (await pause()) return null;
  }
  const n = parts(dynamics).length;
  if (n < 2) return { times: [0, ...times], mean: curves };
  for (const one of parts(dynamics)) {
    members.push(rollout(one, first, field, times));
    if (await pause()) return null;
  }
  const centre = mean(members), single = [];  // the members about the answer, which of a hybrid may be the spline's
  for (const one of members) {
    single.push(averages(model, one.map((v, i) => v + c[i] - centre[i]), Boolean(model.rough)));
    if (await pause()) return null;
  }
  const spread = curves.map((_, i) => {
    const values = single.map((m) => m[i - 3] ?? curves[i]), middle = values.reduce((a, b) => a + b) / n;
    return dynamics.coverage * Math.sqrt(values.reduce((sum, v) => sum + (v - middle) ** 2, 0) / (n - 1));
  });
  return { times: [0, ...times], mean: curves, low: curves.map((v, i) => v - spread[i]), high: curves.map((v, i) => v + spread[i]) };
}

export const SP4 = 2;  // the first of the known fields are those of standard problem 4

/** The solver's film averages at a field in mT that ships with them, and which of these fields it is; else null. */
export function solved(model, field) {
  const which = (model.known?.field ?? []).findIndex(([x, y]) => Math.hypot(x - field[0], y - field[1]) < 0.02);
  if (which < 0) return null;
  const times = samples(model), n = 3 * times.length;
  const { nx, ny } = model.film;
  return { which, grid: `${nx} × ${ny}`, times: [0, ...times], mean: [...model.first, ...model.known.mean.subarray(n * which, n * (which + 1))] };
}

/** Degrees from +x, 0 to 360, and size of a vector, and back. */
export const polar = ([x, y]) => [(Math.atan2(y, x) * 180 / Math.PI + 360) % 360, Math.hypot(x, y)];
export const fromPolar = (angle, size) => [size * Math.cos(angle * Math.PI / 180), size * Math.sin(angle * Math.PI / 180)];
/** By how many degrees a direction is turned from the middle of a fan, -180 to 180. */
export const turned = ({ angle: middle }, angle) => ((angle - middle + 540) % 360 + 360) % 360 - 180;
export const number = (value, digits = 1) => value.toFixed(digits).replace("-", "−");

/** What there is to say of a field in mT; of exact curves also how wrong they are, as far as the truth is known: {times, mean, grid, which}. */
export function report(model, field, curves, truth) {
  const [angle, size] = polar(field), { fan } = model, whole = truth?.times.length > samples(model).length;
  const beyond = [[Math.max(fan.strength[0] - size, size - fan.strength[1]), " mT"], [Math.abs(turned(fan, angle)) - fan.opening / 2, "°"]]
    .filter(([by]) => by > 0.05).map(([by, unit]) => number(by) + unit).join(" and ");
  const kind = truth?.which < SP4 ? `Standard problem 4, field ${truth.which + 1}.` : truth?.which >= SP4 ? "A field that the networks never saw." : "";
  const text = beyond ? `Outside the fan of trained fields by ${beyond}: do not trust the networks.` : kind || "Between the fields of the training.";
  const asked = whole ? ` Pale: the solver on ${truth.grid} cells.` : model.solver ? " The solver is at work." : "";
  const off = whole && curves  // at t = 0 there is no error
    && curves.mean.reduce((sum, v, i) => sum + Math.abs(v - truth.mean[i]), 0) / (curves.mean.length - 3);
  return `μ₀H = (${field.map((b) => number(b)).join(", ")}) mT, ${number(size)} mT at ${number(angle)}°. ${text}${asked}`
    + (typeof off === "number" ? ` Mean absolute error of the film average: ${number(off, 4)}.` : "");
}
