"""The look of what is shown: colours, the template of figures, how a film is coloured and where it carries arrows.

Importing it makes plotly's figures look like the book's. What pictures, exports and panels refuse is here too. Chapter 1
introduces the colours.
"""

import base64
import re
import struct
import zlib
from collections.abc import Sequence
from numbers import Real

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from numpy.typing import ArrayLike

from .._arguments import are_numbers, array, check_counts, choice, instance, listed, number, said
from ..dataset import decoded
from ..film import Film
from ..trajectory import Trajectory
from .page import select_renderer

# ---------------------------------------------------------------------------- the look

GREY = "#7a7a7a"
"""Text and lines: the grey whose contrast is 4.3:1 both on white and on #121212."""

COMPONENTS = {"x": "#d55e00", "y": "#0a85c7", "z": "#009e73"}
"""Colours of mx, my, mz: from Okabe and Ito's palette, which colour-blind readers can tell apart."""

PALETTE = (*COMPONENTS.values(), "#cc79a7", "#e69f00", "#56b4e9")
"""Colours of a figure's lines, in this order; they begin with those of mx, my, mz."""

LEFT, RIGHT = 52, 12
"""Margins of a figure in px."""


def _template():
    axis = dict(automargin=True, gridcolor=fade(GREY, 0.25), zerolinecolor=fade(GREY, 0.45), zerolinewidth=1,
                linecolor=fade(GREY, 0.7), ticks="outside", ticklen=4, tickcolor=fade(GREY, 0.7), title_standoff=8,
                minorloglabels="complete")  # 0.2, not a bare 2, between 0.1 and 1
    return go.layout.Template(layout=dict(
        font=dict(family="system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size=13, color=GREY),
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", colorway=list(PALETTE), autosize=True,
        margin=dict(l=LEFT, r=RIGHT, t=34, b=48), xaxis=axis, yaxis=axis,
        title=dict(x=0, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom", pad_b=10, font_size=15),
        legend=dict(orientation="h", x=0, xanchor="left", y=1.02, yanchor="bottom", bgcolor="rgba(0,0,0,0)", itemwidth=30),
        # Without a drag mode a finger on a figure scrolls the page; the tool bar still zooms
        dragmode=False, hovermode="closest",
        modebar=dict(bgcolor="rgba(0,0,0,0)", color=fade(GREY, 0.7), activecolor=GREY,
                     # the last one would send the figure to a server
                     remove=["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "sendChartToCloud"]),
        sliderdefaults=dict(bgcolor=fade(GREY, 0.3), activebgcolor=GREY, borderwidth=0),
        updatemenudefaults=dict(bgcolor=fade(GREY, 0.12), bordercolor=fade(GREY, 0.5)),
        # Viridis without its ends, which vanish on a dark and on a light page
        coloraxis=dict(colorscale=["#35608d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39"])))


def fade(color: str, opacity: float) -> str:
    """A colour such as "#7a7a7a", seen through."""
    if not (isinstance(color, str) and re.fullmatch("#[0-9a-fA-F]{6}", color)):
        raise ValueError(f"color: got {said(color)}; a colour such as '#7a7a7a' is needed")
    number("opacity", opacity, "a number from 0 to 1 is", 0, 1)
    return f"rgba({','.join(str(v) for v in bytes.fromhex(color[1:]))},{opacity})"


pio.templates["magbook"] = _template()
pio.templates.default = "magbook"  # so that a figure that a chapter or a student makes looks like the others
select_renderer()


# ---------------------------------------------------------------------------- colours

TO_CONES = np.array([[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728],
                     [1, -0.0894841775, -1.2914855480]])
"""OKLab (B. Ottosson, 2020): from lightness and two chromaticities to cube roots of cone responses."""

TO_SRGB = np.array([[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
                    [-0.0041960863, -0.7034186147, 1.7076147010]])
"""From cone responses to linear sRGB."""


def hue_colors(m: ArrayLike, wheel: str = "hsl") -> np.ndarray:
    """The colour of each magnetization vector: hue from its angle in the plane, lightness from mz.

    m: (..., 3), as a state (ny, nx, 3). Returns RGBA, uint8, (..., 4); zero vectors are transparent.
    wheel: "hsl", hue = atan2(my, mx) with +x red, +y yellow-green, -x cyan, -y violet, lightness = mz/2 + 1/2, so
    that +z is white and -z is black; or "uniform": equal angles look equally different, +x orange, +y green, -x blue,
    -y purple. In "uniform" +y is 0.12 lighter than -y (black to white is 1), because at equal lightness no circle of
    hues can be told apart by a colour-blind reader: they see one line of colours, and a circle folds onto it.
    Raises ValueError for another shape or wheel, or for numbers that are not finite.
    """
    m = vectors(m)
    check_wheel(wheel)
    x, y, z = np.moveaxis(m, -1, 0)
    angle, z = np.arctan2(y, x), np.clip(z, -1, 1)
    purity = 1 - np.abs(z)
    if wheel == "hsl":
        sextant = (angle[..., None] / (np.pi / 3) - np.array([0, 2, 4])) % 6
        rgb = (z / 2 + 0.5)[..., None] + purity[..., None] * (np.clip(np.abs(sextant - 3) - 1, 0, 1) - 0.5)
    else:
        hue = angle + np.radians(60)
        lab = np.stack([(0.7 + 0.06 * np.sin(angle)) * purity + np.maximum(z, 0),
                        0.11 * purity * np.cos(hue), 0.11 * purity * np.sin(hue)], axis=-1)
        linear = np.clip((lab @ TO_CONES.T) ** 3 @ TO_SRGB.T, 0, 1)
        rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    rgba = np.full(m.shape[:-1] + (4,), 255, np.uint8)
    rgba[..., :3] = np.rint(255 * rgb)
    rgba[~m.any(axis=-1)] = 0
    return rgba


def png(rgba: np.ndarray, bits: int = 8) -> str:
    """A picture (ny, nx, 4), row 0 at the bottom, as the data URI of a PNG file.

    bits: how many of each colour's 8 bits to keep; 6 halve the file, and the eye hardly sees it.
    """
    if array("rgba", rgba, "(ny, nx, 4)").dtype != np.uint8 or not rgba.size:
        raise ValueError(f"rgba: got {rgba.dtype} of shape {rgba.shape}; a picture of uint8 is needed")
    check_counts(bits=bits)
    rgba = rgba[::-1]
    if bits < 8:
        step = 1 << (8 - bits)
        rgba = np.minimum((rgba.astype(np.uint16) + step // 2) // step * step, 255).astype(np.uint8)
    opaque = rgba[..., 3].min() == 255
    rows = np.ascontiguousarray(rgba[..., :3] if opaque else rgba).reshape(len(rgba), -1)
    difference = rows.copy()  # each row less the one above it, PNG's filter 2, packs three times smaller
    difference[1:] -= rows[:-1]
    packed = zlib.compress(np.insert(difference, 0, 2, axis=1).tobytes(), 9)
    header = struct.pack(">IIBBBBB", rgba.shape[1], rgba.shape[0], 8, 2 if opaque else 6, 0, 0, 0)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(file).decode()


def arrow_cells(film: Film, arrows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the cells that carry an arrow: `arrows` along the longer side, evenly spread, inside."""
    instance("film", film, Film)
    arrows = whole("arrows", arrows)
    spacing = max(film.size[:2]) / max(arrows, 1)
    rows, columns = (((np.arange(k) + 0.5) * n / k).astype(int) for n, k in
                     ((n, min(n, max(1, round(length / spacing)))) for n, length in
                      ((film.ny, film.size[1]), (film.nx, film.size[0]))))
    rows, columns = (a.ravel() for a in np.meshgrid(rows, columns, indexing="ij"))
    keep = film.inside[rows, columns] & (arrows > 0)
    return rows[keep], columns[keep]


# ---------------------------------------------------------------------------- numbers as texts


def round_length(nm: float) -> float:
    """The largest of 1, 2, 5, 10, ... that is no longer than nm."""
    nm = number("nm", nm, "a length from 1e-300 to 1e300 is", 1e-300, 1e300)
    power = 10.0 ** np.floor(np.log10(nm))
    return max(step for step in (1, 2, 5) if step * power <= nm * (1 + 1e-9)) * power


def texts(numbers: np.ndarray) -> list[str]:
    """Numbers as texts, all with as many decimals as are needed, up to four."""
    numbers = array("numbers", numbers, "(n,)").astype(float)
    decimals = next((d for d in range(1, 4) if np.allclose(numbers, np.round(numbers, d), atol=1e-9)), 4)
    return [f"{one:.{decimals}f}" for one in numbers]


# ---------------------------------------------------------------------------- what may go in: each raises TypeError or ValueError that begins with the argument's name


def check_wheel(wheel: str) -> None:
    """Raise ValueError for a wheel that is none."""
    choice("wheel", wheel, "hsl", "uniform")


def vectors(m: ArrayLike) -> np.ndarray:
    """Finite vectors (..., 3) as floats."""
    m = decoded(array("m", m, "(..., 3)")).astype(float)
    if not np.isfinite(m).all():
        raise ValueError(f"m: {np.count_nonzero(~np.isfinite(m).all(axis=-1))} vectors are not finite")
    return m


def trajectories(name: str, given: Trajectory | Sequence[Trajectory], least: int = 1, most: int | None = None) -> list[Trajectory]:
    """One trajectory or several, as a list, for the argument `name`."""
    given = [given] if isinstance(given, Trajectory) else given
    try:
        given = list(given)
    except TypeError as error:
        raise TypeError(f"{name}: got {type(given).__name__}; a magbook.Trajectory is needed") from error
    for one in given:
        if not isinstance(one, Trajectory):
            raise TypeError(f"{name}: got {type(one).__name__}; a magbook.Trajectory is needed")
    if len(given) < least or (most is not None and len(given) > most):
        raise ValueError(f"{name}: got {len(given)} trajectories; {'one' if most == 1 else 'at least one'} is needed")
    return given


def times(times: ArrayLike) -> np.ndarray:
    """One time in s or several, as an array (n,)."""
    times = np.atleast_1d(array("times", times).astype(float))
    if times.ndim != 1 or not times.size or not np.isfinite(times).all():
        raise ValueError(f"times: got {times!r}; one or several finite times in s are needed")
    return times


def whole(name: str, value: float, least: int = 0) -> int:
    """A whole number for the argument `name`."""
    if not isinstance(value, Real):
        raise TypeError(f"{name}: got {said(value)}; a whole number of at least {least} is needed")
    if not (are_numbers(value) and value == int(value) and least <= value < 2**31):
        raise ValueError(f"{name}: got {said(value)}; a whole number of at least {least} is needed")
    return int(value)


def one_each(name: str, given: Sequence, n: int, what: str) -> list:
    """As many items as there are, for the argument `name`: one for each of n `what`, such as "fields"."""
    items = None if isinstance(given, (str, bytes, dict)) else listed(name, given, f"one for each of {n} {what}")
    if items is None or len(items) != n:
        raise ValueError(f"{name}: got {said(given) if items is None else len(items)} for {n} {what}; one for each is needed")
    return items
