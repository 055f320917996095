"""How fast solver and networks are, and where the time goes: `python -m magbook bench`. Chapters 1 and 4 use it."""

import os
import platform
import time

import numpy as np
import scipy.fft

from . import applied, llg, sp4
from . import fidimag as fidimag_
from .applied import Field
from .demag import Demag
from .film import Film
from .rom import ReducedOrderModel, load_rom


def _cpu_seconds(function):
    """CPU seconds of this process (all its threads) in one call, and what the call returned."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def fft_seconds(film: Film = Film(), dtype: type = np.float32, repeats: int = 50) -> float:
    """Seconds that the bare FFTs of one evaluation of the demagnetizing field take: the median of several."""
    demag, m = Demag(film, dtype=dtype), np.zeros((3, film.ny, film.nx), dtype)
    rows, columns = demag.shape

    def once():
        full = scipy.fft.fft(scipy.fft.rfft(m, columns, axis=2), rows, axis=1)
        scipy.fft.irfft(scipy.fft.ifft(full, axis=1, overwrite_x=True)[:, :film.ny], columns, axis=2)

    return float(np.median([_cpu_seconds(once)[0] for _ in range(repeats)]))


def solver(duration: float = 1e-9, accuracy: float = 1.0, repeats: int = 3) -> dict[str, float]:
    """Time `llg.simulate` on standard problem 4, field 1: a dictionary of CPU seconds, of the fastest of several runs.

    duration: s. Keys: total, fft (bare transforms, timed apart), demag (with them), stencil, rest, evaluations,
    error (largest difference of a mean from fidimag's curve).
    """
    llg.simulate(sp4.FIELD_1, duration=2e-11, progress=False)  # compiles
    options = dict(duration=duration, accuracy=accuracy, progress=False)
    total, run = min((_cpu_seconds(lambda: llg.simulate(sp4.FIELD_1, **options)) for _ in range(repeats)),
                     key=lambda pair: pair[0])
    spent, n = run.info["seconds"], run.info["field evaluations"]
    reference = sp4.reference("fidimag", 1)[:len(run)]
    error = max(np.abs(run.mean[:, k] - reference[name]).max() for k, name in enumerate(("mx", "my", "mz")))
    return {"total": total, "fft": n * fft_seconds(run.film), "demag": spent["demag"], "stencil": spent["stencil"],
            "rest": max(0.0, total - spent["demag"] - spent["stencil"]), "evaluations": n, "error": error}


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
        for name, what in (("fft", "bare FFTs"), ("demag", "demagnetizing field, with its FFTs"),
                           ("stencil", "exchange, damping and precession"), ("rest", "the rest")):
            print(f"  {ours[name]:6.2f} s  {ours[name] / ours['total']:4.0%}  {what}")
        print(f"  {ours['total'] / ours['fft']:6.1f} times the bare cost of its FFTs\n")
        if accuracy == 1.0:
            default = ours
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
