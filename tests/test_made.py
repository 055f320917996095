"""What is made: commands that know when they must run again, and samples of what ships, computed again from its inputs."""

import json
from hashlib import sha256

import numpy as np
import pytest

import magbook as mb
from magbook import applied, autoencoder, baselines, dataset, files, metrics, pca
from magbook.dynamics import Dynamics, Ensemble
from magbook.files import shipped
from magbook.made import COMMANDS, ch5, ch7, common
from magbook.made.common import Command, plan

# ---------------------------------------------------------------------------- commands, in a folder of their own


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Three commands, a data folder and a cache of the test's own: what they ran goes into the list that comes back.

    `collect` reads a data set and writes one file; `fit` keeps a training; `compare` reads both and writes two files.
    """
    data, ran, commands = tmp_path / "data", [], {}
    data.mkdir()
    for module in (files, common):
        monkeypatch.setattr(module, "DATA", data)
    monkeypatch.setattr(common, "COMMANDS", commands)
    monkeypatch.setenv("MAGBOOK_CACHE", str(tmp_path / "cache"))
    put = lambda name: (data / name).write_text(f"{name} {len(ran)}")

    @common.command(reads=["set/tiny"], writes={"collected.txt": "what was collected"}, seed=7)
    def collect():
        """Collect."""
        ran.append("collect")
        put("collected.txt")

    @common.command(reads=["set/tiny", "set/other"], keeps=["fitted"])
    def fit_it():
        """Fit."""
        ran.append("fit-it")
        common.folder("fitted").mkdir(parents=True)

    @common.command(reads=["collected.txt", "training/fitted"], writes={"one.txt": "first", "two.txt": "second"})
    def compare():
        """Compare."""
        ran.append("compare")
        put("one.txt")
        put("two.txt")

    return data, ran, commands


def cached():
    """What the commands read from the cache is there."""
    for path in (files.cache() / "tiny/zarr.json", files.cache() / "other/zarr.json", common.folder("fitted/epoch")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def run(small):
    """Run what the plan says, and say what that was."""
    todo = plan()
    for name in todo:
        if name.startswith("set/"):
            (files.cache() / name.removeprefix("set/")).mkdir(parents=True)
            (files.cache() / name.removeprefix("set/") / "zarr.json").touch()
        else:
            small[2][name]()
    return list(todo)


def test_a_command_is_declared_where_it_is_defined(small):
    _, ran, commands = small
    assert list(commands) == ["collect", "fit-it", "compare"] and ran == []
    one = commands["fit-it"]
    assert isinstance(one, Command) and (one.name, one.keeps, one.writes, one.seed) == ("fit-it", ("fitted",), {}, None)
    assert commands["compare"].reads == ("collected.txt", "training/fitted") and one.function.__doc__ == "Fit."


def test_what_a_command_wrote_is_entered(small):
    data, ran, commands = small
    cached()
    commands["collect"]()
    commands["compare"]()
    assert ran == ["collect", "compare"]
    there, digest = files.manifest(), {path.name: sha256(path.read_bytes()).hexdigest() for path in data.glob("*.txt")}
    assert there["collected.txt"] == {"sha256": digest["collected.txt"], "what": "what was collected", "seed": 7, "reads": {},
                                      "command": "python -m magbook collect", "version": mb.__version__}
    for name, what in (("one.txt", "first"), ("two.txt", "second")):
        assert (there[name]["sha256"], there[name]["what"], there[name]["seed"]) == (digest[name], what, None)
        # with the checksums of the files that it read, as they were then; what lies in the cache has none
        assert there[name]["reads"] == {"collected.txt": digest["collected.txt"]}
    assert shipped("two.txt").read_text() == "two.txt 2"


def test_what_the_cache_lacks_is_said_before_any_work(small):
    _, ran, commands = small
    for name, says in (("fit-it", "^fit-it reads set/tiny, set/other, which the cache lacks; generate --set tiny makes it"),
                       ("compare", "^compare reads training/fitted, which the cache lacks; fit-it makes it")):
        with pytest.raises(FileNotFoundError, match=says):
            commands[name]()
    assert ran == []


def test_a_command_that_fails_enters_nothing(small):
    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        Command(fail, (), {"one.txt": "first"}, (), None)()
    assert files.manifest() == {}


def test_what_is_up_to_date_is_not_stale(small):
    commands = small[2]
    assert [one.stale() for one in commands.values()] == ["collected.txt is missing", "", "one.txt is missing"]
    cached()
    commands["collect"]()
    commands["compare"]()
    assert [one.stale() for one in commands.values()] == ["", "", ""]


def test_why_a_command_is_stale(small):
    data, _, commands = small
    cached()
    commands["collect"]()
    commands["compare"]()
    (data / "two.txt").write_text("spoiled")
    assert commands["compare"].stale() == "two.txt is damaged"
    (data / "two.txt").unlink()
    assert commands["compare"].stale() == "two.txt is missing"
    commands["compare"]()
    commands["collect"]()  # it writes something else now
    assert [one.stale() for one in commands.values()] == ["", "", "one.txt was made from another collected.txt"]
    commands["compare"]()
    assert commands["compare"].stale() == ""


def test_a_file_of_unknown_origin_is_stale(small):
    """An entry that does not say what its file was made from."""
    data, _, commands = small
    cached()
    commands["collect"]()
    for name in ("one.txt", "two.txt"):
        (data / name).write_text("from somewhere")
        files.ship(name, what="it")
    assert commands["compare"].stale() == "one.txt was made from another collected.txt"


def test_the_plan_from_nothing(small):
    why = plan()
    assert list(why) == ["set/tiny", "set/other", "collect", "fit-it", "compare"]
    assert why["set/tiny"] == why["set/other"] == "it is not in the cache" and why["fit-it"] == "training/fitted is not in the cache"
    assert why["collect"] == "collected.txt is missing" and why["compare"] == "one.txt is missing"
    assert small[1] == [] and not list(small[0].iterdir())  # a plan is not a run


def test_the_plan_is_enough_and_then_there_is_none(small):
    assert run(small) == ["set/tiny", "set/other", "collect", "fit-it", "compare"]
    assert small[1] == ["collect", "fit-it", "compare"] and plan() == {}


def test_a_plan_holds_what_follows_and_no_more(small):
    data, ran, _ = small
    run(small)
    (data / "one.txt").unlink()
    assert plan() == {"compare": "one.txt is missing"}
    (data / "collected.txt").unlink()
    assert plan() == {"collect": "collected.txt is missing", "compare": "one.txt is missing"}
    run(small)
    (data / "collected.txt").write_text("spoiled")
    assert plan() == {"collect": "collected.txt is damaged", "compare": "collected.txt is made anew"}
    run(small)
    assert ran == ["collect", "fit-it", "compare", "collect", "compare", "collect", "compare"] and plan() == {}


def test_what_ships_needs_no_cache(small):
    """Of files that are up to date nothing is made, be their data sets and trainings there or not."""
    run(small)
    (files.cache() / "tiny" / "zarr.json").unlink()
    common.folder("fitted").rmdir()
    assert plan() == {}
    (small[0] / "two.txt").unlink()
    assert plan() == {"set/tiny": "it is not in the cache", "fit-it": "training/fitted is not in the cache", "compare": "two.txt is missing"}


# ---------------------------------------------------------------------------- the commands of the book


def test_each_file_has_one_command_that_runs_before_what_reads_it():
    writes = [name for one in COMMANDS.values() for name in one.writes]
    keeps = [name for one in COMMANDS.values() for name in one.keeps]
    assert len(set(writes)) == len(writes) and len(set(keeps)) == len(keeps)
    made = set()
    for one in COMMANDS.values():
        for name in one.reads:
            kind, _, folder = name.partition("/")
            if kind == "set":
                assert folder in dataset.SETS, name
            elif kind == "training":
                assert folder in made, f"{one.name} reads {name}, which no command before it keeps"
            else:
                assert name in made, f"{one.name} reads {name}, which no command before it writes"
        made |= {*one.writes, *one.keeps}


def test_every_command_makes_something_and_says_what():
    for name, one in COMMANDS.items():
        assert name == one.name and one.function.__doc__ and (one.writes or one.keeps), name
        assert all(len(what) > 20 for what in one.writes.values())


def test_training_and_test_fields_of_the_atlas_are_apart():
    tested, large = ch7.tested_fields(), applied.fan(**dataset.SETS["large"])
    known = np.concatenate([*(large[dataset.split(1000)[part]] for part in ("train", "validation")), applied.fan(**dataset.SETS["blade"])])
    assert tested.shape == (102, 3) and len(known) == 1100
    assert np.linalg.norm(known[None] - tested[:, None], axis=-1).min() > 1e-6
    # those of chapter 5 are among them, so that the same fields compare all models
    np.testing.assert_array_equal(tested[:22], ch5.known_and_tested()[1])
    np.testing.assert_array_equal(tested[2:22], applied.fan(200)[dataset.split(200)["test"]])


@pytest.mark.slow
def test_the_projected_equation_follows_the_solver_while_the_components_hold_the_film():
    fields = np.array([applied.vector(mb.sp4.FIELD_1), applied.vector(mb.sp4.FIELD_2)])
    guess = ch7.Projected(mb.load_rom("atlas")).averages(fields, 192, nt=5)
    true = [mb.simulate(b, mb.Film(cells=(128, 32)), duration=4e-11, progress=False).mean for b in fields]
    np.testing.assert_allclose(guess, true, atol=3e-3)
    assert np.abs(guess[:, -1] - guess[:, 0]).max() > 0.1, "and the film moves"


@pytest.mark.slow
def test_a_spline_through_runs_that_are_not_stretched_is_the_spline():
    spline, fields = mb.load_rom("atlas").dynamics.slow, applied.fan(4, seed=5)
    first = np.repeat(spline.start[None, None], 4, axis=0)
    plain = spline.rollout(first, common.hold(fields))[:, 1:]
    size = np.linalg.norm(plain)
    assert np.linalg.norm(ch7.stretched(spline, 0.0, fields)() - plain) < 1e-3 * size
    assert 1e-3 * size < np.linalg.norm(ch7.stretched(spline, 0.5, fields)() - plain) < 0.3 * size


def test_the_atlas_is_put_together_on_validation_fields(monkeypatch):
    """Where its two parts meet, and how wide its band is: the film jumps here, which no spline can, and networks are off everywhere."""
    film = mb.Film((32e-9, 16e-9, 3e-9), (16, 8))
    monkeypatch.setattr(ch7, "Film", lambda: film)
    monkeypatch.setattr(ch7, "film_average", lambda rom, c: c.astype(float))
    encoder, decoder = autoencoder.build(3, (8, 16, 3), (4, 8))
    fields, validation = applied.fan(100), applied.fan(130)[100:]
    rng = np.random.default_rng(0)

    def true(b):
        """Smooth in the field, but for a jump at 180 degrees."""
        t = np.linspace(0, 1, 101)
        jump = np.sign(b[:, 1, None])
        return np.stack([t * b[:, 0, None] / 0.03, t * jump, t**2 * b[:, 1, None] / 0.01], axis=-1)

    class Guess(Dynamics):
        """The truth, and an error of its own at each field."""

        every, last, latent = 1e-11, 1e-9, 3
        start = np.zeros(3, np.float32)

        def __init__(self, seed):
            self.off = 0.05 * np.random.default_rng(seed).standard_normal((len(validation), 1, 3)) * np.linspace(0, 1, 101)[:, None]

        def rollout(self, first, b):
            place = [np.linalg.norm(validation[:, :2] - one, axis=1).argmin() for one in b[:, 0]]
            return (true(b[:, 0]) + self.off[place]).astype(np.float32)

    mean = true(validation)[:, 1:] + 1e-3 * rng.standard_normal((30, 100, 3))
    rom = ch7.assemble(encoder, decoder, Ensemble([Guess(k) for k in range(4)]), Guess.start, true(fields)[:, 1:].astype(np.float32), fields,
                       {"field": validation, "mean": mean})
    first, b = np.zeros((30, 1, 3), np.float32), common.hold(validation)
    error = lambda c: metrics.film_average_error(c[:, 1:].astype(float), mean)
    whole, networks, spline = (error(one.rollout(first, b)) for one in (rom.dynamics, rom.dynamics.fast, rom.dynamics.slow))
    for alone in (networks, spline):
        assert whole.mean() < 0.95 * alone.mean()
    # it asks the networks where the jump is, the spline elsewhere
    fast = rom.dynamics.asks_fast(validation)
    assert 0 < fast.sum() < 30 and np.abs(validation[fast, 1]).mean() < np.abs(validation[~fast, 1]).mean()
    members = rom.dynamics.rollouts(first, b)[:, :, 1:]
    inside = np.abs(members.mean(axis=0) - mean) <= rom.dynamics.coverage * members.std(axis=0, ddof=1)
    assert inside.mean() == pytest.approx(0.9, abs=1e-3)
    assert rom.largest == pytest.approx(np.abs(true(fields)).max()) and rom.film is film


# ---------------------------------------------------------------------------- samples of what ships

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
def solved(tested):
    """The sample field, solved here and now."""
    return mb.simulate(tested["field"][SAMPLE], progress=False)


@pytest.fixture(scope="module")
def sp4_runs():
    return [mb.simulate(b, progress=False) for b in (mb.sp4.FIELD_1, mb.sp4.FIELD_2)]


def test_the_shipped_model_says_where_it_comes_from(rom):
    assert {"autoencoder", "predictor", "data", "command", "version"} <= rom.info.keys()
    assert rom.info["data"]["n"] == 200 and rom.info["data"]["seed"] == applied.SEED
    assert rom.fan == {"angle": 180.0, "opening": 44.0, "strength": [22e-3, 41e-3]} and rom.latent == 16


def test_latents_are_the_encoders_answer(rom, latents, tested, solved, sp4_runs):
    np.testing.assert_array_equal(latents["field"], applied.fan(200))
    own = [rom.encode(one.m[1:]) for one in (solved, *sp4_runs)]
    ours = [latents["latents"][tested["run"][SAMPLE]], *latents["sp4"]]
    for a, b in zip(own, ours):
        assert np.linalg.norm(a - b) < 2e-3 * np.linalg.norm(b)  # states are stored in 16 bits


@pytest.mark.slow
def test_a_rebuilt_run_is_of_a_test_field_that_the_solver_chose(rom):
    """Its walls go last; its pictures are its states, and what 16 numbers of the shipped autoencoder make of them."""
    z = arrays("latent_sizes.npz")
    summary = arrays("paper_summary.npz")
    t, twist = summary["t"], summary["twist"][PARTS["test"]]
    gone = [t[one > np.pi].max(initial=0) if (one > 2 * np.pi).any() else 0 for one in twist]
    assert z["run"] == PARTS["test"][np.argmax(gone)]
    m = mb.simulate(z["field"], progress=False).m[2::2]
    for states, picture in ((m, z["m"][0]), (rom.decode(rom.encode(m), unit=True), z["m"][6])):
        small = states.reshape(-1, 16, 4, 64, 4, 3).mean(axis=(2, 4))
        small /= np.linalg.norm(small, axis=-1, keepdims=True)
        assert np.abs(small - picture / 8).max() < 0.5 / 8 + 0.02
    np.testing.assert_allclose(metrics.relative_l2(states, m, (1, 2, 3)), z["l2"][2, 1], atol=2e-3)
    assert (np.diff(z["l2_test"][:, 0]) < 0).all()  # more components, smaller errors


def test_two_predictors_go_on_from_true_states():
    z = arrays("hand_over.npz")
    summary = arrays("paper_summary.npz")["mean"]
    assert set(z["run"]) <= set(PARTS["test"])
    np.testing.assert_allclose(z["mean"], summary[z["run"], :, 0], atol=5e-4)
    known = np.isfinite(z["said"])
    for moment, after in enumerate(z["after"]):
        assert not known[:, moment, :, :after].any() and known[:, moment, :, after:].all()
    error = np.nanmean(np.abs(z["said"].astype(float) - z["mean"].astype(float)), axis=(2, 3))  # (network, moment)
    assert (error[1] < error[0]).all()


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


def test_errors_on_a_test_field(rom, tested, solved):
    m = solved.m[1:]
    linear = pca.load()
    outs = {"autoencoder": rom.decode(rom.encode(m)), "autoencoder_unit": rom.decode(rom.encode(m), unit=True),
            "rom": rom.simulate(solved.field).m[1:], "pca": linear.decode(linear.encode(m))}
    for name, out in outs.items():
        tolerance = 0.02 if name == "rom" else 1e-3  # a rollout makes a small difference grow
        np.testing.assert_allclose(tested[f"mean_{name}"][SAMPLE], out.mean(axis=(1, 2)), atol=tolerance, err_msg=name)
        np.testing.assert_allclose(tested[f"l2_{name}"][SAMPLE], metrics.relative_l2(out, m, (1, 2, 3)), atol=tolerance,
                                   err_msg=name)


def test_the_best_epoch_is_the_one_that_ships(rom, latents):
    """The error that the training noted, from the weights that ship."""
    table = json.loads(shipped("predictor_sweep.json").read_text())
    best = min(row["error"] for row in table["history"])
    i = PARTS["validation"]
    c = latents["latents"][i]
    first = np.concatenate([np.zeros_like(c[:, :1]), c[:, :4]], axis=1)  # a start, which these networks do not look at
    out = rom.rollout(first, common.hold(latents["field"][i]))[:, 5:]
    wrong = np.linalg.norm(out - c[:, 4:], axis=(1, 2)) / np.linalg.norm(c[:, 4:], axis=(1, 2))
    assert wrong.mean() == pytest.approx(best, rel=0.05)  # weights ship in 16 bits


@pytest.fixture(scope="module")
def errors():
    return arrays("errors.npz")


@pytest.fixture(scope="module")
def floors():
    return arrays("floors.npz")


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
    steep = small.max(axis=1) > 1e-4  # one field, where two walls meet: there a thousandth is no small difference
    assert steep.sum() == 1 and (np.abs(ratio[~steep] / 1000 - 1) < 0.25).all()  # small differences grow in proportion


def test_the_price_is_paid_for_answers_that_are_given():
    """Each that is drawn has an error on every field that no training saw and a price; some errors are computed again."""
    price, solvers, fan = json.loads(shipped("driven_price.json").read_text()), json.loads(shipped("driven_solvers.json").read_text()), arrays("atlas_test.npz")
    errors, seconds = price["errors"] | solvers["errors"]["fan"], price["seconds"]
    fields, true = fan["field"][2:], fan["mean"][2:]
    assert {len(e) for e in errors.values()} == {100} and set(errors) <= {name.split(", averages")[0] for name in seconds}
    coarse = mb.Film(cells=(32, 8))
    again = {"solver, 32 x 8": mb.simulate(fields[0], coarse, accuracy=solvers["accuracy"]["solver, 32 x 8"], progress=False).mean[1:],
             "driven": mb.load_rom("driven").averages(fields[0])[1:], "atlas": fan["mean_atlas"][2]}
    for name, mean in again.items():
        assert metrics.film_average_error(mean, true[0]) == pytest.approx(errors[name][0], rel=1e-2), name
    grids = ["truth, 256 x 64", "truth, 128 x 32"] + [f"solver, {nx} x {nx // 4}" for nx in (128, 64, 32, 16)]
    for finer, coarser in zip(grids, grids[1:]):
        assert seconds[finer] > seconds[coarser] > 0
        assert finer not in errors or np.median(errors[finer]) < np.median(errors[coarser])
