"""Resize to 224 and crop, as CLIP's preprocessing: python crop.py pillow | torchvision

Request: {"picture": FILE (raw RGB), "width": w, "height": h, "repeat": r}, and {"save": FILE} for the window [224, 224, 3]. One thread.
Pillow is what the bytes are held against; torchvision's are within one level of them.
"""
import sys

import numpy as np
import protocol

SIDE = 224


def pillow():
    import PIL
    from PIL import Image

    def prepare(rgb):
        picture = Image.fromarray(rgb)

        def crop():
            width, height = (SIDE * d // min(picture.size) for d in picture.size)
            left, top = (width - SIDE) // 2, (height - SIDE) // 2
            return np.asarray(picture.resize((width, height), Image.BICUBIC).crop((left, top, left + SIDE, top + SIDE)))
        return crop
    return PIL.__version__, prepare


def torchvision():
    import torch
    import torchvision as library
    from torchvision.transforms.v2 import functional
    torch.set_num_threads(1)

    def prepare(rgb):
        picture = torch.from_numpy(rgb).permute(2, 0, 1)  # channels last in memory, which it is fastest on

        def crop():
            resized = functional.resize(picture, [SIDE], interpolation=functional.InterpolationMode.BICUBIC, antialias=True)
            return functional.center_crop(resized, [SIDE, SIDE]).permute(1, 2, 0).numpy()
        return crop
    return library.__version__, prepare


LIBRARIES = {"pillow": pillow, "torchvision": torchvision}


def answer(state, request):
    prepare, crops = state
    name = request["picture"]
    if name not in crops:
        crops[name] = prepare(np.fromfile(name, "u1").reshape(request["height"], request["width"], 3))
    for _ in range(request["repeat"]):
        found = crops[name]()
    return protocol.save(found, request["save"]) if "save" in request else None


def ready():
    version, prepare = LIBRARIES[sys.argv[1]]()
    return {"version": version}, (prepare, {})


if __name__ == "__main__":
    protocol.serve(ready, answer)
