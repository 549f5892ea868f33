"""Shapes, starting weights and batches of the three tasks, in numpy, so that every peer gets the same.

Layouts are PyTorch's: linear weights `[out, in]`, convolutions `[out, in, height, width]`, images
`[batch, channel, height, width]`.
"""

import collections

import numpy as np

# kind: "linear" (weights drawn by fan-in), "embedding", "bias", "scale" (of a norm layer)
Leaf = collections.namedtuple("Leaf", "name shape kind")

BATCH = {"mlp": 64, "cnn": 64, "gpt": 16}
N_CLASSES = 10
MLP_WIDTHS = (784, 512, 256, N_CLASSES)
CNN_CHANNELS = (1, 32, 64)
CNN_GROUPS = 8
CNN_HIDDEN = 128
LAYERS, WIDTH, HEADS, LENGTH, VOCABULARY = 4, 256, 8, 128, 8192

# Of the norm layers, in every peer.
NORM_EPSILON = 1e-5

CLIP_NORM = 1.0
NOISE_MULTIPLIER = 1.0
LEARNING_RATE = 1e-3


def _linear(name, n_out, n_in, bias=True):
    weight = Leaf(f"{name}.weight", (n_out, n_in), "linear")
    return [weight, Leaf(f"{name}.bias", (n_out,), "bias")] if bias else [weight]


def _norm(name, n):
    return [Leaf(f"{name}.weight", (n,), "scale"), Leaf(f"{name}.bias", (n,), "bias")]


def _conv(name, n_out, n_in):
    return [
        Leaf(f"{name}.weight", (n_out, n_in, 3, 3), "linear"),
        Leaf(f"{name}.bias", (n_out,), "bias"),
    ]


def leaves(task):
    """The trainable leaves of `task`, in a fixed order."""
    if task == "mlp":
        return [
            leaf
            for layer in range(len(MLP_WIDTHS) - 1)
            for leaf in _linear(f"linear{layer}", MLP_WIDTHS[layer + 1], MLP_WIDTHS[layer])
        ]
    if task == "cnn":
        none, first, second = CNN_CHANNELS
        return (
            _conv("conv0", first, none)
            + _norm("norm0", first)
            + _conv("conv1", second, first)
            + _norm("norm1", second)
            + _linear("linear0", CNN_HIDDEN, second * 7 * 7)
            + _linear("linear1", N_CLASSES, CNN_HIDDEN)
        )
    found = [
        Leaf("tokens.weight", (VOCABULARY, WIDTH), "embedding"),
        Leaf("positions.weight", (LENGTH, WIDTH), "embedding"),
    ]
    for layer in range(LAYERS):
        block = f"blocks.{layer}"
        found += _norm(f"{block}.norm0", WIDTH)
        found += _linear(f"{block}.qkv", 3 * WIDTH, WIDTH)
        found += _linear(f"{block}.projection", WIDTH, WIDTH)
        found += _norm(f"{block}.norm1", WIDTH)
        found += _linear(f"{block}.up", 4 * WIDTH, WIDTH)
        found += _linear(f"{block}.down", WIDTH, 4 * WIDTH)
    return found + _norm("norm", WIDTH) + _linear("head", VOCABULARY, WIDTH, bias=False)


def n_parameters(task):
    """How many trainable numbers `task` has."""
    return sum(int(np.prod(leaf.shape)) for leaf in leaves(task))


def random_weights(task):
    """Seeded starting weights, `{name: array}`: fan-in scaled, embeddings with deviation 0.02."""
    generator = np.random.default_rng(1)
    weights = {}
    for leaf in leaves(task):
        if leaf.kind == "linear":
            deviation = np.prod(leaf.shape[1:]) ** -0.5
            values = generator.standard_normal(leaf.shape) * deviation
        elif leaf.kind == "embedding":
            values = generator.standard_normal(leaf.shape) * 0.02
        else:
            values = np.full(leaf.shape, 1.0 if leaf.kind == "scale" else 0.0)
        weights[leaf.name] = values.astype(np.float32)
    return weights


def random_batch(task):
    """A seeded batch `(inputs, targets)`."""
    generator = np.random.default_rng(2)
    n = BATCH[task]
    if task == "gpt":
        tokens = generator.integers(0, VOCABULARY, (n, LENGTH + 1))
        return tokens[:, :-1].astype(np.int64), tokens[:, 1:].astype(np.int64)
    shape = (n, 784) if task == "mlp" else (n, 1, 28, 28)
    inputs = generator.standard_normal(shape).astype(np.float32)
    return inputs, generator.integers(0, N_CLASSES, n).astype(np.int64)


def fixed_weights(task):
    """Weights from a formula that any language can repeat, in f64.

    With `i` the position in the flattened leaf and `l` the leaf's number, both from 0:
    linear and embedding `sin(0.37 i + l) / sqrt(elements of one row)`, scale `1 + 0.1 sin(0.37 i + l)`,
    bias `0.1 sin(0.37 i + l)`.
    """
    weights = {}
    for number, leaf in enumerate(leaves(task)):
        wave = np.sin(0.37 * np.arange(np.prod(leaf.shape)) + number).reshape(leaf.shape)
        if leaf.kind in ("linear", "embedding"):
            weights[leaf.name] = wave / np.sqrt(np.prod(leaf.shape[1:]))
        else:
            weights[leaf.name] = 0.1 * wave + (1.0 if leaf.kind == "scale" else 0.0)
    return weights


def fixed_batch(task):
    """The batch that belongs to `fixed_weights`: `(inputs, targets)`.

    Images: `sin(0.11 i)` at position `i` of the flattened batch, label `sample mod 10`. Text: at
    position `i` of the flattened batch token `7 i + 3` and target `5 i + 1`, both mod 8192.
    """
    n = BATCH[task]
    if task == "gpt":
        position = np.arange(n * LENGTH, dtype=np.int64).reshape(n, LENGTH)
        return (7 * position + 3) % VOCABULARY, (5 * position + 1) % VOCABULARY
    shape = (n, 784) if task == "mlp" else (n, 1, 28, 28)
    inputs = np.sin(0.11 * np.arange(np.prod(shape))).reshape(shape)
    return inputs, np.arange(n, dtype=np.int64) % N_CLASSES
