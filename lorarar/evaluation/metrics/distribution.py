"""Distribution: features that are missing in the cache, computed by the workers of an engine before they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from lorarar.datasets import Item, References
from lorarar.evaluation.metrics.encoders.protocols import MapEncoder, TextEncoder
from lorarar.evaluation.metrics.encoding import Encoders, list_files
from lorarar.evaluation.metrics.features import ImageFile, gram_features, image_features, missing_features
from lorarar.evaluation.metrics.settings import MetricsConfig
from lorarar.storage.units import UnitWork, run_units

_UNIT = 256  # images


@dataclass(frozen=True)
class ImageChunk:
    """Images that a worker encodes.

    Attributes:
        part: The encoder, by the metric that it serves: "content", "style", "gram" or "text".
        gram: Whether as Gram matrices.
        files: The images.
    """

    part: str
    gram: bool
    files: tuple[ImageFile, ...]


def distribute_features(
    config: MetricsConfig,
    items: Sequence[Item],
    references: References,
    encoders: Encoders,
    load: Callable[[MetricsConfig], Encoders],
) -> None:
    """Encode the images and references that the cache lacks, by the engine of a configuration.

    Args:
        config: The configuration.
        items: The images.
        references: The concepts and their images.
        encoders: The encoders that the configuration names.
        load: Function that loads them, in each worker.

    Raises:
        Exception: That of the first chunk that failed, once the others are done.
    """
    files = list_files(items, references, config.images)
    chunks = [chunk for part, gram in _parts(encoders) for chunk in _chunks(config, files, encoders, part, gram=gram)]
    units = {f"{chunk.part}{' (Gram)' * chunk.gram}, {chunk.files[0].path}": chunk for chunk in chunks}
    work = UnitWork("encode images", "chunks", partial(_open_encoders, config, load))
    errors = [result.error for result in run_units(work, units, engine=config.engine, workers=config.workers)]
    for error in filter(None, errors):
        raise error


def _parts(encoders: Encoders) -> Iterator[tuple[str, bool]]:
    """Yield each encoder that images pass through, once, and whether as Gram matrices."""
    used = set[int]()
    for part, encoder in encoders.by_part().items():
        is_plain = part in ("content", "style") or (part == "text" and isinstance(encoder, TextEncoder))
        if is_plain and id(encoder) not in used:
            used.add(id(encoder))
            yield part, False
        if part == "gram" and isinstance(encoder, MapEncoder):
            yield part, True


def _chunks(
    config: MetricsConfig, files: Sequence[ImageFile], encoders: Encoders, part: str, *, gram: bool
) -> Iterator[ImageChunk]:
    missing = missing_features(files, encoders.by_part()[part], cache=config.cache, gram=gram)
    for start in range(0, len(missing), _UNIT):
        yield ImageChunk(part, gram, tuple(missing[start : start + _UNIT]))


def _open_encoders(config: MetricsConfig, load: Callable[[MetricsConfig], Encoders]) -> Callable[[ImageChunk], None]:
    """Load the encoders; return the function that encodes a chunk into the cache."""
    encoders = load(config).by_part()

    def encode(chunk: ImageChunk) -> None:
        encoder = encoders[chunk.part]
        if chunk.gram and isinstance(encoder, MapEncoder):
            gram_features(chunk.files, encoder, cache=config.cache)
        else:
            image_features(chunk.files, encoder, cache=config.cache)

    return encode
