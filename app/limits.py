"""What a page that others can reach lets its visitors use: the models on the machine, and so much at a time.

Any other model name could be a folder of the owner's, a download with the owner's token, or one that fills the disk.
"""

import math

from app.settings import PageSettings
from hcl_core import registry
from hcl_core.errors import LimitError, SettingsError
from hcl_core.models.catalogue import CatalogueModel, find_model
from hcl_core.models.head_records import EXIT_HEAD_NAMES
from hcl_core.pipeline.estimate import Foretold
from hcl_core.pipeline.request import RunRequest


def check_public_model(name: str) -> CatalogueModel:
    """The catalogue model of that name; raises ``SettingsError`` if it is none, or not on the machine."""
    model = find_model(name)
    if model is None or not registry.is_available(model):
        raise SettingsError("this public page offers only the models of its list: run the program yourself for others")
    return model


def check_public_head(name: str) -> None:
    """Raise ``SettingsError`` for a head's file: visitors neither try what is on the machine nor bring a head along."""
    if name not in EXIT_HEAD_NAMES:
        raise SettingsError(
            f"this public page offers only the exit heads {', '.join(EXIT_HEAD_NAMES)}: run the program yourself for a "
            "head's file"
        )


def check_public_request(request: RunRequest, settings: PageSettings) -> tuple[int, ...]:
    """The exit layers of a run that a visitor of a public page may start.

    Raises:
        SettingsError: It has a model, an exit head or a judge that the page does not offer.
        LimitError: It is too large.
    """
    model = check_public_model(request.model)
    check_public_head(request.exit_head)
    if request.judge.startswith("llm"):
        raise SettingsError("this public page has no llm judge: run the program yourself for it")
    letters = sum(len(each.text) + sum(map(len, each.accepted_answers)) for each in request.questions)
    if letters > settings.most_letters_a_run:
        raise LimitError(
            f"these questions and accepted answers have {letters:,} letters; this public page allows "
            f"{settings.most_letters_a_run:,}: ask fewer or shorter ones"
        )
    layers = request.layers.resolve(model.num_hidden_layers)
    counts = (len(request.questions), len(layers), request.num_samples, request.sampling.max_new_tokens)
    if (tokens := math.prod(counts)) > settings.most_tokens_a_run:
        asked = "{} questions × {} layers × {} answers × {} tokens".format(*counts)
        raise LimitError(
            f"{asked} is {tokens:,}; this public page allows {settings.most_tokens_a_run:,}: ask for fewer of one of "
            "them"
        )
    return layers


def check_seconds(foretold: Foretold | None, settings: PageSettings) -> None:
    """Raise ``LimitError`` for a run that would take too long, as far as that is known."""
    if foretold is not None and foretold.middle > settings.most_seconds_a_run:
        raise LimitError(
            f"this run would take about {foretold.middle:,.0f} s; this public page allows "
            f"{settings.most_seconds_a_run:,} s: ask for fewer layers, answers or tokens, or for true early exit, "
            "which takes least"
        )
