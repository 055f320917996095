"""The decoder without Keras: the same states, whatever its size, and Keras for whatever is not such a decoder."""

import keras
import numpy as np
import pytest

from magbook import _decoding, autoencoder
from magbook._keras import Conv2DTranspose
from magbook.film import Film
from magbook.rom import ReducedOrderModel
from magbook.stepper import Stepper, build

FILM = Film((32e-9, 16e-9, 3e-9), (16, 8))


def lively(latent, shape, filters, **options):
    """Encoder and decoder with weights and biases so large that values below and above zero are met in every layer."""
    encoder, decoder = autoencoder.build(latent, shape, filters, **options)
    rng = np.random.default_rng(0)
    decoder.set_weights([rng.normal(0, 0.3 if w.ndim == 1 else 1.2 / np.sqrt(w.shape[-1] if w.ndim == 4 else len(w)), w.shape) for w in decoder.get_weights()])
    return encoder, decoder


def latents(n, latent, seed=1):
    return np.random.default_rng(seed).normal(0, 2, (n, latent)).astype(np.float32)


def model(encoder, decoder):
    return ReducedOrderModel(encoder, decoder, Stepper(build(3, (8, 8)), 2.0), film=FILM)


@pytest.mark.parametrize("latent, shape, filters, n", [
    (16, (64, 256, 3), autoencoder.FILTERS, _decoding.AT_ONCE + 1), (1, (2, 2, 3), (1,), 1), (3, (6, 10, 3), (5,), 2), (5, (4, 12, 3), (3, 7), 3),
    (2, (24, 8, 3), (4, 6, 2), 1), (4, (16, 48, 3), (8, 4, 4, 8), 40)])
def test_it_agrees_with_keras(latent, shape, filters, n):
    _, decoder = lively(latent, shape, filters)
    c = latents(n, latent)
    got, want = _decoding.decode(_decoding.products(decoder), c, *shape[:2]), decoder.predict_on_batch(c)
    assert got.shape == (n, *shape) and got.dtype == np.float32 and np.ptp(want) > 0.1
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert _decoding.decode(_decoding.products(decoder), c[:0], *shape[:2]).shape == (0, *shape)


def test_weights_that_change_are_seen():
    rom, c = model(*lively(3, (8, 16, 3), (4, 8))), latents(2, 3)
    before = rom.decode(c)
    rom.decoder.set_weights([-w for w in rom.decoder.get_weights()])
    np.testing.assert_allclose(rom.decode(c), rom.decoder.predict_on_batch(c), atol=1e-5)
    assert np.abs(rom.decode(c) - before).max() > 0.1


def changed(decoder, of, **options):
    """Layers of the same sizes, with other options in one of them."""
    return keras.Sequential([keras.Input((3,)), *(type(layer).from_config(layer.get_config() | (options if k == of else {}))
                                                  for k, layer in enumerate(decoder.layers))])


def others():
    """Decoders that a student may make of the paper's."""
    encoder, decoder = lively(3, (8, 16, 3), (4, 8, 8))
    yield "relu", autoencoder.build(3, (8, 16, 3), (4, 8), activation="relu")[1]
    yield "one relu", changed(decoder, of=3, activation="relu")
    yield "no tanh", changed(decoder, of=5, activation="linear")
    yield "no bias", changed(decoder, of=0, use_bias=False)
    yield "half precision", changed(decoder, of=4, dtype="mixed_float16")
    yield "a larger kernel", changed(decoder, of=3, kernel_size=(4, 4))
    yield "one more layer", keras.Sequential([decoder, keras.layers.UnitNormalization(axis=-1)])
    yield "one more layer in a row", keras.Sequential([keras.Input((3,)), *decoder.layers, keras.layers.UnitNormalization(axis=-1)])
    yield "a functional one", keras.Model(decoder.inputs, keras.layers.UnitNormalization(axis=-1)(decoder.outputs[0]))
    yield "a dense one", keras.Sequential([keras.Input((3,)), keras.layers.Dense(8 * 16 * 3), keras.layers.Reshape((8, 16, 3))])
    own = [keras.layers.Conv2DTranspose.from_config(one.get_config()) if type(one) is Conv2DTranspose else one for one in decoder.layers]
    yield "Keras's own convolution", keras.Sequential([keras.Input((3,)), *own])


@pytest.mark.parametrize("decoder", [pytest.param(one, id=name) for name, one in others()])
def test_keras_decodes_what_is_another_network(decoder):
    assert _decoding.products(decoder) is None
    encoder, c = autoencoder.build(3, (8, 16, 3), (4, 8))[0], latents(2, 3)
    np.testing.assert_array_equal(model(encoder, decoder).decode(c), decoder.predict_on_batch(c))


def test_a_weight_that_is_not_finite_is_passed_on():
    rom, c = model(*lively(3, (8, 16, 3), (4, 8))), latents(2, 3)
    weights = rom.decoder.get_weights()
    weights[2][0, 0, 0, 0] = np.nan
    rom.decoder.set_weights(weights)
    np.testing.assert_array_equal(np.isnan(rom.decode(c)), np.isnan(rom.decoder.predict_on_batch(c)))
    assert np.isnan(rom.decode(c)).any()
