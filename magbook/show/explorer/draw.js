// What the explorer draws, on canvases: a film, its colour wheel, the pad of fields, and film averages against time.

import { SP4, fromPolar } from "./model.js";

export const COLOURS = { x: "#d55e00", y: "#0a85c7", z: "#009e73" };  // of look.py
const LIT = "#cc79a7";
const RING = 10;  // mT from one ring of the pad to the next

/** What the pad shows, in mT: the fan that a model was trained on, the origin, and a tenth around them. */
export function reach({ angle, opening, strength }) {
  const rim = Array.from({ length: 33 }, (_, i) => fromPolar(angle + (i / 32 - 0.5) * opening, strength[1]));
  const [x, y] = [0, 1].map((c) => [0, ...rim.map((point) => point[c])]), more = 0.1 * strength[1];
  return { left: Math.min(...x) - more, right: Math.max(...x) + more, bottom: Math.min(...y) - more, top: Math.max(...y) + more };
}

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

export function arrow(pen, x, y, dx, dy, head) {
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

export function drawFilm({ pen, width, height }, m, { nx, ny }) {
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

export function drawWheel({ pen, width, height, ink }) {
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

export function drawPad({ pen, width, height, ink }, model, field) {
  const { left, right, bottom, top } = reach(model.fan), { angle, opening, strength } = model.fan;
  const px = (x) => (x - left) / (right - left) * width, py = (y) => (top - y) / (top - bottom) * height;
  const scale = width / (right - left);
  // A ring around the origin, `by` degrees to both sides of the fan's middle; a canvas turns the other way round
  const ring = (size, by, back = false) => {
    const [from, to] = [-by, by].map((turn) => -(angle + turn) * Math.PI / 180);
    pen.arc(px(0), py(0), size * scale, ...(back ? [from, to] : [to, from]), back);
  };
  pen.beginPath();
  ring(strength[1], opening / 2);
  ring(strength[0], opening / 2, true);
  pen.closePath();
  pen.globalAlpha = 0.1;
  pen.fillStyle = ink;
  pen.fill();
  pen.strokeStyle = ink;
  pen.lineWidth = 1;
  pen.globalAlpha = 0.22;
  const sizes = Array.from({ length: Math.floor(strength[1] / RING) }, (_, i) => RING * (i + 1)), side = opening / 2 + 3;
  for (const size of sizes) {
    pen.beginPath();
    ring(size, side);
    pen.stroke();
  }
  pen.globalAlpha = 0.35;
  pen.fillStyle = ink;
  for (let i = 0; i < model.trained.length; i += 2) pen.fillRect(px(model.trained[i]) - 0.8, py(model.trained[i + 1]) - 0.8, 1.6, 1.6);
  pen.globalAlpha = 0.75;
  pen.textAlign = "center";
  for (const size of sizes) {
    const [x, y] = fromPolar(angle + side, size);
    pen.fillText(size < sizes.at(-1) ? size : `${size} mT`, px(x), py(y) + 9);
  }
  pen.globalAlpha = 1;
  (model.known?.field ?? []).forEach(([x, y], i) => {
    pen.beginPath();
    pen.arc(px(x), py(y), i < SP4 ? 5.5 : 2.4, 0, 7);
    pen.fillStyle = i < SP4 ? COLOURS.x : LIT;
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

/** Light some fields up on a pad that was drawn: [[x, y], ...] in mT. */
export function light({ pen, width, height }, fan, fields) {
  const { left, right, bottom, top } = reach(fan);
  pen.fillStyle = LIT;
  for (const [x, y] of fields) {
    pen.beginPath();
    pen.arc((x - left) / (right - left) * width, (top - y) / (top - bottom) * height, 4, 0, 7);
    pen.fill();
  }
}

export const FRAME = { left: 30, right: 8, top: 6, bottom: 22 };

/** Lines at -1, 0 and 1 across a chart of film averages, and their numbers. */
export function levels({ pen, ink }, left, right, py) {
  pen.lineWidth = 1;
  pen.fillStyle = pen.strokeStyle = ink;
  pen.textAlign = "right";
  for (const v of [-1, 0, 1]) {
    pen.globalAlpha = 0.25;
    pen.beginPath();
    pen.moveTo(left, py(v));
    pen.lineTo(right, py(v));
    pen.stroke();
    pen.globalAlpha = 0.85;
    pen.fillText(String(v).replace("-", "−"), left - 6, py(v));
  }
  pen.textAlign = "center";
}

/** curves: {times, mean}, with a band {low, high} where there is one; or several of them. time: where a cursor stands, if one does. */
export function drawCurves(page, last, time, curves, truth) {
  const { pen, width, height, ink } = page;
  const px = (t) => FRAME.left + t / last * (width - FRAME.left - FRAME.right);
  const py = (v) => FRAME.top + (1.05 - Math.max(-1.05, Math.min(1.05, v))) / 2.1 * (height - FRAME.top - FRAME.bottom);
  levels(page, px(0), px(last), py);
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
    for (const { times, mean, low, high } of [curves].flat()) {
      if (low) {
        pen.globalAlpha = 0.22;  // with an edge: the solver's line is as pale, and has none
        pen.lineWidth = 0.6;
        pen.beginPath();
        times.forEach((t, i) => pen.lineTo(px(t), py(low[3 * i + c])));
        for (let i = times.length - 1; i >= 0; i--) pen.lineTo(px(times[i]), py(high[3 * i + c]));
        pen.fill();
        pen.globalAlpha = 0.7;
        pen.stroke();
      }
      pen.globalAlpha = 1;
      pen.lineWidth = 1.6;
      line(times, mean, c);
    }
  });
  if (time === undefined) return;
  pen.strokeStyle = ink;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(px(time), py(1.05));
  pen.lineTo(px(time), py(-1.05));
  pen.stroke();
}
