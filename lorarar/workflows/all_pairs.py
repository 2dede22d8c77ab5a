"""All pairs: merge every content of a folder with every style of another, into one folder with a manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from lorarar.mergers import FileMerge, plan_merge
from lorarar.storage import FormatError, check_run, claim_run, printable, stated, write_lines
from lorarar.storage.units import Engine, UnitWork, Workers, run_units
from lorarar.workflows.merges import merge_to_file
from lorarar.workflows.pair_identity import PairIdentities, identify_pairs

MANIFEST = "manifest.jsonl"
_ADVICE = "name another output, or delete this one"
REQUEST_KEY = "request_sha256"  # in the header of a pair: what decides the file besides its inputs


class PairsPlan(NamedTuple):
    """What merging all pairs would write.

    Attributes:
        contents, styles: Numbers of files.
        merged: Number of pairs that are there already, from the same files by the same merge.
        bytes: Size of all files, estimated from the first pair that can be merged.
        method: Method of this pair.
    """

    contents: int
    styles: int
    merged: int
    bytes: int
    method: str

    def text(self) -> str:
        """Return the plan as a line."""
        pairs = self.contents * self.styles
        return (
            f"{self.contents} contents x {self.styles} styles: {pairs} files, about {self.bytes / 1e6:,.1f} MB, by "
            f"{self.method}; {self.merged} are there already"
        )


@dataclass(frozen=True)
class PairsResult:
    """What merging all pairs did.

    Attributes:
        merged: Number of pairs merged now.
        present: Number of pairs that were there already.
        failed: Reason -> number of pairs. A reason that names the pair itself is that of the first such pair.
        manifest: The manifest.
    """

    merged: int
    present: int
    failed: dict[str, int]
    manifest: Path

    def text(self) -> str:
        """Return the result as text."""
        lines = [f"merged {self.merged} pairs, {self.present} were there already, {sum(self.failed.values())} failed"]
        lines += [f"  {count} failed: {reason}" for reason, count in self.failed.items()]
        return "\n".join(map(printable, [*lines, f"manifest: {self.manifest}"]))


class _Pair(NamedTuple):
    content: Path
    style: Path
    output: Path


def plan_all_pairs(contents: Path, styles: Path, job: FileMerge) -> PairsPlan:
    """Return what `merge_all_pairs` would write.

    Args:
        contents, styles: Folders of LoRA files.
        job: As `merge_all_pairs` takes it.

    Raises:
        ConfigError: The folder holds a run of another request.
        FormatError: A folder holds no LoRA file, the folder for the results cannot be made, no pair can be merged, or
            the network cannot be read.
        ValueError: The request is for one pair, the merger is unknown, or two pairs have the same file name.
    """
    pairs = _pairs(contents, styles, job)
    identities = _identities(pairs, job)
    check_run(job.output, _settings(job), _ADVICE)
    sizes = {pair: pair.content.stat().st_size + pair.style.stat().st_size for pair in pairs}
    errors = []
    for pair in pairs:
        try:
            beside = job.output.parent / pair.output.name  # since the folder may not exist yet
            plan = plan_merge(replace(_job(job, pair), output=beside, force=True))
        except (ValueError, OSError) as error:
            errors.append(str(error))
            continue
        total = plan["output"]["bytes"] * sum(sizes.values()) / sizes[pair]
        merged = sum(_is_merged(pair, identities) for pair in pairs)
        counts = (len({pair.content for pair in pairs}), len({pair.style for pair in pairs}))
        return PairsPlan(*counts, merged, int(total), plan["method"]["name"])
    raise FormatError(f"expected a pair that can be merged, found none of {len(pairs)}; the first: {errors[0]}")


def merge_all_pairs(
    contents: Path, styles: Path, job: FileMerge, *, engine: Engine = "local", workers: Workers | None = None
) -> PairsResult:
    """Merge every LoRA file of a folder with every one of another, as "content+style.safetensors".

    A pair is not merged again if its file states the hashes of its inputs and of all else that decides it: settings,
    the network or the one that is shipped, plugins, and the base where it is used. So an interrupted run continues.
    Where something else lies under a path now, the pair is merged again with `force`, and fails without. A pair that
    fails is counted, and the others go on.

    `manifest.jsonl` has a line for each pair: inputs with their SHA-256, output, method, status, and the time of the
    merge over the median of those of the same call.

    Args:
        contents, styles: Folders of LoRA files.
        job: The folder for the results as `output`, and how a pair is merged; `files` is ignored.
        engine, workers: Where the pairs are merged, see `lorarar.storage.units.run_units`.

    Raises:
        ConfigError: The folder holds a run of another request.
        FormatError: A folder holds no LoRA file, the folder for the results cannot be made, or the network cannot be
            read.
        ValueError: The request is for one pair, the merger is unknown, or two pairs have the same file name.
    """
    pairs = _pairs(contents, styles, job)
    identities = _identities(pairs, job)
    claim_run(job.output, _settings(job), _ADVICE)
    manifest = job.output / MANIFEST
    old = _old_lines(manifest)
    lines = {
        pair: {"status": "merged", **old.get(pair.output.name, {}), **_line(pair, identities)}
        for pair in pairs
        if _is_merged(pair, identities)
    }
    present, seconds, failed = len(lines), dict[_Pair, float](), dict[_Pair, str]()
    left = {pair.output.stem: pair for pair in pairs if pair not in lines}
    work = UnitWork("merge pairs", "pairs", partial(_open_pairs, job, identities))
    try:
        for result in run_units(work, left, engine=engine, workers=workers, done=present):
            pair = left[result.key]
            if result.error is None:
                seconds[pair] = result.seconds
                lines[pair] = _line(pair, identities) | {"status": "merged", "method": result.value}
            elif isinstance(result.error, (ValueError, OSError)):
                failed[pair] = str(result.error)
                lines[pair] = _line(pair, identities) | {"status": "failed", "reason": failed[pair]}
            else:
                raise result.error
    finally:
        for pair, duration in seconds.items():
            lines[pair]["relative_seconds"] = round(duration / median(seconds.values()), 3)
        write_lines(manifest, [lines[pair] for pair in pairs if pair in lines])
    return PairsResult(len(seconds), present, _count_reasons(failed), manifest)


def _open_pairs(job: FileMerge, identities: PairIdentities) -> Callable[[_Pair], str]:
    """Return the function that merges one pair, unless its file is there, and returns the method's name."""

    def merge_pair(pair: _Pair) -> str:
        if _is_merged(pair, identities):  # by a worker that died after it
            with safe_open(pair.output, framework="pt") as file:
                return str(file.metadata()["lorarar.method"])
        if pair.output.exists() and not job.force:
            raise FormatError(
                f"expected no file or the same merge at {pair.output}, found one from other inputs or settings: "
                "replace it with `force=True`, or name another output"
            )
        facts = {REQUEST_KEY: identities.request_sha256(pair.content, pair.style)}
        return str(merge_to_file(_job(job, pair), facts)["method"]["name"])

    return merge_pair


def _pairs(contents: Path, styles: Path, job: FileMerge) -> list[_Pair]:
    """Return all pairs, contents varying slowest, after the checks that need no file's content."""
    inputs = job.request.pair
    given = {**inputs.values("images"), **inputs.values("descriptions"), "content_prompt": inputs.content_prompt}
    given |= {"style_prompt": inputs.style_prompt, "describe": None}
    for name, value in given.items():
        if value:
            raise ValueError(f"expected no `{name}` for folders, since it is that of one file: drop it")
    if job.save_coefficients:
        raise ValueError("expected no `save_coefficients` for folders, since it is one file: drop it")
    _check_folder(job.output)
    lists = [_list_files(folder) for folder in (contents, styles)]
    pairs = [_Pair(c, s, job.output / f"{c.stem}+{s.stem}.safetensors") for c in lists[0] for s in lists[1]]
    _check_names(pairs)
    return pairs


def _check_folder(output: Path) -> None:
    """Check that a folder is there or can be made."""
    if output.exists() and not output.is_dir():
        raise FormatError(f"expected a folder for the merged files, found the file {output}: name a folder")
    if not output.parent.is_dir():
        raise FormatError(f"{output} cannot be made: its folder {output.parent} does not exist, create it first")


def _check_names(pairs: Sequence[_Pair]) -> None:
    """Refuse two pairs of one file name, as "a" with "b+c" and "a+b" with "c"."""
    by_output: dict[Path, _Pair] = {}
    for pair in pairs:
        other = by_output.setdefault(pair.output, pair)
        if other is not pair:
            named = [f"{one.content.name} with {one.style.name}" for one in (other, pair)]
            raise ValueError(
                f"expected a file name for each pair, found {pair.output.name} for both {named[0]} and {named[1]}: "
                "rename one of these files"
            )


def _list_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FormatError(f"expected a folder of LoRA files (.safetensors), found none in {folder}: check the path")
    return files


def _identities(pairs: Sequence[_Pair], job: FileMerge) -> PairIdentities:
    return identify_pairs(dict.fromkeys(path for pair in pairs for path in pair[:2]), job)


def _job(job: FileMerge, pair: _Pair) -> FileMerge:
    """Return the merge of one pair."""
    inputs = job.request.pair
    runs = inputs.runs and inputs.runs / pair.output.stem
    request = replace(job.request, pair=replace(inputs, runs=runs))
    return replace(job, files=pair[:2], output=pair.output, request=request)


def _settings(job: FileMerge) -> dict[str, Any]:
    """Return what decides the bytes of the results."""
    request = replace(job.request, device="auto", pair=replace(job.request.pair, runs=None))
    return {"format": job.format, "dtype": job.dtype, **stated(request)}


def _is_merged(pair: _Pair, identities: PairIdentities) -> bool:
    """Return whether the output is there and states these inputs, merged by the same request."""
    if not pair.output.is_file():
        return False
    with suppress(SafetensorError, ValueError, KeyError, TypeError), safe_open(pair.output, framework="pt") as file:
        header = file.metadata() or {}
        same_request = header[f"lorarar.{REQUEST_KEY}"] == identities.request_sha256(pair.content, pair.style)
        inputs = [entry["sha256"] for entry in json.loads(header["lorarar.inputs"])]
        return same_request and inputs == identities.hashes(pair.content, pair.style)
    return False


def _line(pair: _Pair, identities: PairIdentities) -> dict[str, Any]:
    hashes = identities.hashes(pair.content, pair.style)
    inputs = [{"name": path.name, "sha256": sha256} for path, sha256 in zip(pair[:2], hashes, strict=True)]
    return {"content": inputs[0], "style": inputs[1], "output": pair.output.name}


def _old_lines(manifest: Path) -> dict[str, dict[str, Any]]:
    """Return output -> line of a manifest; empty without one."""
    if not manifest.is_file():
        return {}
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    return {line["output"]: line for line in lines}


def _count_reasons(failed: Mapping[_Pair, str]) -> dict[str, int]:
    """Return reason -> number of pairs; reasons that differ in the names of the pair alone count as one."""
    groups: dict[str, list[str]] = {}
    for pair, reason in failed.items():
        groups.setdefault(_without_names(reason, pair), []).append(reason)
    return {_one_reason(texts): len(texts) for texts in groups.values()}


def _without_names(reason: str, pair: _Pair) -> str:
    """Return a reason with the same words for every pair, where it names the output or both inputs."""
    words = {pair.output: "OUTPUT"}
    if pair.content.name in reason and pair.style.name in reason:
        words |= {pair.content: "CONTENT", pair.style: "STYLE"}
    for path, word in words.items():
        reason = reason.replace(str(path), word).replace(path.name, word)
    return reason


def _one_reason(texts: Sequence[str]) -> str:
    others = len(texts) - 1
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} (and {others} more alike, see the manifest)"
