"""Pillow's side of resize.rs: for each line on stdin, resizes and crops a batch of times and answers with milliseconds of CPU per picture.

Arguments: a file of RGB bytes, its width and height, the side of the crop, the size of a batch, a file for the resulting bytes.
"""

import sys
import time

import PIL
from PIL import Image

source, width, height, side, batch, result = sys.argv[1], *map(int, sys.argv[2:6]), sys.argv[6]
picture = Image.frombytes("RGB", (width, height), open(source, "rb").read())
size = (side, side * height // width) if width <= height else (side * width // height, side)
left, top = (size[0] - side) // 2, (size[1] - side) // 2


def prepare():
    return picture.resize(size, Image.Resampling.BICUBIC).crop((left, top, left + side, top + side)).tobytes()


open(result, "wb").write(prepare())
print("Pillow", PIL.__version__, flush=True)
for _ in sys.stdin:
    start = time.thread_time()
    for _ in range(batch):
        prepare()
    print((time.thread_time() - start) * 1e3 / batch, flush=True)
