"""Do the tests notice? Forty small mistakes, a sign, a factor, an index, made one at a time in a copy of the package.

    python tests/mutants.py [number ...]

runs, for each mistake, the tests of the module (with those that `make check` leaves out only where the fast ones see nothing),
and says which mistakes nobody saw. It takes a quarter of an hour on two cores, and is no part of `make test`.
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTED_WITH = {"multirate": "llg"}  # a module that has no tests of its own

MISTAKES = [  # module, what stands there, what is put in its place
    ("film", "dy = property(lambda self: self.size[1] / self.ny", "dy = property(lambda self: self.size[1] / self.nx"),
    ("film", "(np.arange(self.nx) + 0.5) * self.dx", "np.arange(self.nx) * self.dx"),
    ("film", "m[~self.inside] = 0\n        return m", "return m"),
    ("film", "if not needed <= 0.9 * available", "if not needed <= 9 * available"),
    ("film", "y = self.x - self.size[0] / 2, self.y - self.size[1] / 2", "y = self.x - self.size[0] / 2, self.y"),
    ("demag", "weight = {-1: -1, 0: 2, 1: -1}", "weight = {-1: -1, 0: 2, 1: 1}"),
    ("demag", "odd = np.array([1, 1, 1, -1])", "odd = np.array([1, 1, 1, 1])"),
    ("demag", "-(yy * y[i] + xy * x[i])", "-(yy * y[i] - xy * x[i])"),
    ("demag", "_second_differences(_f, z, y, x, dz, dy, dx)", "_second_differences(_f, z, x, y, dz, dy, dx)"),
    ("demag", "r2 - 3 * pz**2", "r2 - 3 * px**2"),
    ("demag", "n[:3, 0, 1:2] -= without[:, 1:2]", "n[:3, 0, 1:2] -= without[:, 2:3]"),
    ("demag", "np.where(np.arange(cells), 2, 1) / (2 * cells - 1)", "np.where(np.arange(cells), 2, 1) / (2 * cells)"),
    ("llg", "return 2 * film.A / (MU0 * film.Ms) * h", "return film.A / (MU0 * film.Ms) * h"),
    ("llg", '"exchange": -scale / 2 *', '"exchange": -scale *'),
    ("multirate", "gy = hy + alpha * (mz * hx - mx * hz)", "gy = hy - alpha * (mz * hx - mx * hz)"),
    ("multirate", "stencil[2, 2] * (m[2, i - row] + m[2, i + row]))", "stencil[2, 2] * (m[2, i - row] + m[2, i - row]))"),
    ("multirate", "film.gamma0 * film.Ms / (1 + film.alpha**2)\n", "film.gamma0 * film.Ms\n"),
    ("multirate", "ahead = many, 1", "ahead = many, 0"),
    ("multirate", "at = (n + TIMES[k]) / len(out)", "at = n / len(out)"),
    ("multirate", "slope = 12 / rest**3", "slope = 6 / rest**3"),
    ("multirate", "out[0] += area / rest -", "out[0] += 0.5 * area / rest -"),
    ("demag", "w[0, c, i], w[1, c, i] = vr * c2 + vi * s2", "w[0, c, i], w[1, c, i] = vr * c1 + vi * s2"),
    ("demag", "xi, yi = w[0, a, 0, i], w[0, a, 1, i], w[1, a, 0, i], w[1, a, 1, i]", "xi, yi = w[0, a, 0, i], w[0, a, 1, i], w[1, a, 0, i], w[1, a, 0, i]"),
    ("multirate", "- 4 * length * now[1, k, j, i]) / (4 + s)", "- 4 * length * now[1, k, j, i]) / 4"),
    ("llg", "return film.Ms * np.moveaxis(h, 0, -1) * film.inside[..., None]", "return film.Ms * np.moveaxis(h, 0, -1)"),
    ("multirate", "+ two * (b[1, i] - my)", "+ (b[1, i] - my)"),
    ("metrics", "axis=axis, dtype=float) / np.sum(reference**2", "axis=axis, dtype=float) / np.sum(m**2"),
    ("metrics", "return t[i] + (t[i + 1] - t[i]) * values[i] / (values[i] - values[i + 1])", "return t[i]"),
    ("metrics", 'above = np.flatnonzero(~(_series("error", error, t) <= number("level", level)))\n    return t[above[0]]',
     'above = np.flatnonzero(~(_series("error", error, t) <= number("level", level)))\n    return t[above[-1]]'),
    ("metrics", "later = reference.t > 0", "later = reference.t >= 0"),
    ("metrics", "np.max(twist) > 2 * np.pi", "np.max(twist) > np.pi"),
    ("metrics", 'np.diff(energy) > number("tolerance", tolerance) *', 'np.diff(energy) < number("tolerance", tolerance) *'),
    ("rom", "away = np.maximum.accumulate(away, axis=1)", "away = away.copy()"),
    ("rom", "np.maximum(low - size, size - high)", "np.maximum(low - size, high - size)"),
    ("rom", "m[:len(first)] = first", "m[:len(first) - 1] = first[:-1]"),
    ("rom", "m[..., ~self.film.inside, :] = 0\n", "pass\n"),
    ("stepper", "x[:, :2] = fields[:, k - HISTORY]", "x[:, :2] = fields[:, 0]"),
    ("atlas", "t = self.every * np.arange(1, fields.shape[1])", "t = self.every * np.arange(fields.shape[1] - 1)"),
    ("dataset", "i[i % 10 == 9]", "i[i % 10 >= 8]"),
    ("dataset", "run.m[1:] * np.float32(SCALE)", "run.m[:-1] * np.float32(SCALE)"),
    ("dataset", "_read(data, int(i))[::every]", "_read(data, int(i))[every - 1::every]"),
    ("dataset", "zlib.crc32(np.ascontiguousarray(states), zlib.crc32(np.ascontiguousarray(field)))", "zlib.crc32(np.ascontiguousarray(states))"),
    ("rom", 'if header.get("sha256", _digest(arrays)) != _digest(arrays)', "if False"),
    ("dataset", "todo = state[\"missing\"] + state[\"damaged\"]", "todo = state[\"missing\"]"),
    ("applied", "top = bias + field", "top = field"),
    ("applied", "((-y, x, 0.0),)", "((y, -x, 0.0),)"),
]


def seen(number: int) -> str | None:
    """Which tests noticed the mistake, "fast" or "slow"; None for neither."""
    module, right, wrong = MISTAKES[number]
    with tempfile.TemporaryDirectory(prefix="magbook-mutant-") as folder:
        files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        for file in files:
            if (ROOT / file).exists() and not file.startswith("book/0"):
                (Path(folder) / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / file, Path(folder) / file)
        path = Path(folder) / f"magbook/{module}.py"
        text = path.read_text()
        assert text.count(right) == 1, f"{number}: {module} holds {right!r} {text.count(right)} times"
        path.write_text(text.replace(right, wrong))
        for lane in ("not slow", "slow"):
            run = subprocess.run([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", lane,
                                  f"tests/test_{TESTED_WITH.get(module, module)}.py"], cwd=folder, env={**os.environ, "PYTHONPATH": folder},
                                 capture_output=True, text=True)
            if run.returncode == 1:
                return lane.replace("not slow", "fast")
            assert run.returncode in (0, 5), run.stdout[-2000:] + run.stderr[-2000:]
    return None


def main() -> None:
    """Make the mistakes, two at a time."""
    chosen = [int(one) for one in sys.argv[1:]] or range(len(MISTAKES))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = []
        for number, lane in zip(chosen, pool.map(seen, chosen)):
            module, right, wrong = MISTAKES[number]
            print(f"{number:2d} {lane or 'NOT SEEN':8s} {module}: {' '.join(right.split())[:60]} -> {' '.join(wrong.split())[:60]}", flush=True)
            found.append(lane is not None)
    print(f"{sum(found)} of {len(found)} seen")


if __name__ == "__main__":
    main()
