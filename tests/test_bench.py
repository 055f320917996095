"""Other solvers on the same film, beside ours; and the bare FFTs."""

import re

import pytest

from magbook import Film, bench


@pytest.mark.slow
@pytest.mark.parametrize("solver", [bench.magnumnp, bench.neuralmag])
def test_it_says_the_same(solver):
    timing = solver(2e-11)
    if timing is None:
        pytest.skip("it is not installed")
    assert timing["total"] > 0 and timing["error"] < 1e-4


def test_bare_ffts_take_longer_on_a_larger_grid():
    assert 0 < 4 * bench.ffts(Film(cells=(16, 4))) < bench.ffts(Film(cells=(256, 64)))


def test_the_growth_is_printed_beside_the_bare_ffts(capsys):
    bench._print_growth(16, 32)
    rows = re.findall(r"^ +(\d+) x +(\d+) cells .* one +([\d.]+) ms, FFTs +([\d.]+) ms$", capsys.readouterr().out, re.M)
    assert [row[:2] for row in rows] == [("16", "4"), ("32", "8")] and all(float(number) > 0 for row in rows for number in row[2:])
