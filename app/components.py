"""Our own components: small subclasses of ``gr.HTML`` with a script each, which nothing outside the machine serves."""

from pathlib import Path
from typing import Any

import gradio as gr

from app.plotly_file import PLOTLY_ADDRESS

_ASSETS = Path(__file__).parent.parent / "assets"


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


class _Drawn(gr.HTML):
    """What its script draws from an object."""

    def postprocess(self, value: Any) -> Any:
        """The object, as it is."""
        return value

    def api_info(self) -> dict[str, Any]:
        """An object as JSON."""
        return {"type": "object"}


class _Unseen(gr.HTML):
    """A script of the page; nothing of it is seen.

    Args:
        value: What the script reads.
        settings: As ``gr.HTML``.
    """

    _script: str

    def __init__(self, value: dict[str, Any], **settings: Any) -> None:
        super().__init__(
            value,
            html_template="",
            js_on_load=_asset(self._script),
            visible="hidden",
            apply_default_css=False,
            **settings,
        )


_CHART = '<div class="hcl-chart" hidden tabindex="0" role="application"></div><div class="hcl-chart-terms"></div>'


class LayerChart(_Drawn):
    """Shows a figure of ``figures``; updates in place, without flicker, with zoom kept and the theme's colours.

    A click, or an arrow key, chooses a layer (of a token lens: a cell) in every part of the same group, and the event
    ``choose`` brings ``layer`` (of a token lens also ``position``, the index of the token) to the server.

    Args:
        value: A figure.
        group: Parts of one group share the chosen layer.
        label: What the chart shows, for those who don't see it.
        settings: As ``gr.HTML``.
    """

    def __init__(
        self, value: dict[str, Any] | None = None, group: str = "", label: str | Any = "", **settings: Any
    ) -> None:
        super().__init__(
            value,
            label=label,
            html_template=_CHART,
            js_on_load=_asset("asking.js") + _asset("chart.js"),
            head=f'<script src="{PLOTLY_ADDRESS}"></script>',
            apply_default_css=False,
            group=group,
            **settings,
        )


class AnswerColumns(gr.HTML):
    """Shows ``views.answers``: follows a meaning through the layers, thins the columns, chooses a layer.

    The event ``choose`` brings ``layer`` to the server, and ``judge`` what ``JudgedAnswers`` says.

    Args:
        group: Parts of one group share the chosen layer.
        settings: As ``gr.HTML``.
    """

    def __init__(self, group: str = "", **settings: Any) -> None:
        super().__init__(
            js_on_load=_asset("asking.js") + _asset("verdicts.js") + _asset("answers.js"), group=group, **settings
        )


class JudgedAnswers(gr.HTML):
    """Shows HTML with buttons of ``views.verdicts``.

    The event ``judge`` brings what was pressed to the server, as ``handlers.verdicts.Press`` has it.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(js_on_load=_asset("verdicts.js"), **settings)


# Before anything is drawn: an address with ``present=1`` shows the sentence, the player and the curves alone.
_PRESENTING = """
document.documentElement.classList.toggle("hcl-presents", new URLSearchParams(location.search).get("present") === "1");
"""
# Scripts that components put into the page's head, where Gradio inserts them in the browser.
HEAD_SCRIPTS = (_PRESENTING,)


class DepthPlayer(_Drawn):
    """Shows ``views.depth.depth_player``: the most common answer of one layer, walked through by hand or by itself.

    The event ``choose`` brings ``layer`` to the server, once a walk or a hand has come to rest.

    Args:
        group: Parts of one group share the chosen layer.
        settings: As ``gr.HTML``.
    """

    def __init__(self, group: str = "", **settings: Any) -> None:
        super().__init__(
            None,
            html_template=_asset("depth.html"),
            js_on_load=_asset("asking.js") + _asset("depth.js"),
            # As a style sheet of the page's, it would lose the rules that begin above Gradio's own part of the page.
            head=f"<style>{_asset('depth.css')}</style><script>{_PRESENTING}</script>",
            apply_default_css=False,
            group=group,
            **settings,
        )


class QuestionList(gr.HTML):
    """Shows ``views.ask.question_list`` as the list of a combobox, whose field is the text box ``#question``.

    The event ``look`` brings the ``text`` to search for to the server, ``pick`` the ``id`` of a chosen question. The
    script also minds the tab's keys: ``/`` to ask, Enter to run, Escape to stop.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(js_on_load=_asset("asking.js") + _asset("ask.js"), apply_default_css=False, **settings)


class IdeaChips(gr.HTML):
    """Shows ``views.ask.idea_chips``; what is added or taken away is a line of the text box ``#accepted``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(js_on_load=_asset("ideas.js"), apply_default_css=False, **settings)


class SettingChips(gr.HTML):
    """Shows ``views.ask.setting_chips``; each opens the drawer ``#drawer``, which stays as the visitor left it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(js_on_load=_asset("drawer.js"), apply_default_css=False, **settings)


class LinkBox(gr.HTML):
    """Shows ``views.runs.link_box``: the whole address, and a button that copies it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(js_on_load=_asset("link.js"), **settings)


class Address(_Unseen):
    """Keeps the browser's address in step with the view.

    The event ``open`` brings ``query`` to the server where Back or Forward leads to another address; ``draw`` asks for
    the further curves of the address that was opened.

    Args:
        value: The form's controls and their parameters, as ``assets/address.js`` names them.
        settings: As ``gr.HTML``.
    """

    _script = "address.js"


class StaleMark(_Unseen):
    """Greys results that the form no longer asks for.

    Args:
        value: The form's controls, as ``assets/stale.js`` names them.
        settings: As ``gr.HTML``.
    """

    _script = "stale.js"


class ShareBox(gr.HTML):
    """Shows ``views.share``: saves charts as pictures, and copies texts."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(js_on_load=_asset("share.js"), **settings)


class LinkAndPrograms(gr.HTML):
    """Shows ``views.runs.link_box``, and below it programs of ``views.share.programs_box``."""

    def __init__(self, **settings: Any) -> None:
        # Each script with names of its own.
        scripts = "".join(f"(() => {{\n{_asset(name)}\n}})();\n" for name in ("link.js", "share.js"))
        super().__init__(js_on_load=scripts, **settings)


class Title(gr.HTML):
    """The program's name; its script minds the page's two switches, large type and dark colours.

    Args:
        tagline: What the program does.
        settings: As ``gr.HTML``.
    """

    def __init__(self, tagline: Any, **settings: Any) -> None:
        super().__init__(
            f"<h1>HCL Explorer</h1><span>{tagline}</span>",
            js_on_load=_asset("title.js"),
            apply_default_css=False,
            **settings,
        )


class Stepper(gr.HTML):
    """Shows ``views.learn.stepper``; the event ``choose`` brings ``step``, from 1, to the server.

    Args:
        value: Of the first step.
        settings: As ``gr.HTML``.
    """

    def __init__(self, value: str = "", **settings: Any) -> None:
        super().__init__(
            value,
            js_on_load=_asset("stepper.js"),
            # As a style sheet of the page's, it would lose the rules that begin above Gradio's own part of the page.
            head=f"<style>{_asset('learn.css')}</style>",
            apply_default_css=False,
            **settings,
        )


class FormulaSwitch(gr.HTML):
    """A button that shows the walkthrough's formulas; they are hidden until somebody wants them.

    Args:
        label: What the button is called.
        settings: As ``gr.HTML``.
    """

    def __init__(self, label: Any, **settings: Any) -> None:
        super().__init__(
            f'<button type="button" aria-pressed="false">{label}</button>',
            js_on_load=_asset("formulas.js"),
            apply_default_css=False,
            **settings,
        )


class Glossary(gr.HTML):
    """Says what a marked word means, and leads into Learn and back.

    Args:
        value: The word ``terms`` of ``language.labels``.
        settings: As ``gr.HTML``.
    """

    def __init__(self, value: Any, **settings: Any) -> None:
        super().__init__(
            value,
            html_template=_asset("glossary.html"),
            js_on_load=_asset("glossary.js"),
            head=f"<style>{_asset('glossary.css')}</style>",
            apply_default_css=False,
            **settings,
        )

    def wire(self, tabs: gr.Tabs, walk: gr.Walkthrough) -> None:
        """The step of Learn about a term, and the tab that it was opened from; the browser alone turns to them."""
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        self.learn(None, None, [tabs, walk], js=_TO_LEARN, **quiet)
        self.back(None, None, tabs, js=_FROM_LEARN, **quiet)


_TO_LEARN = """() => {
  const step = Number(document.querySelector(".hcl-term-box").dataset.step);
  return [{ selected: "learn", __type__: "update" }, { selected: step, __type__: "update" }];
}"""
_FROM_LEARN = """() => ({ selected: document.querySelector(".hcl-term-box").dataset.tab, __type__: "update" })"""
