"""An accepted answer with less around it: without brackets, remarks and leading words, its alternatives one by one."""

import re
from collections.abc import Iterator

from hcl_core.text import one_line

# "J. R. R."
INITIALS = re.compile(r"\b(?:[A-Z]\.\s?)+")
_BRACKETED = re.compile(r"[(\[][^()\[\]]*[)\]]")
_ALSO = re.compile(r"[(\[](?:accept|also|or|a\.?k\.?a\.?|formerly|now)\b[ :]*([^()\[\]]+)[)\]]", re.IGNORECASE)
_ALTERNATIVES = re.compile(
    r"""
    \bor\b                    # "Hokey Cokey or Cokey Cokey"
  | ;
  | \ba\.?k\.?a\.?(?=\s)      # "X a.k.a. Y"
  | \balso\ known\ as\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
LIST = re.compile(
    r"""
    ,(?:\s(?:and|&)\s)?       # "A, B", "A, and B"
  | \band\b
  | &
  | ;
    """,
    re.IGNORECASE | re.VERBOSE,
)
# What follows is a remark.
_REMARK = re.compile(
    r"""
    ,\s+(?:
        who|which|that|where|when|whose                            # "X, who was Y"
      | as|in|at|on|by|from|for|near|of|with                       # "X, in Y"
      | after|before|because|then|during|born|including|not
      | daughter|son|brother|sister|wife|husband                   # "X, wife of Y"
      | (?:the|an?)(?=\s[a-z])                                     # "X, the singer"
    )\b
  | \s[-\u2013\u2014]\s                                            # "X - the singer"
  | (?<=[a-z]{4})\.\s+(?=[A-Z])                                    # "Mississippi. He took the name later"
  | \s(?:in|at|near|on)\s(?=[^,]+,[^,]+$)                          # "a park in Augusta, Georgia"
    """,
    re.VERBOSE,
)
_LEADING = re.compile(
    r"""
    ^(?:
        (?:it|they|he|she|this|that)\s+(?:is|was|are|were|has|had)\s+       # "It was Rome"
      | (?:
            in|on|at|to|by|from|for|of|with|into|as|inside|under|near|over  # "In Rome"
          | about|approximately|around|because(?:\ of)?                     # "around 1800"
        )\s+(?!\()
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
# A name after what it is the name of: "inventor Alexander Graham Bell".
_NAME_AT_END = re.compile(
    r"""
    (?:^|\s)
    (?!and\b|or\b|like\b|the\b|of\b|for\b|with\b|from\b|[a-z]{1,2}\b)
    [a-z]+\s+                       # inventor
    ((?:[A-Z][\w'’.-]*\s*)+)$       # Alexander Graham Bell
    """,
    re.VERBOSE,
)
_CAPITALISED = re.compile(r"^[^\W\d_a-zß-öø-ÿ][\w'’.-]*$")


def versions(alias: str) -> Iterator[tuple[str, str]]:
    """``alias`` and its texts with less around them, each with the rule that made it; no text twice."""
    bare = one_line(_BRACKETED.sub(" ", alias))
    head = _REMARK.split(bare, maxsplit=1)[0]
    versions = [("without brackets", bare), ("without the remark", head)]
    versions += [("an alternative", inner) for inner in _ALSO.findall(alias)]
    versions += [("without leading words", _LEADING.sub("", text)) for _, text in versions]
    versions += [("the name alone", match[1]) for _, text in versions if (match := _NAME_AT_END.search(text))]
    for _, text in list(versions):
        if len(parts := _ALTERNATIVES.split(text)) > 1:
            versions += [("an alternative", part) for part in parts]
    seen = set()
    for rule, text in versions:
        if text not in seen:
            seen.add(text)
            yield rule, text


def is_name(text: str, words: tuple[str, ...]) -> bool:
    """Whether ``text`` could be a person's name: two to five capitalised words and nothing else."""
    raw = INITIALS.sub("I ", text.replace(",", " ")).split()
    return 2 <= len(raw) <= 5 and len(raw) == len(words) and all(_CAPITALISED.match(word) for word in raw)
