"""Decoding to ten wanted pictures."""
import subprocess

import numpy as np
from arena import Command, alternate, fastest, ratio, run
from page import Check, Section, Target

from . import absent, versions

SIZES = {"720p": (1280, 720, 0.5), "1080p": (1920, 1080, 0.65)}  # width, height, target against the command


class Ffmpeg(Command):
    """`ffmpeg -threads 1 -i CLIP -an -vf fps=1 -f null -` for each clip: decodes all, converts and stores nothing."""

    def ask(self, request):
        answers = [run(["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-i", clip, "-an", "-vf", "fps=1", "-f", "null", "-"])
                   for clip in request["clips"]]
        return {clock: sum(answer[clock] for answer in answers) for clock in ("wall", "cpu")}


def compare(setting):
    ours = setting.ours("decode")
    peers = [setting.peer(name, "decode", name) for name in ("torchcodec", "pyav", "decord")]
    contestants = [ours, Ffmpeg("ffmpeg", None), *peers]
    section = Section("Ten pictures of a clip", "CPU milliseconds a clip, one thread, to RGB in memory; median of the rounds. The command "
                      "`ffmpeg -threads 1 -i CLIP -an -vf fps=1 -f null -` decodes everything, converts nothing, and starts a process for each clip "
                      "(about 0.1 s, mostly of loading libraries).",
                      ["clips", *(c.name for c in contestants), "ours / ffmpeg", "torchcodec / ours", "pyav / ours", "decord / ours"])
    try:
        for size, (width, height, wanted) in SIZES.items():
            stems = setting.stems(size, 1 if setting.quick else 3)
            clips = [stem + ".mp4" for stem in stems]
            for contestant in contestants:
                if contestant.missing is None:
                    contestant.ask({"clips": clips[:1]})
            series, _ = alternate(contestants, {"clips": clips}, setting.rounds, warm_up=0)
            mine = series["ours"]
            against = {name: ratio(series[name], mine, "cpu") for name in ("torchcodec", "pyav", "decord") if name in series}
            command = ratio(mine, series["ffmpeg"], "cpu")
            cost = [f"{series[c.name].median('cpu') / len(clips) * 1e3:.0f}" if c.name in series else "-" for c in contestants]
            section.rows.append([size, *cost, command, *(against.get(name, "-") for name in ("torchcodec", "pyav", "decord"))])
            section.targets.append(Target(f"decoding {size}, CPU time against `ffmpeg -threads 1 -vf fps=1`", f"≤ {wanted}×", f"{command}×", command.median <= wanted))
            for name, least in (("torchcodec", 1.25), ("pyav", 1.0), ("decord", 1.0)):
                got = against.get(name)
                section.targets.append(Target(f"decoding {size}, against {name}", f"≥ {least}×", f"{got}×" if got else "not there", got.median >= least if got else None))
            setting.found.setdefault("decoder", getattr(fastest({n: s for n, s in series.items() if n in against}, "ours", "cpu"), "name", None))
            section.checks += agreement(setting, size, (height, width), contestants, stems[0] + ".mp4", section)
    finally:
        for contestant in contestants:
            contestant.close()
    section.notes += absent(contestants)
    setting.found.setdefault("versions", {}).update(versions(contestants))
    return section


def agreement(setting, size, shape, contestants, clip, section):
    """Everyone's pictures of a clip against the command's."""
    raw = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", clip, "-an", "-vf", "fps=1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
                         capture_output=True, check=True).stdout
    wanted, checks = np.frombuffer(raw, "u1").reshape(-1, *shape, 3), []
    for contestant in contestants:
        if contestant.missing or contestant.name == "ffmpeg":
            continue
        found = setting.output(contestant, "pictures", {"clips": [clip]})
        same = found is not None and found.shape == wanted.shape and int((found == wanted).all((1, 2, 3)).sum())
        if contestant.name == "ours":
            found[0].tofile(setting.scratch(f"picture-{size}.rgb"))
            checks.append(Check(f"{size}: pictures byte-equal to `ffmpeg -vf fps=1`", f"{same} of {len(wanted)}", same == len(wanted)))
        else:
            section.notes.append(f"{size}, {contestant.name}: {same} of {len(wanted)} pictures are byte-equal to the command's.")
    return checks
