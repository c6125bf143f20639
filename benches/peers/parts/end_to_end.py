"""The whole way: clips and WAV files to CLIP embeddings and log-mel in HDF5."""
import itertools
import os
import pathlib
import shutil
import sys

import numpy as np
from arena import Memory, Series, alternate, fastest, ratio, run
from page import Check, Section, Target

from . import HERE, absent, cpu_flags

WANTED = {"720p": {"f32": 4.0, "bf16": 5.5}, "1080p": {"f32": 3.3, "bf16": 4.2}}  # against the reference example's way
SMALL = 5  # clips of the smaller run: one of each kind of picture


class Ours:
    """`pipeline run encode-clip log-mel` as a user starts it: a process and a work folder of its own each time."""

    def __init__(self, setting, name, folder, precision, cores=None):
        self.name, self.facts, self.missing = name, {}, None
        self.work = pathlib.Path(setting.scratch(f"store-{name.replace(' ', '-')}"))
        pin = ["taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0))[:cores]))] if cores else []
        self.command = [*pin, setting.binaries / "pipeline", "run", "encode-clip", "log-mel", "--data", folder, "--work", self.work, "--set",
                        f"encode-clip.model={setting.checkpoint}", "--set", f"encode-clip.precision={precision}"]

    def ask(self, request, watch=False):
        shutil.rmtree(self.work, ignore_errors=True)
        try:
            return run(self.command, cwd=self.work.parent, watch=watch)
        except RuntimeError as error:
            self.missing = str(error).strip().splitlines()[-1]
            print(f"  {self.name}: {self.missing}", file=sys.stderr)
            return {"error": self.missing}

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)


def folder_of(setting, name, stems):
    """A folder with these clips and nothing else, under the same names."""
    folder = pathlib.Path(setting.scratch(name))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for stem in stems:
        for kind in (".mp4", ".wav"):
            (folder / pathlib.Path(stem + kind).name).symlink_to(pathlib.Path(stem + kind).resolve())
    return folder


def best_composition(setting, stems, precision, section):
    """The composition that does a few clips fastest, of the fastest decoder and network of the parts before."""
    decoder, network = setting.found.get("decoder", "torchcodec"), setting.found.get(f"network {precision}")
    if network is None:
        section.notes.append(f"No peer computes in {precision} on this processor, so there is no composition in {precision}.")
        return None
    candidates = [setting.peer(f"{decoder} + {network} {precision}, {arrangement}", "composition", decoder, network, setting.checkpoint, precision, arrangement)
                  for arrangement in ("processes", "overlap")]
    series, _ = alternate(candidates, {"clips": stems, "out": setting.scratch("trial.h5")}, 2)
    section.notes.append("Compositions tried: " + "; ".join(f"{name} {s.median() / len(stems):.2f} s a clip" for name, s in series.items()) + ".")
    chosen = fastest(series, "")
    for candidate in candidates:
        if chosen is None or candidate.name != chosen.name:
            candidate.close()
    section.notes += absent(candidates)
    return next((c for c in candidates if chosen and c.name == chosen.name), None)


def compare(setting, size):
    stems, few = setting.stems(size), setting.stems(size, SMALL)
    if setting.quick:
        stems, few = few, few[:2]
    many_folder, few_folder = folder_of(setting, f"{size}-many", stems), folder_of(setting, f"{size}-few", few)
    text = (f"{len(stems)} clips of 10 s with WAV to ten ViT-B/32 embeddings a clip and a log-mel spectrogram (the preset `reference`, from 48 kHz) in HDF5. "
            "`whole process` is what a user waits for: start, loading and packing the model, reading and hashing the files, writing, syncing. "
            f"`a further clip` is the difference between {len(stems)} and {len(few)} clips, which leaves out start and model, as the loops of the peers do: "
            "they are imported, loaded and warm before the clock starts, and neither hash nor sync. Of an odd number of clips the last has one core for "
            "its decoding, so that on two cores the difference can be some 6 % below half of what one core takes.")
    section = Section(f"The whole way, {size}", text, ["", "clips", "whole process, s", "a clip, s", "a further clip, s", "peak memory, MB"])
    compositions = {}
    for precision in ("f32", "bf16"):
        compositions[precision] = best_composition(setting, few[:2], precision, section)
    ours = {(precision, cores): (Ours(setting, f"ours {precision}{cores or ''}", many_folder, precision, cores),
                                 Ours(setting, f"ours {precision}{cores or ''} few", few_folder, precision, cores))
            for precision, cores in (("f32", None), ("bf16", None), *([("f32", 1)] if size == "720p" else []))}
    reference = setting.peer("reference", "reference", setting.checkpoint)
    peers = [reference, *(c for c in compositions.values() if c)]
    racing = [*itertools.chain(*ours.values()), *peers]
    # The reference's way takes longest and is a loop over clips: it does the few.
    asked = {c.name: (few if c is reference else stems) for c in peers}
    memory = {}
    try:
        for peer in peers:
            with Memory(peer.process.pid) as watched:
                peer.ask({"clips": few[:2], "out": setting.scratch("warm.h5")})
            memory[peer.name] = watched.peak
        for whole, _ in ours.values():
            memory[whole.name] = whole.ask(None, watch=True).get("peak", 0)
        series, last = alternate(racing, lambda c: {"clips": asked.get(c.name), "out": setting.scratch(f"{c.name.split(' ')[0].replace('+', '')}.h5")}, setting.rounds, warm_up=0)
        slopes = report(section, series, memory, ours, asked, len(stems), len(few))
        judge(section, setting, size, series, slopes, asked, compositions, len(stems))
        section.checks += agreement(setting, size, few, last)
    finally:
        for contestant in racing:
            if contestant.name != "ours f32":
                contestant.close()
        section.notes += absent(racing)
    return section


def report(section, series, memory, ours, asked, many, few):
    """A row each; returns ours' cost of a further clip as series."""
    slopes = {}
    for (precision, cores), (whole, part) in ours.items():
        if whole.name not in series or part.name not in series:
            continue
        pairs = zip(series[whole.name].wall, series[part.name].wall)
        slopes[precision, cores] = Series(whole.name, [(a - b) / (many - few) for a, b in pairs], [])
        where = f"{precision}, {'one core' if cores == 1 else 'all cores'}"
        median, slope = series[whole.name].median(), slopes[precision, cores].median()
        section.rows.append([f"ours, {where}", many, f"{median:.2f}", f"{median / many:.3f}", f"{slope:.3f}", f"{memory[whole.name] / 1e6:.0f}"])
    for name, clips in asked.items():
        if name in series:
            a_clip = series[name].median() / len(clips)
            section.rows.append([name, len(clips), "-", f"{a_clip:.3f}", f"{a_clip:.3f}", f"{memory[name] / 1e6:.0f}"])
    return slopes


def per_clip(series, clips):
    return Series(series.name, [wall / clips for wall in series.wall], [])


def judge(section, setting, size, series, slopes, asked, compositions, many):
    emulated = not ({"avx512_bf16", "amx_bf16"} & cpu_flags())
    for precision in ("f32", "bf16"):
        why = "no bf16 instructions here: ours is an emulation" if precision == "bf16" and emulated else ""
        whole = series.get(f"ours {precision}")
        if whole is None or (precision, None) not in slopes:
            continue
        rivals = [("the reference example's way", "reference", WANTED[size][precision])]
        # Where nothing computes in bf16, users of the peers take f32.
        composition = compositions[precision] or compositions["f32"]
        if composition:
            rivals.append((f"the best composition of peers ({composition.name})", composition.name, 1.3))
        for what, name, least in rivals:
            if name in series:
                theirs = per_clip(series[name], len(asked[name]))
                further, entire = ratio(theirs, slopes[precision, None]), ratio(theirs, per_clip(whole, many))
                measured = f"{further}× a further clip, {entire}× with start and model"
                section.targets.append(Target(f"{size}, {precision}, against {what}", f"≥ {least}×", measured, None if why else further.median >= least, why))
    if ("f32", 1) in slopes:
        gain = ratio(slopes["f32", 1], slopes["f32", None])
        section.targets.append(Target(f"{size}, f32: all cores against one", "≥ 1.85×", f"{gain}×", gain.median >= 1.85))
    for precision in ("f32", "bf16"):
        if f"ours {precision}" in series:
            peak = int(next(row[-1] for row in section.rows if row[0].startswith(f"ours, {precision}, all")))
            section.targets.append(Target(f"{size}, {precision}: peak memory", "< 2,000 MB", f"{peak} MB", peak < 2000))


def agreement(setting, size, few, last):
    """Our shards against the reference's file."""
    import h5py
    sys.path.insert(0, str(HERE.parent.parent / "stages" / "shard" / "python"))
    from pipeline_shards import Shards
    checks = []
    if "ours f32" not in last or "reference" not in last:
        return checks
    store = pathlib.Path(setting.scratch("store-ours-f32"))
    with h5py.File(setting.scratch("reference.h5")) as theirs:
        embeddings, sounds = Shards(str(store / "encode-clip")), Shards(str(store / "log-mel"))
        names = [pathlib.Path(stem).name for stem in few]
        position = {name: i for i, name in enumerate(embeddings.ids)}
        worst, apart = 0.0, []
        for i, name in enumerate(names):
            mine, wanted = embeddings[position[name]]["embedding"], theirs["embedding"][i]
            worst = max(worst, float(np.abs(mine - wanted).max() / np.abs(wanted).max()))
            mel = sounds[position[name]]["log_mel"].T
            apart.append(float(np.median(np.abs(mel - theirs["log_mel"][i][:, :mel.shape[1]]))))
        checks.append(Check(f"{size}: embeddings of the whole way against PyTorch's", f"error {worst:.1e} of the largest value", worst <= 1e-4))
        # Two resamplers of unlike steepness: the middle of the band is the same, its upper end is not.
        checks.append(Check(f"{size}: log-mel of the whole way against the reference's, other resampler", f"median {max(apart):.3f} dB apart", max(apart) <= 0.1))
    shutil.rmtree(store, ignore_errors=True)
    return checks
