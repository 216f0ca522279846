"""Tuned weights: which parameters a method trains, their file, and their way beside the base weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from model.checkpoint import WeightsError, packaged_weights, sha256
from model.glip import Glip
from model.prompt import CategoryList, CategoryPrompt, encode
from model.teacher import TeacherError
from model.tuning import OFFSET, Tuned, attach_prompt, choose_trained
from model.variants import get_variant

LISTED = CategoryList.of(["hen", "cow_s"], [CategoryPrompt("hen", suffix=" in grass"), CategoryPrompt("cow")])
LINEAR = {
    *(f"rpn.head.{name}.{kind}" for name in ("bbox_pred", "centerness") for kind in ("weight", "bias")),
    *(f"rpn.head.dot_product_projection_text.{kind}" for kind in ("weight", "bias")),
    *(f"rpn.head.{name}" for name in ("log_scale", "bias_lang", "bias0")),
}


@pytest.fixture
def glip() -> Glip:
    return Glip.pretrained("glip-nano")


@pytest.fixture
def base() -> str:
    return sha256(packaged_weights("glip-nano"))


def nudged(glip: Glip, names: list[str]) -> dict[str, torch.Tensor]:
    own = dict(glip.named_parameters())
    return {name: own[name].detach() + 0.25 for name in names}


def test_each_method_trains_its_own_parameters(glip: Glip) -> None:
    everything = {name for name, _ in glip.named_parameters()}
    assert set(choose_trained(glip, "full", LISTED)) == everything
    assert set(choose_trained(glip, "linear", LISTED)) == LINEAR
    assert choose_trained(Glip.pretrained("glip-nano"), "prompt", LISTED) == [OFFSET]


def test_of_a_swin_the_first_two_stages_and_of_all_the_old_class_head_stay() -> None:
    with torch.device("meta"):
        glip = Glip(get_variant("glip-t"))
    everything = {name for name, _ in glip.named_parameters()}
    trained = set(choose_trained(glip, "full", LISTED))
    left = {name for name in everything - trained if not name.startswith("rpn.head.cls_logits.")}
    assert {name.split(".")[2] for name in left} == {"patch_embed", "layers"}
    assert {name.split(".")[3] for name in left if name.split(".")[2] == "layers"} == {"0"}
    assert "backbone.body.layers.1.blocks.0.norm1.weight" in trained
    assert set(choose_trained(glip, "linear", LISTED)) == LINEAR


@pytest.mark.parametrize("method", ["full", "linear", "prompt"])
def test_a_file_holds_what_was_tuned_and_puts_it_beside_the_base(
    glip: Glip, base: str, tmp_path: Path, method: str
) -> None:
    names = choose_trained(glip, method, LISTED)
    tensors = nudged(glip, names)
    tuned = Tuned("glip-nano", base, method, LISTED, tensors)
    file = tmp_path / "tuned.safetensors"
    file.write_bytes(tuned.to_bytes())
    assert file.read_bytes() == Tuned("glip-nano", base, method, LISTED, dict(reversed(tensors.items()))).to_bytes()
    found = Tuned.load(file)
    assert (found.variant, found.base, found.method, found.listed) == ("glip-nano", base, method, LISTED)
    fresh = Glip.pretrained("glip-nano")
    found.apply(fresh, base)
    after, before = fresh.state_dict(), Glip.pretrained("glip-nano").state_dict()
    changed = {name for name in after if name not in before or not torch.equal(after[name], before[name])}
    assert changed == set(names)
    for name in names:
        assert torch.equal(after[name], tensors[name])
    assert fresh.listed is not None and fresh.listed.alone == (method == "prompt")


def test_a_prompt_takes_a_vector_for_each_token(glip: Glip) -> None:
    prompt = attach_prompt(glip, LISTED)
    assert prompt.offset.shape == (len(encode("hen in grass. cow").ids), 96) and not prompt.offset.any()


def test_a_tuned_prompt_changes_its_own_question_and_no_other(glip: Glip, base: str, images_made: Any) -> None:
    images = images_made(2, [(96, 128)])
    before = glip.detect(images, ["hen", "cow_s"], 0.0)
    named = CategoryList.of(["hen", "cow_s"])
    offset = torch.zeros(len(encode(named.caption).ids), 96)
    Tuned("glip-nano", base, "prompt", named, {OFFSET: offset}).apply(glip, base)
    for one, other in zip(glip.detect(images, ["hen", "cow_s"], 0.0), before, strict=True):
        assert len(one.boxes) and torch.equal(one.scores, other.scores)  # zeros change nothing
    Tuned("glip-nano", base, "prompt", named, {OFFSET: offset + 1.0}).apply(glip, base)
    (first,), (old,) = glip.detect(images, ["hen", "cow_s"], 0.0), before
    assert first.scores.shape != old.scores.shape or not torch.equal(first.scores, old.scores)
    (swapped,) = glip.detect(images, ["cow_s", "hen"], 0.0)
    assert torch.equal(swapped.phrase, 1 - first.phrase) and torch.equal(swapped.scores, first.scores)
    with pytest.raises(TeacherError, match=r"its prompt is for hen, cow_s, and 'zebra' is not among them"):
        glip.detect(images, ["zebra", "cow_s"])


def test_with_other_weights_other_categories_are_asked_for_as_ever(glip: Glip, base: str, images_made: Any) -> None:
    images = images_made(1, [(96, 128)])
    names = choose_trained(glip, "linear", LISTED)
    own = {name: value.detach().clone() for name, value in glip.named_parameters() if name in names}
    before = glip.detect(images, ["zebra", "hen"], 0.0)
    Tuned("glip-nano", base, "linear", LISTED, own).apply(glip, base)
    (found,) = glip.detect(images, ["zebra", "hen"], 0.0)
    assert len(found.boxes) and torch.equal(found.scores, before[0].scores)


def test_files_that_do_not_belong_here(glip: Glip, base: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"tuned for glip-t with the weights [0-9a-f]{12}, not for glip-nano with"):
        Tuned("glip-t", base, "prompt", LISTED, {}).apply(glip, base)
    with pytest.raises(WeightsError, match=r"with the weights abcd, not for glip-nano with [0-9a-f]{12}$"):
        Tuned("glip-nano", "abcd", "prompt", LISTED, {}).apply(glip, base)
    for tensors in ({"rpn.head.other": torch.zeros(2)}, {"rpn.head.bias0": torch.zeros(2)}):
        with pytest.raises(WeightsError, match=r"tuned weights hold rpn.head.\w+ \(2,\), which glip-nano has not"):
            Tuned("glip-nano", base, "linear", LISTED, tensors).apply(glip, base)
    with pytest.raises(WeightsError, match="no such file of tuned weights"):
        Tuned.load(tmp_path / "none")
    (tmp_path / "text").write_text("text")
    with pytest.raises(WeightsError, match="text: not a safetensors file"):
        Tuned.load(tmp_path / "text")
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(WeightsError, match="not a file that `phrasebox tune` writes"):
        Tuned.load(tmp_path / "plain.safetensors")
    with pytest.raises(WeightsError, match="not a file that `phrasebox tune` writes"):
        save_file({}, tmp_path / "odd.safetensors", metadata={"phrasebox": '{"names": ["a"], "prompts": [{"x": 1}]}'})
        Tuned.load(tmp_path / "odd.safetensors")
