"""Commands on run folders, which need no language model: score, show."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from hcl_core import answers, registry, scoring
from hcl_core.cli.judges import JUDGE_HELP
from hcl_core.cli.tables import answer_line, print_scores
from hcl_core.cli.terminal import app, stderr, stdout
from hcl_core.errors import SettingsError
from hcl_core.intervals import uncertainty
from hcl_core.manifest import Manifest
from hcl_core.metrics import OutcomeTable, optimal_layer, score_layers
from hcl_core.records import Weights
from hcl_core.runs import RunFolder, finite


@app.command()
def score(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    weights: Annotated[str, typer.Option(help="creativity,accuracy; they sum to 1.")] = "0.5,0.5",
    judge: Annotated[
        str | None, typer.Option(help=f"Judge anew, and keep these verdicts: {JUDGE_HELP} Default: as last time.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a run folder; needs no language model."""
    parsed = _weights(weights)
    folder = RunFolder(run_dir)
    table = _outcomes(folder, judge)
    manifest = folder.manifest()
    if as_json:
        print(json.dumps(scores_as_json(manifest, table, parsed), indent=1))
    else:
        print_scores(manifest, table, parsed)


@app.command()
def show(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    question: Annotated[str | None, typer.Option(help="Id of one question; default the first ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show the answers to so many questions.")] = 3,
) -> None:
    """Print a run's scores and every layer's answers with their counts."""
    folder = RunFolder(run_dir)
    manifest = folder.manifest()
    print_scores(manifest, _outcomes(folder), Weights())
    stored = [each.question for each in folder.questions()]
    chosen = [each for each in stored if question in (None, each.id)]
    if not chosen:
        raise SettingsError(f"this run has no question {question!r}; it has {', '.join(q.id for q in stored[:5])} ...")
    for each in chosen[:limit]:
        stdout.print()
        stdout.print(Text(answers.printable(each.text), style="bold"))
        for group in answers.group_answers(folder, each.id):
            stdout.print(answer_line(group))
    if len(chosen) > limit:
        stdout.print(f"\n{len(chosen) - limit} more questions: --limit N, or --question ID for one.", highlight=False)


def scores_as_json(manifest: Manifest, table: OutcomeTable, weights: Weights) -> dict[str, object]:
    """What ``score --json`` prints."""
    scores, sure = score_layers(table, weights), uncertainty(table, weights)
    layers = []
    for each, layer in zip(scores, sure.layers, strict=True):
        entry: dict[str, object] = {name: finite(value) for name, value in asdict(each).items()}
        for name, value in asdict(layer).items():
            entry[name] = [finite(bound) for bound in value] if isinstance(value, tuple) else value
        layers.append(entry)
    return {
        "run_id": manifest.run_id,
        "model": manifest.settings.model,
        "complete": manifest.finished_at is not None,
        "layers": layers,
        "optimal_layer": optimal_layer(scores),
        "verdict": sure.verdict,
        "tied_layers": list(sure.tied_layers),
    }


def _weights(text: str) -> Weights:
    try:
        creativity, accuracy = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(
            f"weights must be two numbers, creativity,accuracy, such as 0.5,0.5; got {text!r}"
        ) from None
    return Weights(creativity, accuracy)


def _outcomes(folder: RunFolder, judge: str | None = None) -> OutcomeTable:
    """The stored outcomes, made from the samples where they are missing or another judge is wanted."""
    stored = folder.manifest().judge
    wanted = stored if judge is None else registry.full_judge_name(judge)
    if wanted == stored and (table := scoring.read_outcomes(folder)) is not None:
        return table
    embeddings = scoring.Embeddings(registry.load_embedder)
    loaded = registry.load_judge(wanted, embeddings.of)
    with stderr.status("Judging and clustering"):
        return scoring.rescore(folder, loaded, embeddings).table
