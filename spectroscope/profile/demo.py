"""A small network, trained in a few seconds on the photographs that come with the package."""

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from spectroscope.dataset import registry
from spectroscope.models.architectures import build
from spectroscope.pipeline import machine, params
from spectroscope.profile.images import photographs

SECONDS = 15.0
PER_CLASS = 100
BATCH_SIZE = 64
EPOCHS = 30


def trained() -> nn.Module:
    """A `cnn-a` for the eight classes of `photos`; training stops after SECONDS on a slow machine."""
    settings = params.validate(photographs(32, PER_CLASS, 1, 0), registry.DatasetSettings, "", Path("photos"))
    train = registry.load(settings).train
    x, y = train.pixels.float() / 255, train.labels
    with torch.random.fork_rng():
        machine.seed(0)
        model = build("cnn-a", tuple(x.shape[1:]), len(train.classes))
    model.normalise.fit(x)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    random, began = machine.generator(0), time.monotonic()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=random).split(BATCH_SIZE):
            optimiser.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
        if time.monotonic() - began > SECONDS:
            break
    return model.eval()
