"""Results of tools for agents as JSON."""

import json
from typing import Any

import gradio as gr


def give_json(page: gr.Blocks) -> None:
    """Let a launched page that offers its endpoints as tools answer agents in JSON.

    Gradio writes a result as the text of a Python object, with ``None`` and single quotes, and has no setting for that.
    """
    server = page.mcp_server_obj
    if server is None:
        return
    types = server.types

    def as_json(data: Any, _: str) -> list[Any]:
        return [types.TextContent(type="text", text=json.dumps(each, ensure_ascii=False)) for each in data]

    server.postprocess_output_data = as_json
