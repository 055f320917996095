"""A model beside a run of one's own: what differs is said, what can't be compared is refused, and the paper's network on a mumax3 folder."""

import re

import numpy as np
import pytest

import magbook as mb
from magbook import autoencoder, llg, ovf, stepper
from magbook.film import Film
from magbook.rom import ReducedOrderModel
from magbook.stepper import Stepper
from magbook.trajectory import Trajectory

FILM = Film((32e-9, 16e-9, 3e-9), (16, 8))
FAN = {"angle": 180.0, "opening": 44.0, "strength": [22e-3, 41e-3]}
FIELD = np.array([-25e-3, 4e-3, 0])


def model(**changes):
    """Untrained, of three numbers."""
    return ReducedOrderModel(*autoencoder.build(3, (8, 16, 3), (4, 8), seed=1), Stepper(stepper.build(3, (8, 8), seed=1), 2.0),
                             **dict(largest=1e3, film=FILM, fan=FAN) | changes)


@pytest.fixture(scope="module")
def rom():
    return model()


@pytest.fixture(scope="module")
def run():
    """0.12 ns of the solver, a state every 10 ps."""
    return llg.simulate(FIELD, FILM, duration=1.2e-10, progress=False)


def changed(run, **changes):
    """The run with other parts, but the same states."""
    return Trajectory(**dict(t=run.t, m=run.m, field=run.field, film=run.film, info=run.info) | changes)


def test_a_run_of_the_model_itself_differs_in_nothing(rom):
    found = rom.compare(rom.simulate(FIELD, duration=3e-10))
    assert found.differences == [] and found.errors["the model"]["L2"] < 1e-5
    assert found.errors["encoder and decoder alone"]["L2"] > 0.1


def test_the_errors_are_those_of_the_rollout_from_the_runs_first_states(rom, run):
    found = rom.compare(run)
    answer = rom.simulate(FIELD, duration=1.2e-10)
    assert found.differences == []
    assert found.errors["the model"] == pytest.approx(mb.metrics.compare(answer, run, energy=False), rel=1e-4, abs=1e-7, nan_ok=True)
    held = rom.decode(rom.encode(run.m), unit=True)
    assert found.errors["encoder and decoder alone"]["L2"] == pytest.approx(mb.metrics.relative_l2(held[1:], run.m[1:]), rel=1e-5)
    assert found.errors["the start, held"]["L2"] == pytest.approx(np.sqrt(np.mean(np.sum((run.m[1:] - run.m[0])**2, axis=-1))), rel=1e-5)


def test_a_run_that_did_not_start_as_the_training_is_followed_from_its_own_start(rom):
    tilted = llg.simulate(FIELD, FILM, start=(0.6, 0.8, 0), duration=1.2e-10, progress=False)
    found = rom.compare(tilted)
    np.testing.assert_allclose(found.answers["the model"].m[:5], tilted.m[:5], atol=1e-6)
    (said,) = found.differences
    assert re.fullmatch(r"The run does not begin in the S-state, .*: it is off by 0\.\d\d \(L2\)\.", said)


T = np.arange(13) * 1e-11
DIFFERENCES = {
    "cells": (lambda run: run.resample(FILM.replace(cells=(8, 4))), r"The run has 8 × 4 cells, the model 16 × 8: each state is put"),
    "size": (lambda run: changed(run, film=FILM.replace(size=(32.1e-9, 16e-9, 3e-9))), r"film is 32.1 × 16 × 3 nm; it is taken for the model's, 32 × 16 × 3 nm"),
    "alpha": (lambda run: changed(run, film=FILM.replace(alpha=0.1)), r"The run's alpha is 0.1; the model answers for 0.02"),
    "Ms": (lambda run: changed(run, film=FILM.replace(Ms=8.6e5)), r"The run's Ms is 8.6e\+05 A/m; the model answers for 8e\+05"),
    "A": (lambda run: changed(run, film=FILM.replace(A=1e-11)), r"The run's A is 1e-11 J/m; the"),
    "assumed": (lambda run: changed(run, info={"assumed": ["Ms", "A"]}), r"Not in the files and not given: Ms, A; permalloy's were taken"),
    "clock": (lambda run: changed(run, t=2e-9 + T), r"The run's clock begins at 2 ns"),
    "uneven": (lambda run: changed(run, t=T + 1e-12 * (np.arange(13) % 2)), r"states 9 to 11 ps apart, the model one each 10 ps"),
    "sparse": (lambda run: changed(run, t=T[[0, 1, 2, 3, 4, 5, 12]], m=run.m[[0, 1, 2, 3, 4, 5, 12]]), r"6 of 13 new states are a cubic .* between 5e-11 s and 1.2e-10 s"),
    "weak": (lambda run: changed(run, field=FIELD / 2), r"The field mu0\*H = .* is outside the fan that the model was trained on, by 9.3 mT in strength"),
    "changing": (lambda run: changed(run, field=FIELD * (1 + np.arange(13)[:, None] / 100)), r"The field changes in time; the model was trained in constant"),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_difference_is_said(rom, run, name):
    change, sentence = DIFFERENCES[name]
    found = rom.compare(change(run))
    (said,) = [one for one in found.differences if re.search(sentence, one)]
    assert not said[0].islower() and said.endswith(".")
    assert len(found.differences) <= (2 if name in ("cells", "sparse") else 1), found.differences
    assert found.run.film.cells == FILM.cells and found.run.t == pytest.approx(T, abs=1e-22)


def test_what_a_model_does_not_know_is_left_out(run):
    rom = model()
    rom.dynamics.last = 8e-11
    found = rom.compare(run)
    assert found.differences == ["The model knows nothing after 0.08 ns; what the run has later is left out."]
    assert len(found.run) == 9
    np.testing.assert_allclose(found.run.m, run.m[:9], atol=1e-6)


def test_a_rollout_that_runs_away_is_said(run):
    found = model(largest=1e-3).compare(run)
    assert any("ran away" in one for one in found.differences) and np.isnan(found.errors["the model"]["L2"])


@pytest.mark.parametrize("change, match", [
    (lambda run: "run", "^run: got 'run'"), (lambda run: changed(run, film=FILM.replace(size=(33e-9, 16e-9, 3e-9))), "^run: its film is 33 × 16 × 3 nm; this model knows"),
    (lambda run: changed(run, film=FILM.replace(size=(32e-9, 16e-9, 5e-9))), "^run: its film is 32 × 16 × 5 nm"),
    (lambda run: changed(run, m=run.m * np.float32(np.nan)), "^run: it holds numbers that are not finite"),
    (lambda run: changed(run, t=T[:5], m=run.m[:5]), "^run: it lasts 4e-11 s; more than 4e-11 s is needed"),
    (lambda run: changed(run, t=T[:1], m=run.m[:1]), "^run: every: got 1e-11 s; the run lasts 0 s"),
    (lambda run: changed(run, film=FILM.replace(mask=np.arange(16) % 16 > 4 + 0 * np.arange(8)[:, None])), "^run: its film has another shape; 40 cells")])
def test_what_cannot_be_compared_is_refused(rom, run, change, match):
    with pytest.raises((ValueError, TypeError), match=match):
        rom.compare(change(run))


def test_what_a_notebook_shows(rom, run, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    found = rom.compare(changed(run, film=FILM.replace(alpha=0.1)))
    found._ipython_display_()
    words, table, figure = shown
    assert "<li>The run&#x27;s alpha is 0.1; the" in words.data
    assert "<th>the model</th>" in table.data and "film average" in table.data and figure == found.figure
    assert {"your run", "the model"} <= {trace.name for trace in found.figure.data}
    assert "the whole run" in mb.comparison.Comparison(run, {"itself": run}, []).table.data
    text = repr(found).splitlines()
    assert text[0].startswith("The run's alpha is 0.1") and text[1].startswith("the model: film average off by")


def test_the_page_explains_messages_as_they_are(root):
    page, code = ((root / name).read_text() for name in ("book/own_film.md", "magbook/trajectory.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code + (root / "magbook/rom.py").read_text())
    messages = re.findall(r"^\| `([^`]+)` \|", page.split("## What the messages mean")[1].split("\n## ")[0], re.M)
    assert len(messages) > 10 and not [message for message in messages if message not in code]


@pytest.mark.slow
def test_how_good_is_the_papers_network_on_a_run_of_mumax3(tmp_path, root, monkeypatch):
    """128 x 32 cells, a state at the first step after each 10 ps, as `autosave` leaves it, and the field in the table."""
    film = Film(cells=(128, 32))
    own = mb.simulate(mb.sp4.FIELD_1, film, duration=3.02e-10, every=1e-12, progress=False)
    rows = ["# t (s)\tmx ()\tmy ()\tmz ()\tB_extx (T)\tB_exty (T)\tB_extz (T)"]
    folder = tmp_path / "sp4.out"
    folder.mkdir()
    for n, i in enumerate([0, *(10 * np.arange(1, 31) + np.random.default_rng(1).integers(0, 3, 30))]):
        ovf.write(folder / f"m{n:06d}.ovf", own.m[i], (film.dx, film.dy, film.thickness), time=own.t[i])
        rows.append("\t".join(f"{value:.8g}" for value in (own.t[i], *own.mean[i], *own.field)))
    (folder / "table.txt").write_text("\n".join(rows) + "\n")

    monkeypatch.chdir(tmp_path)
    three, *others = re.findall(r"^```python\n(.*?)^```", (root / "book/own_film.md").read_text(), re.M | re.S)
    assert three.count("\n") == 3
    names = {"mb": mb}
    for lines in (three, *others):
        exec(lines, names)
    rom, run, found = (names[name] for name in ("rom", "run", "found"))

    assert [one.split()[:3] for one in found.differences] == [["The", "run", "has"], ["Not", "in", "the"], ["The", "run", "has"]]
    errors = {name: error["film average"] for name, error in found.errors.items()}
    assert errors["encoder and decoder alone"] < errors["the model"] < 0.015 < errors["the start, held"], errors
    assert found.errors["the model"]["L2"] < 0.1
    np.testing.assert_allclose(run.resample(rom.film, rom.every).mean, own.mean[:301:10], atol=2e-3)
