"""A log-mel spectrogram of sound at 32 kHz: python log_mel.py torchaudio | librosa  MELS

Request: {"sound": FILE (raw f32), "repeat": r}, and {"save": FILE} for the values [MELS, T]. 1024-sample windows, 320 samples apart, Slaney
mels from 50 to 14,000 Hz, dB of the power, no clipping: the preset `panns`. Filters and windows are made once, before the clock starts.
"""
import sys

import numpy as np
import protocol

RATE, WINDOW, HOP, LOW, HIGH, FLOOR = 32000, 1024, 320, 50, 14000, 1e-10


def torchaudio(mels):
    import torch
    import torchaudio as library
    torch.set_num_threads(1)
    mel = library.transforms.MelSpectrogram(sample_rate=RATE, n_fft=WINDOW, hop_length=HOP, n_mels=mels, f_min=LOW, f_max=HIGH, norm="slaney",
                                            mel_scale="slaney", power=2.0)

    def log_mel(sound):
        with torch.inference_mode():
            return (10 * torch.log10(torch.clamp(mel(torch.from_numpy(sound)), min=FLOOR))).numpy()
    return library.__version__, log_mel


def librosa(mels):
    import librosa as library
    filters = library.filters.mel(sr=RATE, n_fft=WINDOW, n_mels=mels, fmin=LOW, fmax=HIGH)

    def log_mel(sound):
        power = np.abs(library.stft(sound, n_fft=WINDOW, hop_length=HOP, pad_mode="reflect")) ** 2
        return library.power_to_db(filters @ power, ref=1.0, amin=FLOOR, top_db=None)
    return library.__version__, log_mel


LIBRARIES = {"torchaudio": torchaudio, "librosa": librosa}


def answer(state, request):
    log_mel, sounds = state
    name = request["sound"]
    if name not in sounds:
        sounds[name] = np.fromfile(name, "<f4")
    for _ in range(request["repeat"]):
        found = log_mel(sounds[name])
    return protocol.save(found.astype("<f4"), request["save"]) if "save" in request else None


def ready():
    version, log_mel = LIBRARIES[sys.argv[1]](int(sys.argv[2]))
    return {"version": version}, (log_mel, {})


if __name__ == "__main__":
    protocol.serve(ready, answer)
