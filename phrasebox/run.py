"""A run in a notebook: its tables, its images, and its shards for a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pipeline.run.existing import existing_run, read_run, turned_off
from stages.stage import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

As = Literal["pandas", "arrow", "duckdb"]
MADE_BY = {"pairs": "ingest", "phrases": "phrases", "labels": "label", "pseudo": "filter", "shards": "shard"}


class Run:
    """What `phrasebox.open` returns. Everything is read from the run when it is asked for, as it is then.

    Tables come as pandas frames; `as_="arrow"` gives a pyarrow.Table, `as_="duckdb"` a relation that reads nothing
    before its rows are wanted, so that a filter, a projection or a limit on it saves the rest. Rows are in the order of
    their keys. A method raises UserError where the stage that makes what it reads has not run.
    """

    def __init__(self, root: str) -> None:
        self._storage = existing_run(root)
        self.root = self._storage.root

    def __repr__(self) -> str:
        return f"phrasebox.open({self.root!r})"

    def pairs(self, *, as_: As = "pandas") -> Any:
        """One row per image-caption pair, with the columns of `pairs` (schemas/records.py)."""
        self._need("pairs")
        return self.query("SELECT * FROM pairs ORDER BY key", as_=as_)

    def phrases(self, *, as_: As = "pandas") -> Any:
        """One row per phrase: key, phrase (its number in the caption), start, end, text, head, norm."""
        self._need("phrases")
        return self.query("SELECT * FROM phrases_flat ORDER BY key, phrase", as_=as_)

    def boxes(self, min_score: float | None = None, *, as_: As = "pandas") -> Any:
        """One row per box: key, box, phrase, text, head, norm, x1, y1, x2, y2, score, and more (docs/queries.md).

        Boxes are half-open pixels of the upright image. Without `min_score`, those that the filter kept; with it, all
        labelled ones that score above it.
        """
        self._need("labels" if min_score is not None else "pseudo")
        wanted = "kept" if min_score is None else f"score > {float(min_score)!r}::FLOAT"
        return self.query(f"SELECT * FROM boxes_flat WHERE {wanted} ORDER BY key, box", as_=as_)

    def query(self, sql: str, *, as_: As = "pandas") -> Any:
        """What DuckDB answers to a statement about the tables of docs/queries.md.

        Raises UserError for SQL that DuckDB refuses.
        """
        from stages.inspect.query import connect, user_errors

        if as_ not in ("pandas", "arrow", "duckdb"):
            raise ValueError(f"as_={as_!r}: expected 'pandas', 'arrow' or 'duckdb'")
        connection = connect(self.root, turned_off(self.root))
        with user_errors():
            relation = connection.sql(sql)
            if relation is None:
                raise UserError("query: the SQL holds no statement")
            return {"pandas": relation.df, "arrow": relation.to_arrow_table, "duckdb": lambda: relation}[as_]()

    def show(self, key: str, min_score: float | None = None) -> Image:
        """The image of a pair with its boxes, and its caption below; a notebook displays it.

        Boxes as in `boxes`. Raises UserError for a key that the run does not have, and for a pair without an image.
        """
        from io import BytesIO

        from PIL import Image

        from stages.inspect.show import show

        (shown,) = show(read_run(self.root), [key], threshold=min_score, max_pixels=self._max_pixels())
        if shown.png is None:
            raise UserError(f"show: {key}: {shown.lines[-1].strip()}")
        return Image.open(BytesIO(shown.png))

    def webdataset(
        self,
        *,
        upright: bool = True,
        shuffle: int = 0,
        resampled: bool = False,
        samples: int | None = None,
        seed: int = 0,
    ) -> Any:
        """A `webdataset` pipeline over the shards, for a torch DataLoader; its samples are dicts:

            __key__   CORPUS-KEY
            image     a PIL image in RGB, turned upright, the frame that the boxes are in;
                      with upright=False the stored bytes, for a decoder of your own
            json      the record that the README shows: caption, phrases, boxes, ...

        An epoch has every sample once, over all ranks and workers, each of which reads shards of its own. With
        `resampled`, shards are drawn without end, from all of them in every process, and `samples` makes epochs of that
        length, with as many in every rank. `shuffle` is the number of samples that are held to draw the next one from.
        Raises UserError where there are no shards, and from the pipeline where ranks outnumber the shards.
        """
        from phrasebox.shards import shard_pipeline
        from stages.shard.index import INDEX, read_index

        if samples is not None and not resampled:
            raise ValueError("samples: the length of an epoch is free with resampled=True only")
        self._need("shards")
        if not self._storage.exists(INDEX):
            raise UserError(
                f"{self.root}: the list of shards is not there yet; run `phrasebox shard --run {self.root}`"
            )
        with self._storage.open(INDEX) as stream:
            files = [file for file, _ in read_index(stream)]
        if not files:
            raise UserError(f"{self.root}: the shards hold no samples: no box passed the filter")
        return shard_pipeline(
            self.root,
            files,
            upright=upright,
            shuffle=shuffle,
            resampled=resampled,
            samples=samples,
            seed=seed,
            max_pixels=self._max_pixels(),
        )

    def _need(self, dataset: str) -> None:
        if not self._storage.list(dataset):
            command = f"phrasebox {MADE_BY[dataset]} --run {self.root}"
            raise UserError(f"{self.root}: there are no {dataset} yet; run `{command}` first")

    def _max_pixels(self) -> int:
        from pipeline.run.config import load_config

        limit: int = load_config(None, (), self.root).ingest.max_pixels
        return limit
