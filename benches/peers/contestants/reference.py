"""The reference example's way: python reference.py CHECKPOINT

For each clip, one after the other: `ffmpeg -i CLIP -vf fps=1 NN.png`; each PNG through Pillow (bicubic resize, crop); the pictures of the clip through
CLIP in PyTorch, f32; the WAV through soundfile, resampy's kaiser_fast and librosa; both into HDF5 with h5py. Everything is loaded before the clock starts,
and each library has its own number of threads.

Request: {"clips": [stem...], "out": FILE}, as composition.py.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import protocol
from science import MEAN, MEL, RATE, STD, Outputs


def ready():
    import librosa
    import PIL
    import torch
    import transformers
    from transformers import CLIPVisionModelWithProjection
    tower = CLIPVisionModelWithProjection.from_pretrained(sys.argv[1], dtype=torch.float32, attn_implementation="sdpa").eval()
    filters = librosa.filters.mel(sr=RATE, **{name: MEL[name] for name in ("n_fft", "n_mels", "fmin", "fmax")})
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "librosa": librosa.__version__, "pillow": PIL.__version__}
    return {"versions": versions}, (tower, filters)


def embedding(tower, clip):
    import torch
    from PIL import Image
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", clip, "-vf", "fps=1", f"{folder}/%02d.png"], check=True)
        windows = []
        for path in sorted(pathlib.Path(folder).iterdir()):
            picture = Image.open(path).convert("RGB")
            width, height = (224 * side // min(picture.size) for side in picture.size)
            left, top = (width - 224) // 2, (height - 224) // 2
            windows.append(np.asarray(picture.resize((width, height), Image.BICUBIC).crop((left, top, left + 224, top + 224))))
    pixels = (np.stack(windows).astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    with torch.inference_mode():
        return tower(pixel_values=torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())).image_embeds.numpy()


def log_mel(filters, path):
    import librosa
    import soundfile
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    sound = librosa.resample(samples.mean(1), orig_sr=rate, target_sr=RATE, res_type="kaiser_fast")
    sound = sound / (np.abs(sound).max() + 1e-8)
    power = np.abs(librosa.stft(sound, n_fft=MEL["n_fft"], hop_length=MEL["hop_length"], pad_mode="reflect")) ** 2
    return librosa.power_to_db(filters @ power, ref=1.0, amin=1e-10, top_db=None)


def answer(state, request):
    tower, filters = state
    with Outputs(request["out"], len(request["clips"])) as outputs:
        for stem in request["clips"]:
            outputs.add(embedding(tower, stem + ".mp4"), log_mel(filters, stem + ".wav"))


if __name__ == "__main__":
    protocol.serve(ready, answer)
