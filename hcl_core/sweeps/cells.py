"""The cells of a sweep, a run each."""

from dataclasses import asdict, dataclass

from hcl_core import registry
from hcl_core.models.footprint import footprint
from hcl_core.pipeline.request import RunRequest
from hcl_core.strict_json import short_hash
from hcl_core.sweeps.axes import CellAxes


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a sweep.

    Attributes:
        request: What is run.
        dtype: Number format of the weights, as ``load_model`` takes it.
        exit_layers: Of the run.
    """

    request: RunRequest
    dtype: str
    exit_layers: tuple[int, ...]

    @property
    def axes(self) -> CellAxes:
        """Where the cell stands in the grid."""
        request = self.request
        return CellAxes(
            model=request.model,
            exit_head=request.exit_head,
            questions=f"{request.question_set} ({len(request.questions)})",
            temperature=request.sampling.temperature,
            seed=request.sampling.seed,
            strategy=str(request.strategy),
        )

    @property
    def key(self) -> str:
        """16 hexadecimal digits of everything that is asked for: equal in all sweeps that have this cell."""
        request = self.request
        asked = (
            self.axes.by_axis()
            | asdict(request.sampling)
            | {
                "dtype": self.dtype,
                "layers": self.exit_layers,
                "samples": request.num_samples,
                "template": request.template.text,
                "judge": request.judge,
                "ideas": request.ideas,
                "asked": [(each.id, each.text, each.answers) for each in request.questions],
            }
        )
        return short_hash(asked)


@dataclass(frozen=True, slots=True)
class Plan:
    """The cells of a sweep, those of a model one after another: each model is loaded once."""

    cells: tuple[Cell, ...]


def memory_of(cell: Cell, device: str, on_cpu: bool) -> int:
    """Bytes that the model of a cell and one answer take.

    Args:
        cell: The cell.
        device: As ``load_replicas`` takes it.
        on_cpu: Whether that is a CPU.
    """
    return footprint(
        registry.model_shape(cell.request.model),
        registry.weight_format(cell.dtype, device),
        on_cpu=on_cpu,
        has_linear_head=cell.request.exit_head != "shared",
        max_new_tokens=cell.request.sampling.max_new_tokens,
        exit_layer=max(cell.exit_layers),
    ).minimum
