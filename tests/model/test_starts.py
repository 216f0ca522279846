"""Published weights in the key layouts they come in; what the encoders then compute, beside transformers' own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.backbone import SwinTransformer
from model.checkpoint import WeightsError
from model.language import Bert
from model.network import GlipNetwork
from model.starts import read_start, start_bert, start_swin
from model.variants import SwinSpec, TextSpec, get_variant

transformers = pytest.importorskip("transformers")

TINY = SwinSpec(width=8, depths=(2, 2, 2, 2), heads=(1, 2, 2, 4), window=4)
WORDS = TextSpec(hidden=24, layers=2, heads=2, intermediate=40, positions=16, vocabulary=50, embedding=24)
ADDED = tuple(f"norm{stage}.{name}" for stage in (1, 2, 3) for name in ("weight", "bias"))
UNUSED = {
    "backbone": {"swin.layernorm", *(f"hidden_states_norms.stage{stage}" for stage in (1, 2, 3, 4))},
    "classifier": {"swin.layernorm", "classifier"},
    "microsoft": {"norm", "head"},
    "timm": {"norm", "head.fc"},
}
FIRST = "layers.0.blocks.0.attn.qkv.weight"
State = dict[str, Tensor]


def swin_config(spec: SwinSpec) -> Any:
    return transformers.SwinConfig(
        embed_dim=spec.width,
        depths=list(spec.depths),
        num_heads=list(spec.heads),
        window_size=spec.window,
        num_labels=3,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def drawn(model: Any, seed: int = 0) -> Any:
    """With random values everywhere, those included that begin as 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.2, generator=generator)
    for name, parameter in model.named_parameters():
        if "hidden_states_norms" in name:  # what a detector adds; not in a checkpoint of ImageNet
            parameter.data.fill_(float(name.endswith("weight")))
    return model.eval()


def saved(model: Any, folder: Path) -> State:
    """The checkpoint as transformers writes it."""
    model.save_pretrained(folder)
    state: State = load_file(folder / "model.safetensors")
    return state


def as_microsoft(state: State) -> State:
    """A checkpoint of transformers in the layout of Microsoft's .pth, buffers included."""
    found: State = {}
    for key, value in state.items():
        own = key.removeprefix("swin.")
        own = own.replace("embeddings.patch_embeddings.projection", "patch_embed.proj")
        own = own.replace("embeddings.norm", "patch_embed.norm").replace("encoder.layers", "layers")
        own = own.replace("layernorm_before", "norm1").replace("layernorm_after", "norm2")
        own = own.replace("attention.output.dense", "attn.proj").replace("attention.self", "attn")
        own = own.replace("intermediate.dense", "mlp.fc1").replace("output.dense", "mlp.fc2")
        own = re.sub("^layernorm", "norm", own).replace("classifier", "head")
        if re.search(r"attn\.(key|value)\.", own) or "hidden_states_norms" in own:
            continue
        if ".attn.query." in own:
            value = torch.cat([state[key.replace("query", part)] for part in ("query", "key", "value")])
            own = own.replace("query", "qkv")
        found[own] = value
    found["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16, dtype=torch.int64)
    found["layers.0.blocks.1.attn_mask"] = torch.zeros(4, 16, 16)
    return found


def as_timm(state: State) -> State:
    """The layout of timm since 2023: patches are merged at the begin of a stage, and the head is a module."""
    moved = {
        re.sub(r"^layers\.(\d)\.downsample", lambda found: f"layers.{int(found[1]) + 1}.downsample", key): value
        for key, value in as_microsoft(state).items()
    }
    return {key.replace("head.", "head.fc."): value for key, value in moved.items() if "attn_mask" not in key}


def features(body: SwinTransformer, theirs: Any, side: tuple[int, int]) -> tuple[list[Tensor], list[Tensor]]:
    pixels = torch.randn(2, 3, *side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return body.eval()(pixels), list(theirs(pixels).feature_maps)


@pytest.mark.parametrize("layout", ["backbone", "classifier", "microsoft", "timm"])
def test_swin_computes_what_transformers_computes(layout: str, tmp_path: Path) -> None:
    kind = transformers.SwinBackbone if layout == "backbone" else transformers.SwinForImageClassification
    model = drawn(kind(swin_config(TINY)))
    state = saved(model, tmp_path)
    theirs = drawn(transformers.SwinBackbone(swin_config(TINY)))
    if layout != "backbone":
        theirs.load_state_dict({**theirs.state_dict(), **model.state_dict()}, strict=False)
    body = SwinTransformer(TINY)
    taken = start_swin(body, {"microsoft": as_microsoft, "timm": as_timm}.get(layout, dict)(state))
    mine, others = features(body, theirs, (192, 160))
    for own, other in zip(mine[1:], others[1:], strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)
    assert taken.fresh == ADDED and taken.taken == len(body.state_dict()) - 6
    assert {name.rpartition(".")[0] for name in taken.unused} == UNUSED[layout]
    assert str(taken).startswith(f"{taken.taken} of {taken.taken + 6} tensors taken; left fresh: norm1.weight, ")


def test_swin_of_glip_t_computes_what_transformers_computes(tmp_path: Path) -> None:
    spec = get_variant("glip-t").backbone
    assert isinstance(spec, SwinSpec)
    theirs = drawn(transformers.SwinBackbone(swin_config(spec)))
    body = SwinTransformer(spec)
    start_swin(body, saved(theirs, tmp_path))
    mine, others = features(body, theirs, (224, 288))
    for own, other in zip(mine[1:], others[1:], strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-3)


def test_glip_l_has_a_place_for_each_tensor_of_its_published_start() -> None:
    with torch.device("meta"):
        glip = GlipNetwork(get_variant("glip-l"))
        spec = get_variant("glip-l").backbone
        assert isinstance(spec, SwinSpec)
        swin = SwinTransformer(spec).state_dict()
        bert = transformers.BertModel(transformers.BertConfig()).state_dict()
    published = {key: value for key, value in swin.items() if key not in ADDED}
    taken = start_swin(glip.backbone.body, {**published, "norm.weight": torch.zeros(1536)})
    assert (taken.fresh, taken.unused) == (ADDED, ("norm.weight",))
    taken = start_bert(glip.language_backbone.body["model"], bert)
    assert (taken.fresh, taken.unused) == ((), ("pooler.dense.weight", "pooler.dense.bias"))
    assert taken.taken == 5 + 12 * 16


@pytest.mark.parametrize("old", [False, True], ids=["names of today", "gamma and beta"])
def test_bert_computes_what_transformers_computes(old: bool, tmp_path: Path) -> None:
    theirs = drawn(
        transformers.BertForPreTraining(
            transformers.BertConfig(
                hidden_size=24,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=40,
                max_position_embeddings=16,
                vocab_size=50,
            )
        )
    )
    state = saved(theirs, tmp_path)
    if old:
        state = {
            key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
            for key, value in state.items()
        }
        state["bert.embeddings.position_ids"] = torch.arange(16)[None]
    bert = Bert(WORDS).eval()
    taken = start_bert(bert, state)
    ids = torch.randint(0, 50, (2, 9), generator=torch.Generator().manual_seed(2))
    mask = torch.ones(2, 9, dtype=torch.int64)
    mask[1, 6:] = 0
    with torch.no_grad():
        wanted = theirs.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(bert(ids, mask)[mask.bool()], wanted[mask.bool()], rtol=1e-4, atol=1e-4)
    assert taken.fresh == () and {name.partition(".")[0] for name in taken.unused} == {"bert", "cls"}
    assert "bert.embeddings.position_ids" not in taken.unused  # it is not learned


def test_a_checkpoint_that_does_not_fit_is_named_by_its_first_tensors() -> None:
    state = SwinTransformer(TINY).state_dict()
    with pytest.raises(WeightsError, match=rf"^1 of \d+ tensors are missing: {FIRST}$"):
        start_swin(
            SwinTransformer(TINY), {key: state[key] for key in state if key != "layers.0.blocks.0.attn.qkv.weight"}
        )
    other = SwinTransformer(SwinSpec(8, (2, 2, 2, 2), (1, 2, 2, 4), window=7)).state_dict()
    with pytest.raises(WeightsError, match=r"relative_position_bias_table is \(169, 1\), and has to be \(49, 1\)"):
        start_swin(SwinTransformer(TINY), other)
    with pytest.raises(WeightsError, match=r"^no Swin as transformers.*: it has conv1.weight$"):
        start_swin(SwinTransformer(TINY), {"conv1.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"^no BERT as transformers names it: it has a, b, c, d and 1 more$"):
        start_bert(Bert(WORDS), {name: torch.zeros(1) for name in "abcde"})


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.ones(2)}}, tmp_path / "swin.pth")
    assert read_start(tmp_path / "swin.pth")["a"].tolist() == [1, 1]
    folder = tmp_path / "sharded"
    folder.mkdir()
    with pytest.raises(WeightsError, match=r"no model.safetensors in this folder"):
        read_start(folder)
    for number, name in enumerate("ab"):
        save_file({name: torch.full((1,), float(number))}, folder / f"model-0000{number}-of-00002.safetensors")
    assert {name: value.item() for name, value in read_start(folder).items()} == {"a": 0.0, "b": 1.0}
