"""The look: what colours mean, and who can tell them apart."""

import numpy as np
import pytest

from magbook import look

X, Y, Z = np.eye(3)


def lightness(rgb):
    """CIE L*, 0 to 100, of sRGB colours."""
    rgb = np.asarray(rgb) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


@pytest.mark.parametrize("m, color", [(X, (255, 0, 0)), (-X, (0, 255, 255)), (Z, (255, 255, 255)), (-Z, (0, 0, 0)),
                                      (Y, (128, 255, 0)), (-Y, (128, 0, 255))])
def test_hsl_wheel(m, color):
    assert np.abs(look.hue_colors(m).astype(int) - (*color, 255)).max() <= 1


def test_lightness_is_absolute():
    """A state that hardly leaves the plane isn't stretched to the whole scale."""
    up, down = look.hue_colors([[0.995, 0, 0.1], [0.995, 0, -0.1]])[:, :3].astype(int)
    assert np.abs(up - [255, 25, 25]).max() <= 1 and np.abs(down - [230, 0, 0]).max() <= 1


@pytest.mark.parametrize("wheel", ["hsl", "uniform"])
def test_zero_vectors_are_transparent(wheel):
    m = np.zeros((2, 3, 3))
    m[0, 1] = X
    assert (look.hue_colors(m, wheel)[..., 3] == 255).tolist() == [[False, True, False], [False] * 3]


def test_uniform_wheel():
    angle = np.radians(np.arange(360))
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    uniform, hsl = (look.hue_colors(circle, wheel)[:, :3].astype(float) for wheel in ("uniform", "hsl"))
    assert np.ptp(lightness(uniform)) < 20 < 60 < np.ptp(lightness(hsl))
    assert np.abs(np.diff(uniform, axis=0, append=uniform[:1])).max() < 8  # no edge, nor where the circle closes
    up = look.hue_colors([X, X * 0.8 + Z * 0.6, Z], "uniform")
    down = look.hue_colors([X, X * 0.8 - Z * 0.6, -Z], "uniform")
    assert np.all(np.diff(lightness(up[:, :3])) > 5) and np.all(np.diff(lightness(down[:, :3])) < -5)


@pytest.mark.parametrize("matrix", [
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]],
    ids=["deuteranopia", "protanopia"])
def test_uniform_wheel_for_the_colour_blind(matrix):
    """Directions 60 degrees or more apart differ for a dichromat (G. M. Machado et al., 2009); in hsl hardly."""
    angle = np.radians(np.arange(0, 360, 5))
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    apart = np.abs((angle[:, None] - angle + np.pi) % (2 * np.pi) - np.pi) > np.radians(59)

    def least(wheel):
        linear = (look.hue_colors(circle, wheel)[:, :3] / 255) ** 2.2
        seen = np.clip(linear @ np.array(matrix).T, 0, 1)
        lab = np.cbrt(seen @ np.linalg.inv(look.TO_SRGB).T) @ np.linalg.inv(look.TO_CONES).T
        return np.linalg.norm(lab[:, None] - lab, axis=-1)[apart].min()

    assert least("uniform") > 0.04  # a just noticeable difference is about 0.02
    assert least("uniform") > 1.5 * least("hsl")


@pytest.mark.parametrize("call, error, name", [
    (lambda: look.hue_colors(np.zeros((4, 2))), ValueError, "m"),
    (lambda: look.hue_colors([[np.nan, 0, 0]]), ValueError, "m"),
    (lambda: look.hue_colors("m"), TypeError, "m"),
    (lambda: look.hue_colors(X, "jet"), ValueError, "wheel"),
])
def test_errors_name_the_argument(call, error, name):
    with pytest.raises(error, match=rf"^{name}: "):
        call()
