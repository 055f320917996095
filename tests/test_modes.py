"""Normal modes: against formulas, against the equation that they come from, and against a film that rings."""

import numpy as np
import pytest

from magbook import demag, files, llg, modes
from magbook.files import shipped
from magbook.film import MU0, Film

FILM = Film((80e-9, 40e-9, 3e-9), (16, 8))


@pytest.fixture(scope="module")
def ringing():
    return modes.find(FILM, state=llg.relax(FILM, torque=1e-10), k=100)


def moves(found, film, field=(0, 0)):
    """LLG's answer to a small step along each mode's real part, (k, ny, nx, 3), and the mode's own: -omega Im phi."""
    def rate(m):
        return llg.llg(m, llg.effective_field(m, film, field), film)

    film = film.replace(alpha=0.0)
    step = 1e-6
    answer = np.array([(rate(found.state + step * shape.real) - rate(found.state)) / step for shape in found.shape])
    return answer, -2 * np.pi * found.frequency[:, None, None, None] * found.shape.imag


# ---------------------------------------------------------------------------- formulas


def test_two_cells_swing_as_kittel_says():
    """Two cells that stay parallel have the demagnetizing factors N(0) + N(1): an exact case of his formula."""
    film = Film((8e-9, 3e-9, 2e-9), (2, 1))
    x, y, z = demag.tensor(film.cells, (film.dx, film.dy, film.thickness))[:3].sum(axis=(1, 2)) * film.Ms
    h = 0.05 / MU0
    expected = film.gamma0 * np.sqrt((h + y - x) * (h + z - x)) / (2 * np.pi)
    found = modes.find(film, (0.05, 0), film.state((1, 0, 0)), 1)
    assert found.frequency[0] == pytest.approx(expected, rel=1e-7)
    assert found.parity.tolist() == [1]


def test_spin_waves_where_exchange_rules():
    """With a tiny Ms there is no demagnetizing field: cosines with omega = gamma0 (H + 2A/(mu0 Ms) k^2)."""
    film = Film((100e-9, 60e-9, 5e-9), (10, 6), Ms=10.0, A=1e-16)
    found = modes.find(film, (0.1, 0), llg.relax(film, (0.1, 0), (1, 0, 0), torque=1e-5), 6)
    kx, ky = (2 / d * np.sin(np.pi * np.arange(n) / (2 * n)) for n, d in ((film.nx, film.dx), (film.ny, film.dy)))
    k2 = kx[None, :]**2 + ky[:, None]**2
    order = np.argsort(k2, axis=None)[:6]
    expected = film.gamma0 * (0.1 / MU0 + 2 * film.A / (MU0 * film.Ms) * k2.flat[order]) / (2 * np.pi)
    np.testing.assert_allclose(found.frequency, expected, rtol=1e-4)
    rows, columns = np.unravel_index(order, k2.shape)
    np.testing.assert_array_equal(found.parity, (-1)**(rows + columns))
    wave = np.abs(np.cos(np.pi * columns[1] * (np.arange(film.nx) + 0.5) / film.nx)) * np.ones((film.ny, 1))
    np.testing.assert_allclose(np.abs(found.shape[1, ..., 1]), np.sqrt(0.5) * wave / wave.max(), atol=1e-3)  # circular


# ---------------------------------------------------------------------------- the equation


@pytest.mark.slow
@pytest.mark.parametrize("film, field", [
    (FILM, (0, 0)), (FILM, (20e-3, 5e-3)), (FILM, (0, 0, 1.5)),
    (Film((80e-9, 80e-9, 5e-9), (12, 12), mask=lambda x, y: np.hypot(x, y) < 40e-9), (50e-3, 0))],
    ids=["S-state", "in a field", "out of the plane", "disk"])
def test_a_mode_moves_as_the_equation_says(film, field):
    start = (0.05, 0.02, 1) if len(field) == 3 else (1, 0.25, 0.1)
    found = modes.find(film, field, llg.relax(film, field, start, torque=1e-8), 6)
    answer, expected = moves(found, film, field)
    wrong, whole = (np.linalg.norm(one.reshape(6, -1), axis=1) for one in (answer - expected, expected))
    assert (wrong < 1e-4 * whole).all()
    assert (np.diff(found.frequency) > 0).all() and (found.frequency > 0).all()
    np.testing.assert_allclose(np.sum(found.shape * found.state, axis=-1), 0, atol=1e-12)
    assert (found.shape[:, ~film.inside] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(found.shape, axis=-1).max(axis=(1, 2)), 1)


@pytest.mark.slow
def test_none_is_left_out(ringing):
    """The 100 slowest of 128, from the dense matrix of the linearized equation, by finite differences."""
    state, basis = ringing.state, modes._basis(ringing.state)
    film, step = FILM.replace(alpha=0.0), 1e-6

    def rate(m):
        return llg.llg(m, llg.effective_field(m, film), film)

    still, columns = rate(state), []
    for vectors in basis:
        for j, i in np.ndindex(film.ny, film.nx):
            m = state.copy()
            m[j, i] += step * vectors[j, i]
            columns.append(np.einsum("ayxc,yxc->ayx", basis, rate(m) - still).ravel() / step)
    omega = np.linalg.eigvals(np.array(columns).T).imag
    np.testing.assert_allclose(ringing.frequency, np.sort(omega[omega > 0])[:100] / (2 * np.pi), rtol=1e-4)


@pytest.mark.slow
def test_modes_of_an_even_state_are_even_or_odd(ringing):
    np.testing.assert_array_equal(np.abs(ringing.parity), 1)
    for shape, parity in zip(ringing.shape, ringing.parity):
        np.testing.assert_allclose(shape[::-1, ::-1], parity * shape, atol=1e-5)
    tilted = modes.find(FILM.replace(mask=np.arange(16)[None, :] + np.arange(8)[:, None] > 3), k=3)
    assert (tilted.parity == 0).all()


@pytest.mark.slow
def test_the_same_modes_each_time(ringing):
    again = modes.find(FILM, state=ringing.state, k=12)
    np.testing.assert_allclose(again.shape, ringing.shape[:12], atol=1e-5)


# ---------------------------------------------------------------------------- a film that rings


@pytest.mark.slow
def test_amplitudes_take_a_disturbance_apart(ringing):
    rng = np.random.default_rng(1)
    c = rng.standard_normal(5) + 1j * rng.standard_normal(5)
    v = 2 * np.tensordot(c, ringing.shape[:5], 1).real
    np.testing.assert_allclose(ringing.amplitudes(v)[:5], c, atol=1e-5)
    np.testing.assert_allclose(ringing.amplitudes(np.stack([v, 2 * v]))[:, 5:], 0, atol=1e-5)


def test_the_solver_rings_as_the_modes_say(ringing):
    """One corner is turned and let go: the film average follows the sum of decaying modes."""
    alpha, kick = 0.002, np.zeros((8, 16))
    kick[:4, :6] = 1e-3
    v = kick[..., None] * np.cross([0, 0, 1], ringing.state)
    start = ringing.state + v
    start /= np.linalg.norm(start, axis=-1, keepdims=True)
    run = llg.simulate((0, 0), FILM.replace(alpha=alpha), start, 1e-9, 1e-11, precision="double", progress=False)
    exponent = 2j * np.pi * ringing.frequency - ringing.decay(alpha)
    heard = ringing.amplitudes(v) * ringing.shape[..., 1].mean(axis=(1, 2))
    average = 2 * (heard[:, None] * np.exp(exponent[:, None] * run.t)).real.sum(axis=0)
    rang = run.mean[:, 1] - ringing.state[..., 1].mean()
    assert np.linalg.norm(average - rang) < 0.01 * np.linalg.norm(rang)


def test_twice_the_damping_decays_twice_as_fast(ringing):
    np.testing.assert_allclose(ringing.decay(0.02), 2 * ringing.decay(0.01))
    # the fastest are waves of exchange, circular: then it is alpha omega
    assert ringing.decay(0.01)[-1] == pytest.approx(0.01 * 2 * np.pi * ringing.frequency[-1], rel=0.02)


# ---------------------------------------------------------------------------- what ships


@pytest.mark.slow
def test_the_shipped_modes():
    film, found = Film(), modes.load()
    assert found.shape.shape == (64, 64, 256, 3) and (np.diff(found.frequency) >= 0).all()
    again = modes.find(film, k=3)
    np.testing.assert_allclose(found.frequency[:3], again.frequency, rtol=1e-6)
    np.testing.assert_array_equal(found.parity[:3], again.parity)
    np.testing.assert_allclose(found.shape[:3], again.shape, atol=2e-3)  # 16 bits


@pytest.mark.slow
def test_the_shipped_modes_solve_their_equation():
    """The equation turns each into itself, i omega times, and into no other: the slowest ten, and each sixth of the others."""
    found = modes.load()
    some = np.array([*range(10), *range(10, 64, 6)])
    answer, _ = moves(modes.Modes(found.frequency[some], found.shape[some], found.parity[some], found.state), Film())
    turned = 2 * found.amplitudes(answer) / (2j * np.pi * found.frequency)
    own = np.eye(64)[some]
    np.testing.assert_allclose(turned[own == 1], 1, atol=2e-3)  # of 16 bits
    np.testing.assert_allclose(turned[own == 0], 0, atol=1e-2)


def test_save_and_load(ringing, tmp_path, monkeypatch):
    path = tmp_path / "modes.npz"
    modes.save(ringing, path)
    monkeypatch.setattr(files, "shipped", lambda name: path)
    monkeypatch.setattr(modes, "s_state", lambda: ringing.state)
    again = modes.load()
    np.testing.assert_array_equal(again.frequency, ringing.frequency)
    np.testing.assert_allclose(again.shape, ringing.shape, atol=1e-3)


@pytest.mark.slow
def test_the_shipped_ringdown():
    found = modes.load()
    with np.load(shipped("ringdown.npz"), allow_pickle=False) as z:
        ring = {name: z[name] for name in z.files}
    v = ring["angle"] * ring["spot"][..., None] * np.cross([0, 0, 1], found.state)
    film = Film(alpha=float(ring["alpha"]))
    start = found.state + v
    start /= np.linalg.norm(start, axis=-1, keepdims=True)
    run = llg.simulate((0, 0), film, start, 6e-11, 2e-11, progress=False)
    for name, spot in (("here", ring["spot"]), ("there", ring["spot"][::-1, ::-1])):
        mean = [np.average(m[..., 1], weights=spot) for m in run.m]
        np.testing.assert_allclose(ring[name][:4], mean, atol=1e-5)


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("arguments, says", [
    (dict(k=128), "^k: got 128; .* 128"), (dict(k=2.5), "^k: got 2.5"),
    (dict(field=(0.1, 0)), r"^state: max\|m x H\|/Ms is"),
    (dict(state=np.ones((8, 16))), "^state: "),
    (dict(field=(np.nan, 0)), "^field: ")])
def test_errors_name_the_argument(arguments, says):
    with pytest.raises(ValueError, match=says):
        modes.find(FILM, **arguments)


@pytest.mark.parametrize("field, along", [(-0.9, (1, 0, 0)), (0, (0, 1, 0))], ids=["maximum", "saddle"])
def test_no_minimum(field, along):
    """Upside down in a strong field; across the long axis."""
    film = Film((8e-9, 3e-9, 2e-9), (2, 1))
    with pytest.raises(ValueError, match="no minimum"):
        modes.find(film, (field, 0), film.state(along), 1)


def test_a_damping_from_a_file_is_a_number_too():
    found = modes.find(Film((40e-9, 20e-9, 5e-9), (8, 4)), k=2)
    np.testing.assert_array_equal(found.decay(np.array(0.005)), found.decay(0.005))
