"""Answers without verdicts, of a run under way or one that a crash ended: judged when somebody looks at them.

A run stores its verdicts when it ends or is stopped. Nothing is stored here: the run itself may be writing its folder.
"""

from collections.abc import Sequence

from hcl_core import registry
from hcl_core.errors import RunFolderError
from hcl_core.ideas.names import make_idea_finder
from hcl_core.pipeline.scorer import Embeddings, ScoredQuestion, Scorer
from hcl_core.pipeline.stored import rescore
from hcl_core.records import Question, Sample
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.metrics import OutcomeTable

# Of a whole run, in samples; the terminal takes more.
_MOST_SAMPLES = 300_000
_embeddings = Embeddings(lambda: registry.load_embedder())


def may_be_judged(manifest: Manifest) -> bool:
    """Whether the page judges the run's answers itself: it is not finished, and no endpoint has to be asked."""
    return manifest.finished_at is None and not manifest.judge.startswith("llm:")


def not_judged(folder: RunFolder) -> RunFolderError:
    """The error of a run without verdicts."""
    return RunFolderError(f"run {folder.path.name} has not been judged yet: `score` in the terminal does it")


def no_answers(folder: RunFolder) -> RunFolderError:
    """The error of a run, or of one of its questions, that was stopped before its first answers came."""
    return RunFolderError(f"run {folder.path.name} has none of these answers yet: go on with it first")


def judged_question(folder: RunFolder, question: Question, samples: Sequence[Sample]) -> ScoredQuestion:
    """The ``samples`` of one question with the verdicts of the run's judge.

    Raises:
        HclError: The embedder is needed and cannot be loaded.
    """
    manifest = folder.manifest()
    settings = manifest.settings
    scorer = Scorer(
        [question],
        settings.exit_layers,
        settings.num_samples,
        registry.load_judge(manifest.judge, _embeddings.of),
        make_idea_finder(manifest.ideas, _embeddings.of),
        settings.sampling.is_greedy,
    )
    scorer.add(samples)
    return scorer.question(question.id, folder)


def judged_run(folder: RunFolder) -> OutcomeTable:
    """The outcomes of all questions of a run.

    Raises:
        RunFolderError: The run is finished, has no answers, needs an endpoint or is too large, or is damaged.
        HclError: The embedder is needed and cannot be loaded.
    """
    manifest = folder.manifest()
    if not may_be_judged(manifest) or manifest.num_total_samples > _MOST_SAMPLES:
        raise not_judged(folder)
    if not folder.parts.files():
        raise no_answers(folder)
    judge = registry.load_judge(manifest.judge, _embeddings.of)
    return rescore(folder, judge, _embeddings, is_stored=False).table
