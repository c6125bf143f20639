"""This program beside its peers, in turn in one run: python compare.py --work FOLDER --clips FOLDER --binaries FOLDER [--page FILE] [--quick]

What it measures, warms up and checks is told on the page that it writes (docs/peers.md). run.sh does everything around it: builds, installs,
renders, starts this. Parts can be named: encoder-f32 encoder-bf16 decode crop sound 720p 1080p start memory.
"""
import argparse
import datetime
import os
import pathlib
import platform
import subprocess
import sys

from page import render
from parts import HERE, Setting, crop, decode, encoder, end_to_end, running, sound

PARTS = {
    "encoder-f32": lambda s: encoder.compare(s, "f32"),
    "encoder-bf16": lambda s: encoder.compare(s, "bf16"),
    "decode": decode.compare,
    "crop": lambda s: crop.compare(s),
    "sound": sound.compare,
    "720p": lambda s: end_to_end.compare(s, "720p"),
    "1080p": lambda s: end_to_end.compare(s, "1080p"),
    "start": running.start,
    "memory": running.memory,
}
LONG = ("memory",)  # left out of a quick run

INTRO = """Everything that is measured here runs in turn in one run, on one machine: a round asks each contestant once, every contestant is a process of its
own, warmed up and loaded before its clock starts, and the rounds begin with another one each time. Figures are medians of the rounds; a ratio is that
of two medians, with the least and the largest ratio of a single round in parentheses. Above 1 ours is faster. The clips are rendered and the weights drawn at
random: neither changes what has to be computed. `benches/peers/run.sh` makes this page; the outputs that are compared are named in the second table."""


def first(text, name):
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(name)), "?")


def version_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "?"


def machine(setting, load):
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    flags = set(first(cpu, "flags").split())
    sets = [flag for flag in ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16") if flag in flags]
    missing = pathlib.Path(sys.prefix, "missing.txt")
    packages = subprocess.run([sys.executable, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True).stdout.split()
    named = {line.split("==")[0] for row in (HERE / "requirements.txt").read_text().splitlines() if not row.startswith("#") for line in row.split()}
    return [
        ["processor", f"{first(cpu, 'model name')}, {len(os.sched_getaffinity(0))} cores; {', '.join(sets)}"],
        *([f"{precision} peak of two threads", f"{setting.found[f'peak {precision}']:.0f} GFLOP/s, products and sums in registers alone"]
          for precision in ("f32", "bf16") if f"peak {precision}" in setting.found),
        ["memory", f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.0f} GB"],
        ["load before", " ".join(f"{value:.1f}" for value in load)],
        ["system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {version_of('rustc', '--version')}"],
        ["ffmpeg", version_of("ffmpeg", "-version")],
        ["peers", ", ".join(package for package in packages if package.split("==")[0].lower() in named)],
        ["not installed here", missing.read_text().replace("\n", ", ").strip(", ") or "none" if missing.exists() else "unknown"],
        ["date", datetime.date.today().isoformat()],
        ["command", "`benches/peers/run.sh" + "".join(f" {argument}" for argument in setting.arguments) + "`"],
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="[default: all]")
    for name in ("work", "clips", "binaries"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--page", type=pathlib.Path, help="where the page goes [default: standard output]")
    parser.add_argument("--model", default="ViT-B/32", help="ViT-B/16 and ViT-L/14 are for the parts about the encoder")
    parser.add_argument("--rounds", type=int, help="[default: 5; 3 with --quick]")
    parser.add_argument("--quick", action="store_true", help="fewer clips and rounds: to see whether it works")
    options = parser.parse_args()
    load = os.getloadavg()
    setting = Setting(options.work.resolve(), options.clips.resolve(), options.binaries.resolve(), options.model,
                      options.rounds or (3 if options.quick else 5), options.quick)
    setting.arguments = options.parts + (["--quick"] if options.quick else []) + ([f"--rounds {options.rounds}"] if options.rounds else [])
    setting.work.mkdir(parents=True, exist_ok=True)
    sections = []
    for name in options.parts or [name for name in PARTS if not (options.quick and name in LONG)]:
        print(f"{datetime.datetime.now():%H:%M:%S} {name}", file=sys.stderr, flush=True)
        sections.append(PARTS[name](setting))
    text = render(INTRO.splitlines(), machine(setting, load), sections)
    if options.page:
        options.page.write_text(text)
    else:
        print(text)
    failed = [check for section in sections for check in section.checks if not check.holds]
    for check in failed:
        print(f"DOES NOT HOLD: {check.what}: {check.found}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
