from __future__ import annotations

import json
import pickle
import re
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks.official_weights import PARITY
from model.checkpoint import (
    WeightsError,
    load_official,
    packaged_weights,
    read_weights,
    sha256,
    weights_files,
    write_weights,
)
from model.glip import Glip
from model.variants import get_variant

OFFICIAL = {  # variant: its recorded layout, and how many entries that has
    "glip-t-a": ("glip_t_a", 542),
    "glip-t-b": ("glip_t_b", 746),
    "glip-t-c": ("glip_t_c", 746),
    "glip-t": ("glip_t_c", 746),
    "glip-l": ("glip_l", 1022),
}


def state() -> dict[str, torch.Tensor]:
    return dict(Glip.from_variant("glip-nano").state_dict())


def assert_same(glip: Glip, expected: dict[str, torch.Tensor]) -> None:
    for name, value in glip.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_the_ddp_prefix_and_computed_entries_are_accepted() -> None:
    given = state()
    computed = {
        "language_backbone.body.model.embeddings.position_ids": torch.arange(256)[None],
        "rpn.anchor_generator.cell_anchors.0": torch.zeros(1, 4),
        "backbone.body.layers.0.blocks.0.attn.relative_position_index": torch.zeros(49, 49).long(),
    }
    assert_same(Glip.from_official("glip-nano", {f"module.{name}": x for name, x in (given | computed).items()}), given)


def layout(file: str) -> tuple[dict[str, torch.Tensor], set[str]]:
    """The official entries of a variant, without data, and the names of those that hold no learned value."""
    if not PARITY.is_dir():
        pytest.skip(f"the official key layouts are not at hand ({PARITY})")
    entries = json.loads((PARITY / f"state_dict_{file}.json").read_text())
    state = {x["name"]: torch.empty(x["shape"], dtype=getattr(torch, x["dtype"]), device="meta") for x in entries}
    return state, {x["name"] for x in entries if x["fill"]["kind"] == "computed"}


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_layout_of_every_variant_is_its_own(name: str) -> None:
    """Strictly: loads with and without what is computed and the prefix of DDP, and not with one entry changed."""
    file, count = OFFICIAL[name]
    whole, computed = layout(file)
    assert len(whole) == count
    learned = {key: value for key, value in whole.items() if key not in computed}
    with torch.device("meta"):
        glip = Glip(get_variant(name))
    assert learned.keys() == glip.state_dict().keys()
    for state in (whole, learned):
        load_official(glip, state)
        load_official(glip, {f"module.{key}": value for key, value in state.items()})

    last = list(learned)[-1]
    longer = (*learned[last].shape, 1)
    for changed, message in (
        ({key: value for key, value in whole.items() if key != last}, f"1 missing: {last}"),
        ({**whole, "rpn.head.surplus": whole[last]}, "1 unexpected: rpn.head.surplus"),
        ({**whole, last: torch.empty(longer, device="meta")}, f"1 of another shape: {last} {longer}"),
    ):
        with pytest.raises(WeightsError, match=re.escape(message)):
            load_official(glip, changed)


def test_weights_of_another_variant_do_not_load() -> None:
    for name, file in (("glip-t-a", "glip_t_c"), ("glip-t", "glip_t_a"), ("glip-l", "glip_t_c")):
        with torch.device("meta"):
            glip = Glip(get_variant(name))
        with pytest.raises(WeightsError, match="do not fit this variant"):
            load_official(glip, layout(file)[0])


def test_weights_are_copied() -> None:
    given = state()
    glip = Glip.from_official("glip-nano", given)
    with torch.no_grad():
        glip.rpn.head.bias0.fill_(7)
    assert float(given["rpn.head.bias0"]) != 7


def test_what_does_not_fit_is_named() -> None:
    given = state()
    names = [name for name in given if "dyhead_tower.2." in name]
    for name in names:
        del given[name]
    given["rpn.head.surplus"] = torch.zeros(1)
    given["rpn.head.bias_lang"] = torch.zeros(768)
    with pytest.raises(WeightsError) as caught:
        Glip.from_official("glip-nano", given)
    message = str(caught.value)
    assert f"{len(names)} missing: {', '.join(names[:3])}, ..." in message
    assert "1 unexpected: rpn.head.surplus" in message
    assert "1 of another shape: rpn.head.bias_lang (768,) for (96,)" in message


def test_a_prefix_on_some_keys_only_is_not_stripped() -> None:
    given = state()
    given["module.rpn.head.bias0"] = given.pop("rpn.head.bias0")
    with pytest.raises(WeightsError, match=r"1 missing: rpn\.head\.bias0; 1 unexpected: module\.rpn\.head\.bias0"):
        Glip.from_official("glip-nano", given)


def test_an_unknown_variant_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"glip-tiny.*glip-l, glip-nano, glip-photos, glip-t, glip-t-a"):
        Glip.from_variant("glip-tiny")


@pytest.mark.parametrize("inner", ["model", None])
def test_pth_files_as_official_training_writes_them(tmp_path: Path, inner: str | None) -> None:
    given = state()
    content = {f"module.{name}": value for name, value in given.items()}
    torch.save({inner: content, "iteration": 3} if inner else content, tmp_path / "glip.pth")
    assert_same(Glip.from_file("glip-nano", tmp_path / "glip.pth"), given)


def test_safetensors_in_half_precision_load_as_float32(tmp_path: Path) -> None:
    glip = Glip.from_variant("glip-nano")
    glip.save(tmp_path / "half.safetensors", torch.float16)
    loaded = Glip.from_file("glip-nano", tmp_path / "half.safetensors")
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}
    assert_same(loaded, {name: value.half().float() for name, value in glip.state_dict().items()})
    assert (tmp_path / "half.safetensors").stat().st_size < 8e6


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Glip.from_variant("glip-nano", seed=5).save(tmp_path / f"{name}.safetensors")
    assert sha256(tmp_path / "a.safetensors") == sha256(tmp_path / "b.safetensors")
    Glip.from_variant("glip-nano", seed=6).save(tmp_path / "b.safetensors")
    assert sha256(tmp_path / "a.safetensors") != sha256(tmp_path / "b.safetensors")


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("legacy", [True, False])
def test_a_pickle_that_runs_code_does_not_run(tmp_path: Path, legacy: bool) -> None:
    content = {"model": state(), "optimizer": Payload(tmp_path / "ran")}
    if legacy:
        (tmp_path / "bad.pth").write_bytes(pickle.dumps(content))
    else:
        torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match=r"bad\.pth: cannot be read as plain weights"):
        Glip.from_file("glip-nano", tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_files_that_are_not_what_they_claim(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such weights file"):
        read_weights(tmp_path / "none.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("not weights")
        with pytest.raises(WeightsError, match=name):
            read_weights(tmp_path / name)
    torch.save({"model": {"epoch": 3}}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="holds no state dict"):
        read_weights(tmp_path / "other.pth")
    write_weights({"a": torch.zeros(2)}, tmp_path / "small.safetensors")
    with pytest.raises(WeightsError, match="missing"):
        Glip.from_file("glip-nano", tmp_path / "small.safetensors")
    with pytest.raises(WeightsError, match=r"nowhere.*cannot be written"):
        write_weights({"a": torch.zeros(2)}, tmp_path / "nowhere" / "small.safetensors")


def test_a_variant_without_packaged_weights_says_so() -> None:
    with pytest.raises(FileNotFoundError, match=r"no weights for glip-l are packaged .*give the path"):
        packaged_weights("glip-l")


def test_seeds_make_weights() -> None:
    torch.manual_seed(3)
    before = torch.rand(1)
    torch.manual_seed(3)
    first = Glip.from_variant("glip-nano", seed=1)
    assert torch.equal(torch.rand(1), before)  # the caller's generator is left alone
    assert_same(Glip.from_variant("glip-nano", seed=1), dict(first.state_dict()))
    weight = "backbone.fpn.fpn_layer2.weight"
    assert not torch.equal(first.state_dict()[weight], Glip.from_variant("glip-nano", seed=2).state_dict()[weight])


def test_sizes_of_the_variants() -> None:
    """Parameters as published; the small ones must fit into the package: 15 MB in float32, 16 MB in float16."""
    from model.variants import VARIANTS

    counts = {}
    for name, variant in VARIANTS.items():
        with torch.device("meta"):
            counts[name] = sum(parameter.numel() for parameter in Glip(variant).parameters())
    millions = {name: round(count / 1e6, 1) for name, count in counts.items() if name[5] in "tl"}
    t = 231.8
    assert millions == {"glip-t-a": 151.4, "glip-t-b": t, "glip-t-c": t, "glip-t": t, "glip-l": 430.4}
    assert counts["glip-nano"] * 4 < 15e6 and counts["glip-photos"] * 2 < 16e6


def test_the_digest_of_a_folder_is_that_of_sha256sums_lines(tmp_path: Path) -> None:
    """As a person would check it: names and contents count, dates, hidden files and the folder's own name do not."""
    folder = tmp_path / "checkpoint"
    for name, data in {
        "b.json": b"{}",
        "a/x.bin": b"\x00\x01",
        "a.txt": b"",
        ".cache/lock": b"1",
        "a/.h": b"2",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    command = "find . -type f -not -path '*/.*' -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)
    assert [path.as_posix() for path in weights_files(folder)] == ["a.txt", "a/x.bin", "b.json"]
    before = sha256(folder)
    assert before == done.stdout.split()[0]
    assert sha256(folder.rename(tmp_path / "moved")) == before
    (tmp_path / "moved" / "a.txt").rename(tmp_path / "moved" / "c.txt")
    assert sha256(tmp_path / "moved") != before
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no files in this folder"):
        sha256(tmp_path / "empty")
