"""The records of ``app.handlers`` as parts of the page, by their names on the tab; a file a tab.

What a function leaves out stays on the page as it is. Texts and charts are made by ``app.views`` and ``app.figures``.
"""

from typing import Any

Parts = dict[str, Any]
