"""The command line: what it lists, what it makes, and one line for what it can't."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import magbook
from magbook import applied, dataset, reproduce
from magbook.__main__ import LEARNING, main

ROOT = Path(magbook.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGBOOK_CACHE", str(tmp_path / "cache"))


def command(*arguments):
    """`python -m magbook` as a user calls it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "magbook", *map(str, arguments)], env=environment, text=True,
                          capture_output=True, timeout=120)


COMMANDS = ("generate", "bench", "s-state", "summary", "train-autoencoder", "sweep-autoencoder", "fit-pca", "encode",
            "train-predictor", "sweep-predictor", "normal-modes", "train-best", "evaluate-best", "sweep-best",
            "sweep-paper", "evaluate", "train-seeds", "errors", "floors", "compare-splits")


def test_help_lists_the_commands(root):
    done = command("--help")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    for name in COMMANDS:
        assert f" {name} " in said
    made = {entry["command"] for entry in json.loads((root / "data" / "manifest.json").read_text()).values()}
    for text in made:  # the manifest names no command that is not there
        for name in re.findall(r"python -m magbook ([a-z-]+)", text):
            assert name in COMMANDS, text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    said = capsys.readouterr().out
    assert stopped.value.code == 0 and name in said and len(said.split()) > 10


def test_what_learns_is_there():
    for name in LEARNING:
        assert callable(getattr(reproduce, name.replace("-", "_")))


def test_no_command_is_an_error(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2 and "command" in capsys.readouterr().err


def test_generate_makes_and_resumes(tmp_path):
    arguments = ("generate", "--fields", 3, "--cells", 32, 8, "--workers", 1, "--out", tmp_path / "set")
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'set'}: 3 fields, 0.00 GB")
    data = dataset.load(tmp_path / "set")
    assert data["m"].shape == (3, 100, 8, 32, 3)
    np.testing.assert_array_equal(data["field"], applied.fan(3))
    states = data["m"].values
    assert states[0, -1].mean((0, 1))[0] < 0.5  # something moved
    files = sorted(tmp_path.glob("set/m/c/*/0/0/0/0"))
    stamps = [p.stat().st_mtime_ns for p in files]
    files[1].unlink()
    assert command(*arguments).returncode == 0
    after = [p.stat().st_mtime_ns for p in files]
    assert after[0] == stamps[0] and after[2] == stamps[2] and after[1] > stamps[1]
    assert np.array_equal(dataset.load(tmp_path / "set")["m"].values, states)
    other = command(*arguments, "--accuracy", 2)
    assert other.returncode == 1 and "differs in settings" in other.stderr and other.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments, says", [
    (["--fields", 0], "n: got 0"), (["--fields", 2, "--cells", 0, 8], "cells: got"),
    (["--fields", 2, "--accuracy", -1], "accuracy: got"), (["--fields", 2, "--accuracy", "nan"], "accuracy: got"),
    (["--fields", 2, "--cells", 2000000, 1000000], "GB are available"), (["--fields", 2, "--seed", -1], "non-negative"),
])
def test_an_error_is_one_line(tmp_path, arguments, says):
    with pytest.raises(SystemExit) as stopped:
        main(["generate", "--out", str(tmp_path / "set"), *map(str, arguments)])
    assert stopped.value.code.startswith("magbook: ") and says in stopped.value.code
    assert "\n" not in stopped.value.code and not (tmp_path / "set").exists()


def test_a_failing_solver_is_one_line(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("a process that computed trajectories was killed")

    monkeypatch.setattr(dataset, "generate", fail)
    with pytest.raises(SystemExit, match="^magbook: a process .* was killed"):
        main(["generate", "--fields", "2", "--out", str(tmp_path / "set")])


def test_a_folder_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    done = command("generate", "--fields", 1, "--cells", 16, 4, "--out", tmp_path / "file" / "set")
    assert done.returncode == 1 and done.stderr.startswith("magbook: ") and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--fields", "many"], ["--sampling", "halton"], ["--nonsense"], ["--cells", "3"]])
def test_what_is_not_an_argument(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["generate", *arguments])
    assert stopped.value.code == 2 and "usage: python -m magbook" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_set_by_its_name(name, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(dataset, "generate", lambda *args, **options: asked.append((*args, options)))
    main(["generate", "--set", name, "--workers", "1"])
    (path, fields, options), = asked
    assert path == tmp_path / "cache" / name and options == {"seed": applied.SEED, "workers": 1}
    np.testing.assert_array_equal(fields, applied.fan({"small": 20, "large": 1000}[name]))


def test_a_set_without_a_name(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["generate", "--set", "huge"])
    assert stopped.value.code == 2 and "huge" in capsys.readouterr().err


def test_another_set_does_not_go_into_the_papers_folder():
    with pytest.raises(SystemExit, match="--out"):
        main(["generate", "--fields", "3"])
