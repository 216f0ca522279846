"""Every reason code that a run may write, with its meaning. Codes are stable: scripts and reports count by them."""

from __future__ import annotations

# A row that could not be processed, for a reason that lies in the data. It ends in rejects/<stage>/.
REJECTED: dict[str, str] = {
    "download_failed": "the source's sidecar says that the image was never downloaded or resized",
    "missing_image": "the row names an image that is not at the place it names",
    "missing_caption": "the sample has an image but no caption",
    "caption_not_text": "the caption is not a string, or not valid UTF-8",
    "caption_control_characters": "the caption holds NUL or a lone surrogate, which no text store can keep",
    "caption_too_large": "the caption is longer than ingest.max_caption_chars",
    "empty_image": "the image has no bytes",
    "not_an_image": "the bytes are of no image format that the decoder knows",
    "unsupported_format": "a format that shards do not carry (they carry JPEG, PNG and WebP), or one without a decoder",
    "animated_image": "the image has more than one frame",
    "truncated_image": "the image's data ends early or is damaged",
    "image_too_large": "more pixels than ingest.max_pixels; refused before decoding",
    "image_too_small": "a side is shorter than ingest.min_image_side pixels",
    "image_changed": "the stored bytes no longer have the sha256 that was recorded at ingest",
    "bad_record": "the source row cannot be read (broken JSON, wrong type)",
    "duplicate_sample": "a second sample of the same name in the same tar",
    "unsafe_member": "a tar member that is a link, a device, or has an unsafe size",
    "truncated_source": "the source file ends in the middle of this sample",
    "damaged_source": "a stretch of the source file, or the whole of it, that cannot be read",
    "image_read_refused": "the image lies outside of what the source may name",
    "non_finite_scores": "the teacher, or the network of the masks, gave NaN or infinite numbers for this sample",
    "image_too_small_for_teacher": "as the teacher sees the image, it has fewer positions than the teacher has queries",
    "removed": "taken out on request (phrasebox remove)",
}

# A row that was processed and has nothing to carry on, or that a side table does not keep (its column `reason`).
SET_ASIDE: dict[str, str] = {
    "no_boxes": "no box passed the filter, so there is no sample in the shards",
    "no_image": "a caption without an image cannot be grounded",
    "exact_duplicate": "curation: the same image as that of an earlier pair",
    "near_duplicate": "curation: nearly the same image as that of an earlier pair",
    "benchmark_leak": "curation: the image, or a near duplicate of it, belongs to a benchmark",
    "far_from_seeds": "curation: the image is near none of the images that curate.near names",
    "crowded_cluster": "curation: beyond the curate.keep_per_cluster images that are nearest to its cluster's centre",
    "small_image": "curation: the image's short side is under curate.min_side pixels",
    "extreme_aspect": "curation: the image's long side is more than curate.max_aspect times its short side",
    "blurred_image": "curation: the image's sharpness is under curate.min_sharpness",
    "plain_image": "curation: the entropy of the image's grey levels is under curate.min_entropy",
    "text_image": "curation: more than curate.max_text of the image looks like text",
    "file_name_caption": "curation: the caption is only the name of a file",
    "boilerplate_caption": 'curation: the caption says nothing of the image, such as "click to enlarge"',
    "low_similarity": "curation: the image's similarity with its caption is under curate.min_similarity",
    "repeated_caption": "curation: curate.max_caption_repeats earlier pairs have the same caption",
}

# A true box of the source that ingest left out of gold/. They are counted in the commit record's notes.
REJECTED_GOLD: dict[str, str] = {
    "crowd": "a crowd, which is no single object (COCO's iscrowd)",
    "bad_box": "the box is not four finite numbers",
    "empty_box": "a side of the box is not above zero",
    "outside_image": "nothing of the box lies in its image",
    "unknown_image": "its image has no caption in the source",
    "other_image": "the annotation file calls the image of this id by another name",
    "span_outside_caption": "its span of characters is not within the caption",
    "phrase_not_found": "its phrase does not stand in the caption",
    "pair_rejected": "its pair was rejected",
}

# A phrase that the phrases stage left out (phrases.dropped) or that could not be grounded (labels.dropped).
DROPPED_PHRASE: dict[str, str] = {
    "not_english": "the caption looks like another language, so it was not chunked",
    "unparsable": "the caption has no text that can be chunked",
    "too_many_phrases": "beyond phrases.max_phrases of one caption",
    "phrase_too_long": "longer than phrases.max_words words",
    "stop_phrase": "names the medium and not its content (phrases.stop_phrases)",
    "head_class": "its head is of a class that phrases.drop_heads names",
    "over_token_limit": "beyond the teacher's token limit of a sentence",
    "phrase_over_token_limit": "longer than the text that the teacher reads at a time (GLIP: 256 tokens)",
    "phrase_without_tokens": "no token of the teacher's vocabulary lies in the span",
    "no_image": "the caption has no image to ground it in",
}

# A box that the filter took out (pseudo.dropped).
DROPPED_BOX: dict[str, str] = {
    "low_score": "score not above filter.min_score",
    "low_combined_score": "with filter.combine, the combined score is not above filter.min_score",
    "low_region_score": "the crop's similarity with its phrase is not above filter.min_region_score",
    "low_image_score": "the image's similarity with its caption is not above filter.min_image_score",
    "not_scored": "a rule needs the box's similarity, and rescore has none: under rescore.min_candidate, or rejected",
    "not_agreed": "fewer than filter.agree teachers have a box of this phrase here",
    "nms": "overlaps a better box of the same phrase by more than filter.nms_iou",
    "other_phrase": "overlaps a better box of another phrase by more than filter.phrase_nms_iou",
    "box_too_small": "a side shorter than filter.min_box_side pixels",
    "too_many_boxes": "beyond the filter.max_boxes best of its image",
    "image_too_small": "the image's short side is under filter.min_image_side pixels",
    "image_aspect": "the image's long side is more than filter.max_aspect times its short side",
    "caption_length": "the caption is shorter or longer than filter.min_caption_chars .. filter.max_caption_chars",
    "mask_box_gap": "left out of shards and exports: the tight box around its mask is further from the box than"
    " filter.max_mask_box_gap",
}

ALL: dict[str, str] = {**REJECTED, **SET_ASIDE, **REJECTED_GOLD, **DROPPED_PHRASE, **DROPPED_BOX}
