"""``python -m hcl_core``: the same doors as the page, for the terminal. Parses, calls, formats; nothing else."""

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from hcl_core import answers, pipeline, registry, scoring
from hcl_core.catalogue import CATALOGUE, DEFAULT_MODEL, EXIT_HEAD_NAMES, check_exit_head
from hcl_core.errors import HclError, SettingsError
from hcl_core.folders import runs_folder
from hcl_core.heads import FitProgress, FitSettings, HeadConfig
from hcl_core.intervals import Interval, describe_verdict, uncertainty
from hcl_core.lens import LensTable
from hcl_core.manifest import Manifest
from hcl_core.metrics import OutcomeTable, balanced_layer, optimal_layer, score_layers
from hcl_core.prompts import TEMPLATE_NAMES, load_template
from hcl_core.questions.jsonl import make_question
from hcl_core.records import Question, SamplingSettings, Weights
from hcl_core.request import RunRequest, prepare
from hcl_core.runs import RunFolder, finite

app = typer.Typer(
    help="See how a language model's answers change with the layer at which it stops.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
# A pipe has no width: nothing is wrapped there.
_out, _err = Console(width=None if sys.stdout.isatty() else 200), Console(stderr=True)
_DEFAULTS = SamplingSettings()
_FIT = FitSettings()


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a user's mistake is one line on stderr and exit code 2."""
    logging.basicConfig(level=logging.WARNING, handlers=[RichHandler(console=_err, show_path=False, show_time=False)])
    logging.getLogger("hcl_core").setLevel(logging.INFO)
    try:
        given = sys.argv[1:] if arguments is None else arguments
        code = app(args=given or ["--help"], standalone_mode=False)
    except HclError as error:
        code = _fail(str(error))
    except typer.TyperException as error:
        code = _fail(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if code == 130:  # typer's word for Ctrl-C
        code = _fail("stopped; the same command goes on where it was", code)
    sys.exit(code if isinstance(code, int) else 0)


@app.command()
def models() -> None:
    """List the models that are known by name; any other Hub id or local folder works too."""
    table = Table("name", "source", "layers", "parameters", "licence", "gated", "on this machine", box=None)
    for model in CATALOGUE:
        size = f"{model.parameters / 1000:.1f} B" if model.parameters >= 1000 else f"{model.parameters} M"
        gated, here = "yes" if model.is_gated else "no", "yes" if registry.is_available(model) else "no"
        table.add_row(model.name, model.repo_id, str(model.num_hidden_layers), size, model.licence, gated, here)
    _out.print(table)


@app.command()
def run(
    model: Annotated[str, typer.Option(help="Catalogue name, Hub id or local folder.")] = DEFAULT_MODEL.name,
    question: Annotated[str | None, typer.Option(help="A question of your own; needs --accept.")] = None,
    accept: Annotated[list[str] | None, typer.Option(help="An accepted answer; may be given many times.")] = None,
    questions: Annotated[str | None, typer.Option(help="'starter' or a JSON-lines file.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first so many questions.")] = None,
    layers: Annotated[str, typer.Option(help="'all', start:stop[:step] (stop included) or a list 24,28,30.")] = "all",
    samples: Annotated[int, typer.Option(help="Answers a question and layer.")] = 50,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = _DEFAULTS.temperature,
    top_p: Annotated[float, typer.Option(help="Nucleus mass kept.")] = _DEFAULTS.top_p,
    top_k: Annotated[int, typer.Option(help="Most probable tokens kept; 0 keeps all.")] = _DEFAULTS.top_k,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = _DEFAULTS.max_new_tokens,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = _DEFAULTS.seed,
    exit_head: Annotated[str, typer.Option(help=f"{', '.join(EXIT_HEAD_NAMES)} or a file of fit-head.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    template: Annotated[str, typer.Option(help=f"{', '.join(TEMPLATE_NAMES)}.")] = "few_shot",
    template_file: Annotated[Path | None, typer.Option(help="Your own template with {question}.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/<run id>.")] = None,
) -> None:
    """Sample answers at every exit layer, judge, cluster and score them. Stopped, it goes on where it was."""
    # Everything that can be wrong without the model is found before the model is loaded.
    asked, question_set = _questions(question, accept or [], questions, limit)
    sampling = SamplingSettings(temperature, top_p, top_k, max_new_tokens, seed)
    prompt_template = load_template(template, template_file)
    request = RunRequest(
        model, tuple(asked), question_set, layers, samples, sampling, prompt_template, exit_head=exit_head
    )
    with _err.status(f"Loading {model}"):
        lm, checkpoint = registry.load_model(model, dtype, device)
    ready = prepare(request, lm, checkpoint, scoring.Embeddings(registry.load_embedder))
    folder = RunFolder(out or runs_folder() / ready.manifest.run_id)
    events = pipeline.run(folder, ready.manifest, ready.questions, ready.decoder, ready.scorer)
    finished = _follow(events)
    _print_scores(finished.manifest, finished.table, Weights())
    _out.print(f"\nSaved in {folder.path}", markup=False, highlight=False, soft_wrap=True)


@app.command("fit-head")
def fit_head(
    model: Annotated[str, typer.Option(help="Catalogue name, Hub id or local folder.")] = DEFAULT_MODEL.name,
    texts: Annotated[Path | None, typer.Option(help="A UTF-8 text file to read.")] = None,
    self_generated: Annotated[
        bool, typer.Option("--self-generated", help="Read what the model writes itself; the default.")
    ] = False,
    tokens: Annotated[int, typer.Option(help="Positions to read; a fifth is held out.")] = _FIT.num_tokens,
    answer_weight: Annotated[
        float, typer.Option(help="Weight of positions inside self-written answers.")
    ] = _FIT.answer_weight,
    refine_steps: Annotated[
        int, typer.Option(help="Gradient steps a layer after the ridge fit; 100 is better and takes longer.")
    ] = _FIT.refine_steps,
    seed: Annotated[int, typer.Option(help="Of the self-written text.")] = _FIT.seed,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="The head's file; default: in the cache, where auto finds it.")
    ] = None,
) -> None:
    """Fit a linear exit head, which lets early layers speak. Stopped, it goes on where it was."""
    if texts is not None and self_generated:
        raise SettingsError("give either --texts FILE or --self-generated")
    if out is not None and out.suffix != ".safetensors":
        raise SettingsError(f"--out must end in .safetensors; got {str(out)!r}")
    if texts is not None and not texts.is_file():
        raise SettingsError(f"there is no text file {str(texts)!r}")
    settings = FitSettings(tokens, texts, answer_weight, refine_steps, seed)
    with _err.status(f"Loading {model}"):
        lm, checkpoint = registry.load_model(model, dtype, device)
    file, events = registry.fit_head(lm, checkpoint.revision, settings, out)
    _print_fidelity(_follow_fit(events))
    _out.print(f"\nSaved as {file}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def lens(
    model: Annotated[str, typer.Option(help="Catalogue name, Hub id or local folder.")] = DEFAULT_MODEL.name,
    question: Annotated[str | None, typer.Option(help="A question, asked through the template.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Or the exact text to go on from.")] = None,
    answer: Annotated[str | None, typer.Option(help="The answer to look at; default the greedy one.")] = None,
    exit_head: Annotated[str, typer.Option(help=f"{', '.join(EXIT_HEAD_NAMES)} or a file of fit-head.")] = "auto",
    top: Annotated[int, typer.Option(help="Most probable tokens kept of each readout.")] = 10,
    whole_text: Annotated[bool, typer.Option("--whole-text", help="Look at the prompt's tokens too.")] = False,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Longest greedy answer.")] = 20,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    template: Annotated[str, typer.Option(help=f"{', '.join(TEMPLATE_NAMES)}.")] = "few_shot",
    template_file: Annotated[Path | None, typer.Option(help="Your own template with {question}.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what every layer would say at every token of an answer, and where the last layer's choice settles."""
    if (question is None) == (prompt is None):
        raise SettingsError("give either --question TEXT or --prompt TEXT")
    if not (question or prompt or "").strip():
        raise SettingsError("the lens needs a text to go on from; got an empty one")
    check_exit_head(exit_head)
    prompt_template = load_template(template, template_file)
    with _err.status(f"Loading {model}"):
        lm, checkpoint = registry.load_model(model, dtype, device)
    head = registry.load_exit_head(exit_head, lm)
    is_chat = prompt is None and prompt_template.is_chat
    table = registry.look_at_answer(
        lm,
        head,
        "own",
        prompt or prompt_template.render(question or "", lm.wrap_chat),
        is_chat=is_chat,
        answer=answer,
        max_new_tokens=max_new_tokens,
        whole_text=whole_text,
        num_top=top,
    )
    if as_json:
        print(json.dumps({"model": checkpoint.model, "exit_head": head.name} | table.as_json(), indent=1))
    else:
        _out.print(Text(f"{checkpoint.model} · {head.name} head"))
        _print_lens(table)


@app.command()
def score(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    weights: Annotated[str, typer.Option(help="creativity,accuracy; they sum to 1.")] = "0.5,0.5",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a run folder; needs no language model."""
    parsed = _weights(weights)
    folder = RunFolder(run_dir)
    manifest = folder.manifest()
    table = _outcomes(folder)
    if as_json:
        print(json.dumps(scores_as_json(manifest, table, parsed), indent=1))
    else:
        _print_scores(manifest, table, parsed)


@app.command()
def show(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    question: Annotated[str | None, typer.Option(help="Id of one question; default the first ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show the answers to so many questions.")] = 3,
) -> None:
    """Print a run's scores and every layer's answers with their counts."""
    folder = RunFolder(run_dir)
    manifest = folder.manifest()
    _print_scores(manifest, _outcomes(folder), Weights())
    stored = [each.question for each in folder.questions()]
    chosen = [each for each in stored if question in (None, each.id)]
    if not chosen:
        raise SettingsError(f"this run has no question {question!r}; it has {', '.join(q.id for q in stored[:5])} ...")
    for each in chosen[:limit]:
        _out.print()
        _out.print(Text(answers.printable(each.text), style="bold"))
        for group in answers.group_answers(folder, each.id):
            _out.print(_answer_line(group))
    if len(chosen) > limit:
        _out.print(f"\n{len(chosen) - limit} more questions: --limit N, or --question ID for one.", highlight=False)


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


def _questions(
    text: str | None, accepted: list[str], source: str | None, limit: int | None
) -> tuple[list[Question], str]:
    if (text is None) == (source is None):
        raise SettingsError("give either --question TEXT with --accept ANSWER, or --questions starter|FILE.jsonl")
    if source is not None:
        if accepted:
            raise SettingsError("--accept goes with --question; a question file brings its own accepted answers")
        loader = registry.load_questions(source)
        return loader.load(limit), loader.name
    if not accepted:
        raise SettingsError("--question needs at least one --accept ANSWER, so that answers can be judged")
    return [make_question(text or "", accepted)], "own"


def _weights(text: str) -> Weights:
    try:
        creativity, accuracy = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(
            f"weights must be two numbers, creativity,accuracy, such as 0.5,0.5; got {text!r}"
        ) from None
    return Weights(creativity, accuracy)


def _outcomes(folder: RunFolder) -> OutcomeTable:
    """The stored outcomes, made from the samples where they are missing."""
    table = scoring.read_outcomes(folder)
    if table is not None:
        return table
    embeddings = scoring.Embeddings(registry.load_embedder)
    with _err.status("Judging and clustering"):
        return scoring.rescore(folder, registry.load_judge(folder.manifest().judge), embeddings).table


def _follow(events: Iterator[pipeline.Event]) -> pipeline.Finished:
    """Show progress until the run is finished."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("samples"))
    started = next(events)  # a refusal comes before any bar
    assert isinstance(started, pipeline.Started)
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=_err, disable=not _err.is_terminal
    ) as progress:
        task = progress.add_task("Starting", total=started.num_wanted, completed=started.num_present)
        for event in events:
            if isinstance(event, pipeline.Finished):
                progress.update(task, description="Done")
                return event
            elif not isinstance(event, pipeline.Started):
                description = Text(answers.printable(event.question.text)[:40]).markup
                progress.update(task, description=description, completed=event.num_done)
    raise AssertionError("a run ends with Finished")


def _follow_fit(events: Iterator[FitProgress | HeadConfig]) -> HeadConfig:
    """Show progress until the head is fitted."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"))
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=_err, disable=not _err.is_terminal
    ) as progress:
        tasks: dict[str, TaskID] = {}
        for event in events:
            if isinstance(event, HeadConfig):
                return event
            if event.phase not in tasks:
                unit = "layers" if event.phase in ("solving", "refining") else "tokens"
                tasks[event.phase] = progress.add_task(event.phase.capitalize(), total=event.num_wanted, unit=unit)
            progress.update(tasks[event.phase], completed=event.num_done)
    raise AssertionError("a fit ends with the head's config")


def _print_fidelity(config: HeadConfig) -> None:
    table = Table("layer", "agreement", "cross-entropy", "with this head", "cross-entropy", box=None)
    for column in table.columns:
        column.justify = "right"
    for exit_layer, (before, after) in enumerate(zip(config.before, config.after, strict=True), 1):
        row = [f"{value:.2f}" for each in (before, after) for value in (each.agreement, each.cross_entropy)]
        table.add_row(str(exit_layer), *row)
    _out.print(f"{config.model}, {config.num_tokens:,} tokens, {config.texts}; held-out text:", highlight=False)
    _out.print(table)


def _print_lens(table: LensTable) -> None:
    """Layers by tokens, in blocks that fit the width: the top token, its probability, and where it settles."""
    cell_width, settles = 16, table.settles().tolist()
    at_once = max(1, (_out.width - 8) // (cell_width + 2))
    for start in range(0, len(table.positions), at_once):
        places = range(start, min(start + at_once, len(table.positions)))
        shown = Table("layer", box=None)
        for place in places:
            shown.add_column(_token(table.token_texts[place]))
        for layer in range(table.num_hidden_layers):
            row = []
            for place in places:
                text = _token(table.top_token_texts[layer][place][0], cell_width - 5)
                text.append(f" {table.top_probabilities[layer, place, 0]:.2f}")
                text.stylize("bold" if layer + 1 >= settles[place] else "dim")
                row.append(text)
            shown.add_row(str(layer + 1), *row)
        shown.add_row("settles", *(str(settles[place]) for place in places))
        _out.print(shown)
    _out.print("Bold: the last layer's choice is on top from here on.")


def _token(text: str, width: int = 14) -> Text:
    """A token's text with its white space visible, cut to ``width``."""
    visible = answers.printable(text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "␣"))
    return Text(visible if len(visible) <= width else visible[: width - 1] + "…")


def _print_scores(manifest: Manifest, outcomes: OutcomeTable, weights: Weights) -> None:
    scores, sure = score_layers(outcomes, weights), uncertainty(outcomes, weights)
    best = balanced_layer(scores)
    headings = ["layer", "hallucination", "creativity", "(clusters)", "HCB", "best in", "confidence", "right"]
    columns = headings if _out.width >= 100 else [each for each in headings if each not in ("(clusters)", "confidence")]
    table = Table(*columns, box=None)
    for column in table.columns:
        column.justify = "right"
    for each, layer in zip(scores, sure.layers, strict=True):
        cells = [
            str(each.exit_layer),
            f"{each.hallucination_rate:.3f} {_bounds(layer.hallucination_ci)}",
            f"{each.creativity:.3f}",
            f"{each.creativity_raw:.2f}",
            f"{each.hcb_score:.3f} {_bounds(layer.hcb_ci)}",
            f"{layer.p_optimal:.0%}",
            f"{each.confidence:.3f}",
            f"{each.num_correct}/{each.num_samples}",
        ]
        shown = dict(zip(headings, cells, strict=True))
        table.add_row(*(shown[name] for name in columns), style="bold" if each.exit_layer == best else "")
    _out.print(Text(manifest.describe()))
    _out.print(table)
    _out.print("Ranges: 95% intervals. Best in: share of resampled runs with this layer on top.", highlight=False)
    if manifest.finished_at is None:
        _out.print("This run is not complete: give its `run` command again to go on.")
    _out.print(Text(describe_verdict(best, sure)))


def _bounds(interval: Interval) -> str:
    return "{:.2f}-{:.2f}".format(*interval)


def _answer_line(group: answers.LayerAnswers) -> Text:
    line = Text(f"{group.exit_layer:>4}  {group.num_correct:>3}/{group.num_samples} right  ")
    for number, answer in enumerate(group.answers[:8]):
        sign, style = {"correct": ("✓", "green"), "incorrect": ("✗", "red")}.get(answer.outcome, ("–", "dim"))
        shown = answers.printable(answer.text)[:40] or "(empty)"
        line.append(f"{' · ' if number else ''}{sign} {shown} ×{answer.count}", style=style)
    if len(group.answers) > 8:
        line.append(f" · {len(group.answers) - 8} more", style="dim")
    return line


def _fail(message: str, code: int = 2) -> int:
    _err.print(Text(" ".join(f"error: {message}".split())), soft_wrap=True)
    return code
