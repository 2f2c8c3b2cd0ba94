"""Refusals: answers that say that they have none, in many languages, and what may follow them."""

import re

from hcl_core.words import fold

REFUSED = "a refusal"
_REFUSAL_REACH = 80  # letters
_REFUSAL = re.compile(
    r"""
    ^(?:(?:i\ am\ |im\ )?sorry\ |unfortunately\ |i\ apologi[sz]e\ )?(?:but\ )?
    (?:
        i\ (?:do\ not|dont|cannot|cant|could\ not|couldnt|am\ not\ able\ to)\ (?:currently\ )?
        (?:know|say|tell|answer|determine|provide|find|have)       # I cannot say
      | (?:i\ am|im)\ (?:not\ sure|unable|sorry)                   # I'm not sure
      | i\ have\ no\ idea | no\ idea | no\ answer | not\ sure
      | unknown | unsure | n\ a                                    # N/A
      | as\ an\ (?:ai|artificial\ intelligence)
      | (?:it\ )?(?:cannot|can\ not)\ be\ determined | cannot\ answer | unable\ to
    )\b
    """,
    re.VERBOSE,
)
# The same in other languages; some are written without spaces.
_REFUSAL_ELSEWHERE = re.compile(
    r"""
    \s*(?:
        (?:leider\ |(?:es\ )?tut\ mir\ leid,?\ )?(?:
            (?:ich\ )?(?:weiss|kenne)\ (?:es\ |das\ |die\ antwort\ )?(?:leider\ )?nicht
          | (?:das|dies)\ (?:weiss|kann)\ ich\ (?:leider\ )?nicht
          | ich\ kann\ (?:es\ |das\ |(?:die|diese)\ frage\ )?(?:leider\ )?nicht
          | (?:ich\ habe\ )?keine\ ahnung | keine\ antwort | unbekannt | ich\ bin\ (?:mir\ )?nicht\ sicher
        )
      | je\ ne\ sais\ pas | aucune\ idee | no\ (?:lo\ )?se | non\ (?:lo\ )?so | nao\ sei | ik\ weet\ het\ niet
      | (?:я\ )?не\ знаю | δεν\ (?:ξερω|γνωριζω) | לא\ יודע | لا\ (?:اعرف|اعلم|ادري)
    )(?!\w)
  | \s*(?:
        我?(?:不知道|不清楚|不确定|无法回答)
      | (?:わか|分か)り(?:ません|かねます) | (?:わか|分か)らない | 知り?ません | 知らない
      | (?:잘\ )?모르겠 | 모릅니다 | 몰라
      | (?:ผม|ฉัน)?ไม่(?:ทราบ|รู้)
      | (?:मुझे\ )?नहीं\ पता | पता\ नहीं
    )
    """,
    re.VERBOSE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
# After a search that found nothing, only this is an answer; "However, there was another" tells of something else.
_TURNS_AWAY = re.compile(r"[.!?]\s+However\b", re.IGNORECASE)
_GOES_ON = re.compile(
    r"""
    \b(?:however|but|nevertheless|that\ said),?\s+
    (?:
        as\ of | based\ on | according\ to | up\ to | at\ the\ time | in\ \d{4}   # "However, as of 2021, ..."
      | i\ can\ (?:tell|say)
      | (?:my|the)\ (?:last|latest|most|current)                                  # "However, the latest ..."
    )\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_IS_DISCLAIMER = re.compile(
    r"""
    \bas\ an\ (?:ai|artificial\ intelligence)\b
  | \b(?:do\ not|don['’]t)\ (?:currently\ )?have\b              # "I don't have current data."
  | \b(?:real[- ]time|up[- ]to[- ]date|future)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def is_refusal(text: str) -> bool:
    """Whether ``text`` begins as a refusal does: "I don't know"; it may still go on to answer."""
    beginning = fold(text[:_REFUSAL_REACH])
    return bool(_REFUSAL.match(" ".join(re.findall(r"\w+", beginning))) or _REFUSAL_ELSEWHERE.match(beginning))


def answer_after_refusal(text: str) -> str:
    """What follows a refusal and answers all the same; empty where nothing does.

    A disclaimer ("As an AI, I have no current data.") says nothing of what follows; after a search that found nothing
    the answer must say that it is one ("However, as of 2021, ...").
    """
    if goes_on := _GOES_ON.search(text):
        return text[goes_on.start() :]
    parts = _SENTENCE_END.split(text, maxsplit=1)
    return parts[1] if len(parts) > 1 and _IS_DISCLAIMER.search(parts[0]) else ""


def refusal_itself(text: str) -> str:
    """A refusal without a sentence that turns to something else."""
    return _TURNS_AWAY.split(text, maxsplit=1)[0]
