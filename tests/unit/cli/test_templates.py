"""Go's templates: what scripts write, what Go answers, and whatever anybody may type."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bocker.cli.template_functions import HEADER_FUNCTIONS, Method
from bocker.cli.templates import Template
from bocker.core.errors import InvalidValue


class Chosen(dict):
    """Names that people chose."""


DATA = {
    "ID": "img_42002",
    "Size": 12,
    "Share": 0.5,
    "On": True,
    "Off": False,
    "Nothing": None,
    "Env": ["A=1", "B=two=2"],
    "Empty": [],
    "Labels": Chosen({"b.c": "2", "a": "1"}),
    "State": {"Pid": 7, "Status": "running", "Deep": {"er": "x"}},
    "Mounts": [{"Name": "one"}, {"Name": "two"}],
    "Label": Method(lambda name: f"<{name}>"),
}


def rendered(text: str) -> str:
    return Template(text).render(DATA)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("plain } { }} text", "plain } { }} text"),
        ("{{.ID}}", "img_42002"),
        ("{{ .State.Pid }}:{{.State.Deep.er}}", "7:x"),
        ("{{.Size}} {{.Share}} {{.On}} {{.Nothing}}", "12 0.5 true <no value>"),
        ("{{.Env}} {{.Labels}} {{.Empty}}", "[A=1 B=two=2] map[a:1 b.c:2] []"),
        ("{{.Labels.a}} {{.Labels.none}}", "1 <no value>"),
        ('{{index .Labels "b.c"}}{{index .Labels "none"}}', "2"),
        ("{{index .Env 1}} {{index .Mounts 0 `Name`}} {{(index .Mounts 1).Name}}", "B=two=2 one two"),
        ("{{json .Labels}} {{json .Env}} {{json .Nothing}}", '{"b.c":"2","a":"1"} ["A=1","B=two=2"] null'),
        ("{{json .ID}}", '"img_42002"'),
        ('{{upper .ID}} {{lower "ÄB"}} {{title "a bc"}}', "IMG_42002 äb A Bc"),
        ('{{join .Env "|"}} {{split "a,b" ","}}', "A=1|B=two=2 [a b]"),
        ('{{.Env | len}} {{len "é"}} {{len .Labels}}', "2 2 2"),
        ("{{println 1 2}}{{print 1 2 `x` 3}}", "1 2\n1 2x3"),
        (
            '{{printf "%s|%d|%q|%v|%5d|%-5s|%05d|%.2f|%%|%t" .ID 7 "a\\"b" .Env 7 "x" 7 .Share .On}}',
            'img_42002|7|"a\\"b"|[A=1 B=two=2]|    7|x    |00007|0.50|%|true',
        ),
        ('{{printf "%d %s" "x"}} {{printf "a" 1}}', "%!d(string=x) %!s(MISSING) a%!(EXTRA int=1)"),
        ("{{if .On}}yes{{else}}no{{end}}", "yes"),
        ("{{if .Empty}}1{{else if .Size}}2{{else}}3{{end}}", "2"),
        ("{{if .Off}}1{{else if .Nothing}}2{{else}}3{{end}}", "3"),
        ("{{range .Env}}{{.}};{{end}}", "A=1;B=two=2;"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range $i, $e := .Env}}{{$i}}={{$e}} {{$.ID}};{{end}}", "0=A=1 img_42002;1=B=two=2 img_42002;"),
        ("{{range $k, $v := .Labels}}{{$k}}:{{$v}} {{end}}", "a:1 b.c:2 "),
        ("{{range $m := .Mounts}}{{$m.Name}}{{.Name}} {{end}}", "oneone twotwo "),
        ("{{range .Nothing}}x{{end}}", ""),
        ("{{with .State}}{{.Pid}}{{end}}{{with .Nothing}}x{{else}}y{{end}}", "7y"),
        ("{{with $x := .State}}{{$x.Pid}}{{end}}", "7"),
        ("{{$x := 1}}{{if .On}}{{$x = 2}}{{$y := 3}}{{$y}}{{end}}{{$x}}", "32"),
        ('{{eq .ID "img_42002"}} {{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{ge "b" "a"}}', "true true true true true"),
        ("{{and .On .Size}} {{and .Off .None.None}} {{or .Off .ID}} {{not .Off}}", "12 false img_42002 true"),
        ('{{if and (eq .State.Status "running") (not .Off)}}up{{end}}', "up"),
        ('{{"quoted" | printf "%s-%s" "x"}} {{"\\u00e9\\x41\\101\\n"}}', "x-quoted éAA\n"),
        ("a  {{- 1 -}}  b {{- /* remark }} */ -}} c", "a1bc"),
        ("{{/* remark */}}x", "x"),
        ("{{-5}} {{+5}} {{1.5}} {{true}}", "-5 5 1.5 true"),
        ('{{.Label "k"}} {{"k" | .Label}}', "<k> <k>"),
        ("{{truncate .ID 3}}{{pad `x` 1 2}}|", "img x  |"),
    ],
)
def test_what_go_answers(text, answer):
    assert rendered(text) == answer


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{{.None}}", 'no entry for key "None"'),
        ("{{.ID.x}}", "can't evaluate field x in type string"),
        ("{{.State.none}}", "none"),
        ("{{", "unclosed action"),
        ("{{.ID", "unclosed action"),
        ("{{}}", "missing value"),
        ("{{nope .ID}}", 'function "nope" not defined'),
        ("{{if .ID}}", "unexpected EOF"),
        ("{{end}}", "{{end}}"),
        ("{{if .ID}}{{else}}{{else}}{{end}}", "{{else}}"),
        ("{{else}}", "{{else}}"),
        ("{{end 5}}", "{{end}}"),
        ("{{if .ID}}{{end 5}}", "<5>"),
        ("{{$x}}", "undefined variable"),
        ("{{$x = 1}}", "undefined variable"),
        ("{{if .On}}{{$x := 1}}{{end}}{{$x}}", "undefined variable"),
        ("{{if .On}}{{$x := 1}}{{else}}{{$x}}{{end}}", "undefined variable"),
        ("{{range $x := .Env}}{{else}}{{$x}}{{end}}", "undefined variable"),
        ("{{..ID}}", "unexpected"),
        ("{{(.ID}}", "unclosed left paren"),
        ("{{.ID)}}", "unexpected"),
        ('{{"a""b"}}', "unexpected"),
        ("{{.ID .Size}}", "non-function"),
        ("{{.Label}}", "number of args"),
        ("{{.Label 5}}", "one string"),
        ("{{upper 5}}", "expected string"),
        ("{{join .ID `,`}}", "expected slice"),
        ("{{index .Env 9}}", "out of range"),
        ("{{index .Env `x`}}", "expected integer"),
        ("{{index .State `x`}}", "x"),
        ("{{index .Size 1}}", "can't index"),
        ("{{len 5}}", "len of type int"),
        ("{{len}}", "number of args"),
        ("{{and}}", "number of args"),
        ("{{eq 1 `x`}}", "incompatible types"),
        ("{{lt .On .On}}", "invalid type"),
        ("{{range 5}}{{end}}", "can't iterate"),
        ("{{range .ID}}{{end}}", "can't iterate"),
        ('{{template "x"}}', "template"),
        ("{{break}}", "break"),
        ('{{printf "%9999999d" 1}}', "too much"),
        ("{{1e999}}", "too large"),
        ("{{" + "9" * 40 + "}}", "too long"),
        ('{{"\\ud800"}}', "invalid syntax"),
        ('{{"\\q"}}', "invalid syntax"),
        ("{{" + "(" * 60 + "}}", "deep"),
        ("{{if .ID}}" * 60, "deep"),
        ("{{.ID" + "|print" * 60 + "}}", "deep"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(text, word):
    with pytest.raises(InvalidValue) as found:
        rendered(text)
    assert found.value.message.startswith("template parsing error: ")
    assert word in found.value.message


def test_an_unknown_field_comes_with_those_that_there_are():
    with pytest.raises(InvalidValue) as found:
        rendered("{{.State.Nope}}")
    assert found.value.hint == "there are Deep, Pid, Status"


def test_methods_are_no_data():
    assert "Label" not in json.loads(rendered("{{json .}}"))
    assert "Label:" not in rendered("{{.}}")


def test_the_names_of_the_fields_that_are_asked_for():
    template = Template("{{.A.B}}{{if .C}}{{(index .D 0).E}}{{$.F}}{{end}}")
    assert template.names == {"A", "B", "C", "D", "E", "F"}


def test_headers_pass_functions_unchanged():
    shown = Template("{{json .ID}} {{upper .Names}} {{truncate .ID 2}}").render(
        {"ID": "Image Id", "Names": "Names"}, HEADER_FUNCTIONS
    )
    assert shown == "Image Id Names Image Id"


def test_long_templates_are_no_deep_ones():
    assert rendered("{{.ID}}" * 3000) == "img_42002" * 3000
    assert rendered("{{if .Off}}{{else if .Off}}" + "{{else if .Off}}" * 3000 + "{{else}}x{{end}}") == "x"
    with pytest.raises(InvalidValue):
        rendered("{{.State" + ".x" * 5000 + "}}")


WORDS = (
    "{{ }} {{- -}} . .ID .State .State.Pid .Env .Labels $ $x := = | ( ) , if else end range with 1 -1 1.5 1e9 true nil "
    '"a" `b` " ` /* */ eq ne and or not index json lower upper title join split len println printf print pad truncate '
    'lt "%d" "%5s%q" "%!" .Label \\ } { template'
).split(" ")
PIECES = st.sampled_from([*WORDS, " ", " "])
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(PIECES, max_size=25).map("".join),
    st.lists(PIECES, max_size=12).map(lambda words: "{{" + " ".join(words) + "}}"),
    st.lists(st.lists(PIECES, max_size=6).map(lambda words: "{{" + " ".join(words) + "}}"), max_size=6).map("x".join),
)


@given(TEXTS)
@example('{{$ ":="}}')
@example('{{(.ID ")")}}')
@example("{{$x := 1}}{{range $x := .Env}}{{end}}{{$x}}")
@example("{{range $x, $x := .Env}}{{$x}}{{end}}")
@example("{{range $x, 1 := .Env}}{{$x}}{{end}}")
def test_any_text_is_rendered_or_refused(text):
    for functions in (None, HEADER_FUNCTIONS):
        try:
            template = Template(text)
            shown = template.render(DATA) if functions is None else template.render(DATA, functions)
        except InvalidValue:
            continue
        assert isinstance(shown, str)
        if "{{" not in text:
            assert shown == text
