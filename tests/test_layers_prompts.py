"""Layer choices as text, and prompts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcl_core.errors import SettingsError
from hcl_core.settings.layers import LayerList, LayerRange, format_layers, parse_layer_choice, parse_layers
from hcl_core.settings.prompts import TEMPLATE_NAMES, PromptTemplate, load_template

LAYERS = st.sets(st.integers(1, 100), min_size=1).map(lambda layers: tuple(sorted(layers)))


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("all", (1, 2, 3, 4, 5, 6)),
        ("2::2", (2, 4, 6)),
        ("4:", (4, 5, 6)),
        (" ALL ", (1, 2, 3, 4, 5, 6)),
        ("2:4", (2, 3, 4)),
        ("1:6:2", (1, 3, 5)),
        ("2:6:2", (2, 4, 6)),
        ("3:3", (3,)),
        ("2:5:9", (2,)),
        ("6", (6,)),
        ("1,3,6", (1, 3, 6)),
        ("6,1, 3", (1, 3, 6)),
        ("2,2,2", (2,)),
        (" 1 : 3 ", (1, 2, 3)),
    ],
)
def test_parse_layers_reads(text, layers):
    assert parse_layers(text, 6) == layers


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "some",
        "1,",
        ",1",
        "1,,2",
        "1.5",
        ":4",
        ":",
        "1:2:",
        "1:2:3:4",
        "1-4",
        "1;2",
        "1:4,6",
        "4:1",
        "1:4:0",
    ]
    + ["1:4:-1", "--2"],
)
def test_parse_layers_refuses_what_it_cannot_read(text):
    with pytest.raises(SettingsError, match="layers must be 'all', start:stop"):
        parse_layers(text, 6)


@pytest.mark.parametrize(
    ("text", "layer"),
    [("7", 7), ("0", 0), ("-1", -1), ("1,7", 7), ("0:3", 0), ("1:7", 7), ("-2:3", -2), ("1:1000000000000", 10**12)],
)
def test_parse_layers_refuses_layers_that_do_not_exist(text, layer):
    with pytest.raises(SettingsError, match=f"exit layer {layer} does not exist: this model has layers 1 to 6"):
        parse_layers(text, 6)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ((1, 2, 3), "1:3"),
        ((2, 4, 6), "2:6:2"),
        ((5,), "5"),
        ((1, 2), "1,2"),
        ((1, 2, 4), "1,2,4"),
        ((24, 28, 30), "24,28,30"),
    ],
)
def test_format_layers_writes(layers, text):
    assert format_layers(layers) == text


RANGES = st.builds(
    lambda start, length, step: LayerRange(start, None if length is None else start + length, step),
    st.integers(1, 50),
    st.none() | st.integers(0, 50),
    st.integers(1, 10),
)


@given(RANGES | LAYERS.map(LayerList))
def test_a_layer_choice_is_read_back_from_its_text(choice):
    assert parse_layer_choice(str(choice)) == choice


def test_an_open_range_ends_at_the_last_layer_of_each_model():
    choice = parse_layer_choice("2::2")
    assert (choice.resolve(4), choice.resolve(7)) == ((2, 4), (2, 4, 6))


@pytest.mark.parametrize("layers", [(), (2, 1), (1, 1)])
def test_a_layer_list_must_be_ascending_and_not_empty(layers):
    with pytest.raises(SettingsError, match="must be ascending and not empty"):
        LayerList(layers)


def test_an_open_range_that_starts_below_the_last_layer_of_the_model_is_refused():
    with pytest.raises(SettingsError, match="exit layer 9 does not exist: this model has layers 1 to 6"):
        parse_layer_choice("9:").resolve(6)


@given(LAYERS)
def test_formatted_layers_are_read_back(layers):
    assert parse_layers(format_layers(layers), 100) == layers


@given(LAYERS)
def test_formatted_layers_are_never_longer_than_the_list(layers):
    assert len(format_layers(layers)) <= len(",".join(map(str, layers)))


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 10))
def test_parse_layers_includes_the_stop(start, length, step):
    layers = parse_layers(f"{start}:{start + length}:{step}", 100)
    assert layers == tuple(
        layer for layer in range(1, 101) if start <= layer <= start + length and (layer - start) % step == 0
    )


# Prompts.


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_built_in_template_asks_the_question_once(name):
    prompt = load_template(name).render("Name a fish?", wrap_chat=str)
    assert prompt.count("Name a fish?") == 1
    assert "{question}" not in prompt


@pytest.mark.parametrize("name", ["few_shot", "instruction"])
def test_plain_template_ends_where_the_answer_begins(name):
    assert load_template(name).render("Name a fish?").endswith("Question: Name a fish?\nAnswer:")


def test_few_shot_is_the_default():
    assert load_template() == load_template("few_shot")


@pytest.mark.parametrize(
    "question", ["What is {x}?", "{", "}{", "{0}", "{{}}", "{question}", "100 % {sure!r} \\1 $x %s", "{question:>10}"]
)
def test_braces_in_a_question_are_data(question):
    assert PromptTemplate("file", "Q: {question}\nA:").render(question) == f"Q: {question}\nA:"


@given(st.text())
def test_any_question_is_rendered_as_its_words(question):
    rendered = PromptTemplate("file", "Q: {question}|A:").render(question)
    assert rendered == "Q: " + " ".join(question.split()) + "|A:"


def test_braces_in_a_template_are_data():
    assert PromptTemplate("file", '{"q": "{question}"} {0}').render("Why?") == '{"q": "Why?"} {0}'


def test_white_space_in_a_question_is_collapsed():
    assert PromptTemplate("file", "Q: {question}\nA:").render("  Name\n\na \t planet. \r\n") == "Q: Name a planet.\nA:"


def test_white_space_in_a_template_is_kept():
    assert PromptTemplate("file", "\n  {question} \n").render("Why?") == "\n  Why? \n"


def test_chat_template_is_wrapped():
    prompt = load_template("chat").render("Why?", wrap_chat=lambda turn: f"<user>{turn}</user><assistant>")
    assert prompt.startswith("<user>") and prompt.endswith("Why?</user><assistant>")


def test_chat_template_without_wrap_is_refused():
    with pytest.raises(SettingsError, match="no chat template: use few_shot or instruction"):
        load_template("chat").render("Why?")


@pytest.mark.parametrize("name", ["few_shot", "instruction"])
def test_plain_template_is_not_wrapped(name):
    template = load_template(name)
    assert template.render("Why?", wrap_chat=lambda turn: "wrapped") == template.render("Why?")


def test_unknown_template_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match="few_shot, instruction, chat; got 'fewshot'"):
        load_template("fewshot")


def test_template_file_is_read(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("Réponds : {question}\n", encoding="utf-8")
    assert load_template(file=file).render("Why?") == "Réponds : Why?\n"


def test_template_file_wins_over_the_name(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("{question}", encoding="utf-8")
    assert load_template("chat", file) == PromptTemplate("file", "{question}")


@pytest.mark.parametrize("text", ["", "Q: A:", "{Question}", "{ question }", "question"])
def test_template_file_without_question_is_refused(tmp_path, text):
    file = tmp_path / "mine.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"must contain \{question\}"):
        load_template(file=file)


def test_missing_template_file_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot read the template file .*mine\.txt"):
        load_template(file=tmp_path / "mine.txt")


def test_template_file_that_is_a_directory_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="cannot read the template file"):
        load_template(file=tmp_path)


def test_template_file_that_is_no_utf_8_is_refused(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_bytes(b"{question} \xff")
    with pytest.raises(SettingsError, match="cannot read the template file"):
        load_template(file=file)


def test_template_file_keeps_no_byte_order_mark(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_bytes(b"\xef\xbb\xbfQ: {question}")
    assert load_template(file=file).render("Why?") == "Q: Why?"
