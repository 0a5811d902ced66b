"""What a node must offer, as one text."""

from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.model.needs import handler_in, in_words, labels_in, needs_of, offered

LABELS = st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=4)


@settings(deadline=None, derandomize=True)
@given(st.sampled_from([None, "billing", "a.b:c"]), LABELS)
def test_handler_and_labels_are_read_as_they_were_written(handler, labels):
    needs = needs_of(handler, labels)
    assert handler_in(needs) == (handler or "run")
    assert labels_in(needs) == labels


def test_without_labels_it_is_the_handler_alone():
    assert needs_of(None, {}) == "run"
    assert needs_of("billing", {}) == "billing"


@settings(deadline=None, derandomize=True)
@given(LABELS, LABELS)
def test_a_node_offers_what_it_has_the_handler_and_all_labels_of(wanted, carried):
    needs = needs_of("billing", wanted)
    found = offered([needs], frozenset({"run", "billing"}), carried)
    assert (needs in found) == (wanted.items() <= carried.items())
    assert offered([needs], frozenset({"run"}), carried) == {"run"}


def test_what_is_needed_is_said_in_words():
    assert in_words("run") == "'run'"
    assert in_words(needs_of("billing", {"zone": "eu", "gpu": "a100"})) == (
        "'billing' with gpu=a100 zone=eu"
    )
