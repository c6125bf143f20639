"""The image encoder alone."""
import numpy as np
from arena import alternate, fastest, ratio
from page import Check, Section, Target

from . import absent, cpu_flags, gflop, versions

PEERS = ("torch", "torch-compile", "onnxruntime", "openvino")
BATCHES = {1: 8, 10: 1, 32: 1}  # size, and how often in a round
MEAN, STD = np.float32([0.48145466, 0.4578275, 0.40821073]), np.float32([0.26862954, 0.26130258, 0.27577711])


def compare(setting, precision):
    threads = 2
    names = [name for name in PEERS if not (setting.quick and name == "torch-compile")]
    ours = setting.ours("encode", setting.checkpoint, precision, threads)
    contestants = [ours, *(setting.peer(name, "encode", name, setting.checkpoint, precision, threads) for name in names)]
    try:
        return race(setting, precision, ours, contestants)
    finally:
        for contestant in contestants:
            contestant.close()


def race(setting, precision, ours, contestants):
    native = precision == "f32" or bool({"avx512_bf16", "amx_bf16"} & cpu_flags())
    computes = {c.name: c.facts.get("computes in", precision) for c in contestants}
    label = {c.name: c.name if computes[c.name] == precision else f"{c.name} (computes in {computes[c.name]})" for c in contestants}
    section = Section(f"Encoder alone, {setting.model}, {precision}, two threads",
                      "Pictures per second, median of the rounds; inputs prepared before the clock starts for the peers, while ours takes bytes and "
                      f"normalises them itself. Ours runs on {ours.facts.get('backend', '?')}.", ["batch", *label.values(), "fastest peer / ours, time"])
    checks = agreement(setting, precision, contestants)
    work = gflop(setting.checkpoint)
    best = {}
    for batch, repeat in BATCHES.items():
        series, _ = alternate(contestants, {"batch": batch, "repeat": repeat}, setting.rounds, patience=30)
        rate = {name: batch * repeat / s.median() for name, s in series.items()}
        honest = {name: s for name, s in series.items() if computes[name] == precision}
        peer = fastest(honest, "ours")
        won = ratio(peer, series["ours"]) if peer and "ours" in series else None
        section.rows.append([batch, *(f"{rate[n]:.2f}" if n in rate else "-" for n in label), f"{won} {peer.name}" if won else "-"])
        if batch == 10:
            best = {name: s.median() for name, s in honest.items() if name != "ours"}
        why = "" if native else "this processor has no bf16 instructions, so this is an emulation"
        wanted = 1.1 if batch > 1 and precision == "f32" else 1.0
        section.targets.append(Target(f"encoder {precision}, batch {batch}, against the fastest peer", f"≥ {wanted:.1f}×", f"{won}× {peer.name}" if won else "no peer",
                                      won.median >= wanted if won and native else None, why))
        torch = honest.get("torch")
        if precision == "bf16" and torch and batch > 1 and "ours" in series:
            against = ratio(torch, series["ours"])
            section.targets.append(Target(f"encoder bf16, batch {batch}, against PyTorch", "≥ 1.2×", f"{against}×", against.median >= 1.2 if native else None, why))
        limit = ours.facts.get("limit")
        if limit and batch > 1 and "ours" in rate:
            share = f"{rate['ours'] / limit:.0%} of {limit:.1f} pictures a second"
            if precision == "f32":
                wide = "avx512f" in cpu_flags()
                section.targets.append(Target(f"encoder f32, batch {batch}, share of the processor's peak", "≥ 90 % of the AVX-512 peak", share,
                                              rate["ours"] / limit >= 0.9 if wide else None, "" if wide else "no AVX-512 here: this is the AVX2 peak"))
            else:
                section.notes.append(f"Batch {batch}: {share}, the peak of the kernels in use.")
    section.checks = checks
    own = ours.facts.get("gflop") or work
    section.notes += [f"{work:.2f} GFLOP a picture; ours computes {own:.2f}, in the last block for the class token alone.", *absent(contestants)]
    if "limit" in ours.facts:
        setting.found[f"peak {precision}"] = ours.facts["limit"] * own
    setting.found[f"network {precision}"] = min(best, key=best.get, default=None)
    setting.found.setdefault("versions", {}).update(versions(contestants))
    return section


def agreement(setting, precision, contestants):
    """Everyone's embeddings of the same ten windows against PyTorch's in f32."""
    windows = np.random.default_rng(1).integers(0, 256, (10, 224, 224, 3), np.uint8)
    pixels = ((windows.astype(np.float32) / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype("<f4").copy()
    windows.tofile(setting.scratch("windows.u8"))
    pixels.tofile(setting.scratch("pixels.f32"))
    if "embeddings" not in setting.found:
        judge = next((c for c in contestants if c.name == "torch" and not c.missing and precision == "f32"), None)
        if judge is None:
            return []
        setting.found["embeddings"] = setting.output(judge, "embeddings", {"batch": 10, "load": setting.scratch("pixels.f32")})
    wanted, checks = setting.found["embeddings"], []
    for contestant in contestants:
        if contestant.missing:
            continue
        given = {"windows": setting.scratch("windows.u8")} if contestant.name == "ours" else {"load": setting.scratch("pixels.f32")}
        found = setting.output(contestant, "embeddings", {"batch": 10} | given)
        if found is None:
            continue
        error = np.abs(found - wanted).max() / np.abs(wanted).max()
        cosine = ((found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)).min()
        holds = error <= 1e-4 if precision == "f32" else cosine >= 0.9999
        if contestant.name == "ours":
            checks.append(Check(f"{setting.model} {precision}: embeddings against PyTorch f32", f"error {error:.1e} of the largest value, cosine {cosine:.6f}", bool(holds)))
        else:
            setting.found.setdefault("peer errors", []).append(f"{contestant.name} {precision}: error {error:.1e}, cosine {cosine:.6f}")
    return checks
