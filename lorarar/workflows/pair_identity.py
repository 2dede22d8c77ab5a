"""Pair identity: what decides the file of a pair of two folders, so that a merge of other inputs is not taken for it.

A path says nothing of what lies under it, so networks and bases count by their content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from lorarar.formats import load, read_stored
from lorarar.hypernetwork import NETWORK_KINDS, open_network, shipped_network
from lorarar.mergers import DEFAULT, MERGERS, TERMS, FileMerge, MergeRequest, find_merger
from lorarar.storage import digest, sha256, stated

_BASE_FILES = (".safetensors", ".bin", ".json", ".txt")  # weights, configurations and tokenisers


class _Input(NamedTuple):
    sha256: str
    family: str = ""
    on_base: bool = False


@dataclass(frozen=True)
class PairIdentities:
    """What decides the files of all pairs; each file, network and base is hashed once.

    Attributes:
        inputs: LoRA file -> its SHA-256, its family, and whether its deltas depend on the base.
        request: What every pair shares: settings, networks and plugins.
        shipped: Family -> SHA-256 of the network that is shipped for it; empty where the request names the merger.
        base: Fingerprint of the base; "" where no pair uses it.
        always_on_base: Whether the merger itself computes on the base.
    """

    inputs: Mapping[Path, _Input]
    request: Mapping[str, Any]
    shipped: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    always_on_base: bool = False

    def hashes(self, content: Path, style: Path) -> list[str]:
        """Return the SHA-256 of the files of a pair."""
        return [self.inputs[path].sha256 for path in (content, style)]

    def request_sha256(self, content: Path, style: Path) -> str:
        """Return the digest of all that decides the merged file of a pair besides its two files."""
        pair = self.inputs[content], self.inputs[style]
        family = pair[0].family or pair[1].family
        uses_base = self.always_on_base or any(entry.on_base for entry in pair)
        return digest({**self.request, "shipped": self.shipped.get(family), "base": self.base if uses_base else None})


def identify_pairs(paths: Iterable[Path], job: FileMerge) -> PairIdentities:
    """Read what decides the files of all pairs.

    Args:
        paths: The LoRA files of both folders. One that cannot be read is hashed; its merges say what is wrong.
        job: How a pair is merged.

    Raises:
        FormatError: The network of the request cannot be read.
        ValueError: The merger is unknown.
    """
    request = job.request
    by_default = not (request.merger or request.network) or bool(request.pair.describe and not request.pair.init)
    some_on_base = bool(request.base) and not request.optimises
    inputs = {path: _read_input(path, request, hash_only=not (by_default or some_on_base)) for path in paths}
    families = {entry.family for entry in inputs.values()} if by_default else set()
    networks = {family: shipped_network(family) for family in sorted(families)}
    uses_base = request.optimises or any(entry.on_base for entry in inputs.values())
    return PairIdentities(
        inputs,
        _shared_facts(job),
        {family: sha256(network) for family, network in networks.items() if network},
        fingerprint_base(request.base) if request.base and uses_base else "",
        request.optimises,
    )


def fingerprint_base(base: str | Path) -> str:
    """Return the digest of the files of a base model; a hub id, which names its content, is returned as it is.

    Args:
        base: A folder, a checkpoint or a hub id, see `lorarar.mergers.MergeRequest`.
    """
    place = Path(base).expanduser()
    if not place.exists():
        return str(base)
    files = [place] if place.is_file() else sorted([*place.glob("*"), *place.glob("*/*")])
    chosen = [file for file in files if file.is_file() and (file == place or file.suffix in _BASE_FILES)]
    return digest({file.relative_to(place).as_posix(): sha256(file) for file in chosen})


def _read_input(path: Path, request: MergeRequest, *, hash_only: bool) -> _Input:
    """Return what an input adds to the identity of its pairs."""
    if hash_only:
        return _Input(sha256(path))
    try:
        stored = read_stored(path)
        on_base = stored.needs_base
        family = stored.family
        if not family and on_base and request.weights_base:  # the base's shapes may tell it
            family = load(path, request.weights_base).family
    except (ValueError, OSError):
        return _Input(sha256(path))
    return _Input(stored.sha256, family, on_base)


def _shared_facts(job: FileMerge) -> dict[str, Any]:
    """Return what decides the files of all pairs: settings without paths, and the hashes of what they name."""
    request, pair = job.request, job.request.pair
    networks = {"network": request.network, "init": None if pair.init == DEFAULT else pair.init}
    named = replace(pair, runs=None, init=DEFAULT if pair.init == DEFAULT else None)
    settings = replace(request, device="auto", network=None, base=None, pair=named)
    plugins: dict[str, str] = {}
    facts = {"format": job.format, "dtype": job.dtype, "settings": stated(settings), "plugins": plugins}
    if request.merger:
        method = find_merger(request.merger).pair
        plugins |= MERGERS.plugins([request.merger]) | TERMS.plugins(method.weights.extra if method else ())
    for name, given in networks.items():
        if given is not None:
            network = open_network(given)
            facts[name] = network.sha256
            plugins |= NETWORK_KINDS.plugins([network.kind])
    if pair.describe:
        from lorarar.workflows.descriptions import name_describer  # here, since most merges need no base model

        facts["describer"] = name_describer(pair.describe)
    return facts
