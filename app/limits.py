"""What a page that others can reach lets its visitors use: the models on the machine, and so much at a time.

Any other model name could be a folder of the owner's, a download with the owner's token, or one that fills the disk.
"""

from hcl_core import registry
from hcl_core.errors import SettingsError
from hcl_core.models.catalogue import CatalogueModel, find_model
from hcl_core.pipeline.request import RunRequest

# Tokens that one run may ask for: 30 layers x 100 answers x 40 tokens.
_MOST_TOKENS = 120_000
# Letters of the questions and accepted answers that one run may bring.
_MOST_LETTERS = 100_000


def check_public_model(name: str) -> CatalogueModel:
    """The catalogue model of that name; raises ``SettingsError`` if it is none, or not on the machine."""
    model = find_model(name)
    if model is None or not registry.is_available(model):
        raise SettingsError("this public page offers only the models of its list: run the program yourself for others")
    return model


def check_public_request(request: RunRequest) -> None:
    """Raise ``SettingsError`` for a run that a visitor of a public page may not start."""
    model = check_public_model(request.model)
    if request.judge.startswith("llm"):
        raise SettingsError("this public page has no llm judge: run the program yourself for it")
    letters = sum(len(each.text) + sum(map(len, each.accepted_answers)) for each in request.questions)
    if letters > _MOST_LETTERS:
        raise SettingsError(
            f"these questions and accepted answers have {letters:,} letters; this public page allows "
            f"{_MOST_LETTERS:,}: ask fewer or shorter ones"
        )
    num_layers = len(request.layers.resolve(model.num_hidden_layers))
    counts = (len(request.questions), num_layers, request.num_samples, request.sampling.max_new_tokens)
    tokens = counts[0] * counts[1] * counts[2] * counts[3]
    if tokens > _MOST_TOKENS:
        asked = "{} questions × {} layers × {} answers × {} tokens".format(*counts)
        raise SettingsError(
            f"{asked} is {tokens:,}; this public page allows {_MOST_TOKENS:,}: ask for fewer of one of them"
        )
