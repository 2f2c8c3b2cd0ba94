"""The paper's protocol as one word, and what was chosen otherwise."""

import pytest
from conftest import FakeEmbedder

from hcl_core import cli, registry
from hcl_core.errors import SettingsError
from hcl_core.runs.folder import RunFolder
from hcl_core.settings.presets import PRESETS, describe_preset, find_preset, scaling_of


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "load_embedder", FakeEmbedder)

    def run(*options):
        out = tmp_path / f"run{len(options)}"
        arguments = ["run", "--model", str(tiny_folder), "--question", "Name a city.", "--accept", "Rome"]
        with pytest.raises(SystemExit) as ended:
            cli.main([*arguments, "--out", str(out), *options])
        assert ended.value.code == 0
        return RunFolder(out).manifest()

    return run


def test_the_paper_preset_sets_its_protocol_and_the_manifest_says_so(run):
    manifest = run("--preset", "paper")
    settings, sampling = manifest.settings, manifest.settings.sampling
    assert manifest.preset == "paper" and manifest.judge == "paper" and manifest.ideas == "embedding"
    assert settings.strategy == "early_exit"  # where the published script lets the full model verify
    assert (settings.template.name, settings.num_samples, settings.exit_layers) == ("instruction", 50, (2, 4))
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_new_tokens) == (0.6, 0.9, 0, 50)


def test_what_is_said_wins_and_the_manifest_says_that_too(run):
    manifest = run("--preset", "paper", "--samples", "2", "--temperature", "1.0", "--max-new-tokens", "4")
    assert manifest.preset == "paper, but max_new_tokens, samples, temperature"
    assert (manifest.settings.num_samples, manifest.settings.sampling.temperature) == (2, 1.0)
    assert manifest.settings.template.name == "instruction"


def test_without_a_preset_the_manifest_names_none(run):
    assert run("--samples", "2", "--max-new-tokens", "4").preset is None


def test_saying_what_the_preset_says_changes_nothing():
    assert describe_preset(PRESETS[0], PRESETS[0].options()) == "paper"


def test_an_unknown_preset_is_refused():
    with pytest.raises(SettingsError, match="preset must be one of paper; got 'own'"):
        find_preset("own")


@pytest.mark.parametrize(
    ("described", "scaling"),
    [(None, "possible"), ("paper", "min_max"), ("paper, but samples, temperature", "min_max"), ("own", "possible")],
)
def test_a_run_of_the_paper_preset_is_scaled_as_the_paper_does(described, scaling):
    assert scaling_of(described) == scaling
