// The Landau-Lifshitz-Gilbert equation of a thin film, solved where it is looked at: the second telling of chapter 1.
//
//     dm/dt = -gamma0/(1 + alpha^2) [m x H + alpha m x (m x H)],   H = H_exchange + H_demag + H_zeeman
//
// It does what `multirate.py` and `demag.py` do, which say more about why, in double precision: V8 is no faster in single.
// Units inside: h = H/Ms and tau = gamma0 Ms t/(1 + alpha^2). All vector fields lie in one array, `memory`: V8 checks every index,
// and is faster where there is one array to check. A field is named by where it begins, and is (ny + 2, nx + 2, 3), row 0 at the
// bottom, with a border of zeros: a missing neighbour then adds m = 0 to the exchange field, which is the free boundary.

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
 * That the frequencies are shifted by s costs nothing, it is in the factors w. Point j of a lane is at j step + lane gap, its
 * imaginary part is the next number.
 */
function transform(z, n, w, step, lanes, gap) {
  const end = lanes * gap;
  let h = 1, at = 0;
  if (Math.log2(n) % 2) {
    const c = w[at++], s = w[at++];
    for (let b = 0; b < n; b += 2) {
      for (let p = b * step, q = p + step, last = p + end; p < last; p += gap, q += gap) {
        const x0 = z[p], y0 = z[p + 1], x1 = c * z[q] - s * z[q + 1], y1 = c * z[q + 1] + s * z[q];
        z[p] = x0 + x1;
        z[p + 1] = y0 + y1;
        z[q] = x0 - x1;
        z[q + 1] = y0 - y1;
      }
    }
    h = 2;
  }
  for (; h < n; h *= 4) {
    const far = h * step;
    for (let k = 0; k < h; k++, at += 6) {
      const c1 = w[at], s1 = w[at + 1], c2 = w[at + 2], s2 = w[at + 3], c3 = w[at + 4], s3 = w[at + 5];
      for (let b = k; b < n; b += 4 * h) {
        for (let p0 = b * step, last = p0 + end; p0 < last; p0 += gap) {
          const p1 = p0 + far, p2 = p1 + far, p3 = p2 + far;
          const x0 = z[p0], y0 = z[p0 + 1], r1 = z[p1], i1 = z[p1 + 1], r2 = z[p2], i2 = z[p2 + 1], r3 = z[p3], i3 = z[p3 + 1];
          const x1 = c1 * r1 - s1 * i1, y1 = c1 * i1 + s1 * r1, x2 = c2 * r2 - s2 * i2, y2 = c2 * i2 + s2 * r2;
          const x3 = c3 * r3 - s3 * i3, y3 = c3 * i3 + s3 * r3;
          const ax = x0 + x1, ay = y0 + y1, bx = x0 - x1, by = y0 - y1, cx = x2 + x3, cy = y2 + y3, dx = x2 - x3, dy = y2 - y3;
          z[p0] = ax + cx;
          z[p0 + 1] = ay + cy;
          z[p1] = bx + dy;
          z[p1 + 1] = by - dx;
          z[p2] = ax - cx;
          z[p2 + 1] = ay - cy;
          z[p3] = bx - dy;
          z[p3 + 1] = by + dx;
        }
      }
    }
  }
}

/** The way back, without the factor 1/n: the same steps in reverse. */
function transformBack(z, n, w, step, lanes, gap) {
  const end = lanes * gap;
  let at = w.length;
  for (let h = n / 4; h >= 1; h /= 4) {
    const far = h * step;
    for (let k = h - 1; k >= 0; k--) {
      at -= 6;
      const c1 = w[at], s1 = w[at + 1], c2 = w[at + 2], s2 = w[at + 3], c3 = w[at + 4], s3 = w[at + 5];
      for (let b = k; b < n; b += 4 * h) {
        for (let p0 = b * step, last = p0 + end; p0 < last; p0 += gap) {
          const p1 = p0 + far, p2 = p1 + far, p3 = p2 + far;
          const x0 = z[p0], y0 = z[p0 + 1], x1 = z[p1], y1 = z[p1 + 1], x2 = z[p2], y2 = z[p2 + 1], x3 = z[p3], y3 = z[p3 + 1];
          const ax = x0 + x2, ay = y0 + y2, cx = x0 - x2, cy = y0 - y2, bx = x1 + x3, by = y1 + y3, dx = y3 - y1, dy = x1 - x3;
          const r1 = ax - bx, i1 = ay - by, r2 = cx + dx, i2 = cy + dy, r3 = cx - dx, i3 = cy - dy;
          z[p0] = ax + bx;
          z[p0 + 1] = ay + by;
          z[p1] = c1 * r1 + s1 * i1;
          z[p1 + 1] = c1 * i1 - s1 * r1;
          z[p2] = c2 * r2 + s2 * i2;
          z[p2 + 1] = c2 * i2 - s2 * r2;
          z[p3] = c3 * r3 + s3 * i3;
          z[p3 + 1] = c3 * i3 - s3 * r3;
        }
      }
    }
  }
  if (at) {  // n is no power of 4
    const c = w[0], s = w[1];
    for (let b = 0; b < n; b += 2) {
      for (let p = b * step, q = p + step, last = p + end; p < last; p += gap, q += gap) {
        const x = z[p] - z[q], y = z[p + 1] - z[q + 1];
        z[p] += z[q];
        z[p + 1] += z[q + 1];
        z[q] = c * x + s * y;
        z[q + 1] = c * y - s * x;
      }
    }
  }
}

/**
 * h_demag = -sum N m as a convolution on the film's own grid. Padded with as many zeros as there are cells, nothing wraps around.
 * The padded transform has the frequencies k and k + 1/2 of the film's own, so the zeros need not be there: a transform for each
 * does it. One holds m_x + i m_y. For m_z alone, along x, the frequencies k + 1/4 do: of a row that is padded, and repeated with
 * the opposite sign, they are half of the waves, and the others are their mirror images, since m_z is real.
 */
class Demag {
  /** nx, ny: cells, powers of two. tensor: (4, ny, nx) from `newell`. without: what `nearPart` gives, to leave it out. */
  constructor(nx, ny, tensor, without = new Float64Array(9)) {
    Object.assign(this, { nx, ny, row: 2 * nx + 8 });  // rows of 2^n numbers would share a few places of the cache
    this.z = new Float64Array(this.row * ny);
    this.other = new Float64Array(this.row * ny);
    const reversed = (n, i) => { let out = 0; for (let bit = 1; bit < n; bit *= 2) out = 2 * out + (i & bit ? 1 : 0); return out; };
    this.place = Int32Array.from({ length: nx * ny }, (_, k) => reversed(ny, Math.floor(k / nx)) * this.row + 2 * reversed(nx, k % nx));
    const part = (c, sx, sy) => spectrum(tensor[c], nx, ny, sx, sy, c === 3).map((v, k) => -1 / (4 * nx * ny) * (c === 3 ? v : v
      - without[3 * c] - 2 * without[3 * c + 1] * Math.cos(2 * Math.PI * (k % nx + sx) / nx)
      - 2 * without[3 * c + 2] * Math.cos(2 * Math.PI * (Math.floor(k / nx) + sy) / ny)));
    const set = (sx, spectra) => ({ w: twiddles(nx, sx), halves: [0, 0.5].map((sy) => ({ w: twiddles(ny, sy), ...spectra(sx, sy) })) });
    this.flat = [0, 0.5].map((shift) => set(shift, (sx, sy) => {
      const [xx, yy, xy] = [0, 1, 3].map((c) => part(c, sx, sy));
      return { oddX: 2 * sx, oddY: 2 * sy, sum: xx.map((v, k) => (v + yy[k]) / 2), less: xx.map((v, k) => (v - yy[k]) / 2), cross: xy };
    }));
    this.up = set(0.25, (sx, sy) => ({ up: part(2, sx, sy).map((v) => 2 * v) }));
  }

  /** memory: all fields. out <- h of m. */
  field(memory, out, m) {
    const { nx, ny, z, place } = this, row = 3 * (nx + 2);
    for (const set of this.flat) {
      const more = set === this.flat[1] ? 1 : 0;
      for (let j = 1, at = 0; j <= ny; j++) {
        for (let k = m + j * row + 3, end = k + 3 * nx; k < end; k += 3, at++) {
          const p = place[at];
          z[p] = memory[k];
          z[p + 1] = memory[k + 1];
        }
      }
      this.multiply(set);
      for (let j = 1, at = 0; j <= ny; j++) {
        for (let k = out + j * row + 3, end = k + 3 * nx; k < end; k += 3, at++) {
          const p = place[at];
          memory[k] = more * memory[k] + z[p];
          memory[k + 1] = more * memory[k + 1] + z[p + 1];
        }
      }
    }
    for (let j = 1, at = 0; j <= ny; j++) {
      for (let k = m + j * row + 5, end = k + 3 * nx; k < end; k += 3, at++) {
        const p = place[at];
        z[p] = memory[k];
        z[p + 1] = 0;
      }
    }
    this.multiply(this.up);
    for (let j = 1, at = 0; j <= ny; j++) {
      for (let k = out + j * row + 5, end = k + 3 * nx; k < end; k += 3, at++) memory[k] = z[place[at]];
    }
  }

  /** z <- its convolution with one part of the tensor. */
  multiply({ w, halves: [even, odd] }) {
    const { nx, ny, row, z, other } = this;
    transform(z, nx, w, 2, ny, row);
    other.set(z);
    for (const [part, half] of [[other, even], [z, odd]]) {
      transform(part, ny, half.w, row, nx, 2);
      if (half.up) this.stretch(part, half.up);
      else this.turn(part, half);
      transformBack(part, ny, half.w, row, nx, 2);
    }
    for (let k = 0; k < z.length; k++) z[k] += other[k];
    transformBack(z, nx, w, 2, ny, row);
  }

  stretch(z, up) {
    for (let l = 0, at = 0; l < this.ny; l++) {
      for (let p = l * this.row, end = p + 2 * this.nx; p < end; p += 2, at++) {
        z[p] *= up[at];
        z[p + 1] *= up[at];
      }
    }
  }

  /** Z <- h_x + i h_y of Z = m_x + i m_y: (N_xx + N_yy)/2 Z + ((N_xx - N_yy)/2 + i N_xy) conj(Z(-k)), at k and -k at a time. */
  turn(z, { sum, less, cross, oddX, oddY }) {
    const { nx, ny, row } = this;
    for (let l = 0; l < ny; l++) {
      const mirror = (ny - l - oddY) & (ny - 1);
      if (mirror < l) continue;
      for (let k = 0; k < nx; k++) {
        const back = (nx - k - oddX) & (nx - 1);
        if (mirror === l && back < k) continue;
        const p = l * row + 2 * k, q = mirror * row + 2 * back, at = l * nx + k, a = sum[at], b = less[at], c = cross[at];
        const x = z[p], y = z[p + 1], u = z[q], v = z[q + 1];
        z[p] = a * x + b * u + c * v;
        z[p + 1] = a * y - b * v + c * u;
        z[q] = a * u + b * x + c * y;
        z[q + 1] = a * v - b * y + c * x;
      }
    }
  }
}

// ---------------------------------------------------------------------------- steps in time

/** out = w[0] a + w[1] b + w[2] c + w[3] d, fields of `size` numbers. */
function mix(memory, size, out, [w0, w1, w2, w3], a, b, c, d) {
  for (let k = 0; k < size; k++) memory[out + k] = w0 * memory[a + k] + w1 * memory[b + k] + w2 * memory[c + k] + w3 * memory[d + k];
}

/**
 * out = from + weight dm/dtau(m), one stage of a Runge-Kutta step. slow: the slow field. uniform: the applied field.
 * stencil: exchange and near demagnetizing field, (own, along x, along y) for each of x, y, z.
 */
function stage(memory, out, from, weight, m, slow, [ux, uy, uz], [xo, xx, xy, yo, yx, yy, zo, zx, zy], alpha, nx, ny) {
  const row = 3 * (nx + 2);
  for (let j = 1; j <= ny; j++) {
    let k = j * row + 3;
    let xl = 0, yl = 0, zl = 0, mx = memory[m + k], my = memory[m + k + 1], mz = memory[m + k + 2];  // the cell to the left, and this one
    for (const end = k + 3 * nx; k < end; k += 3) {
      const own = m + k, down = own - row, up = own + row, h = slow + k, f = from + k, o = out + k;
      const xr = memory[own + 3], yr = memory[own + 4], zr = memory[own + 5];
      const hx = memory[h] + ux + xo * mx + xx * (xl + xr) + xy * (memory[down] + memory[up]);
      const hy = memory[h + 1] + uy + yo * my + yx * (yl + yr) + yy * (memory[down + 1] + memory[up + 1]);
      const hz = memory[h + 2] + uz + zo * mz + zx * (zl + zr) + zy * (memory[down + 2] + memory[up + 2]);
      // m x h + alpha m x (m x h) = m x g with g = h + alpha m x h
      const gx = hx + alpha * (my * hz - mz * hy), gy = hy + alpha * (mz * hx - mx * hz), gz = hz + alpha * (mx * hy - my * hx);
      memory[o] = memory[f] + weight * (mz * gy - my * gz);
      memory[o + 1] = memory[f + 1] + weight * (mx * gz - mz * gx);
      memory[o + 2] = memory[f + 2] + weight * (my * gx - mx * gy);
      xl = mx; yl = my; zl = mz;
      mx = xr; my = yr; mz = zr;
    }
  }
}

/**
 * A film in time. Exchange is stiff but local: with the near part of the demagnetizing field it is stepped in short substeps, of the
 * classical Runge-Kutta method. The rest, the slow field, is computed once in a slow step. It is first extrapolated through its
 * last four values, which predicts the state at the end and the slow field there; then the step is made again with the cubic
 * through the new value and the last three. How far the new value lies from the parabola through these is the error that the step obeys.
 */
export class Solver {
  static TOLERANCE = 8e-5;  // of a slow step, as an angle in rad, if the parabola were kept
  static STRONG = 0.04;  // Ms: in stronger applied fields the tolerance falls with the square of the field
  static LEAST = 3;  // substeps with the corrected field, so that short waves keep their phase
  static FINEST = 5;  // no substep needs to be a smaller part of the largest that is stable
  static JUMP = 1e-3;  // T from one part of `fields` to the next, and more than twice the change before: then the past is forgotten

  /** film: {nx, ny, size: [lx, ly, thickness] in m, Ms, A, alpha, gamma0}, nx and ny powers of two. start: (ny, nx, 3). */
  constructor(film, start) {
    const { nx, ny, size, Ms, A, alpha, gamma0 } = film, mu0 = 4e-7 * Math.PI;
    if (![nx, ny].every((n) => n > 1 && Number.isInteger(Math.log2(n)))) {
      throw new RangeError(`film: got ${nx} x ${ny} cells; powers of two from 2 on are needed`);
    }
    const cell = [size[0] / nx, size[1] / ny, size[2]], exchange = cell.map((d) => 2 * A / (mu0 * Ms * Ms * d * d));
    const tensor = [0, 1, 2, 3].map(() => new Float64Array(nx * ny));
    for (let j = 0, k = 0; j < ny; j++) for (let i = 0; i < nx; i++, k++) newell(i, j, cell).forEach((v, c) => { tensor[c][k] = v; });
    const near = nearPart(tensor, nx, ny), fields = 13;
    Object.assign(this, { nx, ny, alpha, t: 0, unit: mu0 * Ms, rate: gamma0 * Ms, evaluations: 0, size: 3 * (nx + 2) * (ny + 2) });
    this.demag = new Demag(nx, ny, tensor, near);
    this.stencil = Float64Array.from(near, (v, k) => [0, exchange[0], exchange[1]][k % 3] - v);
    this.fastest = 4 * (exchange[0] + exchange[1]) + 1;  // mode that the grid can hold, without an applied field
    this.memory = new Float64Array(fields * this.size);
    // m is at 0. past: the slow field now, one, two and three steps ago, and room for the next
    const places = Array.from({ length: fields }, (_, k) => k * this.size);
    this.begin = places[1];
    this.work = places.slice(2, 8);
    this.past = places.slice(8);
    this.when = new Float64Array(4);  // how long ago that was, in s
    this.damped = alpha;
    this.state = start;
  }

  get state() {
    return Float32Array.from({ length: 3 * this.nx * this.ny }, (_, k) => this.memory[this.inside(k)]);
  }

  set state(state) {
    state.forEach((v, k) => { this.memory[this.inside(k)] = v; });
    this.slowField(this.past[0]);
    this.known = 1;  // values of the slow field
    this.last = null;  // applied field
    this.change = 0;
  }

  /** Where number k of a state is. */
  inside(k) {
    return k + 3 * (this.nx + 3 + 2 * Math.floor(k / (3 * this.nx)));
  }

  get mean() {
    const total = [0, 0, 0];
    for (let k = 0; k < this.size; k++) total[k % 3] += this.memory[k];
    return total.map((v) => v / (this.nx * this.ny));
  }

  /** On by `duration` in s. fields: mu0*H in T, (n, 3), its means over n equal parts of the duration. */
  advance(duration, fields) {
    const n = fields.length / 3, part = duration / n;
    if (this.alpha !== this.damped) this.known = 1;
    this.damped = this.alpha;
    let from = 0;  // where a smooth piece begins
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
    const n = fields.length / 3, integral = new Float64Array(3 * n + 3);  // of the applied field, up to the end of each part
    let strongest = 0;
    for (let i = 0; i < n; i++) {
      strongest = Math.max(strongest, Math.hypot(...fields.subarray(3 * i, 3 * i + 3)) / this.unit);
      for (let c = 0; c < 3; c++) integral[3 * i + 3 + c] = integral[3 * i + c] + fields[3 * i + c] / this.unit;
    }
    this.applied = { integral, part: duration / n, n };
    const { alpha, past, when, memory, begin, size } = this, { TOLERANCE, STRONG, LEAST, FINEST } = Solver, rate = this.rate / (1 + alpha * alpha);
    // The Runge-Kutta method is stable up to 2.83 rad of the fastest mode in a substep. Half a turn of it in a slow step is a resonance
    const fastest = this.rate * (this.fastest + strongest) / Math.sqrt(1 + alpha * alpha), substep = 2.75 / fastest;
    const low = 0.8 * Math.PI / fastest, high = 1.4 * Math.PI / fastest;
    let longest = 0.37 / (this.rate * (1 + strongest)) * Math.max(0.2, Math.min(1, Math.sqrt(50 * alpha)));
    if (low < longest && longest < high) longest = low;
    const tolerance = TOLERANCE / Math.max(1, strongest / STRONG) ** 2;
    let t = 0, step = this.known > 1 ? Math.min(this.step, longest) : longest / 64;  // without a past it feels its way
    while (duration - t > 1e-9 * duration) {
      let steps = Math.max(1, Math.ceil((duration - t) / step - 1e-6));
      while (low < (duration - t) / steps && (duration - t) / steps < high) steps++;
      const now = (duration - t) / steps, few = Math.ceil(now / substep);
      const many = Math.max(few, Math.min(LEAST, Math.ceil(FINEST * now / substep)));
      const count = this.known, [a, b, c, d, next] = past, ago = Array.from(when.subarray(0, count), (s) => -s / now);
      memory.copyWithin(begin, 0, size);
      this.substeps(few, t, now, [a, b, c, d], ago);
      let surprise = 0;
      // The first step has no past to predict from, so it is corrected twice
      for (let times = count > 1 ? 1 : 2; times > 0; times--) {
        this.slowField(next);
        if (count > 2) surprise = rate * now * this.off(next, ago.slice(0, 3));
        if (surprise > 4 * tolerance) break;
        this.substeps(many, t, now, [next, a, b, c], [1, ...ago.slice(0, 3)]);
      }
      // The surprise grows as the third power of the step
      const wanted = now * Math.min(2, Math.max(0.3, 0.9 * Math.cbrt(tolerance / Math.max(surprise, 1e-30))));
      if (surprise > 4 * tolerance) {
        memory.copyWithin(0, begin, begin + size);
        step = wanted;
        continue;
      }
      past.unshift(past.pop());
      for (let i = 3; i > 0; i--) when[i] = when[i - 1] + now;
      this.known = Math.min(count + 1, 4);
      t += now;
      step = Math.min(longest, wanted < now ? wanted : Math.max(step, wanted));
    }
    this.step = step;
  }

  slowField(out) {
    this.demag.field(this.memory, out, 0);
    this.evaluations++;
  }

  /** Root mean square, over the cells, of how far `value` is from what the last three slow fields foretell one step from now. */
  off(value, ago) {
    const [a, b, c] = this.past, { memory, size } = this, foretold = this.work[0];
    mix(memory, size, foretold, this.weights(1, ago), a, b, c, c);
    let total = 0;
    for (let k = 0; k < size; k++) total += (memory[value + k] - memory[foretold + k]) ** 2;
    return Math.sqrt(total / (this.nx * this.ny));
  }

  /** m <- the state one slow step after `begin`, in n substeps. values: of the slow field, at the times `nodes` in steps from now. */
  substeps(n, t, now, values, nodes) {
    const { memory, size, alpha, stencil, nx, ny } = this, [a, b, c, slow, middle, sum] = this.work, m = 0;
    const tau = this.rate / (1 + alpha * alpha) * now / n;
    const at = (out, part) => mix(memory, size, out, this.weights(part / n, nodes), ...values);
    memory.copyWithin(m, this.begin, this.begin + size);
    at(slow, 0);
    for (let i = 0; i < n; i++) {
      const [first, second] = [0, 0.5].map((part) => this.meanField(t + (i + part) * now / n, now / n / 2));
      // The line through both means
      const [h0, h1, h2] = [[1.5, -0.5], [0.5, 0.5], [-0.5, 1.5]].map(([p, q]) => first.map((one, k) => p * one + q * second[k]));
      stage(memory, a, m, tau / 2, m, slow, h0, stencil, alpha, nx, ny);
      at(middle, i + 0.5);
      stage(memory, b, m, tau / 2, a, middle, h1, stencil, alpha, nx, ny);
      stage(memory, c, m, tau, b, middle, h1, stencil, alpha, nx, ny);
      at(slow, i + 1);
      mix(memory, size, sum, [1 / 3, 2 / 3, 1 / 3, -1 / 3], a, b, c, m);
      stage(memory, m, sum, tau / 6, c, slow, h2, stencil, alpha, nx, ny);
    }
    for (let k = 0; k < size; k += 3) {
      const x = memory[k], y = memory[k + 1], z = memory[k + 2];
      const scale = 1 / Math.sqrt(x * x + y * y + z * z + 1e-30);  // the border stays 0
      memory[k] = x * scale;
      memory[k + 1] = y * scale;
      memory[k + 2] = z * scale;
    }
  }

  /** The polynomial through values at `nodes`, at one time: how much of each it takes. */
  weights(at, nodes) {
    const share = (own, j) => nodes.reduce((w, node, i) => (i === j ? w : w * (at - node) / (own - node)), 1);
    return [...nodes.map(share), 0, 0, 0].slice(0, 4);
  }

  /** Mean of the applied field from a time on, for so long. */
  meanField(from, duration) {
    const { integral, part, n } = this.applied;
    const upTo = (t, c) => {
      const i = Math.min(Math.floor(t / part), n - 1);
      return integral[3 * i + c] + (t / part - i) * (integral[3 * i + 3 + c] - integral[3 * i + c]);
    };
    return [0, 1, 2].map((c) => (upTo(from + duration, c) - upTo(from, c)) * part / duration);
  }
}

// ---------------------------------------------------------------------------- beside the page

/** What the worker of a `Remote` does. */
function serve() {
  let solver;
  globalThis.onmessage = ({ data: { film, start, state, t, alpha, duration, fields } }) => {
    if (film) solver = new Solver(film, start);
    else if (state) Object.assign(solver, { state, t });
    else {
      solver.alpha = alpha;
      solver.advance(duration, fields);
      const now = solver.state;
      globalThis.postMessage({ t: solver.t, mean: solver.mean, state: now }, [now.buffer]);
    }
  };
}

// A worker's script has an address, and on a page from the disk no file's will do. So it is the text of what stands above, whatever
// script that has become a part of.
const SERVED = [newellF, newellG, newell, spectrum, nearPart, twiddles, transform, transformBack, Demag, mix, stage, Solver];

/** A `Solver` in a worker, so that the page stays free. Set its `alpha` at any time: it holds from the next `advance` on. */
export class Remote {
  constructor(film, start) {
    this.alpha = film.alpha;
    this.waiting = [];  // for answers, which come in the order of the questions
    this.url = URL.createObjectURL(new Blob([SERVED.join("\n"), `\n(${serve})();`], { type: "text/javascript" }));
    this.worker = new Worker(this.url);
    this.worker.onmessage = ({ data }) => this.waiting.shift().resolve(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.close(new Error(event.message));
    };
    this.worker.postMessage({ film, start });
  }

  /** A promise of {t, mean, state} after another `duration`. */
  advance(duration, fields) {
    if (this.closed) return Promise.reject(this.closed);
    this.worker.postMessage({ duration, fields, alpha: this.alpha });
    return new Promise((resolve, reject) => { this.waiting.push({ resolve, reject }); });
  }

  restart(state, t = 0) {
    this.worker.postMessage({ state, t });
  }

  /** End the worker. What is still waited for is rejected, and so is what is asked later. */
  close(why = new Error("the solver is closed")) {
    this.closed ??= why;
    this.worker.terminate();
    URL.revokeObjectURL(this.url);
    for (const { reject } of this.waiting.splice(0)) reject(this.closed);
  }
}
