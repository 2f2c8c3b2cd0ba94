"""Make the runs that ship with the program: ``python -m precomputed.make`` or ``make precomputed``.

Every run is made by the same functions as a user's run. If the command is stopped, it resumes where it was. A run
that exists is made again only with ``--again``. ``--rescore`` judges and clusters the existing runs again; nothing is
decoded.
"""

import argparse
import importlib.metadata
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from hcl_core import pipeline, registry
from hcl_core.folders import precomputed_folder, runs_folder
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.lens_records import LensManifest, write_lens
from hcl_core.pipeline import PreparedRun
from hcl_core.pipeline.request import RunRequest, prepare
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.stored import rescore
from hcl_core.records import Question, SamplingSettings
from hcl_core.runs.compact import write_compact_copy
from hcl_core.runs.folder import RunFolder
from hcl_core.settings.layers import LayerRange
from hcl_core.settings.prompts import load_template

if TYPE_CHECKING:
    from hcl_core.decode.model.checkpoints import Checkpoint
    from hcl_core.decode.model.language_model import LanguageModel

MAX_NEW_TOKENS = 20
TEMPERATURES = (0.6, 1.0)
# With the shared head, early layers end no line and seldom agree, so a sample costs ten times as much.
NUM_SAMPLES = {"linear": 50, "shared": 10}
LENS_QUESTIONS = 6

console = Console(stderr=True)


def main() -> None:
    """Make the runs and lenses that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=precomputed_folder())
    parser.add_argument("--limit", type=int, help="number of questions, for a trial")
    parser.add_argument("--again", action="store_true", help="make existing runs again")
    parser.add_argument(
        "--rescore", action="store_true", help="judge and cluster existing runs again, make nothing else"
    )
    options = parser.parse_args()
    with console.status(f"Loading {DEFAULT_MODEL.name}"):
        lm, checkpoint = registry.load_model(DEFAULT_MODEL.name, "float32", "cpu")
    embeddings = Embeddings(registry.load_embedder)
    if options.rescore:
        rescore_all(options.out, lm, embeddings)
        return
    questions = tuple(registry.load_questions("starter").load(options.limit))
    for exit_head, num_samples in NUM_SAMPLES.items():
        for temperature in TEMPERATURES:
            request = RunRequest(
                model=DEFAULT_MODEL.name,
                questions=questions,
                question_set="starter",
                layers=LayerRange(),
                num_samples=num_samples,
                sampling=SamplingSettings(temperature=temperature, max_new_tokens=MAX_NEW_TOKENS),
                template=load_template(),
                exit_head=exit_head,
            )
            make_run(prepare(request, lm, checkpoint, embeddings), options.out, options.again)
    for exit_head in NUM_SAMPLES:
        make_lens(lm, checkpoint, exit_head, questions[:LENS_QUESTIONS], options.out)


def make_run(prepared: PreparedRun, out: Path, again: bool) -> None:
    """Finish a run in the folder of runs and copy it to ``out``; one that is in ``out`` is left unless ``again``."""
    target = out / prepared.manifest.run_id
    description = prepared.manifest.describe()
    if target.exists() and not again:
        console.print(f"{target.name} exists: {description}", highlight=False)
        return
    console.print(f"{target.name}: {description}", highlight=False)
    folder = RunFolder(runs_folder() / prepared.manifest.run_id)
    for event in pipeline.run(folder, prepared):
        if isinstance(event, pipeline.WaveDone):
            console.print(f"  {event.num_done:,} of {event.num_wanted:,}  {event.question.id}", highlight=False)
    shutil.rmtree(target, ignore_errors=True)
    write_compact_copy(folder, target)


def make_lens(
    lm: "LanguageModel", checkpoint: "Checkpoint", exit_head: str, questions: Sequence[Question], out: Path
) -> None:
    """Read the greedy answers to ``questions`` through the token lens."""
    head, template = registry.load_exit_head(exit_head, lm), load_template()
    prompts = {question.id: template.render(question.text) for question in questions}
    tables = [
        registry.read_layers_along_answer(lm, head, question_id, prompt, max_new_tokens=MAX_NEW_TOKENS)
        for question_id, prompt in prompts.items()
    ]
    manifest = LensManifest(
        model=checkpoint.model,
        model_revision=checkpoint.revision,
        dtype=lm.dtype_name,
        exit_head=head.name,
        exit_head_hash=head.fingerprint,
        template=template.name,
        prompts=prompts,
        versions={package: importlib.metadata.version(package) for package in ("torch", "transformers")},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_lens(out / f"lens-{head.name}", manifest, tables)
    console.print(f"lens-{head.name}: {len(tables)} questions", highlight=False)


def rescore_all(out: Path, lm: "LanguageModel", embeddings: Embeddings) -> None:
    """Replace every run in ``out`` by a copy with today's accepted answers, and new verdicts, ideas and scores."""
    starter = {question.id: question for question in registry.load_questions("starter").load()}
    for path in sorted(path for path in out.iterdir() if (path / "questions.jsonl").is_file()):
        with tempfile.TemporaryDirectory(dir=out, prefix=".rescore-") as temporary:
            copy = RunFolder(Path(shutil.copytree(path, Path(temporary) / "run")))
            settings = copy.manifest().settings
            cost = registry.make_decoder(lm, settings.exit_head, settings.template).cost()
            copy.write_manifest(replace(copy.manifest(), cost=cost))
            copy.update(
                copy.manifest(), [replace(each, question=starter[each.question.id]) for each in copy.questions()]
            )
            tokens = copy.sample_table(["completion_token_ids"]).column(0).combine_chunks().flatten().unique()
            copy.add_token_texts({token_id: lm.token_text(token_id) for token_id in tokens.to_pylist()})
            rescore(copy, registry.load_judge(copy.manifest().judge, embeddings.of), embeddings)
            compact = write_compact_copy(copy, Path(temporary) / "compact")
            old = path.rename(Path(temporary) / "old")
            try:
                compact.path.rename(path)
            except BaseException:
                old.rename(path)
                raise
        console.print(f"{path.name} is judged again", highlight=False)


if __name__ == "__main__":
    main()
