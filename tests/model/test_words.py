"""Expressions in plain English."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.model.words import words


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("* * * * *", "every minute"),
        ("* * * * * *", "every second"),
        ("*/15 * * * *", "every 15 minutes"),
        ("*/10 * * * * *", "every 10 seconds"),
        ("30 2 * * *", "at 02:30 every day"),
        ("0 9,17 * * *", "at 09:00 and 17:00 every day"),
        ("30 0 3 * * *", "at 03:00:30 every day"),
        ("*/15 9-17 * * 1-5", "every 15 minutes from 09:00 to 17:59 from Monday to Friday"),
        ("5 * * * *", "at minute 5 of every hour"),
        ("0 */2 * * *", "at minute 0 of every second hour"),
        ("0 6 1 * *", "at 06:00 on the 1"),
        ("0 6 L * *", "at 06:00 on the last day of the month"),
        ("0 6 13 * 5", "at 06:00 on the 13 or on Friday"),
        ("0 6 */2 * 1", "at 06:00 on the 1, the 3, the 5"),
        ("0 9 * * MON#2", "at 09:00 on the second Monday"),
        ("0 9 * * 5L", "at 09:00 on the last Friday"),
        ("0 0 1 1 *", "at 00:00 on the 1 in January"),
        ("@daily", "at 00:00 every day"),
        ("@every 90s", "every 1m30s"),
        ("H 3 * * *", "where H picks by the schedule's id"),
        ("0 3 * * THU", "at 03:00 on Thursday"),
    ],
)
def test_an_expression_is_said_in_words(cron: str, said: str) -> None:
    assert said in words(cron)


def test_with_an_id_what_h_picks_is_said() -> None:
    assert "H" not in words("H 3 * * *", "backup")


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    st.builds(
        "{} {} {} {} {}".format,
        st.sampled_from(["*", "*/7", "5,7-9"]),
        st.sampled_from(["*", "1-3", "2,7", "*/5"]),
        st.sampled_from(["*", "*/2", "L", "1,L"]),
        st.sampled_from(["*", "2", "1-6"]),
        st.sampled_from(["*", "*/2", "1#1,3", "7"]),
    )
)
def test_every_expression_has_words_in_one_line(cron: str) -> None:
    said = words(cron)
    assert said
    assert "\n" not in said
    assert "  " not in said
