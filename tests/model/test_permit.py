"""Which commands of the store a node's patterns permit."""

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.model.permit import Offer, covered, permitted

BACKUP = ("/usr/local/bin/backup *", "/bin/true")


def test_without_patterns_every_command_is_permitted_and_with_none_of_them_no_command():
    assert permitted(None, "rm -rf /")
    assert not permitted((), "true")
    assert not permitted((), ["true"])


@pytest.mark.parametrize(
    "command",
    ["/bin/true", ["/bin/true"], "/usr/local/bin/backup --all a=b", ["/usr/local/bin/backup", "x"]],
)
def test_what_matches_is_permitted(command):
    assert permitted(BACKUP, command)


@pytest.mark.parametrize(
    "command",
    [
        "/bin/true x",
        "/usr/local/bin/backup",
        ["/usr/local/bin/backup --all"],  # one word, which is another program
        ["/usr/local/bin/backups", "x"],
        " /bin/true",
        "/BIN/TRUE",
        "",
        [],
    ],
)
def test_what_does_not_match_is_not_permitted(command):
    assert not permitted(BACKUP, command)


SHELL = [*";&|<>$`\\\"'(){}[]*?#~!^", *"\n\r\t\0\v\u2028\xe9"]


@pytest.mark.parametrize("means", SHELL)
def test_a_wildcard_does_not_let_a_shell_do_more_than_the_pattern_says(means):
    assert not permitted(BACKUP, f"/usr/local/bin/backup x {means} touch y")
    assert permitted(BACKUP, ["/usr/local/bin/backup", f"{means} touch y"])  # no shell sees it


def test_a_text_that_a_shell_acts_on_is_permitted_letter_by_letter():
    text = "cd /srv && ./report > out; test -s out"
    assert permitted((text,), text)
    assert not permitted((text,), f"{text} ")
    assert not permitted((f"{text}*",), f"{text}; id")


@settings(deadline=None, derandomize=True)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.text(max_size=3))
def test_a_list_is_permitted_by_its_own_words_and_by_no_others(words, more):
    pattern = "".join(f"[{each}]" if each in "*?[" else each for each in shlex.join(words))
    assert permitted((pattern,), words)
    assert not permitted((pattern,), [*words, more])


def test_an_offer_covers_handlers_and_of_commands_what_is_permitted():
    offer = Offer(frozenset({"run", "run?gpu=a100", "bill"}), BACKUP)
    assert covered([offer], "bill", None)
    assert covered([offer], "run?gpu=a100", "/bin/true")
    assert not covered([offer], "run?gpu=b200", "/bin/true")
    assert not covered([offer], "run", "reboot")
    assert covered([offer, Offer(frozenset({"run"}))], "run", "reboot")
    assert offer.surely == {"bill"}
    assert Offer(offer.needs).surely == offer.needs
