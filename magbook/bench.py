"""How fast solver and networks are, and where the time goes: `python -m magbook bench`. Chapters 1 and 4 use it."""

import importlib.util
import os
import platform
import time
from typing import Any

import numpy as np
from scipy import fft

from . import applied, llg, sp4
from . import fidimag as fidimag_
from ._arguments import check_counts, instance
from .applied import Field
from .demag import Demag, convolve
from .film import MU0, Film
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


def _each(function):
    """CPU seconds of one of many calls, after the first."""
    function()
    return _fastest(lambda: [function() for _ in range(20)], 5)[0] / 20


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
    m, out = np.zeros((2, 3, film.ny + 2, film.nx + 2), np.float32)
    prepared = Demag(film, dtype=np.float32).prepared()
    with one_thread():
        once = _each(lambda: convolve(out, m, prepared))
    n = run.info["field evaluations"]
    timing = {"total": total, "demag": n * once, "rest": total - n * once, "evaluations": n}
    if film == Film():
        reference = sp4.reference("fidimag", 1)[:len(run)]
        timing["error"] = max(np.abs(run.mean[:, k] - reference[name]).max() for k, name in enumerate(("mx", "my", "mz")))
    return timing


def ffts(film: Film = Film()) -> float:
    """CPU seconds of the bare FFTs of one demagnetizing field by SciPy: three components, padded with zeros to twice the film, there and back.

    In single precision, on one core. What lies between them, the product with the tensor, is left out.
    """
    m = np.ones((3, instance("film", film, Film).ny, film.nx), np.float32)
    size = [fft.next_fast_len(2 * n, real=True) for n in m.shape[1:]]
    return _each(lambda: fft.irfft2(fft.rfft2(m, size, workers=1), size, workers=1))


def fidimag(duration: float) -> dict[str, float] | None:
    """CPU seconds of fidimag's dopri5 at 1e-8 on the same problem, and its field evaluations; None without it."""
    try:
        cpu, run = _cpu_seconds(lambda: fidimag_.simulate(sp4.FIELD_1, duration=duration, progress=False))
    except ImportError:
        return None
    return {"total": cpu, "evaluations": run.info["field evaluations"]}


def magnumnp(duration: float = 1e-10) -> dict[str, Any] | None:
    """CPU seconds of magnum.np's RKF45 at its own tolerance, 1e-5, on the same problem, on one core; None where it is not installed.

    duration: s, a whole multiple of 10 ps. Beside total: version, seconds to begin (it compiles), and error, the largest difference of a
    film average from `llg.simulate`'s, which gets the same start and magnum.np's gyromagnetic ratio.
    """
    if importlib.util.find_spec("magnumnp") is None:  # an import of it that fails ends Python
        return None
    import magnumnp
    import torch

    magnumnp.logging.set_log_level("ERROR")
    torch.set_default_dtype(torch.float64)  # magnum.np asks for it once, and NeuralMag for the other
    film = Film(gamma0=magnumnp.constants.gamma)
    state = magnumnp.State(magnumnp.Mesh((film.nx, film.ny, 1), (film.dx, film.dy, film.thickness)))
    state.material = {"Ms": film.Ms, "A": film.A, "alpha": film.alpha}
    field = (applied.vector(sp4.FIELD_1) / MU0).tolist()
    solver = magnumnp.LLGSolver([magnumnp.DemagField(), magnumnp.ExchangeField(), magnumnp.ExternalField(field)])

    def begin(m):
        state.m = torch.tensor(m[:, :, None])
        solver.dm(state.t, state.m, state=state)

    return _beside(film, duration, begin, lambda: solver.step(state, 1e-11), lambda: state.m[:, :, 0]) | {"version": magnumnp.__version__}


def neuralmag(duration: float = 1e-10) -> dict[str, Any] | None:
    """CPU seconds of NeuralMag's dopri5 at its own tolerance, 1e-5, in single precision by PyTorch on one core, and the rest as `magnumnp` has it.

    m is a number in each cell. The kernels are not compiled, which would take minutes. None where NeuralMag or PyTorch is not installed.
    """
    if importlib.util.find_spec("neuralmag") is None or importlib.util.find_spec("torch") is None:
        return None
    os.environ.update(NM_BACKEND="torch", NM_TORCH_COMPILE="False", NM_DTYPE="float32")  # read when it is imported
    import neuralmag as nm
    import torch
    from neuralmag.common.llg import GAMMA_PRIME

    nm.set_log_level("ERROR")
    torch.set_default_dtype(torch.float32)
    film = Film(gamma0=GAMMA_PRIME)
    state = nm.State(nm.Mesh(film.cells, (film.dx, film.dy, film.thickness)))
    for name in ("Ms", "A", "alpha"):
        setattr(state.material, name, getattr(film, name))
    solver: Any = None

    def begin(m):
        nonlocal solver
        state.m = nm.VectorCellFunction(state, tensor=state.tensor(m))
        field = state.tensor(applied.vector(sp4.FIELD_1) / MU0)
        for name, term in {"exchange": nm.ExchangeField(), "demag": nm.DemagField(), "external": nm.ExternalField(field)}.items():
            term.register(state, name)
        nm.TotalField("exchange", "demag", "external").register(state)
        solver = nm.LLGSolver(state)
        solver.forward(state.tensor(0.0), state.m.tensor)

    with torch.no_grad():
        return _beside(film, duration, begin, lambda: solver.step(1e-11), lambda: state.m.tensor) | {"version": nm.__version__}


def _beside(film, duration, begin, step, state):
    """Time a solver that runs on PyTorch beside ours. begin: takes m (nx, ny, 3). step: goes on by 10 ps. state: m now, as a tensor."""
    import torch

    torch.set_num_threads(1)
    start = llg.s_state(film, progress=False)
    ours = llg.simulate(sp4.FIELD_1, film, start, duration=duration, progress=False)
    beginning, _ = _cpu_seconds(lambda: begin(start.swapaxes(0, 1).astype(float)))
    mean = [ours.mean[0]]

    def run():
        for _ in ours.t[1:]:
            step()
            mean.append(state().mean(dim=(0, 1)).numpy())

    total, _ = _cpu_seconds(run)
    return {"total": total, "beginning": beginning, "error": float(np.abs(mean - ours.mean).max())}


def networks(rom: ReducedOrderModel, field: Field = sp4.FIELD_1, fields: int = 1000, decoded: int = 5) -> dict[tuple[str, int], float]:
    """Time a reduced order model: {(what, number of fields): CPU seconds a trajectory of 1 ns}.

    what: "encoding" of the states that the dynamics begins with, which the solver gives; and from there on "rollout" of latent states alone,
    "averages" of the film, and "states", every state decoded and kept. field: mu0*H in T. Averages and states cost the same for each field:
    of many, `decoded` are timed.
    """
    instance("rom", rom, ReducedOrderModel)
    check_counts(fields=fields, decoded=decoded)
    given = rom.first_states(field)
    first = rom.encode(given)
    b = applied.sample(field, np.arange(101) * rom.every)

    def rollout(n):
        return rom.rollout(np.repeat(first[None], n, axis=0), np.repeat(b[None], n, axis=0))

    def states(n):
        return rom.decode(rollout(n).reshape(-1, rom.latent))

    def averages(n):
        return rom.read(rollout(n))

    def seconds(function, n, repeats=5):
        function(n)  # the first call of a network builds its graph
        return min(_cpu_seconds(lambda: function(n))[0] for _ in range(repeats)) / n

    return {("encoding", 1): seconds(lambda _: rom.encode(given), 1), ("rollout", 1): seconds(rollout, 1, 50), ("averages", 1): seconds(averages, 1), ("states", 1): seconds(states, 1),
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
    _print_growth(32, 64, 128, 256, 512)
    other = fidimag(fidimag_duration)
    _print_networks(default["total"], 1000)
    for name, what, timing in (("magnum.np", "RKF45", magnumnp()), ("NeuralMag", "dopri5", neuralmag())):
        print(f"{name} is not installed: not timed" if timing is None else
              f"{name} {timing['version']}, {what} at 1e-5: {timing['total'] * 10:.1f} s (scaled from 0.1 ns), and {timing['beginning']:.1f} s to begin\n"
              f"  largest difference of its mean m from ours in that time {timing['error']:.1e}")
    if other is None:
        print("fidimag is not installed: not timed")
        return
    scale = 1e-9 / fidimag_duration
    said = "" if scale == 1 else f" (scaled from {fidimag_duration * 1e9:g} ns)"
    print(f"fidimag, dopri5 at 1e-8: {other['total'] * scale:.1f} s{said}, {other['evaluations'] * scale:.0f} evaluations\n"
          f"  {other['total'] * scale / default['total']:.0f} times as long as magbook at its default accuracy")


def _print_growth(*columns):
    print("\nhow it grows with the grid, accuracy 1; one demagnetizing field beside its bare FFTs by SciPy")
    for nx in columns:
        film, times = Film(cells=(nx, nx // 4)), 10 if nx > 256 else 1
        ours = solver(film, duration=1e-9 / times, repeats=2)
        print(f"  {nx:4} x {nx // 4:3} cells  {ours['total'] * times:7.3f} s, of which demagnetizing field {ours['demag'] * times:.3f} s"
              f"; one {ours['demag'] / ours['evaluations'] * 1e3:7.4f} ms, FFTs {ffts(film) * 1e3:7.4f} ms"
              + (" (scaled from 0.1 ns)" if times > 1 else ""))
    print()


def _print_networks(llg_seconds, fields):
    print("reduced order model of the paper, CPU seconds a trajectory of 1 ns, the states from the solver given")
    for (what, n), seconds in networks(load_rom("paper"), fields=fields).items():
        print(f"  {seconds:10.6f} s  {llg_seconds / seconds:8.0f} times faster than LLG  {what}, {n} fields at once")
    print()
