import pytest

AFTER = ("--after", "2026-11-23T22:00:00Z")


def test_next_tells_the_slots_of_an_expression_without_a_store(cli, store):
    answer = cli("next", "30 2 * * *", "--tz", "Europe/Berlin", "-n", "3", *AFTER, "--json")
    assert answer.json == ["2026-11-24T01:30:00Z", "2026-11-25T01:30:00Z", "2026-11-26T01:30:00Z"]
    assert not store.exists()


def test_next_tells_ten_slots_unless_told_otherwise(cli):
    assert len(cli("next", "@hourly", "--json").json) == 10


def test_next_says_in_words_what_the_expression_means(cli):
    (title, *slots) = cli("next", "30 2 * * *", "-n", "2", *AFTER).out.splitlines()
    assert title.startswith("30 2 * * *  (")
    assert "02:30" in title
    assert slots[0].split()[:1] == ["2026-11-24T02:30:00Z"]


def test_next_marks_the_slots_on_a_change_of_the_clocks(cli):
    spring = ("--tz", "Europe/Berlin", "-n", "2", "--after", "2027-03-27T12:00:00Z")
    (_, marked, plain) = cli("next", "30 2 * * *", *spring).out.splitlines()
    assert marked == (
        "2027-03-28T01:00:00Z  2027-03-28 03:00:00+02:00  moved: its time does not exist that day"
    )
    assert plain == "2027-03-29T00:30:00Z  2027-03-29 02:30:00+02:00"


def test_next_of_a_schedule_uses_its_own_zone_and_id(cli):
    cli("register", "x", "--cron", "H 2 * * *", "--tz", "Asia/Tokyo", "--", "true")
    own = cli("next", "x", "-n", "1", *AFTER, "--json").json
    same = cli("next", "H 2 * * *", "--tz", "Asia/Tokyo", "--id", "x", "-n", "1", *AFTER, "--json")
    assert own
    assert own[0][14:] == same.json[0][14:]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["61 * * * *"], "61"),
        (["0 0 30 2 *"], "0 0 30 2 *"),
        (["@daily", "--tz", "../etc/passwd"], "../etc/passwd"),
        (["@reboot"], "@reboot"),
        (["x", "--tz", "UTC"], "'x' is a schedule"),
        (["@daily", "--after", "now"], "--after: 'now'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_2(cli, words, said):
    answer = cli("next", *words)
    assert answer.status == 2
    assert said in answer.err


def test_all_schedules_stand_on_one_line_of_time(cli):
    for name, cron in {"a": "0 3 * * *", "b": "0 3,4 * * *", "tick": "* * * * * *"}.items():
        assert cli("register", name, "--cron", cron, "--", "true").status == 0
    told = cli("next", "--all", "-n", "2", "--after", "2030-01-01T00:00:00Z")
    assert told.out == (
        "all the time: tick (3600 an hour)\n"
        "\n"
        "AT                    AT ONCE  SCHEDULES\n"
        "2030-01-01T03:00:00Z  2        a, b\n"
        "2030-01-01T04:00:00Z  1        b\n"
    )
    found = cli("next", "--all", "--json").json
    first = sorted(each["schedules"] for each in found["slots"][:2])
    assert first == [["a", "b"], ["b"]]
    assert len(found["slots"]) == 10
    assert found["often"] == [{"id": "tick", "slots_an_hour": 3600}]


def test_all_and_something_else_exclude_each_other(cli):
    assert cli("next", "--all", "@daily").status == 2
    assert cli("next", "--all", "--tz", "UTC").status == 2
    assert cli("next").status == 2
