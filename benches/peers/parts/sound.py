"""Log-mel spectrograms."""
import subprocess

import numpy as np
from arena import alternate, ratio
from page import Check, Section, Target

from . import absent, versions

WANTED = {"torchaudio": 3.0, "librosa": 5.0}
BOUND = 1e-3  # dB


def compare(setting):
    sound = setting.scratch("sound.f32")
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", setting.stems("720p", 1)[0] + ".wav", "-ac", "1", "-ar", "32000", "-f", "f32le", sound], check=True)
    section = Section("Log-mel of 10 s at 32 kHz", "CPU milliseconds, one thread, median of the rounds; windows of 1,024 samples, 320 apart, 50-14,000 Hz; filters and "
                      "windows are made before the clock starts.", ["bands", "ours", *WANTED, *(f"{name} / ours" for name in WANTED)])
    for mels in (64, 128):
        contestants = [setting.ours("log-mel", mels), *(setting.peer(name, "log_mel", name, mels) for name in WANTED)]
        try:
            request = {"sound": sound, "repeat": 20}
            series, _ = alternate(contestants, request, setting.rounds * 2)
            against = {name: ratio(series[name], series["ours"], "cpu") for name in WANTED if name in series}
            cost = [f"{series[name].median('cpu') / 20 * 1e3:.2f}" if name in series else "-" for name in ("ours", *WANTED)]
            section.rows.append([mels, *cost, *(against.get(name, "-") for name in WANTED)])
            for name, least in WANTED.items():
                got = against.get(name)
                section.targets.append(Target(f"log-mel, {mels} bands, against {name}", f"≥ {least:.0f}×", f"{got}×" if got else "not there", got.median >= least if got else None))
            outputs = {c.name: setting.output(c, "log-mel", {"sound": sound, "repeat": 1}) for c in contestants if not c.missing}
            for name in WANTED:
                if name in outputs:
                    apart = float(np.abs(outputs["ours"].T - outputs[name]).max())
                    # torchaudio rounds more than we do: what is held is the distance to librosa.
                    if name == "librosa":
                        section.checks.append(Check(f"log-mel, {mels} bands: against librosa", f"at most {apart:.1e} dB apart", apart <= BOUND))
                    else:
                        section.notes.append(f"{mels} bands: at most {apart:.1e} dB from {name}.")
        finally:
            for contestant in contestants:
                contestant.close()
    section.notes += absent(contestants)
    setting.found.setdefault("versions", {}).update(versions(contestants))
    return section
