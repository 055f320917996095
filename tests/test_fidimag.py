"""fidimag as a back end, and as the independent code that says whether ours is right."""

import inspect
import sys

import numpy as np
import pytest

from magbook import fidimag as backend
from magbook import llg
from magbook.film import Film

pytestmark = pytest.mark.slow

FIELD_1, FIELD_2 = (-24.6e-3, 4.3e-3, 0.0), (-35.5e-3, -6.3e-3, 0.0)
COARSE = Film(cells=(64, 16))


@pytest.fixture
def fidimag():
    return pytest.importorskip("fidimag")


@pytest.fixture(scope="module")
def s_state():
    return llg.s_state(COARSE)


def close(a, b):
    """Two trajectories of the same run: every mean to 1e-4, every cell to 5e-3."""
    assert np.array_equal(a.t, b.t) and np.array_equal(a.field, b.field) and a.film == b.film
    assert a.m.dtype == b.m.dtype
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-4)
    np.testing.assert_allclose(a.m, b.m, atol=5e-3)


def test_same_arguments():
    ours, theirs = (list(inspect.signature(f).parameters.values()) for f in (llg.simulate, backend.simulate))
    assert ours == theirs


def test_without_fidimag(monkeypatch):
    monkeypatch.setitem(sys.modules, "fidimag", None)
    with pytest.raises(ImportError, match="fidimag.readthedocs.io.*install"):
        backend.simulate(FIELD_1, COARSE)


@pytest.mark.parametrize("field", [FIELD_1, FIELD_2])
def test_standard_problem_4(fidimag, field, s_state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = dict(film=COARSE, start=s_state, duration=2e-10, progress=False)
    theirs = backend.simulate(field, **run)
    assert theirs.mean[-1, 0] < 0.2  # it moved
    close(theirs, llg.simulate(field, **run))
    assert theirs.info["solver"] == f"fidimag {fidimag.__version__}"
    assert not list(tmp_path.iterdir())


def test_start_is_the_s_state(fidimag):
    film = Film(cells=(32, 8))
    run = backend.simulate((0, 0), film, duration=2e-11, progress=False)
    np.testing.assert_allclose(run.m[0], llg.s_state(film), atol=1e-6)
    np.testing.assert_allclose(run.m[-1], run.m[0], atol=1e-5)


def test_field_of_time(fidimag, s_state):
    pulse = lambda t: (20e-3 * np.sin(2e10 * t), 5e-3, 10e-3 * np.exp(-t / 5e-11))
    run = dict(film=COARSE, start=s_state, duration=1e-10, progress=False)
    theirs = backend.simulate(pulse, **run)
    assert theirs.field.shape == (11, 3)
    close(theirs, llg.simulate(pulse, **run))


def test_an_error_in_the_field_comes_through(fidimag):
    def field(t):
        if 1.2e-11 < t < 1.9e-11:  # between two samples: check_run does not see it
            raise KeyError("no field here")
        return 0, 0

    with pytest.raises(KeyError, match="no field here"):
        backend.simulate(field, Film(cells=(16, 4)), (1, 0, 0), 2e-11, progress=False)


def test_mask(fidimag):
    disc = Film((120e-9, 100e-9, 5e-9), (30, 25), alpha=0.1,
                mask=lambda x, y: (x / 60e-9) ** 2 + (y / 50e-9) ** 2 < 1)
    start = disc.state((0.8, 0.5, 0.3))
    run = dict(film=disc, start=start, duration=1e-10, precision="double", progress=False)
    theirs = backend.simulate((-10e-3, 20e-3), **run)
    assert not theirs.m[:, ~disc.inside].any()
    close(theirs, llg.simulate((-10e-3, 20e-3), **run))


def test_more_than_500_steps_a_sample(fidimag):
    film = Film((40e-9, 20e-9, 3e-9), (20, 10))
    run = dict(film=film, start=(1, 0.2, 0.1), duration=2e-10, progress=False)
    one, ten = (backend.simulate(FIELD_1, every=every, **run) for every in (2e-10, 2e-11))
    assert one.info["field evaluations"] > 6 * 500
    np.testing.assert_allclose(one.m[-1], ten.m[-1], atol=1e-5)


def test_accuracy_is_a_tolerance(fidimag, s_state):
    loose, tight = (backend.simulate(FIELD_1, COARSE, s_state, 5e-11, accuracy=a, precision="double",
                                             progress=False) for a in (0.1, 10))
    assert (loose.info["tolerance"], tight.info["tolerance"]) == pytest.approx((1e-5, 1e-11))
    assert loose.info["field evaluations"] < tight.info["field evaluations"]
    assert 0 < np.abs(loose.m - tight.m).max() < 1e-3


@pytest.mark.parametrize("film", [COARSE, Film((90e-9, 60e-9, 4e-9), (18, 12), mask=lambda x, y: x * y < 4e-16)])
def test_fields_and_energies(fidimag, film, tmp_path):
    rng = np.random.default_rng(4)
    m = rng.normal(size=(film.ny, film.nx, 3))
    m = film.state(m / np.linalg.norm(m, axis=-1, keepdims=True))
    sim = backend._simulation(film, tmp_path / "run")
    sim.set_m(m.ravel())
    ours = llg.energies(m, film)
    for name, term, field in (("exchange", "UniformExchange", llg.exchange_field), ("demag", "Demag", llg.demag_field)):
        term = sim.get_interaction(term)
        h = term.compute_field().reshape(m.shape) * film.inside[..., None]
        np.testing.assert_allclose(h, field(m, film), atol=2e-6 * np.abs(h).max())
        assert term.compute_energy() == pytest.approx(ours[name], rel=2e-6)


@pytest.mark.parametrize("wrong", [dict(field="north"), dict(film="film"), dict(start=np.ones((2, 2, 3))),
                                   dict(duration=-1), dict(duration=1.5e-11), dict(every=np.nan),
                                   dict(accuracy=0), dict(precision="half")])
def test_wrong_arguments_fail_alike(fidimag, wrong):
    arguments = dict(field=FIELD_1, film=COARSE, start=(1, 0, 0)) | wrong
    with pytest.raises((ValueError, TypeError)) as ours:
        llg.simulate(**arguments)
    with pytest.raises(type(ours.value)) as theirs:
        backend.simulate(**arguments)
    assert str(theirs.value) == str(ours.value)
