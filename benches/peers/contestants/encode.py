"""Embeddings of prepared pictures: python encode.py torch | torch-compile | onnxruntime | openvino  CHECKPOINT  f32 | bf16  THREADS

Request: {"batch": n, "repeat": r}: r times a batch of n pictures; {"load": FILE, "save": FILE, "batch": n}: the embeddings of these pixels
(f32 [n, 3, 224, 224]). A peer that cannot compute in bf16 on this processor says so, or is seen to compute in f32: "computes in" of the facts.
"""
import sys

import numpy as np
import protocol


def torch_network(checkpoint, precision, threads, compiled=False):
    import torch
    from transformers import CLIPVisionModelWithProjection
    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    tower = CLIPVisionModelWithProjection.from_pretrained(checkpoint, dtype=dtype, attn_implementation="sdpa").eval()

    def forward(pixels):
        return tower(pixel_values=pixels).image_embeds
    if compiled:
        forward = torch.compile(forward, dynamic=False)

    def prepare(pixels):
        return torch.from_numpy(pixels).to(dtype)

    def encode(pixels):
        with torch.inference_mode():
            return forward(pixels).float().numpy()
    return torch.__version__, precision, prepare, encode


def onnxruntime_network(checkpoint, precision, threads):
    import onnxruntime
    if precision != "f32":
        raise NotImplementedError("ONNX Runtime's CPU kernels have no bf16 on x86")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(f"{checkpoint}/model.onnx", options, providers=["CPUExecutionProvider"])
    return onnxruntime.__version__, "f32", lambda pixels: pixels, lambda pixels: session.run(None, {"pixels": pixels})[0]


def openvino_network(checkpoint, precision, threads):
    import openvino
    core = openvino.Core()
    model = core.read_model(f"{checkpoint}/model.onnx")
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    requests = {}

    def request(n):
        if n not in requests:  # it is fastest on a fixed shape
            shaped = model.clone()
            shaped.reshape([n, 3, 224, 224])
            requests[n] = core.compile_model(shaped, "CPU", settings).create_infer_request()
        return requests[n]

    computes = str(request(1).get_compiled_model().get_property("INFERENCE_PRECISION_HINT"))
    names = {"<Type: 'float32'>": "f32", "<Type: 'bfloat16'>": "bf16", "<Type: 'float16'>": "f16"}
    return openvino.__version__, names.get(computes, computes), lambda pixels: pixels, lambda pixels: next(iter(request(len(pixels)).infer([pixels]).values()))


NETWORKS = {
    "torch": torch_network,
    "torch-compile": lambda *arguments: torch_network(*arguments, compiled=True),
    "onnxruntime": onnxruntime_network,
    "openvino": openvino_network,
}


def network(name, checkpoint, precision, threads):
    """(version, what it computes in, pixels -> its input, its input -> f32 [n, D])"""
    return NETWORKS[name](checkpoint, precision, threads)


def answer(state, request):
    prepare, encode, inputs = state
    n = request["batch"]
    if "load" in request:
        pixels = np.fromfile(request["load"], "<f4").reshape(n, 3, 224, 224)
        return protocol.save(encode(prepare(pixels)), request["save"])
    if n not in inputs:
        inputs[n] = prepare(np.random.default_rng(0).standard_normal((n, 3, 224, 224), np.float32))
    for _ in range(request["repeat"]):
        encode(inputs[n])
    return None


def ready():
    name, checkpoint, precision, threads = sys.argv[1:]
    version, computes, prepare, encode = network(name, checkpoint, precision, int(threads))
    return {"version": version, "computes in": computes}, (prepare, encode, {})


if __name__ == "__main__":
    protocol.serve(ready, answer)
