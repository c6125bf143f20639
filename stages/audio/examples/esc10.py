#!/usr/bin/env python3
"""ESC-10, the peer's side: what both sides start from, and the same protocols in PyTorch and scikit-learn.

    python3 esc10.py features ESC-10 esc10.safetensors       # the folder with the ten classes; needs librosa, soundfile, scipy
    python3 esc10.py train esc10.safetensors [EPOCHS]        # needs torch; 12 epochs by default, here and there
    cargo run -p audio --example esc10 -- esc10.safetensors [NETWORK] [EPOCHS]

    python3 esc10.py sounds ESC-10 sounds.safetensors        # 32 kHz, mono, 5 s, as recorded
    python3 esc10.py probe sounds.safetensors MN04.pt        # EfficientAT's published weights; needs torch, scikit-learn
    cargo run -p audio --example esc10_probe -- sounds.safetensors MN04.pt

The probe: EfficientAT's log-mel, mn04's embedding, logistic regression (C = 1) on standardised features, each side with its own front
end, network and solver; trained on four folds, tested on the fifth.

Training from scratch: ResNet-18 from random weights (each side's own), five folds as published (the first number of a file's name), trained
on four, tested on the fifth; a fixed number of epochs and no selection, so nothing is chosen by looking at the test fold. Crop, block
permutation, adaptive masks, mixup, dropout, Adam, warm-up: the corrected form of the crate `training`.
"""
import pathlib
import sys

import numpy as np

SAMPLE_RATE, N_FFT, HOP, N_MELS = 32000, 1024, 1280, 64
EPOCHS, BATCH, CROP, RATE, ALPHA, SEED = 12, 16, 112, 1e-3, 0.5, 0


def clips(folder):
    """(sound at 32 kHz, mono, 5 s; class; fold) of every file."""
    import soundfile
    from scipy.signal import resample_poly

    names = sorted(path for path in pathlib.Path(folder).iterdir() if path.is_dir() and path.name[0].isdigit())
    for number, of_class in enumerate(names):
        for path in sorted(of_class.glob("*.ogg")):
            sound, rate = soundfile.read(path, dtype="float32")
            sound = sound if sound.ndim == 1 else sound.mean(1)
            divisor = np.gcd(rate, SAMPLE_RATE)
            sound = resample_poly(sound, SAMPLE_RATE // divisor, rate // divisor)
            sound = np.pad(sound, (0, max(0, 5 * SAMPLE_RATE - len(sound))))[: 5 * SAMPLE_RATE]
            yield sound.astype(np.float32), number, int(path.name.split("-")[0])


def save(name, values, classes, folds, target):
    from safetensors.numpy import save_file

    values = np.ascontiguousarray(np.stack(values))
    save_file({name: values, "class": np.array(classes, np.int64), "fold": np.array(folds, np.int64)}, target)
    print(name, values.shape)


def features(folder, target):
    import librosa

    def log_mel(sound):
        sound = sound / (np.abs(sound).max() + 1e-8)
        mel = librosa.feature.melspectrogram(
            y=sound, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, fmin=50, fmax=14000, pad_mode="reflect"
        )
        return 10 * np.log10(np.maximum(mel, 1e-10)).T.astype(np.float32)

    sounds, classes, folds = zip(*clips(folder))
    save("log_mel", [log_mel(sound) for sound in sounds], classes, folds, target)


def probe(source, weights):
    import torch
    from safetensors.numpy import load_file
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "networks" / "fixtures"))
    from make_efficientat import Mn, log_mel

    network = Mn(0.4, 527)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    network.eval()
    data = load_file(source)
    classes, folds = data["class"], data["fold"]
    with torch.no_grad():
        vectors = [network(log_mel(sound).float()[None, None])[1][0].numpy() for sound in data["sound"]]
    vectors, accuracies = np.stack(vectors), []
    for fold in range(1, 6):
        train, test = folds != fold, folds == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000, tol=1e-6))
        accuracies.append(model.fit(vectors[train], classes[train]).score(vectors[test], classes[test]))
        print(f"fold {fold}: accuracy {accuracies[-1]:.4f}", flush=True)
    print(f"PyTorch and scikit-learn: accuracy {np.mean(accuracies):.4f}, fold to fold {np.std(accuracies, ddof=1):.4f}")


def augmented(x, fill, rng):
    start = rng.integers(0, len(x) - CROP + 1)
    x = x[start : start + CROP].copy()
    blocks = rng.choice([0, 2, 3])
    if blocks:
        width = len(x) // blocks + 1
        parts = [x[i : i + width] for i in range(0, len(x), width)]
        x = np.concatenate([parts[i] for i in rng.permutation(len(parts))])
    level = rng.choice([0.2, 0.1, 0.0])
    for _ in range(int(10 * level)):
        width = int(len(x) * level * 0.5)
        start = rng.integers(0, len(x) - width)
        x[start : start + width] = fill
    for _ in range(int(10 * level)):
        width = int(x.shape[1] * level * 0.5)
        start = rng.integers(0, x.shape[1] - width)
        x[:, start : start + width] = fill[start : start + width]
    return x


def train(source, epochs):
    import time

    import torch
    from safetensors.numpy import load_file
    from torch import nn

    sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "training" / "fixtures"))
    import make_torch

    class Network(make_torch.Network):
        """With the reference's dropout, which the fixture does without."""

        def forward(self, x, p=None):
            drop = nn.functional.dropout
            x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
            x = torch.relu(self.bn1(self.conv1(x)))
            x = nn.functional.max_pool2d(x, 3, 2, 1)
            for layer in [self.layer1, self.layer2, self.layer3, self.layer4]:
                x = nn.functional.dropout2d(layer(x), 0.2, self.training)
            x = torch.relu(self.extra_fc(drop(x.mean((2, 3)), 0.2, self.training)))
            return self.fc(drop(x, 0.5, self.training))

    make_torch.N_MELS, make_torch.CLASSES = N_MELS, 10
    data = load_file(source)
    log_mel, classes, folds = data["log_mel"], data["class"], data["fold"]
    accuracies = []
    for fold in range(1, 6):
        started = time.time()
        torch.manual_seed(SEED)
        rng = np.random.default_rng(SEED)
        network = Network(make_torch.Basic, [2, 2, 2, 2], 0)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        optimiser = torch.optim.Adam(network.parameters())
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        fill = log_mel[train].mean((0, 1))
        steps = len(train) // BATCH
        warm = epochs * steps // 10
        rates = np.linspace(1e-10, RATE, warm)
        for step in range(epochs * steps):
            if step % steps == 0:
                order = rng.permutation(train)
            for group in optimiser.param_groups:
                group["lr"] = float(rates[step]) if step < warm else RATE
            clips = order[step % steps * BATCH :][:BATCH]
            x = torch.from_numpy(np.stack([augmented(log_mel[clip], fill, rng) for clip in clips]))[:, None]
            y = nn.functional.one_hot(torch.from_numpy(classes[clips]), 10).float()
            lam, partner = float(rng.beta(ALPHA, ALPHA)), torch.from_numpy(rng.permutation(BATCH))
            x, y = lam * x + (1 - lam) * x[partner], lam * y + (1 - lam) * y[partner]
            network.train()
            loss = -(torch.log_softmax(network(x), 1) * y).sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            logits = network(torch.from_numpy(log_mel[test])[:, None])
        accuracy = float((logits.argmax(1).numpy() == classes[test]).mean())
        accuracies.append(accuracy)
        print(f"fold {fold}: accuracy {accuracy:.4f} in {time.time() - started:.0f} s", flush=True)
    print(f"PyTorch: accuracy {np.mean(accuracies):.4f}, fold to fold {np.std(accuracies, ddof=1):.4f}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["features", folder, target]:
            features(folder, target)
        case ["sounds", folder, target]:
            save("sound", *zip(*clips(folder)), target)
        case ["probe", source, weights]:
            probe(source, weights)
        case ["train", source]:
            train(source, EPOCHS)
        case ["train", source, epochs]:
            train(source, int(epochs))
        case _:
            sys.exit(__doc__)
