"""What a run needs beside time on clips: start-up, and memory that does not grow with the data set."""
import pathlib
import shutil
import subprocess

from arena import Command, alternate, run
from page import Section, Target


def start(setting):
    """How long commands take that decode nothing."""
    folder = pathlib.Path(setting.scratch("720p-few"))
    work = setting.scratch("store-start")
    pipeline = setting.binaries / "pipeline"
    common = ["--data", folder, "--work", work, "--set", f"encode-clip.model={setting.checkpoint}"]
    commands = {"--version": [pipeline, "--version"], "status": [pipeline, "status", "log-mel", "encode-clip", *common]}
    run([pipeline, "run", "log-mel", "encode-clip", *common], cwd=setting.work)
    series, _ = alternate([Command(name, lambda _, line=line: line) for name, line in commands.items()], {}, 15)
    section = Section("Start-up", "Milliseconds of the whole process, median and range of 15; `status` of a few finished clips.", ["command", "ms"])
    for name, found in series.items():
        median = found.median() * 1e3
        section.rows.append([f"`pipeline {name}`", f"{median:.1f} ({min(found.wall) * 1e3:.1f}-{max(found.wall) * 1e3:.1f})"])
        section.targets.append(Target(f"`pipeline {name}` starts in", "< 20 ms", f"{median:.1f} ms", median < 20))
    shutil.rmtree(work, ignore_errors=True)
    return section


def memory(setting, counts=(100, 2000)):
    """The peak of runs over few and many clips of one second."""
    folder = pathlib.Path(setting.scratch("short"))
    folder.mkdir(exist_ok=True)
    source = folder.parent / "short.mp4"
    if not source.exists():
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=1",
                        "-f", "lavfi", "-i", "sine=f=330:d=1:r=48000", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-c:a", "aac", "-shortest", str(source)], check=True)
    base = source.read_bytes()
    section = Section("Memory and the number of clips", "One-second clips of 640x360 with sound, each of other bytes; peak of the whole process, f32.", ["clips", "peak memory, MB", "s"])
    peaks = []
    for count in counts:
        clips = folder / str(count)
        shutil.rmtree(clips, ignore_errors=True)
        clips.mkdir()
        for i in range(count):  # a `free` box at the end: other content, the same clip
            (clips / f"{i}.mp4").write_bytes(base + (16).to_bytes(4, "big") + b"free" + i.to_bytes(8, "big"))
        work = setting.scratch("store-memory")
        shutil.rmtree(work, ignore_errors=True)
        found = run([setting.binaries / "pipeline", "run", "encode-clip", "log-mel", "--data", clips, "--work", work, "--set", f"encode-clip.model={setting.checkpoint}"],
                    cwd=setting.work, watch=True)
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(clips, ignore_errors=True)
        peaks.append(found["peak"] / 1e6)
        section.rows.append([count, f"{peaks[-1]:.0f}", f"{found['wall']:.0f}"])
    grown = peaks[-1] / peaks[0]
    section.targets.append(Target(f"peak memory of {counts[-1]} clips against {counts[0]}", "the same", f"{grown:.2f}×, {peaks[-1]:.0f} MB", grown <= 1.1))
    return section
