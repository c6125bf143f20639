"""log-mel of one clip by librosa and torchaudio, for `log_mel.rs`: a line in (a peer's name), its milliseconds out.

Usage: peers.py RATE HOP MELS FMIN FMAX. Needs numpy, librosa and torchaudio. Everything runs on one thread.
"""
import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import sys
import time

import numpy as np
import torch

# torchaudio refuses a torch made for another CUDA; nothing here runs on a GPU.
torch.version.cuda = None
import torchaudio
import librosa

torch.set_num_threads(1)


def main():
    rate, hop, mels = (int(a) for a in sys.argv[1:4])
    fmin, fmax = (float(a) for a in sys.argv[4:6])
    samples = (0.1 * np.random.default_rng(0).standard_normal(10 * rate)).astype(np.float32)
    tensor = torch.from_numpy(samples)
    front = torch.nn.Sequential(
        torchaudio.transforms.MelSpectrogram(
            rate, n_fft=1024, hop_length=hop, f_min=fmin, f_max=fmax, n_mels=mels, norm="slaney", mel_scale="slaney"
        ),
        torchaudio.transforms.AmplitudeToDB("power", top_db=None),
    )

    def by_librosa():
        energies = librosa.feature.melspectrogram(
            y=samples, sr=rate, n_fft=1024, hop_length=hop, pad_mode="reflect", n_mels=mels, fmin=fmin, fmax=fmax
        )
        librosa.power_to_db(energies, top_db=None)

    def by_torchaudio():
        with torch.inference_mode():
            front(tensor)

    peers = {"librosa": by_librosa, "torchaudio": by_torchaudio}
    for peer in peers.values():
        peer()
    versions = f"librosa {librosa.__version__}, torchaudio {torchaudio.__version__}, torch {torch.__version__}"
    print(versions, flush=True)
    for line in sys.stdin:
        peer = peers[line.strip()]
        start = time.thread_time()
        peer()
        print(1e3 * (time.thread_time() - start), flush=True)


if __name__ == "__main__":
    main()
