"""The lens inside a block: against ``transformers``' own modules, watched by forward hooks."""

import json
from typing import Any

import pytest
from conftest import make_lm, make_model, make_tokenizer
from test_cli import assert_one_line_error, command, tiny  # noqa: F401  # fixtures
from test_families import FAMILIES, make_reference

torch = pytest.importorskip("torch")

from app.figures.lens import lens_map  # noqa: E402
from app.language import Translator  # noqa: E402
from app.views.lens import lens_headline  # noqa: E402
from hcl_core.decode.heads.exit_heads import SharedHead  # noqa: E402
from hcl_core.decode.heads.hidden_states import read_site, read_text  # noqa: E402
from hcl_core.decode.model.causal_lm import CausalLM  # noqa: E402
from hcl_core.decode.model.reference_lm import ReferenceLM  # noqa: E402
from hcl_core.decode.model.truncation import BlockStack  # noqa: E402
from hcl_core.decode.token_lens import read_layers  # noqa: E402
from hcl_core.errors import RunFolderError, SettingsError, UnsupportedArchitectureError  # noqa: E402
from hcl_core.models.engines import FAST_FAMILIES  # noqa: E402
from hcl_core.models.lens_records import (  # noqa: E402
    ATTN_OUT,
    MLP_OUT,
    RESID_MID,
    RESID_POST,
    SITES,
    LensManifest,
    head_at,
    write_lens,
)

TEXT = [20, 35, 7, 99, 140, 3, 77, 61]


def parts_of(block):
    """Modules of ``transformers`` whose outputs a block adds to the state, and the one that reads it in between."""
    if hasattr(block, "ln_2"):  # GPT-2
        return block.attn, block.mlp, block.ln_2
    if hasattr(block, "fc2"):  # OPT
        return block.self_attn, block.fc2, block.final_layer_norm
    if hasattr(block, "norm_2"):  # MPT
        return block.attn, block.ffn.down_proj, block.norm_2
    if hasattr(block, "self_attention"):
        attention, mlp = block.self_attention, block.mlp
        if hasattr(mlp, "dense_4h_to_h") and hasattr(block, "apply_residual_connection_post_layernorm"):  # Bloom
            return attention.dense, mlp.dense_4h_to_h, block.post_attention_layernorm
        return attention, mlp, getattr(block, "post_attention_layernorm", None)  # Falcon
    if hasattr(block, "shared_mlp"):  # two are added up, see ``watched``
        return block.self_attn, block.block_sparse_moe, block.post_attention_layernorm
    if hasattr(block, "attention"):  # GPT-NeoX
        return block.attention, block.mlp, block.post_attention_layernorm
    if hasattr(block, "post_feedforward_layernorm"):  # what a norm returns is what is added: OLMo 2, Gemma 2
        reads_middle = getattr(block, "pre_feedforward_layernorm", block.mlp)
        return block.post_attention_layernorm, block.post_feedforward_layernorm, reads_middle
    return block.self_attn, block.mlp, getattr(block, "post_attention_layernorm", None)


def watched(model):
    """By site, what the modules of ``transformers`` hand on over ``TEXT``: a ``[t, hidden_size]`` for each layer."""
    found: dict[str, list[Any]] = {site: [] for site in SITES}

    def keep(site, scale=1.0):
        def hook(module, arguments, output):
            found[site].append(scale * (output[0] if isinstance(output, tuple) else output).view(len(TEXT), -1))

        return hook

    def keep_shared(module, arguments, output):  # runs after the experts
        found[MLP_OUT][-1] = found[MLP_OUT][-1] + 0.5 * output.view(len(TEXT), -1)

    def keep_input(module, arguments):
        found[RESID_MID].append(arguments[0].view(len(TEXT), -1))

    hooks: list[Any] = []
    blocks: Any = BlockStack(model).blocks
    for block in blocks:
        scale = getattr(block, "residual_multiplier", 1.0)  # Granite
        attention, mlp, reads_middle = parts_of(block)
        hooks += [
            attention.register_forward_hook(keep(ATTN_OUT, scale)),
            mlp.register_forward_hook(keep(MLP_OUT, scale)),
            block.register_forward_hook(keep(RESID_POST)),
        ]
        if reads_middle is not None:
            hooks.append(reads_middle.register_forward_pre_hook(keep_input))
        if hasattr(block, "shared_mlp"):
            hooks.append(block.shared_mlp.register_forward_hook(keep_shared))
    with torch.inference_mode():
        model(input_ids=torch.tensor([TEXT]), use_cache=False)
    for hook in hooks:  # the fast engine calls some of these modules too
        hook.remove()
    return found


def assert_sites_are(lm, wanted, is_parallel=False):
    """``lm`` reads at each site what was watched over ``TEXT``."""
    for site in SITES:
        if site == RESID_MID and is_parallel:
            with pytest.raises(SettingsError, match="attention and MLP read the same state"):
                read_site(lm, TEXT, site)
            continue
        with torch.inference_mode():
            states, last = read_site(lm, TEXT, site)
        assert len(wanted[site]) == len(states) == lm.num_hidden_layers
        torch.testing.assert_close(states, torch.stack(wanted[site]), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(last, wanted[RESID_POST][-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAST_FAMILIES)
def test_every_site_is_what_the_modules_of_transformers_hand_on(family):
    _, model = make_reference(family)
    assert_sites_are(CausalLM(model, make_tokenizer()), watched(model), family == "gpt_neox")


PARALLEL = ("gpt_neox", "falcon", "cohere", "cohere2", "phi")
# Forms of a family that its usual config has not.
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("falcon", {"parallel_attn": False}),
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    ("stablelm", {"use_parallel_residual": True}),
    ("gpt_neox", {"use_parallel_residual": False}),
]


@pytest.mark.parametrize(("family", "form"), [*((family, {}) for family in FAMILIES), *FORMS])
def test_the_reference_engine_finds_every_site_in_any_family(family, form):
    lm, model = make_reference(family, **form)
    is_parallel = form.get("use_parallel_residual", form.get("parallel_attn", family in PARALLEL))
    assert_sites_are(lm, watched(model), is_parallel)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["opt", "gpt_oss", "granite"])
def test_a_site_is_found_in_half_precision_too(family, dtype):
    lm = ReferenceLM(make_reference(family)[1].to(dtype), make_tokenizer())
    with torch.inference_mode():
        middle, mlp = (read_site(lm, TEXT, site)[0] for site in (RESID_MID, MLP_OUT))
        assert torch.equal(middle + mlp, read_text(lm, TEXT))


def test_nothing_stands_between_attention_and_mlp_that_read_the_same_state():
    lm = CausalLM(make_reference("gpt_neox")[1], make_tokenizer())
    with pytest.raises(SettingsError, match="attention and MLP read the same state"):
        read_site(lm, TEXT, RESID_MID)
    in_turn = make_reference("gpt_neox", use_parallel_residual=False)[1]
    lm, wanted = CausalLM(in_turn, make_tokenizer()), watched(in_turn)
    with torch.inference_mode():
        torch.testing.assert_close(
            read_site(lm, TEXT, RESID_MID)[0], torch.stack(wanted[RESID_MID]), rtol=1e-4, atol=1e-4
        )


def test_the_parts_of_a_block_add_up_bit_for_bit():
    lm = make_lm()
    with torch.inference_mode():
        middle, mlp = (read_site(lm, TEXT, site)[0] for site in (RESID_MID, MLP_OUT))
        assert torch.equal(middle + mlp, read_text(lm, TEXT))


@pytest.mark.parametrize("site", SITES)
def test_a_readout_is_the_models_own_norm_and_head_over_that_site(site):
    lm, model = make_lm(), make_model("llama")
    table = read_layers(lm, SharedHead(), "q", "", TEXT, first=1, num_top=3, site=site)
    states = torch.stack(watched(model)[site])[:, :-1]
    with torch.inference_mode():
        wanted = model.lm_head(model.model.norm(states)).softmax(-1).topk(3)
    assert table.site == site and table.as_json()["site"] == site
    assert table.top_token_ids.tolist() == wanted.indices.tolist()
    torch.testing.assert_close(torch.from_numpy(table.top_probabilities), wanted.values, rtol=1e-4, atol=1e-6)


def test_what_is_compared_with_is_the_last_layer_at_every_site():
    lm = make_lm()
    after, inside = (
        read_layers(lm, SharedHead(), "q", "", TEXT, first=1, site=site) for site in (RESID_POST, ATTN_OUT)
    )
    assert (after.final_rank[-1] == 1).all() and (after.kl_to_last[-1] == 0).all()
    assert (inside.kl_to_last[-1] > 0).all(), "what attention adds is not the last layer's state"
    tops = after.top_token_ids[-1, :, 0]
    is_top = inside.top_token_ids[:, :, 0] == tops
    assert ((inside.final_rank == 1) == is_top).all()
    never = ~is_top[-1]
    assert never.any() and (inside.settles()[never] == 0).all() and (after.settles() > 0).all()


def test_a_fitted_head_reads_after_blocks_alone():
    assert head_at(RESID_POST, "linear") == "linear" and head_at(ATTN_OUT, "auto") == "shared"
    for head in ("linear", "head.safetensors"):
        with pytest.raises(SettingsError, match="a fitted head reads resid_post alone"):
            head_at(RESID_MID, head)
    with pytest.raises(SettingsError, match="site must be one of resid_post, .*; got 'middle'"):
        head_at("middle", "auto")


@pytest.mark.parametrize(
    ("family", "form", "reason"),
    [
        # Norms over what was added up, not before: the post-norm form of OPT and Bloom.
        ("opt", {"do_layer_norm_before": False}, "is not what it adds"),
        ("bloom", {"apply_residual_connection_post_layernorm": True}, "cannot be told apart"),
    ],
)
def test_a_block_whose_parts_do_not_add_up_is_refused_with_the_reason(family, form, reason):
    lm, _ = make_reference(family, **form)
    read_text(lm, TEXT)
    for site in SITES[1:]:
        with pytest.raises(UnsupportedArchitectureError, match=f"layer 1 cannot .* {reason}; choose resid_post"):
            read_layers(lm, SharedHead(), "q", "", TEXT, first=1, site=site)
    read_layers(lm, SharedHead(), "q", "", TEXT, first=1)


def test_a_block_that_adds_more_than_its_modules_return_is_refused():
    lm, model = make_reference("llama")
    hook = BlockStack(model).blocks[1].register_forward_hook(lambda _, __, output: output + 0.01 * output.abs().mean())
    with pytest.raises(UnsupportedArchitectureError, match="layer 2 cannot .* is not what it adds"):
        read_site(lm, TEXT, MLP_OUT)
    hook.remove()
    read_site(lm, TEXT, MLP_OUT)


def test_no_hook_is_left_behind():
    lm, model = make_reference("opt")
    read_site(lm, TEXT, MLP_OUT)
    parallel, other = make_reference("cohere2")
    with pytest.raises(SettingsError):
        read_site(parallel, TEXT, RESID_MID)
    for module in [*model.modules(), *other.modules()]:
        assert not module._forward_hooks and not module._forward_pre_hooks


def test_a_lens_inside_blocks_is_not_stored_as_if_it_were_after_them(tmp_path):
    table = read_layers(make_lm(), SharedHead(), "q", "", TEXT, first=1, site=MLP_OUT)
    manifest = LensManifest("m", "r", "float32", "shared", "shared", "few_shot", {"q": ""}, {}, "now")
    with pytest.raises(RunFolderError, match="only a lens of resid_post"):
        write_lens(tmp_path / "lens", manifest, [table])
    assert not (tmp_path / "lens").exists()


def test_the_command_reads_a_site(command, tiny):  # noqa: F811
    asked = ("lens", "--model", tiny, "--prompt", "Why?", "--answer", "No")
    code, out, _ = command(*asked, "--site", "mlp_out", "--json")
    table = json.loads(out)
    assert code == 0 and table["site"] == "mlp_out" and table["exit_head"] == "shared"
    assert command(*asked, "--site", "attn_out")[0] == 0
    assert_one_line_error(command(*asked, "--site", "middle"), "site must be one of")
    assert_one_line_error(command(*asked, "--site", "mlp_out", "--exit-head", "linear"), "a fitted head reads")


@pytest.mark.parametrize("site", SITES[1:])
def test_the_page_says_where_it_read_and_draws_no_line_where_nothing_settles(site):
    table = read_layers(make_lm(), SharedHead(), "q", "", TEXT, first=1, site=site)
    for language in ("en", "de", "zh"):
        words = Translator(language)
        assert words(f"lens_at_{site}") in lens_headline(table, words)
    lines = lens_map(table, "probability", Translator("en"))["layout"]["shapes"]
    assert len(lines) == (table.settles() > 0).sum() < len(table.positions)
