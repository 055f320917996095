"""Standard problem 4: its film, its fields and its published figures."""

import numpy as np
import pytest

from magbook import files, sp4


def test_film_and_fields():
    assert sp4.FILM.size == (500e-9, 125e-9, 3e-9) and sp4.FILM.cells == (256, 64)
    # as the problem says: about 25 mT at 170 degrees, about 36 mT at 190 degrees from +x
    for field, size, angle in ((sp4.FIELD_1, 25.0, 170), (sp4.FIELD_2, 36.0, 190)):
        assert np.hypot(*field[:2]) * 1e3 == pytest.approx(size, abs=0.06)
        assert np.degrees(np.arctan2(field[1], field[0])) % 360 == pytest.approx(angle, abs=0.1)
        assert field[2] == 0
    assert sp4.FIELD_1 == (-24.6e-3, 4.3e-3, 0.0) and sp4.FIELD_2 == (-35.5e-3, -6.3e-3, 0.0)


def test_fidimag_reference():
    for k in (1, 2):
        r = sp4.reference("fidimag", k)
        assert r.dtype.names == ("t_ns", "mx", "my", "mz")
        np.testing.assert_allclose(r["t_ns"], np.arange(101) / 100, atol=1e-9)
        np.testing.assert_allclose([r["mx"][0], r["my"][0], r["mz"][0]], sp4.S_STATE["mean"], atol=1e-5)
        assert r["mx"].min() < -0.8  # it switched


def test_published_solutions():
    for k in (1, 2):
        r = sp4.reference("mumag", k)
        assert r.dtype.names == ("t_ns", "mx_mean", "my_mean", "mz_mean", "mx_std", "my_std", "mz_std")
        assert len(r) == 51 and r["t_ns"][0] == 0 and r["t_ns"][-1] == pytest.approx(1)
        assert all((r[f"m{c}_std"] >= 0).all() and (abs(r[f"m{c}_mean"]) <= 1).all() for c in "xyz")


@pytest.mark.parametrize("name, field", [("oommf", 1), ("fidimag", 3), ("fidimag", 0), ("mumag", "1"), ("mumag", None),
                                         (None, 1), ("", 1)])
def test_other_names_are_refused(name, field):
    with pytest.raises(ValueError, match="reference: got .*fidimag.*mumag.*1 or 2"):
        sp4.reference(name, field)


def test_a_damaged_reference_is_refused(tmp_path, monkeypatch):
    for path in files.DATA.iterdir():
        if path.suffix in (".csv", ".json"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(files, "DATA", tmp_path)
    bad = tmp_path / "sp4_fidimag_field1.csv"
    bad.write_bytes(bad.read_bytes().replace(b"0.1353401", b"0.1353402"))
    with pytest.raises(ValueError, match="sp4_fidimag_field1.csv is damaged"):
        sp4.reference("fidimag", 1)
    assert len(sp4.reference("fidimag", 2)) == 101
