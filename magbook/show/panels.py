"""Live panels: turn a knob, and the solver or a network answers. Chapter 1 introduces the first."""

import html
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anywidget
import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import traitlets
from numpy.typing import ArrayLike
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from .. import applied, llg, metrics
from .._arguments import instance, numbers, said
from ..film import Film
from ..trajectory import Trajectory
from . import look, plots

if TYPE_CHECKING:  # it starts Keras, which takes seconds
    from ..rom import ReducedOrderModel

Signal = Callable[[np.ndarray], ArrayLike | Callable[[float], ArrayLike]]
"""From the vector that the sliders give, mu0*H in T, to the field that is applied: a vector, or a function of t in s."""

_SLIDER = dict(layout=dict(width="auto", flex="1 1 18em"), style=dict(description_width="initial"))
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
    panel = widgets.VBox()
    solve = lambda: llg.simulate(chosen(), film, duration=duration, every=every, progress=False)
    panel.run = solve()
    moment = widgets.IntSlider(0, max=len(panel.run) - 1, description="t", readout=False, **_SLIDER)
    player = widgets.Play(max=moment.max, interval=80)
    widgets.jslink((player, "value"), (moment, "value"))
    clock = widgets.Label("0.00 ns")

    def pictures():
        t = panel.run.t[moment.value] * 1e9
        clock.value = f"{t:.2f} ns"
        return (plots.film(panel.run.m[moment.value], film),
                plots.means(panel.run).add_vline(t, line_width=1, line_color=look.GREY))

    picture, curves = map(Figure, pictures())

    def show_moment(_):
        for live, figure in zip((picture, curves), pictures()):
            live.show(figure)

    def show_run(_):
        panel.run = solve()
        show_moment(_)

    for slider in sliders:
        slider.observe(show_run, "value")
    moment.observe(show_moment, "value")
    panel.children = [widgets.HBox(sliders, layout=_ROW), widgets.HBox([player, moment, clock], layout=_ROW),
                      picture, curves]
    return panel


class _Library(anywidget.AnyWidget):
    """plotly.js, 5 MB, as a page asks for it: once, and not with each figure."""

    _esm = "export default {}"
    source = traitlets.Bytes().tag(sync=True)


class Figure(anywidget.AnyWidget):
    """A figure that can change: `show` another one in its place. It is as wide as the cell that it stands in.

    Not plotly's own FigureWidget: that one sends each change by itself, and a page that begins to draw too early or is
    busy loses some, so that panels stayed blank or old. Here the whole figure is one trait.
    figure: the plotly figure that is shown.
    """

    _esm = Path(__file__).with_name("figure.js")
    drawn = traitlets.Unicode().tag(sync=True)
    library = traitlets.Instance(_Library).tag(sync=True, **widgets.widget_serialization)
    _shared: _Library | None = None

    def __init__(self, figure: go.Figure, **options):
        if Figure._shared is None or Figure._shared.comm is None:  # a notebook may have closed all its widgets
            Figure._shared = _Library(source=get_plotlyjs().encode())
        super().__init__(library=Figure._shared, **options)
        self.show(figure)

    def show(self, figure: go.Figure) -> None:
        """Show another figure. Raises TypeError for what is none."""
        self.figure = instance("figure", figure, go.Figure)
        # A tool bar would lie on a colour wheel
        config = {"displayModeBar": not (figure.layout.meta or {}).get("wheel")}
        self.drawn = json.dumps({**figure.to_plotly_json(), "config": config}, cls=PlotlyJSONEncoder)

    def on_click(self, trace: int, answer: Callable[[int], None]) -> None:
        """Call `answer` with the index of a point of that trace when it is clicked."""

        def clicked(_, points, buffers):
            for curve, point in points[:1]:
                if curve == trace:
                    answer(point)

        self.on_msg(clicked)


class Losses(Figure):
    """A figure that draws a training while it runs: show it, and pass it as `callback=` to `train`.

    of: the quantities of the history that it shows.
    """

    def __init__(self, of: Sequence[str] = ("loss", "error"), **options):
        super().__init__(plots.losses([], of=of), **options)
        self._of = of

    def __call__(self, history: list[dict]) -> None:
        self.show(plots.losses(history, of=self._of))


def compare(rom: "ReducedOrderModel | None" = None, duration: float = 1e-9, signal: Signal | None = None) -> widgets.VBox:
    """A panel: two sliders turn the field, and the reduced order model and the solver both answer.

    rom: by default `load_rom("atlas")`. duration: s. signal: as in `field`, for a model that knows fields in time.
    Returns a widget; its `fast` and `run` are the last trajectories.
    """
    rom = _or_atlas(rom)
    sliders, chosen = _field_sliders(signal)
    said = _Said()
    panel = widgets.VBox()

    def compute():
        panel.run, panel.fast, said.value = _both(rom, chosen(), duration)
        return plots.means(panel.run, panel.fast, labels=["solver", "networks"])

    curves = Figure(compute())
    for slider in sliders:
        slider.observe(lambda _: curves.show(compute()), "value")
    panel.children = [widgets.HBox(sliders, layout=_ROW), said, curves]
    return panel


def error_map(rom: "ReducedOrderModel | None", fields: ArrayLike, errors: dict[str, ArrayLike], *,
              times: Sequence[float] = (0.2e-9, 0.4e-9, 0.6e-9, 0.8e-9), duration: float = 1e-9, **options) -> widgets.VBox:
    """A panel: `plots.error_map`; click a field, and the solver and the reduced order model both compute it.

    rom: None for `load_rom("atlas")`. fields, errors, options: as `plots.error_map` takes them. times: of the states
    shown, in s. duration: s. It begins with the field of the largest first error.
    Returns a widget; its `run` and `fast` are the trajectories shown, and its `show(field)` shows another field.
    """
    rom, fields = _or_atlas(rom), numbers("fields", fields).astype(float)
    labels = ["solver", "networks"]
    chart, said, panel = Figure(plots.error_map(fields, errors, **options)), _Said(), widgets.VBox()

    def compute(field):
        panel.run, panel.fast, text = _both(rom, field, duration)
        said.value = f"mu0*H = ({field[0] * 1e3:.1f}, {field[1] * 1e3:.1f}) mT: {text}"
        both = panel.run, panel.fast
        return plots.means(*both, labels=labels), plots.states(both, times, labels=labels)

    curves, pictures = map(Figure, compute(fields[int(np.nanargmax(next(iter(errors.values()))))]))

    def show(field):
        for live, figure in zip((curves, pictures), compute(field)):
            live.show(figure)

    dots = next(i for i, trace in enumerate(chart.figure.data) if trace.marker.coloraxis)
    chart.on_click(dots, lambda i: show(fields[i]))
    panel.show = show
    panel.children = [chart, said, curves, pictures]
    return panel


class _Said(widgets.HTML):
    """A line of text that goes on below where it is too long, which a label's does not."""

    @traitlets.validate("value")
    def _plain(self, proposal):
        return html.escape(proposal["value"], quote=False)


def _or_atlas(rom):
    from ..rom import ReducedOrderModel, load_rom  # it starts Keras, which takes seconds

    return load_rom("atlas") if rom is None else instance("rom", rom, ReducedOrderModel)


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
    if not (signal is None or callable(signal)):
        raise TypeError(f"signal: got {said(signal)}; a function of the sliders' vector is needed")
    options = dict(step=0.5, continuous_update=False, **_SLIDER)
    angle = widgets.FloatSlider(170, min=150, max=210, description="direction (°)", **options)
    strength = widgets.FloatSlider(25, min=5, max=60, description="strength (mT)", **options)

    def chosen():
        vector = applied.from_polar(strength.value * 1e-3, angle.value)
        return vector if signal is None else signal(vector)

    return [angle, strength], chosen
