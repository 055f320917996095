"""Live panels: turn a knob, and the solver or a network answers. Chapter 1 introduces the first."""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import anywidget
import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from .. import applied, llg, metrics
from ..film import Film
from ..trajectory import Trajectory
from . import look, plots

if TYPE_CHECKING:  # it starts Keras, which takes seconds
    from ..rom import ReducedOrderModel

Signal = Callable[[np.ndarray], ArrayLike | Callable[[float], ArrayLike]]
"""From the vector that the sliders give, mu0*H in T, to the field that is applied: a vector, or a function of t in s."""

_SLIDER = dict(layout=dict(width="auto", flex="1 1 14em"), style=dict(description_width="initial"))
_ROW = dict(flex_flow="row wrap")


def field(film: Film = Film(cells=(128, 32)), duration: float = 1e-9, every: float = 1e-11,
          signal: Signal | None = None) -> widgets.VBox:
    """A panel: two sliders turn the applied field, a third runs through time; the film is computed anew at each turn.

    film: coarse by default, so that the answer comes within half a second. duration, every: s, as `llg.simulate` takes.
    signal: what is applied, made from the sliders' vector, as `lambda b: mb.applied.pulse(b, width=50e-12)`; by default
    that vector all the time.
    Returns a widget; its `run` is the last `Trajectory`.
    """
    sliders, chosen = _field_sliders(signal)
    moment = widgets.IntSlider(0, max=round(duration / every), description="t", readout=False, **_SLIDER)
    player = widgets.Play(max=moment.max, interval=80)
    widgets.jslink((player, "value"), (moment, "value"))
    clock = widgets.Label("0.00 ns")

    panel = widgets.VBox()
    solve = lambda: llg.simulate(chosen(), film, duration=duration, every=every, progress=False)
    panel.run = solve()
    picture, curves = _Figure(plots.film(panel.run.m[0], film)), _Figure(plots.means(panel.run))
    curves.add_vline(0, line_width=1, line_color=look.GREY)

    def show_moment(_=None):
        t = panel.run.t[moment.value] * 1e9
        clock.value = f"{t:.2f} ns"
        _replace(picture, plots.film(panel.run.m[moment.value], film))
        curves.layout.shapes[0].update(x0=t, x1=t)

    def show_run(_):
        panel.run = solve()
        _replace(curves, plots.means(panel.run))
        show_moment()

    for slider in sliders:
        slider.observe(show_run, "value")
    moment.observe(show_moment, "value")
    panel.children = [widgets.HBox(sliders, layout=_ROW), widgets.HBox([player, moment, clock], layout=_ROW),
                      picture, curves, _Follow()]
    return panel


class _Figure(go.FigureWidget):
    """A figure that can change, and follows its window's width; no tool bar where it would lie on a colour wheel.

    plotly's own opens its channel to the page with no data in it, and sends the data afterwards. A page that draws in between
    stays blank for good, as half of them do where many cells run at once. This one opens when it is filled.
    """

    def __init__(self, figure: go.Figure, **options):
        self._filled = False
        super().__init__(figure, **options)
        self._config = {"responsive": True, "displaylogo": False, "displayModeBar": not (figure.layout.meta or {}).get("wheel")}
        self._filled = True
        self.open()

    def open(self) -> None:
        if self._filled:
            super().open()


class Losses(_Figure):
    """A figure that draws a training while it runs: show it, and pass it as `callback=` to `train`.

    of: the quantities of the history that it shows.
    """

    def __init__(self, of: Sequence[str] = ("loss", "error"), **options):
        super().__init__(plots.losses([], of=of), **options)
        self._of = of

    def __call__(self, history: list[dict]) -> None:
        _replace(self, plots.losses(history, of=self._of))


def compare(rom: "ReducedOrderModel | None" = None, duration: float = 1e-9, signal: Signal | None = None) -> widgets.VBox:
    """A panel: two sliders turn the field, and the reduced order model and the solver both answer.

    rom: by default `load_rom("atlas")`. duration: s. signal: as in `field`, for a model that knows fields in time.
    Returns a widget; its `fast` and `run` are the last trajectories.
    """
    rom = _or_atlas(rom)
    sliders, chosen = _field_sliders(signal)
    said = widgets.Label()
    panel = widgets.VBox()

    def compute():
        panel.run, panel.fast, said.value = _both(rom, chosen(), duration)
        return plots.means(panel.run, panel.fast, labels=["solver", "networks"])

    curves = _Figure(compute())
    for slider in sliders:
        slider.observe(lambda _: _replace(curves, compute()), "value")
    panel.children = [widgets.HBox(sliders, layout=_ROW), said, curves, _Follow()]
    return panel


def error_map(rom: "ReducedOrderModel | None", fields: ArrayLike, errors: dict[str, ArrayLike], *,
              times: Sequence[float] = (0.2e-9, 0.4e-9, 0.6e-9, 0.8e-9), duration: float = 1e-9, **options) -> widgets.VBox:
    """A panel: `plots.error_map`; click a field, and the solver and the reduced order model both compute it.

    rom: None for `load_rom("atlas")`. fields, errors, options: as `plots.error_map` takes them. times: of the states
    shown, in s. duration: s. It begins with the field of the largest first error.
    Returns a widget; its `run` and `fast` are the trajectories shown, and its `show(field)` shows another field.
    """
    rom, fields = _or_atlas(rom), np.asarray(fields, float)
    labels = ["solver", "networks"]
    chart, said, panel = _Figure(plots.error_map(fields, errors, **options)), widgets.Label(), widgets.VBox()

    def compute(field):
        panel.run, panel.fast, text = _both(rom, field, duration)
        said.value = f"mu0*H = ({field[0] * 1e3:.1f}, {field[1] * 1e3:.1f}) mT: {text}"
        both = panel.run, panel.fast
        return plots.means(*both, labels=labels), plots.states(both, times, labels=labels)

    curves, pictures = map(_Figure, compute(fields[int(np.nanargmax(next(iter(errors.values()))))]))

    def show(field):
        for live, figure in zip((curves, pictures), compute(field)):
            _replace(live, figure)

    dots = next(trace for trace in chart.data if trace.marker.coloraxis)
    dots.on_click(lambda _, points, state: [show(fields[i]) for i in points.point_inds[:1]])
    panel.show = show
    panel.children = [chart, said, curves, pictures, _Follow()]
    return panel


def _or_atlas(rom):
    from ..rom import load_rom  # it starts Keras, which takes seconds

    return load_rom("atlas") if rom is None else rom


def _both(rom, field, duration) -> tuple[Trajectory, Trajectory, str]:
    """The solver's trajectory, the model's, and what to say of them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fast = rom.simulate(field, duration=duration)
    run = llg.simulate(field, rom.film, duration=duration, every=rom.every, progress=False)
    error = metrics.film_average_error(fast.mean[1:], run.mean[1:])
    said = [f"mean absolute error of the film average: {error:.4f}.", *(f"{w.message}." for w in caught)]
    return run, fast, " ".join(said)


def _field_sliders(signal):
    """Sliders for direction in degrees and strength in mT, and a function that gives the field that they stand for."""
    options = dict(step=0.5, continuous_update=False, **_SLIDER)
    angle = widgets.FloatSlider(170, min=150, max=210, description="direction (°)", **options)
    strength = widgets.FloatSlider(25, min=5, max=60, description="strength (mT)", **options)

    def chosen():
        vector = applied.from_polar(strength.value * 1e-3, angle.value)
        return vector if signal is None else signal(vector)

    return [angle, strength], chosen


class _Follow(anywidget.AnyWidget):
    """Makes the figures of a panel as wide as the panel, which in half a window is 360 px.

    A figure widget is first drawn before it has a place, 700 px wide, and follows nothing but changes of the window. So
    whenever a figure was drawn or the panel's size changed, this says "resize" for the window.
    """

    _esm = """export default { render({ el }) {
      const tell = () => requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
      const size = new ResizeObserver(tell);
      requestAnimationFrame(() => size.observe(el.parentElement ?? el));  // by then the panel is around it
      document.addEventListener("plotlywidget-after-render", tell);
      return () => { size.disconnect(); document.removeEventListener("plotlywidget-after-render", tell); };
    } };"""


def _replace(live, figure):
    """Give the traces of a live figure the data of another figure of the same kind."""
    with live.batch_update():
        for old, new in zip(live.data, figure.data, strict=True):
            old.update({name: value for name, value in new.to_plotly_json().items() if name != "type"})
