"""The command that measures judges: judge-eval."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hcl_core import registry
from hcl_core.cli.as_json import report_as_json
from hcl_core.cli.progress import bars
from hcl_core.cli.terminal import app, stdout
from hcl_core.judges.llm import LlmJudge
from hcl_core.judges.names import check_judge
from hcl_core.pipeline.judge_eval import HALVES, evaluate, read_labelled
from hcl_core.text import printable

IDEAS_HELP = "accepted (an idea is an accepted answer), embedding (clusters of meaning, as the paper counts)."
JUDGE_HELP = "alias (by rule), semantic (and by meaning), paper (the published rule), llm:MODEL (an endpoint)."


@app.command("judge-eval")
def judge_eval(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Answers that people judged, in EVOUNA's schema.")],
    judge: Annotated[str, typer.Option(help=JUDGE_HELP)] = "alias",
    half: Annotated[
        str, typer.Option(help=f"Which questions: {', '.join(HALVES)} (rules are tuned on one half).")
    ] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a judge against people's judgements."""
    check_judge(judge)
    labelled, num_left_out = read_labelled(file, half)
    loaded = registry.load_judge(judge)
    with bars() as progress:
        task = progress.add_task("Judging", total=len(labelled), unit="questions")
        report = evaluate(loaded, labelled, lambda done: progress.update(task, completed=done))
    usage = asdict(loaded.usage) if isinstance(loaded, LlmJudge) else None
    if as_json:
        print(json.dumps(report_as_json(report, half, num_left_out, usage), indent=1))
        return
    table = Table("answers of", "n", "agreement", "false positives", "false negatives", "kappa", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for model, each in report.models.items():
        counts = (f"{each.false_positives}", f"{each.false_negatives}")
        table.add_row(Text(printable(model)[:60]), str(each.n), f"{each.agreement:.4f}", *counts, f"{each.kappa:.3f}")
    stdout.print(table)
    stdout.print(
        f"{escape(printable(report.judge))}: mean agreement {report.mean_agreement:.4f}; {num_left_out} questions "
        f"without a label or improper were left out; {report.judgements_per_second:,.0f} judgements a second.",
        highlight=False,
    )
    if usage is not None:
        stdout.print(
            f"Asked: {usage['requests']:,} requests, {usage['prompt_tokens']:,} tokens in, "
            f"{usage['completion_tokens']:,} out.",
            highlight=False,
        )
