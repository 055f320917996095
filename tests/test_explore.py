"""The live panels answer when a knob is turned. JupyterLab itself is driven elsewhere."""

import numpy as np
import pytest

from magbook import autoencoder, explore, predictor
from magbook.film import Film
from magbook.rom import ReducedOrderModel

FILM = Film((64e-9, 32e-9, 3e-9), (16, 8))


def test_field_panel_computes_anew_when_the_field_turns():
    panel = explore.field(FILM, duration=2e-11)
    (angle, strength), before = panel.children[0].children, panel.run
    strength.value = 40
    assert panel.run is not before and np.hypot(*panel.run.field[:2]) == pytest.approx(40e-3)
    angle.value = 190
    assert panel.run.field[1] < 0


def test_compare_panel_shows_both_answers_and_warns_outside_the_fan():
    encoder, decoder = autoencoder.build(3, (8, 16, 3), (4, 8, 16))
    fan = {"angle": 180.0, "opening": 44.0, "strength": [22e-3, 41e-3]}
    rom = ReducedOrderModel(encoder, decoder, predictor.build(3), scale=1.0, reach=10.0, film=FILM, fan=fan)
    panel = explore.compare(rom, duration=1e-10)
    (angle, strength), said, curves = panel.children[0].children, panel.children[1], panel.children[2]
    drawn = [np.array(trace.y) for trace in curves.data if trace.y is not None]
    assert "outside" not in said.value
    angle.value = 175
    assert any(not np.array_equal(a, b.y) for a, b in zip(drawn, curves.data))
    np.testing.assert_allclose(panel.fast.field, panel.run.field)
    strength.value = 50
    assert "9.0 mT in strength" in said.value


def test_losses_follow_a_training():
    curves = explore.Losses()
    history = [{"epoch": 1, "loss": 2.0, "error": 0.5}]
    curves(history)
    assert [list(trace.y) for trace in curves.data] == [[2.0], [0.5]]
    curves([*history, {"epoch": 2, "loss": 1.0, "error": 0.4}])
    assert [list(trace.x) for trace in curves.data] == [[1, 2], [1, 2]]
