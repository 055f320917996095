"""Baselines: what each must get exactly right, whatever it interpolates."""

import numpy as np
import pytest

from magbook import applied, baselines, dataset
from magbook.baselines import METHODS, coordinates, kernel_ridge, linear, mean, nearest, spline, weights

FIELDS = applied.fan(60)
NEW = applied.fan(80)[60:]


def values(fields, *shape):
    """Smooth functions of the field, (n, *shape)."""
    x = (coordinates(fields) - [180, 31]) / [22, 10]
    k = np.arange(1, np.prod(shape, dtype=int) + 1)
    return np.sin(x[:, :1] * k / 3 + x[:, 1:]).reshape(len(fields), *shape)


def test_coordinates():
    fields = np.array([[-30e-3, 0, 0], [0, 20e-3, 0], [0, -20e-3, 0], [3e-3, -4e-3, 0]])
    np.testing.assert_allclose(coordinates(fields), [[180, 30], [90, 20], [270, 20], [360 - 53.1301, 5]], atol=1e-4)
    np.testing.assert_array_equal(coordinates(fields[:, :2]), coordinates(fields))


@pytest.mark.parametrize("name", METHODS)
def test_shapes_of_any_values(name):
    for shape in ((), (5,), (4, 3), (2, 3, 4, 3)):
        known = values(FIELDS, *shape)
        out = METHODS[name](FIELDS, known)(NEW)
        assert out.shape == (20, *shape)
        np.testing.assert_allclose(METHODS[name](FIELDS[:, :2], known)(NEW[:1, :2]), out[:1], atol=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_every_answer_is_a_weighted_sum(name):
    known = values(FIELDS, 4, 3)
    w = weights(METHODS[name], FIELDS, NEW)
    assert w.shape == (20, 60)
    np.testing.assert_allclose(w.sum(axis=1), 1, atol=1e-9)  # so that what all training runs share is kept
    np.testing.assert_allclose(np.tensordot(w, known, axes=1), METHODS[name](FIELDS, known)(NEW), atol=1e-8)


@pytest.mark.parametrize("method", [nearest, linear, spline])
def test_at_a_training_field_the_answer_is_known(method):
    known = values(FIELDS, 3)
    np.testing.assert_allclose(method(FIELDS, known)(FIELDS[7:9]), known[7:9], atol=1e-8)


@pytest.mark.parametrize("method", [linear, spline])
def test_a_plane_is_met_exactly(method):
    """In direction and strength, between training fields."""
    plane = lambda b: coordinates(b) @ [[0.3, -1.0], [2.0, 0.1]] + [1, 5]
    middle = FIELDS[np.argsort(np.abs(coordinates(FIELDS) - [180, 31]).sum(axis=1))[:1]] + [1e-5, 2e-5, 0]
    np.testing.assert_allclose(method(FIELDS, plane(FIELDS))(middle), plane(middle), atol=1e-8)


def test_linear_is_nearest_beyond_the_triangles():
    known = values(FIELDS, 3)
    beyond = np.array([[-60e-3, 0, 0], [-31e-3, 0, 0]])
    out = linear(FIELDS, known)(beyond)
    np.testing.assert_array_equal(out[0], nearest(FIELDS, known)(beyond)[0])
    assert not np.allclose(out[1], nearest(FIELDS, known)(beyond)[1])


def test_nearest_counts_a_degree_as_a_millitesla():
    at = lambda angle, size: size * np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle)), 0])
    fields = np.array([at(180, 30e-3), at(183, 30e-3)])
    # 0.79 mT from the second as arrows go, but two degrees; 0.9 mT from the first
    assert nearest(fields, np.array([0, 1]))(at(181, 30.9e-3)[None]) == 0


def test_mean_and_a_stiff_ridge_are_the_mean():
    known = values(FIELDS, 3)
    np.testing.assert_allclose(mean(FIELDS, known)(NEW), np.broadcast_to(known.mean(axis=0), (20, 3)))
    np.testing.assert_allclose(kernel_ridge(FIELDS, known, ridge=1e9)(NEW), mean(FIELDS, known)(NEW), atol=1e-6)
    np.testing.assert_allclose(kernel_ridge(FIELDS, known, ridge=1e-10)(FIELDS), known, atol=1e-4)


def test_smooth_values_are_met_better_by_smoother_methods():
    known, right = values(FIELDS, 3), values(NEW, 3)
    error = {name: np.abs(method(FIELDS, known)(NEW) - right).mean() for name, method in METHODS.items()}
    assert error["spline"] < error["linear interpolation"] < error["nearest field"] < error["mean trajectory"]


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_more_fields_are_better(name):
    if name == "mean trajectory":
        return
    few, many = (np.abs(METHODS[name](b, values(b, 3))(NEW) - values(NEW, 3)).mean()
                 for b in (applied.fan(30, seed=1), applied.fan(400, seed=1)))
    assert many < 0.7 * few


@pytest.mark.parametrize("method", [m for m in METHODS.values() if m is not mean])
@pytest.mark.parametrize("fields, known, says", [
    (FIELDS, np.zeros((59, 2)), "values: got 59 for 60 fields"), (FIELDS[0], np.zeros(3), "fields: got shape"),
    (FIELDS, np.full((60, 2), np.nan), "values: they hold numbers that are not finite"),
    (np.full((60, 2), np.inf), np.zeros(60), "fields: got shape"), (np.zeros((0, 2)), np.zeros((0, 2)), "fields: got"),
])
def test_what_does_not_fit(method, fields, known, says):
    with pytest.raises(ValueError, match=f"^{says}"):
        method(fields, known)


@pytest.mark.parametrize("method", [linear, spline])
def test_too_few_fields(method):
    with pytest.raises(ValueError, match="^fields: got 3; at least 4"):
        method(FIELDS[:3], np.zeros(3))


@pytest.mark.parametrize("method", METHODS.values())
def test_new_fields_are_checked(method):
    with pytest.raises(ValueError, match="^new: got shape"):
        method(FIELDS, values(FIELDS))(NEW[0])


def test_the_paper_s_validation_fields_chose_the_coordinates():
    """As the module says: a distance in degrees and mT beats that of the arrows, for each method."""
    from magbook.files import shipped

    with np.load(shipped("paper_summary.npz"), allow_pickle=False) as z:
        field, known = z["field"], z["mean"].astype(float)
    parts = dataset.split(200)
    train, validation = parts["train"], parts["validation"]
    # fields whose degrees and mT are the arrows' components in mT
    x, y = -field[:, 0], np.deg2rad(180 + field[:, 1] * 1e3)
    arrows = np.stack([x * np.cos(y), x * np.sin(y)], axis=1)
    for method in (nearest, linear, spline, baselines.kernel_ridge):
        polar, plane = (np.abs(method(b[train], known[train])(b[validation]) - known[validation]).mean()
                        for b in (field, arrows))
        assert polar < plane, method.__name__


def test_the_spline_without_one_field_after_another():
    """Against as many splines, each of which never saw the field that it is asked at."""
    known = values(FIELDS, 2, 3)
    off = baselines.spline_left_out(FIELDS, known)
    assert off.shape == known.shape
    for i in range(60):
        others = np.delete(np.arange(60), i)
        honest = known[i] - spline(FIELDS[others], known[others])(FIELDS[i:i + 1])[0]
        np.testing.assert_allclose(off[i], honest, rtol=1e-6, atol=1e-8)
    plane = coordinates(FIELDS) @ [0.3, -1.0]
    np.testing.assert_allclose(baselines.spline_left_out(FIELDS[:, :2], plane), 0, atol=1e-8)  # which any four fields give
    with pytest.raises(ValueError, match="^fields: got 4; at least 5"):
        baselines.spline_left_out(FIELDS[:4], np.zeros(4))


@pytest.mark.parametrize("name", METHODS)
def test_no_seam(name):
    """A fan around +x is answered as the same fan turned round."""
    turned = np.array([-1, -1, 1])
    known = values(FIELDS, 3)
    np.testing.assert_allclose(METHODS[name](FIELDS * turned, known)(NEW * turned), METHODS[name](FIELDS, known)(NEW), atol=1e-9)
    np.testing.assert_allclose(METHODS[name](FIELDS, known)((NEW[:3] * turned * turned).tolist()), METHODS[name](FIELDS, known)(NEW[:3]))
