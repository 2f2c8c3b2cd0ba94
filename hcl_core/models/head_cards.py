"""The card that goes with an exit head which is given to others: ``README.md`` with the front matter of the Hub."""

import json
import re
import shlex

from hcl_core.models.catalogue import find_model
from hcl_core.models.head_records import HeadConfig
from hcl_core.text import code_span, printable

# Name of the head's file beside its card.
HEAD_FILE = "exit_head.safetensors"
# A repository of the Hub: one owner, one name.
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def head_card(config: HeadConfig, num_bytes: int, fingerprint: str) -> str:
    """The card of a head, from what its own file says of it.

    Args:
        config: Of the head.
        num_bytes: Of its file.
        fingerprint: BLAKE2b hash of its file, 16 bytes in hexadecimal digits.
    """
    known = find_model(config.model)
    repository = known.repo_id if known else config.model
    front = ["library_name: hcl-explorer", "tags: [early-exit, exit-head, logit-lens]"]
    if _REPOSITORY.fullmatch(repository):
        front.append(f"base_model: {json.dumps(repository)}")
    licence = known.licence if known else "not known to this program: see the model's own page"
    name = code_span(config.model)
    hashed = code_span(config.texts_hash) if config.texts_hash else "none: self-written"
    rows = [
        f"| {layer} | {before.agreement:.2f} | {after.agreement:.2f} | {before.cross_entropy:.2f} "
        f"| {after.cross_entropy:.2f} |"
        for layer, (before, after) in enumerate(zip(config.before, config.after, strict=True), 1)
    ]
    return "\n".join(
        [
            "---",
            *front,
            "---",
            "",
            f"# A linear exit head for {name}",
            "",
            "An affine map for each layer but the last, to the last hidden state, then the model's own final norm and",
            'unembedding ("Jump to Conclusions", Din et al. 2023, arXiv 2303.09435). It lets early layers be read. It',
            "holds no weights of the model and is of use only beside them.",
            "",
            "| | |",
            "|---|---|",
            f"| model | {name} |",
            f"| revision | {code_span(config.revision)} |",
            f"| fingerprint of the weights | {code_span(config.weights_hash)} |",
            f"| licence of the model | {licence} |",
            f"| fitted on | {code_span(config.texts)}, {config.num_tokens:,} tokens, a fifth of them held out |",
            f"| hash of the text file | {hashed} |",
            f"| weight of positions inside answers | {config.answer_weight:g} |",
            f"| gradient steps a layer after the ridge fit | {config.refine_steps} |",
            f"| seed, number format | {config.seed}, {code_span(config.dtype)} |",
            f"| file | `{HEAD_FILE}`, {num_bytes:,} bytes, BLAKE2b `{fingerprint}` |",
            "",
            "## How to use it",
            "",
            "~~~",
            f"python -m hcl_core import-head {HEAD_FILE} --model {shlex.quote(printable(config.model))}",
            "~~~",
            "",
            "It is checked against the model's weights; from then on `--exit-head auto` takes it.",
            "",
            "## Quality by layer",
            "",
            "Over held-out text: share of positions whose most probable token is the last layer's, and cross-entropy",
            "under the last layer's distribution in nats, read by the last layer's own head and by this one.",
            "",
            "| layer | agreement, own head | this head | cross-entropy, own head | this head |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
