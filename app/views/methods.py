"""How a run was made, as sentences for the methods section of a paper, all of them from its manifest."""

from app.language import Translator
from app.outcomes import Scored
from app.views.headline import layers_as_text
from hcl_core import __version__
from hcl_core.answer_rules import FIRST_LINE
from hcl_core.ideas.accepted import NEAREST_COSINE
from hcl_core.ideas.clustering import COSINE_THRESHOLD
from hcl_core.judges.names import NO_JUDGE, judge_stamp
from hcl_core.models.catalogue import find_model
from hcl_core.records import Scaling, Weights
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.draws import NUM_DRAWS
from hcl_core.settings.strategies import MAX_SPECULATIONS
from hcl_core.text import printable

_MOST_LETTERS = 400


def model_title(name: str) -> str:
    """What a paper calls a model: for one of the catalogue the name that its makers gave it."""
    known = find_model(name)
    return known.repo_id.rpartition("/")[2] if known else _cut(name)


def figure_caption(manifest: Manifest, words: Translator) -> str:
    """Below a figure: model, exit head, sampling, answers and layers; plain text."""
    settings = manifest.settings
    temperature = settings.sampling.temperature
    head = settings.exit_head
    is_known = head in ("linear", "shared")
    is_greedy = settings.sampling.is_greedy
    return words(
        "figure_caption" if len(settings.exit_layers) > 1 else "figure_caption_one",
        model=model_title(settings.model),
        head=words(f"head_name_{head}") if is_known else words("figure_head_named", head=_cut(head)),
        sampling=words("figure_greedy" if is_greedy else "figure_sampled", temperature=_number(temperature, words)),
        answers=words.count(settings.num_samples),
        layers=len(settings.exit_layers),
        which=layers_as_text(settings.exit_layers, words),
        version=__version__,
        run=manifest.id,
    )


def figure_title(manifest: Manifest, question: str | None, words: Translator) -> str:
    """Above a figure: the question, or the set; plain text."""
    if question is not None:
        return question
    return words.plural("figure_questions", manifest.num_questions, set=_cut(manifest.question_set))


def methods_text(
    manifest: Manifest, scored: Scored, weights: Weights, scaling: Scaling, words: Translator, question: str | None
) -> str:
    """The paragraph; plain text.

    Args:
        manifest: Of the run.
        scored: Its scores, or those of the question.
        weights: Of creativity and accuracy in the scores.
        scaling: Of creativity.
        words: The page's.
        question: Text of the one question that is shown; ``None`` for all of the run.
    """
    sentences = [
        _asked(manifest, words, question),
        _strategy(manifest, words),
        "" if manifest.finished_at else words("methods_incomplete"),
        _sampling(manifest, words),
        _head(manifest, words),
        _prompt(manifest, words),
        _judge(manifest, words),
        _ideas(manifest, scored, words),
        _scores(scored, weights, scaling, words),
        _intervals(manifest, scored, words),
        words("methods_best") if scored.ranks_layers else "",
        _program(manifest, words),
    ]
    return words.sentences(sentences)


def _asked(manifest: Manifest, words: Translator, question: str | None) -> str:
    settings = manifest.settings
    values = {
        "model": model_title(settings.model),
        "depth": manifest.num_hidden_layers,
        "revision": _cut(settings.model_revision),
        "dtype": settings.dtype,
    }
    if question is not None:
        return words("methods_asked", question=_cut(question), **values)
    return words.plural("methods_asked_set", manifest.num_questions, set=_cut(manifest.question_set), **values)


def _strategy(manifest: Manifest, words: Translator) -> str:
    settings, strategy = manifest.settings, manifest.strategy
    which = layers_as_text(settings.exit_layers, words)
    answers = words.count(settings.num_samples)
    layers = words.plural("methods_layers", len(settings.exit_layers), answers=answers, which=which)
    drafts, rule = "", ""
    if strategy.num_speculations:
        drafts = words("methods_drafts", number=strategy.num_speculations)
    elif strategy.name == "self_speculative":
        drafts = words("methods_drafts_adaptive", number=MAX_SPECULATIONS)
    if strategy.rule is not None:
        rule = words(f"methods_rule_{strategy.rule.name}", threshold=_number(strategy.rule.threshold, words))
    return words(f"methods_{strategy.name}", layers=layers, drafts=drafts, rule=rule)


def _sampling(manifest: Manifest, words: Translator) -> str:
    sampling = manifest.settings.sampling
    tokens = words.count(sampling.max_new_tokens)
    if sampling.is_greedy:
        return words("methods_greedy", tokens=tokens)
    return words(
        "methods_sampling",
        temperature=_number(sampling.temperature, words),
        top_p=words(
            "methods_top_p" if sampling.top_p < 1 else "methods_no_top_p", top_p=_number(sampling.top_p, words)
        ),
        top_k=words("methods_top_k" if sampling.top_k else "methods_no_top_k", top_k=words.count(sampling.top_k)),
        tokens=tokens,
        seed=sampling.seed,
    )


def _head(manifest: Manifest, words: Translator) -> str:
    head = manifest.settings.exit_head
    kind = head if head in ("linear", "shared") else "other"
    return words(f"methods_head_{kind}", head=_cut(head), hash=_cut(manifest.settings.exit_head_hash))


def _prompt(manifest: Manifest, words: Translator) -> str:
    template, rule = manifest.settings.template, manifest.settings.answer_rule
    prompt = words(f"methods_template_{template.name}", template=_cut(template.text))
    return prompt if rule == FIRST_LINE.name else words.sentences((prompt, words("methods_answer_rule", rule=rule)))


def _judge(manifest: Manifest, words: Translator) -> str:
    name = manifest.judge
    kind, _, model = name.partition(":")
    stamp = judge_stamp(name)
    if name != NO_JUDGE and stamp is None:
        return words("methods_judge_other", judge=_cut(name))
    values = {"embedder": _cut(manifest.embedder), "model": _cut(model), "stamp": stamp}
    return words(f"methods_judge_{kind}", **values)


def _ideas(manifest: Manifest, scored: Scored, words: Translator) -> str:
    name = "meaning" if scored.is_open and manifest.ideas == "accepted" else manifest.ideas
    cosine = NEAREST_COSINE if name == "accepted" else COSINE_THRESHOLD
    return words(f"methods_ideas_{name}", embedder=_cut(manifest.embedder), cosine=_number(cosine, words))


def _scores(scored: Scored, weights: Weights, scaling: Scaling, words: Translator) -> str:
    kind = "absolute" if scored.is_open and scaling == "possible" else scaling
    ideas = words("methods_ideas_counted_open" if scored.is_open else "methods_ideas_counted")
    has_creativity = scored.uncertainty.best.has_creativity
    creativity = words(f"methods_creativity_{kind}", ideas=ideas) if has_creativity else words("methods_no_creativity")
    return words(
        "methods_scores_open" if scored.is_open else "methods_scores",
        creativity=creativity,
        c=_number(weights.creativity, words),
        h=_number(weights.accuracy, words),
    )


def _intervals(manifest: Manifest, scored: Scored, words: Translator) -> str:
    if scored.num_questions > 1:
        return words("methods_intervals_set", draws=words.count(NUM_DRAWS))
    if manifest.settings.sampling.is_greedy:
        return words("methods_intervals_greedy")
    return words("methods_intervals", draws=words.count(NUM_DRAWS))


def _program(manifest: Manifest, words: Translator) -> str:
    versions = words.joined(f"{name} {version}" for name, version in manifest.versions.items())
    device = _cut(manifest.device)
    return words("methods_program", version=__version__, run=manifest.id, device=device, versions=_cut(versions))


def _number(value: float, words: Translator) -> str:
    """With as many decimals as it has."""
    return words.number(value, len(f"{value:g}".partition(".")[2]))


def _cut(text: str) -> str:
    line = printable(text)
    return line if len(line) <= _MOST_LETTERS else line[: _MOST_LETTERS - 1] + "…"
