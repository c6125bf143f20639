"""The parts of the comparison: each races its contestants and returns a Section."""
import dataclasses
import json
import pathlib
import sys

import numpy as np
from arena import Contestant

HERE = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass
class Setting:
    """Where everything is, and how long to measure."""
    work: pathlib.Path  # scratch, and the models
    clips: pathlib.Path  # SIZE-N.mp4 and .wav
    binaries: pathlib.Path  # the folder of `pipeline` and `examples/contestant`
    model: str  # ViT-B/32 ...
    rounds: int
    quick: bool
    found: dict = dataclasses.field(default_factory=dict)  # what a later part builds on: the fastest peers

    @property
    def checkpoint(self):
        return self.work / "models" / self.model.replace("/", "-")

    def stems(self, size, count=None):
        number = lambda path: int(path.stem.rpartition("-")[2])
        return [str(path.with_suffix("")) for path in sorted(self.clips.glob(f"{size}-*.mp4"), key=number)][:count]

    def ours(self, *arguments):
        return Contestant("ours", [self.binaries / "examples" / "contestant", *arguments])

    def peer(self, name, script, *arguments):
        return Contestant(name, [sys.executable, HERE / "contestants" / f"{script}.py", *arguments])

    def scratch(self, name):
        return str(self.work / name)

    def output(self, contestant, name, request):
        """One output of a contestant as an array, or None."""
        path = self.scratch(name)
        answer = contestant.ask(request | {"save": path})
        return np.fromfile(path, answer["dtype"]).reshape(answer["shape"]) if "error" not in answer else None


def cpu_flags():
    line = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), ":")
    return set(line.partition(":")[2].split())


def gflop(checkpoint):
    """Multiplications and additions of one picture: the matrix products, in units of 1e9."""
    c = json.loads((checkpoint / "config.json").read_text())
    width, hidden, layers, patch = c["hidden_size"], c["intermediate_size"], c["num_hidden_layers"], c["patch_size"]
    patches = (c["image_size"] // patch) ** 2
    tokens = patches + 1
    return 2e-9 * (layers * (tokens * (4 * width * width + 2 * width * hidden) + 2 * tokens * tokens * width)
                   + patches * 3 * patch * patch * width + width * c["projection_dim"])


def versions(contestants):
    return {c.name: c.facts["version"] for c in contestants if "version" in c.facts}


def absent(contestants):
    return [f"{c.name}: {c.missing}" for c in contestants if c.missing]
