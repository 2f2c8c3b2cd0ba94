"""Programs that get a stored result from the page, or ask for it anew: for Python and for the shell."""

import json
import shlex

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


def python_code(run_id: str, question_id: str) -> str:
    """Python that reads the result through the page's endpoints, and runs it with another seed."""
    return _PYTHON.format(address=ADDRESS, run=run_id, question=question_id)


def shell_code(run_id: str, question_id: str) -> str:
    """The same result by ``curl``; ids are quoted for the shell, whatever they are."""
    body = json.dumps({"run_id": run_id, "question_id": question_id})
    return _SHELL.format(address=ADDRESS, body=shlex.quote(body))
