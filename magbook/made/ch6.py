"""Chapter 6: the S-state's normal modes, and a film that rings."""

import numpy as np

from .. import llg, modes
from ..files import DATA
from ..film import Film, unit
from .common import command, write_npz


@command(writes={
    "modes.npz": "the 64 slowest normal modes of standard problem 4's S-state: frequencies, parities, and the lower half of each "
                 "shape in two components",
    "ringdown.npz": "the film rings: a short pulse turns the S-state by `angle` times `spot` about z; mean my weighted with the spot "
                    "(here) and with its mirror image (there) against t"})
def normal_modes() -> None:
    """Find the S-state's normal modes, and let the film ring after a pulse (2 minutes)."""
    found = modes.find(k=64)
    modes.save(found, DATA / "modes.npz")
    film = Film(alpha=0.005)
    spot = np.exp(-((film.x - 100e-9)**2 + (film.y[:, None] - 30e-9)**2) / (2 * 20e-9**2))
    start = unit(found.state + 0.02 * spot[..., None] * np.cross([0, 0, 1], found.state))
    run = llg.simulate((0, 0), film, start, 8e-9, 2e-11)
    here, there = (np.average(run.m[..., 1], axis=(1, 2), weights=np.broadcast_to(w, run.m.shape[:3]))
                   for w in (spot, spot[::-1, ::-1]))
    write_npz("ringdown.npz", t=run.t, alpha=film.alpha, angle=0.02, spot=spot.astype(np.float32),
              here=here.astype(np.float32), there=there.astype(np.float32))
