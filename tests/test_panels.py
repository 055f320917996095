"""The live panels answer when a knob is turned. JupyterLab itself is driven elsewhere."""

import zlib

import ipywidgets
import numpy as np
import pytest

from magbook import autoencoder, panels, simulate, stepper
from magbook.dynamics import Dynamics
from magbook.film import Film
from magbook.rom import ReducedOrderModel
from magbook.show.explorer import Explorer

FILM = Film((64e-9, 32e-9, 3e-9), (16, 8))


def test_field_panel_computes_anew_when_the_field_turns():
    panel = panels.field(FILM, duration=2e-11)
    (angle, strength), before = panel.children[0].children, panel.run
    strength.value = 40
    assert panel.run is not before and np.hypot(*panel.run.field[:2]) == pytest.approx(40e-3)
    angle.value = 190
    assert panel.run.field[1] < 0


def test_field_panel_applies_a_field_in_time():
    pulse = lambda b: lambda t: b if t < 1e-11 else 0 * b
    panel = panels.field(FILM, duration=3e-11, signal=pulse)
    (angle, strength), moment = panel.children[0].children, panel.children[1].children[1]
    strength.value, angle.value = 40, 180
    b = np.array([-40e-3, 0, 0])
    pulsed, constant = (simulate(one, FILM, duration=3e-11, progress=False) for one in (pulse(b), b))
    np.testing.assert_allclose(panel.run.m, pulsed.m, atol=1e-6)
    assert np.abs(panel.run.mean[-1] - constant.mean[-1]).max() > 1e-4
    moment.value = 3
    assert panel.children[1].children[2].value == "0.03 ns"


class Following(Dynamics):
    """The latent state is the field, in units of 10 mT."""

    every, latent = 1e-11, 2

    def rollout(self, first, fields):
        return np.concatenate([first, 100 * fields[:, 1:]], axis=1).astype(np.float32)


def test_compare_panel_hands_a_field_in_time_to_both():
    encoder, decoder = autoencoder.build(2, (8, 16, 3), (4, 8, 16))
    rom = ReducedOrderModel(encoder, decoder, Following(), film=FILM)
    switched_off = lambda b: lambda t: b * (t < 2.5e-11)
    panel = panels.compare(rom, duration=4e-11, signal=switched_off)
    angle, strength = panel.children[0].children
    angle.value, strength.value = 180, 30
    on, off = (rom.decode(np.array(c), unit=True).mean(axis=(0, 1)) for c in ([-3.0, 0.0], [0.0, 0.0]))
    np.testing.assert_allclose(panel.fast.mean[1:], [on, on, off, off], atol=1e-5)
    expected = simulate(switched_off(np.array([-30e-3, 0, 0])), FILM, duration=4e-11, progress=False)
    np.testing.assert_allclose(panel.run.m, expected.m, atol=1e-6)


def untrained(film=FILM):
    encoder, decoder = autoencoder.build(3, (film.ny, film.nx, 3), (4, 8, 16))
    fan = {"angle": 180.0, "opening": 44.0, "strength": [22e-3, 41e-3]}
    return ReducedOrderModel(encoder, decoder, stepper.Stepper(stepper.build(3), 1.0), largest=10.0, film=film, fan=fan)


@pytest.mark.slow
def test_compare_panel_shows_both_answers_and_warns_outside_the_fan():
    rom = untrained()
    panel = panels.compare(rom, duration=1e-10)
    (angle, strength), said, curves = panel.children[0].children, panel.children[1], panel.children[2]
    drawn = [np.array(trace.y) for trace in curves.figure.data if trace.y is not None]
    assert "outside" not in said.value
    angle.value = 175
    assert any(not np.array_equal(a, b.y) for a, b in zip(drawn, curves.figure.data))
    np.testing.assert_allclose(panel.fast.field, panel.run.field)
    strength.value = 50
    assert "9.0 mT in strength" in said.value


@pytest.mark.slow
def test_error_map_computes_the_field_that_is_clicked():
    fields = np.array([[-30e-3, 2e-3, 0], [-35e-3, -5e-3, 0], [-45e-3, 8e-3, 0]])
    errors = {"L2": np.array([0.1, 0.3, 0.2]), "angle": np.array([4.0, 2.0, 1.0])}
    panel = panels.error_map(untrained(), fields, errors, known=fields, times=[2e-11, 6e-11], duration=1e-10)
    chart, said, curves, pictures = panel.children[:4]
    np.testing.assert_array_equal(panel.run.field, fields[1])  # the worst
    assert len(panel.fast) == len(panel.run) == 11 and "outside" not in said.value
    before = [np.array(trace.y) for trace in curves.figure.data], pictures.figure.data[0].source
    dots = next(i for i, trace in enumerate(chart.figure.data) if trace.marker.coloraxis)
    chart._handle_custom_msg([[dots, 2]], [])
    np.testing.assert_array_equal(panel.run.field, fields[2])
    assert said.value.startswith("mu0*H = (-45.0, 8.0) mT") and "outside" in said.value
    assert not np.array_equal(before[0][0], curves.figure.data[0].y)
    assert before[1] != pictures.figure.data[0].source
    panel.show(fields[1])
    np.testing.assert_allclose(before[0][0], curves.figure.data[0].y)


def test_losses_follow_a_training():
    curves = panels.Losses()
    history = [{"epoch": 1, "loss": 2.0, "error": 0.5}]
    curves(history)
    assert [list(trace.y) for trace in curves.figure.data] == [[2.0], [0.5]]
    curves([*history, {"epoch": 2, "loss": 1.0, "error": 0.4}])
    assert [list(trace.x) for trace in curves.figure.data] == [[1, 2], [1, 2]]


@pytest.mark.slow
def test_explorer_is_an_ordinary_widget():
    one, other = Explorer(untrained(), "latent"), Explorer(untrained(), ["latent"], latent=[1, 2, 3])
    seen = []
    one.observe(lambda change: seen.append(change["new"]), "latent")
    ipywidgets.link((one, "latent"), (other, "latent"))
    other.latent = [3.0, 2.0, 1.0]
    assert one.latent == [3, 2, 1] and seen[-1] == [3, 2, 1]
    one.field = (-30e-3, 1e-3, 0)
    assert list(one.field) == [-30e-3, 1e-3]
    assert one.model == Explorer(untrained(), "latent").model, "the same weights are loaded once"


@pytest.mark.slow
@pytest.mark.parametrize("name, value", [("latent", [1.0, 2.0]), ("latent", [1.0, np.nan, 2.0]), ("field", (1e-3,)),
                                         ("field", (np.inf, 0)), ("time", -1e-12)])
def test_explorer_refuses_what_it_cannot_show(name, value):
    panel = Explorer(untrained(), "latent")
    before = getattr(panel, name)
    with pytest.raises(ValueError, match=name):
        setattr(panel, name, value)
    assert getattr(panel, name) == before


@pytest.mark.slow
def test_explorer_names_the_argument_that_is_wrong():
    with pytest.raises(ValueError, match="panels"):
        Explorer(untrained(), "pad")
    with pytest.raises(ValueError, match="panels"):
        Explorer("paper", ["neighbours", "field"])
    with pytest.raises(ValueError, match="model: .* 'paper'"):
        Explorer(untrained(), "neighbours")
    with pytest.raises(ValueError, match="panels: this model steps"):
        Explorer(untrained(FILM.replace(cells=(24, 8))))  # the solver in the page takes powers of two
    with pytest.raises(ValueError, match="panels: this model cannot be driven"):
        Explorer(untrained(), "drive")
    with pytest.raises(ValueError, match="time: got 2e-09 s"):
        Explorer(time=2e-9)
    with pytest.raises(TypeError, match="model"):
        Explorer(3)


def test_explorer_hands_the_networks_over_when_it_is_asked():
    panel, sent = Explorer(untrained(), "latent"), []
    panel.send = lambda content, buffers: sent.append((content, buffers))
    panel._handle_custom_msg({"want": "model"}, [])
    panel._handle_custom_msg({"want": "start"}, [])
    (answer, (weights,)), (begin, _) = sent
    header = answer["header"]
    assert (answer["part"], begin["part"]) == ("model", "start") and begin["header"]["film"]["nx"] == FILM.nx
    assert header["latent"] == 3 and len(zlib.decompress(weights)) % 2 == 0 and header["dynamics"]["history"] == 4


@pytest.mark.parametrize("make, name", [
    (lambda: panels.compare("paper"), "rom"), (lambda: panels.compare(3), "rom"), (lambda: panels.error_map("atlas", [], {}), "rom"),
    (lambda: panels.field(3), "film"), (lambda: panels.field(duration="1 ns"), "duration"), (lambda: panels.field(every=0), "every"),
    (lambda: panels.field(signal=(0, 1)), "signal")])
def test_panels_name_the_argument_that_is_wrong(make, name):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: got"):
        make()
