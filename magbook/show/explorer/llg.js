// The Landau-Lifshitz-Gilbert equation of a thin film, solved where it is looked at: the second telling of chapter 1.
//
//     dm/dt = -gamma0/(1 + alpha^2) [m x H + alpha m x (m x H)],   H = H_exchange + H_demag + H_zeeman
//
// It does what `multirate.py` and `demag.py` do, which say more about why, in double precision: V8 is no faster in single.
// Units inside: h = H/Ms and tau = gamma0 Ms t/(1 + alpha^2). A vector field is one array of three planes, x, y and z, each
// (ny + 2, nx + 2), row 0 at the bottom, with a border of zeros: a missing neighbour then adds m = 0 to the exchange field, which
// is the free boundary.

// ---------------------------------------------------------------------------- the demagnetizing field

/** Newell's f, eq. 27 of J. Geophys. Res. 98, 9551 (1993); terms with 0/0 in them vanish. */
function newellF(x, y, z) {
  const r = Math.hypot(x, y, z), ratio = (a, b) => (b ? a / b : 0);
  return y / 2 * (z * z - x * x) * Math.asinh(ratio(y, Math.hypot(x, z)))
    + z / 2 * (y * y - x * x) * Math.asinh(ratio(z, Math.hypot(x, y)))
    - x * y * z * Math.atan(ratio(y * z, x * r)) + (2 * x * x - y * y - z * z) * r / 6;
}

/** Newell's g, eq. 32. */
function newellG(x, y, z) {
  const r = Math.hypot(x, y, z), ratio = (a, b) => (b ? a / b : 0);
  return x * y * z * Math.asinh(ratio(z, Math.hypot(x, y)))
    + y / 6 * (3 * z * z - y * y) * Math.asinh(ratio(x, Math.hypot(y, z)))
    + x / 6 * (3 * z * z - x * x) * Math.asinh(ratio(y, Math.hypot(x, z)))
    - z ** 3 / 6 * Math.atan(ratio(x * y, z * r)) - z * y * y / 2 * Math.atan(ratio(x * z, y * r))
    - z * x * x / 2 * Math.atan(ratio(y * z, x * r)) - x * y * r / 3;
}

/** N_xx, N_yy, N_zz and N_xy between two cells, i cells apart along x and j along y. cell: their lengths. */
function newell(i, j, cell) {
  const [dx, dy, dz] = cell.map((d) => d / Math.max(...cell)), n = [0, 0, 0, 0];
  const near = Math.hypot(i * dx, j * dy) <= 20;
  // Near: second differences of f and g. They lose digits with the distance; far, dipoles averaged over both cells do not
  const nodes = near ? [[-1, -1], [0, 2], [1, -1]] : [[-Math.sqrt(0.4), 5 / 24], [0, 7 / 12], [Math.sqrt(0.4), 5 / 24]];
  for (const [a, wa] of nodes) {
    for (const [b, wb] of nodes) {
      for (const [c, wc] of nodes) {
        const x = (i + a) * dx, y = (j + b) * dy, z = c * dz, w = wa * wb * wc / (4 * Math.PI), r2 = x * x + y * y + z * z;
        const terms = near ? [newellF(x, y, z), newellF(y, x, z), newellF(z, y, x), newellG(x, y, z)]
          : [r2 - 3 * x * x, r2 - 3 * y * y, r2 - 3 * z * z, -3 * x * y];
        const scale = near ? w / (dx * dy * dz) : w * dx * dy * dz / r2 ** 2.5;
        for (let q = 0; q < 4; q++) n[q] += scale * terms[q];
      }
    }
  }
  return n;
}

/** The spectrum of one component of the tensor, (ny, nx), at (k + sx)/nx and (l + sy)/ny periods a cell: real, even or odd in both. */
function spectrum(n, nx, ny, sx, sy, odd) {
  const wave = (cells, s) => Float64Array.from({ length: cells * cells }, (_, at) => {
    const k = Math.floor(at / cells), i = at % cells, phase = 2 * Math.PI * (k + s) * i / cells;
    return (i ? 2 : 1) * (odd ? Math.sin(phase) : Math.cos(phase));
  });
  const times = (a, b, rows, inner, columns) => {  // a b, transposed
    const c = new Float64Array(rows * columns);
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < inner; i++) {
        for (let o = 0, w = a[r * inner + i]; o < columns; o++) c[o * rows + r] += w * b[i * columns + o];
      }
    }
    return c;
  };
  const out = times(wave(nx, sx), times(wave(ny, sy), n, ny, ny, nx), nx, nx, ny);
  return odd ? out.map((v) => -v) : out;
}

/**
 * The part of the tensor that a cell and its four neighbours can tell: three numbers (own, along x, along y) for each of x, y, z,
 * fitted to its spectrum, where long waves weigh most. Only what is left is slow; together they are the whole field.
 */
function nearPart(tensor, nx, ny) {
  const spectra = tensor.slice(0, 3).map((n) => spectrum(n, nx, ny, 0.5, 0.5)), near = [];
  for (const values of spectra) {
    const rows = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]];  // normal equations
    for (let l = 0; l < ny; l++) {
      for (let k = 0; k < nx; k++) {
        const [kx, ky] = [2 * (k + 0.5) / nx, 2 * (l + 0.5) / ny].map((p) => Math.PI * Math.min(p, 2 - p));
        const terms = [1, 2 * Math.cos(kx), 2 * Math.cos(ky), values[l * nx + k]], weight = Math.hypot(kx, ky) ** -2.2;
        rows.forEach((row, p) => terms.forEach((term, q) => { row[q] += weight * terms[p] * term; }));
      }
    }
    for (let p = 0; p < 3; p++) {
      for (let r = 0; r < 3; r++) {
        const share = rows[r][p] / rows[p][p];
        if (r !== p) rows[r] = rows[r].map((v, q) => v - share * rows[p][q]);
      }
    }
    near.push(...rows.map((row, p) => row[3] / row[p]));
  }
  return near;
}

/** What `transform` multiplies with, for n points at frequencies k + s. */
function twiddles(n, s) {
  const w = [], turn = (part) => w.push(Math.cos(2 * Math.PI * part), -Math.sin(2 * Math.PI * part));
  let h = 1;
  if (Math.log2(n) % 2) {
    turn(s / 2);
    h = 2;
  }
  for (; h < n; h *= 4) for (let k = 0; k < h; k++) for (const q of [2, 1, 3]) turn(q * (k + s) / (4 * h));
  return Float64Array.from(w);
}

/**
 * Fourier transform in place, of `lanes` rows at a time: sums of v[j] exp(-2 pi i j (k + s)/n), where j is in bit-reversed order.
 * That the frequencies are shifted by s costs nothing, it is in the factors w. Point j of a lane is at j step + lane gap.
 */
function transform(re, im, n, w, step, lanes, gap) {
  let h = 1, at = 0;
  const end = lanes * gap;
  if (Math.log2(n) % 2) {
    const c = w[at++], s = w[at++];
    for (let b = 0; b < n; b += 2) {
      for (let p = b * step, q = p + step, last = p + end; p < last; p += gap, q += gap) {
        const x = c * re[q] - s * im[q], y = c * im[q] + s * re[q];
        re[q] = re[p] - x;
        im[q] = im[p] - y;
        re[p] += x;
        im[p] += y;
      }
    }
    h = 2;
  }
  for (; h < n; h *= 4) {
    for (let k = 0; k < h; k++, at += 6) {
      const c1 = w[at], s1 = w[at + 1], c2 = w[at + 2], s2 = w[at + 3], c3 = w[at + 4], s3 = w[at + 5];
      for (let b = k; b < n; b += 4 * h) {
        let p0 = b * step, p1 = p0 + h * step, p2 = p1 + h * step, p3 = p2 + h * step;
        for (const last = p0 + end; p0 < last; p0 += gap, p1 += gap, p2 += gap, p3 += gap) {
          const x0 = re[p0], y0 = im[p0], r1 = re[p1], i1 = im[p1], r2 = re[p2], i2 = im[p2], r3 = re[p3], i3 = im[p3];
          const x1 = c1 * r1 - s1 * i1, y1 = c1 * i1 + s1 * r1, x2 = c2 * r2 - s2 * i2, y2 = c2 * i2 + s2 * r2;
          const x3 = c3 * r3 - s3 * i3, y3 = c3 * i3 + s3 * r3;
          const ax = x0 + x1, ay = y0 + y1, bx = x0 - x1, by = y0 - y1, cx = x2 + x3, cy = y2 + y3, dx = x2 - x3, dy = y2 - y3;
          re[p0] = ax + cx;
          im[p0] = ay + cy;
          re[p1] = bx + dy;
          im[p1] = by - dx;
          re[p2] = ax - cx;
          im[p2] = ay - cy;
          re[p3] = bx - dy;
          im[p3] = by + dx;
        }
      }
    }
  }
}

/** The way back, without the factor 1/n: the same steps in reverse. */
function transformBack(re, im, n, w, step, lanes, gap) {
  const odd = Math.log2(n) % 2, end = lanes * gap;
  let at = w.length;
  for (let h = n / 4; h >= 1; h /= 4) {
    for (let k = h - 1; k >= 0; k--) {
      at -= 6;
      const c1 = w[at], s1 = w[at + 1], c2 = w[at + 2], s2 = w[at + 3], c3 = w[at + 4], s3 = w[at + 5];
      for (let b = k; b < n; b += 4 * h) {
        let p0 = b * step, p1 = p0 + h * step, p2 = p1 + h * step, p3 = p2 + h * step;
        for (const last = p0 + end; p0 < last; p0 += gap, p1 += gap, p2 += gap, p3 += gap) {
          const x0 = re[p0], y0 = im[p0], x1 = re[p1], y1 = im[p1], x2 = re[p2], y2 = im[p2], x3 = re[p3], y3 = im[p3];
          const ax = x0 + x2, ay = y0 + y2, cx = x0 - x2, cy = y0 - y2, bx = x1 + x3, by = y1 + y3, dx = y3 - y1, dy = x1 - x3;
          const r1 = ax - bx, i1 = ay - by, r2 = cx + dx, i2 = cy + dy, r3 = cx - dx, i3 = cy - dy;
          re[p0] = ax + bx;
          im[p0] = ay + by;
          re[p1] = c1 * r1 + s1 * i1;
          im[p1] = c1 * i1 - s1 * r1;
          re[p2] = c2 * r2 + s2 * i2;
          im[p2] = c2 * i2 - s2 * r2;
          re[p3] = c3 * r3 + s3 * i3;
          im[p3] = c3 * i3 - s3 * r3;
        }
      }
    }
  }
  if (odd) {
    const c = w[0], s = w[1];
    for (let b = 0; b < n; b += 2) {
      for (let p = b * step, q = p + step, last = p + end; p < last; p += gap, q += gap) {
        const x = re[p] - re[q], y = im[p] - im[q];
        re[p] += re[q];
        im[p] += im[q];
        re[q] = c * x + s * y;
        im[q] = c * y - s * x;
      }
    }
  }
}

/**
 * h_demag = -sum N m as a convolution on the film's own grid. Padded with as many zeros as there are cells, nothing wraps around.
 * The padded transform along x has the frequencies k and k + 1/2 of the film's own, so the zeros need not be there. One complex
 * transform holds m_x + i m_y. For m_z alone the frequencies k + 1/4 do: they are half of those at which a row that is padded, and
 * repeated with the opposite sign, has waves, and the others are their mirror images, since m_z is real.
 */
class Demag {
  /** nx, ny: cells, powers of two. cell: their lengths in m. without: what `nearPart` gives, to leave it out. */
  constructor(nx, ny, tensor, without = new Float64Array(9)) {
    Object.assign(this, { nx, ny, row: nx + 4 });  // rows of 2^n numbers would share a few places of the cache
    for (const name of ["re", "im", "re2", "im2"]) this[name] = new Float64Array(this.row * ny);
    const reversed = (n, i) => { let out = 0; for (let bit = 1; bit < n; bit *= 2) out = 2 * out + (i & bit ? 1 : 0); return out; };
    this.place = Int32Array.from({ length: nx * ny }, (_, at) => reversed(ny, Math.floor(at / nx)) * this.row + reversed(nx, at % nx));
    const rest = (c, sx, sy) => spectrum(tensor[c], nx, ny, sx, sy, c === 3).map((v, at) => c === 3 ? v : v - without[3 * c]
      - 2 * without[3 * c + 1] * Math.cos(2 * Math.PI * (at % nx + sx) / nx)
      - 2 * without[3 * c + 2] * Math.cos(2 * Math.PI * (Math.floor(at / nx) + sy) / ny));
    this.sets = [0, 0.5, 0.25].map((sx) => ({ w: twiddles(nx, sx), halves: [0, 0.5].map((sy) => {
      const [xx, yy, zz, xy] = [0, 1, 2, 3].map((c) => rest(c, sx, sy)), scale = -1 / (4 * nx * ny);
      const half = { w: twiddles(ny, sy), sx, sy };
      if (sx === 0.25) return { ...half, up: zz.map((v) => 2 * scale * v) };
      return { ...half, sum: xx.map((v, k) => scale * (v + yy[k]) / 2), less: xx.map((v, k) => scale * (v - yy[k]) / 2),
        cross: xy.map((v) => scale * v) };
    }) }));
  }

  /** out <- h of m, both of three planes. */
  field(out, m) {
    const { nx, ny, re, im, place } = this, plane = (nx + 2) * (ny + 2);
    this.sets.forEach((set, s) => {
      const up = s === 2;
      for (let j = 0, at = 0; j < ny; j++) {
        for (let k = (j + 1) * (nx + 2) + 1, end = k + nx; k < end; k++, at++) {
          re[place[at]] = up ? m[k + 2 * plane] : m[k];
          im[place[at]] = up ? 0 : m[k + plane];
        }
      }
      this.through(set);
      for (let j = 0, at = 0; j < ny; j++) {
        for (let k = (j + 1) * (nx + 2) + 1, end = k + nx; k < end; k++, at++) {
          const x = re[place[at]], y = im[place[at]];
          if (up) out[k + 2 * plane] = x;
          else if (s) {
            out[k] += x;
            out[k + plane] += y;
          } else {
            out[k] = x;
            out[k + plane] = y;
          }
        }
      }
    });
  }

  through({ w, halves }) {
    const { nx, ny, row, re, im, re2, im2 } = this;
    transform(re, im, nx, w, 1, ny, row);
    re2.set(re);
    im2.set(im);
    halves.forEach((half, q) => {
      const a = q ? re : re2, b = q ? im : im2;
      transform(a, b, ny, half.w, row, nx, 1);
      if (half.up) this.stretch(a, b, half.up);
      else this.turn(a, b, half);
      transformBack(a, b, ny, half.w, row, nx, 1);
    });
    for (let k = 0; k < re.length; k++) {
      re[k] += re2[k];
      im[k] += im2[k];
    }
    transformBack(re, im, nx, w, 1, ny, row);
  }

  stretch(re, im, up) {
    for (let l = 0, at = 0; l < this.ny; l++) {
      for (let k = l * this.row, end = k + this.nx; k < end; k++, at++) {
        re[k] *= up[at];
        im[k] *= up[at];
      }
    }
  }

  /** Z <- h_x + i h_y of Z = m_x + i m_y: (N_xx + N_yy)/2 Z + ((N_xx - N_yy)/2 + i N_xy) conj(Z(-k)), at k and -k at a time. */
  turn(re, im, { sum, less, cross, sx, sy }) {
    const { nx, ny, row } = this;
    for (let l = 0; l < ny; l++) {
      const mirror = (2 * ny - l - 2 * sy) % ny;
      if (mirror < l) continue;
      for (let k = 0; k < nx; k++) {
        const other = (2 * nx - k - 2 * sx) % nx;
        if (mirror === l && other < k) continue;
        const p = l * row + k, q = mirror * row + other, at = l * nx + k, a = sum[at], b = less[at], c = cross[at];
        const x = re[p], y = im[p], u = re[q], v = im[q];
        re[p] = a * x + b * u + c * v;
        im[p] = a * y - b * v + c * u;
        re[q] = a * u + b * x + c * y;
        im[q] = a * v - b * y + c * x;
      }
    }
  }
}

// ---------------------------------------------------------------------------- steps in time

/** out = w[0] a + w[1] b + w[2] c + w[3] d. */
function mix(out, w, a, b, c, d) {
  const w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
  for (let k = 0; k < out.length; k++) out[k] = w0 * a[k] + w1 * b[k] + w2 * c[k] + w3 * d[k];
}

/**
 * out = from + weight dm/dtau(m), one stage of a Runge-Kutta step. slow: the slow field. uniform: the applied field.
 * stencil: exchange and near demagnetizing field, (own, along x, along y) for each of x, y, z.
 */
function stage(out, from, weight, m, slow, uniform, stencil, alpha, nx, ny) {
  const row = nx + 2, plane = row * (ny + 2), [ux, uy, uz] = uniform, [xo, xx, xy, yo, yx, yy, zo, zx, zy] = stencil;
  for (let j = 1; j <= ny; j++) {
    let k = j * row + 1, k2 = k + plane, k3 = k2 + plane;
    let xl = 0, yl = 0, zl = 0, mx = m[k], my = m[k2], mz = m[k3];  // the cell to the left, and this one
    for (const end = k + nx; k < end; k++, k2++, k3++) {
      const xr = m[k + 1], yr = m[k2 + 1], zr = m[k3 + 1];
      const hx = slow[k] + ux + xo * mx + xx * (xl + xr) + xy * (m[k - row] + m[k + row]);
      const hy = slow[k2] + uy + yo * my + yx * (yl + yr) + yy * (m[k2 - row] + m[k2 + row]);
      const hz = slow[k3] + uz + zo * mz + zx * (zl + zr) + zy * (m[k3 - row] + m[k3 + row]);
      // m x h + alpha m x (m x h) = m x g with g = h + alpha m x h
      const gx = hx + alpha * (my * hz - mz * hy), gy = hy + alpha * (mz * hx - mx * hz), gz = hz + alpha * (mx * hy - my * hx);
      out[k] = from[k] + weight * (mz * gy - my * gz);
      out[k2] = from[k2] + weight * (mx * gz - mz * gx);
      out[k3] = from[k3] + weight * (my * gx - mx * gy);
      xl = mx; yl = my; zl = mz;
      mx = xr; my = yr; mz = zr;
    }
  }
}

/**
 * A film in time. Exchange is stiff but local: with the near part of the demagnetizing field it is stepped in short substeps, of the
 * classical Runge-Kutta method. The rest, the slow field, is computed once in a slow step. It is first extrapolated through its
 * last three values, which predicts the state at the end and the slow field there; then the step is made again with the cubic
 * through the new value and those three. How far the new value lies from what was extrapolated is the error that the step obeys.
 */
export class Solver {
  static TOLERANCE = 4e-5;  // of a slow step, as an angle in rad, if the extrapolated field were kept
  static LEAST = 3;  // substeps with the corrected field
  static JUMP = 1e-3;  // T from one part of `fields` to the next

  /** film: {nx, ny, size: [lx, ly, thickness] in m, Ms, A, alpha, gamma0}, nx and ny powers of two. start: (ny, nx, 3). */
  constructor(film, start) {
    const { nx, ny, size, Ms, A, alpha, gamma0 } = film, mu0 = 4e-7 * Math.PI;
    if (![nx, ny].every((n) => n > 1 && Number.isInteger(Math.log2(n)))) throw new RangeError(`film: ${nx} x ${ny} cells; powers of two are needed`);
    const cell = [size[0] / nx, size[1] / ny, size[2]], exchange = cell.map((d) => 2 * A / (mu0 * Ms * Ms * d * d));
    const tensor = [0, 1, 2, 3].map(() => new Float64Array(nx * ny));
    for (let j = 0, k = 0; j < ny; j++) for (let i = 0; i < nx; i++, k++) newell(i, j, cell).forEach((v, c) => { tensor[c][k] = v; });
    const near = nearPart(tensor, nx, ny), room = () => new Float64Array(3 * (nx + 2) * (ny + 2));
    Object.assign(this, { nx, ny, alpha, t: 0, unit: mu0 * Ms, rate: gamma0 * Ms, evaluations: 0 });
    this.demag = new Demag(nx, ny, tensor, near);
    this.stencil = Float64Array.from(near, (v, k) => [0, exchange[0], exchange[1]][k % 3] - v);
    this.fastest = 4 * (exchange[0] + exchange[1]) + 1;  // mode that the grid can hold, without an applied field
    this.m = room();
    this.begin = room();
    this.work = Array.from({ length: 6 }, room);
    this.past = Array.from({ length: 5 }, room);  // the slow field now, one, two and three steps ago, and room for the next
    this.when = new Float64Array(4);  // how long ago that was, in s
    this.damped = alpha;
    this.state = start;
  }

  get state() {
    const { nx, ny, m } = this, plane = (nx + 2) * (ny + 2), out = new Float32Array(3 * nx * ny);
    for (let j = 0, to = 0; j < ny; j++) for (let i = 0; i < nx; i++) for (let c = 0; c < 3; c++) out[to++] = m[c * plane + (j + 1) * (nx + 2) + i + 1];
    return out;
  }

  set state(state) {
    const { nx, ny, m } = this, plane = (nx + 2) * (ny + 2);
    for (let j = 0, at = 0; j < ny; j++) for (let i = 0; i < nx; i++) for (let c = 0; c < 3; c++) m[c * plane + (j + 1) * (nx + 2) + i + 1] = state[at++];
    this.slowField(this.past[0]);
    this.known = 1;  // values of the slow field
    this.last = null;  // applied field
    this.change = 0;
  }

  get mean() {
    const plane = this.m.length / 3;
    return [0, 1, 2].map((c) => this.m.subarray(c * plane, (c + 1) * plane).reduce((a, b) => a + b) / (this.nx * this.ny));
  }

  /** On by `duration` in s. fields: mu0*H in T, (n, 3), its means over n equal parts of the duration. */
  advance(duration, fields) {
    const n = fields.length / 3, part = duration / n;
    if (this.alpha !== this.damped) this.known = 1;
    this.damped = this.alpha;
    let from = 0;
    for (let i = 0; i < n; i++) {
      const field = fields.subarray(3 * i, 3 * i + 3), change = this.last ? Math.hypot(...field.map((b, c) => b - this.last[c])) : 0;
      if (change > Solver.JUMP && change > 2 * this.change) {
        this.advanceSmoothly((i - from) * part, fields.subarray(3 * from, 3 * i));
        from = i;
        this.known = 1;
      }
      this.last = field.slice();
      this.change = change;
    }
    this.advanceSmoothly((n - from) * part, fields.subarray(3 * from));
    this.t += duration;
  }

  advanceSmoothly(duration, fields) {
    if (!fields.length) return;
    const n = fields.length / 3, integral = new Float64Array(3 * n + 3);
    let strongest = 0;
    for (let i = 0; i < n; i++) {
      strongest = Math.max(strongest, Math.hypot(fields[3 * i], fields[3 * i + 1], fields[3 * i + 2]) / this.unit);
      for (let c = 0; c < 3; c++) integral[3 * i + 3 + c] = integral[3 * i + c] + fields[3 * i + c] / this.unit;
    }
    this.applied = { integral, part: duration / n, n };
    const { alpha, past, when, m, begin } = this, rate = this.rate / (1 + alpha * alpha);
    const fastest = this.rate * (this.fastest + strongest) / Math.sqrt(1 + alpha * alpha), substep = 2.63 / fastest;
    // No slow step drives the fastest mode at every half turn of it: a resonance
    const low = 0.8 * Math.PI / fastest, high = 1.4 * Math.PI / fastest;
    let longest = 0.32 / (this.rate * (1 + strongest)) * Math.max(0.2, Math.min(1, Math.sqrt(50 * alpha)));
    if (low < longest && longest < high) longest = low;
    let t = 0, step = this.known > 1 ? Math.min(this.step, longest) : longest / 64;
    while (duration - t > 1e-9 * duration) {
      let steps = Math.max(1, Math.ceil((duration - t) / step - 1e-6));
      while (low < (duration - t) / steps && (duration - t) / steps < high) steps++;
      const now = (duration - t) / steps, few = Math.ceil(now / substep);
      const many = Math.max(few, Math.min(Solver.LEAST, Math.ceil(3 * now / substep)));
      const count = this.known, [a, b, c, , next] = past, ago = Array.from(when, (s) => -s / now);
      begin.set(m);
      this.substeps(few, t, now, [a, b, c, c], ago.slice(0, count));
      let surprise = 0;
      // The first step has no past to predict from, so it is corrected twice
      for (let times = count > 1 ? 1 : 2; times > 0; times--) {
        this.slowField(next);
        if (count > 2) surprise = rate * now * this.off(next, ago);
        if (surprise > 4 * Solver.TOLERANCE) break;
        this.substeps(many, t, now, [next, a, b, c], [1, ...ago.slice(0, count)]);
      }
      // The surprise grows as the third power of the step
      const wanted = now * Math.min(2, Math.max(0.3, 0.9 * Math.cbrt(Solver.TOLERANCE / Math.max(surprise, 1e-30))));
      if (surprise > 4 * Solver.TOLERANCE) {
        m.set(begin);
        step = wanted;
        continue;
      }
      past.unshift(past.pop());
      for (let i = 3; i > 0; i--) when[i] = when[i - 1] + now;
      this.known = Math.min(count + 1, 3);
      t += now;
      step = Math.min(longest, wanted < now ? wanted : Math.max(step, wanted));
    }
    this.step = step;
  }

  slowField(out) {
    this.demag.field(out, this.m);
    this.evaluations++;
  }

  /** Root mean square, over the cells, of how far `value` is from what the last three slow fields foretell one step from now. */
  off(value, ago) {
    const [a, b, c] = this.past, foretold = this.work[0];
    mix(foretold, this.weights(1, ago.slice(0, 3)), a, b, c, c);
    let total = 0;
    for (let k = 0; k < value.length; k++) total += (value[k] - foretold[k]) ** 2;
    return Math.sqrt(total / (this.nx * this.ny));
  }

  /** m <- the state one slow step after `begin`, in n substeps. values: of the slow field, at the times `nodes` in steps from now. */
  substeps(n, t, now, values, nodes) {
    const { m, alpha, stencil, nx, ny } = this, [a, b, c, slow, middle, sum] = this.work, [v0, v1, v2, v3] = values;
    const tau = this.rate / (1 + alpha * alpha) * now / n;
    m.set(this.begin);
    mix(slow, this.weights(0, nodes), v0, v1, v2, v3);
    for (let i = 0; i < n; i++) {
      const first = this.applied_(t + i * now / n, t + (i + 0.5) * now / n), second = this.applied_(t + (i + 0.5) * now / n, t + (i + 1) * now / n);
      const [h0, h1, h2] = [[1.5, -0.5], [0.5, 0.5], [-0.5, 1.5]].map(([p, q]) => first.map((one, k) => p * one + q * second[k]));
      stage(a, m, tau / 2, m, slow, h0, stencil, alpha, nx, ny);
      mix(middle, this.weights((i + 0.5) / n, nodes), v0, v1, v2, v3);
      stage(b, m, tau / 2, a, middle, h1, stencil, alpha, nx, ny);
      stage(c, m, tau, b, middle, h1, stencil, alpha, nx, ny);
      mix(slow, this.weights((i + 1) / n, nodes), v0, v1, v2, v3);
      mix(sum, [1 / 3, 2 / 3, 1 / 3, -1 / 3], a, b, c, m);
      stage(m, sum, tau / 6, c, slow, h2, stencil, alpha, nx, ny);
    }
    const plane = m.length / 3;
    for (let k = 0; k < plane; k++) {
      const scale = 1 / Math.sqrt(m[k] ** 2 + m[k + plane] ** 2 + m[k + 2 * plane] ** 2 + 1e-30);  // the border stays 0
      m[k] *= scale;
      m[k + plane] *= scale;
      m[k + 2 * plane] *= scale;
    }
  }

  /** The polynomial through values at `nodes`, at one time: how much of each it takes. */
  weights(at, nodes) {
    return [0, 1, 2, 3].map((j) => (j < nodes.length ? nodes.reduce((w, node, i) => (i === j ? w : w * (at - node) / (nodes[j] - node)), 1) : 0));
  }

  /** Mean of the applied field between two times. */
  applied_(from, to) {
    const { integral, part, n } = this.applied;
    const upTo = (t, c) => {
      const i = Math.min(Math.floor(t / part), n - 1);
      return integral[3 * i + c] + (t / part - i) * (integral[3 * i + 3 + c] - integral[3 * i + c]);
    };
    return [0, 1, 2].map((c) => (upTo(to, c) - upTo(from, c)) * part / (to - from));
  }
}
