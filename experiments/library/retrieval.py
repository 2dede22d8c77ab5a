"""Retrieval and clustering of styles by each fingerprint, within one way of training and across ways.

    python experiments/library/retrieval.py

Images of the LoRAs are drawn once, to runs/library/features.npz. Results go to retrieval.json, the picture to map.png.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from collection import HERE, LORAS, Member, collection, exact_cosines
from numpy.typing import NDArray
from PIL import Image
from raw import raw_vector, reduce_raw
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from lorarar.datasets import to_bytes
from lorarar.diffusion import SAMPLING, load_backbone, sample_batches
from lorarar.evaluation.metrics.encoders import load_encoder
from lorarar.evaluation.statistics import Estimate, crossed_interval, paired_interval
from lorarar.library import average_linkage, fingerprint_lora, fingerprints, measure_behaviour
from lorarar.library.clusters import cut
from lorarar.library.plane import place
from lorarar.library.search import all_similarities as similarities_of_all
from lorarar.lora import LoRA, LowRank, factorise, thin_svd
from lorarar.storage import write_json

Array = NDArray[np.float64]
PROMPTS = [f"a {subject} in szn style" for subject in ("cat", "house", "star", "mug")]
RANK = 16  # raw factors are padded to this rank
COMPONENTS = 64  # of the PCA
SIDES = (16, 32, 64, 128)  # of projections


def main() -> None:
    """Measure everything."""
    torch.set_num_threads(1)
    members = collection()
    similarities, seconds = all_similarities(members)
    ways = sorted({member.way for member in members})
    counts = {way: sum(member.way == way for member in members) for way in ways}
    results: dict[str, object] = {"loras": counts, "seconds a LoRA": seconds, "retrieval": {}, "clusters": {}}
    scenarios = {"across": across(members), **{f"within {way}": within(members, way) for way in ("own", "shared")}}
    for name, pairs in scenarios.items():
        scores = {key: retrieval(matrix, members, pairs) for key, matrix in similarities.items()}
        scores["chance"] = chance(members, pairs)
        results["retrieval"][name] = (
            {  # type: ignore[index]
                key: {measure: estimate(crossed_interval(values, shares=True)) for measure, values in rows.items()}
                for key, rows in scores.items()
            }
            | {
                f"mAP of {key} minus raw": estimate(paired_interval(scores[key]["mAP"], scores["raw"]["mAP"]))
                for key in ("direction", "sketch", "exact", "behaviour", "images", "canonical")
            }
            | {
                f"mAP of {key} minus images": estimate(paired_interval(scores[key]["mAP"], scores["images"]["mAP"]))
                for key in ("direction", "sketch", "exact", "behaviour")
            }
        )
    for key, matrix in similarities.items():
        results["clusters"][key] = clusters(matrix, members)  # type: ignore[index]
    write_json(HERE / "retrieval.json", results)
    draw_maps(similarities, members)


def all_similarities(members: Sequence[Member]) -> tuple[dict[str, Array], dict[str, float]]:
    """Return the similarity of all pairs by each fingerprint, and the seconds that a LoRA takes."""
    loras = [member.lora for member in members]
    start = time.process_time()
    prints = [fingerprint_lora(lora).vectors for lora in loras]
    seconds = {"fingerprints": (time.process_time() - start) / len(loras)}
    rows = {name: np.stack([p[name] for p in prints]).astype(float) for name in ("sketch", "spectrum")}
    rows["norms"] = rows["spectrum"][:, ::5]
    for side in SIDES:
        projected = projections(loras, side)
        rows |= {f"projection, {side**2:,} numbers": projected, f"projection, {side**2:,} signs": np.sign(projected)}
    start = time.process_time()
    rows["raw"] = reduce_raw([raw_vector(padded(lora)) for lora in loras], COMPONENTS)
    seconds["raw"] = (time.process_time() - start) / len(loras)
    rows["canonical"] = reduce_raw([raw_vector(canonical(lora)) for lora in loras], COMPONENTS)
    rows["behaviour"], seconds["behaviour"] = behaviours(members)
    features, seconds["images"] = image_features(members)
    rows |= features
    linear = ("projection", "sketch", "behaviour")
    similarities = {name: cosines(values, centred=not name.startswith(linear)) for name, values in rows.items()}
    similarities["direction"] = similarities_of_all(np.stack([p["direction"] for p in prints])).astype(float)
    start = time.process_time()
    similarities["exact"] = exact_cosines(loras, layers_alike=True)
    seconds["exact, all pairs"] = time.process_time() - start
    return similarities, {name: float(f"{value:.3g}") for name, value in seconds.items()}


def behaviours(members: Sequence[Member]) -> tuple[Array, float]:
    """Return the fingerprint "behaviour" of all LoRAs, and the seconds that a LoRA takes."""
    backbone = load_backbone("data/embedded/base", device="cpu")
    start, rows = time.process_time(), []
    for first in range(0, len(members), 8):
        loras = [member.lora for member in members[first : first + 8]]
        rows.append(measure_behaviour(backbone, loras, ["szn style"] * len(loras)))
    return np.concatenate(rows).astype(float), (time.process_time() - start) / len(members)


def projections(loras: Sequence[LoRA], side: int) -> Array:
    """Return the direction before its signs are taken, with side x side numbers."""
    shipped = fingerprints.SIDE
    try:
        fingerprints.SIDE = side
        fingerprints.random_matrix.cache_clear()
        fingerprints._signs.cache_clear()
        rows = []
        for lora in loras:
            norms = {path: measure.norm for path, measure in fingerprints.measure_layers(lora).items()}
            rows.append(fingerprints.project_layers(lora, norms)[1].numpy().ravel())
        return np.stack(rows).astype(float)
    finally:
        fingerprints.SIDE = shipped
        fingerprints.random_matrix.cache_clear()
        fingerprints._signs.cache_clear()


def cosines(rows: Array, *, centred: bool) -> Array:
    """Return the cosines of all pairs; numbers that have no origin are standardised first."""
    if centred:
        rows = (rows - rows.mean(0)) / np.maximum(rows.std(0).mean(), 1e-9)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows @ rows.T


def padded(lora: LoRA) -> LoRA:
    """Return the factors as stored, padded with zeros to one rank, so that raw factors can be compared at all."""
    layers = {}
    for path, layer in lora.layers.items():
        f = factorise(layer) if isinstance(layer, LowRank) and layer.rank <= RANK else truncated(layer)
        more = RANK - f.rank
        up = torch.cat([f.B.float(), torch.zeros(f.shape[0], more)], 1)
        layers[path] = LowRank(up, torch.cat([f.A.float(), torch.zeros(more, f.shape[1])]), f.scale)
    return replace(lora, layers=layers)


def truncated(layer: object) -> LowRank:
    """Return the leading directions of a layer whose rank is larger."""
    u, s, vh = thin_svd(layer) if isinstance(layer, LowRank) else torch.linalg.svd(layer.delta(), full_matrices=False)  # type: ignore[attr-defined]
    root = s[:RANK].sqrt()
    return LowRank(u[:, :RANK] * root, root[:, None] * vh[:RANK])


def canonical(lora: LoRA) -> LoRA:
    """Return singular vectors in place of the factors, with the sign that makes the largest entry of u positive."""
    layers = {}
    for path, layer in lora.layers.items():
        f = truncated(layer)
        sign = f.B.gather(0, f.B.abs().argmax(0, keepdim=True)).sign().squeeze(0)
        layers[path] = LowRank(f.B * sign, f.A * sign[:, None])
    return padded(replace(lora, layers=layers))


def image_features(members: Sequence[Member]) -> tuple[dict[str, Array], float]:
    """Return the mean features of images that each LoRA draws, by the embedded encoders; drawn once."""
    cache = LORAS.parent / "features.npz"
    held = dict(np.load(cache)) if cache.exists() else {}
    names = [f"{m.way}{m.copy}_{m.concept}" for m in members]
    missing = [i for i, name in enumerate(names) if f"tower/{name}" not in held]
    if missing:
        start = time.process_time()
        backbone = load_backbone("data/embedded/base", device="cpu")
        pictures: list[list[Image.Image]] = [[] for _ in missing]
        for prompt in PROMPTS:
            loras, prompts = [members[i].lora for i in missing], [prompt] * len(missing)
            parts = list(sample_batches(backbone, loras, prompts, [0], SAMPLING, batch=32))
            for pictured, image in zip(pictures, torch.cat(parts)[:, 0], strict=True):
                pictured.append(Image.fromarray(to_bytes(image)))
        held.setdefault("seconds", np.array((time.process_time() - start) / len(missing)))
        for encoder in (load_encoder(name, device="cpu") for name in ("tower", "pixels")):
            for i, some in zip(missing, pictures, strict=True):
                held[f"{encoder.name}/{names[i]}"] = np.mean(encoder.encode_images(some), 0)
        np.savez(cache, **held)
    rows = {k: np.stack([held[f"{k}/{name}"] for name in names]).astype(float) for k in ("tower", "pixels")}
    return {"images": rows["tower"], "pixels": rows["pixels"]}, float(held["seconds"])


Galleries = Mapping[int, Sequence[int]]  # query -> the entries that are ranked for it


def across(members: Sequence[Member]) -> Galleries:
    """Return the galleries of LoRAs that were trained in other ways than the query."""
    return {i: [j for j, m in enumerate(members) if m.way != query.way] for i, query in enumerate(members)}


def within(members: Sequence[Member], way: str) -> Galleries:
    """Return the galleries of the other LoRAs of the query's way."""
    some = [i for i, m in enumerate(members) if m.way == way]
    return {i: [j for j in some if j != i] for i in some}


def retrieval(matrix: Array, members: Sequence[Member], galleries: Galleries) -> dict[str, Array]:
    """Return mAP, recall@1 and recall@5 by style, each (1, styles, 1); recall@k is the share of queries with a hit."""
    return by_style(members, galleries, lambda i, gallery: np.argsort(-matrix[i, gallery], kind="stable"))


def chance(members: Sequence[Member], galleries: Galleries) -> dict[str, Array]:
    """Return the measures of random orders."""
    random = np.random.default_rng(0)
    return by_style(members, galleries, lambda i, gallery: random.permutation(len(gallery)))


def by_style(
    members: Sequence[Member], galleries: Galleries, order: Callable[[int, Sequence[int]], NDArray[np.int64]]
) -> dict[str, Array]:
    """Return the mean measures of each style's queries."""
    styles = sorted({member.concept for member in members})
    rows: dict[str, dict[str, list[float]]] = {m: {s: [] for s in styles} for m in ("mAP", "recall@1", "recall@5")}
    for i, gallery in galleries.items():
        style = members[i].concept
        hits = np.array([members[gallery[j]].concept == style for j in order(i, gallery)])
        ranks = np.flatnonzero(hits) + 1
        rows["mAP"][style].append(float(np.mean(np.arange(1, len(ranks) + 1) / ranks)))
        rows["recall@1"][style].append(float(hits[0]))
        rows["recall@5"][style].append(float(hits[:5].any()))
    return {name: np.array([[[np.mean(values[s])] for s in styles]]) for name, values in rows.items()}


def clusters(matrix: Array, members: Sequence[Member]) -> dict[str, object]:
    """Return ARI and NMI of as many clusters as there are styles, with intervals by leaving one style out."""
    styles = np.array([member.concept for member in members])
    names = sorted(set(styles))

    def measure(kept: NDArray[np.bool_]) -> tuple[float, float]:
        some = np.ix_(kept, kept)
        labels = cut(average_linkage((1 - matrix[some]).astype(np.float32)), len(set(styles[kept])))
        return adjusted_rand_score(styles[kept], labels), normalized_mutual_info_score(styles[kept], labels)

    whole = measure(np.ones(len(styles), bool))
    left = np.array([measure(styles != name) for name in names])
    errors = np.sqrt((len(names) - 1) / len(names) * ((left - left.mean(0)) ** 2).sum(0))
    return {
        name: [round(v, 3) for v in (value, value - 2.07 * error, value + 2.07 * error)]
        for name, value, error in zip(("ARI", "NMI"), whole, errors, strict=True)
    }


def estimate(value: Estimate) -> list[float]:
    """Return the mean and the ends of the interval."""
    return [round(v, 3) for v in (value.mean, value.low, value.high)]


def draw_maps(similarities: Mapping[str, Array], members: Sequence[Member]) -> None:
    """Draw the LoRAs of twelve styles by three fingerprints: a colour for each style, a marker for each way."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    styles = sorted({member.concept for member in members})[:12]
    ways = sorted({member.way for member in members})
    some = [i for i, member in enumerate(members) if member.concept in styles]
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.3), layout="constrained")
    titles = {"raw": "raw A|B with PCA", "direction": "invariant (direction)", "images": "features of drawn images"}
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        matrix = similarities[name][np.ix_(some, some)]
        positions = place(matrix.astype(np.float32))
        for way, marker in zip(ways, "osD^vPX*", strict=False):
            rows = [k for k, i in enumerate(some) if members[i].way == way]
            colours = [plt.cm.tab20(styles.index(members[some[k]].concept) / 20) for k in rows]
            axis.scatter(
                *positions[rows].T, c=colours, marker=marker, s=42, label=way, edgecolors="white", linewidths=0.4
            )
        axis.set(title=title, xticks=[], yticks=[])
    legend = figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(ways))
    for handle in legend.legend_handles:
        handle.set_facecolor("#57606a")
    figure.savefig(HERE / "map.png", dpi=80)


if __name__ == "__main__":
    main()
