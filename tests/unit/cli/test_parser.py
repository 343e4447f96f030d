"""The command line as docker's users write it, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocker.cli.parser import parse_arguments, parse_globals, unknown_verb
from bocker.cli.verbs import VERBS, find
from bocker.core.errors import UsageError

RUN = find("run")
LOGS = find("logs")
EXEC = find("exec")
INIT = find("init")
RM = find("rm")

any_words = st.lists(st.text(st.characters(exclude_characters="\0"), max_size=8), max_size=6).map(tuple)
flag_like = st.lists(
    st.sampled_from(["--", "-", "-i", "-it", "-n", "-n5", "--tail", "--tail=5", "--rm", "--rm=no", "-h", "--x", "a"]),
    max_size=6,
).map(tuple)


def answer_of(parse, *arguments):
    """What a parser returns, or the UsageError that it raises; anything else fails the test."""
    try:
        return parse(*arguments)
    except UsageError as error:
        return error


@pytest.mark.parametrize("words", [("--tail", "5"), ("--tail=5",), ("-n", "5"), ("-n5",), ("-n=5",)])
def test_a_value_is_written_in_any_of_dockers_ways(words):
    arguments = parse_arguments(LOGS, (*words, "web"))
    assert arguments.values == {"tail": ("5",)}
    assert arguments.words == ("web",)


def test_a_value_may_be_given_again_and_all_are_kept_in_their_order():
    arguments = parse_arguments(RUN, ("-e", "A=1", "--env=B", "-eA=2", "img_42002", "-e", "C"))
    assert arguments.values == {"env": ("A=1", "B", "A=2")}
    assert arguments.words == ("img_42002", "-e", "C")


def test_switches_may_be_bundled():
    assert parse_arguments(LOGS, ("-ft", "web")).switches == {"follow", "timestamps"}


def test_a_bundle_may_end_with_a_value():
    arguments = parse_arguments(LOGS, ("-ftn5", "web"))
    assert arguments.switches == {"follow", "timestamps"}
    assert arguments.values == {"tail": ("5",)}


def test_a_switch_can_be_said_true_or_false():
    assert parse_arguments(LOGS, ("-f", "--follow=false", "web")).switches == frozenset()
    assert parse_arguments(LOGS, ("--follow=true", "web")).switches == {"follow"}


def test_flags_may_stand_after_the_words_of_most_commands():
    arguments = parse_arguments(INIT, ("./dir", "-t", "debian:12"))
    assert arguments.words == ("./dir",)
    assert arguments.values == {"tag": ("debian:12",)}


def test_W6_two_dashes_end_the_flags():
    assert parse_arguments(INIT, ("--", "-dir")).words == ("-dir",)


def test_an_empty_value_is_a_value():
    assert parse_arguments(LOGS, ("--tail=", "web")).values == {"tail": ("",)}


@given(any_words.filter(bool))
def test_W8_after_the_image_every_word_is_the_programs(words):
    """Flags of ours included: `bocker run img ls --rm` gives ls its --rm."""
    arguments = parse_arguments(RUN, ("--rm", "img_42002", *words))
    assert arguments.words == ("img_42002", *words)
    assert arguments.switches == {"rm"}


@given(any_words.filter(bool))
def test_W8_exec_passes_words_on_as_well(words):
    assert parse_arguments(EXEC, ("web", *words)).words == ("web", *words)


@given(st.sampled_from(VERBS), st.one_of(any_words, flag_like))
def test_any_words_are_read_or_refused_with_a_usage_error(verb, words):
    answer = answer_of(parse_arguments, verb, words)
    if isinstance(answer, UsageError):
        assert answer.hint == f"usage: {verb.usage}"
    else:
        most = len(words) if verb.most is None else verb.most
        assert "help" in answer.switches or verb.least <= len(answer.words) <= most


@given(st.one_of(any_words, flag_like))
def test_any_words_before_the_command_are_read_or_refused(words):
    answer = answer_of(parse_globals, words)
    assert isinstance(answer, UsageError) or answer.help or answer.version or answer.rest


@pytest.mark.parametrize(
    ("verb", "words", "message"),
    [
        (RUN, ("--bogus", "img", "true"), "unknown flag: --bogus"),
        (RUN, ("-x", "img", "true"), "unknown flag: -x"),
        (RUN, ("-ix", "img", "true"), "unknown flag: -x in -ix"),
        (RUN, ("--q", "img", "true"), "unknown flag: --q"),
        (RUN, (), "bocker run needs IMAGE [COMMAND] [ARG...]"),
        (RUN, ("--name",), "flag --name needs a value"),
        (RUN, ("--rm=maybe", "img", "true"), "flag --rm takes no value"),
        (LOGS, ("-n",), "flag -n needs a value"),
        (EXEC, ("web",), "bocker exec needs CONTAINER COMMAND [ARG...]"),
        (LOGS, ("web", "other"), "unexpected argument: other"),
        (RM, (), "bocker rm needs ID..."),
    ],
)
def test_U4_U5_mistakes_say_what_is_wrong_and_how_it_is_written(verb, words, message):
    with pytest.raises(UsageError) as caught:
        parse_arguments(verb, words)
    assert caught.value.message == message
    assert caught.value.hint == f"usage: {verb.usage}"


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_needs_no_words(word):
    assert "help" in parse_arguments(RUN, (word,)).switches


def test_S18_an_assignment_is_words_and_never_evaluated():
    given_words = parse_globals(("--a[$(touch /x)]=1", "images"))
    assert given_words.assigned == (("a[$(touch /x)]", "1", "--a[$(touch /x)]"),)
    assert given_words.rest == ("images",)


def test_an_assignment_may_hold_an_equals_sign():
    assert parse_globals(("--store=/a=b", "ps")).assigned == (("store", "/a=b", "--store"),)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("rnu", "did you mean: bocker run"),
        ("image", "did you mean: bocker images"),
        ("comit", "did you mean: bocker commit"),
        ("zzzzzzzzzz", "see: bocker help"),
    ],
)
def test_U3_an_unknown_command_suggests_the_nearest(typed, hint):
    assert unknown_verb(typed).hint == hint


def test_an_unknown_command_is_shown_without_its_escapes():
    assert unknown_verb("\x1b[31m").message == "unknown command: \\x1b[31m"
