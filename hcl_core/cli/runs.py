"""Commands on run folders, which need no language model: score, show, compare."""

import difflib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from hcl_core import registry
from hcl_core.api.comparing import compare_judged
from hcl_core.api.judging import Judged, judged
from hcl_core.cli.as_json import comparison_as_json, difference_as_json, scores_as_json
from hcl_core.cli.judges import IDEAS_HELP, JUDGE_HELP
from hcl_core.cli.measures import MEASURES_HELP, measure_columns, parse_measures
from hcl_core.cli.tables import (
    answer_line,
    print_comparison,
    print_layer_comparison,
    print_measures,
    print_scores,
    unreadable_note,
)
from hcl_core.cli.terminal import app, loading, stderr, stdout
from hcl_core.errors import SettingsError
from hcl_core.ideas.names import listed_ideas
from hcl_core.numerals import read_decimal, read_whole
from hcl_core.pipeline.scorer import Scorer
from hcl_core.ports import AnswerLikelihood
from hcl_core.records import DEFAULT_SCALING, Question, Weights, check_scaling
from hcl_core.runs import answers
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.comparison import compare_layers
from hcl_core.scores.measures import reliability
from hcl_core.settings.presets import scaling_of
from hcl_core.strict_json import finite
from hcl_core.text import counted, printable

SCALING_HELP = (
    "Of creativity: possible (ideas over those possible), min_max (over the run's layers, as the paper has it) or "
    "absolute (ideas over answers)."
)


@app.command()
def score(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    weights: Annotated[str, typer.Option(help="creativity,accuracy; they sum to 1.")] = "0.5,0.5",
    scaling: Annotated[
        str | None, typer.Option(help=f"{SCALING_HELP} Default: possible; min_max for a run of --preset paper.")
    ] = None,
    measures: Annotated[str | None, typer.Option(help=MEASURES_HELP)] = None,
    model: Annotated[
        str | None, typer.Option(help="Where the run's model is now, for plausibility; default: as the run names it.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help=f"Judge anew, and keep these verdicts as a view of their own: {JUDGE_HELP} Default: the run's."
        ),
    ] = None,
    ideas: Annotated[
        str | None,
        typer.Option(
            help=f"Tell ideas apart anew, and keep that as a view of its own: {IDEAS_HELP} Default: the run's."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a run folder; needs no language model, but for a plausibility that is not stored."""
    parsed, names = _weights(weights), parse_measures(measures)
    checked = None if scaling is None else check_scaling(scaling)
    run = _judged(RunFolder(run_dir), judge, ideas)
    folder, manifest, table = run.folder, run.manifest, run.table
    checked = checked or scaling_of(manifest.preset)
    columns = measure_columns(folder, manifest, table, names, lambda: _load_model(manifest, model))
    if as_json:
        result = scores_as_json(manifest, table, parsed, checked)
        for index, layer in enumerate(result["layers"]):
            layer |= {name: finite(values[index]) for name, values in columns.items()}
            if "calibration_error" in columns:
                layer["reliability"] = [
                    {name: finite(value) for name, value in asdict(part).items()} for part in reliability(table, index)
                ]
        print(json.dumps(result, indent=1))
    else:
        print_scores(manifest, table, parsed, checked)
        if columns:
            print_measures(table.exit_layers, columns)


@app.command()
def show(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    question: Annotated[str | None, typer.Option(help="Id of one question; default the first ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show the answers to so many questions.")] = 3,
) -> None:
    """Print a run's scores and every layer's answers with their counts."""
    folder = RunFolder(run_dir)
    folder.manifest()  # whether it holds a run at all
    by_id = {stored.question.id: stored.question for stored in folder.questions()}
    if question is not None and question not in by_id:
        raise SettingsError(_no_question(question, list(by_id)))
    run = _judged(folder)
    folder, manifest = run.folder, run.manifest
    print_scores(manifest, run.table, Weights(), scaling_of(manifest.preset))
    chosen = list(by_id) if question is None else [question]
    for question_id in chosen[:limit]:
        stdout.print()
        stdout.print(Text(printable(by_id[question_id].text), style="bold"))
        layers = _grouped_answers(folder, manifest, by_id[question_id], run.scorer)
        for layer_answers in layers:
            stdout.print(answer_line(layer_answers))
        if count := answers.num_unreadable(layers):
            stdout.print(unreadable_note(count), highlight=False)
    if len(chosen) > limit:
        more = counted(len(chosen) - limit, "more question")
        stdout.print(f"\n{more}: --limit N, or --question ID for one.", highlight=False)


def _grouped_answers(
    folder: RunFolder, manifest: Manifest, question: Question, scorer: Scorer | None
) -> list[answers.LayerAnswers]:
    """The answers to one question; with the verdicts of ``scorer`` where they were made now, and may not be stored."""
    if scorer is None:
        return answers.group_answers(folder, question.id)
    scored = scorer.question(question.id, folder)
    listed = listed_ideas(manifest.ideas, question)
    return answers.count_answers(list(scored.samples), scored.verdicts, scored.clusters, listed)


def _no_question(question_id: str, known: list[str]) -> str:
    """That a run has no such question, and which ids are the nearest."""
    near = difflib.get_close_matches(question_id, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known[:3])}"
    more = f" and {len(known) - 3:,} more" if not near and len(known) > 3 else ""
    return f"this run has no question {question_id[:80]!r}: {hint}{more}"


def _load_model(manifest: Manifest, model: str | None) -> AnswerLikelihood:
    with stderr.status(loading(model or manifest.settings.model)):
        return registry.load_whole_model(manifest.settings, model)


def _weights(text: str) -> Weights:
    try:
        creativity, accuracy = map(read_decimal, text.split(","))
    except ValueError:
        raise SettingsError(
            f"weights must be two numbers, creativity,accuracy, such as 0.5,0.5; got {text!r}"
        ) from None
    return Weights(creativity, accuracy)


def _judged(folder: RunFolder, judge: str | None = None, ideas: str | None = None) -> Judged:
    """The run with its verdicts, as ``api.judging.judged`` has it; where they are in another folder, says so."""
    run = judged(folder, judge, ideas, stderr.status("Judging"))
    if run.folder.path != folder.path:
        told = f"These verdicts are a view of their own, in {run.folder.path}; {folder.path} stays as it is."
        stderr.print(Text(printable(told)), soft_wrap=True)
    return run


@app.command()
def compare(
    run_dirs: Annotated[list[Path], typer.Argument(metavar="DIR [DIR]", help="Two run folders of the same questions.")],
    layers: Annotated[str | None, typer.Option(help="Or one run folder and two of its layers, as 24,30.")] = None,
    weights: Annotated[str, typer.Option(help="creativity,accuracy; they sum to 1.")] = "0.5,0.5",
    scaling: Annotated[str, typer.Option(help=SCALING_HELP)] = DEFAULT_SCALING,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how much two runs, or two layers of a run, differ, and how sure that is; needs no language model."""
    parsed, checked = _weights(weights), check_scaling(scaling)
    if len(run_dirs) != (1 if layers else 2):
        raise SettingsError("give two run folders, or one and --layers FIRST,SECOND")
    runs = [_judged(RunFolder(path)) for path in run_dirs]
    if layers is not None:
        first, second = _two_layers(layers)
        differences = compare_layers(runs[0].table, first, second, parsed, checked)
        if as_json:
            as_dict = {name: difference_as_json(difference) for name, difference in differences.items()}
            print(json.dumps({"layers": [first, second]} | as_dict, indent=1))
        else:
            stdout.print(Text(printable(runs[0].manifest.describe())))
            print_layer_comparison(first, second, differences)
        return
    comparison = compare_judged(runs[0], runs[1], parsed, checked)
    manifests = [run.manifest for run in runs]
    if as_json:
        print(json.dumps(comparison_as_json(manifests, comparison), indent=1))
    else:
        print_comparison(manifests, comparison)


def _two_layers(text: str) -> tuple[int, int]:
    try:
        first, second = map(read_whole, text.split(","))
    except ValueError:
        raise SettingsError(f"--layers must be two layers, such as 24,30; got {text!r}") from None
    return first, second
