"""Pictures: which way is up, what moves, how big a figure is, and what is refused."""

import base64
import io

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from PIL import Image

from magbook import llg, plots, sp4
from magbook.film import Film
from magbook.trajectory import Trajectory

X, Y, Z = np.eye(3)
FILM = Film(cells=(64, 16))
BAND = np.zeros(5, [(n, float) for n in ("t_ns", "mx_mean", "my_mean", "mz_mean", "mx_std", "my_std", "mz_std")])
REFERENCE = np.zeros(5, [(n, float) for n in ("t_ns", "mx", "my", "mz")])


def turning(nt=11, film=FILM, **info):
    """All vectors turn once in the plane in 1 ns, and a wave runs along x."""
    angle = 2 * np.pi * np.linspace(0, 1, nt)[:, None, None] + np.zeros((film.ny, 1)) + film.x / film.size[0]
    m = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1) * film.inside[..., None]
    return Trajectory(np.linspace(0, 1e-9, nt), m.astype(np.float32), np.zeros(3), film, info)


def still(m, film):
    return Trajectory(np.array([0, 1e-9]), np.stack([m, m]).astype(np.float32), np.zeros(3), film)


def pixels(image):
    """A picture, (rows, columns, channels), top row first; plotly.js turns that of a trace over."""
    header, data = image.source.split(",")
    assert header == "data:image/png;base64"
    rows = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    return rows[::-1] if isinstance(image, go.Image) else rows


def size(fig):
    return len(fig.to_json())


# ---------------------------------------------------------------------------- films


def test_film_row_0_is_at_the_bottom():
    m = np.broadcast_to(X, (16, 64, 3)).copy()
    m[0] = Z
    image = plots.film(m, FILM, arrows=0).data[0]
    picture = pixels(image)
    assert picture.shape == (16, 64, 3) and (picture[-1] == 255).all() and (picture[:-1] == [255, 0, 0]).all()
    # plotly puts the centre of a row at y0 and goes on by dy: here from y = 0 up to the film's upper edge
    assert image.y0 - image.dy / 2 == pytest.approx(0) and image.y0 + 15.5 * image.dy == pytest.approx(125)
    assert image.x0 - image.dx / 2 == pytest.approx(0) and image.x0 + 63.5 * image.dx == pytest.approx(500)


DRAWN = {"film": plots.film, "states": lambda m, film: plots.states(still(m, film), 0),
         "play": lambda m, film: plots.play(still(m, film)), "grid": lambda m, film: plots.grid([m], film)}


@pytest.fixture(scope="module")
def drawn(browser, tmp_path_factory):
    """What a browser draws of a film, all on one page. Its lower half points along x, red; the upper along y, yellow-green."""
    film = Film((200e-9, 100e-9, 5e-9), (32, 16))
    m = np.broadcast_to(X, (16, 32, 3)).copy()
    m[8:] = Y
    path = tmp_path_factory.mktemp("drawn") / "films.html"
    path.write_text("<!doctype html><meta charset=utf-8>" + "".join(
        draw(m, film).to_html(full_html=False, include_plotlyjs=name == "film") for name, draw in DRAWN.items()))
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.goto(path.as_uri())
    page.wait_for_function("n => document.querySelectorAll('.plotly-graph-div:has(image)').length === n", arg=len(DRAWN))
    page.wait_for_timeout(500)
    films = [figure.locator("image").first.screenshot() for figure in page.locator(".plotly-graph-div").all()]
    page.close()
    return {name: Image.open(io.BytesIO(film)).convert("RGB") for name, film in zip(DRAWN, films)}


@pytest.mark.parametrize("name", DRAWN)
def test_a_browser_draws_row_0_at_the_bottom(drawn, name):
    """Arrows lie on their colour."""
    picture = drawn[name]
    for share, color in ((0.25, (128, 255, 0)), (0.75, (255, 0, 0))):  # from the upper edge
        seen = [picture.getpixel((k * picture.width // 40, round(share * picture.height))) for k in range(1, 40)]
        assert np.median(np.abs(np.subtract(seen, color)).max(axis=1)) < 8


def test_film_of_any_kind():
    disk = Film(size=(100e-9, 100e-9, 5e-9), cells=(20, 20), mask=lambda x, y: x**2 + y**2 < 50e-9**2)
    fig = plots.film(np.broadcast_to(Y, (20, 20, 3)), disk, arrows=10)
    assert np.array_equal(pixels(fig.data[0])[::-1, :, 3] > 0, disk.inside)
    column, row = (fig.data[1].customdata[:, :2] / 5).astype(int).T
    assert disk.inside[row, column].all() and set(fig.data[1].marker.angle) == {0}  # up
    tall, huge = Film(size=(20e-9, 90e-9, 3e-9), cells=(2, 9)), Film(cells=(2048, 512))
    assert pixels(plots.film(np.broadcast_to(X, (9, 2, 3)), tall).data[0]).shape[:2] == (9, 2)
    assert pixels(plots.film(np.broadcast_to(X, (512, 2048, 3)), huge).data[0]).shape[:2] == (128, 512)


def test_film_layout():
    fig = plots.film(turning().m[0], FILM, title="A title")
    assert fig.layout.yaxis.scaleanchor == "x" and "nm" in fig.layout.xaxis.title.text
    assert {"+x", "−x", "+y", "−y", "+z", "−z"} <= {a.text for a in fig.layout.annotations}
    assert fig.layout.title.text == "A title" and fig.layout.width is None
    assert size(fig) < 100e3


def test_states():
    run, other = turning(), turning(film=Film(cells=(32, 8)))
    fig = plots.states([run, other], [0, 0.25e-9, 0.5e-9], labels=["a", "b"])
    images = [trace for trace in fig.data if trace.type == "image"]
    assert [pixels(i).shape[:2] for i in images] == [(16, 64)] * 3 + [(8, 32)] * 3
    assert list(fig.layout.yaxis.ticktext) == ["0.00 ns", "0.25 ns", "0.50 ns"]
    assert list(fig.layout.xaxis.ticktext) == ["a", "b"]
    # time runs down the page, trajectories to the right, and nothing overlaps
    top = [i.y0 for i in images[:3]]
    assert np.all(np.diff(top) < -125) and images[3].x0 > images[0].x0 + 500
    assert images[3].y0 == pytest.approx(top[0], abs=5)
    assert plots.states(run, 0).layout.xaxis.showticklabels is False


# ---------------------------------------------------------------------------- curves


def test_means():
    run = turning(nt=301)
    fig = plots.means(run, run, run, labels=["micromagnetics", "network", "third"])
    mx = [t for t in fig.data if t.legendgroup == "x" and not t.showlegend and t.x[0] is not None]
    assert [t.mode for t in mx] == ["lines", "markers", "lines"] and mx[0].line.width > 2 * mx[2].line.width
    np.testing.assert_allclose(mx[0].x, run.t * 1e9, atol=1e-6)
    np.testing.assert_allclose(mx[0].y, run.mean[:, 0], atol=1e-6)
    assert len(mx[1].x) <= 101
    shown = [t.name for t in fig.data if t.showlegend is not False]
    assert len(shown) == 6 and shown[3:] == ["micromagnetics", "network", "third"]


def test_means_against_published():
    band, reference = sp4.reference("mumag", 1), sp4.reference("fidimag", 1)
    fig = plots.means(turning(), band=band, reference=reference, reference_label="fidimag")
    filled = fig.data[[t.fill for t in fig.data].index("toself")]
    assert max(filled.y) == pytest.approx((band["mx_mean"] + band["mx_std"]).max(), abs=1e-6)
    assert {"muMAG, mean ± sd", "fidimag"} <= {t.name for t in fig.data}
    assert len(plots.means(band=band).data) > 3


# ---------------------------------------------------------------------------- play


def test_play():
    run = turning(nt=101)
    fig = plots.play(run, every=25)
    assert [f.name for f in fig.frames] == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    assert [s.label for s in fig.layout.sliders[0].steps] == [f.name for f in fig.frames]
    assert [s.args[0][0] for s in fig.layout.sliders[0].steps] == [f.name for f in fig.frames]
    assert [b.label for b in fig.layout.updatemenus[0].buttons] == ["Play", "Pause"]
    needles, line, dots = fig.frames[1].data
    (image,) = fig.frames[1].layout.images
    sharp = pixels(plots.film(run.m[25], FILM).data[0]).astype(int)
    assert np.abs(pixels(image) - sharp).max() <= 3  # packed to 6 bits
    assert list(line.x) == [0.25, 0.25] and np.allclose(dots.y, run.mean[25], atol=1e-4)
    # every frame changes traces that are there and of the same type
    for frame in fig.frames:
        assert all(fig.data[i].type == new.type for i, new in zip(frame.traces, frame.data))


@pytest.mark.slow
def test_play_is_small():
    """All 101 states of the run with the finest structure."""
    assert size(plots.play(llg.simulate(sp4.FIELD_2, progress=False))) < 1e6


# ---------------------------------------------------------------------------- fan


def test_fan():
    angle = np.radians([160, 180, 200])
    fields = 30e-3 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    fig = plots.fan(fields, [1.0, 2.0, 3.0], name="error", text=["a", "b", "c"])
    dots = next(t for t in fig.data if t.marker.coloraxis)
    assert dots.text[0] == "30.0 mT at 160.0°<br>a" and list(dots.marker.color) == [1, 2, 3]
    assert fig.layout.coloraxis.colorbar.title.text == "error" and fig.layout.yaxis.scaleanchor == "x"
    marked = {t.name: (t.x[0], t.y[0]) for t in fig.data if t.name}
    assert marked["SP4, field 1"] == pytest.approx((-24.6, 4.3))
    assert marked["SP4, field 2"] == pytest.approx((-35.5, -6.3))
    outline = fig.data[1]
    r = np.hypot(outline.x, outline.y)
    assert r.min() == pytest.approx(22) and r.max() == pytest.approx(41)
    assert np.ptp(outline.y) == pytest.approx(2 * 41 * np.sin(np.radians(22)), rel=1e-3)
    kinds = plots.fan(fields, ["train", "test", "train"], customdata=[[1], [2], [3]])
    train = next(t for t in kinds.data if t.name == "train")
    assert len(train.x) == 2 and train.customdata.ravel().tolist() == [1, 3]


def test_rays_cross_the_fan_at_their_angles():
    fig = plots.fan([(-0.03, 0)], rays={"the blade": (179, 193)})
    line, = (trace for trace in fig.data if trace.name == "the blade")
    angle, size = np.degrees(np.arctan2(line.y, line.x)) % 360, np.hypot(line.x, line.y)
    nan = np.nan  # one line does not lead to the next
    assert angle == pytest.approx([179, 179, nan, 193, 193, nan], abs=0.1, nan_ok=True)
    assert size == pytest.approx([22, 41, nan, 22, 41, nan], abs=0.1, nan_ok=True)


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("call, error, name", [
    (lambda: plots.film(np.zeros((64, 16, 3)), FILM), ValueError, "m"),
    (lambda: plots.film(turning().m[0], "permalloy"), TypeError, "film"),
    (lambda: plots.film(turning().m[0], FILM, arrows=-1), ValueError, "arrows"),
    (lambda: plots.film(turning().m[0], FILM, arrows="many"), TypeError, "arrows"),
    (lambda: plots.states(turning().m, 0), TypeError, "trajectories"),
    (lambda: plots.states([], 0), ValueError, "trajectories"),
    (lambda: plots.states(turning(), []), ValueError, "times"),
    (lambda: plots.states(turning(), 0.5), ValueError, "t"),  # ns taken for s
    (lambda: plots.states(turning(), 0, labels="ab"), ValueError, "labels"),
    (lambda: plots.means(), ValueError, "trajectories"),
    (lambda: plots.means(np.zeros((5, 3))), TypeError, "trajectories"),
    (lambda: plots.means(turning(), labels=["a", "b"]), ValueError, "labels"),
    (lambda: plots.means(band=np.zeros(3)), TypeError, "band"),
    (lambda: plots.means(band=REFERENCE), ValueError, "band"),
    (lambda: plots.means(reference=BAND), ValueError, "reference"),
    (lambda: plots.play(turning(), every=0), ValueError, "every"),
    (lambda: plots.play([turning(), turning()]), ValueError, "trajectory"),
    (lambda: plots.play(turning(), pixels=2.5), ValueError, "pixels"),
    (lambda: plots.fan([1, 2]), ValueError, "fields"),
    (lambda: plots.fan("fan"), TypeError, "fields"),
    (lambda: plots.fan(np.zeros((3, 2)), [1, 2]), ValueError, "values"),
    (lambda: plots.fan(np.zeros((3, 2)), text=["a"]), ValueError, "text"),
    (lambda: plots.fan(np.zeros((3, 2)), outline={"angle": 180}), ValueError, "outline"),
    (lambda: plots.grid(np.zeros((3, 64, 16)), FILM), ValueError, "pictures"),
    (lambda: plots.grid(np.full((3, 16, 64), np.nan), FILM), ValueError, "pictures"),
    (lambda: plots.grid({}, FILM), ValueError, "pictures"),
    (lambda: plots.grid({"a": np.zeros((3, 16, 64)), "b": np.zeros((2, 16, 64))}, FILM), ValueError, "pictures"),
    (lambda: plots.grid(np.zeros((3, 16, 64)), FILM, labels="ab"), ValueError, "labels"),
    (lambda: plots.grid(np.zeros((3, 16, 64)), FILM, columns=0), ValueError, "columns"),
    (lambda: plots.error_map(np.zeros((3, 2)), np.zeros(3)), TypeError, "errors"),
    (lambda: plots.error_map(np.zeros((3, 2)), {"L2": np.zeros(2)}), ValueError, "errors"),
    (lambda: plots.error_map(np.zeros((3, 2)), {"L2": np.zeros(3)}, kinds=["a"]), ValueError, "kinds"),
    (lambda: plots.error_map(np.zeros((3, 2)), {"L2": np.zeros(3)}, known=[1, 2]), ValueError, "known"),
])
def test_errors_name_the_argument(call, error, name):
    with pytest.raises(error, match=rf"^{name}: "):
        call()


# ---------------------------------------------------------------------------- on the page


def test_every_figure_of_a_chapter_gets_the_template():
    assert pio.templates.default == "magbook"
    assert plots.means(turning()).layout.paper_bgcolor is None  # the template says it, so a student's change wins


# ---------------------------------------------------------------------------- losses


def test_error_map():
    fields = np.array([[-30e-3, 2e-3, 0], [-35e-3, -5e-3, 0], [-25e-3, 8e-3, 0]])
    errors = {"L2": np.array([0.1, 0.3, 0.2]), "angle": np.array([4.0, 2.0, np.nan])}
    kinds = ["walls", "domains", "walls"]
    fig = plots.error_map(fields, errors, known=fields[:2] + 1e-3, kinds=kinds)
    k, dots = next((k, trace) for k, trace in enumerate(fig.data) if trace.marker.coloraxis)
    np.testing.assert_allclose(dots.x, [-30, -35, -25], rtol=1e-6)
    assert list(dots.marker.color) == [0.1, 0.3, 0.2] and dots.marker.symbol == ("circle", "diamond", "circle")
    assert "walls<br>L2 = 0.1<br>angle = 4" in dots.text[0] and "30.1 mT at 176.2°" in dots.text[0]
    assert [trace.name for trace in fig.data if trace.x[0] is None] == ["walls", "domains"]
    known = next(trace for trace in fig.data if trace.name == "training fields")
    np.testing.assert_allclose(known.y, [3, -4], rtol=1e-6)
    assert fig.data.index(known) < k  # below the errors
    # each entry of the menu shows its own numbers, on the same trace
    for entry, name in zip(fig.layout.updatemenus[0].buttons, errors, strict=True):
        colors, layout, traces = entry.args
        assert entry.label == name == layout["coloraxis.colorbar.title.text"] and list(traces) == [k]
        np.testing.assert_array_equal(colors["marker.color"][0], errors[name])
    one = plots.error_map(fields, {"L2": errors["L2"]})
    assert not one.layout.updatemenus and one.layout.coloraxis.colorbar.title.text == "L2"


def test_losses_draws_a_line_for_each_history_and_quantity():
    rows = [{"epoch": 1, "loss": 2.0, "error": 0.5}, {"epoch": 2, "loss": 1.0, "error": 0.4}]
    fig = plots.losses(rows, rows[:1], of=("loss", "error"), labels=["long", "short"])
    assert [(t.name, list(t.x), list(t.y)) for t in fig.data] == [
        ("long, loss", [1, 2], [2, 1]), ("long, error", [1, 2], [0.5, 0.4]),
        ("short, loss", [1], [2]), ("short, error", [1], [0.5])]
    assert fig.layout.yaxis.type == "log"
    with pytest.raises(ValueError, match="^of: got 'speed'; the histories hold epoch, loss, error"):
        plots.losses(rows, of="speed")
    with pytest.raises(ValueError, match="^labels: got 1 for 2 histories"):
        plots.losses(rows, rows, labels=["one"])


# ---------------------------------------------------------------------------- grid


def test_grid_of_states():
    m = turning(nt=7).m[:6]
    fig = plots.grid(m, FILM, labels=list("abcdef"), columns=4, pixels=64)
    images = fig.layout.images
    assert len(images) == 6 and list(fig.data[0].text) == list("abcdef") and not fig.layout.sliders
    x, y = [i.x for i in images], [i.y for i in images]
    assert np.all(np.diff(x[:4]) > 500) and x[4] == x[0] and np.ptp(y[:4]) == 0 and y[4] < y[0] - 125
    assert np.abs(pixels(images[2]) - pixels(plots.film(m[2], FILM).data[0]).astype(int)).max() <= 3  # packed to 6 bits
    assert fig.layout.meta["wheel"]


def test_grid_of_numbers_is_blue_and_orange():
    values = np.zeros((1, 16, 64))
    values[0, 0, 0], values[0, -1, 0] = -2, 1  # lower left, upper left
    picture = pixels(plots.grid(values, FILM, pixels=64).layout.images[0]).astype(int)
    blue, orange, white = picture[-1, 0], picture[0, 0], picture[5, 5]
    assert blue[2] > blue[0] + 100 and orange[0] > orange[2] + 50 and (white == 255).all()
    np.testing.assert_allclose(255 - orange, (255 - np.array([0xd5, 0x5e, 0x00])) / 2, atol=1)


def test_grid_with_a_slider():
    m = turning(nt=4).m
    fig = plots.grid({"low": m[:2], "middle": m[1:3], "high": m[2:]}, FILM, slider="time")
    (slider,) = fig.layout.sliders
    assert [step.label for step in slider.steps] == ["low", "middle", "high"] and slider.currentvalue.prefix == "time "
    assert slider.active == 1 and fig.layout.images[0].source == slider.steps[1].args[0]["images"][0]["source"]
    sources = [[image["source"] for image in step.args[0]["images"]] for step in slider.steps]
    assert sources[0][1] == sources[1][0] != sources[1][1] == sources[2][0]


def test_a_strip_much_longer_than_wide_is_drawn():
    strip = Film((26e-6, 20e-9, 3e-9), (130, 1))
    assert plots.film(strip.state((1, 0, 0)), strip).layout.height > 0
