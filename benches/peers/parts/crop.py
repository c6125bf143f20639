"""Resize and crop."""
import numpy as np
from arena import alternate, ratio
from page import Check, Section, Target

from . import absent, versions
from .decode import SIZES


def compare(setting):
    contestants = [setting.ours("crop", setting.checkpoint), setting.peer("pillow", "crop", "pillow"), setting.peer("torchvision", "crop", "torchvision")]
    section = Section("Resize and crop to 224", "CPU milliseconds a picture, one thread, median of the rounds; bicubic with antialiasing.",
                      ["picture", *(c.name for c in contestants), "pillow / ours", "torchvision / ours"])
    try:
        for size, (width, height, _) in SIZES.items():
            request = {"picture": setting.scratch(f"picture-{size}.rgb"), "width": width, "height": height, "repeat": 20}
            series, _ = alternate(contestants, request, setting.rounds * 2)
            against = {name: ratio(series[name], series["ours"], "cpu") for name in ("pillow", "torchvision") if name in series}
            cost = [f"{series[c.name].median('cpu') / 20 * 1e3:.2f}" if c.name in series else "-" for c in contestants]
            section.rows.append([f"{width}x{height}", *cost, *(against.get(name, "-") for name in ("pillow", "torchvision"))])
            got = against.get("pillow")
            section.targets.append(Target(f"resize and crop {size}, against Pillow", "≥ 4×", f"{got}×" if got else "not there", got.median >= 4 if got else None))
            outputs = {c.name: setting.output(c, "window", request | {"repeat": 1}) for c in contestants if not c.missing}
            for name, found in outputs.items():
                levels = np.abs(found.astype(int) - outputs["ours"].astype(int))
                if name == "pillow":
                    section.checks.append(Check(f"{size}: window byte-equal to Pillow's", f"{(levels > 0).sum()} of {levels.size} differ", not levels.any()))
                elif name == "torchvision":
                    section.notes.append(f"{size}: torchvision's window is up to {levels.max()} levels away.")
    finally:
        for contestant in contestants:
            contestant.close()
    section.notes += absent(contestants)
    setting.found.setdefault("versions", {}).update(versions(contestants))
    return section
