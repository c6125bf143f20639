"""A CLIP checkpoint of a published shape with random weights, in the forms that the contestants read.

    python make_model.py FOLDER [ViT-B/32 | ViT-B/16 | ViT-L/14]

FOLDER/config.json, preprocessor_config.json and model.safetensors are a checkpoint as transformers writes it (the image tower and its
projection); FOLDER/model.onnx is the same network for ONNX Runtime and OpenVINO. What a network computes does not change how long it takes.
"""
import json
import pathlib
import sys

import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

SHAPES = {
    "ViT-B/32": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, patch_size=32, projection_dim=512),
    "ViT-B/16": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, patch_size=16, projection_dim=512),
    "ViT-L/14": dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14, projection_dim=768),
}
# OpenAI's, of every published CLIP.
PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True, "do_resize": True, "size": {"shortest_edge": 224}, "resample": 3,
    "do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
}


class Embed(torch.nn.Module):
    def __init__(self, tower):
        super().__init__()
        self.tower = tower

    def forward(self, pixels):
        return self.tower(pixel_values=pixels).image_embeds


def make(folder, name):
    torch.manual_seed(0)
    config = CLIPVisionConfig(image_size=224, hidden_act="quick_gelu", **SHAPES[name])
    tower = CLIPVisionModelWithProjection._from_config(config, attn_implementation="sdpa").eval()
    with torch.no_grad():  # fresh biases are 0 and norms 1, which would hide mistakes
        for parameter in tower.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    folder.mkdir(parents=True, exist_ok=True)
    tower.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2))
    with torch.no_grad():
        torch.onnx.export(Embed(tower), (torch.randn(2, 3, 224, 224),), str(folder / "model.onnx"), input_names=["pixels"],
                          output_names=["embeddings"], dynamic_axes={"pixels": {0: "n"}, "embeddings": {0: "n"}}, opset_version=17, dynamo=False)


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "ViT-B/32")
