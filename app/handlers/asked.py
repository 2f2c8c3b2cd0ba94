"""What a run was asked for, as values of the form's controls: the form may ask for something else by now."""

from dataclasses import asdict

from hcl_core.questions.own import write_idea
from hcl_core.records import Question
from hcl_core.runs.manifest import Manifest


def asked_question(question: Question) -> dict[str, str]:
    """A question in the form: its text, and one accepted idea a line."""
    return {"question": question.text, "accepted": "\n".join(map(write_idea, question.ideas))}


def asked_settings(manifest: Manifest) -> dict[str, object]:
    """The settings of a run; layers are left out where the form's three numbers cannot name them."""
    settings = manifest.settings
    layers = settings.exit_layers
    steps = {after - before for before, after in zip(layers, layers[1:], strict=False)}
    ends = {"first_layer": layers[0], "last_layer": layers[-1]} if len(steps) <= 1 else {}
    return {
        "model": settings.model,
        **ends,
        **({"every": steps.pop()} if len(steps) == 1 else {}),
        "num_samples": settings.num_samples,
        **asdict(settings.sampling),
        "template": settings.template.name,
        "exit_head": manifest.asked_exit_head,
        "judge": manifest.judge,
        "strategy": manifest.strategy.name,
    }
