"""Sessions of the page without a copy of its configuration, which Gradio makes for each visitor and each update.

That copy serves deep links alone, which this page does not have (``app.closed_routes``). It costs 0.2 s of a processor
when a page opens, and keeps the last value of each component in memory for as long as the session.
"""

from types import SimpleNamespace

import gradio as gr
from gradio import state_holder


class LightSession(state_holder.SessionState):  # type: ignore[misc]
    """As Gradio's, but for the copy.

    Args:
        blocks: The page.
    """

    def __init__(self, blocks: gr.Blocks) -> None:
        # Gradio copies the configuration of each component that the page has: of none.
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))
        self.blocks_config.config_for_block = lambda *_: {}


def keep_sessions_light() -> None:
    """Make every later session of this process a light one."""
    state_holder.SessionState = LightSession
