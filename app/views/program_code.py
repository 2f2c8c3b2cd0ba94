"""Programs that get a result from the page, or ask for it anew: for Python and for the shell."""

import json
import shlex
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
_SHELL = """\
PAGE={address}/gradio_api/call/v2/get_run
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
_LENS_SHELL = """\
PAGE={address}/gradio_api/call/v2/lens
EVENT=$(curl -s $PAGE -H 'Content-Type: application/json' -d {body} | cut -d'"' -f4)
curl -sN $PAGE/$EVENT
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
    return _LENS_SHELL.format(address=ADDRESS, body=shlex.quote(json.dumps(asdict(call))))


def python_code(run_id: str, question_id: str) -> str:
    """Python that reads the result through the page's endpoints, and runs it with another seed."""
    return _PYTHON.format(address=ADDRESS, run=run_id, question=question_id)


def shell_code(run_id: str, question_id: str) -> str:
    """The same result by ``curl``; ids are quoted for the shell, whatever they are."""
    body = json.dumps({"run_id": run_id, "question_id": question_id})
    return _SHELL.format(address=ADDRESS, body=shlex.quote(body))
