"""Other solvers on the same film, beside ours."""

import pytest

from magbook import bench

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("solver", [bench.magnumnp, bench.neuralmag])
def test_it_says_the_same(solver):
    timing = solver(2e-11)
    if timing is None:
        pytest.skip("it is not installed")
    assert timing["total"] > 0 and timing["error"] < 1e-4
