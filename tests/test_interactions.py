"""Figures that a reader turns, as their pages draw them: a cell of a chapter, the page's script, and keys and a mouse."""

import json
import re
from pathlib import Path

import numpy as np
import plotly
import plotly.graph_objects as go
import pytest

import magbook as mb
from magbook.show.page import PageRenderer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(browser):
    """One for all, which has compiled plotly.js when the second figure comes."""
    page = browser.new_page(viewport={"width": 760, "height": 900})
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    page.close()


@pytest.fixture
def turned(page, root, tmp_path, monkeypatch):
    """A function that draws the figure of a chapter's cell, and gives the page with it, and its weight."""
    monkeypatch.setattr(mb, "say", lambda **_: None)

    def draw(chapter, name):
        cells = json.loads((root / f"book/{chapter}.ipynb").read_text())["cells"]
        code = "".join(next(c["source"] for c in cells if c["metadata"].get("mystnb", {}).get("figure", {}).get("name") == name))
        grey, orange, blue = mb.look.fade(mb.look.GREY, 0.5), *mb.look.PALETTE[:2]
        styles = [("", {"color": color}) for color in (grey, orange, blue)]  # of chapter 4's other figure
        names = {"np": np, "go": go, "mb": mb, "styles": styles}
        exec(code, names)
        text = PageRenderer().to_mimebundle(names["fig"].to_dict())["text/html"]
        figure = re.search(r'<script type="application/json">(.*)</script>', text, re.S)[1]
        (tmp_path / "data.js").write_text(f"document.currentScript.figure = {figure};")
        library = Path(plotly.__file__).parent / "package_data/plotly.min.js"
        (tmp_path / "page.html").write_text(
            '<!doctype html><meta charset="utf-8"><div class="magbook-figure" style="min-height:400px" data-source="data.js"></div>'
            f'<script src="{(root / "book/_assets/figures.js").as_uri()}" data-plotly="{library.as_uri()}"></script>')
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_selector(".slider-container", timeout=60_000)
        page.wait_for_timeout(500)
        return page, len(figure)

    return draw


def drag_slider(page, share):
    """Move a slider's grip to a share of its length."""
    grip, rail = (page.locator(f".slider-{part}").first.bounding_box() for part in ("grip-rect", "rail-touch-rect"))
    page.mouse.move(grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2)
    page.mouse.down()
    page.mouse.move(rail["x"] + share * rail["width"], grip["y"] + grip["height"] / 2, steps=4)
    page.mouse.up()
    page.wait_for_timeout(500)


def numbers(page, kind, before):
    """The numbers that follow some words in a figure's texts of a kind."""
    texts = page.locator(f".{kind}").all_text_contents()
    return [float(text.split(before)[1]) for text in texts if before in text]


def test_a_run_is_scrubbed_through_with_its_errors(turned):
    page, weight = turned("03_autoencoder", "fig-sizes")
    assert weight < 600e3
    z = mb.files.arrays("latent_sizes.npz")

    def errors():
        return numbers(page, "annotation-text", ": ")

    def active():
        return page.evaluate("document.querySelector('.magbook-figure').layout.sliders[0].active")

    picture = "document.querySelector('.magbook-figure').layout.images[0].source"
    first = active(), errors(), page.evaluate(picture)
    drag_slider(page, 0.9)
    assert active() > first[0] and errors() != first[1] and page.evaluate(picture) != first[2]
    np.testing.assert_allclose(errors(), z["l2"][:, :, active()].ravel(), atol=0.0051)
    before = active()
    page.locator(".magbook-figure").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(300)
    assert active() == before - 1 and not page.complaints


def test_two_predictors_go_on_from_later_and_in_other_fields(turned):
    page, weight = turned("04_predictor", "fig-hand-over")
    assert weight < 300e3
    z = mb.files.arrays("hand_over.npz")

    def off():
        return numbers(page, "legendtext", "off by ")

    def right(moment, field):
        """Of the two networks: from the curves that ship."""
        after = int(z["after"][moment])
        return np.abs(z["said"][:, moment, field, after:].astype(float) - z["mean"][field, after:].astype(float)).mean(axis=-1)

    np.testing.assert_allclose(off(), right(0, 1), atol=6e-4)
    drag_slider(page, 1)
    np.testing.assert_allclose(off(), right(len(z["after"]) - 1, 1), atol=6e-4)
    page.locator(".magbook-figure").focus()
    page.keyboard.press(" ")  # the next field of the menu
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(500)
    np.testing.assert_allclose(off(), right(len(z["after"]) - 2, 2), atol=6e-4)
    assert "the space bar goes on in the menu" in page.evaluate("document.querySelector('.magbook-figure').ariaDescription")
    assert not page.complaints
