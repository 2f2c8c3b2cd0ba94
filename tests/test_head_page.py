"""Exit heads that leave the page, and that come to it: what is asked, refused and said."""

from types import SimpleNamespace
from urllib.parse import quote

import pytest
import torch
from conftest import make_lm
from starlette.applications import Starlette
from starlette.testclient import TestClient
from test_handlers import by
from test_head_fits import WORDS, keys, service
from test_head_sharing import changed, shared
from test_head_trial import changed_lm, fitted

from app.downloads import download_routes
from app.handlers import head
from app.service import Service
from app.settings import PageSettings
from app.views.head import head_note
from hcl_core import registry
from hcl_core.decode.heads.sharing import import_head
from hcl_core.errors import ExitHeadError, HclError, HeadIsThereError, LimitError, NotHereError
from hcl_core.folders import shipped_heads_folder
from hcl_core.pipeline.estimate import expected_seconds

__all__ = ["fitted", "service", "shared"]  # fixtures

NAME = make_lm().name


@pytest.fixture
def visit(service):  # noqa: F811
    return by(service)


def taken(visit, file, **options):
    return list(head.take_in(visit, NAME, str(file), **options))


def kept(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.safetensors"))


def test_a_head_that_is_taken_in_is_the_one_that_auto_takes_and_the_note_gives_its_files(visit, shared, tmp_path):  # noqa: F811
    assert head.head_of(visit, NAME).file is None
    *_, last = taken(visit, shared / "exit_head.safetensors")
    assert last.status.key == "head_taken" and last.is_new and last.status.values["expected"] <= 100
    assert registry.load_exit_head("auto", make_lm()).name == "linear"
    (file,) = kept(tmp_path)
    assert file.read_bytes() == (shared / "exit_head.safetensors").read_bytes()
    note = head_note(last.head, WORDS)
    for name in ("exit_head.safetensors", "README.md"):
        assert f'href="head/{quote(file.name)}/{name}" download' in note


def test_the_files_of_a_head_are_those_of_export_head(visit, shared):  # noqa: F811
    *_, last = taken(visit, shared / "exit_head.safetensors")
    client = TestClient(Starlette(routes=download_routes(visit.service)))
    for name in ("exit_head.safetensors", "README.md"):
        answer = client.get(f"/head/{last.head.file}/{name}")
        assert answer.content == (shared / name).read_bytes()
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    for address in (
        "/head/none.safetensors/README.md",
        f"/head/{last.head.file}/config.json",
        "/head/..%2fx/README.md",
    ):
        assert client.get(address).status_code == 404
    public = TestClient(Starlette(routes=download_routes(Service(PageSettings(public=True)))))
    assert public.get(f"/head/{last.head.file}/README.md").status_code == 404


def test_before_another_head_loses_its_place_the_visitor_is_asked(visit, shared, tmp_path):  # noqa: F811
    taken(visit, shared / "exit_head.safetensors")
    before = kept(tmp_path)[0].read_bytes()
    other = changed(shared, record={"seed": 5})
    *_, last = taken(visit, other)
    assert last.status.key == "head_is_there" and last.asked == (NAME, str(other)) and not last.is_new
    assert [file.read_bytes() for file in kept(tmp_path)] == [before]
    assert keys(taken(visit, other, replace=True))[-1] == "head_taken"
    assert [file.read_bytes() for file in kept(tmp_path)] == [other.read_bytes()]


def test_a_shipped_head_does_not_lose_its_place_unasked_either(shared, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "tiny.safetensors").write_bytes((shared / "exit_head.safetensors").read_bytes())
    monkeypatch.setattr("hcl_core.decode.heads.head_files.shipped_heads_folder", lambda: shipped)
    other = changed(shared, record={"seed": 5})
    with pytest.raises(HeadIsThereError, match="give --replace"):
        import_head(other, make_lm())
    assert import_head(other, make_lm(), replace=True)[0].read_bytes() == other.read_bytes()


def test_a_head_for_nearly_these_weights_is_kept_beside_their_own_and_it_is_said(visit, shared, monkeypatch):  # noqa: F811
    lm = changed_lm(0.001)
    own = changed(shared, record={"weights_hash": lm.weights_hash})
    import_head(own, lm)
    monkeypatch.setattr(registry, "load_replicas", lambda *_: ((lm,), SimpleNamespace()))
    others = changed(shared, record={"weights_hash": make_lm().weights_hash})
    assert keys(taken(visit, others))[-1] == "head_kept_beside"
    assert registry.known_head(NAME, lm)[1].weights_hash == lm.weights_hash


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("head.pt", b"\x80\x04N.", "holds numbers alone; got head.pt"),
        ("head.safetensors", b"no head", "the exit head head.safetensors cannot be read"),
    ],
)
def test_what_is_no_head_is_refused_in_a_sentence_without_a_path(visit, tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ExitHeadError, match=expected) as raised:
        taken(visit, tmp_path / name)
    assert str(tmp_path) not in str(raised.value) and "\n" not in str(raised.value)
    assert not kept(tmp_path) and not visit.service.models.names, "no model was loaded for it"


def test_a_head_that_is_larger_than_one_of_the_model_can_be_is_refused(visit, shared, tmp_path):  # noqa: F811
    large = changed(shared, {"codes": torch.zeros(3, 1_000, 1_000, dtype=torch.int8)})
    with pytest.raises(ExitHeadError, match="larger than"):
        taken(visit, large)
    assert not kept(tmp_path) and not visit.service.places.num_taken


def test_a_public_page_takes_in_none(shared):  # noqa: F811
    public = by(Service(PageSettings(public=True)))
    with pytest.raises(LimitError, match="takes in no exit heads"):
        taken(public, shared / "exit_head.safetensors")
    with pytest.raises(HclError, match="gives out no exit heads"):
        head.shared_file(public, "smollm2-135m.safetensors", "README.md")
    known = head.head_of(public, "smollm2-135m")
    assert known.config is not None and known.file is None and not known.takes_in
    assert "<a " not in head_note(known, WORDS)


def test_the_shipped_head_can_be_had_as_it_is(service):  # noqa: F811
    name = head.head_of(by(service), "smollm2-135m").file
    content = head.shared_file(by(service), name, "exit_head.safetensors")
    assert content == (shipped_heads_folder() / "smollm2-135m.safetensors").read_bytes()


def test_an_estimate_knows_of_a_head_that_was_taken_in(visit, shared, monkeypatch):  # noqa: F811
    from test_estimate import asked

    monkeypatch.setattr(registry, "shape_and_engine", lambda *_, **__: (make_lm().shape, "fast"))
    before = expected_seconds(asked(model=NAME), (2, 3), 8)
    taken(visit, shared / "exit_head.safetensors")
    assert expected_seconds(asked(model=NAME), (2, 3), 8) != before


def test_why_the_time_of_a_fit_is_not_known_is_said_and_what_cannot_be_fitted_is_not_offered(visit, tmp_path):
    absent = head.head_of(visit, "somebody/else")
    assert absent.is_offered and absent.foretold is None
    assert "How long it takes is not known yet" in head_note(absent, WORDS)
    (tmp_path / "config.json").write_text('{"model_type": "nobody"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    strange = head.head_of(visit, str(tmp_path))
    assert not strange.is_offered and strange.takes_in
    note = head_note(strange, WORDS)
    assert "None can be fitted here: model family" in note and "How long" not in note


def test_the_time_of_a_fit_is_foretold_once_the_model_is_here(visit, monkeypatch):
    known = []
    shape = make_lm().shape

    def shape_and_engine(*_, **__):
        if not visit.service.models.names:
            raise NotHereError("not here")
        return shape, "fast"

    monkeypatch.setattr(registry, "shape_and_engine", shape_and_engine)
    assert head.head_of(visit, NAME).foretold is None
    for update in head.fit(visit, NAME):
        known += [update.head] if update.head else []
    assert known[0].foretold is not None and known[0].config is None and known[-1].config is not None
