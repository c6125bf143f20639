#!/usr/bin/env python3
"""The peer of benches/training.rs: steps of training of torchvision's ResNet, one per line of input, seconds out.

Arguments: resnet18 | resnet34 | resnet50, batch, threads.
"""
import sys
import time

import torch
import torchvision
from torch import nn


class Scene(nn.Module):
    def __init__(self, name):
        super().__init__()
        trunk = getattr(torchvision.models, name)(weights=None)
        width = trunk.fc.in_features
        trunk.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.bn0 = nn.BatchNorm2d(128)
        drop = lambda: nn.Dropout2d(0.2)
        self.body = nn.Sequential(trunk.conv1, trunk.bn1, nn.ReLU(inplace=True), trunk.maxpool, trunk.layer1, drop(),
                                  trunk.layer2, drop(), trunk.layer3, drop(), trunk.layer4, drop())
        self.tail = nn.Sequential(nn.Dropout(0.2), nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, 10))

    def forward(self, x):
        x = self.bn0(x[:, None].transpose(1, 3)).transpose(1, 3)
        return self.tail(self.body(x).mean((2, 3)))


def main():
    name, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    net = Scene(name).train()
    x = torch.randn(batch, 480, 128)
    target = torch.zeros(batch, dtype=torch.long)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-3)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(net(x), target).backward()
        optimiser.step()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
