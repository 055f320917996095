"""OVF files: round trips, files as mumax3, OOMMF and Ubermag write them, and what is refused."""

import time

import numpy as np
import pytest

from magbook import ovf

CELL = (2e-9, 3e-9, 4e-9)


def state(ny=3, nx=5, dtype=np.float32):
    """Every number differs, so that a swapped axis shows."""
    return np.random.default_rng(1).standard_normal((ny, nx, 3)).astype(dtype)


def header(begin, **changes):
    """What mumax3 writes before the data of a 2 x 1 film, as bytes; None leaves a key out."""
    keys = {"Segment count": 1, "Begin": "Segment", "Begin ": "Header", "Title": "m", "meshtype": "rectangular",
            "meshunit": "m", "xmin": 0, "ymin": 0, "zmin": 0, "xmax": 4e-09, "ymax": 3e-09, "zmax": 4e-09,
            "valuedim": 3, "valuelabels": "m_x m_y m_z", "valueunits": "1 1 1",
            "Desc": "Total simulation time:  1.5e-11  s", "xbase": 1e-09, "ybase": 1.5e-09, "zbase": 2e-09,
            "xnodes": 2, "ynodes": 1, "znodes": 1, "xstepsize": 2e-09, "ystepsize": 3e-09, "zstepsize": 4e-09,
            "End": "Header"} | changes
    lines = [f"{k.strip()}: {v}" for k, v in keys.items() if v is not None] + [f"Begin: Data {begin}"]
    return "".join(f"# {line}\n" for line in ["OOMMF OVF 2.0", *lines]).encode()


def binary(*numbers, dtype="<f4", control=1234567.0):
    return np.array([control, *numbers], dtype).tobytes()


TAIL = b"# End: Data Binary 4\n# End: Segment\n"
SIX = (1, 0, 0, 0, -1, 0)


@pytest.mark.parametrize("representation, dtype", [("text", np.float64), ("binary 4", np.float32), ("binary 8", np.float64)])
def test_round_trip(tmp_path, representation, dtype):
    m = state(dtype=dtype)
    ovf.write(tmp_path / "m.ovf", m, CELL, 1e-11, representation=representation)
    back, cell, time = ovf.read(tmp_path / "m.ovf")
    assert np.array_equal(back, m) and back.dtype == dtype and cell == CELL and time == 1e-11
    ovf.write(tmp_path / "m.ovf", m, CELL)
    assert ovf.read(tmp_path / "m.ovf")[2] is None


def test_written_order_is_x_fastest_from_the_corner_at_zero(tmp_path):
    m = state()
    ovf.write(tmp_path / "m.ovf", m, CELL, representation="text")
    text = (tmp_path / "m.ovf").read_text()
    assert "# xnodes: 5\n# ynodes: 3\n# znodes: 1\n" in text
    rows = np.loadtxt(tmp_path / "m.ovf")
    for row, (j, i) in {0: (0, 0), 4: (0, 4), 5: (1, 0), 10: (2, 0), 14: (2, 4)}.items():
        assert np.array_equal(rows[row], m[j, i])


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_mumax3(tmp_path, newline):
    path = tmp_path / "m000001.ovf"  # mumax3 starts the End line right after the last number
    path.write_bytes(header("Binary 4").replace(b"\n", newline) + binary(*SIX) + TAIL.replace(b"\n", newline))
    m, cell, time = ovf.read(path)
    assert m.tolist() == [[[1, 0, 0], [0, -1, 0]]] and m.dtype == np.float32 and m.flags.writeable
    assert cell == CELL and time == 1.5e-11


OOMMF = b"""# OOMMF OVF 2.0
#
# Segment count: 1
#
# Begin: Segment
# Begin: Header
#
# Title: Oxs_TimeDriver::Magnetization
#
# Desc: Oxs vector field output
# Desc:  MIF source file: C:/Users/Jos\xe9/film.mif
# Desc:  Iteration: 5, State id: 12
# Desc:  Stage: 0, Stage iteration: 5
# Desc:  Stage simulation time: 1e-012 s
# Desc:  Total simulation time: 2.5e-011 s
#
# meshunit: NM
# MeshType: rectangular  ## a comment
# xbase: 1.0
# ybase: 1.5
# zbase: 2
# x nodes: 1
# YNODES:\t2
#znodes:1
# xstepsize: 2.0000000000000000
# ystepsize: 3
# zstepsize: 4
# xmin: 0
# ymin: 0
# zmin: 0
# xmax: 2
# ymax: 6
# zmax: 4
# valuedim: 3
# valuelabels: {Magnetization_x} {Magnetization_y} {Magnetization_z}
# valueunits: A/m
#
# End: Header
#
# begin:\tDATA  text
\t800000.000000000\t0 -0.000
# a comment with 3 numbers: 1 2 3
 0\t7.5e+005  1e-12
# End: data text
# End: segment
"""


def test_oommf_text(tmp_path):
    (tmp_path / "m.omf").write_bytes(OOMMF)
    m, cell, time = ovf.read(tmp_path / "m.omf")
    assert m.tolist() == [[[8e5, 0, 0]], [[0, 7.5e5, 1e-12]]]
    assert cell == pytest.approx(CELL) and time == 2.5e-11
    (tmp_path / "m.omf").write_bytes(OOMMF.replace(b"2.5e-011", b"-2"))  # what Oxs_MinDriver writes
    assert ovf.read(tmp_path / "m.omf")[2] is None


@pytest.mark.parametrize("width, control", [(4, 1234567.0), (8, 123456789012345.0)])
def test_ovf1_is_big_endian_and_has_a_multiplier(tmp_path, width, control):
    head = header(f"Binary {width}", valuedim=None, valuelabels=None, valueunits=None, valueunit="A/m",
                  valuemultiplier=800000, Desc="Time (s) :  2e-12")
    raw = head.replace(b"OOMMF OVF 2.0", b"OOMMF: rectangular mesh v1.0") + binary(*SIX, dtype=f">f{width}", control=control)
    (tmp_path / "m.omf").write_bytes(raw + b"\n# End: Data Binary\n")
    m, _, time = ovf.read(tmp_path / "m.omf")
    assert m.tolist() == [[[8e5, 0, 0], [0, -8e5, 0]]] and m.dtype == f"=f{width}" and time == 2e-12


GOOD = header("Binary 4") + binary(*SIX) + TAIL
REFUSED = {
    "not OVF": (b"x y z\n1 2 3\n", "not an OVF file"),
    "empty": (b"", "not an OVF file"),
    "irregular": (b"# OOMMF: irregular mesh v1.0\n", "rectangular"),
    "irregular, OVF 2.0": (header("Binary 4", meshtype="irregular") + binary(*SIX) + TAIL, "meshtype.*irregular"),
    "cut in the header": (GOOD[:300], "truncated"),
    "cut in the data": (header("Binary 4") + binary(*SIX)[:-1], "truncated: 27 bytes.*28"),
    "no end": (header("Binary 4") + binary(*SIX), "End: Data"),
    "more data": (header("Binary 4") + binary(*SIX, 1) + TAIL, "damaged"),
    "text rows missing": (header("Text") + b"1 0 0\n# End: Data Text\n", "3 numbers.*6"),
    "text cut in a number": (header("Text") + b"1 0 0\n0 -1 0.1", "no line '# End: Data'"),
    "text without numbers": (header("Text") + b"1 0 0\n0 one 0\n# End: Data Text\n", "one"),
    "big-endian": (header("Binary 4") + binary(*SIX, dtype=">f4") + TAIL, "control number.*byte order"),
    "control number 8": (header("Binary 8") + binary(*SIX, dtype="<f8") + TAIL, "control number.*123456789012345"),
    "other data": (header("Binary 2") + TAIL, "binary 2"),
    "no dimension": (header("Binary 4", valuedim=None) + binary(*SIX) + TAIL, "no 'valuedim'"),
    "no step": (header("Binary 4", ystepsize=None) + binary(*SIX) + TAIL, "no 'ystepsize'"),
    "no unit": (header("Binary 4", meshunit=None) + binary(*SIX) + TAIL, "no 'meshunit'"),
    "other unit": (header("Binary 4", meshunit="unknown") + binary(*SIX) + TAIL, "meshunit.*unknown"),
    "layers": (header("Binary 4", znodes=2) + binary(*SIX, *SIX) + TAIL, "znodes.*'2'.*one layer"),
    "scalars": (header("Binary 4", valuedim=1) + binary(1, 2) + TAIL, "valuedim.*'1'.*three components"),
    "segments": (header("Binary 4", **{"Segment count": 2}) + binary(*SIX) + TAIL, "segmentcount.*'2'"),
    "no number": (header("Binary 4", xnodes="two") + binary(*SIX) + TAIL, "two"),
    "cell of zero": (header("Binary 4", xstepsize=0) + binary(*SIX) + TAIL, "greater than 0"),
    "negative nodes": (header("Binary 4", xnodes=-2) + binary(*SIX) + TAIL, "greater than 0"),
    "NaN": (header("Binary 4") + binary(*SIX[:5], np.nan) + TAIL, "NaN"),
    "time": (header("Binary 4", Desc="Total simulation time:  late  s") + binary(*SIX) + TAIL, "late"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_name_of_the_file(tmp_path, name):
    raw, message = REFUSED[name]
    (tmp_path / "bad.ovf").write_bytes(raw)
    with pytest.raises(ValueError, match=rf"bad\.ovf: .*{message}"):
        ovf.read(tmp_path / "bad.ovf")


@pytest.mark.parametrize("change, name", [
    (dict(m=np.zeros((3, 5))), "m"), (dict(m=np.zeros((1, 3, 5, 3))), "m"), (dict(m=np.full((1, 1, 3), np.nan)), "m"),
    (dict(m=np.full((1, 1, 3), 1e39)), "m"),  # too big for float32
    (dict(cell=(1e-9, 1e-9)), "cell"), (dict(cell=(1e-9, 0, 1e-9)), "cell"), (dict(time=-1.0), "time"),
    (dict(time=np.nan), "time"), (dict(representation="binary 2"), "representation")])
def test_write_names_what_it_refuses(tmp_path, change, name):
    with pytest.raises(ValueError, match=f"^{name}: "):
        ovf.write(tmp_path / "m.ovf", **(dict(m=state(), cell=CELL) | change))
    assert not list(tmp_path.iterdir())


def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path, monkeypatch):
    def full(file, *args, **kwargs):
        file.write(b"1 0")
        raise OSError(28, "No space left on device")

    old = state()
    ovf.write(tmp_path / "m.ovf", old, CELL)
    monkeypatch.setattr(np, "savetxt", full)
    with pytest.raises(OSError):
        ovf.write(tmp_path / "m.ovf", -old, CELL, representation="text")
    assert [p.name for p in tmp_path.iterdir()] == ["m.ovf"] and np.array_equal(ovf.read(tmp_path / "m.ovf")[0], old)


@pytest.mark.parametrize("representation, theirs", [("text", "txt"), ("binary 4", "bin4"), ("binary 8", "bin8")])
def test_discretisedfield(tmp_path, representation, theirs):
    """Ubermag's reader and writer (its arrays are x, y, z, component)."""
    df = pytest.importorskip("discretisedfield")
    m = state()
    ovf.write(tmp_path / "m.ovf", m, CELL, representation=representation)
    field = df.Field.from_file(str(tmp_path / "m.ovf"))
    assert np.array_equal(field.array[:, :, 0].swapaxes(0, 1), m) and np.allclose(field.mesh.cell, CELL, rtol=1e-12, atol=0)
    field.to_file(str(tmp_path / "theirs.ovf"), representation=theirs)
    back, cell, _ = ovf.read(tmp_path / "theirs.ovf")
    assert np.allclose(back, m, rtol=1e-12, atol=0) and cell == pytest.approx(CELL, rel=1e-12)


def test_spirits_segment_count(tmp_path):
    ovf.write(tmp_path / "a.ovf", np.broadcast_to([1.0, 0, 0], (2, 3, 3)), (1e-9,) * 3)
    raw = (tmp_path / "a.ovf").read_bytes()
    (tmp_path / "a.ovf").write_bytes(raw.replace(b"Segment count: 1", b"Segment count: 000001"))
    assert ovf.read(tmp_path / "a.ovf")[0].shape == (2, 3, 3)
    (tmp_path / "a.ovf").write_bytes(raw.replace(b"Segment count: 1", b"Segment count: 000002"))
    with pytest.raises(ValueError, match="segmentcount: got '000002'; 1 is needed, one state a file"):
        ovf.read(tmp_path / "a.ovf")


def test_blank_lines_take_no_time(tmp_path):
    ovf.write(tmp_path / "a.ovf", np.broadcast_to([1.0, 0, 0], (2, 3, 3)), (1e-9,) * 3)
    raw = (tmp_path / "a.ovf").read_bytes()
    (tmp_path / "a.ovf").write_bytes(raw.replace(b"# Title", b"\n" * 80_000 + b"# Title"))
    clock = time.perf_counter()
    ovf.read(tmp_path / "a.ovf")
    assert time.perf_counter() - clock < 1


@pytest.mark.parametrize("unit", [None, "", "unknown", "1", "pixel"])
def test_without_a_unit_of_length_the_cell_is_given(tmp_path, unit):
    (tmp_path / "a.ovf").write_bytes(header("Binary 4", meshunit=unit) + binary(*SIX) + TAIL)
    with pytest.raises(ValueError, match=r"a\.ovf: .*meshunit" + (".*cell=" if unit is not None else "")):
        ovf.read(tmp_path / "a.ovf")
    m, cell, time = ovf.read(tmp_path / "a.ovf", cell=[5e-9, 4e-9, 3e-9])
    assert m.tolist() == [[[1, 0, 0], [0, -1, 0]]] and cell == (5e-9, 4e-9, 3e-9) and time == 1.5e-11


@pytest.mark.parametrize("cell", [3e-9, (1e-9, 1e-9), (1e-9, 0, 1e-9), (np.nan, 1e-9, 1e-9), "abc", {}])
def test_what_is_no_cell(tmp_path, cell):
    (tmp_path / "a.ovf").write_bytes(GOOD)
    with pytest.raises((ValueError, TypeError), match="^cell: got"):
        ovf.read(tmp_path / "a.ovf", cell)


@pytest.mark.parametrize("path", [0, 1, True, None, b"a.ovf", "", ["a.ovf"]])
def test_what_is_no_path(path):
    """The number of an open file is one to Python's `open`, which would close it too."""
    for call in (ovf.read, ovf.is_magnetization, lambda path: ovf.write(path, state(), CELL)):
        with pytest.raises((ValueError, TypeError), match="^path: got"):
            call(path)
