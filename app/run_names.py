"""What a run is called: as its user calls it, and in words of its settings."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal

from app import library
from app.language import Translator
from app.library import StoredRun
from hcl_core.folders import runs_folder
from hcl_core.judges.names import NO_JUDGE
from hcl_core.models.catalogue import CATALOGUE
from hcl_core.runs.manifest import Manifest
from hcl_core.runs.titles import RunTitle
from hcl_core.text import printable

Asked = Literal["apart", "first", "beside"]
# Letters of a text that came with a run.
_MOST_LETTERS = 60
# Exit layers that are named one by one.
_MOST_LAYERS = 4
_TITLES = {model.name: model.repo_id.rpartition("/")[2].removesuffix("-Instruct") for model in CATALOGUE}
# What two runs of the same words are told apart by, the plainest first.
_FURTHER: tuple[Callable[[StoredRun, Translator], str], ...] = (
    lambda run, words: asked_of(run, words),
    lambda run, words: right_answers(run, words),
    lambda run, words: judge_name(run.manifest.judge, words),
    lambda run, words: words("named_seed", seed=run.manifest.settings.sampling.seed),
    lambda run, words: words("named_top_p", top_p=words.shortest(run.manifest.settings.sampling.top_p)),
    lambda run, words: words("named_prompt", name=_cut(run.manifest.settings.template.name)),
    lambda run, words: _cut(run.manifest.settings.dtype),
    lambda run, words: words("named_made", time=made_at(run.manifest)),
    lambda run, words: words("run_n", run=_cut(run.manifest.id)),
)


def run_name(run: StoredRun, words: Translator) -> str:
    """The name that its user gave it, if any, and its settings."""
    return _named(run.title, settings_in_words(run.manifest, words))


def name_of(manifest: Manifest, words: Translator) -> str:
    """``run_name`` of a run that may be under way."""
    return _named(library.title_of(manifest.id, runs_folder()), settings_in_words(manifest, words))


def run_names(runs: Sequence[StoredRun], words: Translator, asked: Asked = "apart") -> list[str]:
    """A name for each, for a list of them: runs of one name have what tells them apart, too.

    Args:
        runs: In any order.
        words: The page's.
        asked: Whether a name has the run's question or set: where it tells runs apart, ``first`` in each, or not, for
            it stands ``beside`` the name.
    """
    questions = [asked_of(run, words) for run in runs]
    names = [
        _named(run.title, f"{question} · {text}" if asked == "first" else text)
        for run, question in zip(runs, questions, strict=True)
        for text in (settings_in_words(run.manifest, words),)
    ]
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        alike[name, questions[index] if asked == "beside" else ""].append(index)
    for indices in alike.values():
        further = _apart([runs[index] for index in indices], words)
        for index, parts in zip(indices, further, strict=True):
            names[index] = words.joined((names[index], *parts))
    return names


def _apart(runs: Sequence[StoredRun], words: Translator) -> list[tuple[str, ...]]:
    """For each of some runs of the same name what else is to be said, until no two are alike."""
    parts: list[tuple[str, ...]] = [() for _ in runs]
    for say in _FURTHER:
        if len(set(parts)) == len(runs):
            break
        said = [say(run, words) for run in runs]
        if len(set(said)) > 1:
            parts = [(*before, text) for before, text in zip(parts, said, strict=True)]
    return parts


def _named(title: RunTitle, text: str) -> str:
    return f"{title.name} · {text}" if title.name else text


def settings_in_words(manifest: Manifest, words: Translator) -> str:
    """``SmolLM2-135M, fitted head, T 0.6, all 30 layers, 50 answers``."""
    settings = manifest.settings
    strategy = manifest.strategy.name
    parts = [
        model_name(settings.model),
        head_name(settings.exit_head, words),
        "" if strategy == "early_exit" else words(f"strategy_{strategy}"),
        words("named_temperature", temperature=words.shortest(settings.sampling.temperature)),
        _layers(settings.exit_layers, manifest.num_hidden_layers, words),
        words.plural("named_answers", settings.num_samples),
    ]
    return words.joined(part for part in parts if part)


def model_name(model: str) -> str:
    """A model as people call it: the catalogue's by their own names, others by their Hub id or folder."""
    return _TITLES.get(model) or _cut(model)


def head_name(exit_head: str, words: Translator) -> str:
    """An exit head in words; one that is none of the program's two kinds by its name."""
    return words(f"head_name_{exit_head}") if exit_head in ("linear", "shared") else _cut(exit_head)


def judge_name(judge: str, words: Translator) -> str:
    """A judge in words."""
    return words("open_kind") if judge == NO_JUDGE else words("named_judge", judge=_cut(judge))


def asked_of(run: StoredRun, words: Translator) -> str:
    """The question of a run of one, else its set and how many questions of that there are."""
    question = library.only_question_of(run)
    if question is not None:
        return words("quoted", text=_cut(question))
    return words.plural("named_set", run.manifest.num_questions, set=_cut(run.manifest.question_set))


def right_answers(run: StoredRun, words: Translator) -> str:
    """What counts as right in a run of one question; empty in others."""
    answers = library.right_answers_of(run)
    return words("named_right", answers=_cut(words.listed(answers))) if answers else ""


def made_at(manifest: Manifest) -> str:
    """When the run was started, in UTC to the minute."""
    return _cut(manifest.created_at[:16].replace("T", " "))


def _layers(layers: Sequence[int], num_hidden_layers: int, words: Translator) -> str:
    if len(layers) == num_hidden_layers > 1:
        return words("named_all_layers", number=len(layers))
    if len(layers) == 1:
        return words("named_layer", layer=layers[0])
    if len(layers) <= _MOST_LAYERS:
        return words("named_layers", layers=words.listed([str(layer) for layer in layers]))
    span = words("range", low=layers[0], high=layers[-1])
    if layers[-1] - layers[0] + 1 == len(layers):
        return words("named_layers", layers=span)
    return words("named_some_layers", number=len(layers), layers=span)


def _cut(text: str) -> str:
    line = printable(text)
    return line if len(line) <= _MOST_LETTERS else line[:_MOST_LETTERS] + "…"
