"""JAX-Privacy: clipped per-sample gradients under `jit`, Gaussian noise, an optax update.

The whole step is one compiled function, so it has no parts. It is compiled before the first step.
"""

import jax
import jax_privacy
import optax
from jax import numpy as jnp

import tasks


def linear(weights, name, x):
    y = x @ weights[f"{name}.weight"].T
    bias = weights.get(f"{name}.bias")
    return y if bias is None else y + bias


def normalize(x, axes):
    mean = x.mean(axes, keepdims=True)
    variance = jnp.square(x - mean).mean(axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + tasks.NORM_EPSILON)


def layer_norm(weights, name, x):
    return normalize(x, -1) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def conv_block(weights, number, x):
    """Convolution, GroupNorm, ReLU, pooling; `[batch, height, width, channel]`."""
    kernel = weights[f"conv{number}.weight"].transpose(2, 3, 1, 0)
    x = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = x + weights[f"conv{number}.bias"]
    batch, height, width, channels = x.shape
    groups = (batch, height, width, tasks.CNN_GROUPS, channels // tasks.CNN_GROUPS)
    x = normalize(x.reshape(groups), (1, 2, 4)).reshape(x.shape)
    x = jax.nn.relu(x * weights[f"norm{number}.weight"] + weights[f"norm{number}.bias"])
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return x.max((2, 4))


def mlp(weights, x):
    x = jax.nn.relu(linear(weights, "linear0", x))
    x = jax.nn.relu(linear(weights, "linear1", x))
    return linear(weights, "linear2", x)


def cnn(weights, x):
    x = conv_block(weights, 0, x.transpose(0, 2, 3, 1))
    x = conv_block(weights, 1, x)
    # The dense layer's columns are ordered channel first, as in PyTorch.
    x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
    return linear(weights, "linear1", jax.nn.relu(linear(weights, "linear0", x)))


def gpt(weights, tokens):
    batch, length = tokens.shape
    x = weights["tokens.weight"][tokens] + weights["positions.weight"][:length]
    for layer in range(tasks.LAYERS):
        block = f"blocks.{layer}"
        qkv = linear(weights, f"{block}.qkv", layer_norm(weights, f"{block}.norm0", x))
        heads = (batch, length, 3, tasks.HEADS, tasks.WIDTH // tasks.HEADS)
        query, key, value = jnp.moveaxis(qkv.reshape(heads), 2, 0)
        mixed = jax.nn.dot_product_attention(query, key, value, is_causal=True)
        x = x + linear(weights, f"{block}.projection", mixed.reshape(x.shape))
        up = linear(weights, f"{block}.up", layer_norm(weights, f"{block}.norm1", x))
        x = x + linear(weights, f"{block}.down", jax.nn.gelu(up, approximate=True))
    return linear(weights, "head", layer_norm(weights, "norm", x))


MODELS = {"mlp": mlp, "cnn": cnn, "gpt": gpt}

# Samples whose gradients are formed together, the fastest for each task. On a CPU one at a time is: the
# whole batch at once (None) took 60 times as long for the MLP and 7 times for the CNN.
MICRO_BATCH = {"mlp": 1, "cnn": 1, "gpt": 1}


def loss_function(task):
    """Mean cross-entropy over all labels or tokens."""
    model = MODELS[task]

    def loss(weights, inputs, targets):
        logits = model(weights, inputs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    return loss


class Peer:
    """One model, one batch, one optimizer; `step` does a complete step."""

    def __init__(self, task, _peer, _threads, optimizer):
        batch = tasks.BATCH[task]
        gradient = jax_privacy.clipped_grad(
            loss_function(task),
            l2_clip_norm=tasks.CLIP_NORM,
            normalize_by=batch,
            batch_argnums=(1, 2),
            microbatch_size=MICRO_BATCH[task],
        )
        privatizer = jax_privacy.noise_addition.gaussian_privatizer(
            stddev=tasks.NOISE_MULTIPLIER * gradient.sensitivity(), prng_key=0
        )
        make = {"sgd": optax.sgd, "adam": optax.adamw}[optimizer]
        update = optax.chain(privatizer, make(tasks.LEARNING_RATE))

        def step(weights, state, inputs, targets):
            clipped = gradient(weights, inputs, targets)
            direction, state = update.update(clipped, state, weights)
            return optax.apply_updates(weights, direction), state

        weights = {name: jnp.asarray(w) for name, w in tasks.random_weights(task).items()}
        state = update.init(weights)
        inputs, targets = tasks.random_batch(task)
        self.batch = (jnp.asarray(inputs), jnp.asarray(targets))
        self.compiled = (
            jax.jit(step, donate_argnums=(0, 1)).lower(weights, state, *self.batch).compile()
        )
        self.weights, self.state = weights, state

    def step(self):
        """One complete step; it has no parts."""
        self.weights, self.state = jax.block_until_ready(
            self.compiled(self.weights, self.state, *self.batch)
        )
        return {}


def versions():
    """What was measured."""
    return {"jax": jax.__version__, "jax-privacy": jax_privacy.__version__}


def check(task, _peer):
    """Loss, gradient norm and the first per-sample gradient norms at the fixed weights, in f64."""
    jax.config.update("jax_enable_x64", True)
    loss = loss_function(task)
    weights = {name: jnp.asarray(w) for name, w in tasks.fixed_weights(task).items()}
    inputs, targets = (jnp.asarray(part) for part in tasks.fixed_batch(task))

    def norm(*batch):
        return float(optax.global_norm(jax.grad(loss)(weights, *batch)))

    samples = [norm(inputs[i : i + 1], targets[i : i + 1]) for i in range(4)]
    return {
        "loss": float(loss(weights, inputs, targets)),
        "gradient_norm": norm(inputs, targets),
        "sample_norms": samples,
    }
