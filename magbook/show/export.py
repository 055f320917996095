"""Files for slides and papers: a run as an animation, or some of its states as a picture. Chapter 1 introduces it.

matplotlib draws and ffmpeg encodes: `pip install "magbook[export]"` brings both.
"""

import importlib
import logging
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import truth
from ..files import as_path, atomic
from ..trajectory import Trajectory
from . import look

ANIMATED = {
    ".gif": ("gif", ["-filter_complex", "split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none"]),
    ".webp": ("libwebp_anim", ["-quality", "85", "-loop", "0"]),
    ".mp4": ("libx264", ["-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]),
    ".webm": ("libvpx-vp9", ["-crf", "24", "-b:v", "0", "-pix_fmt", "yuv420p", "-row-mt", "1", "-cpu-used", "4"]),
}
"""What ffmpeg needs to know: a codec and its options."""

# On a new machine matplotlib first lists the fonts, for some seconds, and would say so in a notebook
logging.getLogger("matplotlib.font_manager").addFilter(lambda record: "font cache" not in record.getMessage())

STILL = (".png", ".svg", ".pdf")

_WIDTH, _LEFT, _RIGHT, _HEAD, _FOOT = 640, 56, 18, 86, 44  # in units that are px of an animation of the usual width


def save(trajectory: Trajectory, path: str | Path, *, times: ArrayLike | None = None, fps: int = 20, arrows: int | None = None,
         wheel: str = "hsl", width: int | None = None, dark: bool = False, title: str | None = None) -> Path:
    """Write a run to one file whose suffix says what it is: an animation or a picture of some states.

    .gif, .webp, .mp4 and .webm: the film, the time, and the film averages with a line that moves.
    .png, .svg and .pdf: one state with axes in nm, or several, each with its time and all with one scale bar.

    trajectory: a `Trajectory`. times: in s; the stored states nearest to them are shown. By default an animation shows
    all, a picture four, evenly spread. fps: states a second. arrows: along the longer side of a film, 0 for none.
    wheel: "hsl" or "uniform", see `look.hue_colors`. width: px, by default 640 for an animation and 1280 for a PNG;
    text grows with it, and a .svg or .pdf takes any size. dark: for a dark slide. title: a line above.
    Returns the path. The 101 states of a run at the full grid take about 10 s; they are 2.5 MB as a GIF, 0.9 MB as an MP4.
    Raises ValueError or TypeError, naming the argument, for anything else, for states that are not finite and for times
    outside the run; ModuleNotFoundError, naming it, where a package is missing; OSError where the disk is full. `path` is
    written whole or not at all.
    """
    path = as_path(path)
    suffix = path.suffix.lower()
    if suffix not in ANIMATED and suffix not in STILL:
        raise ValueError(f"path: got {str(path)!r}; a name that ends in {', '.join([*ANIMATED, *STILL])} is needed")
    (trajectory,) = look.trajectories("trajectory", trajectory, most=1)
    if not len(trajectory):
        raise ValueError("trajectory: it holds no state")
    if not np.isfinite(trajectory.m).all():
        bad = int(np.argmin(np.isfinite(trajectory.m).all(axis=(1, 2, 3))))
        raise ValueError(f"trajectory: its state at {trajectory.t[bad] * 1e9:.3g} ns is not finite")
    picks = _picks(trajectory, times, suffix)
    fps = look.whole("fps", fps, 1)
    width = look.whole("width", (1280 if suffix == ".png" else _WIDTH) if width is None else width, 100)
    arrows = None if arrows is None else look.whole("arrows", arrows)
    look.check_wheel(wheel)

    style = _need("matplotlib.style")
    dpi = 100 * (width + width % 2) / _WIDTH  # video takes even numbers of px
    theme = dict(wheel=wheel, ink="#dddddd" if truth("dark", dark) else "#333333", paper="#121212" if dark else "#ffffff", title=title)
    with style.context(["default", {"font.size": 9, "svg.fonttype": "none"}]):
        if suffix in STILL:
            figure = _picture(trajectory, picks, arrows, theme)
            with atomic(path) as file:
                figure.savefig(file, format=suffix[1:], dpi=dpi)
        else:
            figure, show = _animation(trajectory, picks, 20 if arrows is None else arrows, theme, dpi)
            _encode(path, figure, show, picks, fps, dpi)
    return path


def _picks(trajectory, times, suffix):
    """The numbers of the states that are shown."""
    n = len(trajectory)
    if times is None:
        picks = np.arange(n) if suffix in ANIMATED else np.unique(np.linspace(0, n - 1, 4).round().astype(int))
    else:
        times = look.times(times)
        for t in times:
            trajectory.at(t)  # raises outside the run
        picks = np.abs(trajectory.t - times[:, None]).argmin(axis=1)
    if suffix in ANIMATED and len(set(picks)) < 2:
        raise ValueError(f"times: an animation of one state was asked for; {', '.join(STILL)} show a single one")
    return picks


def _need(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0].replace("_", "-")
        raise ModuleNotFoundError(f"magbook.export needs {package}: pip install {package}", name=error.name) from error


def _encode(path, figure, show, picks, fps, dpi):
    """Show one state after another, and let ffmpeg make an animation of the pictures."""
    suffix = path.suffix.lower()
    codec, options = ANIMATED[suffix]
    animation, ffmpeg = _need("matplotlib.animation"), _need("imageio_ffmpeg")
    _need("matplotlib").rcParams["animation.ffmpeg_path"] = ffmpeg.get_ffmpeg_exe()  # until the context of `save` ends
    writer = animation.FFMpegWriter(fps=fps, codec=codec, extra_args=options)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".part", dir=path.parent) as folder:
        made = Path(folder).absolute() / f"animation{suffix}"  # ffmpeg writes by name, and goes back; it takes "a:b" for a protocol
        try:
            with writer.saving(figure, made, dpi):
                for pick in picks:
                    show(pick)
                    writer.grab_frame(facecolor=figure.get_facecolor())
        except (BrokenPipeError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or "it stopped early; is the disk full?"
            raise OSError(f"{path}: ffmpeg could not write it: {reason.strip()}") from error
        with atomic(path) as file, open(made, "rb") as whole:
            shutil.copyfileobj(whole, file)


# ---------------------------------------------------------------------------- drawing


def _figure(height, theme):
    """An empty figure `height` units high, and a function that adds axes in units from its lower left corner."""
    figure = _need("matplotlib.figure").Figure(figsize=(_WIDTH / 100, height / 100), facecolor=theme["paper"])
    if theme["title"] is not None:
        figure.text(_LEFT / _WIDTH, 1 - 18 / height, str(theme["title"]), color=theme["ink"], size=11, va="center")

    def axes(left, bottom, wide, high):
        ax = figure.add_axes((left / _WIDTH, bottom / height, wide / _WIDTH, high / height), facecolor="none")
        ax.tick_params(colors=theme["ink"], length=3)
        for spine in ax.spines.values():
            spine.set(color=look.GREY, linewidth=0.8)
        return ax

    return figure, axes


def _film(ax, film, arrows, theme):
    """Empty film axes; returns a function that shows a state in them."""
    lx, ly = film.size[0] * 1e9, film.size[1] * 1e9
    rows, columns = look.arrow_cells(film, arrows)
    image = ax.imshow(np.zeros((1, 1, 4)), extent=(0, lx, 0, ly), origin="lower", aspect="auto", interpolation="nearest")
    needles = ax.quiver(film.x[columns] * 1e9, film.y[rows] * 1e9, 0 * columns, 0 * rows, pivot="mid", color="#111111",
                        edgecolor=(1, 1, 1, 0.75), linewidth=0.4, units="inches", width=0.018, scale_units="inches",
                        scale=1 / 0.14, headwidth=4, headlength=4, headaxislength=3.6) if len(rows) else None

    def show(m):
        image.set_data(look.hue_colors(np.where(film.inside[..., None], m, 0.0), theme["wheel"]))
        if needles is not None:
            needles.set_UVC(m[rows, columns, 0], m[rows, columns, 1])

    return show


def _axes_in_nm(ax, theme):
    ax.set_xlabel("x (nm)", color=theme["ink"])
    ax.set_ylabel("y (nm)", color=theme["ink"])
    ax.locator_params(axis="y", nbins=4)


def _wheel(axes, top, theme):
    """The colour wheel and the scale of mz, below `top` at the right edge."""
    side = np.linspace(-1, 1, 201)
    x, y = np.meshgrid(side, side)
    radius = np.hypot(x, y)
    vectors = np.stack([x, y, 1 - radius], axis=-1) * (radius <= 1)[..., None]
    z = np.linspace(-1, 1, 101)[:, None]
    bar = np.stack([0 * z + 1, 0 * z, z], axis=-1)
    for left, wide, colors, names in ((_WIDTH - 116, 46, vectors, "xy"), (_WIDTH - 32, 10, bar, "z")):
        ax = axes(left, top - 68, wide, 46)
        ax.imshow(look.hue_colors(colors, theme["wheel"]), origin="lower", aspect="auto")
        ax.set_axis_off()
        for name in names:
            for sign, end in (("+", 1), ("−", 0)):
                at = (1.2 * end - 0.1, 0.5) if name == "x" else (0.5, 1.36 * end - 0.18)
                ax.text(*at, f"{sign}{name}", transform=ax.transAxes, color=theme["ink"], va="center",
                        ha="center" if name != "x" else "left" if end else "right")


def _size(film, wide, high=400):
    """Width and height of a film in units that leave it its proportions."""
    scale = min(wide / film.size[0], high / film.size[1])
    return film.size[0] * scale, film.size[1] * scale


def _picture(trajectory, picks, arrows, theme):
    """One state with axes, or several in a grid, in the order of reading."""
    film, room = trajectory.film, _WIDTH - _LEFT - _RIGHT
    moments = [f"{text} ns" for text in look.texts(trajectory.t[picks] * 1e9)]
    if len(picks) == 1:
        wide, high = _size(film, room)
        figure, axes = _figure(high + _HEAD + _FOOT, theme)
        ax = axes(_LEFT, _FOOT, wide, high)
        _film(ax, film, 20 if arrows is None else arrows, theme)(trajectory.m[picks[0]])
        _axes_in_nm(ax, theme)
        ax.set_title(moments[0], loc="left", color=theme["ink"], size=9)
        _wheel(axes, _FOOT + high + _HEAD, theme)
        return figure
    gap, left = 14, _RIGHT
    room = _WIDTH - left - _RIGHT

    def grid(columns):
        wide, high = _size(film, (room - (columns - 1) * gap) / columns)
        return wide, high, -(-len(picks) // columns) * (high + 24)

    # as many columns as make the whole nearest to twice as wide as high
    columns = min(range(1, len(picks) + 1), key=lambda n: abs(np.log(room / grid(n)[2] / 2)))
    wide, high, block = grid(columns)
    figure, axes = _figure(block + _HEAD + _FOOT, theme)
    for k, (pick, moment) in enumerate(zip(picks, moments)):
        bottom = _FOOT + block - (k // columns + 1) * (high + 24)
        ax = axes(left + k % columns * (wide + gap), bottom, wide, high)
        _film(ax, film, max(6, 20 // columns) if arrows is None else arrows, theme)(trajectory.m[pick])
        ax.set(xticks=[], yticks=[])
        ax.set_title(moment, loc="left", color=theme["ink"], size=9, pad=4)
    length = look.round_length(film.size[0] * 1e9 / 4)
    scale = axes(left, _FOOT - 24, wide, 10)
    scale.set(xlim=(0, film.size[0] * 1e9), ylim=(-1, 1))
    scale.plot([0, length], [0, 0], color=theme["ink"], linewidth=2, solid_capstyle="butt")
    scale.annotate(f"{length:g} nm", (length, 0), (6, 0), textcoords="offset points", color=theme["ink"], va="center")
    scale.set_axis_off()
    _wheel(axes, _FOOT + block + _HEAD, theme)
    return figure


def _animation(trajectory, picks, arrows, theme, dpi):
    """The film above its averages, and a function that shows one of the picked states there."""
    film, t = trajectory.film, trajectory.t * 1e9
    wide, high = _size(film, _WIDTH - _LEFT - _RIGHT)
    curves, gap = 130, 60
    height = 200 / dpi * np.ceil((_FOOT + curves + gap + high + _HEAD) * dpi / 200)  # even too
    figure, axes = _figure(height, theme)
    ax = axes(_LEFT, _FOOT + curves + gap, wide, high)
    show_film = _film(ax, film, arrows, theme)
    _axes_in_nm(ax, theme)
    clock = ax.set_title("", loc="left", color=theme["ink"], size=10)
    _wheel(axes, height, theme)
    ax = axes(_LEFT, _FOOT, _WIDTH - _LEFT - _RIGHT, curves)
    ax.set(xlim=(t[picks].min(), t[picks].max()), ylim=(-1.1, 1.1), yticks=[-1, 0, 1])
    ax.set_xlabel("time (ns)", color=theme["ink"])
    ax.set_ylabel("mean $m$", color=theme["ink"])
    for k, (c, color) in enumerate(look.COMPONENTS.items()):
        ax.plot(t, trajectory.mean[:, k], color=color, linewidth=1.8)
        ax.text(0.005 + 0.06 * k, 1.06, f"$m_{c}$", transform=ax.transAxes, color=color, size=11)
    line = ax.axvline(0, color=look.GREY, linewidth=1)
    dots = ax.scatter([0] * 3, [0] * 3, c=list(look.COMPONENTS.values()), s=24, zorder=3, clip_on=False)

    moments = look.texts(t)

    def show(pick):
        show_film(trajectory.m[pick])
        clock.set_text(f"t = {moments[pick]} ns")
        line.set_xdata([t[pick]] * 2)
        dots.set_offsets(np.column_stack([[t[pick]] * 3, trajectory.mean[pick]]))

    return figure, show
