"""Pictures: plotly figures that read on a light and on a dark page, one function a kind of picture.

Every function returns a `plotly.graph_objects.Figure`: change it, add to it, or save it as any other. Figures are as
wide as what they stand in, and use the template "magbook", which `plotly.io.templates` knows by that name.
Arguments are in SI units as everywhere in magbook; pictures show nm, ns and mT. Chapter 1 introduces most of them.
"""

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from .. import applied, sp4
from .._arguments import array, instance, listed, numbers, said
from ..film import Film
from ..trajectory import Trajectory
from . import look
from .look import COMPONENTS, GREY, LEFT, PALETTE, RIGHT, arrow_cells, fade, hue_colors, png, round_length

_M = {c: f"<i>m</i><sub>{c}</sub>" for c in "xyz"}
_COLUMN = 640  # px: the plotting area in a book column of 700 px, for which heights are chosen
_WHEEL = 80  # px: the room that a colour wheel and its labels need above a film


def _figure(traces, title, **layout):
    title = None if title is None else dict(text=str(title))
    return go.Figure(traces, dict(template="magbook", title=title, **layout))


# ---------------------------------------------------------------------------- pieces of a film's picture


def _colors(m, film, wheel, pixels):
    """A film's colours, at most `pixels` along its longer side: every n-th cell, never a mean."""
    return hue_colors(m[_picks(film, pixels)], wheel)


def _image(m, film, wheel, pixels, origin=(0.0, 0.0)):
    """A film as an image trace in nm."""
    colors = _colors(m, film, wheel, pixels)
    dx, dy = film.size[0] * 1e9 / colors.shape[1], film.size[1] * 1e9 / colors.shape[0]
    # On an axis that goes up plotly.js turns a picture over, whatever the sign of dy: so this one is upside down
    return go.Image(source=png(colors[::-1]), x0=origin[0] + dx / 2, dx=dx, y0=origin[1] + dy / 2, dy=dy, hoverinfo="skip")


def _picks(film, pixels):
    """Rows and columns of every n-th cell, as an index, with at most `pixels` along the longer side."""
    return np.ix_(*(np.arange(n) if n <= p else ((np.arange(p) + 0.5) * n / p).astype(int)
                    for n, p in ((n, max(1, round(pixels * n / max(film.cells)))) for n in (film.ny, film.nx))))


def _needles(x, y, vectors, largest, nm_per_px):
    """Where the arrows' tips are, in nm, their angles in degrees from +y clockwise, and their sizes in px.

    plotly puts an arrow's tip at its point, so the point goes half an arrow ahead, to centre the arrow on x, y.
    """
    size = np.clip(np.rint(largest * np.hypot(vectors[:, 0], vectors[:, 1])), 0, 255)
    angle = np.arctan2(vectors[:, 1], vectors[:, 0])
    ahead = 0.475 * size * nm_per_px
    return dict(x=_short(x + ahead * np.cos(angle)), y=_short(y + ahead * np.sin(angle)), marker=dict(
        angle=np.rint(90 - np.degrees(angle)).astype(np.int16), size=size.astype(np.uint8)))


def _arrows(x, y, vectors, nm_per_px, largest=11):
    """Arrows centred on x, y in nm. As markers they keep their size on a phone, and are small as JSON."""
    trace = go.Scatter(_needles(x, y, vectors, largest, nm_per_px), mode="markers", showlegend=False,
                       customdata=_short(np.column_stack([x, y, vectors])),
                       hovertemplate="x = %{customdata[0]:.0f} nm, y = %{customdata[1]:.0f} nm<br>" + "<br>".join(
                           f"{_M[c]} = %{{customdata[{n}]:.2f}}" for n, c in enumerate("xyz", 2)) + "<extra></extra>",
                       hoverlabel=dict(bgcolor="#333", font_color="#fff"))
    trace.marker.update(symbol="arrow", color="#111", opacity=1, line=dict(color="rgba(255,255,255,0.75)", width=0.6))
    return trace


def _add_wheel(fig, wheel, y=1.0, up=0):
    """Draw the colour wheel, and the scale of mz beside it, `up` px above y of the paper, at its right edge.

    In pixels, so that it keeps its size; hence shapes, since an image would scale with the figure.
    """
    shapes, labels = [], []

    def shape(path, color, edge=None):
        shapes.append(dict(type="path", path=path, xref="paper", yref="paper", xsizemode="pixel", ysizemode="pixel",
                           xanchor=1, yanchor=y, fillcolor=color, line=dict(color=edge or color, width=0.5)))

    def label(x, height, text, anchor="center"):
        labels.append(dict(text=text, showarrow=False, xref="paper", yref="paper", x=1, y=y, xshift=x, yshift=height,
                           xanchor=anchor, yanchor="middle", font_size=12, borderpad=0))

    def at(radius, angle):
        return f"{cx + r * radius * np.cos(angle):.2f},{cy + r * radius * np.sin(angle):.2f}"

    n, cx, cy, r = 24, -70, up + 39, 21
    edges = (np.arange(n + 1) - 0.5) * 2 * np.pi / n
    for inner, outer, z in ((0.62, 1.0, 0.0), (0.28, 0.62, 0.5)):
        middles = edges[:-1] + np.pi / n
        vectors = np.stack([np.cos(middles), np.sin(middles), np.full(n, z)], axis=-1)
        bulge = 1 / np.cos(np.pi / n)  # how far out the control point of an arc is
        for a, b, middle, color in zip(edges, edges[1:], middles, _css(hue_colors(vectors, wheel))):
            shape(f"M{at(inner, a)}L{at(outer, a)}Q{at(bulge * outer, middle)} {at(outer, b)}"
                  f"L{at(inner, b)}Q{at(bulge * inner, middle)} {at(inner, a)}Z", color)
    shape(f"M{'L'.join(at(0.28, a) for a in edges[:-1])}Z", "#ffffff")
    z = np.linspace(-1, 1, 7)
    bar = hue_colors(np.stack([np.ones(7), np.zeros(7), z], axis=-1), wheel)
    for k, color in enumerate(_css(bar)):
        low, high = (cy - r + 2 * r * j / 7 for j in (k, k + 1))
        shape(f"M-18,{low:.2f}L-8,{low:.2f}L-8,{high:.2f}L-18,{high:.2f}Z", color)
    shape(f"M-18,{cy - r}L-8,{cy - r}L-8,{cy + r}L-18,{cy + r}Z", "rgba(0,0,0,0)", GREY)
    for x, height, text in ((cx, cy + r + 9, "+y"), (cx, cy - r - 9, "−y"), (cx + r + 12, cy, "+x"),
                            (cx - r - 12, cy, "−x"), (-13, cy + r + 9, "+z"), (-13, cy - r - 9, "−z")):
        label(x, height, text)
    # the page then hides the tool bar, which would lie on the wheel
    fig.update_layout(meta=(fig.layout.meta or {}) | dict(wheel=True),
                      shapes=fig.layout.shapes + tuple(go.layout.Shape(s) for s in shapes),
                      annotations=fig.layout.annotations + tuple(go.layout.Annotation(a) for a in labels))
    return fig


def _css(rgba):
    return ["#" + bytes(c[:3]).hex() for c in rgba]


def _film_axes(film, x="x"):
    """Axes in nm around a film, in its true proportions."""
    lx, ly = film.size[0] * 1e9, film.size[1] * 1e9
    frame = dict(showgrid=False, zeroline=False, showline=True, mirror=True, constrain="domain")
    return (dict(frame, range=[0, lx], title_text="x (nm)"),
            dict(frame, range=[0, ly], title_text="y (nm)", scaleanchor=x, scaleratio=1, constraintoward="top",
                 nticks=4, autorange=False))


def _film_height(film):
    """How high a film is drawn in a book column, px."""
    return max(1, round(min(_COLUMN * film.size[1] / film.size[0], 400)))


def _nm_per_px(film):
    return film.size[1] * 1e9 / _film_height(film)


def _grow(fig, picture, around, aspect):
    """Set the height for a book column, and tell a page's script in `layout.meta` how to make it less on a phone:
    fixed px, and px of picture per px of width, beside `beside` px."""
    fig.update_layout(height=round(picture + around), meta=dict(fixed=round(around), aspect=round(aspect, 4),
                                                                beside=LEFT + RIGHT))


# ---------------------------------------------------------------------------- the pictures


def film(m: ArrayLike, film: Film = sp4.FILM, *, arrows: int = 20, wheel: str = "hsl", title: str | None = None) -> go.Figure:
    """One state of a film; look for domains, which are areas of one colour, and walls between them.

    m: a state (ny, nx, 3), row 0 at the bottom. film: its `Film`, which gives lengths and mask. arrows: how many
    along the longer side, 0 for none; point at one to read its cell's m. wheel: "hsl" or "uniform", see `look.hue_colors`.
    Raises ValueError or TypeError, naming the argument, where m is not a state of the film, and for bad options.
    """
    instance("film", film, Film)
    m = _state(m, film)
    look.check_wheel(wheel)
    rows, columns = arrow_cells(film, look.whole("arrows", arrows))
    xaxis, yaxis = _film_axes(film)
    traces = [_image(m, film, wheel, 512)]
    if len(rows):
        traces.append(_arrows(film.x[columns] * 1e9, film.y[rows] * 1e9, m[rows, columns], _nm_per_px(film)))
    fig = _figure(traces, title, xaxis=xaxis, yaxis=yaxis, margin=dict(t=_WHEEL, b=48))
    _grow(fig, _film_height(film), _WHEEL + 48, film.size[1] / film.size[0])
    return _add_wheel(fig, wheel)


def states(trajectories: Trajectory | Sequence[Trajectory], times: ArrayLike, *, labels: Sequence[str] | None = None,
           arrows: int | None = None, wheel: str = "hsl", title: str | None = None) -> go.Figure:
    """Snapshots in a grid, a row a time and a column a trajectory; compare along a row.

    trajectories: a `Trajectory` or several. times: in s, one or several; the stored states nearest to them are shown.
    labels: one text a trajectory. arrows: how many along one film, by default as many as are legible.
    wheel: as in `film`. The pictures of the paper's Figures 2 and 5.
    Raises ValueError or TypeError, naming the argument, for anything else and for times outside a run.
    """
    trajectories = look.trajectories("trajectories", trajectories)
    times = look.times(times)
    labels = _labels(labels, trajectories) if labels is not None or len(trajectories) > 1 else [""]
    arrows = {1: 20, 2: 12}.get(len(trajectories), 8) if arrows is None else look.whole("arrows", arrows)
    look.check_wheel(wheel)
    width, height = (max(t.film.size[axis] for t in trajectories) * 1e9 for axis in (0, 1))
    gap_x, gap_y = 0.04 * width, 0.16 * height
    lefts = np.arange(len(trajectories)) * (width + gap_x)
    bottoms = -np.arange(1, len(times) + 1) * (height + gap_y) + gap_y
    images, x, y, vectors = [], [], [], []
    for left, trajectory in zip(lefts, trajectories):
        its = trajectory.film
        rows, columns = arrow_cells(its, arrows)
        for bottom, t in zip(bottoms, times):
            m = look.vectors(trajectory.at(t))
            images.append(_image(m, its, wheel, 256, (left, bottom)))
            x.append(left + its.x[columns] * 1e9)
            y.append(bottom + its.y[rows] * 1e9)
            vectors.append(m[rows, columns])
    right = lefts[-1] + width
    strip = 20 * max(right / _COLUMN, -bottoms[-1] / 680)  # for the scale bar, about 20 px high
    low = bottoms[-1] - strip
    block = min(_COLUMN * -low / right, 700)
    fig = _figure(images, title)
    if arrows:
        fig.add_trace(_arrows(np.concatenate(x), np.concatenate(y), np.concatenate(vectors), -low / block,
                              largest=11 if len(lefts) == 1 else 9))
        of_the_grid = fig.data[-1].hovertemplate
        fig.data[-1].hovertemplate = of_the_grid[of_the_grid.index("<br>") + 4:]
    named = any(labels)
    bare = dict(showgrid=False, zeroline=False, showline=False, ticks="", constrain="domain")
    fig.update_layout(
        xaxis=dict(bare, range=[0, right], side="top", tickvals=lefts + width / 2, ticktext=labels, tickangle=0,
                   showticklabels=named),
        yaxis=dict(bare, range=[low, 0], autorange=False, scaleanchor="x", scaleratio=1, constraintoward="top",
                   tickvals=bottoms + height / 2, ticktext=[f"{t} ns" for t in look.texts(times * 1e9)],
                   ticklabelstandoff=4),
        margin=dict(l=60, t=_WHEEL + 24 * named, b=20), title_pad_b=34 if named else 10)
    _grow(fig, block, _WHEEL + 24 * named + 20, -low / right)
    bar = round_length(width / 4)
    fig.add_trace(go.Scatter(x=[0, bar], y=[low + strip / 2] * 2, mode="lines", line=dict(color=GREY, width=3),
                             hoverinfo="skip", showlegend=False))
    fig.add_annotation(text=f"{bar:g} nm", x=bar, y=low + strip / 2, xshift=6, yshift=-3, xanchor="left",
                       yanchor="middle", showarrow=False, font_size=12, borderpad=0)
    return _add_wheel(fig, wheel, up=24 * named)


def means(*trajectories: Trajectory, labels: Sequence[str] | None = None, band: np.ndarray | None = None,
          reference: np.ndarray | None = None, band_label: str = "muMAG, mean ± sd", reference_label: str = "reference",
          title: str | None = None) -> go.Figure:
    """The film averages of mx, my and mz against time; look where a marker leaves the line of its colour.

    trajectories: the first is drawn as thick pale lines, the second as dots (at most 101), the next as thin lines;
    one alone as lines. labels: one text a trajectory.
    band: a structured array with t_ns, mx_mean, ..., mz_mean, mx_std, ..., mz_std, as `sp4.reference("mumag", 1)`
    returns; drawn as mean +- standard deviation. reference: a structured array with t_ns, mx, my, mz, as
    `sp4.reference("fidimag", 1)` returns; drawn as if it were the first trajectory.
    As the paper's Figures 1 and 4. Raises ValueError or TypeError, naming the argument, for anything else.
    """
    trajectories = tuple(look.trajectories("trajectories", trajectories, least=0))
    if not trajectories and band is None and reference is None:
        raise ValueError("trajectories: got none, and no band or reference either; there is nothing to draw")
    labels = _labels(labels, trajectories)
    series = [(label, t.t * 1e9, t.mean) for label, t in zip(labels, trajectories)]
    if reference is not None:
        _columns("reference", reference, ["t_ns", "mx", "my", "mz"])
        series.insert(0, (reference_label, reference["t_ns"], np.stack([reference["m" + c] for c in "xyz"], -1)))
    if band is not None:
        _columns("band", band, ["t_ns"] + [f"m{c}_{kind}" for kind in ("mean", "std") for c in "xyz"])
    first = 2 if len(series) == 1 else 0
    traces = []
    for k, (c, color) in enumerate(COMPONENTS.items()):
        group = dict(legendgroup=c, showlegend=False)
        if band is not None:
            low, high = (band[f"m{c}_mean"] + sign * band[f"m{c}_std"] for sign in (-1, 1))
            traces.append(go.Scatter(
                x=_short(np.append(band["t_ns"], band["t_ns"][::-1])), y=_short(np.append(low, high[::-1])),
                fill="toself", fillcolor=fade(color, 0.3), mode="lines", line_width=0, hoverinfo="skip",
                name=f"m{c}, {band_label}", **group))
        for n, (label, t, mean) in enumerate(series):
            every = int(np.ceil(len(t) / 101)) if n == 1 else 1
            traces.append(go.Scatter(
                x=_short(t[::every]), y=_short(mean[::every, k]), name=f"m{c}, {label}".rstrip(", "),
                hovertemplate=f"{_M[c]} = %{{y:.3f}} at %{{x:.3f}} ns<extra>{html.escape(label)}</extra>",
                **_stroke(n + first, color), **group))

    def key(name, **kw):
        return go.Scatter(x=[None], y=[None], name=name, hoverinfo="skip", **kw)

    traces += [key(_M[c], mode="lines", line=dict(color=color, width=4), legendgroup=c)
               for c, color in COMPONENTS.items()]
    if band is not None:
        traces.append(key(band_label, mode="markers", marker=dict(symbol="square", size=13, color=fade(GREY, 0.35))))
    if len(series) > 1 or band is not None:
        traces += [key(label, **_stroke(n + first, GREY)) for n, (label, _, _) in enumerate(series) if label]
    height = 270
    ends = [t[[0, -1]] for _, t, _ in series] + ([band["t_ns"][[0, -1]]] if band is not None else [])
    return _figure(traces, title, height=height + 34 + 96, margin_b=96,
                   xaxis=dict(title_text="time (ns)", range=[float(np.min(ends)), float(np.max(ends))]),
                   yaxis=dict(title_text="mean <i>m</i>", range=[-1.05, 1.05], dtick=0.5),
                   legend=dict(y=-52 / height, yanchor="top", tracegroupgap=0))


def play(trajectory: Trajectory, every: int = 1, *, arrows: int = 20, wheel: str = "hsl", pixels: int = 128,
         interval: int = 60, title: str | None = None) -> go.Figure:
    """The film of a run, with a play button and a time slider, above its mean curves; needs no kernel.

    It rests at the state where the film average changes fastest, and plays from the first.
    trajectory: a `Trajectory`. every: show each so many-th state. arrows, wheel: as in `film`. pixels: the image's
    longer side; 256 shows every cell of the paper's grid and weighs twice as much. interval: ms a state.
    101 states weigh about 0.7 MB. Raises ValueError or TypeError, naming the argument, for anything else.
    """
    (trajectory,) = look.trajectories("trajectory", trajectory, most=1)
    every, pixels = look.whole("every", every, 1), look.whole("pixels", pixels, 8)
    arrows, interval = look.whole("arrows", arrows), look.whole("interval", interval, 1)
    look.check_wheel(wheel)
    its = trajectory.film
    picks = np.arange(0, len(trajectory), every)
    t, mean = trajectory.t[picks] * 1e9, trajectory.mean[picks]
    rows, columns = arrow_cells(its, arrows)
    width, height = its.size[0] * 1e9, its.size[1] * 1e9

    def moving(n):
        m = look.vectors(trajectory.m[picks[n]])
        # an image of the layout: plotly makes an image trace anew for each frame, and it is blank until that is done
        image = dict(source=png(_colors(m, its, wheel, pixels), bits=6), xref="x", yref="y", x=0, sizex=width,
                     y=height, sizey=height, sizing="stretch", layer="below")
        return (image, dict(x=its.x[columns] * 1e9, y=its.y[rows] * 1e9, vectors=m[rows, columns], nm_per_px=_nm_per_px(its)),
                dict(x=[round(t[n], 6)] * 2), dict(x=[round(t[n], 6)] * 3, y=np.round(mean[n], 4).tolist()))

    rest = int(np.argmax(np.linalg.norm(np.diff(mean, axis=0), axis=1))) if len(mean) > 1 else 0
    image, vectors, line, dots = moving(rest)
    needles = _arrows(**vectors)
    needles.update(customdata=None, hovertemplate=None, hoverinfo="skip")
    lower = dict(xaxis="x2", yaxis="y2")
    curves = [go.Scatter(x=_short(trajectory.t * 1e9), y=_short(trajectory.mean[:, k]), name=_M[c], mode="lines",
                         line=dict(color=color, width=2.5), **lower,
                         hovertemplate=f"{_M[c]} = %{{y:.3f}} at %{{x:.3f}} ns<extra></extra>")
              for k, (c, color) in enumerate(COMPONENTS.items())]
    still = dict(showlegend=False, hoverinfo="skip", **lower)
    cursor = [go.Scatter(**line, y=[-1.1, 1.1], mode="lines", line=dict(color=GREY, width=1.5), **still),
              go.Scatter(**dots, mode="markers", marker=dict(color=list(COMPONENTS.values()), size=9), **still)]
    frames, names = [], look.texts(t)
    for n, name in enumerate(names):
        image_n, vectors_n, line_n, dots_n = moving(n)
        frames.append(go.Frame(name=name, traces=[0, 4, 5], layout=dict(images=[image_n]), data=[
            go.Scatter(_needles(**vectors_n, largest=11)), go.Scatter(line_n), go.Scatter(dots_n)]))

    upper, gap, curve, controls = _film_height(its), 84, 190, 122
    plot = upper + gap + curve
    xaxis, yaxis = _film_axes(its)
    fig = _figure([needles, *curves, *cursor], title, images=[image],
                  height=plot + _WHEEL + controls, margin=dict(t=_WHEEL, b=controls),
                  xaxis=dict(xaxis, anchor="y"), yaxis=dict(yaxis, anchor="x", domain=[1 - upper / plot, 1]),
                  xaxis2=dict(anchor="y2", title_text="time (ns)", range=(trajectory.t[[0, -1]] * 1e9).tolist()),
                  yaxis2=dict(anchor="x2", domain=[0, curve / plot], title_text="mean <i>m</i>", range=[-1.1, 1.1],
                              dtick=1),
                  legend=dict(y=(curve + 2) / plot, yanchor="bottom"))
    fig.frames = frames
    now = dict(mode="immediate", transition=dict(duration=0))

    def button(text, what, duration):
        return dict(label=text, method="animate", args=[
            what, dict(now, fromcurrent=True, frame=dict(duration=duration, redraw=True))])

    place = dict(x=0, y=0, yanchor="top", pad=dict(t=54, b=0, l=0, r=0))
    fig.update_layout(
        updatemenus=[dict(place, type="buttons", direction="left", showactive=False, xanchor="left",
                          buttons=[button("Play", None, interval), button("Pause", [None], 0)])],
        sliders=[dict(place, active=rest, len=1, ticklen=0, minorticklen=0, tickwidth=0,
                      font=dict(color="rgba(0,0,0,0)", size=1),  # no labels under the bar: the axis above has them
                      currentvalue=dict(prefix="t = ", suffix=" ns", xanchor="right", offset=14,
                                        font=dict(size=14, color=GREY)),
                      steps=[dict(label=name, method="animate", args=[
                          [name], dict(now, frame=dict(duration=0, redraw=True))]) for name in names])])
    return _add_wheel(fig, wheel)


def fan(fields: ArrayLike, values: ArrayLike | Sequence[str] | None = None, *, name: str = "", outline: dict = applied.FAN,
        text: Sequence[str] | None = None, customdata: ArrayLike | None = None, rays: dict[str, Sequence[float]] | None = None,
        title: str | None = None) -> go.Figure:
    """A map of applied fields, one dot a field, with the outline of the fan they are drawn from.

    fields: mu0*H in T, (n, 2) or (n, 3). values: None; n numbers, shown by colour with a scale called `name`; or n
    texts such as "train" and "test", shown by colour and symbol. outline: the fan, as the options of `applied.fan`: angle
    and opening in degrees, strength in T. text: n texts to show on hover. customdata: n rows for your own hover or clicks. rays: lines across the fan, their
    name in the legend and their angles in degrees: {"the blade": (179, 193)}. The two fields of standard problem 4 are marked.
    Look for errors that gather at the fan's edge.
    Raises ValueError or TypeError, naming the argument, for anything else.
    """
    fields = _fields(fields)
    if not isinstance(outline, dict) or not {"angle", "opening", "strength"} <= set(outline):
        raise ValueError(f"outline: got {outline!r}; a dictionary with angle, opening and strength is needed")
    a0, a1 = (outline["angle"] + side * outline["opening"] / 2 for side in (-1, 1))
    b0, b1 = (1e3 * strength for strength in outline["strength"])
    name = str(name)
    if not isinstance(rays, (dict, type(None))):
        raise TypeError(f"rays: got {said(rays)}; a dictionary from names to angles in degrees is needed")
    for label, given in (("values", values), ("text", text), ("customdata", customdata)):
        if given is not None:
            look.one_each(label, given, len(fields), "fields")

    def curve(r, a):
        return r * np.cos(np.radians(a)), r * np.sin(np.radians(a))

    sweep = np.linspace(a0, a1, 41)
    inner, outer = curve(b0, sweep), curve(b1, sweep)
    edge = [np.concatenate([i, o[::-1], i[:1]]) for i, o in zip(inner, outer)]
    step = 5.0 if b1 - b0 < 40 else 10.0
    rings = [curve(r, sweep) for r in np.arange(np.floor(b0 / step) + 1, np.ceil(b1 / step)) * step]
    spokes = [curve(np.array([b0, b1]), a) for a in np.arange(np.floor(a0 / 10) + 1, np.ceil(a1 / 10)) * 10]
    grid = [np.concatenate([[]] + [np.append(line[axis], np.nan) for line in rings + spokes]) for axis in (0, 1)]
    quiet = dict(hoverinfo="skip", showlegend=False)
    traces = [go.Scatter(x=_short(x), y=_short(y), mode="lines", line=line, **quiet) for (x, y), line in (
        (grid, dict(color=fade(GREY, 0.35), width=1)), (edge, dict(color=GREY, width=1.5)))]
    named = [(b1 + 1.6, a, f"{a:g}°") for a in np.arange(np.ceil(a0 / 10), np.floor(a1 / 10) + 1) * 10]
    named += [(r, a1 + 90 / r, f"{r:g}" if r + step <= b1 else f"{r:g} mT")
              for r in np.arange(np.ceil(b0 / step), np.floor(b1 / step) + 1) * step if r]
    at = np.array([curve(r, a) for r, a, _ in named]).reshape(-1, 2)
    traces.append(go.Scatter(x=_short(at[:, 0]), y=_short(at[:, 1]), text=[label for *_, label in named], mode="text",
                             textfont_size=11, cliponaxis=False, **quiet))
    mt = fields * 1e3
    polar = applied.to_polar(mt)
    lines = [f"{r:.1f} mT at {a:.1f}°" for r, a in zip(*polar)]
    if text is not None:
        lines = [f"{line}<br>{extra}" for line, extra in zip(lines, text)]
    lines = np.array(lines, dtype=object)
    custom = None if customdata is None else np.asarray(customdata)
    where = "%{text}<br>(%{x:.1f}, %{y:.1f}) mT"

    def dots(pick, marker, more="", **kw):
        return go.Scatter(
            x=_short(mt[pick, 0]), y=_short(mt[pick, 1]), mode="markers", text=lines[pick],
            customdata=None if custom is None else custom[pick], hovertemplate=where + more + "<extra></extra>",
            marker=dict(size=7, line=dict(color=GREY, width=0.5), **marker), **kw)

    everything = np.arange(len(fields))
    scale = categories = None
    if values is None:
        traces.append(dots(everything, dict(color=PALETTE[1]), showlegend=False))
    elif np.asarray(values).dtype.kind in "fiub":
        scale = numbers("values", values).astype(float)
        traces.append(dots(everything, dict(color=scale, coloraxis="coloraxis"), showlegend=False,
                           more=f"<br>{name or 'value'} = %{{marker.color:.4g}}"))
    else:
        kinds = np.array([str(v) for v in values])
        categories = list(dict.fromkeys(kinds))
        symbols = ("circle", "diamond", "square", "triangle-up", "cross", "x")
        colors = (PALETTE[1], PALETTE[0], PALETTE[2], *PALETTE[3:])
        traces += [dots(np.flatnonzero(kinds == kind), dict(color=colors[n % 6], symbol=symbols[n % 6]), name=kind)
                   for n, kind in enumerate(categories)]
    for label, angles in (rays or {}).items():
        a = array("rays", angles, "(n,)", finite=True)
        x, y = curve(np.tile([b0, b1, np.nan], len(a)), np.repeat(a, 3))
        traces.append(go.Scatter(x=_short(x), y=_short(y), mode="lines", name=label, hoverinfo="skip",
                                 line=dict(color=PALETTE[3], width=3, dash="dash")))
    for n, (field, symbol) in enumerate(((sp4.FIELD_1, "star"), (sp4.FIELD_2, "star-diamond")), 1):
        traces.append(go.Scatter(
            x=[field[0] * 1e3], y=[field[1] * 1e3], mode="markers", name=f"SP4, field {n}",
            marker=dict(symbol=symbol, size=15, color="#fff", line=dict(color="#111", width=1.5)),
            hovertemplate=f"Standard problem 4, field {n}<br>" "(%{x:.1f}, %{y:.1f}) mT<extra></extra>"))
    points = np.concatenate([mt, at, np.stack(edge, -1), np.array([sp4.FIELD_1[:2], sp4.FIELD_2[:2]]) * 1e3])
    low, high = points.min(axis=0) - 1.5, points.max(axis=0) + 1.5
    plot = 430
    below = 120 if scale is not None else 48
    axis = dict(showgrid=False, zeroline=False, constrain="domain")
    fig = _figure(traces, title, height=plot + 34 + below + 64, margin=dict(t=34, b=below + 64),
                  xaxis=dict(axis, title_text="μ<sub>0</sub>H<sub>x</sub> (mT)", range=[low[0], high[0]]),
                  yaxis=dict(axis, title_text="μ<sub>0</sub>H<sub>y</sub> (mT)", range=[low[1], high[1]],
                             scaleanchor="x", scaleratio=1, constraintoward="top"),
                  legend=dict(y=-(below + 6) / plot, yanchor="top", x=0.5, xanchor="center"))
    if scale is not None:
        fig.update_layout(coloraxis=dict(colorbar=dict(
            orientation="h", x=0.5, xanchor="center", y=-52 / plot, yanchor="top", len=0.9, thickness=12,
            outlinewidth=0, title=dict(text=name, side="bottom"))))
    return fig


def error_map(fields: ArrayLike, errors: dict[str, ArrayLike], *, known: ArrayLike | None = None,
              kinds: Sequence[str] | None = None, rays: dict[str, Sequence[float]] | None = None, title: str | None = None) -> go.Figure:
    """A map of errors over the fan, one at a time from a menu; point at a field to read them all.

    fields: mu0*H in T, (n, 2) or (n, 3). errors: a dictionary from names to n numbers each. known: the training fields,
    (k, 2) or (k, 3), drawn as small dots: do errors grow where there are none? kinds: n texts, such as the kind of
    reversal, shown by symbol: do errors gather where one kind meets another? rays: as `fan` takes them.
    Raises ValueError or TypeError, naming the argument, for anything else.
    """
    fields = _fields(fields)
    if not isinstance(errors, dict) or not errors:
        raise TypeError(f"errors: got {errors!r}; a dictionary of names, with {len(fields)} numbers each, is needed")
    for name, values in errors.items():
        if array("errors", values).shape != (len(fields),):
            raise ValueError(f"errors: {name!r} has shape {np.shape(values)}; one number a field, {(len(fields),)}, "
                             "is needed")
    kinds = None if kinds is None else [str(kind) for kind in look.one_each("kinds", kinds, len(fields), "fields")]
    text = ["<br>".join(f"{name} = {values[i]:.4g}" for name, values in errors.items()) for i in range(len(fields))]
    if kinds is not None:
        text = [f"{kind}<br>{line}" for kind, line in zip(kinds, text)]
    first = next(iter(errors))
    fig = fan(fields, np.asarray(errors[first], float), name=first, text=text, rays=rays, title=title)
    k = next(k for k, trace in enumerate(fig.data) if trace.marker.coloraxis)
    fig.data[k].update(marker=dict(size=12), hovertemplate="%{text}<extra></extra>")
    if kinds is not None:
        symbols = dict(zip(dict.fromkeys(kinds), ("circle", "diamond", "square", "triangle-up", "cross", "x")))
        fig.data[k].marker.symbol = [symbols[kind] for kind in kinds]
        for kind, symbol in symbols.items():
            fig.add_scatter(x=[None], y=[None], mode="markers", name=kind, marker=dict(symbol=symbol, size=9, color=GREY))
    if known is not None:
        dots = _short(_fields(known, "known") * 1e3)
        fig.add_scatter(x=dots[:, 0], y=dots[:, 1], mode="markers", name="training fields", hoverinfo="skip",
                        marker=dict(size=3, color=GREY))
        fig.data = (*fig.data[:k], fig.data[-1], *fig.data[k:-1])  # below the errors
        k += 1
    if len(errors) > 1:
        menu = [dict(label=name, method="update", args=[
            {"marker.color": [np.asarray(values, float).tolist()]}, {"coloraxis.colorbar.title.text": name}, [k]])
            for name, values in errors.items()]
        fig.update_layout(updatemenus=[dict(buttons=menu, x=0, xanchor="left", y=1, yanchor="bottom", pad=dict(b=6))],
                          margin_t=56, height=fig.layout.height + 22)
    return fig


def losses(*histories: list[dict], of: str | Sequence[str] = "error", labels: Sequence[str] | None = None,
           title: str | None = None) -> go.Figure:
    """How trainings went: a quantity against the epoch, on a logarithmic axis; look for where a curve levels off.

    histories: as `autoencoder.train` and `stepper.train` return them, one or several. of: which quantity of them,
    "error", on the validation fields, "loss", or another name, or several. labels: one text a history.
    Raises ValueError, naming the argument, for a history without that quantity.
    """
    names = [of] if isinstance(of, str) else listed("of", of, "a text, or several,")
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"of: got {said(of)}; a text, or several, are needed")
    if labels is not None:
        labels = look.one_each("labels", labels, len(histories), "histories")
    for history in histories:
        if not isinstance(history, (list, tuple)) or not all(isinstance(row, dict) for row in history):
            raise TypeError(f"histories: got {said(history)}; what a training returns, a list of dictionaries, is needed")
    traces = []
    for n, history in enumerate(histories):
        for name in names:
            if not all(name in row for row in history):
                raise ValueError(f"of: got {name!r}; the histories hold {', '.join(history[0])}")
            text = ", ".join(([str(labels[n])] if labels is not None else []) + ([name] if len(names) > 1 else []))
            traces.append(go.Scatter(
                x=[row["epoch"] for row in history], y=_short(np.array([row[name] for row in history])), name=text,
                mode="lines", showlegend=bool(text), hovertemplate="%{y:.3g} after epoch %{x}<extra>%{fullData.name}</extra>"))
    return _figure(traces, title, height=340, xaxis=dict(title_text="epoch"),
                   yaxis=dict(title_text=names[0] if len(names) == 1 else None, type="log"))


def grid(pictures: ArrayLike | dict[str, ArrayLike], film: Film = sp4.FILM, *, labels: Sequence[str] | None = None,
         columns: int = 4, slider: str = "", pixels: int = 96, wheel: str = "hsl", title: str | None = None) -> go.Figure:
    """Many small pictures of one film, to compare; with a slider, if there are several sets of them.

    pictures: states (n, ny, nx, 3); or numbers (n, ny, nx), blue below zero and orange above, each picture on a scale of
    its own; or a dictionary of several such arrays, whose keys are the positions of a slider that is called `slider` and
    starts in the middle.
    film: its `Film`. labels: one text a picture. columns: how many side by side. pixels: a picture's longer side.
    wheel: as in `film`. Sixteen states weigh 60 kB. Raises ValueError or TypeError, naming the argument, for anything else.
    """
    instance("film", film, Film)
    look.check_wheel(wheel)
    columns, pixels = look.whole("columns", columns, 1), look.whole("pixels", pixels, 8)
    sets = {str(key): array("pictures", given).astype(float) for key, given in
            (pictures if isinstance(pictures, dict) else {"": pictures}).items()}
    first, cells = next(iter(sets.values()), np.empty(0)), (film.ny, film.nx)
    n = len(first) if first.ndim else 0
    for given in sets.values() or [first]:
        if not n or given.shape != first.shape or first.shape[1:] not in (cells, (*cells, 3)) or not np.isfinite(given).all():
            raise ValueError(f"pictures: got shape {given.shape}; finite states (n, {film.ny}, {film.nx}, 3) or numbers "
                             f"(n, {film.ny}, {film.nx}) are needed, as many in each set")
    labels = None if labels is None else look.one_each("labels", labels, n, "pictures")
    states = first.ndim == 4
    width, height = (size * 1e9 for size in film.size[:2])
    step_x, line = 1.06 * width, 1.06 * width * columns / _COLUMN * 24  # a line of text, 24 px, 10 on a phone
    x = np.arange(n) % columns * step_x
    y = -(np.arange(n) // columns) * (height + 1.1 * line) - line  # the upper edges

    def images(given):
        sources = (png(_colors(one, film, wheel, pixels), bits=6) if states else
                   png(_signed(one[_picks(film, pixels)])) for one in given)
        return [dict(source=source, xref="x", yref="y", x=left, y=top, sizex=width, sizey=height, sizing="stretch",
                     layer="below") for source, left, top in zip(sources, x, y)]

    right, low = min(n, columns) * step_x - 0.06 * width, y[-1] - height
    block = _COLUMN * -low / right
    texts = [""] * n if labels is None else [str(label) for label in labels]
    bare = dict(showgrid=False, zeroline=False, showticklabels=False, ticks="", constrain="domain")
    names = go.Scatter(x=_short(x + width / 2), y=_short(y + 0.45 * line), text=texts, mode="text", textfont_size=11,
                       hoverinfo="skip", showlegend=False, cliponaxis=False)
    above, below = _WHEEL if states else 34, 108 if len(sets) > 1 else 12
    fig = _figure([names], title, xaxis=dict(bare, range=[0, right]), margin=dict(l=12, t=above, b=below),
                  yaxis=dict(bare, range=[low, 0], scaleanchor="x", scaleratio=1, constraintoward="top"))
    _grow(fig, block, above + below, -low / right)
    drawn = {key: images(given) for key, given in sets.items()}
    active = len(sets) // 2
    fig.layout.images = list(drawn.values())[active]
    if len(sets) > 1:
        fig.update_layout(sliders=[dict(
            x=0, y=0, yanchor="top", pad=dict(t=20), active=active, len=1, tickcolor=GREY,
            currentvalue=dict(prefix=f"{slider} ", font=dict(size=14, color=GREY)),
            steps=[dict(label=key, method="relayout", args=[dict(images=each)]) for key, each in drawn.items()])])
    return _add_wheel(fig, wheel) if states else fig


def _signed(values):
    """Numbers (ny, nx) as RGBA: white at zero, the palette's blue at minus the largest magnitude, its orange at plus it."""
    share = values / max(np.abs(values).max(), 1e-30)
    ends = np.array([[*bytes.fromhex(COMPONENTS[c][1:])] for c in "yx"], float)
    color = np.where(share[..., None] < 0, ends[0], ends[1])
    rgb = 255 + np.abs(share)[..., None] * (color - 255)
    return np.concatenate([np.rint(rgb), np.full((*values.shape, 1), 255)], axis=-1).astype(np.uint8)


def _stroke(n, color):
    """How the n-th series is drawn."""
    if n == 0:
        return dict(mode="lines", line=dict(color=fade(color, 0.5), width=7))
    if n == 1:
        return dict(mode="markers", marker=dict(color=color, size=5), cliponaxis=False)
    dash = ("solid", "dash", "dot", "dashdot")[(n - 2) % 4]
    return dict(mode="lines", line=dict(color=color, width=1.8, dash=dash))


def _short(a):
    """float32, which plotly packs into 4 bytes a number."""
    return np.asarray(a, np.float32)


# ---------------------------------------------------------------------------- what may go in


def _state(m, film):
    m = look.vectors(m)
    if m.shape != (film.ny, film.nx, 3):
        raise ValueError(f"m: got shape {m.shape}; (ny, nx, 3) = {(film.ny, film.nx, 3)} is needed for {film}")
    return np.where(film.inside[..., None], m, 0.0)


def _labels(labels, trajectories):
    if labels is None:
        solvers = [str(t.info.get("solver", "")) for t in trajectories]
        if len(solvers) < 2:
            return solvers
        telling = all(solvers) and len(set(solvers)) == len(solvers)
        return solvers if telling else [f"run {n + 1}" for n in range(len(solvers))]
    return [str(label) for label in look.one_each("labels", labels, len(trajectories), "trajectories")]


def _columns(name, table, columns):
    names = table.dtype.names if isinstance(table, np.ndarray) else None
    if names is None:
        raise TypeError(f"{name}: got {type(table).__name__}; a structured array as sp4.reference returns is needed")
    missing = [column for column in columns if column not in names]
    if missing:
        raise ValueError(f"{name}: it lacks the columns {', '.join(missing)}; it has {', '.join(names)}")


def _fields(fields, name="fields"):
    fields = array(name, fields, "(n, 2 or 3)").astype(float)
    if not len(fields) or not np.isfinite(fields).all():
        raise ValueError(f"{name}: got shape {fields.shape}; finite mu0*H in tesla, (n, 2) or (n, 3), is needed")
    return fields[:, :2]
