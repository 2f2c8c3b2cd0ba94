"""Programs that get a result from the page, or ask for it anew: for Python and for the shell."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass

# Where the page's own address goes; ``share.js`` knows it.
ADDRESS = "{{page}}"
_PYTHON = """\
from gradio_client import Client

page = Client("{address}")
stored = page.predict({run!r}, {question!r}, api_name="/get_run")
print(stored["verdict"])
for row in stored["scores"]:
    print(row["exit_layer"], row["hcb_score"])

# Ask the same again; another seed draws other answers.
(asked,) = stored["questions"]
settings = stored["settings"] | {{"seed": 1}}
for wave in page.submit(asked["text"], asked["accept"], **settings, api_name="/run"):
    print(wave["num_answers"], "of", wave["num_wanted"])
"""
_RUN_PYTHON = """\
from gradio_client import Client

page = Client("{address}")
stored = page.predict({run!r}, api_name="/get_run")
print(stored["verdict"])
for row in stored["scores"]:
    print(row["exit_layer"], row["hcb_score"])
"""
_COMPARE_PYTHON = """\
from gradio_client import Client

page = Client("{address}")
compared = page.predict({first!r}, {second!r}, api_name="/compare")
print(compared["optimal_layers"], compared["p_same_optimal"])
for row in compared["layers"]:
    print(row)
"""
_CURL = """\
PAGE={address}/gradio_api/call/v2/{name}
EVENT=$(curl -s $PAGE -H 'Content-Type: application/json' -d {body} | cut -d'"' -f4)
curl -sN $PAGE/$EVENT
"""
_LENS_PYTHON = """\
from gradio_client import Client

page = Client("{address}")
look = page.predict(
    prompt={prompt!r},
    model={model!r},
    exit_head={exit_head!r},
    max_new_tokens={max_new_tokens!r},
    whole_text={whole_text!r},
    api_name="/lens",
)
for token, layer in zip(look["tokens"], look["settles"]):
    print(repr(token), "settles at layer", layer)
"""


@dataclass(frozen=True, slots=True)
class LensCall:
    """What the endpoint `lens` is asked for.

    Attributes:
        prompt: The exact text that the model goes on from.
        model: Its name.
        exit_head: Name of the exit head.
        max_new_tokens: Of the answer.
        whole_text: Whether the prompt's own tokens are read too.
    """

    prompt: str
    model: str
    exit_head: str
    max_new_tokens: int
    whole_text: bool


def lens_python_code(call: LensCall) -> str:
    """Python that gets the token lens through the page's endpoint."""
    return _LENS_PYTHON.format(address=ADDRESS, **asdict(call))


def lens_shell_code(call: LensCall) -> str:
    """The same by ``curl``; the prompt is quoted for the shell, whatever it is."""
    return _curl("lens", asdict(call))


def python_code(run_id: str, question_id: str) -> str:
    """Python that reads the result through the page's endpoints, and runs it with another seed."""
    return _PYTHON.format(address=ADDRESS, run=run_id, question=question_id)


def shell_code(run_id: str, question_id: str) -> str:
    """The same result by ``curl``; ids are quoted for the shell, whatever they are."""
    return _curl("get_run", {"run_id": run_id, "question_id": question_id})


def run_programs(run_id: str) -> tuple[str, str]:
    """Python and shell code that read a whole run through the page's endpoint."""
    return _RUN_PYTHON.format(address=ADDRESS, run=run_id), _curl("get_run", {"run_id": run_id})


def compare_programs(first: str, second: str) -> tuple[str, str]:
    """Python and shell code that compare two stored runs through the page's endpoint."""
    python = _COMPARE_PYTHON.format(address=ADDRESS, first=first, second=second)
    return python, _curl("compare", {"first": first, "second": second})


def _curl(name: str, values: Mapping[str, object]) -> str:
    """A call of the endpoint ``name``; values are quoted for the shell, whatever they are."""
    return _CURL.format(address=ADDRESS, name=name, body=shlex.quote(json.dumps(values)))
