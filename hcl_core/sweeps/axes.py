"""Where a cell stands in the grid of a sweep: what its plan, its folder and its results have in common."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class CellAxes:
    """Where a cell stands in the grid.

    Attributes:
        model: Of the run.
        exit_head: As it was asked for.
        questions: Name and number of the questions.
        temperature: Of sampling.
        seed: Of the noise.
        strategy: How the exit layers are used.
    """

    model: str
    exit_head: str
    questions: str
    temperature: float
    seed: int
    strategy: str

    def by_axis(self) -> dict[str, Any]:
        """The six values by the names of their axes."""
        return {axis.name: getattr(self, axis.name) for axis in fields(CellAxes)}
