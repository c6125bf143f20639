"""Compares this crate with Hugging Face transformers on checkpoints of the published shapes with random weights.

    python parity/compare.py [ViT-B/32 ViT-B/16 ViT-L/14]     # from stages/encode-clip; needs torch, transformers, numpy, cargo

Prints, for each, the largest difference divided by the largest value, and the smallest cosine. Exits with 1 above 1e-4.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

CRATE = pathlib.Path(__file__).resolve().parent.parent
BASE = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=512)
SHAPES = {
    "ViT-B/32": dict(BASE, patch_size=32),
    "ViT-B/16": dict(BASE, patch_size=16),
    "ViT-L/14": dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, projection_dim=768, patch_size=14),
}
PICTURES = 3


def compare(name, folder):
    torch.manual_seed(5)
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**SHAPES[name])).eval()
    with torch.no_grad():  # fresh biases are 0 and norms 1, which would hide mistakes
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    model.save_pretrained(folder)
    pixels = torch.randn(PICTURES, 3, 224, 224)
    with torch.inference_mode():
        wanted = model(pixel_values=pixels).image_embeds.numpy()
    parameters = sum(p.numel() for p in model.parameters())
    del model
    pixels.numpy().astype("<f4").tofile(folder / "pixels.f32")
    command = ["cargo", "run", "--quiet", "-p", "encode-clip", "--example", "embed", "--"]
    subprocess.run(command + [str(folder), str(folder / "pixels.f32"), str(folder / "out.f32"), "cpu"], cwd=CRATE, check=True)
    found = np.fromfile(folder / "out.f32", "<f4").reshape(wanted.shape)
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    cosine = ((found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)).min()
    print(f"{name}: {parameters} parameters, largest error {error:.2e} of the largest value, smallest cosine {cosine:.8f}", flush=True)
    return error


if __name__ == "__main__":
    errors = []
    for name in sys.argv[1:] or SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            errors.append(compare(name, pathlib.Path(folder)))
    sys.exit(1 if max(errors) > 1e-4 else 0)
