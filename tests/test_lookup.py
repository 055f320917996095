"""A table of film averages in constant fields, against a model whose answers are known, and against the one that ships."""

from dataclasses import dataclass

import numpy as np
import pytest

from magbook import applied, driven, llg, lookup, metrics
from magbook.dynamics import Dynamics
from magbook.film import Film
from magbook.rom import ReducedOrderModel, load_rom

FILM = Film((40e-9, 20e-9, 5e-9), (8, 4))
EVERY_DIRECTION = dict(angle=0, opening=360, strength=(0, 45e-3))


@dataclass(eq=False)
class Wave(Dynamics):
    """Film averages that are products of the field's components, and of one's square, with a function of time: parabolas, each way."""

    latent = 2
    every = 1e-11
    means = True
    largest: float = 1.0

    def rollout(self, first, fields):
        t = np.arange(fields.shape[1])[None, :, None]
        c = np.concatenate([np.cumsum(fields[..., :1], axis=1), 400 * fields[..., :1] * (fields[..., 1:] + 20 * fields[..., 1:]**2) * np.sin(t / 3)], axis=-1) * 0.6 * self.largest
        c[:, :1] = first
        return c.astype(np.float32)

    def averages(self, c):
        return c @ np.array([[1, 0, 0.5], [0, 1, 0.5]], np.float32)


@pytest.fixture(scope="module")
def rom():
    whole = np.random.default_rng(0).standard_normal((2, 4, 8, 3))
    return ReducedOrderModel(*driven.networks(whole), Wave(), film=FILM, fan=EVERY_DIRECTION)


@pytest.fixture(scope="module")
def table(rom):
    return lookup.tabulate(rom, n=9, k=4, precision=1e-6, duration=2e-10)


def test_a_parabola_between_the_points_is_read_as_it_is(rom, table):
    fields = applied.fan(50, 3, **EVERY_DIRECTION)
    known = rom.averages(fields, duration=2e-10)
    assert np.abs(known[..., 0]).max() > 0.5 and np.abs(known[..., 1]).max() > 0.2
    np.testing.assert_allclose(table.averages(fields), known, atol=1e-3)
    np.testing.assert_allclose(table.averages(fields[7]), known[7], atol=1e-3)
    np.testing.assert_allclose(table.averages(fields[7, :2]), known[7], atol=1e-3)
    assert table.averages(np.empty((0, 3))).shape == (0, 21, 3)
    np.testing.assert_allclose(table.averages((0, 0))[0], llg.s_state(FILM).mean(axis=(0, 1)), atol=1e-3)


@pytest.mark.parametrize("edge", [(45e-3, 0), (-45e-3, 0), (0, 45e-3), (0, -45e-3), (-31.8e-3, 31.8e-3)])
def test_it_reaches_to_its_edge(rom, table, edge):
    np.testing.assert_allclose(table.averages(edge), rom.averages(edge, duration=2e-10), atol=1e-3)


def test_no_average_is_longer_than_one():
    """Half of the films point along x, half against it, and between them a cubic swings past both."""
    side = np.where(np.arange(8) < 4, -100, 100).astype(np.int16)
    table = lookup.Lookup(45e-3, np.repeat(side[:, None, None], 8, axis=1), 0.01, [[[1, 0, 0]]], [[0, 0, 0]])
    mx = table.averages(applied.fan(500, 5, **EVERY_DIRECTION))[:, 0, 0]
    assert np.abs(mx).max() == 1 and (np.abs(mx) == 1).mean() > 0.3 and np.abs(mx).min() < 0.2


def test_rounding_costs_what_it_says(rom):
    fields = applied.fan(300, 4, **EVERY_DIRECTION)
    fine, coarse = (lookup.tabulate(rom, n=9, k=2, precision=p, duration=2e-10).averages(fields) for p in (1e-6, 0.3))
    off = np.sqrt(np.mean((coarse - fine)**2))
    assert 0.3 < off / (0.3 * np.sqrt(2 / (36 * 21))) < 1  # less than at the points of the grid, since sixteen of them are averaged


@pytest.mark.parametrize("field, said", [((46e-3, 0), "46 mT; the table ends at 45 mT"), ([(0, 0), (40e-3, 30e-3)], "50 mT"), ((0, 0, 1e-3), "1 mT out of the plane"),
                                         ((np.nan, 0), "finite"), (lambda t: (0, 0), "real"), ("x", "real"), ((1e4, 0), "A/m"), ([(0, 0), (0, 0, 0)], "real"), (None, "real"), (0.01, "shape"),
                                         (np.ones((3, 2)) * 1e-3j, "real"), ((45.000002e-3, 0), "45.000002 mT")])
def test_what_the_table_does_not_have_is_refused(table, field, said):
    with pytest.raises((ValueError, TypeError), match=f"^field: .*{said}"):
        table.averages(field)


def test_a_file_gives_the_same_answers(table, tmp_path):
    table.save(tmp_path / "table.npz")
    field = (-20e-3, 7e-3)
    np.testing.assert_array_equal(lookup.load(tmp_path / "table.npz").averages(field), table.averages(field))
    whole = (tmp_path / "table.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-100])
    np.savez(tmp_path / "other.npz", numbers=np.zeros((4, 9, 8)))
    with np.load(tmp_path / "table.npz") as z:
        np.savez(tmp_path / "altered.npz", **dict(z) | {"mean": z["mean"] + 0.1})
    for name in ("cut.npz", "other.npz", "altered.npz"):
        with pytest.raises(ValueError, match=f"{name} is not a table"):
            lookup.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        lookup.load(tmp_path / "none.npz")


@pytest.mark.parametrize("name, wrong, said", [("rom", dict(most=46e-3), "trained on"), ("n", dict(n=10**9), "GB"), ("n", dict(n=97, duration=1e-5), "GB"), ("n", dict(n=3), "4"),
                                               ("precision", dict(precision=1e39), "1e-6 to 1"), ("precision", dict(precision=1e-12), "1e-6 to 1"), ("k", dict(k=0), "1")])
def test_what_fills_no_table_is_refused_at_once(rom, name, wrong, said, monkeypatch):
    monkeypatch.setattr(rom, "averages", lambda *a: pytest.fail("the model was asked"))
    with pytest.raises((ValueError, MemoryError), match=f"^{name}: .*{said}"):
        lookup.tabulate(rom, **wrong)


@pytest.mark.parametrize("fan", [dict(angle=190, opening=44, strength=(0, 45e-3)), dict(angle=0, opening=360, strength=(5e-3, 45e-3))])
def test_a_model_that_does_not_know_every_field_fills_no_table(rom, fan):
    with pytest.raises(ValueError, match="^rom: it was trained on"):
        lookup.tabulate(ReducedOrderModel(rom.encoder, rom.decoder, rom.dynamics, film=FILM, fan=fan))


def test_a_model_that_runs_away_fills_no_table():
    whole = np.random.default_rng(0).standard_normal((2, 4, 8, 3))
    away = ReducedOrderModel(*driven.networks(whole), Wave(largest=1e4), film=FILM, largest=10.0)
    with pytest.warns(RuntimeWarning, match="ran away"), pytest.raises(ValueError, match="^rom: it runs away"):
        lookup.tabulate(away, n=4, duration=2e-10)


def test_the_table_that_ships_answers_as_its_model():
    rom, table = load_rom("driven"), lookup.load("driven")
    fields = applied.fan(200, 11, **EVERY_DIRECTION)
    off = metrics.film_average_error(table.averages(fields), rom.averages(fields))
    assert np.median(off) < 0.0005 and np.quantile(off, 0.95) < 0.015
