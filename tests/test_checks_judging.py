"""Checks of assignment 10: right judges in several styles, and wrong ones with the sentence that each gets."""

from functools import lru_cache

import numpy as np
import pytest

import magbook as mb
from magbook import checks
from magbook.checks import judging

FILM = mb.Film(cells=(32, 8))

WRONG = {"10_judge": ({"measures": """def length(run):
    return np.abs(np.linalg.norm(run.m, axis=-1) - 1).max()

def rise(run):
    return max(mb.energies(run.m[-1], film, run.field)["total"] - mb.energies(run.m[0], film, run.field)["total"], 0)

def asymmetry(run):
    return np.linalg.norm(run.m - run.m[:, ::-1, ::-1], axis=-1).max()""",
                       "found": "found = {'length'}", "error": "folder, field, error = 'own', (-0.03, 0), 0.1"}, 2 + 4.17)}


def heard(capsys):
    """What a check has said, as one line."""
    return " ".join(capsys.readouterr().out.split())


def length(run):
    return np.abs(np.linalg.norm(run.m, axis=-1) - 1).max()


@lru_cache(maxsize=1)
def interaction():
    """The film's own field as a matrix: it is linear in the state."""
    basis = np.eye(3 * FILM.nx * FILM.ny).reshape(-1, FILM.ny, FILM.nx, 3)
    return np.stack([(mb.llg.exchange_field(one, FILM) + mb.llg.demag_field(one, FILM)).ravel() for one in basis]).astype(np.float32)


def energies(run):
    """Of all states at once, but for a factor."""
    m = mb.film.unit(run.m).reshape(len(run), -1).astype(np.float32)
    return -np.sum(m * (m @ interaction()), axis=1) / 2 - mb.film.unit(run.m).sum(axis=(1, 2)) @ run.field / (4e-7 * np.pi)


def energies_one_by_one(run):
    return np.array([mb.energies(mb.film.unit(m), run.film, run.field)["total"] for m in run.m])


@lru_cache
def solver(*field):
    return mb.simulate(field, FILM, progress=False)


def rise(run):
    e = energies(run)
    return (e - np.minimum.accumulate(e)).max() / np.ptp(e)


def asymmetry(run):
    return np.linalg.norm(run.m - run.m[:, ::-1, ::-1], axis=-1).max()


def length_by_squares(run):
    longest, shortest = np.sqrt((run.m.astype(float)**2).sum(-1).max()), np.sqrt((run.m.astype(float)**2).sum(-1).min())
    return max(longest - 1, 1 - shortest)


def rise_by_pairs(run):
    e = energies_one_by_one(run).tolist()
    return max(e[j] - e[i] for i in range(len(e)) for j in range(i, len(e))) / (max(e) - min(e))


def asymmetry_by_lists(run):
    flat = run.m.reshape(len(run), -1, 3)
    return np.sqrt(np.max(np.sum((flat - flat[:, ::-1])**2, axis=-1)))


def length_by_loops(run):
    return max(abs(np.sqrt(v @ v) - 1) for v in run.m.astype(float).reshape(-1, 3))


def rise_by_memory(run):
    e = energies(run)
    lowest, most = e[0], 0
    for one in e:
        lowest = min(lowest, one)
        most = max(most, one - lowest)
    return most / (e.max() - e.min())


def asymmetry_by_flips(run):
    return max(np.linalg.norm(m - np.flip(m, (0, 1)), axis=2).max() for m in run.m)


@pytest.mark.slow
@pytest.mark.parametrize("measures", [(length, rise, asymmetry), (length_by_squares, rise_by_pairs, asymmetry_by_lists),
                                      (length_by_loops, rise_by_memory, asymmetry_by_flips)])
def test_right_measures(measures):
    for seed in range(8 if measures[0] is length else 2):
        assert checks.measures(*measures, points=3, seed=seed) == 3


@pytest.mark.slow
@pytest.mark.parametrize("measures, points, sentence", [
    ((lambda run: 0, lambda run: 0, lambda run: 0), 0, "yours says 0"), ((lambda run: 1, lambda run: 1, lambda run: 1), 0, "Yours is 1 where"),
    ((lambda run: (np.linalg.norm(run.m, axis=-1) - 1).max(), rise, asymmetry), 2, "is planted, in one cell of one state"),
    ((lambda run: np.abs(np.linalg.norm(run.m, axis=-1) - 1).mean(), rise, asymmetry), 2, "is planted, in one cell of one state"),
    ((length, lambda run: np.diff(energies(run)).max() / np.ptp(energies(run)), asymmetry), 2, "yours says"),
    ((length, lambda run: max(energies(run)[-1] - energies(run)[0], 0) / np.ptp(energies(run)), asymmetry), 2, "the clock goes back"),
    ((length, lambda run: rise(run) * 1e-18, asymmetry), 2, "a share of 1; yours says"),
    ((length, rise, lambda run: np.linalg.norm(run.m - run.m[:, :, ::-1], axis=-1).max()), 2, "is planted"),
    ((length, rise, lambda run: np.linalg.norm(run.m - run.m[::-1, ::-1], axis=-1).max()), 2, "is planted"),
    ((length, rise, lambda run: np.abs(run.m - run.m[:, ::-1, ::-1]).max()), 2, "is planted"),
    ((lambda run: length(run) + 1e-2, rise, asymmetry), 2, "Yours is"),
    ((length, None, asymmetry), 2, "should be a function")])
def test_wrong_measures(measures, points, sentence, capsys):
    for seed in range(3):
        assert checks.measures(*measures, points=3, seed=seed) == points
        assert sentence in heard(capsys)


def test_lazy_measures(capsys):
    assert checks.measures(lambda run: mb.metrics.length_error(run.m).max(), lambda run: mb.metrics.energy_rises(mb.metrics.energies(run)), asymmetry, points=3) == 1
    assert heard(capsys).count("is the package's own, and out of order") == 2


@lru_cache(maxsize=1)
def solved():
    fields = [mb.applied.from_polar(b, a) for b in (28.5e-3, 32e-3, 35.5e-3) for a in (166.5, 170, 173.5)]
    return fields, [solver(*b) for b in fields]


def judge(simulate, without=(), length_from=0.03, rise_from=0.1, asymmetry_from=0.1):
    fields, truth = solved()
    runs = [simulate(b) for b in fields]
    off = np.array([[np.abs(run.mean[j:] - own.mean[:101 - j]).mean() for j in range(9)] for run, own in zip(runs, truth)])
    found = {"length": max(map(length, runs)) > length_from, "energy": max(map(rise, runs)) > rise_from,
             "symmetry": max(map(asymmetry, runs)) > asymmetry_from, "time": np.median(off.argmin(axis=1)) >= 2,
             "region": off[:, 0].max() > 0.06 and off[:, 0].min() < 0.03}
    return {name for name, there in found.items() if there and name not in without}


def judge_by_the_first_zero(simulate):
    """Other fields, other signs: the moment at which mx passes zero says whether the clock is late, and where."""
    fields = mb.applied.from_polar(np.array([28.4, 28.4, 35.6, 35.6, 32]) * 1e-3, np.array([166.4, 173.6, 166.4, 173.6, 170]))
    runs, truth = [simulate(b) for b in fields], [solver(*b) for b in fields]
    zero = lambda run: mb.metrics.first_zero(run.t, run.mean[:, 0])
    late = np.array([zero(run) - zero(own) for run, own in zip(runs, truth)]) * 1e12
    found = [word for word, f, limit in (("length", length, 0.05), ("energy", rise, 0.15), ("symmetry", asymmetry, 0.5)) if max(map(f, runs)) > limit]
    if "energy" not in found:
        found += ["time"] * bool(late.min() > 15) + ["region"] * bool(np.ptp(late) > 15)
    return found


def judge_by_states(simulate):
    """With errors of whole states, in a random sample of fields."""
    fields = mb.applied.fan(12, 5, angle=170, opening=8, strength=(28e-3, 36e-3))
    found, late, off_by = set(), [], []
    for b in fields:
        run, own = simulate(b), solver(*b)
        found |= {"length"} if length(run) > 0.04 else set()
        found |= {"energy"} if rise(run) > 0.12 else set()
        found |= {"symmetry"} if asymmetry(run) > 0.3 else set()
        m = mb.film.unit(run.m)
        off = [mb.metrics.relative_l2(m[j:60], own.m[:60 - j]) for j in range(8)]
        late.append(int(np.argmin(off)))
        off_by.append(np.abs(m.mean((1, 2)) - own.mean).mean())
    found |= {"time"} if "energy" not in found and np.min(late) >= 2 else set()
    return found | ({"region"} if max(off_by) > 0.06 and min(off_by) < 0.02 else set())


@pytest.mark.slow
@pytest.mark.parametrize("one", [judge, judge_by_the_first_zero, judge_by_states])
def test_right_judges(one):
    for seed in range(8 if one is judge else 2):
        assert checks.verdict(one, points=6, seed=seed) == 6


@pytest.mark.slow
@pytest.mark.parametrize("one, points, sentence", [
    (lambda simulate: set(), 0, "Yours accuses none, not even one whose vectors are too short"),
    (lambda simulate: set(judging.FAULTS), 0, "Yours says: energy, length, region, symmetry, time."),
    (lambda simulate: judge(simulate, without=("time",)), 5, "Yours does not see it."),
    (lambda simulate: judge(simulate, rise_from=0), 4, "Yours also accuses a model of it whose only faults are: length"),
    (lambda simulate: judge(simulate, length_from=2), 4, "Yours accuses none"),
    (lambda simulate: judge(simulate) - {"length"} if "region" in judge(simulate) else judge(simulate), 5, "does not see it beside another fault, region"),
    (lambda simulate: "length", 0, "is no set of words"), (lambda simulate: {"wall"}, 0, "no such fault. There are length, energy"),
    (lambda simulate: judge(simulate) | ({"region"} if "time" in judge(simulate) else set()), 5, "whose only faults are: time")])
def test_wrong_judges(one, points, sentence, capsys):
    assert checks.verdict(one, points=6) == points
    assert sentence in heard(capsys)


@pytest.mark.slow
def test_a_suspect_in_a_file_is_the_one_that_is_judged(tmp_path, capsys):
    for number in range(6):
        model = checks.suspect(number, tmp_path / "suspect.npz")
        found = judge(model.simulate)
        assert len(found) == 2 and checks.named(found, number, points=2) == 2
    for wrong, sentence in ((set(), "Nothing is named"), (found | {"energy", "time"}, "2 of 4 are not"), (list(found)[:1], "1 is missing"), (3, "no set of words")):
        assert checks.named(wrong, number, points=2) <= 1
        assert sentence in heard(capsys)
    assert checks.named(found, "5") == 0
    with pytest.raises(ValueError, match="number"):
        checks.suspect(-1, tmp_path / "suspect.npz")


@pytest.mark.slow
def test_own_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, b = checks.suspect(1, "suspect.npz"), mb.applied.from_polar(33e-3, 169)
    run = mb.simulate(b, FILM, progress=False)
    run.to_ovf("own")
    error = np.abs(model.simulate(b).mean - run.mean)[1:].mean()
    assert checks.own_run("own", b, error, 1) == 4
    assert checks.own_run("own", tuple(b[:2]), error * 1.01, 1) == 4
    assert checks.own_run(tmp_path / "own", b.tolist(), float(error), 1) == 4
    capsys.readouterr()
    mb.simulate(model.fields[0], FILM, progress=False).to_ovf("known")
    mb.simulate(b, FILM, duration=5e-10, progress=False).to_ovf("short")
    mb.simulate(b, mb.Film(cells=(16, 4)), progress=False).to_ovf("coarse")
    model.simulate(b).to_ovf("model")
    mb.simulate((-0.03, 0.02), FILM, progress=False).to_ovf("outside")
    mb.simulate(b, FILM, (1, 0.1, 0), progress=False).to_ovf("other start")
    for folder, field, off, points, sentence in (
            ("own", None, error, 0, "can't be read"), ("nowhere", b, error, 0, "neither a folder nor a file"), ("short", b, error, 0, "Yours has 51 states"),
            ("coarse", b, error, 0, "16 x 4 cells"), ("own", b, 2 * error, 3, "Yours is 2 times what it is"), ("own", b, None, 3, "a number is needed"),
            ("known", model.fields[0], error, None, "The model knows this one"), ("model", b, 0, 2, "The solver, from the same start, differs"),
            ("outside", (-0.03, 0.02), 0.1, None, "mT at"), ("other start", b, error, None, "does not begin in the S-state"),
            ("own", mb.applied.from_polar(30e-3, 172), error, None, "The solver, from the same start")):
        got = checks.own_run(folder, field, off, 1)
        assert got == points or points is None and got < 4, folder
        assert sentence in heard(capsys), folder
