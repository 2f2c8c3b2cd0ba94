"""BibTeX of what a run rests on: the paper, LayerSkip, the model and this program."""

import re

from hcl_core import __version__
from hcl_core.models.catalogue import DEFAULT_MODEL, find_model
from hcl_core.runs.manifest import Manifest
from hcl_core.text import printable

# As their authors give them: the paper's page on arXiv, LayerSkip's README, the model card of SmolLM2.
_PAPER = """\
@misc{he2025shakespearean,
  title = {Shakespearean Sparks: The Dance of Hallucination and Creativity in {LLMs}' Decoding Layers},
  author = {Zicong He and Boxuan Zhang and Lu Cheng},
  year = {2025},
  eprint = {2503.02851},
  archivePrefix = {arXiv},
  primaryClass = {cs.CL}
}"""
_LAYERSKIP = """\
@misc{elhoushi2024layerskip,
  title = {{LayerSkip}: Enabling Early Exit Inference and Self-Speculative Decoding},
  author = {Mostafa Elhoushi and Akshat Shrivastava and Diana Liskovich and Basil Hosmer and Bram Wasti and
    Liangzhen Lai and Anas Mahmoud and Bilge Acun and Saurabh Agarwal and Ahmed Roman and Ahmed A Aly and
    Beidi Chen and Carole-Jean Wu},
  year = {2024},
  eprint = {2404.16710},
  archivePrefix = {arXiv},
  primaryClass = {cs.CL}
}"""
_SMOLLM2 = """\
@misc{allal2025smollm2,
  title = {{SmolLM2}: When Smol Goes Big -- Data-Centric Training of a Small Language Model},
  author = {Loubna Ben Allal and Anton Lozhkov and Elie Bakouch and Gabriel Martín Blázquez and Guilherme Penedo and
    Lewis Tunstall and Andrés Marafioti and Hynek Kydlíček and Agustín Piqueres Lajarín and Vaibhav Srivastav and
    Joshua Lochner and Caleb Fahlgren and Xuan-Son Nguyen and Clémentine Fourrier and Ben Burtenshaw and
    Hugo Larcher and Haojun Zhao and Cyril Zakka and Mathieu Morlon and Colin Raffel and Leandro von Werra and
    Thomas Wolf},
  year = {2025},
  eprint = {2502.02737},
  archivePrefix = {arXiv},
  primaryClass = {cs.CL}
}"""
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {letter: f"\\{letter}" for letter in "{}%$#&_"}


def bibtex(manifest: Manifest) -> str:
    """The entries, for the run's own model and with its id."""
    program = (
        "@misc{hclexplorer,\n"
        "  title = {{HCL Explorer}},\n"
        "  author = {{The developers of HCL Explorer}},\n"
        f"  note = {{Version {__version__}, run {manifest.id}}}\n"
        "}"
    )
    return "\n\n".join((_PAPER, _LAYERSKIP, _model(manifest), program)) + "\n"


def _model(manifest: Manifest) -> str:
    settings = manifest.settings
    known = find_model(settings.model)
    if known == DEFAULT_MODEL:
        return _SMOLLM2
    name = known.repo_id if known else settings.model
    address = f"  url = {{https://huggingface.co/{name}}},\n" if _HUB_ID.fullmatch(name) else ""
    revision = _tex(settings.model_revision)
    return f"@misc{{model,\n  title = {{{_tex(name)}}},\n{address}  note = {{Revision {revision}}}\n}}"


def _tex(text: str) -> str:
    """``text`` as TeX shows it; braces stay in pairs."""
    return "".join(_SPECIAL.get(letter, letter) for letter in printable(text)[:200])
