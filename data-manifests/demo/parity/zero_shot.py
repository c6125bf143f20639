"""Zero-shot on the demo's clips by Hugging Face transformers and the `ffmpeg` command: the peer of `encode-clip` and `zero-shot`.

    python zero_shot.py CHECKPOINT DATA [WORK]

CHECKPOINT is `data-manifests/demo/clip`, DATA what `demo data` rendered. Takes the fifth picture of each clip by `ffmpeg -vf fps=1`, prepares
it by Pillow in the order of transformers, and prints the accuracy and the log loss of the ten plain prompts on the test split. With WORK, the folder of a
run of `pipeline`, it compares the embeddings in its shards with those of transformers, and the probabilities where there are some, and
exits with 1 where one differs by more than 1e-4.
"""

import csv
import glob
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import CLIPModel

CLASSES = {
    "airport": "airport", "bus": "bus", "metro": "metro", "metro_station": "metro station", "park": "park",
    "public_square": "public square", "shopping_mall": "shopping mall", "street_pedestrian": "pedestrian street",
    "street_traffic": "street with traffic", "tram": "tram",
}  # fmt: skip
FRAME = 5


def picture(path):
    """The fifth picture of `ffmpeg -vf fps=1`."""
    probe = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "json", path]
    stream = json.loads(subprocess.run(probe, check=True, capture_output=True).stdout)["streams"][0]
    width, height = stream["width"], stream["height"]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", path, "-vf", "fps=1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    rgb = subprocess.run(command, check=True, capture_output=True).stdout
    return Image.fromarray(np.frombuffer(rgb, np.uint8).reshape(-1, height, width, 3)[FRAME - 1])


def prepare(image, config):
    """Resize by the shorter side, crop the centre, normalise."""
    side = config["size"]
    width, height = image.size
    size = (side, side * height // width) if width <= height else (side * width // height, side)
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    values = np.asarray(image.crop((left, top, left + side, top + side)), np.float32) / 255
    values = (values - np.float32(config["image_mean"])) / np.float32(config["image_std"])
    return torch.from_numpy(values.transpose(2, 0, 1).copy())


def main():
    checkpoint, data = sys.argv[1:3]
    model = CLIPModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(f"{checkpoint}/tokenizer.json")
    with open(f"{checkpoint}/preprocessor_config.json") as file:
        config = json.load(file)
    with open(f"{data}/items.csv") as file:
        items = [row for row in csv.DictReader(file) if not row["id"].startswith("broken-")]
    prompts = [tokenizer.encode(f"a photo of a {name}.").ids for name in CLASSES.values()]
    longest, end = max(map(len, prompts)), tokenizer.token_to_id("<|endoftext|>")
    ids = torch.tensor([prompt + [end] * (longest - len(prompt)) for prompt in prompts])
    pixels = torch.stack([prepare(picture(f"{data}/{item['video']}"), config) for item in items])
    with torch.no_grad():
        output = model(input_ids=ids, pixel_values=pixels)
        logits, embeddings = output.logits_per_image, model.get_image_features(pixel_values=pixels)
    embeddings = getattr(embeddings, "pooler_output", embeddings)  # transformers 5 returns an object
    probabilities = torch.softmax(logits.double(), 1).numpy()
    truth = np.array([list(CLASSES).index(item["label"]) for item in items])
    for split in ["train", "test"]:
        chosen = np.array([item["split"] == split for item in items])
        own = probabilities[chosen, truth[chosen]]
        right = probabilities[chosen].argmax(1) == truth[chosen]
        print(f"{split}: n {chosen.sum()}, accuracy {right.mean():.3f}, log loss {-np.log(own).mean():.3f}")
    if len(sys.argv) < 4:
        return 0
    work, worst = sys.argv[3], {}
    place = {item["id"]: n for n, item in enumerate(items)}
    for path in sorted(glob.glob(f"{work}/encode-clip/*.h5")):
        with h5py.File(path) as shard:
            offsets = shard["item/offset"][:]
            for n, name in enumerate(shard["item/id"].asstr()[:]):
                ours, theirs = shard["embedding"][offsets[n] + FRAME - 1], embeddings[place[name]].numpy()
                worst["embedding"] = max(worst.get("embedding", 0), np.abs(ours - theirs).max() / np.abs(theirs).max())
    predictions = f"{work}/zero-shot/predictions.csv"
    if os.path.exists(predictions):
        with open(predictions) as file:
            for row in csv.DictReader(file):
                ours = np.array([float(row[f"p_{name}"]) for name in CLASSES])
                theirs = probabilities[place[row["id"]]]
                worst["probability"] = max(worst.get("probability", 0), np.abs(ours - theirs).max())
    for name, error in worst.items():
        print(f"largest difference of {name}: {error:.1e}")
    return 0 if worst and max(worst.values()) < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
