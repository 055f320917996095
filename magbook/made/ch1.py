"""Chapter 1: the S-state that ships."""

import numpy as np

from .. import llg
from ..film import Film
from .common import command, write_npz


@command(writes={"sp4_s_state.npz": "S-state of standard problem 4's film on 256 x 64 cells, torque below 1e-8"})
def s_state() -> None:
    """Relax standard problem 4's S-state to a torque of 1e-8."""
    write_npz("sp4_s_state.npz", m=llg.relax(Film(), torque=1e-8).astype(np.float32))
