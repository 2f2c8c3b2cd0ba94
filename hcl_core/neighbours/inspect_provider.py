"""A model provider of Inspect (UK AI Security Institute): ``--model hcl/NAME``, found by the package's entry point.

Inspect asks for many texts at once, each in a task of its own; a scheduler decodes them together.
"""

from functools import partial
from typing import Any

import anyio.to_thread
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from hcl_core import registry
from hcl_core.errors import SettingsError
from hcl_core.neighbours.layer_model import LayerModel, refuse_unknown
from hcl_core.ports import DecodeRequest
from hcl_core.records import Question, Sample, SamplingSettings, StoredQuestion

ARGUMENTS = "exit_layer, exit_head, dtype, device, model_path"
_DEFAULT_MAX_NEW_TOKENS = 256
# What this provider does with a request; another setting that was made would be ignored, so it is refused.
_OF_SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop_seqs")
# Of Inspect itself, which it obeys before it asks a provider.
_OF_INSPECT = (
    "max_retries", "timeout", "attempt_timeout", "stream_idle_timeout", "max_connections", "adaptive_connections",
    "system_message", "cache", "max_tool_output",
)  # fmt: skip


class HclAPI(ModelAPI):  # type: ignore[misc]
    """A model that stops after one of its layers.

    Args:
        model_name: A catalogue name or Hub id.
        base_url: Not used.
        api_key: Not used.
        config: Settings for every request.
        exit_layer: From 1; ``None``: the last layer.
        exit_head: ``"auto"``, ``"shared"``, ``"linear"`` or a head's file.
        dtype: As ``registry.load_model`` takes it.
        device: Likewise.
        model_path: A local folder, in place of ``model_name``.
        unknown: Refused.

    Raises:
        SettingsError: An argument is unknown or wrong, or the model has no chat template.
        HclError: The model cannot be loaded.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        exit_layer: int | None = None,
        exit_head: str = "auto",
        dtype: str = "auto",
        device: str = "auto",
        model_path: str | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        refuse_unknown(unknown, ARGUMENTS)
        self.layer_model = LayerModel.load(model_path or model_name, exit_layer, exit_head, dtype, device)
        self._lm = self.layer_model.parts.lm
        if not self._lm.has_chat_template:
            raise SettingsError(f"Inspect sends conversations, and {self._lm.name} has no chat template")
        self._scheduler = registry.Scheduler(registry.Turn())

    def max_tokens(self) -> int | None:
        """Longest answer where nobody says."""
        return _DEFAULT_MAX_NEW_TOKENS

    def max_connections(self) -> int:
        """Requests at once: those that are decoded together."""
        return 32

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """The layer's next message.

        Raises:
            SettingsError: There are tools, or a setting that this provider does not know.
            HclError: The conversation is too long, or cannot be computed.
        """
        if tools:
            raise SettingsError("a model at an exit layer calls no tools")
        made = config.model_dump(exclude_none=True)
        refuse_unknown(
            {name: value for name, value in made.items() if name not in (*_OF_SAMPLING, *_OF_INSPECT)},
            ", ".join(_OF_SAMPLING),
        )
        settings = SamplingSettings(
            temperature=made.get("temperature", 1.0),
            top_p=made.get("top_p", 1.0),
            top_k=made.get("top_k", 0),
            max_new_tokens=made.get("max_tokens", _DEFAULT_MAX_NEW_TOKENS),
            seed=made.get("seed", 0),
        )
        prompt = self._prompt(input)
        write = partial(self._write, prompt, settings, made.get("stop_seqs", []))
        sample, num_prompt_tokens = await anyio.to_thread.run_sync(write)
        num_tokens = len(sample.completion_token_ids)
        message = ChatMessageAssistant(content=sample.answer, model=self.model_name, source="generate")
        return ModelOutput(
            model=self.model_name,
            choices=[
                ChatCompletionChoice(
                    message=message, stop_reason="stop" if sample.finish_reason == "stop" else "max_tokens"
                )
            ],
            usage=ModelUsage(
                input_tokens=num_prompt_tokens, output_tokens=num_tokens, total_tokens=num_prompt_tokens + num_tokens
            ),
            metadata={"exit_layer": self.layer_model.exit_layer, "exit_head": self.layer_model.parts.exit_head.name},
        )

    def _prompt(self, messages: list[ChatMessage]) -> str:
        """The conversation in the model's chat format; raises ``SettingsError`` for what is no text."""
        for message in messages:
            if not isinstance(message.content, str) and any(part.type != "text" for part in message.content):
                raise SettingsError("a model at an exit layer reads text alone")
        turns = [{"role": message.role, "content": message.text} for message in messages]
        return str(self._lm.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def _write(self, prompt: str, settings: SamplingSettings, stops: list[str]) -> tuple[Sample, int]:
        """The answer, and the prompt's tokens; noise belongs to the prompt and the seed."""
        decoder = self.layer_model.decoder(stops, is_chat=True)
        stored = StoredQuestion(Question(f"text {prompt}", prompt, ()), prompt)
        request = DecodeRequest(stored, settings, [[(self.layer_model.exit_layer, 0)]])
        steps = self._scheduler.decode_many(decoder, [request])
        (sample,) = (sample for _, progress in steps for sample in progress.finished)
        return sample, len(decoder.tokenize_checked(stored, settings))


@modelapi(name="hcl")  # type: ignore[untyped-decorator]
def hcl() -> type[ModelAPI]:
    """The provider, as Inspect asks for it."""
    return HclAPI
