"""A run as a data set of the Hub: its files, with a card that is made from its manifest."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.models.catalogue import find_model
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.runs.parts import PART_NAME
from hcl_core.runs.verify import verify_run
from hcl_core.settings.layers import format_layers
from hcl_core.text import code_span, printable
from hcl_core.transfer import hub
from hcl_core.transfer.hub import RepoFile
from hcl_core.transfer.packing import run_files

_ADDRESS = re.compile(r"hf://datasets/([\w.-]+(?:/[\w.-]+)?)", re.ASCII)
# Tables beside the samples: what a row of them is.
_TABLES = {
    "verdicts": "what the judge says of an answer",
    "clusters": "which idea an answer is",
    "layer_scores": "scores of a question at a layer, with their 95% intervals",
    "measures": "further measures of an answer",
    "plausibility": "how probable the whole model finds an answer",
    "tokens": "the text of a token id",
}


def repo_of(address: str) -> str:
    """The id in ``hf://datasets/OWNER/NAME``; raises ``SettingsError`` for anything else."""
    if (found := _ADDRESS.fullmatch(address)) is None:
        raise SettingsError(f"an address such as hf://datasets/owner/name was wanted; got {address[:100]!r}")
    return found[1]


def data_set_files(folder: RunFolder) -> list[RepoFile]:
    """What a data set gets: the run's own files, and nothing else that lies in its folder.

    Raises:
        RunFolderError: There is no run, it is not finished, or one of its files is damaged.
    """
    manifest = folder.manifest()
    if manifest.finished_at is None:
        raise RunFolderError(f"{manifest.id} is not finished: run it to its end first, then it can be pushed")
    if problems := verify_run(folder):
        raise RunFolderError(f"nothing was pushed: {problems[0]}")
    files = [RepoFile(name, folder.path / name) for name in run_files(folder)]
    tables = [name for name in _TABLES if any(file.path == f"{name}.parquet" for file in files)]
    return [RepoFile("README.md", card(manifest, tables).encode()), *files]


def push(folder: RunFolder, address: str, environment: Mapping[str, str], *, public: bool = False) -> str:
    """Make the data set if there is none, and give it the run in one commit; its address.

    Parts of another run that the data set has had are deleted, and other files stay.

    Args:
        folder: The run.
        address: As ``repo_of`` reads it.
        environment: With the token, ``HF_TOKEN``.
        public: Whether a new data set is open to everybody.

    Raises:
        RunFolderError: As ``data_set_files``.
        SettingsError: There is no token, or the address is none.
        NoNetworkError: The Hub cannot be reached, or refuses.
    """
    repo, files = repo_of(address), data_set_files(folder)
    message = f"Run {folder.manifest().id} of HCL Explorer"
    of_run = re.compile(rf"samples/{PART_NAME}|({'|'.join(_TABLES)})\.parquet")
    return hub.commit(
        repo,
        "dataset",
        files,
        environment,
        message=message,
        private=not public,
        goes=lambda path: of_run.fullmatch(path) is not None,
    )


def card(manifest: Manifest, tables: list[str]) -> str:
    """The card, ``README.md``: what the run is, how it was made, what its files hold.

    Args:
        manifest: Of the run.
        tables: Names of the tables beside the samples.
    """
    settings, sampling = manifest.settings, manifest.settings.sampling
    configs = [{"config_name": "samples", "data_files": "samples/part-*.parquet", "default": True}]
    configs += [{"config_name": name, "data_files": f"{name}.parquet"} for name in tables]
    head = {
        "pretty_name": f"Answers of {printable(settings.model)} by exit layer"[:200],
        "task_categories": ["question-answering", "text-generation"],
        "tags": ["early-exit", "hallucination", "creativity", "hcl-explorer"],
        "configs": configs,
    }
    known = find_model(settings.model)
    rows = {
        "model": f"{_code(settings.model)}, revision {_code(settings.model_revision)}, {settings.dtype}",
        "exit layers": f"{_code(format_layers(settings.exit_layers))} of {manifest.num_hidden_layers}",
        "exit head": _code(settings.exit_head),
        "strategy": _code(settings.strategy),
        "questions": f"{manifest.num_questions:,} of {_code(manifest.question_set)}",
        "answers": f"{settings.num_samples:,} a question and layer, at most {sampling.max_new_tokens} tokens each",
        "sampling": f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, top-k {sampling.top_k}, "
        f"seed {sampling.seed}",
        "judge": _code(manifest.judge),
        "ideas": _code(f"{manifest.ideas}, {manifest.embedder}"),
        "made": f"{manifest.finished_at}, on {_code(manifest.device)}, in {manifest.decode_seconds:,.0f} s of decoding",
        "run": _code(manifest.id),
    }
    files = {"samples": "one answer, with its tokens and their log-probabilities"}
    files |= {name: _TABLES[name] for name in tables}
    return "\n".join(
        [
            "---",
            yaml.safe_dump(head, sort_keys=False, allow_unicode=True) + "---",
            f"\n# Answers of {_code(settings.model)} by exit layer\n",
            "Every answer was sampled from a language model that stops after one of its layers, and judged. Early",
            "layers are often wrong: nothing here is a source of facts.\n",
            "| | |\n|---|---|",
            *(f"| {name} | {value} |" for name, value in rows.items()),
            "\n## Files\n\n| name | a row is |\n|---|---|",
            *(f"| {_code(name)} | {what} |" for name, what in files.items()),
            "\n`manifest.json` has the settings and versions, `questions.jsonl` the questions, their right answers and",
            "the prompts sent.\n\n```python\nimport datasets\n",
            'samples = datasets.load_dataset("OWNER/NAME", "samples", split="train")\n```\n',
            "## Licence\n",
            "None was chosen: whoever pushed this has to. The answers come from the model"
            + (f" (its licence: {_code(known.licence)})" if known else "")
            + ",\nthe questions from the set named above; both have licences of their own.\n",
            "## Source\n",
            "Made with HCL Explorer. Scores: He, Zhang and Cheng, *Shakespearean Sparks: The Dance of",
            "Hallucination and Creativity in LLMs' Decoding Layers*, arXiv 2503.02851.\n",
        ]
    )


def _code(text: Any) -> str:
    return code_span(str(text)[:200])
