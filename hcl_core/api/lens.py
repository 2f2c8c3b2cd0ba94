"""The token lens: what every layer would say at each token of an answer."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hcl_core import registry
from hcl_core.api.arguments import as_flag, as_name, as_text, as_whole
from hcl_core.api.models import Model, loaded
from hcl_core.api.running import template_of
from hcl_core.errors import SettingsError
from hcl_core.models.head_records import HeadChoice, check_exit_head
from hcl_core.models.lens_records import RESID_POST, LensTable, head_at, lens_rows
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.text import counted, one_line

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Lens:
    """The readouts of all layers along a text, as ``lens`` returns them.

    Attributes:
        table: The readouts as arrays.
        exit_head: Name of the exit head that read them.
    """

    table: LensTable
    exit_head: str

    @cached_property
    def tokens(self) -> "pd.DataFrame":
        """One row an exit layer and token: the most probable tokens, entropy, ranks; ``LensTable`` describes them."""
        import pandas as pd

        return pd.DataFrame(lens_rows(self.table)).drop(columns="question_id")

    @cached_property
    def settles(self) -> "pd.DataFrame":
        """One row a token: the first exit layer from which on all layers have the last one's choice."""
        import pandas as pd

        table = self.table
        columns = {"position": table.positions, "token_text": table.token_texts, "exit_layer": table.settles()}
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        layers, tokens = self.table.num_hidden_layers, len(self.table.positions)
        return f"Lens({counted(layers, 'layer')}, {counted(tokens, 'token')}, {self.exit_head} head)"


def lens(
    model: Model | str | Path,
    prompt: str | None = None,
    *,
    question: str | None = None,
    answer: str | None = None,
    exit_head: str | Path = "auto",
    template: str | Path = "few_shot",
    top: int = 10,
    whole_text: bool = False,
    max_new_tokens: int = 20,
    site: str = RESID_POST,
) -> Lens:
    """Show what every layer would say at every token of an answer.

    Args:
        model: From ``load_model``, or a name of it.
        prompt: The exact text to go on from.
        question: In its place, a question, asked through the template.
        answer: The answer to look at; by default the greedy one.
        exit_head: As in ``run``.
        template: As in ``run``.
        top: Most probable tokens kept of each readout.
        whole_text: Whether the prompt's tokens are looked at too.
        max_new_tokens: Longest greedy answer.
        site: Where each block is read: ``"resid_post"``, the residual stream after it; ``"resid_mid"``, the same
            between attention and MLP; ``"attn_out"`` or ``"mlp_out"``, what either of them adds to it. All but the
            first are read by the model's own head.

    Raises:
        SettingsError: A value is outside its range, or both or neither of prompt and question are given.
        ContextTooLongError: The text is too long for the model.
    """
    if (question is None) == (prompt is None):
        raise SettingsError("give either a question or a prompt")
    asked, head = as_text("prompt or question", question if prompt is None else prompt), as_name("exit_head", exit_head)
    check_look(asked, head, as_text("site", site))
    given = None if answer is None else as_text("answer", answer)
    chosen, is_whole = template_of(template), as_flag("whole_text", whole_text)
    num_top, longest = as_whole("top", top, least=1), as_whole("max_new_tokens", max_new_tokens, least=1)
    return look(loaded(model), prompt, question, given, head, chosen, num_top, is_whole, longest, site)


def check_look(text: str, exit_head: str, site: str) -> None:
    """Raise ``SettingsError`` for what ``look`` refuses whatever the model is."""
    if not text.strip():
        raise SettingsError("the lens needs a text to go on from; got an empty one")
    check_exit_head(exit_head)
    head_at(site, exit_head)


def look(
    model: Model,
    prompt: str | None,
    question: str | None,
    answer: str | None,
    exit_head: str,
    template: PromptTemplate,
    top: int,
    whole_text: bool,
    max_new_tokens: int,
    site: str = RESID_POST,
) -> Lens:
    """``lens`` with arguments that were checked, as the terminal has them too."""
    lm = model.lm
    head = registry.load_exit_head(head_at(site, exit_head), lm)
    table = registry.read_layers_along_answer(
        lm,
        head,
        "own",
        prompt or template.render(question or "", lm.wrap_chat),
        is_chat=prompt is None and template.is_chat,
        question=one_line(question or ""),
        answer=answer,
        max_new_tokens=max_new_tokens,
        whole_text=whole_text,
        num_top=top,
        site=site,
    )
    HeadChoice.of(exit_head, head).warn(lm.name)
    return Lens(table, head.name)
