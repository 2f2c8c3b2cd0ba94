"""A model's tokenizer as the engine uses it: prompts to token ids, token ids to text, and the chat format."""

import re
from datetime import datetime
from functools import cached_property
from typing import Any

from transformers.utils.chat_template_utils import _compile_jinja_template

from hcl_core.errors import DamagedModelError, SettingsError
from hcl_core.settings.prompts import NO_CHAT_TEMPLATE
from hcl_core.text import one_line

# The date that every chat template prints: with today's, the same request would be another run tomorrow.
CHAT_DATE = datetime(2025, 1, 1, 12)
# What the templates of models that think call the switch for it; other templates ignore them.
_TURN = "one-turn-of-the-model"
_NO_THINKING = {"enable_thinking": False, "thinking": False}


class PromptTokens:
    """The tokenizer of a model.

    Args:
        tokenizer: Of ``transformers``.
        vocab_size: Rows of the model's embedding; every token id must be below.
        model: Name of the model, for messages.

    Raises:
        DamagedModelError: The tokenizer makes no tokens, or some that the model has no embedding for.
    """

    def __init__(self, tokenizer: Any, vocab_size: int, model: str) -> None:
        self._tokenizer, self._vocab_size, self._model = tokenizer, vocab_size, model
        self._leading = _leading_tokens(tokenizer)
        self._check_vocabulary()

    def tokenize(self, prompt: str, *, is_chat: bool = False, question: str = "") -> list[int]:
        """Token ids of a prompt: the tokenizer's leading tokens, once, then the text; nothing is appended.

        Args:
            prompt: The exact text.
            is_chat: Whether its leading tokens are in it already.
            question: The part of the prompt in which control tokens are text, as a user typed it.

        Raises:
            SettingsError: A token has no embedding.
        """
        control = self._control_tokens(question)
        token_ids = self._encode_around(prompt, question, control) if control else self._encode(prompt)
        if not is_chat and token_ids[: len(self._leading)] != self._leading:
            token_ids = [*self._leading, *token_ids]
        if (largest := max(token_ids, default=0)) >= self._vocab_size:
            name = one_line(self.token_text(largest))[:40]
            raise SettingsError(
                f"{self._model} has embeddings for {self._vocab_size} tokens; the prompt has number {largest}, "
                f"{name!r}, which was added to its tokenizer alone"
            )
        return token_ids

    def detokenize(self, token_ids: list[int]) -> str:
        """Text of ``token_ids``, special tokens left out."""
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def token_text(self, token_id: int) -> str:
        """One token as people should see it: its text, or its name where it is special."""
        return str(self._tokenizer.decode([token_id], skip_special_tokens=False))

    @property
    def has_chat_template(self) -> bool:
        """Whether ``wrap_chat`` can be used."""
        return bool(getattr(self._tokenizer, "chat_template", None))

    def wrap_chat(self, user_turn: str) -> str:
        """``user_turn`` in the model's chat format, ready for an answer without thinking where the format knows that.

        A format that refuses a conversation without a system turn gets an empty one.

        Raises:
            SettingsError: The tokenizer has no chat template, or the template fails or leaves the turn out.
        """
        if not self.has_chat_template:
            raise SettingsError(NO_CHAT_TEMPLATE)
        with_system = False
        try:
            prompt = self._render(user_turn)
        except SettingsError as problem:
            with_system = True
            try:
                prompt = self._render(user_turn, with_system)
            except SettingsError:
                raise problem from None
        if user_turn not in prompt and self._render(f"{user_turn} {user_turn}", with_system) == prompt:
            raise self._unusable("it prints a prompt without the question")
        return prompt

    @cached_property
    def end_of_turn_ids(self) -> frozenset[int]:
        """The token that the chat template writes after a model's turn; empty where it writes none.

        Some models end a message with it and do not list it among the tokens that end a text.
        """
        turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": _TURN}]
        try:
            after = self._tokenizer.apply_chat_template(turns, tokenize=False).rpartition(_TURN)[2].lstrip()
        except Exception:  # a template may refuse a model's turn: the tokens that end a text are enough then
            return frozenset()
        added = self._tokenizer.added_tokens_decoder.items()
        return frozenset(number for number, token in added if token.content.strip() and after.startswith(token.content))

    def _render(self, user_turn: str, with_system: bool = False) -> str:
        system = [{"role": "system", "content": ""}] if with_system else []
        turns = [*system, {"role": "user", "content": user_turn}]
        template = self._tokenizer.chat_template
        if isinstance(template, dict) and "default" not in template:
            raise self._unusable(f"there are several ({', '.join(sorted(template))[:100]}), and none is the default")
        try:
            # Compiled templates are cached; a function cannot be given as a variable of the template.
            compiled = _compile_jinja_template(self._tokenizer.get_chat_template())
            compiled.environment.globals["strftime_now"] = _date_of_chat
            rendered = self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True, **_NO_THINKING
            )
        except Exception as error:  # a template is a program of the model's maker, which can raise anything
            raise self._unusable(one_line(str(error))[:300] or type(error).__name__) from error
        return str(rendered)

    def _unusable(self, problem: str) -> SettingsError:
        return SettingsError(
            f"the chat template of {self._model} cannot be used: {problem}; use the template few_shot or instruction"
        )

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)

    def _control_tokens(self, question: str) -> list[str]:
        """The control tokens, if ``question`` has one: special, in the chat template, or without an embedding."""
        if not question:
            return []
        template = str(getattr(self._tokenizer, "chat_template", ""))
        contents = [
            token.content
            for number, token in self._tokenizer.added_tokens_decoder.items()
            if token.special
            or number >= self._vocab_size
            or (token.content in template and not token.content.isspace())
        ]
        return contents if any(content in question for content in contents) else []

    def _encode_around(self, prompt: str, question: str, control: list[str]) -> list[int]:
        """Token ids of ``prompt`` with the control tokens in ``question`` as text, and all others as they are."""
        longest_first = sorted(control, key=len, reverse=True)
        pattern = re.compile(f"({re.escape(question)})|({'|'.join(map(re.escape, longest_first))})")
        token_ids, start = [], 0
        for match in pattern.finditer(prompt):
            if match[2] is not None:
                token_ids += self._encode_text(prompt[start : match.start()])
                token_ids.append(self._tokenizer.convert_tokens_to_ids(match[2]))
                start = match.end()
        return token_ids + self._encode_text(prompt[start:])

    def _encode_text(self, text: str) -> list[int]:
        """Token ids of ``text`` without any added token: normaliser, pre-tokenizer and model alone."""
        backend = self._tokenizer.backend_tokenizer
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        pieces = [text] if text else []
        if backend.pre_tokenizer is not None:
            pieces = [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        return [token.id for piece in pieces for token in backend.model.tokenize(piece)]

    def _check_vocabulary(self) -> None:
        """Raise ``DamagedModelError`` for tokens beyond the embedding, but for those that were added to the vocabulary.

        Those are padding, or stand for images, or were never trained: no text without their names has them.
        """
        used = set(self._tokenizer.get_vocab().values()) - self._tokenizer.added_tokens_decoder.keys()
        if not self._encode("a"):
            raise DamagedModelError(f"the tokenizer of {self._model} makes no tokens of a text: fetch the model again")
        num_tokens = 1 + max(used.union(self._leading), default=-1)
        if num_tokens > self._vocab_size:
            raise DamagedModelError(
                f"the tokenizer of {self._model} has {num_tokens} tokens, but the model has embeddings for "
                f"{self._vocab_size}: give a folder whose tokenizer belongs to its weights"
            )


def _date_of_chat(date_format: str) -> str:
    """What ``strftime_now`` gives a chat template."""
    return CHAT_DATE.strftime(date_format)


def _leading_tokens(tokenizer: Any) -> list[int]:
    """What ``tokenizer`` puts before a text, such as the token for its beginning."""
    whole = list(tokenizer("a").input_ids)
    text = list(tokenizer("a", add_special_tokens=False).input_ids)
    starts = (start for start in range(len(whole)) if whole[start : start + len(text)] == text)
    return whole[: next(starts, 0)]
