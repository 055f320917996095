"""A trajectory: its mean, one file, xarray, and a folder of OVF files."""

import errno
import json
import os
import re
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from magbook import ovf
from magbook.film import Film
from magbook.trajectory import Trajectory

DISC = Film((50e-9, 30e-9, 3e-9), (5, 3), Ms=1e6, alpha=0.1, mask=lambda x, y: (x / 25e-9) ** 2 + (y / 15e-9) ** 2 < 1)
PLATE = Film((50e-9, 30e-9, 3e-9), (5, 3))
CONSTANT = np.array([-0.02, 0.01, 0.0])


def states(film, nt=4, seed=1):
    """Random unit vectors, every number another, so that an exchanged axis shows."""
    m = np.random.default_rng(seed).standard_normal((nt, film.ny, film.nx, 3))
    m /= np.linalg.norm(m, axis=-1, keepdims=True)
    return (m * film.inside[..., None]).astype(np.float32)


def example(film=DISC, driven=True, nt=4):
    field = np.linspace(-1, 1, 3 * nt).reshape(nt, 3) if driven else CONSTANT
    return Trajectory(np.arange(nt) * 1e-11, states(film, nt), field, film, {"solver": "test", "accuracy": 2.0})


def same(a, b):
    assert a.film == b.film and a.film.describe() == b.film.describe()
    for name in ("t", "m", "field"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
        assert getattr(a, name).dtype == getattr(b, name).dtype


# ---------------------------------------------------------------------------- means and times


def test_mean_is_over_the_magnetic_cells():
    run, inside = example(), DISC.inside
    assert len(run) == 4 and 0 < inside.sum() < 15
    by_hand = [sum(run.m[2, j, i].astype(float) for j in range(3) for i in range(5) if inside[j, i]) / inside.sum()]
    np.testing.assert_allclose(run.mean[2], by_hand[0], atol=1e-12)
    assert run.mean.shape == (4, 3) and run.mean.dtype == np.float64


def test_mean_of_a_large_film_is_not_rounded():
    film = Film(cells=(512, 512))
    m = np.zeros((1, 512, 512, 3), np.float32)
    m[..., 0] = 0.1
    run = Trajectory(np.zeros(1), m, CONSTANT, film)
    assert run.mean[0, 0] == pytest.approx(float(np.float32(0.1)), abs=1e-12)


def test_at():
    run = example()
    for t, i in ((0, 0), (1.4e-11, 1), (1.6e-11, 2), (3e-11, 3), (3.9e-11, 3)):
        assert np.array_equal(run.at(t), run.m[i])
    for t in (4.1e-11, -1.1e-11, np.nan, 1.0):
        with pytest.raises(ValueError, match="^t: got .*3e-11"):
            run.at(t)


def test_its_field_in_all_forms():
    run = example()
    make = lambda field: Trajectory(run.t, run.m, field, run.film).field
    np.testing.assert_array_equal(make((1e-3, 2e-3)), (1e-3, 2e-3, 0))
    np.testing.assert_array_equal(make(lambda t: (t * 1e8, 0)), [(t * 1e8, 0, 0) for t in run.t])
    with pytest.raises(ValueError, match=r"^field: .* \(at t = 1e-11 s\)"):
        make(lambda t: (np.nan if t > 0 else 0, 0))


@pytest.mark.parametrize("change", [dict(t=np.zeros(3)), dict(m=np.zeros((4, 5, 3, 3))), dict(m=np.zeros((3, 5, 3))),
                                    dict(field=np.zeros(5)), dict(field=np.zeros((3, 3))), dict(field=0.1)])
def test_what_does_not_fit_together(change):
    run = example()
    arguments = dict(t=run.t, m=run.m, field=run.field, film=run.film) | change
    with pytest.raises(ValueError, match="^(m|field): got shape|^t: finite times"):
        Trajectory(**arguments)


# ---------------------------------------------------------------------------- one file


@pytest.mark.parametrize("film", [DISC, PLATE])
@pytest.mark.parametrize("driven", [True, False])
def test_round_trip(tmp_path, film, driven):
    run = example(film, driven)
    run.save(tmp_path / "run.npz")
    back = Trajectory.load(tmp_path / "run.npz")
    same(run, back)
    assert back.info == run.info
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]  # a suffix is not added


def test_numpys_numbers_in_its_info(tmp_path):
    run = example()
    run.info |= {"seed": np.int64(3), "error": np.float32(0.5), "all": np.arange(2), "good": np.bool_(True)}
    run.save(tmp_path / "run.npz")
    assert Trajectory.load(tmp_path / "run.npz").info == run.info | {"all": [0, 1]}
    assert json.loads(run.to_xarray().attrs["info"])["error"] == 0.5


def test_double_precision_is_kept(tmp_path):
    run = example()
    run.m = run.m.astype(np.float64)
    run.save(tmp_path / "x")
    same(run, Trajectory.load(tmp_path / "x"))


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    old, new = example(), example(nt=2)
    old.save(tmp_path / "run.npz")
    savez = np.savez

    def fail(file, **arrays):
        savez(file, **{k: v for k, v in arrays.items() if k != "info"})
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(KeyboardInterrupt):
        new.save(tmp_path / "run.npz")
    monkeypatch.undo()
    new.info["not json"] = object()
    with pytest.raises(TypeError):
        new.save(tmp_path / "run.npz")
    same(old, Trajectory.load(tmp_path / "run.npz"))
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]


def unreadable(folder):
    """Files that are no trajectory: name -> path."""
    run, made = example(), {}

    def path(name):
        made[name] = folder / name.replace(" ", "_")
        return made[name]

    path("empty").write_bytes(b"")
    path("text").write_text("t,m\n0,1\n")
    path("noise").write_bytes(np.random.default_rng(0).bytes(1000))
    np.save(path("an array.npy"), run.m)
    np.savez(path("another archive.npz"), a=1)
    np.savez(path("states only.npz"), t=run.t, m=run.m)
    run.save(path("whole.npz"))
    whole = made.pop("whole.npz").read_bytes()
    for part in (10, len(whole) // 2, len(whole) - 1):
        path(f"cut after {part}").write_bytes(whole[:part])
    with open(path("pickle"), "wb") as file:
        np.array([{"run": 1}], dtype=object).dump(file)
    with np.load(folder / "whole.npz") as z:
        arrays = dict(z)
    for name, change in {"pickled t": dict(t=np.array([None] * 4, dtype=object)), "shape of m": dict(m=run.m[:, :2]),
                         "film": dict(film=json.dumps({"size": [1, 2]})), "film not json": dict(film="{"),
                         "negative Ms": dict(film=str(arrays["film"]).replace("1000000.0", "-1.0")),
                         "info": dict(info="nope"), "inside": dict(inside=np.ones(3))}.items():
        np.savez(path(name + ".npz"), **arrays | change)
    np.savez_compressed(path("compressed.npz"), **arrays)
    with zipfile.ZipFile(made["compressed.npz"]) as z:
        info = z.getinfo("m.npy")
    damaged = bytearray(made["compressed.npz"].read_bytes())
    for i in range(info.header_offset + 60, info.header_offset + info.compress_size):
        damaged[i] ^= 0xFF
    made["compressed.npz"].write_bytes(damaged)
    (folder / "a folder").mkdir()
    made["a folder"] = folder / "a folder"
    return made


def test_unreadable_files_are_named(tmp_path):
    for name, path in unreadable(tmp_path).items():
        with pytest.raises(ValueError, match="is not a trajectory that can be read") as caught:
            Trajectory.load(path)
        assert str(path) in str(caught.value), name
    with pytest.raises(FileNotFoundError):
        Trajectory.load(tmp_path / "nowhere.npz")


def test_a_pickle_is_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    run = example()
    run.save(tmp_path / "run.npz")
    with np.load(tmp_path / "run.npz") as z:
        arrays = dict(z)
    np.savez(tmp_path / "evil.npz", **arrays | {"t": np.array([Evil()], dtype=object)})
    with pytest.raises(ValueError, match="evil.npz"):
        Trajectory.load(tmp_path / "evil.npz")
    assert not (tmp_path / "owned").exists()


@pytest.mark.slow
def test_a_flipped_byte_is_found_or_harmless(tmp_path):
    """Never another trajectory, never another kind of error."""
    run = example()
    run.save(tmp_path / "run.npz")
    whole, rng = (tmp_path / "run.npz").read_bytes(), np.random.default_rng(0)
    for i in rng.choice(len(whole), 600, replace=False):
        damaged = bytearray(whole)
        damaged[i] ^= rng.integers(1, 256)
        (tmp_path / "x.npz").write_bytes(damaged)
        try:
            back = Trajectory.load(tmp_path / "x.npz")
        except ValueError:
            continue
        same(run, back)


# ---------------------------------------------------------------------------- xarray


def test_to_xarray():
    run = example()
    data = run.to_xarray()
    assert data["m"].dims == ("t", "y", "x", "component") and data["field"].dims == ("t", "component")
    assert np.array_equal(data["m"].values, run.m) and np.array_equal(data["field"].values, run.field)
    assert {k: data[k].attrs["units"] for k in ("t", "x", "y", "m", "field")} == {
        "t": "s", "x": "m", "y": "m", "m": "1", "field": "T"}
    np.testing.assert_allclose(data["x"].values, [5e-9, 15e-9, 25e-9, 35e-9, 45e-9])
    np.testing.assert_allclose(data["y"].values, [5e-9, 15e-9, 25e-9])
    by_name = data["m"].sel(component="z").sel(t=2.1e-11, x=34e-9, y=6e-9, method="nearest")
    assert by_name.item() == run.m[2, 0, 3, 2]
    assert json.loads(data.attrs["film"])["Ms"] == 1e6 and json.loads(data.attrs["info"]) == run.info
    assert example(driven=False).to_xarray()["field"].dims == ("component",)


# ---------------------------------------------------------------------------- OVF


@pytest.mark.parametrize("film", [DISC, PLATE])
@pytest.mark.parametrize("driven", [True, False])
@pytest.mark.parametrize("representation", ["text", "binary 4", "binary 8"])
def test_ovf_round_trip(tmp_path, film, driven, representation):
    run = example(film, driven)
    paths = run.to_ovf(tmp_path / "out", representation)
    assert [p.name for p in paths] == [f"m{i:06d}.ovf" for i in range(4)] == sorted(os.listdir(tmp_path / "out"))
    material = dict(Ms=film.Ms, alpha=film.alpha)
    for source in (tmp_path / "out", str(tmp_path / "out"), paths):
        back = Trajectory.from_ovf(source, run.field, **material)
        np.testing.assert_array_equal(back.t, run.t)
        np.testing.assert_allclose(back.m, run.m, atol=2e-7)
        np.testing.assert_array_equal(back.field, run.field)
        np.testing.assert_allclose(back.film.size, film.size, rtol=1e-12)
        assert back.film.cells == film.cells and np.array_equal(back.film.inside, film.inside)
        assert (back.film.Ms, back.film.alpha) == (film.Ms, film.alpha)


def test_more_than_ten_states_stay_in_order(tmp_path):
    run = example(PLATE, driven=False, nt=12)
    run.to_ovf(tmp_path)
    np.testing.assert_allclose(Trajectory.from_ovf(tmp_path, (0, 0)).t, np.arange(12) * 1e-11)


def test_oommf_in_ampere_per_metre(tmp_path):
    run = example()
    for i, m in enumerate(run.m):
        ovf.write(tmp_path / f"run-{i}.omf", 8e5 * m.astype(float), (10e-9, 10e-9, 3e-9), time=i * 1e-11,
                  representation="text")
    (tmp_path / "table.txt").write_text("not an OVF file")
    back = Trajectory.from_ovf(tmp_path, (-0.02, 0.01))  # a pair, as everywhere
    np.testing.assert_allclose(back.m, run.m, atol=1e-6)
    assert np.array_equal(back.film.inside, DISC.inside) and back.field.tolist() == [-0.02, 0.01, 0.0]


def test_one_file_needs_no_time(tmp_path):
    ovf.write(tmp_path / "a.ovf", states(PLATE)[0], (1e-8, 1e-8, 3e-9))
    assert Trajectory.from_ovf([tmp_path / "a.ovf"], (0, 0)).t.tolist() == [0.0]


@pytest.mark.parametrize("field", [0.1, (1,), (np.nan, 0), "x", np.zeros((3, 3)), None])
def test_ovf_field(tmp_path, field):
    example(PLATE).to_ovf(tmp_path)
    with pytest.raises((ValueError, TypeError), match="^field: got"):
        Trajectory.from_ovf(tmp_path, field)


def test_ovf_files_that_do_not_fit_together(tmp_path):
    m, cell = states(PLATE), (1e-8, 1e-8, 3e-9)
    with pytest.raises(ValueError, match="no OVF file"):
        Trajectory.from_ovf(tmp_path, (0, 0))
    ovf.write(tmp_path / "0.ovf", m[0], cell, time=0)
    for what, (state, its_cell, t) in {"grid differs": (m[1, :2], cell, 1e-11), "grid  differs": (m[1], (1e-8, 2e-8, 3e-9), 1e-11),
                                       "no simulation time": (m[1], cell, None)}.items():
        ovf.write(tmp_path / "1.ovf", state, its_cell, t)
        with pytest.raises(ValueError, match="1.ovf.*" + " ".join(what.split())):
            Trajectory.from_ovf(tmp_path, (0, 0))
    hole = m[1].copy()
    hole[1, 2] = 0
    ovf.write(tmp_path / "1.ovf", hole, cell, 1e-11)
    with pytest.raises(ValueError, match="1.ovf.*length"):
        Trajectory.from_ovf(tmp_path, (0, 0))
    (tmp_path / "1.ovf").write_bytes((tmp_path / "0.ovf").read_bytes()[:600])
    with pytest.raises(ValueError, match="1.ovf"):
        Trajectory.from_ovf(tmp_path, (0, 0))


@pytest.mark.parametrize("change", [dict(t=np.array(["a", "b", "c"])), dict(t=np.array([0, 2, 1]) * 1e-12), dict(t=np.array([0, np.nan, 1])),
                                    dict(t=np.array([0, 1, 1]) * 1e-12), dict(m=np.zeros((3, 4, 6, 3), complex)), dict(t=1j * np.arange(3))])
def test_what_is_no_trajectory_is_refused_when_it_is_made(change):
    film = Film(cells=(6, 4))
    with pytest.raises((ValueError, TypeError), match="^(t|m): "):
        Trajectory(**{"t": np.arange(3) * 1e-12, "m": np.zeros((3, 4, 6, 3)), "field": (0, 0), "film": film, **change})


# ---------------------------------------------------------------------------- another grid, other times


def turning(t, cells=(12, 6), size=(60e-9, 30e-9, 3e-9), periods=1.0, **options):
    """A run in which every cell precesses about a tilted axis, 1e10 rad/s, a little later from left to right."""
    film = Film(size, cells, **options)
    phase = 1e10 * np.asarray(t)[:, None, None] + periods * np.cos(np.pi * film.x / size[0])[None, None] + 0 * film.y[None, :, None]
    m = np.stack([np.cos(phase) * 0.8, np.sin(phase) * 0.8, np.full_like(phase, 0.6)], axis=-1)
    return Trajectory(np.asarray(t), (m * film.inside[..., None]).astype(np.float32), CONSTANT, film, {"solver": "by hand"})


def length(run):
    return np.linalg.norm(run.m[:, run.film.inside], axis=-1)


@pytest.mark.parametrize("cells", [(6, 3), (4, 2), (5, 4), (7, 6)])
def test_fewer_cells_hold_the_mean_of_what_they_cover(cells):
    run = turning([0, 1e-12])
    coarse = run.resample(Film((60e-9, 30e-9, 3e-9), cells, Ms=1e6, alpha=0.5))
    fine = np.repeat(np.repeat(run.m[1].astype(float), 4 * cells[1], axis=0), 4 * cells[0], axis=1)  # so many that each new cell has whole ones
    blocks = fine.reshape(cells[1], len(fine) // cells[1], cells[0], fine.shape[1] // cells[0], 3).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse.m[1], blocks / np.linalg.norm(blocks, axis=-1, keepdims=True), atol=1e-6)
    assert coarse.film == run.film.replace(cells=cells), "the material stays the run's"
    assert np.array_equal(coarse.t, run.t) and coarse.info == run.info


def test_more_cells_are_smooth_and_end_flat():
    errors = [np.abs(turning([0.0], n).resample(Film((60e-9, 30e-9, 3e-9), (48, 24))).m - turning([0.0], (48, 24)).m).max()
              for n in ((12, 6), (24, 12))]
    assert errors[1] < 2e-5 and errors[1] < errors[0] / 8, errors  # a cubic's, also at the edges


def test_a_film_with_holes_keeps_them():
    disc = dict(mask=lambda x, y: x**2 + (2 * y)**2 < 28e-9**2)
    fine, coarse = turning([0, 1e-12], (48, 24), **disc), turning([0, 1e-12], (24, 12), **disc)
    for run, film in ((fine, coarse.film.replace(mask=None)), (coarse, fine.film.replace(mask=None)), (fine, coarse.film), (coarse, fine.film)):
        other = run.resample(film)
        np.testing.assert_allclose(length(other), 1, atol=1e-6)
        assert not other.m[:, ~other.film.inside].any()
        expected = film.inside if film.mask is not None else (coarse if run is fine else fine).film.inside
        assert np.mean(other.film.inside != expected) < (0.1 if film.mask is None else 1e-9)
        assert np.abs(other.mean - run.mean).max() < 0.02


def test_where_opposite_moments_meet_there_still_is_a_direction():
    m = np.zeros((1, 2, 2, 3), np.float32)
    m[..., 0] = [[1, -1], [1, -1]]
    run = Trajectory(np.zeros(1), m, CONSTANT, Film((2e-9, 2e-9, 3e-9), (2, 2))).resample(Film((2e-9, 2e-9, 3e-9), (1, 1)))
    np.testing.assert_allclose(length(run), 1)


def test_even_times_from_noisy_ones():
    """A clock that begins at 3 ns, steps that are noisy, a last time that is no multiple, and one state twice."""
    rng = np.random.default_rng(1)
    t = 3e-9 + np.sort(np.append(np.arange(53) * 1e-11 + rng.uniform(-2e-12, 2e-12, 53), 2.5e-10 + 1e-15))
    run = turning(t)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        even = run.resample(every=1e-11)
    np.testing.assert_allclose(even.t, t[0] + 1e-11 * np.arange(len(even)), rtol=1e-12)
    assert t[-1] - 1e-11 < even.t[-1] <= t[-1]
    np.testing.assert_allclose(even.m, turning(even.t).m, atol=2e-5)
    np.testing.assert_allclose(length(even), 1, atol=1e-6)


def test_a_last_state_that_comes_a_little_early_counts():
    run = turning(np.append(np.arange(10) * 1e-11, 9.9999e-11))
    assert len(run.resample(every=1e-11)) == 11
    same_times = turning(np.arange(11) * 1e-11)
    np.testing.assert_allclose(same_times.resample(every=2e-11).m, same_times.m[::2], atol=1e-6)


def test_a_field_in_time_is_read_off_at_the_new_times():
    t = np.array([0, 0.9, 2.1, 3, 4]) * 1e-11
    run = turning(t)
    run.field = np.stack([1e9 * t, 0 * t, -2e9 * t], axis=1)
    even = run.resample(every=1e-11)
    np.testing.assert_allclose(even.field[:, [0, 2]], np.stack([1e9 * even.t, -2e9 * even.t], axis=1), atol=1e-12)


def test_states_too_far_apart_are_said():
    t = np.concatenate([np.arange(10), np.arange(14, 20)]) * 1e-11
    with pytest.warns(UserWarning, match=r"^every: 4 of 20 new states .* up to 5e-11 s, the first between 9e-11 s and 1.4e-10 s; save a state every 1e-11 s"):
        run = turning(t).resample(every=1e-11)
    assert len(run) == 20


def left(x, y):
    return (x < 0) & (np.abs(y) < 1)


@pytest.mark.parametrize("change, match", [
    (dict(), "^film: got None, and for every too"), (dict(every=0), "^every: got 0"), (dict(every=2e-11), "^every: got 2e-11 s; the run lasts 1e-11 s"),
    (dict(every="x"), "^every: got 'x'"), (dict(film="x"), "^film: got 'x'"), (dict(film=Film((62e-9, 30e-9, 3e-9))), "^film: got one of .*; one of .* is needed"),
    (dict(film=Film((60e-9, 30e-9, 3e-9), (6, 3), mask=lambda x, y: ~left(x, y))), "^film: 9 of its cells lie where the run has no")])
def test_resample_names_what_it_refuses(change, match):
    with pytest.raises((ValueError, TypeError), match=match):
        turning([0, 1e-11], mask=left).resample(**change)


# ---------------------------------------------------------------------------- OVF, as others write it


def drive(folder, names, times, title="m", scale=1.0):
    """Files of one film that turns; returns the states in the order of the times."""
    angle = np.array(times) * 1e11
    for name, t, a in zip(names, times, angle):
        m = np.broadcast_to(scale * np.array([np.cos(a), np.sin(a), 0]), (4, 6, 3))
        ovf.write(folder / name, m, (2e-9, 2e-9, 3e-9), time=t, title=title)


def test_times_decide_the_order_then_natural_names(tmp_path):
    drive(tmp_path, [f"m_{i}.ovf" for i in range(1, 13)], [i * 1e-12 for i in range(1, 13)])
    run = Trajectory.from_ovf(tmp_path, (0, 0))
    np.testing.assert_allclose(run.t, np.arange(1, 13) * 1e-12)
    np.testing.assert_allclose(run.mean[:, 1], np.sin(run.t * 1e11), atol=1e-6)
    (tmp_path / "m_13.ovf").write_bytes((tmp_path / "m_12.ovf").read_bytes())
    with pytest.raises(ValueError, match="m_13.ovf: it has the same time, 1.2e-11 s, as .*m_12.ovf"):
        Trajectory.from_ovf(tmp_path, (0, 0))


def test_other_quantities_are_left_out_of_a_folder_and_refused_by_name(tmp_path):
    drive(tmp_path, ["m000000.ovf", "m000001.ovf"], [0.0, 1e-12])
    for name, labels in (("B_demag000000.ovf", "B_demag_x B_demag_y B_demag_z"), ("torque000001.ovf", "torque_x torque_y torque_z")):
        raw = (tmp_path / "m000001.ovf").read_bytes()
        (tmp_path / name).write_bytes(raw.replace(b"Title: m", b"Title: " + name[:-10].encode()).replace(b"m_x m_y m_z", labels.encode()))
    (tmp_path / "._m000001.ovf").write_bytes(b"Mac OS X")
    assert len(Trajectory.from_ovf(tmp_path, (0, 0))) == 2
    with pytest.raises(ValueError, match="B_demag000000.ovf: its title and labels say that it holds something else"):
        Trajectory.from_ovf([tmp_path / "m000000.ovf", tmp_path / "B_demag000000.ovf"], (0, 0))


@pytest.mark.parametrize("title, labels, is_m", [
    ("m", "m_x m_y m_z", True), ("Oxs_TimeDriver::Magnetization", "Oxs_TimeDriver:Magnetization:x", True), ("Field", "Magnetization_x", True),
    ("SPIRIT Version 2.2.0", "spin_x spin_y spin_z", True), ("Oxs_Demag::Field", "Oxs_Demag:Field:x Oxs_Demag:Field:y", False),
    ("Field", "field_x field_y field_z", False), ("B_eff", "B_eff_x B_eff_y B_eff_z", False), ("", "x y z", True),
    ("Oxs_TimeDriver::Magnetization", "{Oxs_TimeDriver:Magnetization:x} {Oxs_TimeDriver:Magnetization:y}", True),
    ("Spirit", "spin_x_component spin_y_component spin_z_component", True), ("M", "mx my mz", True), ("m_full", "m_full_x m_full_y m_full_z", True),
    ("oxs-demo-8920.omf", "x y z", True), ("Spin torque", "{Spin torque_x} {Spin torque_y} {Spin torque_z}", False), ("m", "H_x H_y H_z", False),
    *((name, " ".join(f"{name}_{axis}" for axis in "xyz"), False) for name in ("dm/dt", "mxHxm", "u", "F_mel", "norm_strain", "ddu", "v")),
    *((f"Oxs_RungeKuttaEvolve:evolver:{name}", "x y z", False) for name in ("dm/dt", "mxHxm", "Spin torque", "u", "F_mel", "norm_strain"))])
def test_quantities_as_programs_name_them(tmp_path, title, labels, is_m):
    drive(tmp_path, ["a.ovf"], [0.0])
    raw = (tmp_path / "a.ovf").read_bytes()
    (tmp_path / "a.ovf").write_bytes(raw.replace(b"Title: m", f"Title: {title}".encode()).replace(b"m_x m_y m_z", labels.encode()))
    assert ovf.is_magnetization(tmp_path / "a.ovf") == is_m


def test_the_first_file_of_a_drive_may_have_no_time(tmp_path):
    ovf.write(tmp_path / "m0.omf", np.broadcast_to([1.0, 0, 0], (4, 6, 3)), (2e-9, 2e-9, 3e-9))
    drive(tmp_path, ["run-1.omf", "run-2.omf"], [1e-12, 2e-12])
    assert Trajectory.from_ovf(tmp_path, (0, 0)).t.tolist() == [0.0, 1e-12, 2e-12]


@pytest.mark.parametrize("labels", ["m_x m_y m_z", "field_x field_y field_z"])
@pytest.mark.parametrize("system", ["sp4", "film", "bloch", "m"])
def test_the_start_of_a_drive_of_oommfc_is_read_whatever_the_system_is_called(tmp_path, system, labels):
    def start(angle):
        drive(tmp_path, ["m0.omf"], [angle * 1e-11], title="Field", scale=8e5)
        raw = re.sub(rb"# Desc: Total.*\n", b"", (tmp_path / "m0.omf").read_bytes())
        (tmp_path / "m0.omf").write_bytes(raw.replace(b"m_x m_y m_z", labels.encode()))

    start(0.0)
    assert len(Trajectory.from_ovf(tmp_path, (0, 0))) == len(Trajectory.from_ovf(tmp_path / "m0.omf", (0, 0))) == 1
    names = [f"{system}-Oxs_TimeDriver-Magnetization-{i:02d}-000000{i}.omf" for i in (1, 2)]
    drive(tmp_path, names, [1e-12, 2e-12], scale=8e5)
    run = Trajectory.from_ovf(tmp_path, (0, 0))
    assert run.t.tolist() == [0.0, 1e-12, 2e-12]
    np.testing.assert_allclose(run.mean[:, 1], np.sin(1e11 * run.t), atol=1e-6)
    # once, where the driver saved it too; and refused where that is another
    drive(tmp_path, [names[0].replace("01.omf", "00.omf").replace("-01-", "-00-")], [0.0], scale=8e5)
    for field in ((0, 0), np.ones((4, 3))):
        assert Trajectory.from_ovf(tmp_path, field).t.tolist() == [0.0, 1e-12, 2e-12]
    start(0.1)
    with pytest.raises(ValueError, match="00-0000000.omf: it has the same time, 0 s, as .*m0.omf"):
        Trajectory.from_ovf(tmp_path, (0, 0))


def test_magnetization_in_ampere_per_metre_is_the_films(tmp_path):
    drive(tmp_path, ["a.ovf", "b.ovf"], [0.0, 1e-12], scale=1.4e6)
    run = Trajectory.from_ovf(tmp_path, (0, 0))
    assert run.film.Ms == pytest.approx(1.4e6, rel=1e-6) and np.abs(np.linalg.norm(run.m, axis=-1) - 1).max() < 1e-6
    assert Trajectory.from_ovf(tmp_path, (0, 0), Ms=8e5).film.Ms == 8e5


def test_an_older_run_is_not_read_back_with_a_new_one(tmp_path):
    film = Film(cells=(6, 4))
    long, short = (Trajectory(np.arange(n) * 1e-12, np.broadcast_to([1.0, 0, 0], (n, 4, 6, 3)), (0, 0), film) for n in (5, 3))
    long.to_ovf(tmp_path)
    long.to_ovf(tmp_path)
    with pytest.raises(ValueError, match="^folder: .* holds m000003.ovf and 1 more of another run"):
        short.to_ovf(tmp_path)


def test_files_without_a_unit_are_read_with_a_cell(tmp_path):
    run = example(DISC, driven=False)
    for path in run.to_ovf(tmp_path):
        path.write_bytes(path.read_bytes().replace(b"meshunit: m", b"meshunit: -"))
    with pytest.raises(ValueError, match="meshunit: got '-'.*cell="):
        Trajectory.from_ovf(tmp_path, (0, 0))
    back = Trajectory.from_ovf(tmp_path, (0, 0), cell=(10e-9, 10e-9, 3e-9), Ms=1e6, alpha=0.1)
    assert np.allclose(back.film.size, DISC.size, rtol=1e-12, atol=0) and np.array_equal(back.film.inside, DISC.inside) and np.array_equal(back.t, run.t)


def test_one_file_by_its_path(tmp_path):
    run = example(DISC, driven=False)
    assert np.allclose(Trajectory.from_ovf(str(run.to_ovf(tmp_path)[2]), (0, 0)).m[0], run.m[2], atol=1e-6)
    for paths in (tmp_path / "nowhere", 3, [], [3], None, ""):
        with pytest.raises((ValueError, TypeError), match="^paths: "):
            Trajectory.from_ovf(paths, (0, 0))


@pytest.mark.parametrize("renamed", [False, True])
def test_reading_files_takes_little_more_than_the_states(tmp_path, renamed):
    film = Film(cells=(64, 32))
    run = Trajectory(np.arange(40) * 1e-12, states(film, 40), CONSTANT, film)
    paths = run.to_ovf(tmp_path)
    if renamed:  # then they are read in another order than that of their times
        for path, name in zip(paths, np.random.default_rng(0).permutation(40)):
            path.rename(tmp_path / f"{name}.omf")
    tracemalloc.start()
    back = Trajectory.from_ovf(tmp_path, (0, 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(back.t, run.t) and np.allclose(back.m, run.m, atol=1e-6)
    assert peak < (2.2 if renamed else 1.4) * back.m.nbytes


# What each program writes before the data of a film of 6 x 4 cells, {t} being the time in s. mumax3: its oommf/ovf2.go. OOMMF: Oxs.
# Ubermag writes the start by discretisedfield and has OOMMF run. Spirit: the library ovf, which pads the count and knows no time.
PLACES = """# xmin: 0
# ymin: 0
# zmin: 0
# xmax: 1.2e-08
# ymax: 8e-09
# zmax: 3e-09
"""
GRID = """# xbase: 1e-09
# ybase: 1e-09
# zbase: 1.5e-09
# xnodes: 6
# ynodes: 4
# znodes: 1
# xstepsize: 2e-09
# ystepsize: 2e-09
# zstepsize: 3e-09
"""
PROGRAMS = {
    "mumax3": ("m{i:06d}.ovf", "binary 4", 1.0, f"""# OOMMF OVF 2.0
# Segment count: 1
# Begin: Segment
# Begin: Header
# Title: m
# meshtype: rectangular
# meshunit: m
{PLACES}# valuedim: 3
# valuelabels: m_x m_y m_z
# valueunits: 1 1 1
# Desc: Total simulation time:  {{t!r}}  s
{GRID}# End: Header
# Begin: Data Binary 4
"""),
    "OOMMF": ("film-Oxs_TimeDriver-Magnetization-{i:02d}-{j:07d}.omf", "binary 8", 8e5, f"""# OOMMF OVF 2.0
#
# Segment count: 1
#
# Begin: Segment
# Begin: Header
#
# Title: Oxs_TimeDriver::Magnetization
#
# Desc: Oxs vector field output
# Desc:  MIF source file: /home/jo/film.mif
# Desc:  Iteration: {{j}}, State id: 4{{j}}
# Desc:  Stage: {{i}}, Stage iteration: 40
# Desc:  Stage simulation time: 1e-12 s
# Desc:  Total simulation time: {{t!r}} s
#
# valuedim: 3
# valuelabels: {{{{Magnetization_x}}}} {{{{Magnetization_y}}}} {{{{Magnetization_z}}}}
# valueunits: {{{{A/m}}}} {{{{A/m}}}} {{{{A/m}}}}
#
# meshtype: rectangular
# meshunit: m
#
{PLACES}#
{GRID}#
# End: Header
#
# Begin: Data Binary 8
"""),
    "Spirit": ("spins_{i}.ovf", "text", 1.0, f"""# OOMMF OVF 2.0
#
# Segment count: 000001
#
# Begin: Segment
# Begin: Header
#
# Title: SPIRIT Version 2.2.0
#
# Desc: LLG simulation (Depondt solver)
# Desc:      Iteration: {{j}}
#
# valuedim: 3   ## field dimensionality
# valueunits: none none none
# valuelabels: spin_x spin_y spin_z
#
## Fundamental mesh measurement unit. Treated as a label:
# meshunit: nm
#
{PLACES.replace("e-09", "").replace("1.2e-08", "12")}#
# meshtype: rectangular
{GRID.replace("e-09", "")}#
# End: Header
#
# Begin: Data Text
""")}


def as_written_by(program, folder, t=(0.0, 1e-12, 2e-12)):
    """A folder of a film that turns; the angle by which it has is 1e11 t."""
    name, representation, scale, header = PROGRAMS["OOMMF" if program == "Ubermag" else program]
    for i, time in enumerate(t):
        keys = dict(i=i, j=40 * i, t=time)
        m = scale * np.broadcast_to([np.cos(1e11 * time), np.sin(1e11 * time), 0], (24, 3))
        data = b"".join(b"%.10f %.10f %.10f\n" % tuple(row) for row in m) if representation == "text" else np.append(
            {"binary 4": 1234567.0, "binary 8": 123456789012345.0}[representation], m).astype(f"<f{representation[-1]}").tobytes() + b"\n"
        (folder / name.format(**keys)).write_bytes(header.format(**keys).encode() + data + f"# End: Data {representation}\n# End: Segment\n".encode())
    if program == "mumax3":
        rows = [f"{time!r}\t{np.cos(1e11 * time):.8g}\t{np.sin(1e11 * time):.8g}\t0\t-0.0246\t0.0043\t0" for time in t]
        (folder / "table.txt").write_text("\n".join(["# t (s)\tmx ()\tmy ()\tmz ()\tB_extx (T)\tB_exty (T)\tB_extz (T)", *rows]) + "\n")
        (folder / "log.txt").write_text("//output directory: run.out/\n")
    if program == "Ubermag":
        (folder / "film.odt").write_text("# ODT 1.0\n")
        (folder / "info.json").write_text("{}")
        ovf.write(folder / "m0.omf", np.broadcast_to([8e5, 0, 0], (4, 6, 3)), (2e-9, 2e-9, 3e-9), representation="binary 8", title="Field")
        raw = (folder / "m0.omf").read_bytes()
        (folder / "m0.omf").write_bytes(raw.replace(b"m_x m_y m_z", b"field_x field_y field_z").replace(b"valueunits: 1 1 1", b"valueunits: A/m A/m A/m"))


@pytest.mark.parametrize("program", ["mumax3", "OOMMF", "Ubermag", "Spirit"])
def test_a_run_as_each_program_leaves_it(tmp_path, program):
    as_written_by(program, tmp_path)
    given = {} if program == "mumax3" else dict(field=(-24.6e-3, 4.3e-3))
    if program == "Spirit":
        with pytest.raises(ValueError, match=r"spins_1.ovf: it holds no simulation time; give the files' times in s, t=\[...\]"):
            Trajectory.from_ovf(tmp_path, **given)
        given["t"] = [0, 1e-12, 2e-12]
    run = Trajectory.from_ovf(tmp_path, **given)
    np.testing.assert_allclose(run.t, [0, 1e-12, 2e-12], atol=1e-24)
    np.testing.assert_allclose(run.mean[:, 1], np.sin(1e11 * run.t), atol=1e-6)
    np.testing.assert_allclose(run.field, [-24.6e-3, 4.3e-3, 0], rtol=1e-6)
    assert run.film.cells == (6, 4) and np.allclose(run.film.size, (12e-9, 8e-9, 3e-9), rtol=1e-9, atol=0) and run.film.Ms == pytest.approx(8e5)
    known = set() if program in ("mumax3", "Spirit") else {"Ms"}
    assert set(run.info["assumed"]) == {"Ms", "A", "alpha", "gamma0"} - known


def test_a_forgotten_field_is_asked_for(tmp_path):
    as_written_by("OOMMF", tmp_path)
    with pytest.raises(ValueError, match=r"^field: got None; OVF files do not hold .*field=\(-24.6e-3, 4.3e-3\), or \(0, 0\) for none"):
        Trajectory.from_ovf(tmp_path)


TABLES = {"no field": ("# t (s)\tmx ()\n0\t1\n2e-12\t1\n", "table.txt has the columns t, mx alone"),
          "too short": ("# t (s)\tB_extx (T)\tB_exty (T)\tB_extz (T)\n0\t1\t0\t0\n1e-12\t1\t0\t0\n", "does not hold the field for all of this time"),
          "empty": ("# t (s)\tB_extx (T)\tB_exty (T)\tB_extz (T)\n", "does not hold the field"),
          "backwards": ("# t (s)\tB_extx (T)\tB_exty (T)\tB_extz (T)\n0\t1\t0\t0\n1e-12\t1\t0\t0\n0\t1\t0\t0\n2e-12\t1\t0\t0\n", "does not hold"),
          "damaged": ("# t (s)\tB_extx (T)\tB_exty (T)\tB_extz (T)\n0\tx\t0\t0\n", "table.txt can't be read"), "nothing": ("", "columns")}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_does_not_say_the_field(tmp_path, name):
    as_written_by("mumax3", tmp_path)
    (tmp_path / "table.txt").write_text(TABLES[name][0])
    with pytest.raises(ValueError, match=f"^field: got None.*{TABLES[name][1]}"):
        Trajectory.from_ovf(tmp_path)
    assert Trajectory.from_ovf(tmp_path, (0, 0.1)).field.tolist() == [0, 0.1, 0]


def test_a_table_with_a_field_in_time(tmp_path):
    """At t = 0 the script saved the table once before it set the field; later the field grows between rows."""
    as_written_by("mumax3", tmp_path)
    (tmp_path / "table.txt").write_text("# t (s)\tmx ()\tB_exty (T)\tB_extx (T)\tB_extz (T)\n0\t1\t0\t9\t0\n0\t1\t0.1\t0\t0\n1.5e-12\t1\t0.4\t0\t0\n2.5e-12\t1\t0.4\t0\t-1\n")
    np.testing.assert_allclose(Trajectory.from_ovf(tmp_path).field, [[0, 0.1, 0], [0, 0.3, 0], [0, 0.4, -0.5]], atol=1e-12)


ODT = """\
# ODT 1.0
# Table Start
# Title: mmArchive Data Table, Sat Nov 28 23:55:57 CET 2026
# Columns: {Oxs_RungeKuttaEvolve::Total energy} {Oxs_RungeKuttaEvolve::Energy calc count} \\
  Oxs_UZeeman::Energy  Oxs_UZeeman::B       Oxs_UZeeman::Bx      Oxs_UZeeman::By      Oxs_UZeeman::Bz \\
  Oxs_TimeDriver::mx {Oxs_TimeDriver::Simulation time}
# Units:              J                        {}                       J          mT           mT           mT      mT      {}      s
  -1.5e-18    1   0   24.97  -24.6   4.3    0    1     0
  -1.5e-18    nan   0   24.97  -24.6   4.3    0    1     1.0e-12
  -1.5e-18   17   0   24.97  -24.6   4.3    0    1     2.0e-12
# Table End
"""


def test_a_table_of_oommf_says_the_field(tmp_path):
    as_written_by("OOMMF", tmp_path)
    (tmp_path / "film.odt").write_text(ODT)
    np.testing.assert_allclose(Trajectory.from_ovf(tmp_path).field, [-24.6e-3, 4.3e-3, 0], rtol=1e-12)
    (tmp_path / "film.odt").write_text(ODT.replace("-24.6   4.3    0    1     2.0e-12", "-24.6   8.3    0    1     2.0e-12"))
    np.testing.assert_allclose(Trajectory.from_ovf(tmp_path).field[:, 1], [4.3e-3, 4.3e-3, 8.3e-3], rtol=1e-12)


@pytest.mark.parametrize("old, new, sentence", [
    ("mT           mT           mT", "mT kA/m mT", "Oxs_UZeeman::Bx in kA/m"), ("Oxs_UZeeman::Bz", "Oxs_FixedZeeman:pinned:Energy", "not the field of all Zeeman terms"),
    ("Simulation time", "Iteration", "has no time"), ("# Table End", "1 2 3", "can't be read"), ("2.0e-12", "1.5e-12", "does not hold the field for all of this time")])
def test_a_table_of_oommf_that_does_not_say_it(tmp_path, old, new, sentence):
    as_written_by("OOMMF", tmp_path)
    (tmp_path / "film.odt").write_text(ODT.replace(old, new))
    with pytest.raises(ValueError, match=f"^field: got None.*{sentence}"):
        Trajectory.from_ovf(tmp_path)


@pytest.mark.parametrize("t", [[0, 1e-12], [0, 1, np.nan], "x", [0, 1e-12, 1e-12]])
def test_times_that_are_none(tmp_path, t):
    as_written_by("Spirit", tmp_path)
    with pytest.raises((ValueError, TypeError), match="^t: |the same time"):
        Trajectory.from_ovf(tmp_path, (0, 0), t=t)


@pytest.mark.slow
def test_a_full_disk(small_disk):
    """Of 1 MB: the error names file and cause, nothing half-written is left, and it works once there is room."""
    film = Film(cells=(64, 32))
    run, path = Trajectory(np.arange(20) * 1e-12, states(film, 20), CONSTANT, film), small_disk / "run.npz"
    example().save(path)
    there, filler = path.read_bytes(), small_disk / "filler"
    filler.write_bytes(b"0" * 700_000)
    with pytest.raises(OSError, match="No space left on device.*while writing.*run.npz") as caught:
        run.save(path)
    assert caught.value.errno == errno.ENOSPC and path.read_bytes() == there
    with pytest.raises(OSError, match=r"No space left on device.*m0000\d\d.ovf"):
        run.to_ovf(small_disk / "ovf")
    written = sorted((small_disk / "ovf").iterdir())
    assert 0 < len(written) < 20 and np.allclose(Trajectory.from_ovf(written, (0, 0)).m, run.m[:len(written)], atol=1e-6)
    for file in (filler, *written):
        file.unlink()
    run.save(path)
    same(Trajectory.load(path), run)
    assert sorted(p.name for p in small_disk.iterdir()) == ["ovf", "run.npz"]
