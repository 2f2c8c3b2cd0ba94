"""What the texts of single tokens have, read once a token of a vocabulary."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class TokenTexts:
    """The texts of a vocabulary's tokens, as far as the end of an answer depends on them.

    Args:
        detokenize: Text of token ids, special tokens left out.
    """

    def __init__(self, detokenize: Callable[[list[int]], str]) -> None:
        self.detokenize = detokenize
        self._is_read = np.zeros(0, dtype=bool)  # by token
        self._traits = np.zeros((3, 0), dtype=bool)

    def traits(self, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of ``tokens [n]`` has text, a line break, and a line break after text of its own: ``[3, n]``.

        White space is no text.
        """
        if (missing := int(tokens.max(initial=-1)) + 1 - len(self._is_read)) > 0:
            missing = max(missing, len(self._is_read))
            self._is_read = np.pad(self._is_read, (0, missing))
            self._traits = np.pad(self._traits, ((0, 0), (0, missing)))
        for token in np.unique(tokens[~self._is_read[tokens]]).tolist():
            text = self.detokenize([token])
            rest = text.lstrip()
            self._traits[:, token] = bool(rest), "\n" in text, "\n" in rest
            self._is_read[token] = True
        return self._traits[:, tokens]
