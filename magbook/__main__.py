"""The command line: `python -m magbook --help` lists the commands, `--help` after each says more."""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from . import __version__, applied, dataset, llg, metrics
from ._progress import bar
from .files import DATA, atomic, cache, ship
from .film import Film


def generate(args):
    """Make the data set, or complete it: it resumes."""
    if args.set:
        dataset.generate_named(args.set, workers=args.workers)
        return
    chosen = [getattr(args, name) for name in ("fields", "seed", "sampling", "cells", "accuracy", "solver")]
    if not args.out and chosen != [200, applied.SEED, "random", [256, 64], 1.0, "magbook"]:
        raise ValueError("--out: a data set other than the paper's needs a folder of its own")
    path = Path(args.out) if args.out else cache() / "paper"
    film = Film(cells=tuple(args.cells))
    solver = llg.simulate
    if args.solver == "fidimag":
        from .fidimag import simulate as solver
    clock = time.perf_counter()
    dataset.generate(path, applied.fan(args.fields, args.seed, sampling=args.sampling), film, solver=solver,
                     workers=args.workers, seed=args.seed, accuracy=args.accuracy)
    size = sum(file.stat().st_size for file in path.glob("**/*") if file.is_file())
    print(f"{path}: {args.fields} fields, {size / 1e9:.2f} GB, {time.perf_counter() - clock:.0f} s")


def s_state(args):
    """Relax standard problem 4's S-state to a torque of 1e-8 and ship it in data/."""
    m = llg.relax(Film(), torque=1e-8)
    with atomic(DATA / "sp4_s_state.npz") as file:
        np.savez_compressed(file, m=m.astype(np.float32))
    ship("sp4_s_state.npz", what="S-state of standard problem 4's film on 256 x 64 cells, torque below 1e-8",
         command="python -m magbook s-state", seed=None, version=__version__)


def summary(args):
    """What chapter 2 draws of the paper's data set, its averages and twists, computed from its states into data/."""
    data = dataset.load("paper")
    runs = [dataset.trajectory(data, i) for i in bar(range(data.sizes["run"]), unit="field")]
    with atomic(DATA / "paper_summary.npz") as file:
        np.savez_compressed(file, t=data["t"].values, field=data["field"].values,
                            mean=np.array([run.mean for run in runs], np.float32),
                            twist=np.array([metrics.twist(run.m) for run in runs], np.float32))
    ship("paper_summary.npz", what="fields, film averages and twists of the 200 trajectories of the paper's data set",
         command="python -m magbook generate; python -m magbook summary", seed=applied.SEED, version=__version__)


LEARNING = {"train-autoencoder": "Train the paper's autoencoder (an hour on two cores); it resumes.",
            "sweep-autoencoder": "Compare latent sizes and learning rates in short trainings (half an hour); it resumes.",
            "fit-pca": "Fit the principal components that chapter 3 compares with, and ship them.",
            "encode": "Encode the paper's trajectories with the trained autoencoder and ship the latents.",
            "train-predictor": "Train the paper's predictor and ship the whole model; it resumes.",
            "sweep-predictor": "Compare how far the predictor's loss looks ahead; it resumes.",
            "normal-modes": "Find the S-state's normal modes, let the film ring after a pulse, and ship both.",
            "train-best": "Train the better model of chapter 7 and ship it (20 minutes); it resumes.",
            "evaluate-best": "Compare the better model with the solver on 100 test fields.",
            "sweep-best": "Compare the better model by number of fields, and without one part after another; it resumes.",
            "sweep-paper": "Compare the paper's networks by number of fields, in short trainings (an hour); it resumes.",
            "evaluate": "Compare the model that ships with the solver on the 20 test fields.",
            "train-seeds": "Train from three seeds each, for error bars; it resumes.",
            "errors": "Compare every model and baseline with the solver, in every metric.",
            "floors": "Compare the solver with itself: time steps, grids, neighbouring starts and fields.",
            "compare-splits": "Compare autoencoders trained on states split by state and by field; it resumes."}
"""What `reproduce` makes, in the order in which it is made."""


def learning(name):
    def run(args):
        from . import reproduce  # it starts Keras, which takes seconds

        getattr(reproduce, name.replace("-", "_"))()

    run.__doc__ = LEARNING[name]
    return run


def measure(args):
    """Check and time the solver and the networks, and say where the time goes."""
    from . import bench

    bench.main(args.fidimag_duration)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m magbook", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(function, name):
        sub = commands.add_parser(name, help=function.__doc__, description=function.__doc__,
                                  formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        sub.set_defaults(run=function)
        return sub

    sub = command(generate, "generate")
    sub.add_argument("--set", choices=tuple(dataset.SETS), help="a named data set, into the cache; other options than "
                     "--workers are not looked at")
    sub.add_argument("--fields", type=int, default=200, help="how many")
    sub.add_argument("--seed", type=int, default=applied.SEED)
    sub.add_argument("--sampling", choices=("random", "sobol"), default="random")
    sub.add_argument("--cells", type=int, nargs=2, default=[256, 64], metavar=("NX", "NY"))
    sub.add_argument("--accuracy", type=float, default=1.0)
    sub.add_argument("--solver", choices=("magbook", "fidimag"), default="magbook")
    sub.add_argument("--workers", type=int, help="processes; one a core if not given")
    sub.add_argument("--out", help="folder; needed for any other than the paper's data set, which goes into the cache")

    sub = command(measure, "bench")
    sub.add_argument("--fidimag-duration", type=float, default=1e-9, help="s that fidimag runs for, if installed")

    command(s_state, "s-state")
    command(summary, "summary")
    for name in LEARNING:
        command(learning(name), name)

    args = parser.parse_args(argv)
    try:
        args.run(args)
    except (ValueError, TypeError, OSError, MemoryError, ImportError, RuntimeError) as error:
        sys.exit(f"magbook: {error}")


if __name__ == "__main__":
    main()
