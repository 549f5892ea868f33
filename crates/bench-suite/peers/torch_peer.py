"""PyTorch without privacy, and Opacus with per-sample gradients from hooks or with ghost clipping.

Written as a careful user would write it: fused attention, the fused optimizer, no gradient buffers
kept between steps. The models use standard modules only, which Opacus needs for its fast paths.
"""

import time

import opacus
import torch
from torch import nn
from torch.nn import functional

import tasks


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        first, second, third, last = tasks.MLP_WIDTHS
        self.linear0 = nn.Linear(first, second)
        self.linear1 = nn.Linear(second, third)
        self.linear2 = nn.Linear(third, last)

    def forward(self, x):
        x = functional.relu(self.linear0(x))
        x = functional.relu(self.linear1(x))
        return self.linear2(x)


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        none, first, second = tasks.CNN_CHANNELS
        self.conv0 = nn.Conv2d(none, first, 3, padding=1)
        self.norm0 = nn.GroupNorm(tasks.CNN_GROUPS, first, eps=tasks.NORM_EPSILON)
        self.conv1 = nn.Conv2d(first, second, 3, padding=1)
        self.norm1 = nn.GroupNorm(tasks.CNN_GROUPS, second, eps=tasks.NORM_EPSILON)
        self.linear0 = nn.Linear(second * 7 * 7, tasks.CNN_HIDDEN)
        self.linear1 = nn.Linear(tasks.CNN_HIDDEN, tasks.N_CLASSES)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.norm0(self.conv0(x))), 2)
        x = functional.max_pool2d(functional.relu(self.norm1(self.conv1(x))), 2)
        x = functional.relu(self.linear0(x.flatten(1)))
        return self.linear1(x)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm0 = nn.LayerNorm(tasks.WIDTH, eps=tasks.NORM_EPSILON)
        self.qkv = nn.Linear(tasks.WIDTH, 3 * tasks.WIDTH)
        self.projection = nn.Linear(tasks.WIDTH, tasks.WIDTH)
        self.norm1 = nn.LayerNorm(tasks.WIDTH, eps=tasks.NORM_EPSILON)
        self.up = nn.Linear(tasks.WIDTH, 4 * tasks.WIDTH)
        self.gelu = nn.GELU(approximate="tanh")
        self.down = nn.Linear(4 * tasks.WIDTH, tasks.WIDTH)

    def forward(self, x):
        batch, length, width = x.shape
        heads = (batch, length, 3, tasks.HEADS, width // tasks.HEADS)
        query, key, value = self.qkv(self.norm0(x)).view(heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.projection(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(self.gelu(self.up(self.norm1(x))))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(tasks.VOCABULARY, tasks.WIDTH)
        self.positions = nn.Embedding(tasks.LENGTH, tasks.WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(tasks.LAYERS))
        self.norm = nn.LayerNorm(tasks.WIDTH, eps=tasks.NORM_EPSILON)
        self.head = nn.Linear(tasks.WIDTH, tasks.VOCABULARY, bias=False)
        # Per-sample gradients need a row of positions per sample (in memory: ghost norms refuse an
        # expanded view); otherwise one row serves all.
        self.one_row_per_sample = False

    def forward(self, tokens):
        batch, length = tokens.shape
        rows = batch if self.one_row_per_sample else 1
        positions = torch.arange(length, device=tokens.device).repeat(rows, 1)
        x = self.tokens(tokens) + self.positions(positions)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


MODELS = {"mlp": Mlp, "cnn": Cnn, "gpt": Gpt}


def load(task, weights, dtype):
    """The model of `task` with `weights` (arrays by name)."""
    model = MODELS[task]().to(dtype)
    state = {name: torch.as_tensor(values).to(dtype) for name, values in weights.items()}
    model.load_state_dict(state)
    return model


def mean_loss(logits, targets):
    """Mean cross-entropy over all labels or tokens."""
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())


def make_private(task, peer, model, optimizer, inputs, targets):
    """The model and the optimizer as Opacus wraps them, and the loss function that belongs to them."""
    if task == "gpt":
        model.one_row_per_sample = True
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(inputs, targets), batch_size=tasks.BATCH[task]
    )
    wrapped = opacus.PrivacyEngine(accountant="rdp").make_private(
        module=model,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(),
        data_loader=loader,
        noise_multiplier=tasks.NOISE_MULTIPLIER,
        max_grad_norm=tasks.CLIP_NORM,
        poisson_sampling=False,
        grad_sample_mode={"opacus-hooks": "hooks", "opacus-ghost": "ghost"}[peer],
    )
    if peer == "opacus-hooks":
        model, optimizer, _ = wrapped
        return model, optimizer, mean_loss
    model, optimizer, criterion, _ = wrapped

    def loss(logits, targets):
        shape = logits.shape if logits.dim() == 3 else None
        return criterion(logits.flatten(0, -2), targets.flatten(), shape=shape)

    return model, optimizer, loss


class Peer:
    """One model, one batch, one optimizer; `step` does a complete step and times its parts."""

    def __init__(self, task, peer, threads, optimizer):
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        torch.manual_seed(0)
        self.model = load(task, tasks.random_weights(task), torch.float32)
        self.inputs, self.targets = (torch.as_tensor(part) for part in tasks.random_batch(task))
        if peer == "torch" and task == "cnn":
            # The faster layout; Opacus gains nothing from it.
            self.model = self.model.to(memory_format=torch.channels_last)
        make = {"sgd": torch.optim.SGD, "adam": torch.optim.AdamW}[optimizer]
        self.optimizer = make(self.model.parameters(), lr=tasks.LEARNING_RATE, fused=True)
        self.loss = mean_loss
        if peer != "torch":
            self.model, self.optimizer, self.loss = make_private(
                task, peer, self.model, self.optimizer, self.inputs, self.targets
            )

    def step(self):
        """One complete step; process CPU seconds of its parts."""
        start = time.process_time()
        self.optimizer.zero_grad()
        loss = self.loss(self.model(self.inputs), self.targets)
        forward = time.process_time()
        loss.backward()
        backward = time.process_time()
        self.optimizer.step()
        end = time.process_time()
        return {
            "forward": forward - start,
            "backward": backward - forward,
            "optimizer": end - backward,
        }


def versions():
    """What was measured."""
    return {"torch": torch.__version__, "opacus": opacus.__version__}


def check(task, peer):
    """Loss, gradient norm and the first per-sample gradient norms at the fixed weights, in f64.

    The per-sample norms are those that Opacus clips by, where it is the peer.
    """
    inputs, targets = (torch.as_tensor(part) for part in tasks.fixed_batch(task))
    model = load(task, tasks.fixed_weights(task), torch.float64)

    def norm(loss):
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        return float(torch.sqrt(sum((gradient**2).sum() for gradient in gradients)))

    loss = mean_loss(model(inputs), targets)
    found = {"loss": float(loss.detach()), "gradient_norm": norm(loss)}
    if peer == "torch":
        one = [slice(sample, sample + 1) for sample in range(4)]
        norms = [norm(mean_loss(model(inputs[s]), targets[s])) for s in one]
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=tasks.LEARNING_RATE)
        wrapped, _, loss = make_private(task, peer, model, optimizer, inputs, targets)
        loss(wrapped(inputs), targets).backward()
        if peer == "opacus-hooks":
            squares = [p.grad_sample.flatten(1).square().sum(1) for p in model.parameters()]
            norms = torch.sqrt(sum(squares))[:4].tolist()
        else:
            norms = wrapped.per_sample_gradient_norms[:4].tolist()
    return {**found, "sample_norms": norms}
