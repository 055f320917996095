"""A driven model as a functional mock-up unit: what it says of itself, and that FMPy gets from it what Python gets from the model."""

import os
import shutil
import warnings
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest

from magbook import applied, driven, llg, rom
from magbook.film import Film

FILM = Film((128e-9, 32e-9, 3e-9), (32, 8))
SIGNAL = applied.joined([applied.rotating(40e-3, 2e9), applied.step((-60e-3, 11e-3))], [1e-10, 1e-10])
N = 120
needs_compiler = pytest.mark.skipif(not (os.environ.get("CC") or any(map(shutil.which, ("cc", "gcc", "clang")))), reason="needs a C compiler")


def untrained(mirror, widths=(24, 16)):
    """A model of the film that moves a lot, and stays bounded: a network of random weights, and components of a run."""
    run = llg.simulate(SIGNAL, FILM, duration=2e-10, progress=False)
    whole, parities = driven.components(run.m, 6)
    encoder, decoder = driven.networks(whole)
    network = driven.network(np.linspace(1, 0.3, 6), widths, seed=3)
    for layer in network.layers[1:-1]:
        layer.set_weights([w + 0.1 * np.random.default_rng(1).standard_normal(w.shape) for w in layer.get_weights()])
    last = network.layers[-2]
    last.set_weights([0.3 * w for w in last.get_weights()])
    return rom.ReducedOrderModel(encoder, decoder, driven.Driven(network, parities if mirror else None, whole.mean(axis=(1, 2))), film=FILM)


@pytest.fixture(scope="module", params=[True, False], ids=["mirrored", "as it is"])
def model(request):
    return untrained(request.param)


@pytest.fixture(scope="module")
def unit(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("unit") / "my film 2.fmu"
    model.to_fmu(path)
    return path


def parts(path):
    with zipfile.ZipFile(path) as unit:
        return {name: unit.read(name) for name in unit.namelist()}


@pytest.fixture
def drive(unit, tmp_path):
    """A function that steps the unit: communication step in s, fields (n, 2) in T -> film averages (n + 1, 3)."""
    fmpy = pytest.importorskip("fmpy")
    from fmpy.fmi2 import FMU2Slave

    about, folder = fmpy.read_model_description(unit), fmpy.extract(unit, tmp_path)

    def run(step, fields, meddle=None):
        one = FMU2Slave(guid=about.guid, unzipDirectory=folder, modelIdentifier=about.coSimulation.modelIdentifier, instanceName="one")
        one.instantiate()
        one.setupExperiment(startTime=0.0)
        one.enterInitializationMode()
        one.exitInitializationMode()
        found = [one.getReal([2, 3, 4])]
        for k, b in enumerate(fields):
            if meddle:
                meddle(one, k)
            one.setReal([0, 1], list(b))
            one.doStep(k * step, step)
            found.append(one.getReal([2, 3, 4]))
        one.terminate()
        one.freeInstance()
        return np.array(found)

    return run


# ---------------------------------------------------------------------------- what it is


@needs_compiler
def test_it_says_what_goes_in_and_comes_out(unit):
    there = parts(unit)
    about = ElementTree.fromstring(there["modelDescription.xml"])
    assert about.get("fmiVersion") == "2.0" and about.find("CoSimulation").get("modelIdentifier") == "my_film_2"
    variables = [(one.get("name"), one.get("causality"), one.find("Real").get("unit")) for one in about.find("ModelVariables")]
    assert variables == [("hx", "input", "T"), ("hy", "input", "T"), *((name, "output", "1") for name in ("mx", "my", "mz"))]
    assert float(about.find("DefaultExperiment").get("stepSize")) == 1e-11
    assert {"sources/fmu.c", "sources/model.h"} < there.keys() and len(there) == 4  # and what is compiled for this machine
    (guid,) = [line.split('"')[1] for line in there["sources/model.h"].decode().splitlines() if "GUID" in line]
    assert guid == about.get("guid")


@needs_compiler
def test_another_model_has_another_name(unit, model, tmp_path):
    model.to_fmu(tmp_path / "again.fmu")
    model.to_fmu(tmp_path / "elsewhere.fmu", start=(0, 1, 0.1))
    one, again, elsewhere = (ElementTree.fromstring(parts(path)["modelDescription.xml"]).get("guid")
                             for path in (unit, tmp_path / "again.fmu", tmp_path / "elsewhere.fmu"))
    assert one == again != elsewhere


def test_without_a_compiler_it_holds_its_source_and_says_so(model, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.warns(UserWarning, match="no C compiler"):
        model.to_fmu(tmp_path / "a.fmu")
    assert sorted(parts(tmp_path / "a.fmu")) == ["modelDescription.xml", "sources/fmu.c", "sources/model.h"]


def test_a_processor_that_fmi_does_not_know_gets_the_source(model, tmp_path, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    with pytest.warns(UserWarning, match="no place for programs of arm64"):
        model.to_fmu(tmp_path / "a.fmu")
    assert not [name for name in parts(tmp_path / "a.fmu") if name.startswith("binaries")]


def test_a_compiler_that_fails(model, tmp_path, monkeypatch):
    (tmp_path / "cc").write_text("#!/bin/sh\necho no licence >&2\nexit 1\n")
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("CC", str(tmp_path / "cc"))
    with pytest.raises(RuntimeError, match="failed on a unit: no licence"):
        model.to_fmu(tmp_path / "a.fmu")
    assert not (tmp_path / "a.fmu").exists()


def test_what_makes_no_unit(model, tmp_path):
    with pytest.raises(ValueError, match="^path: .* ends with .fmu"):
        model.to_fmu(tmp_path / "film.onnx")
    with pytest.raises(ValueError, match="^start: got shape"):
        model.to_fmu(tmp_path / "film.fmu", start=np.ones((3, 3, 3)))
    held = rom.ReducedOrderModel(model.encoder, model.decoder, model.dynamics, film=FILM, held=0.05)
    vortex = np.random.default_rng(0).standard_normal((8, 32, 3))
    with pytest.raises(ValueError, match="^start: .* numbers hold it"):
        held.to_fmu(tmp_path / "film.fmu", start=vortex / np.linalg.norm(vortex, axis=-1, keepdims=True))
    projected = rom.ReducedOrderModel(model.encoder, model.decoder, driven.Projected(model.decoder.layers[0].get_weights()[0].reshape(6, 8, 32, 3), FILM), film=FILM)
    with pytest.raises(ValueError, match="^dynamics: Projected cannot be written"):
        projected.to_fmu(tmp_path / "film.fmu")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------- what it does


@needs_compiler
def test_fmpy_gets_what_python_gets(model, drive):
    """Step by step, in a field that turns and jumps; the tolerance is ten times smaller than asked for."""
    t = np.arange(N + 1) * 1e-11
    want = model.averages(SIGNAL, duration=t[-1])
    assert np.ptp(want[:, 0]) > 0.3  # something moves
    np.testing.assert_allclose(drive(1e-11, applied.means(SIGNAL, t)[:, :2])[1:], want[1:], atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("parts", [2, 3, 7])
def test_a_field_that_moves_within_a_step_counts_with_its_mean(model, drive, parts):
    t = np.arange(N * parts + 1) * 1e-11 / parts
    fields = np.random.default_rng(2).uniform(-40e-3, 40e-3, (N * parts, 2))
    seen = np.concatenate([np.zeros((1, 2)), fields.reshape(N, parts, 2).mean(axis=1)])
    want = model.dynamics.averages(model.rollout(model.encode(llg.s_state(FILM))[None], seen))
    np.testing.assert_allclose(drive(t[1], fields)[::parts], want, atol=1e-4)


@needs_compiler
@pytest.mark.parametrize("step", [5e-11, 2.5e-11, 3e-12])
def test_communication_steps_of_any_length(model, drive, step):
    """In a constant field they make no difference, but between two states, where the output goes in a straight line."""
    b = (-20e-3, 5e-3)
    n = round(6e-10 / step)
    fine, found = model.averages(b, duration=6e-10), drive(step, [b] * n)
    t = np.arange(n + 1) * step
    want = np.stack([np.interp(t, np.arange(61) * 1e-11, fine[:, k]) for k in range(3)], axis=1)
    np.testing.assert_allclose(found[1:], want[1:], atol=1e-4)


@needs_compiler
def test_a_state_is_kept_and_put_back(drive):
    fields = np.random.default_rng(3).uniform(-40e-3, 40e-3, (30, 2))
    straight, kept = drive(7e-12, fields), []

    def meddle(one, k):
        if k == 13:
            kept.append(one.getFMUState())
        if k == 20:
            bytes_ = one.serializeFMUState(kept[0])
            one.setFMUState(one.deserializeFMUState(bytes_))

    again = drive(7e-12, np.concatenate([fields[:20], fields[13:]]), meddle)
    np.testing.assert_array_equal(again[21:], straight[14:])


@needs_compiler
def test_fmpy_finds_nothing_wrong_and_simulates(unit, model):
    fmpy = pytest.importorskip("fmpy")
    from fmpy.validation import validate_fmu

    assert validate_fmu(str(unit)) == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of FMPy's own
        result = fmpy.simulate_fmu(str(unit), start_values={"hx": -0.02, "hy": 0.01}, stop_time=3e-10, output_interval=1e-11)
    want = model.averages((-0.02, 0.01), duration=3e-10)
    np.testing.assert_allclose([result[name][-1] for name in ("mx", "my", "mz")], want[-1], atol=1e-5)


@needs_compiler
@pytest.mark.slow
def test_the_model_that_ships(tmp_path):
    ships = rom.load_rom("driven")
    ships.to_fmu(tmp_path / "driven.fmu")
    assert (tmp_path / "driven.fmu").stat().st_size < 2e6
    fmpy = pytest.importorskip("fmpy")
    result = fmpy.simulate_fmu(str(tmp_path / "driven.fmu"), start_values={"hx": -24.6e-3, "hy": 4.3e-3}, stop_time=1e-9, output_interval=1e-11)
    want = ships.averages((-24.6e-3, 4.3e-3), duration=1e-9)
    found = np.stack([result[name] for name in ("mx", "my", "mz")], axis=1)
    np.testing.assert_allclose(found[1:], want[1:], atol=1e-4)
    assert found[-1, 0] < -0.5  # it switched
