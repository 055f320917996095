"""OVF files, the exchange format of OOMMF, mumax3 and Ubermag: one state of a one-layer film per file.

Format: OOMMF user guide, OVF 2.0 (and OVF 1.0, which is only read),
https://math.nist.gov/oommf/doc/userguide21a1/userguide/OVF_2_0_format.html. Headers have the keys and
the order of mumax3's (its `oommf/ovf2.go`), because mumax3 stops at a key that it does not know.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ._arguments import are_numbers, array, choice, said
from .files import as_path, atomic

# The first number of a binary block shows a wrong byte order or damage.
_CONTROL = {4: 1234567.0, 8: 123456789012345.0}
_UNITS = {"m": 1.0, "nm": 1e-9}
_FIRST = re.compile(r"\s*#\s*OOMMF(?:\s*:\s*rectangular\s+mesh\s+v|\s+OVF\s+(2)\.0)", re.I)
_BEGIN = re.compile(rb"^[ \t]*#[ \t]*begin[ \t]*:[ \t]*data\b([^\r\n#]*)[^\n]*\n", re.I | re.M)
_END = re.compile(rb"#[ \t]*end[ \t]*:[ \t]*data\b", re.I)
# Programs name what they write in the labels, as in m_x m_y m_z, {Oxs_TimeDriver:Magnetization:x} or spin_x_component. A title is anybody's.
_COMPONENT = re.compile(r"[_:. ]*[xyz0-9](_component)?$", re.I)
_MAGNETIZATION = re.compile(r"m(_full|_[xyz]range.*|\.region\d+)?|spins?|(.*[ _])?magneti[sz]ation", re.I)
_OTHER = re.compile(r"^[bhejfu](_|$)|field|torque|energy|edens|current|regions|geom|anis|force|displacement|velocity|strain|stress|dm/dt|mxh", re.I)
# "Time (s)" stands in the OVF 1.0 files of mumax3 and of OOMMF's older solver.
_TIME = re.compile(r"^[ \t]*#[ \t]*desc\s*:\s*(?:total simulation time|time \(s\))\s*:[ \t]*(\S*)", re.I | re.M)


def write(path: str | Path, m: np.ndarray, cell: Sequence[float], time: float | None = None, title: str = "m",
          representation: str = "binary 4") -> None:
    """Write a state as OVF 2.0, whole or not at all.

    m: array (ny, nx, 3), row 0 at y = 0. cell: (dx, dy, dz) in m. time: in s, or None.
    representation: "binary 4" (float32, mumax3's), "binary 8" or "text" (both keep float64 exactly).

    Raises ValueError, naming the argument, for an m of another shape or with a NaN, a cell or time out of
    range, or another representation.
    """
    choice("representation", representation, "text", "binary 4", "binary 8")
    path, m = as_path(path), array("m", m, "(ny, nx, 3)")
    shape = m.shape
    if 0 in shape:
        raise ValueError(f"m: got shape {shape}; (ny, nx, 3) is needed")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
        values = np.ascontiguousarray(m, "<f4" if representation == "binary 4" else "<f8")
    if not np.isfinite(values).all():
        raise ValueError(f"m: not every number is finite as {representation}")
    cell = _cell(cell)
    if time is not None and not (are_numbers(time) and time >= 0):
        raise ValueError(f"time: got {said(time)}; a time in s of at least 0, or None, is needed")
    axes = list(zip("xyz", (shape[1], shape[0], 1), cell))
    header = ["OOMMF OVF 2.0", "Segment count: 1", "Begin: Segment", "Begin: Header",
              f"Title: {' '.join(str(title).split())}", "meshtype: rectangular", "meshunit: m",
              *(f"{a}min: 0" for a in "xyz"), *(f"{a}max: {n * d!r}" for a, n, d in axes),
              "valuedim: 3", "valuelabels: m_x m_y m_z", "valueunits: 1 1 1",
              *([] if time is None else [f"Desc: Total simulation time:  {float(time)!r}  s"]),
              *(f"{a}base: {d / 2!r}" for a, n, d in axes), *(f"{a}nodes: {n}" for a, n, d in axes),
              *(f"{a}stepsize: {d!r}" for a, n, d in axes), "End: Header", f"Begin: Data {representation.title()}"]
    with atomic(path) as file:
        file.write("".join(f"# {line}\n" for line in header).encode())
        if representation == "text":
            np.savetxt(file, values.reshape(-1, 3), fmt="%.17g")
        else:
            file.write(np.append(_CONTROL[values.itemsize], values).astype(values.dtype).tobytes() + b"\n")
        file.write(f"# End: Data {representation.title()}\n# End: Segment\n".encode())


def _cell(cell):
    """(dx, dy, dz) in m, as three numbers."""
    cell = tuple(map(float, array("cell", cell, "(3,)")))
    if not all(0 < d < np.inf for d in cell):
        raise ValueError(f"cell: got {cell}; (dx, dy, dz) in m, each greater than 0, is needed")
    return cell


def read(path: str | Path, cell: Sequence[float] | None = None) -> tuple[np.ndarray, tuple[float, float, float], float | None]:
    """Read an OVF file, 2.0 or 1.0, text or binary; return (m, cell, time).

    cell: (dx, dy, dz) in m in place of the file's, for files without a mesh unit or with one that is no length.

    m: (ny, nx, 3), row 0 at y = 0, as stored: unit vectors from mumax3, but A/m from OOMMF, whose files
    hold M. float32 from "binary 4", else float64. cell: (dx, dy, dz) in m. time: in s; None where the file
    has none, or the negative one of OOMMF's energy minimizer.

    Raises ValueError, naming the file, where it is not OVF, cut short or damaged, lacks a header key, holds
    a NaN, or is not one layer of three components on a rectangular mesh, in m or nm where no cell is given; it says which.
    """
    path, cell = as_path(path), None if cell is None else _cell(cell)
    try:
        return _parse(path.read_bytes(), cell)
    except KeyError as key:
        raise ValueError(f"{path}: the header has no {key}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def is_magnetization(path: str | Path) -> bool:
    """Whether a file holds magnetization, by its labels and title, and not a field or an energy. path: an OVF file.

    Labels that name a quantity must name magnetization. Of labels that name none, such as x y z, the title decides: whatever is not known
    to be something else is. discretisedfield calls all that it writes "field": there the name of the file decides, as in m0.omf.
    """
    path = as_path(path)
    with open(path, "rb") as file:
        head = file.read(20_000).decode("utf-8", "replace")
    labels, title = ((re.search(rf"^[ \t]*#[ \t]*{key}[ \t]*:[ \t]*(.*)", head, re.I | re.M) or ("", ""))[1]
                     for key in ("valuelabels", "title"))
    first = re.split("}" if labels.startswith("{") else r"\s", labels.lstrip("{"), maxsplit=1)[0]
    name, title = _COMPONENT.sub("", first).split(":")[-1].strip(), title.split(":")[-1].strip()
    if name.lower() == title.lower() == "field":
        return re.fullmatch(r"m\d*", path.stem, re.I) is not None
    return _MAGNETIZATION.fullmatch(name or title) is not None or not (name or _OTHER.search(title))


def _parse(raw, cell):
    first = raw[:200].split(b"\n")[0].decode("utf-8-sig", "replace")
    kind, begin = _FIRST.match(first), _BEGIN.search(raw)
    if not kind:
        raise ValueError(f"not an OVF file with a rectangular mesh; its first line is {first[:60]!r}")
    if not begin:
        raise ValueError("truncated: no line '# Begin: Data' after the header")
    text = raw[: begin.start()].decode("utf-8", "replace")
    header = {"segmentcount": "1", "meshtype": "rectangular", "valuemultiplier": "1"}
    if not kind[1]:
        header["valuedim"] = "3"  # OVF 1.0 knows vectors only
    for line in text.splitlines():
        key, _, value = line.split("##")[0].strip("# \t").partition(":")
        header["".join(key.lower().split())] = value.strip()
    for key, known in (("segmentcount", "1"), ("meshtype", "rectangular"), ("valuedim", "3"), ("znodes", "1"),
                       ("meshunit", "m or nm"))[:4 if cell else 5]:
        given = header[key].lower()
        if (str(int(given)) if given.isdigit() else given) not in known.split(" or "):
            raise ValueError(f"{key}: got {header[key]!r}; {known} is needed, {_REASONS[key]}")
    nx, ny = int(header["xnodes"]), int(header["ynodes"])
    cell = cell or tuple(float(header[f"{a}stepsize"]) * _UNITS[header["meshunit"].lower()] for a in "xyz")
    if min(nx, ny) < 1 or not all(0 < d < np.inf for d in cell):
        raise ValueError(f"xnodes, ynodes, stepsizes: got {nx} x {ny} cells of {cell} m; all must be greater than 0")
    representation = " ".join(begin[1].decode("ascii", "replace").lower().split())
    m = _values(raw, begin.end(), representation, 3 * nx * ny, "<" if kind[1] else ">")
    m *= float(header["valuemultiplier"])
    if not np.isfinite(m).all():
        raise ValueError("the data hold a NaN or an infinity")
    time = float((_TIME.search(text) or ["", "-1"])[1])
    return m.reshape(ny, nx, 3), cell, time if time >= 0 else None


_REASONS = {"segmentcount": "one state a file", "meshtype": "a mesh of equal cells", "valuedim": "vectors of three components",
            "znodes": "a film of one layer", "meshunit": "a length; or give the cell's, cell=(dx, dy, dz) in m"}


def _values(raw, start, representation, count, order):
    """The `count` numbers of the data block that starts at byte `start`, in native byte order."""
    if representation == "text":
        end = _END.search(raw, start)
        lines = raw[start : end and end.start()].decode("ascii", "replace").splitlines()
        words = [word for line in lines for word in line.split("#")[0].split()]
        if not end or len(words) != count:
            raise ValueError(f"truncated or damaged: {len(words)} numbers, where the header promises {count}"
                             + ("" if end else ", and no line '# End: Data'"))
        return np.array(words, float)
    if representation not in ("binary 4", "binary 8"):
        raise ValueError(f"data: got {representation!r}; only text, binary 4 or binary 8 can be read")
    dtype = np.dtype(f"{order}f{representation[-1]}")
    stop = start + (1 + count) * dtype.itemsize
    if len(raw) < stop:
        raise ValueError(f"truncated: {len(raw) - start} bytes of data, where the header promises {stop - start}")
    values = np.frombuffer(raw[start:stop], dtype)
    if values[0] != _CONTROL[dtype.itemsize]:
        raise ValueError(f"control number {values[0]:g} instead of {_CONTROL[dtype.itemsize]:.0f}: "
                         "damaged, or of another byte order")
    if not _END.match(raw[stop:stop + 1000].lstrip()):
        raise ValueError("damaged: no line '# End: Data' where the data should end")
    return values[1:].astype(dtype.newbyteorder("="))
