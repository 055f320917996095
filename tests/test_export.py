"""Exported files, read back: how many frames, how big, which colours where, which texts; and what is refused."""

import resource
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import imageio_ffmpeg
import matplotlib
import numpy as np
import pytest
from PIL import Image

from magbook import export, look
from magbook.film import Film
from magbook.trajectory import Trajectory

FILM = Film(cells=(32, 8))
ANGLES = np.linspace(0, 2 * np.pi, 11)


@pytest.fixture(scope="module")
def run():
    """All vectors turn once in 1 ns, together; but the lowest row of cells always points up."""
    m = np.zeros((11, 8, 32, 3), np.float32)
    m[..., 0], m[..., 1] = np.cos(ANGLES)[:, None, None], np.sin(ANGLES)[:, None, None]
    m[:, 0] = [0, 0, 1]
    return Trajectory(np.linspace(0, 1e-9, 11), m, np.zeros(3), FILM)


def frames(path):
    """The frames of an animation, (n, height, width, 3)."""
    if path.suffix in (".mp4", ".webm"):
        reader = imageio_ffmpeg.read_frames(str(path))
        width, height = next(reader)["size"]
        return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])
    with Image.open(path) as image:
        return np.stack([np.asarray((image.seek(k), image.convert("RGB"))[1]) for k in range(image.n_frames)])


def box(picture, color):
    """The rows and columns, from and to, where a picture has about this colour."""
    rows, columns = np.nonzero(np.abs(picture.astype(int) - color).max(axis=-1) < 40)
    return rows.min(), rows.max(), columns.min(), columns.max()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", export.ANIMATED)
def test_animation(run, tmp_path, suffix):
    path = export.save(run, tmp_path / f"run{suffix}", fps=10, arrows=0)
    pictures = frames(path)
    assert pictures.shape[0] == 11 and pictures.shape[2] == 640 and 440 < pictures.shape[1] < 500
    assert np.abs(pictures[:, 2, 2].astype(int) - 255).max() <= 3
    top, bottom, left, right = box(pictures[0][80:], look.hue_colors([1, 0, 0])[:3])
    # the film is 500 nm by 125 nm, its lowest row of 8 is white
    assert (right - left + 1) / (bottom - top + 1) == pytest.approx(500 / 125 * 8 / 7, rel=0.02)
    middle = 80 + (top + bottom) // 2, (left + right) // 2
    shown = pictures[(slice(None), *middle)].astype(int)
    true = look.hue_colors(np.stack([np.cos(ANGLES), np.sin(ANGLES), 0 * ANGLES], axis=-1))[:, :3].astype(int)
    assert np.abs(shown - true).max() < 25
    # a line moves through the averages from left to right, on the axes that the film stands on
    still = np.median(pictures, axis=0)
    for k in (2, 8):
        _, columns = np.nonzero(np.abs(pictures[k] - still).max(axis=-1)[-160:-50] > 60)
        assert np.median(columns) == pytest.approx(left + k / 10 * (right - left), abs=3)
    if suffix == ".gif":
        assert Image.open(path).info["duration"] == 100 and Image.open(path).info["loop"] == 0


@pytest.mark.slow
def test_animation_of_some_states(run, tmp_path):
    pictures = frames(export.save(run, tmp_path / "some.gif", times=run.t[::5], width=301))
    assert pictures.shape[0] == 3 and pictures.shape[2] == 302


def test_a_name_with_a_colon(run, tmp_path, monkeypatch):
    """In the folder that one is in, where ffmpeg would take what stands before it for a protocol."""
    monkeypatch.chdir(tmp_path)
    for name in ("a:b.mp4", "./a:b.gif", "10:20:30.png"):
        assert export.save(run, name, times=run.t[:2] if name[-1] != "g" else 0, width=100) == Path(name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10:20:30.png", "a:b.gif", "a:b.mp4"]


def test_picture_of_one_state(run, tmp_path):
    path = export.save(run, tmp_path / "new folder/one.png", times=0.5e-9, arrows=0)
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert picture.shape[1] == 1280
    top, bottom, left, right = box(picture[160:], look.hue_colors([-1, 0, 0])[:3])
    assert (right - left + 1) / (bottom - top + 1) == pytest.approx(500 / 125 * 8 / 7, rel=0.02)
    assert (picture[160 + bottom + 8, left + 20:right - 20] == 255).all()  # row 0 is at the bottom, and points up
    dark = np.asarray(Image.open(export.save(run, tmp_path / "dark.png", times=0, dark=True, width=640)).convert("RGB"))
    assert dark[2, 2].tolist() == [0x12] * 3 and dark.shape[1] == 640


def texts(path):
    return ["".join(element.itertext()).strip() for element in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def test_svg(run, tmp_path):
    one = texts(export.save(run, tmp_path / "one.svg", times=0.21e-9, title="A <title>"))
    assert {"A <title>", "0.2 ns", "x (nm)", "y (nm)", "500", "+x", "−x", "+y", "−y", "+z", "−z"} <= set(one)
    several = texts(export.save(run, tmp_path / "several.svg"))
    assert [text for text in several if text.endswith("ns")] == ["0.0 ns", "0.3 ns", "0.7 ns", "1.0 ns"]
    assert "100 nm" in several and "x (nm)" not in several


@pytest.mark.slow
def test_pdf_and_a_film_of_any_shape(tmp_path):
    disk = Film(size=(100e-9, 300e-9, 5e-9), cells=(4, 12), mask=lambda x, y: x**2 + y**2 < 50e-9**2)
    m = np.broadcast_to(disk.inside[..., None] * [0.0, 1, 0], (3, 12, 4, 3))
    run = Trajectory(np.array([0, 1e-12, 2e-12]), m, np.zeros(3), disk)
    assert export.save(run, tmp_path / "disk.pdf").read_bytes().startswith(b"%PDF")
    assert [text for text in texts(export.save(run, tmp_path / "disk.svg")) if text.endswith("ns")][1] == "0.001 ns"
    picture = np.asarray(Image.open(export.save(run, tmp_path / "disk.PNG", times=0, wheel="uniform")).convert("RGB"))
    colors = {tuple(color) for color in look.hue_colors([[0, 1, 0]], "uniform")[:, :3]}
    assert colors <= {tuple(color) for color in picture.reshape(-1, 3)}


@pytest.mark.slow
def test_nothing_of_matplotlib_is_changed(run, tmp_path, monkeypatch):
    monkeypatch.setitem(matplotlib.rcParams, "savefig.bbox", "tight")
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 30)
    before = dict(matplotlib.rcParams)
    assert frames(export.save(run, tmp_path / "a.webp", times=run.t[:2])).shape[2] == 640
    assert Image.open(export.save(run, tmp_path / "a.png")).width == 1280
    assert dict(matplotlib.rcParams) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run.webm", "run.gif", "run.png"])
def test_a_full_disk_leaves_what_was_there(run, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # no file may grow beyond
    try:
        with pytest.raises(OSError, match=name):
            export.save(run, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def broken(run, **changes):
    return Trajectory(**{name: changes.get(name, getattr(run, name)) for name in ("t", "m", "field", "film")})


@pytest.mark.parametrize("call, error, name", [
    (lambda run: export.save(run, "run.avi"), ValueError, "path"),
    (lambda run: export.save(run, "run"), ValueError, "path"),
    (lambda run: export.save(run.m, "run.gif"), TypeError, "trajectory"),
    (lambda run: export.save([run, run], "run.gif"), ValueError, "trajectory"),
    (lambda run: export.save(broken(run, t=run.t[:0], m=run.m[:0]), "run.png"), ValueError, "trajectory"),
    (lambda run: export.save(broken(run, m=run.m * np.nan), "run.png"), ValueError, "trajectory"),
    (lambda run: export.save(run, "run.png", times=0.5), ValueError, "t"),  # ns taken for s
    (lambda run: export.save(run, "run.png", times=[]), ValueError, "times"),
    (lambda run: export.save(run, "run.gif", times=0), ValueError, "times"),
    (lambda run: export.save(run, "run.gif", fps=0), ValueError, "fps"),
    (lambda run: export.save(run, "run.gif", width="wide"), TypeError, "width"),
    (lambda run: export.save(run, "run.gif", width=0), ValueError, "width"),
    (lambda run: export.save(run, "run.gif", arrows=-1), ValueError, "arrows"),
    (lambda run: export.save(run, "run.gif", wheel="jet"), ValueError, "wheel"),
])
def test_errors_name_the_argument(run, tmp_path, monkeypatch, call, error, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=rf"^{name}: "):
        call(run)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module, package, name", [("matplotlib.style", "matplotlib", "run.png"),
                                                   ("imageio_ffmpeg", "imageio-ffmpeg", "run.mp4")])
def test_a_missing_package_is_named(run, tmp_path, monkeypatch, module, package, name):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=f"pip install {package}"):
        export.save(run, tmp_path / name)
    assert not list(tmp_path.iterdir())
