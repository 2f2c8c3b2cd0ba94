"""Sessions of the page: of short names, and without the copy of its configuration that Gradio makes for each visitor.

That copy serves deep links alone, which this page does not have (``app.closed_routes``). It costs 0.2 s of a processor
when a page opens, and keeps the last value of each component in memory for as long as the session. A session is called
what its browser says, and Gradio keeps the names of ten thousand.
"""

from types import SimpleNamespace

import gradio as gr
from gradio import routes, state_holder
from starlette.exceptions import HTTPException

# Of a session's name; Gradio's browsers have 11.
_MOST_LETTERS = 100


class LightSession(state_holder.SessionState):  # type: ignore[misc]
    """As Gradio's, but for the copy.

    Args:
        blocks: The page.
    """

    def __init__(self, blocks: gr.Blocks) -> None:
        # Gradio copies the configuration of each component that the page has: of none.
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))
        self.blocks_config.config_for_block = lambda *_: {}


class NamedSessions(state_holder.StateHolder):  # type: ignore[misc]
    """As Gradio's, but for long names."""

    def __getitem__(self, session_id: str) -> state_holder.SessionState:
        """The session of that name, a new one where there is none; raises ``HTTPException`` for a long name."""
        if len(session_id) > _MOST_LETTERS:
            raise HTTPException(400, f"A session_hash has at most {_MOST_LETTERS} letters; got {len(session_id):,}.")
        return super().__getitem__(session_id)


def keep_sessions_light() -> None:
    """Make every later session of this process a light one, of a short name."""
    state_holder.SessionState = LightSession
    routes.StateHolder = NamedSessions  # of which a page gets one when it is launched
