"""Folders of the fast engine's families as people have them: the same answers however they are spelt, or one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_decoder, make_tokenizer
from safetensors.torch import load_file, save_file
from test_families import ALL_LAYERS, GREEDY, QUESTION, decode, expected_tokens, make_reference

from hcl_core.decode.model.loading import load_model
from hcl_core.errors import HclError
from hcl_core.models.engines import FAST, FAST_FAMILIES

Config = dict[str, Any]
Weights = dict[str, torch.Tensor]
Edit = Callable[[Config, Weights], None]
# Those that the tests of folders elsewhere have not.
NEW = [family for family in FAST_FAMILIES if family not in ("llama", "mistral", "qwen2", "qwen3")]
HEADS = {"gpt2": "transformer.wte.weight", "gpt_neox": "gpt_neox.embed_in.weight"}  # else ``model.embed_tokens.weight``


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of each family, saved once: the folder, and the answers of ``transformers``' own model."""
    made: dict[str, tuple[Path, list[list[int]]]] = {}

    def of(family: str) -> tuple[Path, list[list[int]]]:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            _, model = make_reference(family)
            model.save_pretrained(folder)
            make_tokenizer().save_pretrained(folder)
            made[family] = folder, answers_of(load(folder))
        return made[family]

    return of


def load(folder):
    lm, _ = load_model(str(folder), "float32", "cpu")
    assert lm.engine == FAST
    return lm


def answers_of(lm):
    """Greedy tokens of each exit layer."""
    samples = decode(make_decoder(lm), GREEDY, [[(layer, 0) for layer in ALL_LAYERS]])
    return [list(samples[layer, 0].completion_token_ids) for layer in ALL_LAYERS]


def theirs(folder):
    """The same of ``transformers``' own model of a folder, cut after each layer."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    lm = load(folder)
    prompt_ids = lm.tokenize(make_decoder(lm).prompt_for(QUESTION))
    return [expected_tokens(lm, model, layer, prompt_ids) for layer in ALL_LAYERS]


def varied(folder: Path, target: Path, edit: Edit) -> Path:
    """A copy of ``folder`` whose config and weights were edited."""
    shutil.copytree(folder, target)
    config, weights = json.loads((target / "config.json").read_text()), load_file(target / "model.safetensors")
    edit(config, weights)
    (target / "config.json").write_text(json.dumps(config))
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


# Ways to store or to spell the same model, of every family.


def old_dtype(config: Config, _: Weights) -> None:
    config["torch_dtype"] = config.pop("dtype", "float32")


def without_prefix(_: Config, weights: Weights) -> None:
    """As the base model alone is saved, and as GPT-2 is on the Hub."""
    for name in list(weights):
        if not name.startswith(("lm_head", "embed_out")):
            weights[name.partition(".")[2]] = weights.pop(name)


def head_stored_twice(config: Config, weights: Weights) -> None:
    """The embedding as the head too, in a config that ties them."""
    name = HEADS.get(config["model_type"], "model.embed_tokens.weight")
    config["tie_word_embeddings"] = True
    weights["embed_out.weight" if config["model_type"] == "gpt_neox" else "lm_head.weight"] = weights[name].clone()


def more_of_the_hub(config: Config, _: Weights) -> None:
    """What old configs hold beside what is needed."""
    config |= {"architectures": ["Any"], "transformers_version": "4.20.0", "use_cache": False, "_name_or_path": "x/y"}
    config |= {"cache_implementation": "hybrid", "attention_dropout": 0.0, "auto_map": {"AutoConfig": "code.Config"}}
    config.pop("bos_token_id", None)


def null_pad_token(config: Config, _: Weights) -> None:
    config["pad_token_id"] = None


SAME_OF_ALL = [old_dtype, without_prefix, more_of_the_hub, null_pad_token]


@pytest.mark.parametrize("edit", SAME_OF_ALL, ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("family", NEW)
def test_another_spelling_changes_no_answer(saved, tmp_path, family, edit):
    folder, expected = saved(family)
    assert answers_of(load(varied(folder, tmp_path / "model", edit))) == expected


@pytest.mark.parametrize("family", NEW)
def test_weights_in_several_files_change_no_answer(saved, tmp_path, family):
    folder, expected = saved(family)
    target = shutil.copytree(folder, tmp_path / "model")
    weights = load_file(target / "model.safetensors")
    (target / "model.safetensors").unlink()
    files = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(sorted(weights))}
    for file in set(files.values()):
        save_file({name: weights[name] for name in weights if files[name] == file}, target / file, {"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": files}
    (target / "model.safetensors.index.json").write_text(json.dumps(index))
    assert answers_of(load(target)) == expected


@pytest.mark.parametrize("family", NEW)
def test_a_head_that_is_the_embedding_can_be_stored_twice(saved, tmp_path, family):
    folder, _ = saved(family)
    target = varied(folder, tmp_path / "model", head_stored_twice)
    lm = load(target)
    assert lm.shape.has_tied_head and answers_of(lm) == theirs(target)


@pytest.mark.parametrize("family", NEW)
def test_a_folder_has_the_answers_of_transformers(saved, family):
    folder, ours = saved(family)
    assert ours == theirs(folder)


# Of single families.

ABSENT: Any = object()


def config_of(**changes: Any) -> Edit:
    """Names with ``ABSENT`` leave the config."""

    def edit(config: Config, _: Weights) -> None:
        for name, value in changes.items():
            config.pop(name, None)
            if value is not ABSENT:
                config[name] = value

    return edit


def masks_in_file(config: Config, weights: Weights) -> None:
    """Buffers that old versions stored."""
    square = torch.ones(256, 256).tril().bool()[None, None]
    for layer in range(len(ALL_LAYERS)):
        prefix = (
            f"transformer.h.{layer}.attn" if config["model_type"] == "gpt2" else f"gpt_neox.layers.{layer}.attention"
        )
        weights |= {f"{prefix}.bias": square.clone(), f"{prefix}.masked_bias": torch.tensor(-1e9)}


def lm_head(_: Config, weights: Weights) -> None:
    weights["lm_head.weight"] = weights.pop("embed_out.weight")


def names_of_others(config: Config, _: Weights) -> None:
    """GPT-2's sizes as other families call them."""
    for ours, name in (("n_embd", "hidden_size"), ("n_layer", "num_hidden_layers"), ("n_head", "num_attention_heads")):
        config[name] = config.pop(ours, None) or config[name]


DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
SAME_OF_ONE: list[tuple[str, str, Edit]] = [
    ("gpt2", "names of others", names_of_others),
    ("gpt2", "masks in the file", masks_in_file),
    ("gpt2", "n_inner null", config_of(n_inner=None)),
    ("gpt_neox", "masks in the file", masks_in_file),
    ("gpt_neox", "lm_head", lm_head),
    ("gpt_neox", "old rope", config_of(rope_parameters=ABSENT, rotary_pct=0.25, rotary_emb_base=10000)),
    ("gemma", "hidden_activation", config_of(hidden_activation="gelu_pytorch_tanh")),
    ("gemma", "old rope", config_of(rope_parameters=ABSENT, rope_theta=10000.0)),
    ("gemma2", "no layer types", config_of(layer_types=ABSENT)),
    ("gemma2", "old rope", config_of(rope_parameters=ABSENT, rope_theta=10000.0)),
    ("gemma3_text", "pattern", config_of(layer_types=ABSENT, sliding_window_pattern=2)),
    (
        "gemma3_text",
        "old rope",
        config_of(rope_parameters=ABSENT, rope_theta=1_000_000.0, rope_local_base_freq=10000.0, rope_scaling=None),
    ),
    ("phi3", "old rope", config_of(rope_parameters=ABSENT, rope_theta=10000.0, rope_scaling=None)),
    ("phi3", "part of a head, all of it", config_of(partial_rotary_factor=1.0)),
    ("olmo3", "no layer types", config_of(layer_types=ABSENT)),
    ("olmo3", "old rope", config_of(rope_parameters=ABSENT, rope_theta=500000.0)),
    ("olmo2", "old rope", config_of(rope_parameters=ABSENT, rope_theta=10000.0)),
    ("granite", "old rope", config_of(rope_parameters=ABSENT, rope_theta=10000.0)),
    ("smollm3", "old rope", config_of(rope_parameters=ABSENT, rope_theta=2_000_000.0)),
]


@pytest.mark.parametrize(("family", "name", "edit"), SAME_OF_ONE, ids=[f"{each[0]}, {each[1]}" for each in SAME_OF_ONE])
def test_an_old_spelling_of_one_family_changes_no_answer(saved, tmp_path, family, name, edit):
    folder, expected = saved(family)
    assert answers_of(load(varied(folder, tmp_path / "model", edit))) == expected


YARN = {"factor": 4.0, "original_max_position_embeddings": 64}
LONG = {"short_factor": [1.0, 1.5], "long_factor": [2.0, 4.0]}
# Another model than the saved one: what it says is compared with ``transformers``.
OTHERS: list[tuple[str, str, Edit]] = [
    ("gpt2", "scaled by layer", config_of(scale_attn_by_inverse_layer_idx=True)),
    ("gpt2", "not scaled", config_of(scale_attn_weights=False)),
    ("gpt2", "upcast", config_of(reorder_and_upcast_attn=True)),
    ("gpt2", "relu", config_of(activation_function="relu")),
    ("gpt_neox", "one after another", config_of(use_parallel_residual=False)),
    ("gpt_neox", "half rotated", config_of(rope_parameters=ABSENT, rotary_pct=0.5)),
    ("gpt_neox", "linear scaling", config_of(rope_parameters=ABSENT, rope_scaling={"type": "linear", "factor": 2.0})),
    ("gemma2", "no caps", config_of(attn_logit_softcapping=None, final_logit_softcapping=None)),
    ("gemma2", "another scale", config_of(query_pre_attn_scalar=40)),
    ("gemma3_text", "scaled", config_of(rope_parameters=ABSENT, rope_scaling={"rope_type": "linear", "factor": 8.0})),
    (
        "phi3",
        "longrope",
        config_of(rope_parameters=ABSENT, rope_scaling=LONG | {"type": "longrope"}, partial_rotary_factor=0.5),
    ),
    ("phi3", "no window", config_of(sliding_window=None)),
    ("olmo3", "yarn", config_of(rope_parameters=ABSENT, rope_theta=1e4, rope_scaling=YARN | {"rope_type": "yarn"})),
    ("olmo2", "yarn", config_of(rope_parameters=ABSENT, rope_theta=1e4, rope_scaling=YARN | {"type": "yarn"})),
    ("granite", "no scales", config_of(embedding_multiplier=1.0, residual_multiplier=1.0, logits_scaling=1.0)),
    ("smollm3", "positions everywhere", config_of(no_rope_layers=[1, 1, 1])),
]


@pytest.mark.parametrize(("family", "name", "edit"), OTHERS, ids=[f"{each[0]}, {each[1]}" for each in OTHERS])
def test_what_a_config_says_is_computed_as_transformers_does(saved, tmp_path, family, name, edit):
    folder, _ = saved(family)
    target = varied(folder, tmp_path / "model", edit)
    ours = answers_of(load(target))
    assert ours == theirs(target)


def lacks(part: str) -> Edit:
    def edit(_: Config, weights: Weights) -> None:
        weights.pop(next(name for name in sorted(weights) if part in name))

    return edit


REFUSED: list[tuple[str, Edit, str]] = [
    *((family, lacks("norm" if family != "gpt2" else "ln_1"), "lacks 1 of its weights") for family in NEW),
    ("gpt2", config_of(n_embd=48), "other shapes than its config says"),
    ("gpt2", config_of(n_head=5), "cannot be loaded"),
    ("gpt_neox", config_of(intermediate_size=96), "other shapes than its config says"),
    ("phi3", config_of(num_key_value_heads=4), "other shapes than its config says"),
    ("phi3", config_of(rope_parameters=ABSENT, rope_scaling=LONG | {"type": "longrope"}), "cannot be loaded"),
    ("gemma2", config_of(attn_logit_softcapping="3"), "cannot be loaded"),
    ("phi3", config_of(pad_token_id=ABSENT), "cannot be loaded"),
    ("phi3", config_of(rope_parameters=ABSENT, rope_scaling=LONG | {"type": "su"}), "cannot be loaded"),
    ("gemma2", config_of(num_hidden_layers=4, layer_types=ABSENT), "lacks"),
    ("olmo3", config_of(num_hidden_layers=0), ""),
]


@pytest.mark.parametrize(("family", "edit", "reason"), REFUSED)
def test_a_folder_that_is_not_whole_is_refused_in_one_line(saved, tmp_path, family, edit, reason):
    folder, _ = saved(family)
    with pytest.raises(HclError) as refused:
        load_model(str(varied(folder, tmp_path / "model", edit)), "float32", "cpu")
    assert reason in str(refused.value) and "\n" not in str(refused.value)
