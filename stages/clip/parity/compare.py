"""Compares the towers with Hugging Face transformers on checkpoints of the published shapes with random weights.

    python parity/compare.py [ViT-B/32 ViT-B/16 ViT-L/14]     # from stages/clip; needs torch, transformers, numpy, cargo

Pictures go through the example `embed` of the crate encode-clip, token ids through `embed_text` of this one, both on the CPU. Prints, for each tower, the
largest difference divided by the largest value, and the smallest cosine. Exits with 1 above 1e-4.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

CRATE = pathlib.Path(__file__).resolve().parent.parent
BASE = dict(vision=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12),
            text=dict(hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8), projection_dim=512)
LARGE = dict(vision=dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16),
             text=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12), projection_dim=768)
SHAPES = {"ViT-B/32": (BASE, 32), "ViT-B/16": (BASE, 16), "ViT-L/14": (LARGE, 14)}
PICTURES = 3
LENGTHS = [3, 8, 9, 12, 30, 77]  # tokens, first and last included
START, END = 49406, 49407


def run(package, example, folder, given, shape):
    command = ["cargo", "run", "--quiet", "-p", package, "--example", example, "--"]
    subprocess.run(command + [str(folder), str(folder / given), str(folder / "out.f32"), "cpu"], cwd=CRATE, check=True)
    return np.fromfile(folder / "out.f32", "<f4").reshape(shape)


def judge(what, parameters, found, wanted):
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    cosine = ((found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)).min()
    print(f"{what}: {parameters} parameters, largest error {error:.2e} of the largest value, smallest cosine {cosine:.8f}", flush=True)
    return error


def compare(name, folder):
    shape, patch = SHAPES[name]
    torch.manual_seed(5)
    vision, text = CLIPVisionConfig(patch_size=patch, **shape["vision"]), CLIPTextConfig(**shape["text"])
    model = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=shape["projection_dim"])).eval()
    with torch.no_grad():  # fresh biases are 0 and norms 1, which would hide mistakes
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    model.save_pretrained(folder)
    pixels = torch.randn(PICTURES, 3, 224, 224)
    texts = [[START, *torch.randint(0, START, (length - 2,)).tolist(), END] for length in LENGTHS]
    ids = torch.tensor([t + [END] * (77 - len(t)) for t in texts])
    mask = torch.tensor([[1] * len(t) + [0] * (77 - len(t)) for t in texts])
    with torch.inference_mode():
        pictures = model.get_image_features(pixel_values=pixels).pooler_output.numpy()
        prompts = model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output.numpy()
    count = lambda *modules: sum(p.numel() for m in modules for p in m.parameters())
    sizes = count(model.vision_model, model.visual_projection), count(model.text_model, model.text_projection)
    del model
    pixels.numpy().astype("<f4").tofile(folder / "pixels.f32")
    (folder / "ids.json").write_text(json.dumps(texts))
    return [judge(f"{name} pictures", sizes[0], run("encode-clip", "embed", folder, "pixels.f32", pictures.shape), pictures),
            judge(f"{name} texts", sizes[1], run("clip", "embed_text", folder, "ids.json", prompts.shape), prompts)]


if __name__ == "__main__":
    errors = []
    for name in sys.argv[1:] or SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            errors += compare(name, pathlib.Path(folder))
    sys.exit(1 if max(errors) > 1e-4 else 0)
