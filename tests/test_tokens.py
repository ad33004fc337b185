from hypothesis import given
from hypothesis import strategies as st
from learn_to_steer.steering.tokens import occurrence, positions


def test_positions_of_the_wanted_occurrence():
    ids = [9, 1, 2, 3, 1, 2, 8, 8]
    assert positions(ids, [1, 2]) == (1, 2)
    assert positions(ids, [1, 2], 1) == (4, 5)
    assert positions(ids, [1, 2], 2) == ()
    assert positions(ids, []) == ()


def test_occurrence_counts_whole_words_in_any_case():
    prompt = "A dog, a doghouse, a Dog left of a dog"
    start = prompt.rindex("dog")
    assert occurrence(prompt, (start, start + 3)) == 2
    assert occurrence(prompt, (2, 5)) == 0


@given(
    st.lists(st.integers(0, 3), max_size=30),
    st.lists(st.integers(0, 3), min_size=1, max_size=3),
    st.integers(0, 5),
)
def test_positions_hold_the_phrase(ids, phrase, which):
    found = positions(ids, phrase, which)
    assert [ids[i] for i in found] == (phrase if found else [])
