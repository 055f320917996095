"""Standard problem 4 of muMAG: the film, the two fields, and published figures. Chapter 1 introduces it.

R. D. McMichael, M. J. Donahue, D. G. Porter, J. Eicke, J. Appl. Phys. 89, 7603 (2001).
"""

import numpy as np

from ._arguments import said
from .files import shipped
from .film import Film

FILM = Film()
"""500 nm x 125 nm x 3 nm of permalloy on 256 x 64 cells, the grid of Kovacs et al. (2019)."""

FIELD_1 = (-24.6e-3, 4.3e-3, 0.0)
"""The first field, mu0*H in T: 25 mT at 170 degrees. The film switches by waves from both ends."""

FIELD_2 = (-35.5e-3, -6.3e-3, 0.0)
"""The second field, mu0*H in T: 36 mT at 190 degrees. The middle turns the other way than the ends."""

S_STATE = {"mean": (0.966648, 0.125873, 0.0), "exchange": 9.06824e-20, "demag": 5.38053e-19}
"""Mean m and energies in J of the S-state on 256 x 64 cells, computed with fidimag 3.0."""


def reference(name: str, field: int) -> np.ndarray:
    """A published or independent solution for field 1 or 2: a structured array, one row a time.

    name: "fidimag" (fidimag 3.0, dopri5 at 1e-8, 256 x 64 cells: t_ns, mx, my, mz) or "mumag" (mean and standard
    deviation over the solutions submitted to muMAG, compiled by the MagTense project).
    Raises ValueError for another name or field.
    """
    files = {"fidimag": "sp4_fidimag_field{}.csv", "mumag": "sp4_mumag_field{}.csv"}
    if not (isinstance(name, str) and name in files and isinstance(field, (int, np.integer)) and field in (1, 2)):
        raise ValueError(f"reference: got name {said(name)}, field {said(field)}; one of {sorted(files)} and field 1 or 2 are needed")
    return np.genfromtxt(shipped(files[name].format(int(field))), delimiter=",", names=True)
