"""A page that says how good a model of one's own film is: one HTML file that needs no network. `own.learn` writes it; chapter 8 ends with it."""

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .._arguments import instance
from ..film import MU0
from ..rom import ReducedOrderModel
from .look import COMPONENTS, GREY, PALETTE, round_length
from .text import rounded

WIDTH, LEFT, RIGHT = 640, 68, 14
"""Of a chart, and of its margins, in units of its picture."""

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #0002; --soft: #666 }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #121212; --line: #fff3; --soft: #aaa } }
body { font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 46rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.5rem; line-height: 1.2 }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top }
th:first-child, .facts td { text-align: left; font-weight: normal }
tr.first, tr.first th:first-child { font-weight: bold }
figure { margin: 1rem 0 }
svg { display: block; width: 100%; height: auto }
svg text { font-size: 12.5px; fill: var(--soft) }
figcaption, .small { font-size: .88rem; color: var(--soft) }
pre { overflow-x: auto; padding: .6rem; border: 1px solid var(--line); font-size: .85rem }
.key { display: inline-block; width: 1.2em; height: .3em; vertical-align: middle; margin: 0 .2em 0 .7em }
@media (max-width: 30rem) { body { padding: .6rem } svg text { font-size: 19px } th, td { padding: .25rem .35rem; font-size: .85rem } }
"""

USE = """\
import magbook as mb

rom = mb.load_rom("model.npz")                # in this folder
pulse = mb.applied.pulse((0, 10e-3), 0.3e-9)  # T and s
rom.averages(pulse, duration=2e-9)            # mx, my, mz
rom.simulate(pulse, duration=2e-9)            # every state
rom.to_fmu("film.fmu")                        # for circuit simulators
rom.to_onnx("onnx")"""


def page(rom: ReducedOrderModel, found: dict[str, Any]) -> str:
    """The page as text. rom: a model that `own.learn` made. found: what `own.evaluate` says of it. Raises ValueError for others."""
    size, settings = _size(instance("rom", rom, ReducedOrderModel).film), rom.info.get("settings", {})
    if "training seconds" not in rom.info:
        raise ValueError("rom: it is not of `own.learn`, and does not say what it was trained on")
    if missing := {"errors", "ends right", "accuracy", "seconds", "run away", "runs"} - instance("found", found, dict).keys():
        raise ValueError(f"found: got a dictionary without {', '.join(sorted(missing))}; what `own.evaluate` gives is needed")
    body = [
        f"<h1>A driven model of a film of {size}</h1>", f"<p>{_verdict(rom, found)}</p>",
        "<h2>How wrong, beside simpler answers</h2>", _errors(found),
        "<p class=small>Film average: mean of the absolute error of m<sub>x</sub>, m<sub>y</sub>, m<sub>z</sub> over a run. Ends right: with the moment on "
        "the right side along the longer edge. CPU ms: for the film averages of 1 ns in a constant field, on one core of the machine that made this page. "
        f"The solvers on fewer cells take steps as coarse as their cells allow, at accuracy {', '.join(dict.fromkeys(f'{one:g}' for one in found['accuracy'].values()))}.</p>",
        "<h2>The worst unseen run</h2>", _run(found["runs"]["worst"]),
        "<h2>The median one</h2>", _run(found["runs"]["median"]),
        "<h2>Error against cost</h2>", _price(found), f"<p>{_words(rom, found)}</p>",
        "<h2>What it was trained on</h2>", _facts(rom, settings),
        "<h2>How to use it</h2>", f"<pre>{html.escape(USE)}</pre>",
        f"<p class=small>It knows fields up to {1e3 * settings['fields']:g} mT in the plane of this film, of this material, and warns beyond. A start that "
        "its numbers cannot hold it refuses. The shortest pulses of its training were 0.1 ns wide. It knows nothing of temperature, anisotropy or currents, "
        "and no more than its solver knows.</p>"]
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>A driven model of a film of {size}</title><style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n")


def _size(film):
    return f"{' × '.join(f'{1e9 * length:g}' for length in film.size)} nm"


def _verdict(rom, found):
    film, ours = rom.film, np.array(found["errors"]["the model"])
    words = (f"On {len(ours)} runs of {1e9 * rom.info['settings']['duration']:g} ns that it never saw, the film average of this model is off by "
             f"<strong>{rounded(np.median(ours))}</strong> in the median, by {rounded(np.quantile(ours, 0.95))} at the 95th percentile and by "
             f"{rounded(ours.max())} in the worst, where 2 would be the opposite of the truth. The truth is the solver on {film.nx} × {film.ny} cells.")
    if len(ours) < 30:
        words += " So few runs say little of the rare bad ones."
    if found["run away"]:
        words += (f" <strong>{found['run away']} of them run away</strong>: they leave the range of the training, and count as an error of 2 "
                  "from there on.")
    return words


def _table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), kind: str = "") -> str:
    """Rows of texts, which may be HTML, the first of each its name. Under a head the first row is what the page is about."""
    def line(tag, row, more=""):
        return f"<tr{more}><th>{row[0]}</th>" + "".join(f"<{tag}>{one}</{tag}>" for one in row[1:]) + "</tr>"

    body = "".join(line("td", row, " class=first" * (bool(head) and not k)) for k, row in enumerate(rows))
    top = f"<thead>{line('th', head)}</thead>" if head else ""
    return f'<div class=scroll><table class="{kind}">{top}<tbody>{body}</tbody></table></div>'


def _errors(found):
    def cost(name):
        key = "the model, averages" if name == "the model" else name
        return rounded(1e3 * found["seconds"][key]) if key in found["seconds"] else "–"

    rows = ([html.escape(name), *(rounded(float(value)) for value in (np.median(e), np.quantile(e, 0.95), np.max(e))),
             f"{found['ends right'][name]:.0%}", cost(name)] for name, e in found["errors"].items())
    return _table(rows, ["film average off by", "median", "95 %", "worst", "ends right", "CPU ms"])


def _facts(rom, settings):
    film, stages = rom.film, settings["stages"]
    exchange = math.sqrt(2 * film.A / (MU0 * film.Ms**2))
    coarse = ". <strong>The cells are larger: what happens within one is lost, to solver and model.</strong>" if max(film.dx, film.dy) > exchange else ""
    masked = "" if film.mask is None else f", {film.inside.mean():.0%} of it inside a mask"
    return _table([
        ("film", _size(film) + masked),
        ("cells", f"{film.nx} × {film.ny}, of {1e9 * film.dx:.3g} × {1e9 * film.dy:.3g} nm; exchange length {1e9 * exchange:.3g} nm{coarse}"),
        ("material", f"Ms {film.Ms:g} A/m, A {film.A:g} J/m, α {film.alpha:g}, γ₀ {film.gamma0:g} m/(A s)"),
        ("runs", f"{settings['runs']} of {1e9 * settings['duration']:g} ns: eight of ten to learn from, each with its mirror images, one to choose "
                 "the weights, and one, unseen, to judge"),
        ("fields", f"steps, plateaus, pulses, ramps, turns, noise up to 3 GHz, up to {1e3 * settings['fields']:g} mT in any direction in the plane"),
        ("latent state", f"{rom.latent} principal components, of definite mirror parity; they hold 99 % of the training runs to a relative L2 error "
                         f"of {rounded(rom.held)}"),
        ("network", f"{len(settings['widths'])} hidden layers of {', '.join(map(str, settings['widths']))}; a step is {1e12 * rom.every:g} ps"),
        ("training", f"{sum(stage['epochs'] * stage['updates'] for stage in stages):,} updates, looking ahead "
                     f"{', '.join(str(stage['steps']) for stage in stages)} steps; {rom.info['training seconds']:.0f} s; seed {settings['seed']}; "
                     f"magbook {html.escape(rom.info['version'])}")], kind="facts")


def _words(rom, found):
    """What the price means."""
    film, settings, seconds = rom.film, rom.info["settings"], found["seconds"]
    medians = {name: np.median(e) for name, e in found["errors"].items()}
    truth = f"solver, {film.nx} x {film.ny}"
    equal = min((name for name in medians if name in seconds and medians[name] <= medians["the model"]), key=seconds.get, default=truth)
    ours, theirs = seconds["the model, averages"], seconds[equal]
    many = next(value for name, value in seconds.items() if name.endswith(" fields"))
    spent = 1e9 * settings["runs"] * settings["duration"]
    cpu = spent * seconds[truth] + rom.info["training seconds"]
    gain = f"{theirs / ours:.2g} times as long" if theirs > ours else "no more than the model"
    back = f"paid back after {float(f'{cpu / (theirs - ours):.2g}'):,.0f} ns" if theirs > ours else "never paid back: ask the solver"
    return (f"For 1 ns the model takes {rounded(1e3 * ours)} ms, and {rounded(1e3 * many)} ms each for many fields at once. The cheapest answer that is at "
            f"least as good in the median, {html.escape(equal)}, takes {rounded(1e3 * theirs)} ms, {gain}. Before the first answer the solver ran for "
            f"{spent:,.0f} ns, and with the training that took about {cpu:,.0f} CPU s. One field at a time, that is {back}.")


# ---------------------------------------------------------------------------- charts


def _text(x, y, text, anchor="middle"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text).replace("-", "−")}</text>'


def _rule(y, text):
    """A line across a chart, and the number that it stands for."""
    return f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>' + _text(LEFT - 8, y + 4, text, "end")


def _svg(height, parts, what):
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(what)}">{"".join(parts)}</svg>'


def _ticks(low, high, most):
    step = round_length((high - low) / most * 2)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _panel(x, lines, top, height, name, below=""):
    """A panel of a chart: lines (y, colour, width, opacity) over x, its axes, in SVG. below: what x is, where that is said."""
    everything = np.concatenate([y for y, *_ in lines])
    low, high = float(np.nanmin(everything)), float(np.nanmax(everything))
    low, high = (low - 0.06 * (high - low), high + 0.06 * (high - low)) if high > low else (low - 1, high + 1)
    px = lambda v: LEFT + (v - x[0]) / (x[-1] - x[0]) * (WIDTH - LEFT - RIGHT)
    py = lambda v: top + (high - v) / (high - low) * height
    parts = [_text(LEFT, top - 7, name, "start"), *(_rule(py(v), f"{v:.3g}") for v in _ticks(low, high, 5))]
    if below:
        parts += [*(_text(px(v), top + height + 20, f"{v:.3g}") for v in _ticks(x[0], x[-1], 6)), _text(WIDTH - RIGHT, top + height + 42, below, "end")]
    for y, color, width, opacity in lines:
        points = " ".join(f"{px(a):.1f},{py(b):.1f}" for a, b in zip(x, y) if np.isfinite(b))  # one that ran away ends
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{width}" stroke-opacity="{opacity}" '
                     'stroke-linejoin="round"/>')
    return parts


def _run(run):
    """A run: its field, and the film averages of the solver and of the model."""
    t, (field, solver, model) = 1e9 * np.array(run["t"]), (np.array(run[name], float) for name in ("field", "solver", "model"))
    of = list(COMPONENTS.values())
    panels = _panel(t[1:], [(1e3 * field[1:, k], of[k], 1.6, 1) for k in range(2)], 24, 76, "field (mT)")
    panels += _panel(t, [(solver[:, k], of[k], 6, 0.35) for k in range(3)] + [(model[:, k], of[k], 1.6, 1) for k in range(3)], 134, 236,
                     "film average", "t (ns)")
    off = np.nan_to_num(np.abs(model - solver), nan=2.0)[1:].mean()
    keys = "".join(f'<span class=key style="background:{color}"></span>{name}' for name, color in COMPONENTS.items())
    what = f"Film averages of the solver and of the model against time; they differ by {off:.2g} in the mean"
    return (f"<figure>{_svg(418, panels, what)}<figcaption>Thick and pale: the solver. Thin: the model. Off by {rounded(off)}. {keys}"
            f"<details><summary>the signal</summary>{html.escape(run['text'])}</details></figcaption></figure>")


def _price(found):
    """Median error against CPU time, both logarithmic."""
    medians = {name: max(float(np.median(e)), 1e-6) for name, e in found["errors"].items()}
    seconds, names = found["seconds"], {"averages": "one field", "averages of 100 fields": "each of 100 fields", "states": "every state"}
    solver = [(seconds[name], medians[name], name.removeprefix("solver, ")) for name in medians if name in seconds]
    model = sorted((seconds[f"the model, {key}"], medians["the model"], text) for key, text in names.items())
    x, y = (np.log10([point[k] for point in solver + model]) for k in (0, 1))
    (x0, x1), (y0, y1), top, height = (x.min() - 0.35, x.max() + 0.35), (y.min() - 0.35, y.max() + 0.25), 24, 260
    px = lambda v: LEFT + (math.log10(v) - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
    py = lambda v: top + (y1 - math.log10(v)) / (y1 - y0) * height
    marks = lambda low, high: [s * 10.0**k for k in range(-9, 3) for s in (1, 3) if low <= math.log10(s * 10.0**k) <= high]
    parts = [*(_rule(py(v), f"{v:g}") for v in marks(y0, y1)), *(_text(px(v), top + height + 20, f"{1e3 * v:g}") for v in marks(x0, x1)),
             _text(LEFT, top - 7, "film average off by, median", "start"), _text(WIDTH - RIGHT, top + height + 42, "CPU ms for 1 ns", "end")]
    # The model's marks are in a row. Labels of solvers point away from it, and its own away from the nearest solver
    line = medians["the model"]
    for a, b, text in solver:
        parts += [f'<circle cx="{px(a):.1f}" cy="{py(b):.1f}" r="5" fill="{GREY}"/>', _text(px(a), py(b) + (22 if b < line else -10), text)]
    nearest = min(solver, key=lambda one: abs(py(one[1]) - py(line)))[1]
    for k, (a, b, text) in enumerate(model):  # the labels of neighbours would touch
        away = (-14, -36) if nearest < line else (24, 46)
        parts += [f'<path d="M{px(a):.1f},{py(b) - 7:.1f}l7,7l-7,7l-7,-7z" fill="{PALETTE[0]}"/>', _text(px(a), py(b) + away[k % 2], text)]
    return (f"<figure>{_svg(332, parts, 'Median error against CPU time of the model and of the solver on fewer cells')}<figcaption>Lower left is better. "
            "Grey: the solver on so many cells. Orange diamonds: the model. Both axes are logarithmic.</figcaption></figure>")
