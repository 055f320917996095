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
from magbook import __main__ as program
from magbook import applied, bench, dataset, made
from magbook.__main__ import main
from magbook.made import COMMANDS

ROOT = Path(magbook.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGBOOK_CACHE", str(tmp_path / "cache"))


def command(*arguments):
    """`python -m magbook` as a user calls it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "magbook", *map(str, arguments)], env=environment, text=True,
                          capture_output=True, timeout=120)


FUNCTIONS = {name: getattr(program, name) for name in ("generate", "bench", "learn", "reproduce")} | {
    name: one.function for name, one in COMMANDS.items()}
"""All commands, and the functions behind them."""


def said_by(capsys, *arguments):
    """What a command prints that then ends without an error."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert stopped.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_help_lists_the_commands(root):
    done = command("--help")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    places = [said.index(f" {name} {function.__doc__.split()[0]} ") for name, function in FUNCTIONS.items()]
    assert places == sorted(places)  # in the order of the book
    there, written = json.loads((root / "data" / "manifest.json").read_text()), {file for one in COMMANDS.values() for file in one.writes}
    for file in there.keys() & written:  # the manifest names no command that is not there
        for name in re.findall(r"python -m magbook ([a-z-]+)", there[file]["command"]):
            assert name in FUNCTIONS, file


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_command_s_help_is_its_docstring_said_once(name, capsys):
    said, doc = said_by(capsys, name, "--help"), FUNCTIONS[name].__doc__
    assert said.startswith(f"usage: python -m magbook {name} ") and said.count(doc) == 1
    assert said_by(capsys, "--help").count(doc) == 1


@pytest.mark.slow
def test_the_commands_that_are_always_there_need_no_keras():
    """To make a data set, or to ask for help with it, does not wait for Keras."""
    script = "import sys; from magbook.__main__ import main\ntry: main([{!r}, '--help'])\nexcept SystemExit: sys.exit('keras' in sys.modules)"
    for name in ("generate", "bench", "learn"):
        done = subprocess.run([sys.executable, "-c", script.format(name)], env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=120,
                              capture_output=True)
        assert done.returncode == 0, name


def test_a_command_is_run_by_its_name(monkeypatch):
    ran = []
    monkeypatch.setattr(made.Command, "__call__", lambda self: ran.append(self.name))
    for name in COMMANDS:
        main([name])
    assert ran == list(COMMANDS)


def test_bench_is_told_how_long_fidimag_runs(monkeypatch):
    asked = []
    monkeypatch.setattr(bench, "main", asked.append)
    main(["bench"])
    main(["bench", "--fidimag-duration", "2e-10"])
    assert asked == [1e-9, 2e-10]


# ---------------------------------------------------------------------------- reproduce


@pytest.fixture
def planned(monkeypatch):
    """What `reproduce` ran; the plan is the test's to set."""
    ran = []
    one = lambda name: made.Command(lambda: ran.append(name), (), {}, (), None)
    monkeypatch.setattr(made, "COMMANDS", {name: one(name) for name in ("first", "second", "third")})
    monkeypatch.setattr(dataset, "generate_named", lambda name: ran.append(f"the set {name}"))
    monkeypatch.setattr(made, "plan", lambda: {"set/large": "it is not in the cache", "first": "a is missing", "third": "b is made anew"})
    return ran


def test_reproduce_runs_the_plan_in_order(planned, capsys):
    main(["reproduce"])
    assert planned == ["the set large", "first", "third"]
    assert capsys.readouterr().out.splitlines() == ["set/large: it is not in the cache", "first: a is missing", "third: b is made anew"]


def test_reproduce_can_only_say_what_would_run(planned, capsys):
    main(["reproduce", "--dry-run"])
    assert planned == [] and len(capsys.readouterr().out.splitlines()) == 3


def test_reproduce_says_when_there_is_nothing_to_do(planned, capsys, monkeypatch):
    monkeypatch.setattr(made, "plan", dict)
    for arguments in (["reproduce"], ["reproduce", "--dry-run"]):
        main(arguments)
        assert capsys.readouterr().out == "Everything in data/ is up to date.\n"
    assert planned == []


def test_reproduce_stops_at_the_first_failure(planned, monkeypatch):
    def fail():
        raise RuntimeError("a training diverged")

    made.COMMANDS["first"] = made.Command(fail, (), {}, (), None)
    with pytest.raises(SystemExit, match="^magbook: a training diverged"):
        main(["reproduce"])
    assert planned == ["the set large"]


@pytest.mark.slow
def test_a_plan_of_what_ships_is_made_without_a_cache():
    """From the data folder as it is: names that there are, sets first, each with a reason."""
    done = command("reproduce", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = [line.split(": ", 1) for line in done.stdout.splitlines()]
    if lines != [["Everything in data/ is up to date."]]:
        names = [name for name, why in lines if why]
        sets = [name.removeprefix("set/") for name in names if name.startswith("set/")]
        assert len(names) == len(lines) and set(sets) <= set(dataset.SETS) and names[:len(sets)] == [f"set/{name}" for name in sets]
        assert [name for name in COMMANDS if name in names] == names[len(sets):]


# ---------------------------------------------------------------------------- generate


def test_no_command_is_an_error(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2 and "command" in capsys.readouterr().err


@pytest.mark.slow
def said(done):
    """The lines of its stderr, but for the bar of a descent that takes long on a busy machine."""
    return [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("relax: ")]


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
    assert other.returncode == 1
    line, = said(other)
    assert "differs in settings" in line


@pytest.mark.parametrize("arguments, says", [
    (["--fields", 0], "n: got 0"), (["--fields", 2, "--cells", 0, 8], "cells: got"),
    (["--fields", 2, "--accuracy", -1], "accuracy: got"), (["--fields", 2, "--accuracy", "nan"], "accuracy: got"),
    (["--fields", 2, "--cells", 2000000, 1000000], "GB are available"), (["--fields", 2, "--seed", -1], "seed: got -1"),
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


@pytest.mark.slow
def test_a_folder_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    done = command("generate", "--fields", 1, "--cells", 16, 4, "--out", tmp_path / "file" / "set")
    assert done.returncode == 1
    line, = said(done)
    assert line.startswith("magbook: ")


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
