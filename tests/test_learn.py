"""From a film to a driven model of it: whole, resumed, refused, judged, and the page that says so."""

import concurrent.futures
import json
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest

import magbook as mb
from magbook import applied, dataset, driven, llg, own, training
from magbook.__main__ import main
from magbook.film import Film

FILM = Film((96e-9, 32e-9, 5e-9), (24, 8))
ELLIPSE = FILM.replace(mask=lambda x, y: (x / 48e-9)**2 + (y / 16e-9)**2 <= 1)
TINY = dict(runs=10, duration=2e-10, latent=8, widths=(32,), progress=False, stages=[
    dict(steps=1, epochs=3, updates=100, batch=32, learning_rate=5e-3), dict(steps=3, epochs=3, updates=50, batch=32, learning_rate=2e-3)])


class Threads(concurrent.futures.ThreadPoolExecutor):
    """Processes take seconds to start. After so many runs it is interrupted."""

    def __init__(self, runs=10**6):
        super().__init__(1)
        self.left = runs

    def submit(self, *args):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().submit(*args)


def learn(folder, film=FILM, executor=None, **changes):
    with executor or Threads() as threads:
        return own.learn(film, folder, 30e-3, executor=threads, **TINY | changes)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A folder of the film, and the model."""
    folder = tmp_path_factory.mktemp("learned") / "film"
    return folder, learn(folder)


@pytest.fixture(scope="module")
def ellipse(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned") / "ellipse"
    return folder, learn(folder, ELLIPSE)


def numbers(folder):
    return json.loads((folder / "evaluation.json").read_text())


# ---------------------------------------------------------------------------- what is made


def test_it_is_called_by_its_name():
    assert mb.learn is own.learn


def test_the_model_is_one_of_the_film_and_says_where_it_comes_from(undisturbed):
    folder, rom = undisturbed
    again = mb.load_rom(folder / "model.npz")
    assert rom.film == again.film == FILM and rom.latent == 8
    assert rom.fan == {"angle": 0.0, "opening": 360.0, "strength": [0.0, 30e-3]}
    assert rom.info["settings"]["runs"] == 10 and rom.info["settings"]["film"] == json.loads(json.dumps(FILM.describe()))
    signal = applied.rotating(25e-3, 2e9)
    np.testing.assert_array_equal(again.averages(signal, duration=2e-10), rom.averages(signal, duration=2e-10))
    with pytest.warns(UserWarning, match="outside the fan"):
        rom.averages((40e-3, 0), duration=1e-10)


def test_it_is_judged_on_a_run_that_no_training_saw(undisturbed):
    """The errors are those of the model and of the coarse solver in the signal that is left out, found anew without the stored runs."""
    folder, rom = undisturbed
    found, signal = numbers(folder), applied.driven(10, 0, 2e-10, 30e-3)[9]
    assert dataset.split(10)["test"].tolist() == [9]
    truth = llg.simulate(signal, FILM, duration=2e-10, progress=False).mean[1:]
    accuracy = found["accuracy"]["solver, 12 x 4"]
    coarse, fine = (llg.simulate(signal, FILM.replace(cells=(12, 4)), duration=2e-10, accuracy=a, progress=False).mean[1:] for a in (accuracy, 1.0))
    assert accuracy == 1 or np.abs(coarse - fine).mean() < 0.1 * np.abs(fine - truth).mean()
    answers = {"the model": rom.averages(signal, duration=2e-10)[1:], "solver, 12 x 4": coarse, "the start, held": llg.s_state(FILM).mean(axis=(0, 1))}
    for name, answer in answers.items():
        np.testing.assert_allclose(found["errors"][name], [np.nan_to_num(np.abs(answer - truth), nan=2.0).mean()], atol=2e-5)
    assert found["run away"] == 0
    assert list(found["errors"]) == ["the model", "solver, 12 x 4", "solver, 6 x 2", "one moment", "the start, held"]
    np.testing.assert_allclose(found["runs"]["worst"]["field"][1:], applied.means(signal, np.arange(21) * 1e-11)[:, :2], atol=1e-9)
    assert all(0 < value < 10 for value in found["seconds"].values())
    assert all(value in (0, 1) for value in found["ends right"].values()) and found["ends right"]["solver, 12 x 4"] == 1


def test_a_training_that_was_never_shown_the_last_run(undisturbed, monkeypatch, tmp_path):
    """Another truth in the run that judges gives the same model."""
    folder, rom = undisturbed
    simulate = llg.simulate
    last = applied.driven(10, 0, 2e-10, 30e-3)[9]
    monkeypatch.setattr(dataset.generate, "__kwdefaults__", dataset.generate.__kwdefaults__ | {
        "solver": lambda field, film, start, **options: simulate((0, 5e-3) if field == last else field, film, start, **options)})
    other = learn(tmp_path / "film")
    for a, b in zip(other.dynamics.network.get_weights(), rom.dynamics.network.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert numbers(tmp_path / "film")["errors"]["the start, held"] != numbers(folder)["errors"]["the start, held"]


def test_a_rival_steps_as_coarsely_as_its_cells_allow():
    """Of the accuracies that are tried the lowest that holds; where steps count as much as cells, none does."""
    signals = applied.driven(2, 5, 2e-10)
    truth = np.array([llg.simulate(one, Film(cells=(32, 8)), duration=2e-10, progress=False).mean for one in signals])
    film = Film(cells=(16, 4))
    accuracy, mean = own.coarsely(film, signals, truth, progress=False)
    assert accuracy == own.ACCURACIES[0]
    for one, signal in zip(mean, signals):
        np.testing.assert_array_equal(one, llg.simulate(signal, film, duration=2e-10, accuracy=accuracy, progress=False).mean)
    fine = np.array([llg.simulate(one, film, duration=2e-10, progress=False).mean for one in signals])
    assert own.coarsely(film, signals, fine + 1e-9, progress=False)[0] == 1


# ---------------------------------------------------------------------------- stopped and resumed


def test_it_goes_on_wherever_it_was_stopped(undisturbed, monkeypatch, tmp_path):
    folder, (before, rom) = tmp_path / "film", undisturbed

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(folder, executor=Threads(4))
    runs = sorted(folder.glob("runs/m/c/*/0/0/0/0"))
    assert len(runs) < 10
    stamps = {}
    for module, name, made in ((own, "_components", "runs/m/c/9/0/0/0/0"), (own, "latents", "components.npz"), (driven, "look_ahead", "latents.npz")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, name, stop)
            learn(folder)
        assert all((folder / file).stat().st_mtime_ns == stamp for file, stamp in stamps.items()), name
        stamps[made] = (folder / made).stat().st_mtime_ns
    saved = []
    save = training._save_weights
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_save_weights", lambda model, path: stop() if len(saved) > 6 else saved.append(save(model, path)))
        learn(folder)
    assert (folder / "training" / "0-1-steps" / "history.json").exists() and not (folder / "model.npz").exists()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(own, "evaluate", stop)
        learn(folder)
    stamps["model.npz"] = (folder / "model.npz").stat().st_mtime_ns
    again = learn(folder)
    assert all((folder / file).stat().st_mtime_ns == stamp for file, stamp in stamps.items())
    for a, b in zip(again.dynamics.network.get_weights(), rom.dynamics.network.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for name, error in numbers(before)["errors"].items():
        np.testing.assert_allclose(numbers(folder)["errors"][name], error, rtol=1e-3)
    assert not list(folder.glob("**/*.part"))


def test_what_is_done_is_read(undisturbed, monkeypatch):
    folder, rom = undisturbed
    monkeypatch.setattr(dataset, "generate", None)
    stamps, clock = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}, time.perf_counter()
    np.testing.assert_array_equal(learn(folder).dynamics.readout, rom.dynamics.readout)
    assert time.perf_counter() - clock < 2 and stamps == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("changes, differs", [
    (dict(film=FILM.replace(alpha=0.1)), "film"), (dict(seed=1), "seed"), (dict(latent=6), "latent"), (dict(film=ELLIPSE, runs=11), "film, runs")])
def test_a_folder_of_another_model(undisturbed, changes, differs):
    with pytest.raises(ValueError, match=f"^folder: .* differs in {differs}; give another folder"):
        learn(undisturbed[0], **changes)


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="^folder: .* is not empty and holds no model"):
        learn(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("film, says", [
    (Film((96e-9, 32e-9, 5e-9), (23, 8)), "film: got 23 x 8 cells; an even number"),
    (FILM.replace(mask=lambda x, y: x + y < 40e-9), "film: its mask is not its own mirror image"),
    (FILM.replace(mask=lambda x, y: x + 0 * y < 40e-9), "film: its mask is not its own mirror image"), ("permalloy", "film: got 'permalloy'")])
def test_films_that_have_no_mirror_planes(film, says, tmp_path):
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(says)}"):
        learn(tmp_path / "film", film)
    assert not (tmp_path / "film").exists()


@pytest.mark.parametrize("changes, says", [
    (dict(runs=9), "runs: got 9"), (dict(latent=0), "latent: got 0"), (dict(stages=driven.STAGES), "stages: got 32 steps; trajectories of nt = 21"),
    (dict(duration=-1e-9), "duration: got"), (dict(epochs=3), "options: got epochs; runs, duration"), (dict(widths=7), "widths: got 7")])
def test_options_that_there_are_not(changes, says, tmp_path):
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(says)}"):
        learn(tmp_path / "film", **changes)
    assert not (tmp_path / "film").exists()


def test_a_field_in_millitesla(tmp_path):
    with pytest.raises(ValueError, match="^fields: got 40; .* Was it given in mT"):
        own.learn(FILM, tmp_path / "film", 40)


# ---------------------------------------------------------------------------- an ellipse


def test_components_of_an_ellipse_stay_inside():
    run = llg.simulate(applied.rotating(40e-3, 2e9), ELLIPSE, duration=3e-10, progress=False)
    whole, parities = driven.components(run.m[1:], 8)
    assert np.abs(whole[:, ~ELLIPSE.inside]).max() < 1e-6
    flat = whole.reshape(8, -1)
    np.testing.assert_allclose(flat @ flat.T / (FILM.nx * FILM.ny), np.eye(8), atol=1e-5)
    for x, y in driven.IMAGES:
        signs = np.where(parities[:, 0] < 0, x, 1) * np.where(parities[:, 1] < 0, y, 1)
        np.testing.assert_allclose(driven.image(whole, x, y), signs[:, None, None, None] * whole, atol=1e-6)


@pytest.mark.slow
def test_a_model_of_an_ellipse(ellipse):
    folder, rom = ellipse
    assert rom.film == ELLIPSE and 0.7 < rom.film.inside.mean() < 0.85
    data = dataset.load(folder / "runs")
    m = dataset.as_float(dataset.states(data, [0]))
    c = rom.encode(m)
    # the film average is that of what is inside, and the components hold it
    np.testing.assert_allclose(rom.dynamics.averages(c), m[:, ELLIPSE.inside].mean(axis=1), atol=0.02)
    run = rom.simulate((0, 10e-3), duration=5e-11)
    np.testing.assert_array_equal(run.m[:, ~ELLIPSE.inside], 0)
    np.testing.assert_allclose(np.linalg.norm(run.m[:, ELLIPSE.inside], axis=-1), 1, atol=1e-5)
    assert "inside a mask" in (folder / "report.html").read_text()


def test_an_ellipse_on_fewer_cells_is_one():
    half = own.coarser(ELLIPSE, 2)
    assert half.cells == (12, 4) and half.size == ELLIPSE.size
    assert half.inside.mean() == pytest.approx(np.pi / 4, abs=0.1) and np.array_equal(half.inside, half.inside[::-1, ::-1])
    assert own.coarser(FILM, 2) == FILM.replace(cells=(12, 4))
    with pytest.raises(ValueError, match="^n: got 5, which does not divide 24 x 8"):
        own.coarser(FILM, 5)


# ---------------------------------------------------------------------------- the page


class Page(HTMLParser):
    """The page's text, and what would ask another host or is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.asks, self.tags, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.asks += [value for name, value in attributes if name in ("src", "href", "data", "srcset")]
        if tag not in ("meta", "line", "circle", "path", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_says_how_good_the_model_is(undisturbed):
    folder, rom = undisturbed
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert not page.open and not page.asks and "http" not in text and "url(" not in text and "nan" not in text.lower().replace("nanometre", "")
    assert len(text) < 1e6 and page.tags.count("svg") == 3 and "prefers-color-scheme: dark" in text
    words, found = " ".join(" ".join(page.words).split()), numbers(folder)
    (error,) = found["errors"]["the model"]
    assert f"off by {error:#.2g} in the median" in words
    for what in ("96 × 32 × 5 nm", "24 × 8, of 4 × 4 nm", "800000 A/m", "10 of 0.2 ns", "up to 30 mT", "8 principal components", "solver, 12 x 4",
                 "one moment", "the start, held", "450 updates", "ahead 1, 3 steps", "The worst unseen run"):
        assert what in words, what


def test_the_worst_run_is_drawn(undisturbed):
    """Field, solver and model: eight curves of a run, in the order in which they are laid over each other."""
    text = (undisturbed[0] / "report.html").read_text()
    curves = [np.array([[float(v) for v in point.split(",")] for point in one.split()]) for one in re.findall(r'points="([^"]*)"', text)]
    assert [len(one) for one in curves] == [20, 20, *[21] * 6] * 2
    run = numbers(undisturbed[0])["runs"]["worst"]
    for k, name in enumerate(("solver", "model")):
        drawn, wanted = np.stack([one[:, 1] for one in curves[2 + 3 * k:5 + 3 * k]], axis=1).ravel(), np.ravel(run[name])
        slope, _ = np.polyfit(wanted, drawn, 1)
        assert slope < 0 and np.corrcoef(wanted, drawn)[0, 1] < -0.9999  # up is down in a picture


# ---------------------------------------------------------------------------- the command line


def command(*arguments):
    main(["learn", *map(str, arguments)])


def test_the_command_line_asks_for_the_same(monkeypatch, capsys, tmp_path):
    asked = []
    monkeypatch.setattr(own, "learn", lambda *args, **options: asked.append((args, options)))
    command("--size", 300e-9, 100e-9, 5e-9, "--cells", 128, 32, "--Ms", 1e6, "--A", 2e-11, "--alpha", 0.01, "--fields", 50e-3, "--out", tmp_path / "a", "--quick")
    command("--size", 300e-9, 100e-9, 5e-9, "--cells", 128, 32, "--ellipse", "--seed", 3, "--workers", 1, "--out", tmp_path / "b")
    (one, options), (other, others) = asked
    assert one == (Film((300e-9, 100e-9, 5e-9), (128, 32), 1e6, 2e-11, 0.01), str(tmp_path / "a"), 50e-3)
    assert options == dict(quick=True, seed=0, workers=None) and others == dict(quick=False, seed=3, workers=1)
    assert other[0].inside.mean() == pytest.approx(np.pi / 4, abs=0.01) and other[2] == 40e-3
    assert f"{tmp_path / 'a' / 'report.html'} says how good it is" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, says", [
    (("--size", 300, 100, 5, "--cells", 32, 8), "size: got 300; .* nm"), (("--size", 3e-7, 1e-7, 5e-9, "--cells", 31, 8), "film: got 31 x 8 cells"),
    (("--size", 3e-7, 1e-7, 5e-9, "--cells", 32, 8, "--fields", 40), "fields: got 40; .* mT"),
    (("--size", 3e-7, 1e-7, 5e-9, "--cells", 32, 8, "--Ms", 1.0), "Ms: got 1; .* Was it given in T")])
def test_an_error_is_one_line(arguments, says, tmp_path):
    with pytest.raises(SystemExit, match=f"^magbook: {says}") as stopped:
        command(*arguments, "--out", tmp_path / "film")
    assert "\n" not in stopped.value.code and not (tmp_path / "film").exists()
