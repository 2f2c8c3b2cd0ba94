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
from hcl_core.cli.as_json import precision_as_json, report_as_json
from hcl_core.cli.progress import bars
from hcl_core.cli.tables import number
from hcl_core.cli.terminal import app, stdout
from hcl_core.errors import SettingsError
from hcl_core.judges.llm import LlmJudge
from hcl_core.judges.names import check_judge, judge_of
from hcl_core.pipeline.judge_eval import HALVES, JudgeReport, evaluate, read_labelled
from hcl_core.pipeline.judge_precision import Precision, measure_precision, read_labelled_answers
from hcl_core.text import counted, printable

IDEAS_HELP = (
    "accepted (an idea is an accepted answer), meaning (words first, then clusters of meaning), embedding (clusters of "
    "meaning alone, as the paper counts)."
)
JUDGE_HELP = (
    "alias (by rule), semantic (and by meaning), paper (the published rule), llm:MODEL (an endpoint). The first two "
    "read English, other languages in part: docs/judges.md."
)


@app.command("judge-eval")
def judge_eval(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Answers that people judged, in EVOUNA's schema.")
    ] = None,
    judge: Annotated[str, typer.Option(help=JUDGE_HELP)] = "alias",
    half: Annotated[
        str, typer.Option(help=f"Which questions: {', '.join(HALVES)} (rules are tuned on one half).")
    ] = "all",
    precision: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labelled answers of early layers: how many are chance hits.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a judge against people's judgements, on large models' answers or on the noise of early layers."""
    if file is None and precision is None:
        raise SettingsError("judge-eval needs a FILE of answers that people judged, or --precision FILE")
    check_judge(judge_of(judge, ()))  # every question here has accepted answers
    labelled, num_left_out = read_labelled(file, half) if file else ([], 0)
    answers = read_labelled_answers(precision, half) if precision else []
    loaded = registry.load_judge(judge)
    report, precisions = None, []
    with bars() as progress:
        if labelled:
            task = progress.add_task("Judging", total=len(labelled), unit="questions")
            report = evaluate(loaded, labelled, lambda done: progress.update(task, completed=done))
        if answers:
            noise = progress.add_task("Judging", total=len(answers), unit="answers")
            precisions = measure_precision(loaded, answers, lambda done: progress.update(noise, completed=done))
    usage = asdict(loaded.usage) if isinstance(loaded, LlmJudge) else None
    if as_json:
        agreement = report_as_json(report, num_left_out) if report else {}
        entry = {"judge": loaded.name, "half": half} | agreement
        entry |= {"precision": precision_as_json(precisions)} if precisions else {}
        print(json.dumps(entry | ({} if usage is None else {"usage": usage}), indent=1))
        return
    if report:
        _print_agreement(report, num_left_out)
    if precisions:
        _print_precision(loaded.name, precisions)
    if usage is not None:
        stdout.print(
            f"Asked: {counted(usage['requests'], 'request')}, {usage['prompt_tokens']:,} tokens in, "
            f"{usage['completion_tokens']:,} out.",
            highlight=False,
        )


def _print_agreement(report: JudgeReport, num_left_out: int) -> None:
    table = Table("answers of", "n", "agreement", "false positives", "false negatives", "kappa", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for model, each in report.models.items():
        counts = (f"{each.false_positives}", f"{each.false_negatives}")
        table.add_row(
            Text(printable(model)[:60]),
            str(each.n),
            f"{each.agreement:.4f}",
            *counts,
            number(each.kappa),
        )
    stdout.print(table)
    stdout.print(
        f"{escape(printable(report.judge))}: mean agreement {report.mean_agreement:.4f}; "
        f"{counted(num_left_out, 'question')} left out, without an answer, without a label or improper; "
        f"{report.judgements_per_second:,.0f} judgements a second.",
        highlight=False,
    )


def _print_precision(judge: str, precisions: list[Precision]) -> None:
    table = Table("temperature", "right", "called right", "chance hits", "share", "missed", box=None)
    for column in table.columns:
        column.justify = "right"
    for each in precisions:
        counts = (str(each.num_right), str(each.num_called_right), str(each.num_chance_hits))
        table.add_row(f"{each.temperature}", *counts, f"{each.chance_hits:.3f}", str(each.num_missed))
    stdout.print(table)
    stdout.print(f"{escape(printable(judge))} on samples of early layers.", highlight=False)
