"""Where the answer stands in what a model wrote, by a rule whose name and version the run's manifest has.

A prompt that is continued line by line has its answer in the first line. A chat model writes whole messages: it may
think first, greet, repeat the question and write a heading. Its answer is the first line after these.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hcl_core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """How an answer ends and where it stands.

    Attributes:
        name: With its version, as the manifest has it.
        ends_at_line_break: Whether a line break after some text ends the answer; else only an end token does.
        answer_in: The answer in a completion; may be empty.
        stops: Texts that end the answer too, wherever they stand in it.
    """

    name: str
    ends_at_line_break: bool
    answer_in: Callable[[str], str]
    stops: tuple[str, ...] = ()


_TAGS = r"(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis)"
_OPENED = rf"<{_TAGS}>|\[THINK\]|<\|(?:begin_of_thought|START_THINKING)\|>|◁think▷"
_CLOSED = rf"</{_TAGS}>|\[/THINK\]|<\|(?:end_of_thought|END_THINKING)\|>|◁/think▷"
_OPENING, _CLOSING = (re.compile(tags, re.IGNORECASE) for tags in (_OPENED, _CLOSED))
_OPENING_AT_END = re.compile(rf"(?:{_OPENED})\s*\Z", re.IGNORECASE)
# Channels as in OpenAI's Harmony format; without its special tokens only their names are left.
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>|(?:\A|(?<=assistant))(analysis|commentary|final)(?=[A-Z\d])"
)
_CONTROL = re.compile(r"<\|[a-z_]+\|>|</?(?:answer|final_answer|response|output)>", re.IGNORECASE)

_MARKS = r"[\s*_#>`~=|-]*"
_FENCE = re.compile(r"(?:```|~~~)[\w+-]*")
_HEADING = re.compile(r"#{1,6}\s+\S")
# Lines of the answer's form alone: what is asked for follows.
_LABEL = (
    r"(?:(?:the|my|your|short|final|correct|direct|die|meine|la|el)\s+)*"
    r"(?:answer|response|result|solution|conclusion|output|antwort|lösung|ergebnis|réponse|respuesta|risposta|ответ"
    r"|答案|回答|答え|정답|답)(?:\s+(?:is|to\s+(?:the|your)\s+question(?:\s+is)?|lautet|ist|est|es))?"
)
_ONLY_LABEL = re.compile(rf"{_MARKS}{_LABEL}{_MARKS}[:：]?{_MARKS}", re.IGNORECASE)
_LEADING_LABEL = re.compile(
    rf"(?:[*_#\s]*)(?:(?:{_LABEL})[*_\s]*[:：][*_]*|(?:a)\s*[:：])\s*(?=[^\s*_])", re.IGNORECASE
)
_POLITE = (
    r"(?:sure(?:\s+thing)?|of\s+course|certainly|absolutely|definitely|okay|ok|alright|gladly"
    r"|(?:that['’]s\s+an?\s+)?(?:great|good|excellent|interesting)\s+question|no\s+problem"
    r"|(?:i['’]d|i\s+would)\s+be\s+(?:happy|glad)\s+to\s+(?:help|answer)[^.!:]*|i\s+can\s+help(?:\s+you)?\s+with\s+that"
    r"|thank\s+you[^.!:]*|thanks[^.!:]*|let['’]s\s+see|let\s+me\s+(?:think|see)[^.!:]*|here\s+you\s+go"
    r"|natürlich|klar|gerne?|selbstverständlich|sicher|gute\s+frage|bien\s+sûr|d['’]accord|claro(?:\s+que\s+sí)?"
    r"|por\s+supuesto|certo|конечно|当然(?:可以)?|好的|もちろんです?|물론입니다|물론이죠)"
)
# "Hello, Dolly!" is no greeting.
_POLITE_PART = re.compile(
    rf"(?:{_POLITE}\s*(?:[!.,…！。，、]+|[-–—](?=\s))|(?:hello|hi|hallo|great)(?:\s+there)?[!.])\s*", re.IGNORECASE
)
_INTRODUCTION = re.compile(
    r"(?:so,?\s+)?(?:here(?:\s+is|\s+are|['’]s)|hier\s+(?:ist|sind)|voici|aquí\s+(?:está|tienes))\b[^:：]*[:：]\s*",
    re.IGNORECASE,
)
_ASKS = re.compile(rf"{_MARKS}(?:question|q|frage|pregunta|问题)\s*[:：]", re.IGNORECASE)
_ITEM = re.compile(r"(?:(\d{1,2})[.)]|[*•‣–-])\s+(?=\S)")


def first_line(text: str) -> str:
    """The first line of ``text`` that is not empty, stripped."""
    return next((line.strip() for line in text.split("\n") if line.strip()), "")


def answer_after_preamble(text: str) -> str:
    """The first line of a chat model's message that answers; empty where the message is thought alone.

    Thinking, fences, headings, labels, the question and courtesies before the answer are no part of it, nor is the
    number of a list's first item. Where nothing else is there, the first line is the answer.
    """
    lines = [line for line in _lines(without_thinking(text)) if not _FENCE.fullmatch(line)]
    for index, line in enumerate(lines):
        rest, following = _without_preamble(line), lines[index + 1 :]
        if rest and not (following and _announces(rest)):
            return _without_item(rest, following)
    return lines[0] if lines else ""


def answer_after_thinking(text: str) -> str:
    """The same where the prompt ends within a thought, which the message goes on with."""
    return answer_after_preamble(without_thinking(text)) if _CLOSING.search(text) else ""


def without_thinking(text: str) -> str:
    """``text`` without the thoughts that tags or channels mark; of a thought that is not closed, all of it."""
    if channels := list(_CHANNEL.finditer(text)):
        last = channels[-1]
        text = text[last.end() :] if "final" in (last[1], last[2]) else text[: channels[0].start()]
    if closings := list(_CLOSING.finditer(text)):
        before, after = text[: closings[-1].start()], text[closings[-1].end() :]
        opening = _OPENING.search(before)
        # "Paris <think>...</think>": what stands before a thought counts where nothing follows it.
        text = after if after.strip() or opening is None else before[: opening.start()]
    if (opening := _OPENING.search(text)) is not None:
        text = text[: opening.start()]
    return text


def _lines(text: str) -> Iterator[str]:
    return (line.strip() for line in _CONTROL.sub("\n", text).splitlines() if line.strip())


def _without_preamble(line: str) -> str:
    """``line`` without courtesies, an introduction and a label at its beginning; empty where that is all of it."""
    if _ONLY_LABEL.fullmatch(line) or not line.strip("*_-=~ "):
        return ""
    rest = line
    while match := _POLITE_PART.match(f"{rest}.") or _INTRODUCTION.match(rest):
        rest = rest[match.end() :]
    if (label := _LEADING_LABEL.match(rest)) is not None:
        opened = label.group().lstrip("# \t")
        rest = rest[label.end() :]
        # "**Answer: Paris**": the mark that the label opened is closed behind the answer.
        mark = opened[: len(opened) - len(opened.lstrip("*_"))]
        if mark and opened.count(mark) == 1 and rest.endswith(mark):
            rest = rest[: -len(mark)]
    return rest.strip()


def _announces(line: str) -> bool:
    """Whether ``line`` only says what the next one will: a heading, the question, or words before a colon."""
    return bool(_HEADING.match(line) or _ASKS.match(line) or line.rstrip("*_ ").endswith((":", "：")))


def _without_item(line: str, following: list[str]) -> str:
    """``line`` without the mark of a list's item; ``3. Oktober`` has none unless item 4 follows."""
    if (item := _ITEM.match(line)) is None:
        return line
    is_list = item[1] is None or (int(item[1]) == 1 and bool(following) and following[0].startswith("2"))
    return line[item.end() :] if is_list else line


FIRST_LINE = AnswerRule("first line 1", True, first_line)
AFTER_PREAMBLE = AnswerRule("after preamble 1", False, answer_after_preamble)
AFTER_THINKING = AnswerRule("after thinking and preamble 1", False, answer_after_thinking)
_RULES = {rule.name: rule for rule in (FIRST_LINE, AFTER_PREAMBLE, AFTER_THINKING)}


def find_answer_rule(name: str) -> AnswerRule:
    """The rule called ``name``; raises ``SettingsError`` if there is none."""
    if name not in _RULES:
        raise SettingsError(f"answer_rule must be one of {', '.join(_RULES)}; got {name[:80]!r}")
    return _RULES[name]


def until(stops: Iterable[str]) -> AnswerRule:
    """The rule of a plain continuation: all of it, up to the first of the texts ``stops``; empty ones do not count.

    No run has it: its name is not known to ``find_answer_rule``.
    """
    texts = tuple(stop for stop in stops if stop)

    def answer_in(text: str) -> str:
        return text[: min((text.find(stop) for stop in texts if stop in text), default=len(text))]

    return AnswerRule("until", False, answer_in, texts)


def chat_rule(prompt: str) -> AnswerRule:
    """The rule for a model's message after ``prompt``, which may end within a thought."""
    return AFTER_THINKING if _OPENING_AT_END.search(prompt) else AFTER_PREAMBLE
