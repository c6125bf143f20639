"""Ten pictures of a clip, one a second, as RGB in memory: python decode.py torchcodec | pyav | decord

Request: {"clips": [...]}; with {"save": FILE} the pictures of the last clip are written there. One thread each. The pictures are those of
`ffmpeg -vf fps=1`: the last frame that begins at n + 1/2 seconds or before.
"""
import sys

import protocol

TIMES = [n + 0.4999 for n in range(10)]


def torchcodec():
    import torch
    import torchcodec
    from torchcodec.decoders import VideoDecoder
    torch.set_num_threads(1)

    def pictures(clip):
        decoder = VideoDecoder(clip, num_ffmpeg_threads=1, dimension_order="NHWC")
        return decoder.get_frames_played_at(TIMES).data.numpy()
    return torchcodec.__version__, pictures


def pyav():
    import av
    import numpy as np

    def pictures(clip):
        found = []
        with av.open(clip) as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.thread_count = "NONE", 1
            before = None
            for frame in container.decode(stream):
                while len(found) < 10 and float(frame.pts * stream.time_base) >= TIMES[len(found)]:
                    found.append(before.to_ndarray(format="rgb24"))
                if len(found) == 10:  # nothing more is wanted
                    break
                before = frame
            while len(found) < 10:
                found.append(before.to_ndarray(format="rgb24"))
        return np.stack(found)
    return av.__version__, pictures


def decord():
    import decord as library
    import numpy as np

    def pictures(clip):
        reader = library.VideoReader(clip, num_threads=1)
        starts = reader.get_frame_timestamp(range(len(reader)))[:, 0]
        return reader.get_batch(np.searchsorted(starts, TIMES, side="right") - 1).asnumpy()
    return library.__version__, pictures


DECODERS = {"torchcodec": torchcodec, "pyav": pyav, "decord": decord}


def answer(pictures, request):
    for clip in request["clips"]:
        found = pictures(clip)
    return protocol.save(found, request["save"]) if "save" in request else None


def ready():
    version, pictures = DECODERS[sys.argv[1]]()
    return {"version": version}, pictures


if __name__ == "__main__":
    protocol.serve(ready, answer)
