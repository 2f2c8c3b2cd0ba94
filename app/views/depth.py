"""The answers layer by layer, in words: what the depth player and the animated picture say."""

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from app.depth import LayerStep, Leader, News, layer_steps, news_of
from app.language import SIGNS, Translator
from app.outcomes import Scored
from app.question_view import QuestionView
from hcl_core.runs.meanings import Meaning
from hcl_core.text import printable

# Answers that are equally common: so many are named.
_MOST_LEADERS = 3
_MOST_LETTERS = 90
_LABELS = ("play", "pause", "slider", "playing", "present", "leave", "file", "name")

Step = dict[str, Any]


def depth_player(
    view: QuestionView,
    scored: Scored,
    meanings: Sequence[Meaning],
    words: Translator,
    run_id: str,
    query: dict[str, object] | None,
) -> dict[str, Any]:
    """All that ``depth.js`` shows: plain text, which it puts in as text.

    Args:
        view: The question and its answers.
        scored: Of its layers.
        meanings: Of its answers.
        words: The page's.
        run_id: Of the run.
        query: Parameters of the address that opens this view again, but for the layer; ``None`` where there is none
            yet, such as of a run under way.
    """
    question_id = view.stored.question.id
    link = {name: value for name, value in (query or {}).items() if value not in (None, "")}
    return {
        "key": f"{run_id}/{question_id}",
        "steps": steps_in_words(view, scored, meanings, words),
        "labels": {name: words(f"depth_{name}") for name in _LABELS},
        "query": urlencode(link, safe=","),
        "file": "depth.svg?" + urlencode({"run": run_id, "question": question_id}) if link else "",
    }


def steps_in_words(view: QuestionView, scored: Scored, meanings: Sequence[Meaning], words: Translator) -> list[Step]:
    """What is said and drawn of each layer, the first one first; texts are not escaped."""
    steps = layer_steps(view.layers, meanings, scored)
    depth = view.manifest.num_hidden_layers
    befores = [None, *steps][: len(steps)]
    return [
        _step(step, before, news, depth, words)
        for step, before, news in zip(steps, befores, news_of(steps), strict=True)
    ]


def _step(step: LayerStep, before: LayerStep | None, news: News, depth: int, words: Translator) -> Step:
    name = words("depth_layer", layer=step.exit_layer, all=depth)
    share = _share(step, words)
    spoken = words("depth_apart") if step.is_apart else _named(step.leaders, words, is_spoken=True)
    said = [f"{name}: {spoken}", share, *_news(step, before, news, words, is_spoken=True)]
    low, high = step.interval
    return {
        "layer": step.exit_layer,
        "name": name,
        "outcome": step.outcome,
        "leaders": _shown_leaders(step, words),
        "more": _more(step, words),
        "portion": round(step.share, 4),
        "share": share,
        "score": _known(step.score),
        "low": _known(low),
        "high": _known(high),
        "sure": _sure(step, words),
        "news": _news(step, before, news, words, is_spoken=False),
        "said": ". ".join(said),
    }


def _shown_leaders(step: LayerStep, words: Translator) -> list[dict[str, str]]:
    """The answers in large type, each with its sign; where none came twice, that."""
    if step.is_apart:
        return [{"text": words("depth_apart"), "sign": "", "outcome": "mixed", "judged": ""}]
    return [
        {
            "text": _text(leader, words),
            "sign": SIGNS[leader.outcome],
            "outcome": leader.outcome,
            "judged": words(leader.outcome),
        }
        for leader in step.leaders[:_MOST_LEADERS]
    ]


def _more(step: LayerStep, words: Translator) -> str:
    """What the large type leaves out: further leaders, or that one of them is said in several ways."""
    if step.is_apart:
        return words("depth_example", answer=_signed(step.leaders[0], words))
    hidden = len(step.leaders) - _MOST_LEADERS
    if hidden > 0:
        return words.plural("depth_more", hidden)
    most = max(leader.num_wordings for leader in step.leaders)
    if most == 1:
        return ""
    return words("depth_wordings" if len(step.leaders) == 1 else "depth_wordings_each", number=words.count(most))


def _share(step: LayerStep, words: Translator) -> str:
    if step.is_apart:
        return words("depth_apart_share", all=words.count(step.num_samples))
    if len(step.leaders) > 1:
        return words("depth_share_each", count=words.count(step.count), all=words.count(step.num_samples))
    return words.plural("depth_share", step.num_samples, count=words.count(step.count))


def _sure(step: LayerStep, words: Translator) -> str:
    """The share of right answers, or the plausibility, with its interval."""
    if not math.isfinite(step.score):
        return ""
    if step.is_open:
        return words("depth_plausible", value=words.number(step.score), interval=words.interval(step.interval))
    low, high = map(words.percent, step.interval)
    return words("depth_right", share=words.percent(step.score), low=low, high=high)


def _news(step: LayerStep, before: LayerStep | None, news: News, words: Translator, is_spoken: bool) -> list[str]:
    """What is new, the most important first."""
    said = []
    if news.is_first_right_lead:
        said.append(words("depth_first_lead"))
    if news.is_first_right:
        said.append(words.plural("depth_first_right", step.num_correct, all=words.count(step.num_samples)))
    if before is not None and news.change == "same":
        said.append(_same(before, step, words))
    else:
        said.append(words(f"depth_{news.change}", answers=_named(news.others, words, is_spoken)))
    return said


def _same(before: LayerStep, now: LayerStep, words: Translator) -> str:
    """The same answers as at the layer before, and whether they are more common, to the percent that is shown."""
    was, is_now = words.percent(before.share), words.percent(now.share)
    names = [{leader.text.casefold() for leader in step.leaders} for step in (before, now)]
    what = words.plural("depth_same", len(now.leaders)) if names[0] == names[1] else words("depth_same_idea")
    if was == is_now:
        return words("depth_as_often", what=what, share=is_now)
    return words("depth_more_often" if now.share > before.share else "depth_less_often", what=what, was=was, now=is_now)


def _named(leaders: Sequence[Leader], words: Translator, is_spoken: bool) -> str:
    """Answers in a sentence: with their signs, or, for the ear, with their verdicts in words."""
    named = [
        words("depth_spoken", answer=_text(leader, words), verdict=words(leader.outcome))
        if is_spoken
        else _signed(leader, words)
        for leader in leaders[:_MOST_LEADERS]
    ]
    if len(leaders) > _MOST_LEADERS:
        named.append(words.plural("depth_others", len(leaders) - _MOST_LEADERS))
    return words.listed(named)


def _signed(leader: Leader, words: Translator) -> str:
    return f"{SIGNS[leader.outcome]}\u00a0{_text(leader, words)}"  # no line ends after a sign


def _text(leader: Leader, words: Translator) -> str:
    text = printable(leader.text)
    if not text.strip():
        return words("empty_answer")
    return text if len(text) <= _MOST_LETTERS else text[:_MOST_LETTERS] + "…"


def _known(value: float) -> float | None:
    """JSON has no NaN."""
    return round(value, 4) if math.isfinite(value) else None
