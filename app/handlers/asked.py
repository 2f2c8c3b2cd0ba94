"""What a run was asked for, as values of the form's controls: the form may ask for something else by now."""

from dataclasses import asdict

from app.handlers.form import CONTROLS, JUDGES, Form
from hcl_core.errors import HclError
from hcl_core.judges.names import asked_judge
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


def form_of(manifest: Manifest, question: Question) -> dict[str, object]:
    """The form that asks for a run of one question again; empty where the form cannot ask for it."""
    judge = asked_judge(manifest.judge)
    asked = {"every": 1, **asked_settings(manifest), **asked_question(question), "judge": judge}
    if manifest.num_questions != 1 or judge not in JUDGES or not asked.keys() >= set(CONTROLS):
        return {}
    try:
        request = Form.from_controls(asked).request()
    except HclError:  # such as a prompt of a file, which is no choice of the form
        return {}
    wanted = ((question,), manifest.settings.template, manifest.strategy)
    is_same = (request.questions, request.template, request.strategy) == wanted
    return {name: asked[name] for name in CONTROLS} if is_same else {}
