"""The command line: `python -m magbook --help` lists the commands, `--help` after each says more."""

import argparse
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import applied, dataset, llg
from .files import cache
from .film import PERMALLOY, Film


def generate(args: argparse.Namespace) -> None:
    """Make a data set, or complete it: it resumes."""
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


def bench(args: argparse.Namespace) -> None:
    """Check and time the solver and the networks, and say where the time goes."""
    from .bench import main as measure

    measure(args.fidimag_duration)


def learn(args: argparse.Namespace) -> None:
    """Make a driven model of a film, and a page that says how good it is; it resumes (an hour on two cores, minutes with --quick)."""
    a, b = (length / 2 for length in args.size[:2])
    ellipse: Any = lambda x, y: (x / a)**2 + (y / b)**2 <= 1
    film = Film(tuple(args.size), tuple(args.cells), args.Ms, args.A, args.alpha, mask=ellipse if args.ellipse else None)
    from .own import learn as make  # starts Keras

    make(film, args.out, args.fields, quick=args.quick, seed=args.seed, workers=args.workers)
    print(f"{Path(args.out) / 'model.npz'} is the model; {Path(args.out) / 'report.html'} says how good it is.")


def course(args: argparse.Namespace) -> None:
    """Write a course folder: assignments for nbgrader with hidden checks, its configuration and a README."""
    from .course import rehearse, write

    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    for path in write(args.folder, seed, args.only, args.book):
        print(path)
    if args.rehearse:
        made = rehearse(args.folder)
        if not made:
            print("The made-up class has submissions for assignments 1, 2 and 9 alone.")
        for name, students in made.items():
            print(f"{name}: submissions of {len(students)} made-up students, which should get, before you grade the open question,")
            for student, points in students.items():
                print(f"  {student:12}{sum(points.values()):3g}  ({', '.join(f'{value:g}' for value in points.values())})")
    print(f"Seed {seed}. {Path(args.folder) / 'README.md'} says how to go on.")


def reproduce(args: argparse.Namespace) -> None:
    """Run, in order, the commands whose files are missing, damaged, or were made from other files."""
    from .made import COMMANDS, plan

    todo = plan()
    for name, why in todo.items():
        print(f"{name}: {why}", flush=True)
        if args.dry_run:
            continue
        if name in COMMANDS:
            COMMANDS[name]()
        else:
            dataset.generate_named(name.removeprefix("set/"))
    if not todo:
        print("Everything in data/ is up to date.")


def main(argv: list[str] | None = None) -> None:
    """Run one command. argv: its name and options, by default those of the command line."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m magbook", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(function: Callable, name: str, about: str | None) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        sub.set_defaults(run=function)
        return sub

    sub = add(generate, "generate", generate.__doc__)
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
    sub = add(bench, "bench", bench.__doc__)
    sub.add_argument("--fidimag-duration", type=float, default=1e-9, help="s that fidimag runs for, if installed")
    sub = add(learn, "learn", learn.__doc__)
    sub.add_argument("--size", type=float, nargs=3, required=True, metavar=("LX", "LY", "T"), help="length, width and thickness in m")
    sub.add_argument("--cells", type=int, nargs=2, required=True, metavar=("NX", "NY"), help="even numbers")
    for name, what in (("Ms", "saturation magnetization in A/m"), ("A", "exchange constant in J/m"), ("alpha", "Gilbert damping")):
        sub.add_argument(f"--{name}", type=float, default=PERMALLOY[name], help=what)
    sub.add_argument("--fields", type=float, default=40e-3, help="largest mu0*H in T that the model shall know")
    sub.add_argument("--out", required=True, help="folder for all that is made")
    sub.add_argument("--ellipse", action="store_true", help="the ellipse in this rectangle")
    sub.add_argument("--quick", action="store_true", help="fewer runs and a shorter training")
    sub.add_argument("--seed", type=int, default=0, help="of the runs' fields and of the training")
    sub.add_argument("--workers", type=int, help="processes that run the solver; one a core if not given")
    sub = add(course, "course", course.__doc__)
    sub.add_argument("folder", help="a new folder")
    sub.add_argument("--seed", type=int, help="of the hidden checks, which students must not know; drawn if not given")
    sub.add_argument("--only", type=int, nargs="+", metavar="N", help="numbers of assignments; all if not given")
    sub.add_argument("--rehearse", action="store_true", help="with submissions of a made-up class, to try everything before term")
    sub.add_argument("--book", default="", help="where the book is published, for links to its chapters")
    sub = add(reproduce, "reproduce", reproduce.__doc__)
    sub.add_argument("--dry-run", action="store_true", help="only say what would run, and why")
    if argv[:1] not in (["generate"], ["bench"], ["learn"], ["course"]):  # the others start Keras, which takes seconds
        from .made import COMMANDS

        for name, made in COMMANDS.items():
            add(lambda args, made=made: made(), name, made.function.__doc__)

    args = parser.parse_args(argv)
    try:
        args.run(args)
    except (ValueError, TypeError, OSError, MemoryError, ImportError, RuntimeError) as error:
        sys.exit(f"magbook: {error}")


if __name__ == "__main__":
    main()
