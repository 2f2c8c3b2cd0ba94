"""Runs of fake parts, whose answers can be worked out by hand."""

import itertools
from typing import Any

import pyarrow as pa
from conftest import FakeDecoder, FakeEmbedder

from hcl_core import pipeline
from hcl_core.ideas.embedding import EmbeddingIdeas
from hcl_core.judges.alias import AliasJudge
from hcl_core.pipeline.scorer import Embeddings, Scorer
from hcl_core.records import Question, SamplingSettings
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import RunSettings
from hcl_core.runs.tables import CLUSTER_SCHEMA, KEY, PLAUSIBILITY_SCHEMA, VERDICT_SCHEMA
from hcl_core.settings.prompts import PromptTemplate

PLANET = Question("planet", "Name a planet.", ("Mars", "Venus", "Mercury"))
COLOUR = Question("colour", "Name a colour.", ("Red", "Blue"))
QUESTIONS = [PLANET, COLOUR]
LAYERS = (1, 2, 3, 4)
SCHEMAS = {"verdicts": VERDICT_SCHEMA, "clusters": CLUSTER_SCHEMA, "plausibility": PLAUSIBILITY_SCHEMA}


def make_settings(**changes):
    """Settings of a run; ``changes`` by name."""
    settings: dict[str, Any] = {
        "model": "fake",
        "model_revision": "1",
        "dtype": "float32",
        "exit_head": "shared",
        "exit_head_hash": "shared",
        "template": PromptTemplate("file", "Q: {question}\nA:"),
    }
    return RunSettings(**settings | changes)


def make_manifest(settings, stored, **others):
    """The manifest of a run of the questions ``stored``."""
    described: dict[str, Any] = {
        "num_hidden_layers": 4,
        "question_set": "own",
        "device": "cpu",
        "judge": "alias",
        "embedder": "fake",
    }
    return pipeline.new_manifest(settings, stored, **described | others)


class Sitting:
    """One process's part in a run: everything is new but the folder."""

    def __init__(
        self, path, questions=QUESTIONS, num_samples=6, decoder=None, sampling=None, layers=LAYERS, first_wave=2
    ):
        self.folder, self.questions, self.first_wave = RunFolder(path), questions, first_wave
        self.decoder = decoder or FakeDecoder()
        self.settings = make_settings(
            exit_layers=layers, num_samples=num_samples, sampling=sampling or SamplingSettings()
        )
        self.embedder = FakeEmbedder()
        self.loads = []
        self.scorer = Scorer(questions, layers, num_samples, AliasJudge(), EmbeddingIdeas(Embeddings(self.load).of))

    def load(self):
        self.loads.append("embedder")
        return self.embedder

    def prepared(self):
        stored = pipeline.with_prompts(self.questions, self.decoder)
        manifest = make_manifest(self.settings, stored, ideas="embedding")
        return pipeline.PreparedRun(manifest, stored, self.decoder, self.scorer)

    def events(self, **options):
        return pipeline.run(self.folder, self.prepared(), **{"first_wave": self.first_wave, "at_once": 1} | options)

    def finish(self):
        return list(self.events())

    def stop_after(self, num_events):
        """Close the generator after ``num_events`` events, as Stop does; returns them."""
        events = self.events()
        seen = list(itertools.islice(events, num_events))
        events.close()
        return seen


def finished_run(path, **settings):
    """The folder of a run that one sitting finished."""
    sitting = Sitting(path, **settings)
    sitting.finish()
    return sitting.folder


def sample_keys(folder):
    """Keys of all stored samples."""
    return {sample.key for sample in folder.samples()}


def write_derived(folder, name, keys, stamp, **columns):
    """Replace ``NAME.parquet`` by one row for each of ``keys``, with the values of the other columns by name."""
    folder.write_by_sample(name, [derived_table(name, keys, **columns)], stamp)


def write_verdicts(folder, verdicts, stamp):
    """Replace ``verdicts.parquet``."""
    folder.write_by_sample("verdicts", [verdict_table(verdicts)], stamp)


def verdict_table(verdicts):
    """Verdicts as the rows of ``verdicts.parquet``."""
    columns = {name: [getattr(each, name) for each in verdicts] for name in ("outcome", "reason", "matched")}
    return derived_table("verdicts", [each.key for each in verdicts], **columns)


def derived_table(name, keys, **columns):
    """The rows of ``NAME.parquet``: one for each of ``keys``."""
    values = {column: [key[place] for key in keys] for place, column in enumerate(KEY)} | columns
    return pa.table([pa.array(values[field.name], field.type) for field in SCHEMAS[name]], schema=SCHEMAS[name])
