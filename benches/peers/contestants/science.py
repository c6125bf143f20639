"""What every contestant of the whole way computes, and where its results go."""
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]  # OpenAI's, of each channel
RATE = 32000
MEL = dict(n_fft=1024, hop_length=640, n_mels=128, fmin=50, fmax=16000)  # the preset `reference`


class Outputs:
    """`embedding` [clips, pictures, D] and `log_mel` [clips, bands, frames] of an HDF5 file, clip after clip."""

    def __init__(self, path, clips):
        import h5py
        self.file, self.clips, self.at = h5py.File(path, "w"), clips, 0

    def __enter__(self):
        return self

    def add(self, *values):
        for name, value in zip(("embedding", "log_mel"), values):
            if name not in self.file:
                self.file.create_dataset(name, (self.clips, *value.shape), "f4")
            self.file[name][self.at] = value
        self.at += 1

    def __exit__(self, *_):
        self.file.close()
