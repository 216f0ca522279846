"""Commands beside the stages: looking into a run, writing it for other tools, fetching teachers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from pipeline.cli.options import RunFolder


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command("export", help="Write a run's boxes in the formats of other tools.")(export)
    app.command("show", help="Images of single samples with their boxes, as PNG files.")(show)
    app.command("explain", help="Why each phrase and box of a pair was taken or not.")(explain)
    app.command("review", help="People judge drawn boxes: how many are right.")(review)
    app.command("query", help="SQL over a run's tables and flat views of them.")(query)
    teacher = typer.Typer(help="Packaged and released teachers: info, pull, convert.", rich_markup_mode=None)
    teacher.command("info", help="The model card of a packaged teacher: data, terms, figures.")(info)
    teacher.command("convert", help="Turn an official .pth into .safetensors.")(convert)
    teacher.command("pull", help="Fetch a released checkpoint from the hub.")(pull)
    app.add_typer(teacher, name="teacher")


def export(
    run: RunFolder,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="coco, coco-text, odvg, grit, mdetr, glip-tsv, label-studio, fiftyone, qwen2.5-vl, qwen3-vl, "
            "paligemma, florence-2, kosmos-2, shikra, ferret, gligen, yolo, hf, or card (README.md of the shards).",
        ),
    ],
    out: Annotated[str | None, typer.Option("--out", help="The folder to write to [RUN/export-FORMAT].")] = None,
    min_score: Annotated[
        float | None,
        typer.Option("--min-score", min=0.0, max=1.0, help="All labelled boxes above it [those that the filter kept]."),
    ] = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Copy the images, too.")] = True,
    pictures: Annotated[
        Literal["upright", "stored"],
        typer.Option("--pictures", help="Turn images by their EXIF orientation, or copy their bytes."),
    ] = "upright",
    seed: Annotated[int | None, typer.Option("--seed", help="Draws the prompts of conversations [0].")] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option("--max-pixels", min=28 * 28, help="qwen2.5-vl: to which the trainer resizes images [12845056]."),
    ] = None,
    categories: Annotated[
        str | None, typer.Option("--categories", help="yolo: a file with a category in each line [every head].")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="gligen: a folder with a CLIP, for embeddings [none].")
    ] = None,
) -> None:
    from pipeline.cli.views import export_run, read_names

    own: dict[str, Any] = {"seed": seed, "max_pixels": max_pixels, "weights": weights}
    own |= {"categories": read_names(categories) if categories else None}
    given = {name: value for name, value in own.items() if value is not None}
    export_run(run, format_, out, min_score, images, pictures, **given)


def show(
    run: RunFolder,
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY", help="Keys of 12 digits.")] = None,
    phrase: Annotated[str | None, typer.Option("--phrase", help="Samples in which this phrase has a box.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many with --phrase.")] = 12,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=0.0, max=1.0, help="All labelled boxes above it [those that the filter kept]."),
    ] = None,
    out: Annotated[str, typer.Option("--out", help="The folder to write to.")] = ".",
) -> None:
    from pipeline.cli.views import show_samples

    show_samples(run, keys or [], phrase, limit, threshold, out)


def explain(
    run: RunFolder,
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key of 12 digits.")],
    out: Annotated[str, typer.Option("--out", help="The folder to write the image to.")] = ".",
) -> None:
    from pipeline.cli.views import explain_pair

    explain_pair(run, key, out)


def review(
    run: RunFolder,
    boxes: Annotated[int, typer.Option("--boxes", min=0, help="Boxes to draw, of each teacher.")] = 400,
    phrases: Annotated[int, typer.Option("--phrases", min=0, help="Phrases to draw, for recall.")] = 60,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draw.")] = 0,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of the page [a free one].")] = 0,
    figures: Annotated[
        bool, typer.Option("--figures", help="Print what the judgements say, and serve nothing.")
    ] = False,
    suggest: Annotated[
        float | None,
        typer.Option("--suggest", min=0.0, max=1.0, help="Name the lowest threshold that is surely this precise."),
    ] = None,
    export_: Annotated[
        str | None,
        typer.Option("--export", metavar="FORMAT", help="Write the drawn boxes for another tool, e.g. label-studio."),
    ] = None,
    out: Annotated[str | None, typer.Option("--out", help="The folder to write to [RUN/review-FORMAT].")] = None,
    import_: Annotated[
        str | None,
        typer.Option("--import", metavar="FILE", help="Read what people corrected in Label Studio or FiftyOne."),
    ] = None,
    reviewer: Annotated[str | None, typer.Option("--reviewer", help="Who corrected what --import reads.")] = None,
) -> None:
    from pipeline.cli.review import command

    if suggest is not None:
        command.show_threshold(run, suggest)
    elif figures:
        command.show_figures(run)
    elif export_ is not None:
        command.export_drawn(run, boxes, seed, export_, out)
    elif import_ is not None:
        command.import_corrected(run, boxes, seed, import_, reviewer)
    else:
        command.serve(run, boxes, phrases, seed, port)


def query(
    run: RunFolder,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="DuckDB's dialect.")],
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
) -> None:
    from pipeline.cli.views import query_run

    query_run(run, sql, csv)


def info(
    name: Annotated[str | None, typer.Argument(help="A packaged teacher [all].")] = None,
) -> None:
    from pipeline.cli import teacher

    teacher.info(name)


def convert(
    variant: Annotated[str, typer.Argument(help="glip-t-a, glip-t-b, glip-t-c, glip-t or glip-l.")],
    source: Annotated[str, typer.Argument(help="The .pth file.")],
    target: Annotated[str, typer.Argument(help="The .safetensors file to write.")],
) -> None:
    from pipeline.cli import teacher

    teacher.convert(variant, source, target)


def pull(
    name: Annotated[str, typer.Argument(help="glip-t-a, glip-t-b, glip-t-c, glip-t or glip-l.")],
    out: Annotated[str, typer.Option("--out", help="The folder to put it in.")] = ".",
) -> None:
    from pipeline.cli import teacher

    teacher.pull(name, out)
