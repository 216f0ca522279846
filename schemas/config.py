"""The config file: one YAML with a section per stage. Unknown keys are errors; every default is written here once.

A field changes the result of the stages that depend on its section, unless it is marked with `Only`: then it is about
speed or place alone, or enters in another way (see schemas/marks.py). Every new field has to answer that question.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator

from schemas.dividers import DIVIDERS
from schemas.marks import Enters, EntersUnless, Only, device_type

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Cosine = Annotated[float, Field(ge=-1.0, le=1.0)]
Device = Annotated[str, Enters(device_type)]
Deform = Annotated[Literal["auto", "plain", "triton"], EntersUnless("auto")]
Unordered = Enters(sorted)  # a list whose order means nothing


def _text(value: object) -> object:
    """Columns without a header are named by numbers, and YAML reads a folder called 2017 as one, too."""
    return str(value) if type(value) is int else value


def _divider(value: object) -> object:
    """The character itself, or what stands for a tab in many tools, for its name."""
    names = {character: name for name, character in DIVIDERS.items()} | {"\\t": "tab"}
    return names.get(value, value) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_text)]
Divider = Annotated[Literal["tab", "comma", "semicolon", "bar"], BeforeValidator(_divider)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class IngestConfig(Section):
    """Options of one format are errors for another (stages/ingest/options.py); null and auto are found out from the
    source when it is planned, and written here."""

    OF_SOURCE: ClassVar[tuple[str, ...]] = (
        *("format", "split", "seed", "caption", "image", "url", "id"),
        *("divider", "quoting", "header", "images", "instances"),
    )  # how a source is read

    source: Annotated[Text, Only.PLAN] = "scenes"
    """`scenes`, or a path or URI of a file or folder."""
    format: Annotated[Literal["auto", "scenes", "webdataset", "table", "coco", "folder", "grit", "odvg"], Only.PLAN] = (
        "auto"
    )
    split: Annotated[Literal["gold", "web", "eval"], Only.PLAN] = "web"
    """Which scenes are drawn."""
    count: Annotated[Annotated[int, Field(ge=1)] | None, Only.PLAN] = None
    """At most so many pairs of the source."""
    seed: Annotated[int, Only.PLAN] = 0
    """Of the scenes."""
    caption: Annotated[Text | None, Only.PLAN] = None
    """Table: the column that holds the caption, by its name, or by its number from 0 where there is no header. Tars:
    the suffix of the member, or the key of the .json."""
    image: Annotated[Text | None, Only.PLAN] = None
    """Table: the column with the image or its path (relative ones are looked up in `images`). Tars: the suffix of the
    member."""
    url: Annotated[Text | None, Only.PLAN] = None
    """Table: the column with the page or image URL; it is kept, never fetched."""
    id: Annotated[Text | None, Only.PLAN] = None
    """Table: the column that names the row in the source."""
    divider: Annotated[Divider | None, Only.PLAN] = None
    """Table of text: what stands between two columns."""
    quoting: Annotated[Literal["auto", "csv", "none"], Only.PLAN] = "auto"
    """Table of text: csv, cells in quotes as in RFC 4180, with dividers and line ends in them; or none: a quote is a
    character."""
    header: Annotated[bool | None, Only.PLAN] = None
    """Table of text: whether its first row has the names of the columns."""
    images: Annotated[Text | None, Only.PLAN] = None
    """Folder or URI with the image files, for COCO, ODVG and tables."""
    instances: Annotated[Text | None, Only.PLAN] = None
    """COCO: an instances JSON whose boxes become gold."""
    max_pixels: Annotated[int, Field(ge=1)] = 100_000_000
    min_image_side: Annotated[int, Field(ge=1)] = 2
    max_caption_chars: Annotated[int, Field(ge=1)] = 20_000


class PhrasesConfig(Section):
    backend: str = "auto"
    """auto, distilled, spacy or nltk."""
    backend_version: Annotated[str | None, Only.DIGEST] = None
    """Filled in when the config is resolved: the model, version and hash that the phrases depend on."""
    max_phrases: Annotated[int, Field(ge=1)] | None = None
    max_words: Annotated[int, Field(ge=1)] | None = None
    stop_phrases: Annotated[tuple[str, ...], Unordered] = ()
    """Phrases (by norm or head) that name the medium; `medium` stands for the built-in list."""
    drop_heads: Annotated[
        tuple[Literal["person_name", "place_name", "time", "quantity", "abstract"], ...], Unordered
    ] = ()
    max_tokens: Annotated[int, Field(ge=8)] | None = None
    """Drop phrases of a sentence beyond so many of the teacher's tokens."""
    expressions: bool = False
    """Also find each phrase's referring expression: "a dog in a field of flowers" for "a dog"."""


def _off(value: object) -> object:
    """YAML reads an unquoted off as false."""
    return "off" if value is False else value


class Benchmark(Section):
    """Images to evaluate on, which the corpus must not hold."""

    source: Text
    """A folder of images, a JSON file of COCO's kind that lists them, or what ingest reads."""
    format: Literal["auto", "images", "coco", "webdataset", "table", "folder", "grit", "odvg"] = "auto"
    images: Text | None = None
    """The folder of the images that a JSON file or a table names."""
    name: Text | None = None
    """How it is called in `duplicate_of`; null: as its file or folder."""


class EmbedderConfig(Section):
    """The network that gives images their vectors, for curate."""

    model: Annotated[str | None, Only.DIGEST] = None
    """DINOv2, DINOv3, CLIP, SigLIP, SigLIP 2 or MetaCLIP 2, as a folder or an id of the Hugging Face hub."""
    revision: Annotated[str | None, Only.DIGEST] = None
    """Of an id of the hub: a branch, a tag or a commit; null: main. The resolved config has the commit."""
    model_sha256: Annotated[str | None, Only.DIGEST] = None
    """Filled in when the config is resolved; given by hand, it is what the checkpoint must have."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Images, or captions, that the network reads at a time."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: Device = "auto"
    """auto, cpu, cuda."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of one worker."""


def _embedder(value: object) -> object:
    """A network that is only named."""
    return {"model": value} if value is None or isinstance(value, str) else value


class CurateConfig(Section):
    """The stage is on where `duplicates` is, `against` names a benchmark, an embedder is named, or a rule is set."""

    duplicates: Annotated[Literal["off", "exact", "perceptual", "embedding"], BeforeValidator(_off)] = "off"
    """Of the images that are alike, the first is kept: of those with the same bytes; of those that look the same
    but for size, compression, brightness, contrast, colour, a small crop or a caption bar; or of those whose vectors
    are near each other. off: every image is."""
    embedder: Annotated[EmbedderConfig, BeforeValidator(_embedder), Only.DIGEST] = EmbedderConfig()
    """A folder or an id of the hub, or a section with `model` and how it runs; null: images have no vectors."""
    min_cosine: Cosine = 0.9
    """Embedding: from what cosine of their vectors up two images are duplicates."""
    clusters: Annotated[int, Field(ge=1)] = 1024
    """With an embedder: kinds of images that the corpus is divided into."""
    sample: Annotated[int, Field(ge=1)] = 65_536
    """So many of the first images make the clusters, and are compared all with all."""
    keep_per_cluster: Annotated[int, Field(ge=1)] | None = None
    """Of a cluster that has more images in the sample, so many of them are kept, the ones nearest to its centre, and of
    later images those that are as near; null: all."""
    near: Annotated[tuple[Benchmark, ...], Only.DIGEST] = ()
    """With an embedder: images to which the corpus is to be like; what is near none of them is left out."""
    near_k: Annotated[int, Field(ge=1)] = 4
    """So many images of the sample are near each image of `near`, and of later images those that are as near."""
    again: int = 0
    """Another number than before: the clusters of a corpus that has grown are made again, of its first images now."""
    flips: bool = False
    """Perceptual: an image and its mirror image look the same."""
    against: Annotated[tuple[Benchmark, ...], Only.DIGEST] = ()
    """Benchmarks: an image that looks like one of theirs is left out, and all that look like such an image."""
    min_likeness: Probability = 0.8
    """Perceptual, and against benchmarks: from what correlation of their details up two images look the same."""
    min_side: Annotated[int, Field(ge=1)] | None = None
    """Images with a shorter side, in pixels, are left out; null, here and below: the rule is off."""
    max_aspect: Annotated[float, Field(ge=1.0)] | None = None
    """Images whose long side is more than so many times the short one are left out."""
    min_sharpness: Annotated[float, Field(ge=0.0)] | None = None
    """Blurred images are left out: those whose variance of the Laplacian is below it, at 256 x 256 pixels."""
    min_entropy: Annotated[float, Field(ge=0.0, le=8.0)] | None = None
    """Plain images are left out: those whose histogram of grey levels has less entropy, in bits."""
    max_text: Probability | None = None
    """Images of text are left out: those with ink on paper in a greater share of their area."""
    drop_file_names: bool = False
    """Leave out captions that are only the name of a file, such as IMG_1234.jpg."""
    drop_boilerplate: bool = False
    """Leave out captions that say nothing of the image, such as "click to enlarge"."""
    max_caption_repeats: Annotated[int, Field(ge=1)] | None = None
    """Of pairs with the same caption, so many are kept, the first ones."""
    caption_likeness: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """From what share of common pieces, five bytes each, two captions count as the same there; by MinHash. 1: only
    captions with the same words do."""
    min_similarity: Cosine | None = None
    """With an image-text embedder: pairs are left out whose image and caption have a lower cosine."""
    memory: Annotated[Annotated[float, Field(gt=0.0)], Only.SPEED] = 4.0
    """GiB that `threads` blocks of the search for copies may take together; with less, it takes more passes."""
    threads: Annotated[Annotated[int, Field(ge=1)], Only.SPEED] = 2
    """So many blocks of the search share the memory. Where there is no Ray, they run side by side in threads."""


def _named(value: object) -> object:
    """A teacher that is only named."""
    return {"teacher": value} if isinstance(value, str) else value


class TeacherConfig(Section):
    """One of several teachers; what they share (batches, precision, device, threads) is in the label section."""

    name: str | None = None
    """Of its folder, labels-NAME; null: the teacher's."""
    teacher: str
    variant: Annotated[str | None, Only.DIGEST] = None
    weights: Annotated[str | None, Only.DIGEST] = None
    revision: Annotated[str | None, Only.DIGEST] = None
    weights_sha256: Annotated[str | None, Only.DIGEST] = None
    tuned: Annotated[str | None, Only.DIGEST] = None
    tuned_sha256: Annotated[str | None, Only.DIGEST] = None
    score_floor: Probability | None = None
    """null: that of the label section."""
    short: Annotated[int, Field(ge=32)] | None = None
    long: Annotated[int, Field(ge=32)] | None = None


class LabelConfig(Section):
    teacher: str = "auto"
    """A name that docs/teacher.md lists; auto: one whose weights are in the package, chosen by the source."""
    teachers: Annotated[tuple[Annotated[TeacherConfig, BeforeValidator(_named)], ...], Only.PLAN] = ()
    """Two or more teachers, by name or with their own keys. The first is the run's; `filter.agree` hears the others."""
    variant: Annotated[str | None, Only.DIGEST] = None
    """Filled in when the config is resolved: the teacher's architecture."""
    weights: Annotated[str | None, Only.DIGEST] = None
    """A file, a folder, or for some teachers an id of the Hugging Face hub; null: the weights in the package, which not
    every teacher has."""
    revision: Annotated[str | None, Only.DIGEST] = None
    """Of an id of the hub: a branch, a tag or a commit; null: main. The resolved config has the commit."""
    weights_sha256: Annotated[str | None, Only.DIGEST] = None
    """Filled in when the config is resolved; given by hand, it is what the file or folder must have."""
    tuned: Annotated[str | None, Only.DIGEST] = None
    """What `phrasebox tune` has made of these weights: a file that is put beside them; null: nothing."""
    tuned_sha256: Annotated[str | None, Only.DIGEST] = None
    """Filled in when the config is resolved."""
    score_floor: Probability = 0.1
    batch_size: Annotated[int, Field(ge=1)] = 8
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: Device = "auto"
    """auto, cpu, cuda."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of one worker."""
    short: Annotated[int, Field(ge=32)] | None = None
    """Short side in pixels before the network; null: what the teacher was trained with."""
    long: Annotated[int, Field(ge=32)] | None = None
    deform: Deform = "auto"
    """Code of GLIP's deformable convolutions: torch's operators, a kernel, or on a GPU what is measured as faster."""
    compile: Annotated[bool, EntersUnless(False)] = False
    """Compile GLIP's dynamic head: fewer launches, minutes at the start of a worker."""

    @field_validator("teachers")
    @classmethod
    def _not_one_alone(cls, teachers: tuple[TeacherConfig, ...]) -> tuple[TeacherConfig, ...]:
        if len(teachers) == 1:
            raise ValueError("several teachers are two or more; one alone is label.teacher")
        return teachers


class RescoreConfig(Section):
    model: Annotated[str | None, Only.DIGEST] = None
    """CLIP, SigLIP, SigLIP 2 or MetaCLIP 2, as a folder or an id of the Hugging Face hub; null: the stage is off."""
    revision: Annotated[str | None, Only.DIGEST] = None
    """Of an id of the hub: a branch, a tag or a commit; null: main. The resolved config has the commit."""
    model_sha256: Annotated[str | None, Only.DIGEST] = None
    """Filled in when the config is resolved; given by hand, it is what the checkpoint must have."""
    crop: Literal["tight", "square"] = "tight"
    """What is cut out for a box: its own pixels, or a square around it."""
    pad: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    """Margin on each side of the crop, as a share of the box's width and height."""
    min_candidate: Probability = 0.1
    """Boxes of labels with a score from here up are scored."""
    relabel: bool = False
    """Compare each crop with all phrases of its caption, and keep the best of them."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Crops, or texts, that the model reads at a time."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: Device = "auto"
    """auto, cpu, cuda."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of one worker."""


class FilterConfig(Section):
    min_score: Probability = 0.5
    """Boxes are kept when score > min_score."""
    relabel: bool = False
    """Give each box to the phrase of its caption that fits its crop best, as rescore has found."""
    combine: Literal["none", "geometric"] = "none"
    """What `min_score` and the other rules take for a box's score: the teacher's; or the geometric mean of that and the
    cosine of the box's crop with its phrase. The same for images: see `min_image_score`."""
    min_region_score: Cosine | None = None
    """Boxes are kept when the cosine of their crop with their phrase is above it; null: whatever it is."""
    min_image_score: Cosine | None = None
    """The boxes of an image are kept when its cosine with its caption is above it; with `combine`, when the geometric
    mean of that and of the mean cosine of its kept boxes is. null: whatever it is."""
    agree: Annotated[int, Field(ge=1)] = 1
    """Boxes are kept when so many of `label.teachers` have a box of the same phrase there; 1: the first is enough."""
    agree_iou: Probability = 0.5
    """Boxes of two teachers agree from this overlap up."""
    agree_min_score: Probability = 0.0
    """Boxes of the other teachers count when their score is above it; 0.0: all that are in their labels."""
    nms_iou: Probability = 0.6
    """Per phrase; 1.0 turns it off."""
    phrase_nms_iou: Probability = 1.0
    """Of two boxes of different phrases that overlap more, the better one is kept; 1.0 keeps both."""
    min_box_side: Annotated[float, Field(ge=0.0)] = 2.0
    max_boxes: Annotated[int, Field(ge=1)] = 100
    """The best so many of an image."""
    min_image_side: Annotated[int, Field(ge=1)] = 16
    max_aspect: Annotated[float, Field(ge=1.0)] = 10.0
    min_caption_chars: Annotated[int, Field(ge=0)] = 1
    max_caption_chars: Annotated[int, Field(ge=1)] = 20_000
    max_mask_box_gap: Probability = 1.0
    """How far a box may be from the tight box around its mask, as 1 - IoU; 1.0 keeps all. Masks are made of the boxes
    that passed the rules above, so this one acts on what leaves the run: shards and exports (docs/masks.md)."""


class MaskConfig(Section):
    model: Annotated[str | None, Only.DIGEST] = None
    """A folder, or an id of the Hugging Face hub, of SAM, SAM-HQ, SAM 2 or EdgeTAM; null: no masks."""
    revision: Annotated[str | None, Only.DIGEST] = None
    """Of an id of the hub: a branch, a tag or a commit; null: main. The resolved config has the commit."""
    model_sha256: Annotated[str | None, Only.DIGEST] = None
    """Filled in when the config is resolved; given by hand, it is what the checkpoint must have."""
    batch_size: Annotated[int, Field(ge=1)] = 4
    """Images that are encoded together."""
    boxes_per_pass: Annotated[int, Field(ge=1)] = 32
    """Boxes of an image that are decoded together."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: Device = "auto"
    """auto, cpu, cuda."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of one worker."""


class ShardConfig(Section):
    samples_per_shard: Annotated[int, Field(ge=1)] = 1000
    upright: bool = False
    """Encode images again that are turned by their EXIF orientation, for readers that do not know of it; all others
    keep their bytes. Each sample then says how its source's image was turned (`source_orientation`)."""


class AuditConfig(Section):
    pictures: Annotated[int, Field(ge=0)] = 60
    """Images in the seeded sample of the report."""
    seed: int = 0
    exact_phrases: Annotated[int, Field(ge=1)] = 5_000_000
    """Up to so many distinct phrases are counted exactly; beyond it a sketch with its error bound."""
    categories: Annotated[str | None, Only.DIGEST] = None
    """A COCO or LVIS annotation JSON: how many of its categories the labels cover, counted beside COCO's 80."""


class GoldSet(Section):
    """True boxes to train on beside the pseudo labels."""

    source: str
    """`scenes`, `run` (this run's own gold/), `reviews` (what people judged in this run), a COCO instances JSON, an
    MDETR-style JSON, or a folder of our shards."""
    format: Literal["auto", "scenes", "run", "reviews", "coco", "mdetr", "shards"] = "auto"
    images: Text | dict[str, Text] | None = None
    """The folder of the images; or a folder for each `data_source` that the file's images name, as in GoldG's JSON."""
    split: Literal["gold", "web", "eval"] = "gold"
    count: Annotated[int, Field(ge=1)] | None = None
    seed: int = 0
    weight: Annotated[float, Field(gt=0.0)] = 1.0
    """How often its samples are drawn, relative to the pseudo labels' 1.0."""
    detection: Probability = 0.0
    """Share of its samples that become detection prompts (categories, with sampled negatives) instead of captions."""


class StartConfig(Section):
    """Published weights that the two encoders start from (docs/training.md); null: random. The rest is random."""

    visual: str | None = None
    """An ImageNet Swin: a file or folder, or an id of the Hugging Face hub."""
    visual_revision: str | None = None
    """Of an id of the hub: a branch, a tag or a commit; null: main. The resolved config has the commit."""
    text: str | None = None
    """A BERT in the layout of transformers: a file or folder, or an id of the Hugging Face hub."""
    text_revision: str | None = None


# Told apart by what they are. The tags are empty because they appear in the place that an error names.
Start = Annotated[
    Annotated[str, Tag("a name")] | Annotated[StartConfig, Tag("")],
    Discriminator(lambda value: "a name" if isinstance(value, str) else ""),
]


class TrainConfig(Section):
    variant: str = "glip-nano"
    gold: tuple[GoldSet, ...] = ()
    pseudo: bool = True
    """Train on the run's shards; off for a teacher that sees gold only."""
    init: Annotated[Start | None, Only.DIGEST] = None
    """Weights to start from: a file, `teacher` for the label stage's, or those of the two encoders (`visual`, `text`);
    null: random."""
    crop_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of crop pre-training on the first gold set, before the grounded training: a start for random weights."""
    crop_lr: Annotated[float, Field(gt=0.0)] = 2e-3
    steps: Annotated[int, Field(ge=1)] = 200
    epochs: Annotated[Annotated[float, Field(gt=0.0)] | None, EntersUnless(None)] = None
    """The length in passes over the mixture of all sets, instead of `steps`; null: `steps` counts."""
    seed: int = 0
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Over all workers together."""
    accumulate: Annotated[int, Field(ge=1), EntersUnless(1)] = 1
    """In how many pieces, one after the other, a worker goes through its share of a batch: the same step in less
    memory."""
    lr: Annotated[float, Field(gt=0.0)] = 1e-3
    text_lr: Annotated[float, Field(gt=0.0)] = 1e-3
    backbone_lr: Annotated[float, Field(gt=0.0)] | None = None
    """Of the visual backbone; null: `lr`."""
    frozen: tuple[str, ...] = ()
    """Parameters that stay as they are: all whose names begin with one of these, such as `backbone.` or
    `language_backbone.body.model.embeddings.word_embeddings`."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-4
    weight_decay_schedule: Annotated[Literal["constant", "step"], EntersUnless("constant")] = "constant"
    """step: a tenth after two thirds of the way to each step of the learning rate, as GLIP-L was trained."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup: Annotated[int, Field(ge=0)] = 50
    clip: Annotated[float, Field(gt=0.0)] = 1.0
    """Global L2 norm of the gradient."""
    ema: Probability = 0.999
    """0: off."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: Device = "auto"
    threads: Annotated[int, Field(ge=1)] = 2
    workers: Annotated[int, Field(ge=1), Only.SPEED] = 1
    """Ranks of data-parallel training, one a device; the batch is theirs together."""
    loaders: Annotated[int, Field(ge=1), Only.SPEED] = 2
    """Threads of each rank that read and decode images ahead."""
    max_skipped: Annotated[Probability, Only.LIMIT] = 0.01
    """Training ends when a greater share of the samples, of at least 100, cannot be read or decoded."""
    flip: Probability = 0.5
    scales: tuple[Annotated[int, Field(ge=32)], ...] = ()
    """Short sides to draw from for each step, pixels. Empty: the variant's own."""
    long: Annotated[Annotated[int, Field(ge=32)] | None, EntersUnless(None)] = None
    """Limit of the long side at every scale, as published; null: it grows and shrinks with the short side."""
    negative_captions: Probability = 0.0
    """Probability of packing captions of other samples as negatives."""
    max_negative_captions: Annotated[Annotated[int, Field(ge=1)] | None, EntersUnless(None)] = None
    """As published, with probability one half so many captions, else any smaller number; null: one to three."""
    phrase_prompts: Probability = 0.0
    """Probability of asking a pseudo sample for a list: its grounded phrases among up to `negative_categories` of other
    samples, as detection prompts do with categories."""
    repeat_below: Probability = 0.0
    """Repeat-factor sampling: what a smaller share of a set's samples show comes more often, the rarer the more."""
    word_substitution: Probability = 0.0
    """Probability of calling a noun of a gold caption by a random word, so that unknown words are learned to be
    grounded by what else is said."""
    negative_categories: Annotated[int, Field(ge=0)] = 85
    """Detection and phrase prompts: at most so many names that are not in the image, or not in its caption."""
    min_score: Probability = 0.0
    """Pseudo boxes under it are left out at load time."""
    pseudo_regression: bool = True
    """Off: pseudo boxes train alignment and centerness, but not box regression."""
    score_weighting: bool = False
    """Weigh the loss of a pseudo box by its score."""
    shared_regions: bool = True
    """Where pseudo boxes of several phrases coincide, their anchors carry the tokens of all of them; off, as published:
    those of one."""
    ungrounded: Literal["absent", "unknown"] = "absent"
    """What a phrase without a pseudo box is to the loss: absent, so that no region may match it, as in GLIP; or
    unknown: its tokens train nothing. The teacher may have seen it, but not surely enough."""
    contrastive: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of GLIPv2's inter-image contrast, in which phrases of the batch's other images are negatives."""
    regularise: bool = False
    """Dropout, drop path and DropBlock as the variant was published with; glip-nano has none."""
    phrase_softmax: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of a softmax over the prompt's phrases at each positive anchor; for training from random weights."""
    checkpointing: bool = False
    """Recompute activations in the backward pass, to save memory."""
    deform: Deform = "auto"
    checkpoint_every: Annotated[int, Field(ge=1), Only.SPEED] = 100
    keep_checkpoints: Annotated[int, Field(ge=1), Only.PLACE] = 2
    log_every: Annotated[int, Field(ge=1), Only.SPEED] = 10

    @field_validator("gold", mode="before")
    @classmethod
    def _one_alone(cls, gold: object) -> object:
        """A set alone needs no list around it."""
        return [gold] if isinstance(gold, dict) else gold


class EvaluateConfig(Section):
    benchmark: str = "scenes"
    """What to measure on (docs/evaluation.md): scenes (AP by how often a noun was in gold, and agreement with gold),
    labels (agreement of the run's labels with its gold), coco (AP), lvis (fixed AP; rare, common, frequent), flickr30k
    (recall of annotated phrases) or refcoco (referring segmentation)."""
    data: str | None = None
    """The annotation file of coco, lvis, flickr30k or refcoco; for flickr30k also its list of ids, or its folder."""
    images: str | None = None
    """The folder of the benchmark's images, in their original size."""
    split: str | None = None
    """Of refcoco: val, testA, testB, test or train; null: val."""
    models: tuple[Literal["teacher", "student"], ...] = ("teacher", "student")
    count: Annotated[int, Field(ge=1)] = 300
    """Images: the first of the benchmark, in its own order."""
    per_prompt: Annotated[int, Field(ge=1)] = 40
    """Category names in a prompt of lvis; 40 is the published protocol."""
    seed: int = 1
    batch_size: Annotated[int, Field(ge=1)] = 8
    threshold: Probability = 0.5
    """Score above which precision and recall are quoted."""


class PromptConfig(Section):
    """How a category is asked for: the phrase is `name`; `prefix` and `suffix` say more about it."""

    name: str
    prefix: str = ""
    suffix: str = ""


class TuneConfig(Section):
    """Defaults are the published ones (GLIP's few-shot transfer to ODinW); docs/tuning.md."""

    data: str | None = None
    """A COCO instances JSON, or a folder in one of ODinW's layouts; null: the stage is off."""
    images: Text | None = None
    """The folder of its images; null: that of the JSON."""
    val: str | None = None
    """The instances JSON by which training is stopped; null: the one that the folder `data` has."""
    val_images: Text | None = None
    method: Literal["full", "linear", "prompt"] = "full"
    """What is learned: all weights, the last layers, or a vector for each token of the prompt."""
    shots: Annotated[int, Field(ge=0)] | Literal["all"] = "all"
    """Images for each category, drawn with `seed`; 0: nothing is learned, the prompts alone are kept."""
    seed: int = 3
    """Of the draw, and of the order of images; published: 3, 30 and 300."""
    prompts: tuple[PromptConfig, ...] = ()
    """How each category is asked for, in the order of rising category ids; empty: by its name."""
    lr: Annotated[float, Field(gt=0.0)] | None = None
    """null: 1e-4; for prompts 0.05."""
    text_lr: Annotated[float, Field(gt=0.0)] | None = None
    """Of the language backbone in full tuning; null: 1e-5."""
    weight_decay: Annotated[float, Field(ge=0.0)] | None = None
    """null: 0.05; for prompts 0.25."""
    epochs: Annotated[int, Field(ge=1)] = 200
    """At most; few shots come several times in an epoch."""
    warmup: Annotated[int, Field(ge=0)] = 2000
    """Steps in which the learning rate rises."""
    batch_size: Annotated[int, Field(ge=1)] = 4
    flip: Probability = 0.5
    scales: tuple[Annotated[int, Field(ge=32)], ...] = ()
    """Short sides to draw from for each step, pixels. Empty: the teacher's own."""
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpointing: bool = False
    """Recompute activations in the backward pass, to save memory."""
    device: Device = "auto"
    threads: Annotated[int, Field(ge=1)] = 2


class Config(Section):
    run: Annotated[str, Only.PLACE] = "runs/default"
    """The run folder; a path or a URI."""
    corpus: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$")] = "corpus"
    """Prefix of the sample names in the shards."""
    part_size: Annotated[int, Field(ge=1, le=100_000), Only.PLAN] = 10_000
    rounds: Annotated[int, Field(ge=1, le=100), Only.PLAN] = 1
    """How often `phrasebox run` goes through: the student of each round is the teacher of the next, in RUN/rounds/K."""
    ingest: IngestConfig = IngestConfig()
    curate: CurateConfig = CurateConfig()
    phrases: PhrasesConfig = PhrasesConfig()
    label: LabelConfig = LabelConfig()
    rescore: RescoreConfig = RescoreConfig()
    filter: FilterConfig = FilterConfig()
    mask: MaskConfig = MaskConfig()
    shard: ShardConfig = ShardConfig()
    audit: AuditConfig = AuditConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    tune: TuneConfig = TuneConfig()

    @field_validator("run")
    @classmethod
    def _run_is_named(cls, run: str) -> str:
        if not run.strip():
            raise ValueError("the run folder has no name")
        return run
