"""How fast solver and networks are, and where the time goes: `python -m magbook bench`. Chapters 1 and 4 use it."""

import os
import platform
import time
from typing import Any

import numpy as np

from . import applied, llg, sp4
from . import fidimag as fidimag_
from ._arguments import check_counts, instance
from .applied import Field
from .demag import Demag, convolve
from .film import Film
from .multirate import one_thread
from .rom import ReducedOrderModel, load_rom


def _cpu_seconds(function):
    """CPU seconds of this process (all its threads) in one call, and what the call returned."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def _fastest(function, repeats):
    """The fastest of several runs, which what else the machine does only slows: (CPU seconds, what the call returned)."""
    return min((_cpu_seconds(function) for _ in range(repeats)), key=lambda pair: pair[0])


def solver(film: Film = Film(), duration: float = 1e-9, accuracy: float = 1.0, repeats: int = 3) -> dict[str, float]:
    """Time `llg.simulate` on standard problem 4, field 1: a dictionary of CPU seconds, of the fastest of several runs.

    film: its grid may be another; then it starts from a uniform state. duration: s. Keys: total, demag (the demagnetizing field, timed apart), rest (exchange,
    damping and precession, above all), evaluations of the demagnetizing field, and on the problem's own grid error (largest difference of a
    mean from fidimag's curve).
    """
    instance("film", film, Film)
    check_counts(repeats=repeats)
    start = None if film == Film() else (1.0, 0.25, 0.1)
    options: dict[str, Any] = dict(film=film, start=start, accuracy=accuracy, progress=False)
    llg.simulate(sp4.FIELD_1, duration=1e-11, **options)  # compiles
    total, run = _fastest(lambda: llg.simulate(sp4.FIELD_1, duration=duration, **options), repeats)
    m, out = np.zeros((3, film.ny + 2, film.nx + 2), np.float32), np.zeros((3, film.ny, film.nx), np.float32)
    prepared = Demag(film, dtype=np.float32).prepared()
    with one_thread():
        once = _fastest(lambda: [convolve(out, m, prepared) for _ in range(20)], 5)[0] / 20
    n = run.info["field evaluations"]
    timing = {"total": total, "demag": n * once, "rest": total - n * once, "evaluations": n}
    if film == Film():
        reference = sp4.reference("fidimag", 1)[:len(run)]
        timing["error"] = max(np.abs(run.mean[:, k] - reference[name]).max() for k, name in enumerate(("mx", "my", "mz")))
    return timing


def fidimag(duration: float) -> dict[str, float] | None:
    """CPU seconds of fidimag's dopri5 at 1e-8 on the same problem, and its field evaluations; None without it."""
    try:
        cpu, run = _cpu_seconds(lambda: fidimag_.simulate(sp4.FIELD_1, duration=duration, progress=False))
    except ImportError:
        return None
    return {"total": cpu, "evaluations": run.info["field evaluations"]}


def networks(rom: ReducedOrderModel, field: Field = sp4.FIELD_1, fields: int = 1000, decoded: int = 5) -> dict[tuple[str, int], float]:
    """Time a reduced order model: {(what, number of fields): CPU seconds a trajectory of 1 ns}.

    what: "rollout" of latent states alone, "averages" of the film, and "states", every state decoded and kept. The states that
    the dynamics needs from the solver are given. field: mu0*H in T. Decoding costs the same for each field: of many, `decoded` are timed.
    """
    instance("rom", rom, ReducedOrderModel)
    check_counts(fields=fields, decoded=decoded)
    first = rom.encode(rom.first_states(field))
    b = applied.sample(field, np.arange(101) * rom.every)

    def rollout(n):
        return rom.rollout(np.repeat(first[None], n, axis=0), np.repeat(b[None], n, axis=0))

    def states(n):
        return rom.decode(rollout(n).reshape(-1, rom.latent))

    def averages(n):
        for _ in range(n):
            states(1).mean(axis=(1, 2))

    def seconds(function, n, repeats=5):
        function(n)  # the first call of a network builds its graph
        return min(_cpu_seconds(lambda: function(n))[0] for _ in range(repeats)) / n

    return {("rollout", 1): seconds(rollout, 1, 50), ("averages", 1): seconds(averages, 1), ("states", 1): seconds(states, 1),
            ("rollout", fields): seconds(rollout, fields), ("averages", fields): seconds(averages, decoded, 1),
            ("states", fields): seconds(states, decoded, 1)}


def main(fidimag_duration: float = 1e-9) -> None:
    """Print the table. fidimag_duration: s that fidimag runs for; less than 1 ns is scaled up, and said."""
    print(f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores of which one is used")
    print("standard problem 4, field 1, 256 x 64 cells, 1 ns; CPU seconds\n")
    for accuracy in (1.0, 2.0):
        ours = solver(accuracy=accuracy)
        print(f"magbook, accuracy {accuracy:g}: {ours['total']:.2f} s, {ours['evaluations']} evaluations of the "
              f"demagnetizing field,\n  largest difference from fidimag's mean m {ours['error']:.1e}")
        for name, what in (("demag", "demagnetizing field"), ("rest", "exchange, damping and precession")):
            print(f"  {ours[name]:6.2f} s  {ours[name] / ours['total']:4.0%}  {what}")
        if accuracy == 1.0:
            default = ours
    print("\nhow it grows with the grid, accuracy 1")
    for nx in (32, 64, 128, 256, 512):
        times = 10 if nx > 256 else 1
        ours = solver(Film(cells=(nx, nx // 4)), duration=1e-9 / times, repeats=2)
        print(f"  {nx:4} x {nx // 4:3} cells  {ours['total'] * times:7.3f} s, of which demagnetizing field {ours['demag'] * times:.3f} s"
              + (" (scaled from 0.1 ns)" if times > 1 else ""))
    print()
    other = fidimag(fidimag_duration)
    _print_networks(default["total"], 1000)
    if other is None:
        print("fidimag is not installed: not timed")
        return
    scale = 1e-9 / fidimag_duration
    said = "" if scale == 1 else f" (scaled from {fidimag_duration * 1e9:g} ns)"
    print(f"fidimag, dopri5 at 1e-8: {other['total'] * scale:.1f} s{said}, {other['evaluations'] * scale:.0f} evaluations\n"
          f"  {other['total'] * scale / default['total']:.0f} times as long as magbook at its default accuracy")


def _print_networks(llg_seconds, fields):
    print("reduced order model of the paper, CPU seconds a trajectory of 1 ns, the states from the solver given")
    for (what, n), seconds in networks(load_rom("paper"), fields=fields).items():
        print(f"  {seconds:10.6f} s  {llg_seconds / seconds:8.0f} times faster than LLG  {what}, {n} fields at once")
    print()
