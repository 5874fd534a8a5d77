"""Small training runs for the resume test, one for each optimizer; also a program that resumes them in its own process.

python resume_runs.py FOLDER    loads FOLDER/<name>.safetensors, takes 3 more steps, writes FOLDER/<name>.resumed
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np

import minidl.nn.functional as F
from minidl import Tensor, nn, optim
from minidl.backend import Generator
from minidl.data import DataLoader, TensorDataset, TransformedDataset
from minidl.data.sampler import stream
from minidl.io import checkpoint

OPTIMIZERS = {
    "SGD": lambda ps: optim.SGD(ps, 0.05),
    "SGD momentum": lambda ps: optim.SGD(ps, 0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "SGD dampened": lambda ps: optim.SGD(ps, 0.05, momentum=0.9, dampening=0.9),
    "Adam": lambda ps: optim.Adam(ps, 0.01),
    "Adam amsgrad": lambda ps: optim.Adam(ps, 0.01, amsgrad=True, weight_decay=0.01),
    "AdamW": lambda ps: optim.AdamW(ps, 0.01),
    "NAdam": lambda ps: optim.NAdam(ps, 0.01),
    "Adagrad": lambda ps: optim.Adagrad(ps, 0.05, lr_decay=0.1),
    "Adadelta": lambda ps: optim.Adadelta(ps),
    "RMSprop": lambda ps: optim.RMSprop(ps, 0.01, centered=True, momentum=0.5),
}
SCHEDULES = {
    "Adam": lambda o: optim.lr_scheduler.ReduceLROnPlateau(o, patience=0, factor=0.5, threshold=0.3),
    "AdamW": lambda o: optim.lr_scheduler.WarmupCosine(o, 2, 8),
    "SGD momentum": lambda o: optim.lr_scheduler.SequentialLR(
        o, [optim.lr_scheduler.LinearLR(o, 0.1, total_iters=3), optim.lr_scheduler.StepLR(o, 1, 0.9)], [3]
    ),
}


def noisy(x: Tensor, key: tuple[int, ...]) -> Tensor:
    return Tensor(x.array + stream(*key).standard_normal(x.shape).astype("f4") * 0.1)


class Run:
    """A model with dropout and batch normalisation, shuffled noisy data, a schedule: all that a seed decides."""

    def __init__(self, name: str, seed: int) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((10, 6)).astype("f4"), rng.integers(3, size=10)
        self.generator = Generator(seed)
        self.model = nn.Sequential(
            nn.Linear(6, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Dropout(0.3, generator=self.generator),
            nn.Linear(16, 3),
        )
        for p in self.model.parameters():
            p.array[...] = self.generator.numpy.standard_normal(p.shape) * 0.5
        self.optimizer = OPTIMIZERS[name](self.model.named_parameters())
        schedule = SCHEDULES.get(name, lambda o: optim.lr_scheduler.InverseSqrtLR(o, 0.5))
        self.scheduler = schedule(self.optimizer)
        data = TransformedDataset(TensorDataset(x, y), noisy)
        self.loader = DataLoader(data, 4, shuffle=True, generator=self.generator, num_workers=len(name) % 3)
        self.losses: list[float] = []
        self.steps = 0

    @property
    def parts(self):
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "generator": self.generator,
            "loader": self.loader,
        }

    def train(self, until: int, save_to: Path | None = None) -> None:
        """Take steps until so many have been taken; save inside the loop, where a run would be interrupted."""
        while self.steps < until:
            for x, y in self.loader:
                loss = F.cross_entropy(self.model(x), y)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                if isinstance(self.scheduler, optim.lr_scheduler.ReduceLROnPlateau):
                    self.scheduler.step(loss.item())
                else:
                    self.scheduler.step()
                self.losses.append(loss.item())
                self.steps += 1
                if self.steps == until:
                    if save_to is not None:
                        checkpoint.save(save_to, **self.parts, extra={"steps": self.steps, "losses": self.losses})
                    break

    def digest(self) -> tuple[str, list[float]]:
        """Every bit of the weights, the optimizer's and the generator's state, and the losses on the way."""
        hashed = hashlib.sha256()
        for name, value in self.model.state_dict().items():
            hashed.update(name.encode() + value.array.tobytes())
        hashed.update(pickle.dumps(self.optimizer.state_dict()))
        hashed.update(repr((self.scheduler.state_dict(), self.generator.get_state())).encode())
        return hashed.hexdigest(), self.losses


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in OPTIMIZERS:
        run = Run(name, seed=99)  # everything that the seed decides must come out of the checkpoint
        extra = checkpoint.load(folder / f"{name}.safetensors", **run.parts)
        run.steps, run.losses = extra["steps"], extra["losses"]
        run.train(6)
        (folder / f"{name}.resumed").write_bytes(pickle.dumps(run.digest()))
