"""Lists the real test media as real-media.csv and real-sounds.csv: one row a file, id made of its path.

    PIPELINE_TEST_MEDIA=... python3 data-manifests/make_real_media.py

A table instead of a folder scan, so that a file that is missing is a failed item and not a shorter list, and because
odd names (spaces, quotes, three files called test_video.mp4) need ids of their own.
"""

import csv
import os
import re
from pathlib import Path

HERE = Path(__file__).parent
MEDIA = Path(os.environ["PIPELINE_TEST_MEDIA"]) / "media"
NOT_SOUND = {".png", ".jpg", ".txt", ".md"}


def identifier(path: Path) -> str:
    """`decord/video_90.mov` -> `decord-video_90-mov`: the extension stays, since some files differ in it only."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", path.as_posix()).replace(".", "-").strip("-")


for folder, column, table in [("video", "video", "real-media.csv"), ("audio", "audio", "real-sounds.csv")]:
    root = MEDIA / folder
    files = sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file() and p.suffix not in NOT_SOUND)
    ids = [identifier(path) for path in files]
    assert len(set(ids)) == len(ids), "two files make one id"
    with open(HERE / table, "w", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["id", column])
        rows.writerows(zip(ids, (path.as_posix() for path in files)))
    print(f"{table}: {len(files)} files")
