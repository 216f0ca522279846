"""`phrasebox run --source PATH`: from images and captions to a report, with nothing written beforehand."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from pipeline.cli.commands import Options, run_rounds, say
from pipeline.run.config import read_run_config
from pipeline.storage.open import open_storage
from pipeline.storage.uri import is_remote, local_path
from stages.ingest.names import base_name
from stages.ingest.sources import absolute
from stages.stage import UserError

LAST = "audit"
SCENES = "scenes"
ENDINGS = re.compile(r"(\.(csv|tsv|txt|jsonl?|ndjson|parquet|tar|tgz|gz|bz2|xz|zst))+$", re.IGNORECASE)


def run_source(
    source: str, settings: Sequence[str], run: str | None, first: str | None, last: str | None, options: Options
) -> None:
    """Runs the stages up to the audit (or `last`) with the defaults, and says what to do with the result."""
    folder = run or run_folder(source)
    run_rounds(None, settings_of(source, folder, settings), folder, first, last or LAST, options)
    if not options.dry_run:
        say(*next_steps(source, run, folder))


def run_folder(source: str) -> str:
    """Where a source is run when no other folder is named: `runs/` and its name, without the suffix of a file."""
    name = ENDINGS.sub("", base_name(absolute(source)))
    if not name:
        raise UserError(f"--source {source}: has no name to call the run by; name its folder with --run")
    return f"runs/{name}"


def settings_of(source: str, folder: str, settings: Sequence[str]) -> list[str]:
    """The settings of the run: its own stay as they are when it has been there before. Raises UserError."""
    names = {setting.partition("=")[0].strip() for setting in settings}
    if twice := names & {"run", "ingest.source"}:
        raise UserError(f"--set {min(twice)} says again what --source and --run say; leave it out")
    _check_places(source, folder)
    tree = read_run_config(folder)
    if not tree:
        corpus = re.sub(r"[^a-z0-9_]+", "_", base_name(folder).lower())[:32]
        return [f"ingest.source={json.dumps(source, ensure_ascii=False)}", f'corpus="{corpus}"', *settings]
    known = (tree.get("ingest") or {}).get("source")
    if known not in (source, absolute(source)):
        raise UserError(f"{folder} is a run of another source ({known}); name another folder with --run")
    return list(settings)


def _check_places(source: str, folder: str) -> None:
    """Raises UserError for a source that is not there, and for a run that would be among its files."""
    if is_remote(source) or source == SCENES:
        return
    place = Path(absolute(local_path(source)))
    if not place.exists():
        raise UserError(f"--source {source}: there is no such file or folder")
    if not is_remote(folder) and Path(os.path.realpath(local_path(folder))).is_relative_to(place.resolve()):
        raise UserError(f"{folder} lies in the source, {source}, and would be read with it; name another with --run")


def next_steps(source: str, run: str | None, folder: str) -> list[str]:
    """What the report warns of, and commands to go on with; nothing before there is a report."""
    data = open_storage(folder).read_or_none("report/stats.json")
    if data is None:
        return []
    stats = json.loads(data)
    here = shlex.quote(folder)
    again = f"--source {shlex.quote(source)}" + (f" --run {here}" if run is not None else "")
    lines = []
    if asked := stats["phrases_asked"]:
        grounded = stats["phrases_grounded"]
        lines.append(f"found      boxes for {grounded:,} of the {asked:,} phrases asked for ({grounded / asked:.0%})")
    lines += [f"warning    {warning['text']}" for warning in stats["warnings"]]
    if phrases := stats["phrases_tables"].get("most_frequent"):
        lines.append(f"look       phrasebox show {here} --phrase {shlex.quote(phrases[0]['phrase'])} --out boxes")
    return [
        *lines,
        f"take away  phrasebox export {here} --format coco",
        f"settings   {folder}/config.yaml; to change one: phrasebox run {again} --set filter.min_score=0.6",
    ]
