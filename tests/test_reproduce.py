"""What ships in data/ is what its commands make: a sample of each file is computed again from its inputs."""

import json

import numpy as np
import pytest

import magbook as mb
from magbook import dataset, metrics, pca, predictor
from magbook.files import shipped

PARTS = dataset.split(200)
SAMPLE = 6  # of the 20 test fields


@pytest.fixture(scope="module")
def rom():
    return mb.load_rom("paper")


@pytest.fixture(scope="module")
def latents():
    with np.load(shipped("paper_latents.npz"), allow_pickle=False) as z:
        return {name: z[name] for name in z.files}


@pytest.fixture(scope="module")
def tested():
    with np.load(shipped("paper_test.npz"), allow_pickle=False) as z:
        return {name: z[name] for name in z.files}


@pytest.fixture(scope="module")
def run(tested):
    """The sample field, solved here and now."""
    return mb.simulate(tested["field"][SAMPLE], progress=False)


@pytest.fixture(scope="module")
def sp4_runs():
    return [mb.simulate(b, progress=False) for b in (mb.sp4.FIELD_1, mb.sp4.FIELD_2)]


def test_the_shipped_model_says_where_it_comes_from(rom):
    assert {"autoencoder", "predictor", "data", "command", "version"} <= rom.info.keys()
    assert rom.info["data"]["n"] == 200 and rom.info["data"]["seed"] == dataset.SEED
    assert rom.fan == {"angle": 180.0, "opening": 44.0, "strength": [22e-3, 41e-3]} and rom.latent == 16


def test_latents_are_the_encoders_answer(rom, latents, tested, run, sp4_runs):
    np.testing.assert_array_equal(latents["field"], dataset.fan(200))
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
    with np.load(shipped("paper_pca.npz"), allow_pickle=False) as z:
        linear = pca.PCA(**{name: z[name].astype(np.float32) for name in z.files})
    outs = {"autoencoder": rom.decode(rom.encode(m)), "autoencoder_unit": rom.decode(rom.encode(m), unit=True),
            "rom": rom.simulate(run.field).m[1:], "pca": linear.decode(linear.encode(m))}
    for name, out in outs.items():
        tolerance = 0.02 if name == "rom" else 1e-3  # a rollout makes a small difference grow
        np.testing.assert_allclose(tested[f"mean_{name}"][SAMPLE], out.mean(axis=(1, 2)), atol=tolerance, err_msg=name)
        np.testing.assert_allclose(tested[f"l2_{name}"][SAMPLE], metrics.relative_l2(out, m, (1, 2, 3)), atol=tolerance,
                                   err_msg=name)


def test_principal_components_are_orthonormal_and_ordered():
    with np.load(shipped("paper_pca.npz"), allow_pickle=False) as z:
        modes, variance = z["modes"].astype(float).reshape(16, -1), z["variance"]
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
    out = rom.rollout(c[:, :predictor.HISTORY], latents["field"][i], 96)
    wrong = np.linalg.norm(out - c[:, 4:], axis=(1, 2)) / np.linalg.norm(c[:, 4:], axis=(1, 2))
    assert wrong.mean() == pytest.approx(best, rel=0.05)  # weights ship in 16 bits


def test_the_bars(rom, tested, sp4_runs):
    """What the book claims of the paper's networks on fields that they never saw."""
    errors = metrics.film_average_error(tested["mean_rom"], tested["mean"])
    sp4 = [metrics.film_average_error(rom.averages(one.field)[1:], one.mean[1:]) for one in sp4_runs]
    assert sp4[0] < 0.012 and sp4[1] < 0.05 and np.median(errors) < 0.02
    l2 = [metrics.relative_l2(rom.decode(rom.encode(one.m[1:])), one.m[1:]) for one in sp4_runs]
    assert l2[0] < 0.068 and l2[1] < 0.208
