"""The best that can be put together of peers: python composition.py DECODER NETWORK CHECKPOINT f32|bf16 processes|overlap

DECODER is one of decode.py (one picture a second, one thread), NETWORK one of encode.py; torchvision resizes (within a level of Pillow, and
faster), soundfile reads the WAV, torchaudio resamples and makes the log-mel, h5py writes. Two arrangements for the cores:

    processes   a process per core, each with clips of its own: decoding, network and sound on one thread
    overlap     threads decode the next clips and make their sound while the network, on all cores, works on the present one

Request: {"clips": [stem...], "out": FILE}: each STEM.mp4 and STEM.wav to a row of `embedding` [clips, 10, D] and `log_mel` [clips, 128, T].
"""
import concurrent.futures
import multiprocessing
import os
import sys

import protocol
from science import MEAN, MEL, RATE, STD, Outputs

CORES = len(os.sched_getaffinity(0))


class Worker:
    """Decoder, network and log-mel of one process."""

    def __init__(self, decoder, network, checkpoint, precision, threads):
        import torch
        import torchaudio
        import decode
        import encode
        version, self.pictures = decode.DECODERS[decoder]()
        network_version, self.computes, self.prepare, self.encode = encode.network(network, checkpoint, precision, threads)
        self.versions = {decoder: version, network: network_version, "torchaudio": torchaudio.__version__}
        torch.set_num_threads(threads)
        self.mean, self.std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (MEAN, STD))
        self.resample = {}
        self.mel = torchaudio.transforms.MelSpectrogram(sample_rate=RATE, n_fft=MEL["n_fft"], hop_length=MEL["hop_length"], n_mels=MEL["n_mels"],
                                                        f_min=MEL["fmin"], f_max=MEL["fmax"], norm="slaney", mel_scale="slaney")

    def inputs(self, stem):
        """The network's input for one clip, and its log-mel."""
        import torch
        from torchvision.transforms.v2 import functional
        with torch.inference_mode():
            frames = torch.from_numpy(self.pictures(stem + ".mp4")).permute(0, 3, 1, 2)
            resized = functional.resize(frames, [224], interpolation=functional.InterpolationMode.BICUBIC, antialias=True)
            pixels = (functional.center_crop(resized, [224, 224]).float() - self.mean) / self.std
            return self.prepare(pixels.contiguous().numpy()), self.log_mel(stem + ".wav")

    def log_mel(self, path):
        import soundfile
        import torch
        import torchaudio
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        sound = torch.from_numpy(samples.mean(1))
        if rate not in self.resample:
            self.resample[rate] = torchaudio.transforms.Resample(rate, RATE)
        sound = self.resample[rate](sound)
        sound = sound / (sound.abs().max() + 1e-8)
        return (10 * torch.log10(torch.clamp(self.mel(sound), min=1e-10))).numpy()

    def whole(self, stem):
        pixels, log_mel = self.inputs(stem)
        return self.encode(pixels), log_mel


def start(arguments):
    global worker
    worker = Worker(*arguments, 1)


def whole(stem):
    return worker.whole(stem)


def processes(arguments):
    pool = concurrent.futures.ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn"), start, (arguments,))
    return {}, lambda clips: pool.map(whole, clips)


def overlap(arguments):
    worker = Worker(*arguments, CORES)
    pool = concurrent.futures.ThreadPoolExecutor(CORES)

    def work(clips):
        for pixels, log_mel in pool.map(worker.inputs, clips):
            yield worker.encode(pixels), log_mel
    return worker.versions, work


def ready():
    *arguments, arrangement = sys.argv[1:]
    versions, work = {"processes": processes, "overlap": overlap}[arrangement](arguments)
    return {"versions": versions, "pid": os.getpid()}, work


def answer(work, request):
    with Outputs(request["out"], len(request["clips"])) as outputs:
        for found in work(request["clips"]):
            outputs.add(*found)


if __name__ == "__main__":
    protocol.serve(ready, answer)
