"""What ships in data/ is what its commands make: a sample of each file is computed again from its inputs."""

import json

import numpy as np
import pytest

import magbook as mb
from magbook import applied, baselines, dataset, metrics, pca, reproduce, stepper
from magbook.files import shipped

PARTS = dataset.split(200)
SAMPLE = 6  # of the 20 test fields


def arrays(name):
    """A shipped file, read whole."""
    with np.load(shipped(name), allow_pickle=False) as z:
        return {key: z[key] for key in z.files}


@pytest.fixture(scope="module")
def rom():
    return mb.load_rom("paper")


@pytest.fixture(scope="module")
def latents():
    return arrays("paper_latents.npz")


@pytest.fixture(scope="module")
def tested():
    return arrays("paper_test.npz")


@pytest.fixture(scope="module")
def run(tested):
    """The sample field, solved here and now."""
    return mb.simulate(tested["field"][SAMPLE], progress=False)


@pytest.fixture(scope="module")
def sp4_runs():
    return [mb.simulate(b, progress=False) for b in (mb.sp4.FIELD_1, mb.sp4.FIELD_2)]


def test_the_shipped_model_says_where_it_comes_from(rom):
    assert {"autoencoder", "predictor", "data", "command", "version"} <= rom.info.keys()
    assert rom.info["data"]["n"] == 200 and rom.info["data"]["seed"] == applied.SEED
    assert rom.fan == {"angle": 180.0, "opening": 44.0, "strength": [22e-3, 41e-3]} and rom.latent == 16


def test_latents_are_the_encoders_answer(rom, latents, tested, run, sp4_runs):
    np.testing.assert_array_equal(latents["field"], applied.fan(200))
    own = [rom.encode(one.m[1:]) for one in (run, *sp4_runs)]
    ours = [latents["latents"][tested["run"][SAMPLE]], *latents["sp4"]]
    for a, b in zip(own, ours):
        assert np.linalg.norm(a - b) < 2e-3 * np.linalg.norm(b)  # states are stored in 16 bits


def test_test_fields_and_their_averages(tested):
    with np.load(shipped("paper_summary.npz"), allow_pickle=False) as z:
        field, mean = z["field"], z["mean"]
    np.testing.assert_array_equal(tested["run"], PARTS["test"])
    np.testing.assert_allclose(tested["mean"], mean[PARTS["test"]], atol=1e-6)
    np.testing.assert_allclose(tested["mean_average"][0], mean[PARTS["train"]].mean(axis=0), atol=2e-5)
    for k in range(20):
        distance = np.linalg.norm(field - tested["field"][k], axis=1)
        nearest = PARTS["train"][distance[PARTS["train"]].argmin()]
        np.testing.assert_allclose(tested["mean_nearest"][k], mean[nearest], atol=1e-6)


def test_errors_on_a_test_field(rom, tested, run):
    m = run.m[1:]
    linear = pca.load()
    outs = {"autoencoder": rom.decode(rom.encode(m)), "autoencoder_unit": rom.decode(rom.encode(m), unit=True),
            "rom": rom.simulate(run.field).m[1:], "pca": linear.decode(linear.encode(m))}
    for name, out in outs.items():
        tolerance = 0.02 if name == "rom" else 1e-3  # a rollout makes a small difference grow
        np.testing.assert_allclose(tested[f"mean_{name}"][SAMPLE], out.mean(axis=(1, 2)), atol=tolerance, err_msg=name)
        np.testing.assert_allclose(tested[f"l2_{name}"][SAMPLE], metrics.relative_l2(out, m, (1, 2, 3)), atol=tolerance,
                                   err_msg=name)


def test_principal_components_are_orthonormal_and_ordered():
    linear = pca.load()
    modes, variance = linear.modes.astype(float).reshape(16, -1), linear.variance
    np.testing.assert_allclose(modes @ modes.T, np.eye(16), atol=2e-3)  # of 16 bits
    assert (np.diff(variance) < 0).all() and variance.sum() < 1


def test_the_sweep_over_latent_sizes(tested):
    table = json.loads(shipped("autoencoder_sweep.json").read_text())
    sweep = [table["latent"][str(k)] for k in (4, 8, 16, 32)]
    for row in sweep:
        assert len(row["history"]) == table["settings"]["epochs"] == len(table["constant"])
    linear = [row["pca"]["l2_unit"] for row in sweep]
    assert (np.diff(linear) < 0).all()
    # every state has the same length, so squares average
    assert linear[2] == pytest.approx(np.sqrt((tested["l2_pca_unit"]**2).mean()), rel=2e-3)


def test_the_best_epoch_is_the_one_that_ships(rom, latents):
    """The error that the training noted, from the weights that ship."""
    table = json.loads(shipped("predictor_sweep.json").read_text())
    best = min(row["error"] for row in table["history"])
    i = PARTS["validation"]
    c = latents["latents"][i]
    out = rom.rollout(c[:, :stepper.HISTORY], latents["field"][i], 96)
    wrong = np.linalg.norm(out - c[:, 4:], axis=(1, 2)) / np.linalg.norm(c[:, 4:], axis=(1, 2))
    assert wrong.mean() == pytest.approx(best, rel=0.05)  # weights ship in 16 bits


def test_the_bars(rom, tested, sp4_runs):
    """What the book claims of the paper's networks on fields that they never saw."""
    errors = metrics.film_average_error(tested["mean_rom"], tested["mean"])
    sp4 = [metrics.film_average_error(rom.averages(one.field)[1:], one.mean[1:]) for one in sp4_runs]
    assert sp4[0] < 0.012 and sp4[1] < 0.05 and np.median(errors) < 0.02
    l2 = [metrics.relative_l2(rom.decode(rom.encode(one.m[1:])), one.m[1:]) for one in sp4_runs]
    assert l2[0] < 0.068 and l2[1] < 0.208


# ---------------------------------------------------------------------------- chapter 5


@pytest.fixture(scope="module")
def errors():
    return arrays("errors.npz")


@pytest.fixture(scope="module")
def floors():
    return arrays("floors.npz")


def test_every_model_is_compared_in_every_metric(errors, tested, rom, sp4_runs):
    models, names = list(errors["model"]), list(errors["metric"])
    assert set(baselines.METHODS) < set(models) and {f"networks, seed {k}" for k in reproduce.SEEDS} < set(models)
    assert names == list(metrics.compare(sp4_runs[0], sp4_runs[0], rom))
    np.testing.assert_allclose(errors["field"], np.concatenate([[run.field for run in sp4_runs], tested["field"]]), atol=1e-7)
    assert errors["error"].shape == (len(models), 22, len(names))
    split = [names.index(f"L2 {part}") for part in ("autoencoder", "predictor")]
    whole = np.delete(errors["error"], split, axis=2)
    switching = names.index("switching time")  # of a run that does not switch in time there is none
    assert np.isfinite(np.delete(whole, [switching, names.index("horizon")], axis=2)).all()


def test_errors_of_networks_and_baselines_are_computed_again(errors, rom, sp4_runs):
    row = dict(zip(errors["model"], errors["error"]))
    again = metrics.compare(rom.simulate(mb.sp4.FIELD_1), sp4_runs[0], rom)
    for name, there in zip(errors["metric"], row["networks, seed 0"][0]):
        assert again[name] == pytest.approx(there, rel=0.1, abs=2e-12 if name in ("first zero", "switching time") else 0.02)
    with np.load(shipped("paper_summary.npz"), allow_pickle=False) as z:
        field, mean = z["field"], z["mean"]
    average = list(errors["metric"]).index("film average")
    for name in ("nearest field", "spline"):
        out = baselines.METHODS[name](field[PARTS["train"]], mean[PARTS["train"]])(errors["field"][2:])
        there = row[name][2:, average]
        ours = metrics.film_average_error(out, mean[PARTS["test"]])
        # unit length changes nothing of a state that is one, and a little of a sum of several
        np.testing.assert_allclose(there, ours, rtol=1e-3 if name == "nearest field" else 0.35, atol=2e-5)


def test_floors_are_computed_again(floors, sp4_runs):
    name = list(floors["name"])
    coarse = mb.simulate(mb.sp4.FIELD_1, mb.Film(cells=(128, 32)), progress=False)
    fine = mb.simulate(mb.sp4.FIELD_1, accuracy=2, progress=False)
    for what, other in (("grid", coarse), ("time step", fine)):
        there = floors["average"][0, name.index(what)]
        assert metrics.film_average_error(other.mean[1:], sp4_runs[0].mean[1:]) == pytest.approx(there, rel=0.05, abs=2e-6)
    small, large = (floors["l2"][:, name.index(f"start {size}")] for size in ("1e-06", "0.001"))
    assert (np.abs(np.log2(small[:, 0] / 1e-6)) < 1).all()  # what was put in, a hundredth of a nanosecond later
    ratio = large.max(axis=1) / small.max(axis=1)
    assert (np.abs(ratio / 1000 - 1) < 0.25).all()  # small differences grow in proportion


def test_seeds():
    table = json.loads(shipped("seeds.json").read_text())
    for what, epochs in (("predictor", reproduce.PREDICTOR["epochs"]), ("pca", reproduce.PREDICTOR["epochs"])):
        histories = [table[what][str(seed)] for seed in reproduce.SEEDS]
        assert all(len(h) == epochs for h in histories)
        assert len({h[0]["loss"] for h in histories}) == 3  # other weights, other losses
    short = json.loads(shipped("autoencoder_sweep.json").read_text())["latent"]["16"]
    assert table["autoencoder"]["0"]["history"] == short["history"]
    assert table["predictor"]["0"] == json.loads(shipped("predictor_sweep.json").read_text())["history"]


def test_splits():
    table = json.loads(shipped("splits.json").read_text())
    flattery = []
    for n, both in table["fields"].items():
        for split in both.values():
            assert len(split["history"]) == table["settings"]["epochs"] * 200 // int(n)
        flattery.append(both["state"]["new"]["l2"] / both["state"]["test"]["l2"])
        # by whichever split it was trained, on new fields it is about as good
        assert both["state"]["new"]["l2"] == pytest.approx(both["field"]["new"]["l2"], rel=0.1)
    assert list(table["fields"]) == ["20", "50", "200"]
    assert flattery[0] > flattery[1] > flattery[2] > 1


# ---------------------------------------------------------------------------- chapter 7


@pytest.fixture(scope="module")
def best():
    return mb.load_rom("best")


@pytest.fixture(scope="module")
def best_tested():
    return arrays("best_test.npz")


def test_the_better_model_saw_none_of_its_test_fields(best, best_tested, tested):
    large, blade = (applied.fan(**best.info["data"][name]) for name in ("large", "blade"))
    known = np.concatenate([large[dataset.split(1000)["train"]], blade])
    np.testing.assert_allclose(best_tested["field"][2:22], tested["field"], atol=1e-7)
    distance = np.linalg.norm(known[None] - best_tested["field"][:, None], axis=-1).min(axis=1)
    np.testing.assert_allclose(best_tested["distance"], distance, atol=1e-7)
    assert distance.min() > 1e-6


def test_errors_of_the_better_model_on_sp4_and_a_test_field(best, best_tested, run, sp4_runs):
    for k, one in ((0, sp4_runs[0]), (1, sp4_runs[1]), (2 + SAMPLE, run)):
        m, fast = one.m[1:], best.simulate(one.field)
        assert np.abs(np.linalg.norm(fast.m, axis=-1) - 1).max() < 1e-6
        for name, out in {"best": fast.m[1:], "decoder": best.decode(best.encode(m))}.items():
            np.testing.assert_allclose(best_tested[f"mean_{name}"][k], out.mean(axis=(1, 2)), atol=2e-3, err_msg=name)
            np.testing.assert_allclose(best_tested[f"l2_{name}"][k], metrics.relative_l2(out, m, (1, 2, 3)), atol=5e-3,
                                       err_msg=name)


def test_the_better_model_is_compared_in_every_metric(best, best_tested, errors, sp4_runs):
    """In the same ones as all other models, on the same fields."""
    assert list(best_tested["metric"]) == list(errors["metric"])
    np.testing.assert_allclose(best_tested["field"][:22], errors["field"], atol=1e-7)
    there = dict(zip(best_tested["metric"], best_tested["error"].T))
    average = metrics.film_average_error(best_tested["mean_best"], best_tested["mean"])[:22]
    np.testing.assert_allclose(there["film average"], average, atol=1e-4)
    np.testing.assert_allclose(there["L2"], np.sqrt((best_tested["l2_best"][:22]**2).mean(axis=1)), atol=1e-3)
    for name, value in metrics.compare(best.simulate(mb.sp4.FIELD_1), sp4_runs[0], best).items():
        assert there[name][0] == pytest.approx(value, rel=0.02, abs=1e-13 if name in ("first zero", "switching time") else 2e-3)


def test_the_bars_of_the_better_model(best_tested):
    """What the book claims of it on fields that it never saw."""
    errors = metrics.film_average_error(best_tested["mean_best"], best_tested["mean"])
    assert errors[0] < 0.004 and errors[1] < 0.03
    for fields in (errors[2:22], errors[2:]):  # those of the paper's data set, and all of the large one's
        assert np.median(fields) < 0.008 and np.quantile(fields, 0.95) < 0.05
    assert np.sqrt((best_tested["l2_best"][0]**2).mean()) < 0.05


def test_the_band_covers_what_it_claims(best, best_tested, sp4_runs):
    """Nine values of ten, as on the validation fields that its width was set with."""
    middle, spread = best_tested["members"].mean(axis=1), best_tested["members"].std(axis=1, ddof=1)
    inside = np.abs(best_tested["mean"][:, stepper.HISTORY:] - middle) <= best.widen * spread
    assert 0.85 < inside[2:].mean() < 0.95
    low, high = best.band(sp4_runs[1].field)
    np.testing.assert_allclose((low + high)[5:] / 2, middle[1], atol=2e-3)
    np.testing.assert_allclose((high - low)[5:] / 2, best.widen * spread[1], atol=2e-3)


def test_the_sweep_of_the_better_model(best_tested):
    table = json.loads(shipped("best_sweep.json").read_text())
    np.testing.assert_allclose(table["field"], best_tested["field"], atol=1e-7)
    rows = {name: np.array(row["nearest"]) for name, row in table["fields"].items()}
    large = applied.fan(1000)
    known = large[dataset.split(1000)["train"]]
    # the error of the nearest of 50 fields is found anew without a network
    field = best_tested["field"][2]
    nearest = known[baselines.nearest(known[:50], np.arange(50))(field[None])[0]]
    mean = mb.simulate(nearest, progress=False).mean[1:]
    assert rows["50"][2] == pytest.approx(metrics.film_average_error(mean, best_tested["mean"][2]), rel=1e-3)
    assert set(rows) == {*map(str, reproduce.SIZES), "200 + blade", "800 + blade"}


def test_the_sweep_of_the_papers_networks(best_tested, tested):
    table = json.loads(shipped("paper_sweep.json").read_text())
    np.testing.assert_allclose(table["field"], best_tested["field"], atol=1e-7)
    there = {name: np.array(row) for name, row in table["shipped"].items()}
    # what `evaluate` found of the same networks in the paper's data set
    average = metrics.film_average_error(tested["mean_rom"], tested["mean"])
    np.testing.assert_allclose(there["average_rollout"][2:22], average, rtol=0.05)
    l2 = np.sqrt((tested["l2_autoencoder_unit"][:, ::4]**2).mean(axis=1))
    np.testing.assert_allclose(there["l2_autoencoder"][2:22], l2, rtol=1e-3)
    for part in ("predictor", "both"):
        assert list(table[part]) == list(map(str, reproduce.SIZES))
        for row in table[part].values():
            assert len(row["average_rollout"]) == len(row["l2_rollout"]) == 102
    assert table["settings"]["autoencoder"]["updates"] == reproduce.PASS
    # trained briefly, the autoencoder loses more than the one that ships, whatever the number of fields
    for row in table["both"].values():
        assert np.median(row["l2_autoencoder"]) > 1.4 * np.median(there["l2_autoencoder"])
    assert np.median(table["long"]["average_rollout"]) < np.median(table["predictor"]["800"]["average_rollout"])
