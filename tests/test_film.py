"""The film: its geometry, what it takes, and what it answers to what it can't take."""

import numpy as np
import psutil
import pytest

from magbook import applied
from magbook import film as film_module
from magbook.film import MU0, PERMALLOY, Film, check_memory

SMALL = Film((80e-9, 40e-9, 5e-9), (8, 4))
HUGE = (2_000_000, 1_000_000)  # 16 TB for one array of one number a cell


def test_standard_problem_4_is_the_default():
    film = Film()
    assert film.size == (500e-9, 125e-9, 3e-9) and film.cells == (256, 64)
    assert (film.Ms, film.A, film.alpha, film.gamma0) == (8e5, 1.3e-11, 0.02, 2.211e5)
    assert dict(Ms=film.Ms, A=film.A, alpha=film.alpha, gamma0=film.gamma0) == PERMALLOY
    assert MU0 == pytest.approx(1.25663706127e-6, rel=1e-9)
    # gamma0 = mu0 |gamma|, so the g factor of the electron spin must come out
    assert PERMALLOY["gamma0"] / MU0 == pytest.approx(1.7595e11, rel=1e-4)


def test_geometry():
    assert (SMALL.nx, SMALL.ny) == (8, 4)
    assert (SMALL.dx, SMALL.dy, SMALL.thickness) == pytest.approx((10e-9, 10e-9, 5e-9))
    assert SMALL.cell_volume * 32 == pytest.approx(80e-9 * 40e-9 * 5e-9)
    np.testing.assert_allclose(SMALL.x, np.array([5, 15, 25, 35, 45, 55, 65, 75]) * 1e-9)
    np.testing.assert_allclose(SMALL.y, np.array([5, 15, 25, 35]) * 1e-9)


def test_mask():
    right = Film(SMALL.size, SMALL.cells, mask=lambda x, y: (x > 0) & (y < 1))  # x from the middle of the film
    assert right.inside.shape == (4, 8)
    assert not right.inside[:, :4].any() and right.inside[:, 4:].all()
    assert Film(SMALL.size, SMALL.cells, mask=right.inside) == right
    upper = Film(SMALL.size, SMALL.cells, mask=lambda x, y: (y > 0) & (x < 1))
    assert upper.inside[2:].all() and not upper.inside[:2].any()  # row 0 is at the bottom
    area = Film((2e-7, 1e-7, 3e-9), (200, 100), mask=lambda x, y: (x / 1e-7) ** 2 + (y / 5e-8) ** 2 <= 1).inside.mean()
    assert area == pytest.approx(np.pi / 4, abs=2e-3)


def test_a_mask_of_everything_is_none():
    assert SMALL.replace(mask=np.ones((4, 8), bool)).mask is None
    assert SMALL.replace(mask=np.ones((4, 8), bool)) == SMALL and SMALL.inside.all()


def test_equality_hash_and_description():
    a, b = Film(cells=(8, 4)), Film(cells=[8, 4], Ms=np.float64(8e5))
    assert a == b and hash(a) == hash(b) and a != SMALL and a != "film"
    half, other = np.zeros((4, 8), bool), np.zeros((4, 8), bool)
    half[:2], other[2:] = True, True
    assert a.replace(mask=half) != a and a.replace(mask=half) != a.replace(mask=other)
    changes = dict(size=(1e-7, 1e-7, 1e-9), Ms=1e6, A=1e-12, alpha=0.5, gamma0=1e5)
    assert len({a, *(a.replace(**{k: v}) for k, v in changes.items())}) == 6
    with pytest.raises(AttributeError):
        a.Ms = 1.0


BAD = {
    "alpha": [-0.1, np.nan, np.inf, "0.02", None, [0.02], 1j],
    "Ms": [-8e5, 0, np.nan, np.inf, "8e5", None, [8e5]],
    "A": [-1e-11, 0, np.nan, np.inf, "x", None],
    "gamma0": [-1.0, 0, np.nan, np.inf, "x", None],
    "size": [(1e-9, 1e-9), (1e-9,) * 4, 1e-9, None, "abc", (1e-9, 1e-9, -1e-9), (1e-9, 0, 1e-9), (np.nan, 1e-9, 1e-9),
             (np.inf, 1e-9, 1e-9), (1e-9, 1e-9, "x")],
    "cells": [(4,), (4, 4, 4), 4, None, "ab", (4, 0), (-4, 4), (4.5, 4), (np.nan, 4), (np.inf, 4), ("a", "b")],
    "mask": [np.ones((4, 8)), np.zeros((4, 8), bool), np.ones((8, 4), bool), np.ones(32, bool), "round", 5,
             lambda x, y: x, lambda x, y: x > 0, lambda x, y: None],
}


@pytest.mark.parametrize("name, value", [(k, v) for k, values in BAD.items() for v in values])
def test_what_is_not_a_film(name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: got"):
        Film(**{"cells": (8, 4), name: value})


def test_no_damping_is_allowed():
    assert Film(alpha=0).alpha == 0.0


# ---------------------------------------------------------------------------- states


def test_state_is_a_checked_copy():
    m = np.zeros((4, 8, 3), np.float32)
    m[..., 1] = 1 + 5e-4
    state = SMALL.state(m)
    assert state.dtype == np.float64 and np.array_equal(state[..., 1], np.ones((4, 8)))
    state[:] = 0
    assert m.all(axis=(0, 1))[1]
    np.testing.assert_allclose(SMALL.state((1, 2, 2)), np.broadcast_to([1 / 3, 2 / 3, 2 / 3], (4, 8, 3)))


def test_state_outside_the_mask_is_zero():
    film = SMALL.replace(mask=lambda x, y: (x > 0) & (y < 1))
    m = np.full((4, 8, 3), np.nan)
    m[film.inside] = (0, 0, 1)
    state = film.state(m)
    assert not state[~film.inside].any() and (state[film.inside] == (0, 0, 1)).all()


def _bad_states():
    good = np.broadcast_to([0.0, 0.0, 1.0], (4, 8, 3))
    for text, change in (("nan", np.nan), ("infinite", np.inf), ("long", 1.01), ("zero", 0.0)):
        m = good.copy()
        m[2, 3, 2] = change
        yield pytest.param(m, id=text)
    yield pytest.param(np.moveaxis(good, -1, 0), id="component first")
    yield pytest.param(np.swapaxes(good, 0, 1), id="x and y exchanged")
    yield pytest.param(good[..., :2], id="two components")
    for text, m in (("zero vector", (0, 0, 0)), ("pair", (1, 0)), ("number", 1.0), ("nan vector", (np.nan, 0, 0)),
                    ("string", "random"), ("none", None), ("ragged", [[1, 0], [1]])):
        yield pytest.param(m, id=text)


@pytest.mark.parametrize("m", list(_bad_states()))
def test_what_is_not_a_state(m):
    with pytest.raises((ValueError, TypeError), match="^start: "):
        SMALL.state(m, "start")


# ---------------------------------------------------------------------------- fields


def test_applied_vector():
    assert applied.vector((-24.6e-3, 4.3e-3)).tolist() == [-24.6e-3, 4.3e-3, 0.0]
    assert applied.vector(np.array([1, 2, 3])).tolist() == [1.0, 2.0, 3.0]


BAD_FIELDS = [None, 0.1, "x", "0.1", ("a", "b"), (1,), (1, 2, 3, 4), [], [[0, 0]], (np.nan, 0), (0, np.inf),
              (0, 0, -np.inf), (1j, 0), {}, range]


@pytest.mark.parametrize("field", BAD_FIELDS, ids=str)
def test_what_is_not_a_field(field):
    with pytest.raises((ValueError, TypeError), match="^field: got"):
        applied.vector(field)


# ---------------------------------------------------------------------------- memory


def test_memory_is_refused():
    check_memory(1e6, "a little")
    with pytest.raises(MemoryError, match=r"the moon needs about 1000000.0 GB; .* available"):
        check_memory(1e15, "the moon")


def test_a_tenth_of_the_memory_is_left_free(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1e9}))
    check_memory(0.89e9, "nearly all")
    with pytest.raises(MemoryError, match="all of it needs about 0.9 GB; 1.0 GB are available"):
        check_memory(0.91e9, "all of it")


def test_the_machine_is_not_asked_about_a_little(monkeypatch):
    asked = []
    monkeypatch.setattr(psutil, "virtual_memory", lambda: asked.append(1) or type("Memory", (), {"available": 1e9}))
    check_memory(1e6, "a little")
    assert not asked
    check_memory(1e8, "more")
    assert asked


def test_a_huge_grid_allocates_nothing():
    """A Film is only numbers, and a state of it is refused before its array is made."""
    film, before = Film(cells=HUGE), psutil.Process().memory_info().rss
    with pytest.raises(MemoryError, match="2000000 x 1000000 cells needs about"):
        film.state((1, 0, 0))
    with pytest.raises(MemoryError, match="2000000 x 1000000 cells needs about"):
        Film(cells=HUGE, mask=lambda x, y: x + y > 0)
    assert psutil.Process().memory_info().rss - before < 1e8


@pytest.mark.parametrize("field", [(-20e3, 3e3), (0, 0, 1e250)])
def test_a_field_in_amperes_per_metre_is_noticed(field):
    with pytest.raises(ValueError, match="field.*tesla"):
        applied.vector(field)


@pytest.mark.parametrize("change, unit", [(dict(size=(500, 125, 3)), "nm"), (dict(Ms=1.0), "T"), (dict(A=13.0), "pJ/m"), (dict(A=1e-3), "pJ/m"),
                                          (dict(gamma0=1.76e11), r"rad/\(s T\)"), (dict(size=(1e-30, 1e-9, 1e-9)), "nm")])
def test_numbers_in_other_units_are_asked_about(change, unit):
    with pytest.raises(ValueError, match=f"^{next(iter(change))}: got .* Was it given in {unit}"):
        Film(**change)


def test_memory_of_a_container_counts(monkeypatch):
    asked = lambda path: {"memory.max": "2000000000", "memory.current": "500000000"}[path.name]
    monkeypatch.setattr("pathlib.Path.read_text", asked)
    check_memory(1.0e9, "little")
    with pytest.raises(MemoryError, match="much needs about"):
        check_memory(1.4e9, "much")


@pytest.mark.parametrize("names", [("memory.max", "memory.current", "memory.stat", "inactive_file"),
                                   ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file")])
def test_what_a_container_may_take_by_both_versions_of_control_groups(tmp_path, names):
    limit, used, stat, cache = names
    (tmp_path / "memory").mkdir()
    assert film_module._left_to_container(tmp_path) == np.inf
    (tmp_path / limit).write_text("2000\n")
    (tmp_path / used).write_text("1500\n")
    assert film_module._left_to_container(tmp_path) == 500
    (tmp_path / stat).write_text(f"anon 900\n{cache} 400\n")  # files that it read and need not keep
    assert film_module._left_to_container(tmp_path) == 900
    (tmp_path / limit).write_text("max\n")
    assert film_module._left_to_container(tmp_path) == np.inf
