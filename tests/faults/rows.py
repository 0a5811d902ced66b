"""Every fault that is planned for, by its number, and the tests that break it.

`release` is how often a release tries it, where that is more than each test once; what is told of
it stands in docs/reliability.md.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A fault: its number, what is broken, the tests that do it, and how often for a release."""

    number: str
    fault: str
    tests: tuple[str, ...]
    release: int = 1


_HERE = "tests/faults/"
_CLUSTER = f"{_HERE}test_cluster.py::test_"
_CLOCKS = f"{_HERE}test_clocks.py::test_"
_NETWORK = f"{_HERE}test_network.py::test_"
_HOST = f"{_HERE}test_host.py::test_"
_LIFE = f"{_HERE}test_life.py::test_"
_TORTURE = (f"{_HERE}test_torture.py::test_a_node_outlives_a_handler_that",)
_FILE = "tests/store/test_file.py::test_"
_FILES = "tests/store/test_files.py::test_"

ROWS = (
    Row("F1", "leader killed with -9", (f"{_CLUSTER}leaders_are_killed",), 500),
    Row(
        "F2",
        "node killed with -9 while it runs jobs",
        (
            f"{_HOST}nodes_are_killed_in_mid_handler",
            f"{_HERE}test_crash.py::test_the_laws_hold_while_nodes_are_killed",
        ),
        1000,
    ),
    Row(
        "F3",
        "process killed right before and after each write",
        (
            f"{_HERE}test_failpoints.py::test_a_node_is_killed_at_each_write_to_sqlite",
            f"{_HERE}test_failpoints.py::test_a_node_is_killed_at_writes_to_etcd",
            f"{_HERE}test_failpoints.py::test_law_7_a_trigger_that_was_killed_is_repeated_and_runs_once",
        ),
    ),
    Row(
        "F4",
        "leader stopped past its lease and woken",
        (
            f"{_CLUSTER}leaders_are_stopped_and_woken",
            f"{_CLUSTER}a_deposed_leader_writes_nothing",
            f"{_HERE}test_crash.py::test_the_laws_hold_while_leaders_are_stopped_and_woken",
        ),
        100,
    ),
    Row(
        "F5",
        "node that is thought dead comes back with its results",
        (f"{_CLUSTER}a_node_that_is_cut_off_is_replaced_and_its_results_are_refused",),
        100,
    ),
    Row(
        "F6",
        "network cut: both ways, one way, flapping",
        (f"{_NETWORK}a_leader_that_is_cut_off_stops_dispatching_in_time",),
        300,
    ),
    Row("F7", "etcd without quorum", (f"{_CLUSTER}quorum_is_lost",), 30),
    Row(
        "F8",
        "members of etcd killed, one and all",
        (f"{_CLUSTER}members_are_killed", f"{_CLUSTER}all_members_are_restarted"),
        100,
    ),
    Row(
        "F9",
        "history compacted under watches",
        (
            f"{_NETWORK}no_trigger_is_missed_while_history_is_compacted_every_second",
            f"{_CLUSTER}history_is_compacted_under_watches_and_leases_are_revoked",
        ),
        3600,
    ),
    Row(
        "F10",
        "leases revoked and the leader's key deleted by hand",
        (f"{_NETWORK}who_leads_is_taken_away_by_hand",),
        200,
    ),
    Row(
        "F11",
        "tokens expire, passwords change",
        (
            f"{_CLUSTER}tokens_expire",
            "tests/store/test_etcd.py::test_a_password_that_changes_is_read_again",
        ),
        300,
    ),
    Row("F12", "etcd full", (f"{_CLUSTER}etcd_is_full",), 5),
    Row("F13", "etcd slow: members stop for 2 s", (f"{_NETWORK}members_stop_for_moments",), 300),
    Row(
        "F14",
        "wall clocks that jump",
        (
            f"{_CLOCKS}a_node_whose_clock_is_off_stops_leading_and_says_so",
            f"{_CLOCKS}a_wall_clock_that_jumps_runs_no_slot_twice",
        ),
        50,
    ),
    Row(
        "F15",
        "clocks 30 s apart, the lead handed over",
        (f"{_CLOCKS}two_clocks_half_a_minute_apart_lose_no_slot_and_double_none",),
        180,
    ),
    Row(
        "F16",
        "SQLite: disk full",
        (
            f"{_HOST}a_disk_that_is_full_while_nodes_run",
            f"{_FILES}on_a_full_disk_nothing_is_half_written_and_it_goes_on_when_there_is_room",
            f"{_FILE}a_full_disk_is_named_and_nothing_is_half_written",
        ),
        30,
    ),
    Row(
        "F17",
        "SQLite: power lost",
        (
            f"{_HERE}test_disk.py::test_law_7_what_was_acknowledged_survives_a_loss_of_power",
            f"{_HERE}test_disk.py::test_what_is_not_synced_is_lost_with_the_power_so_that_this_would_be_seen",
        ),
        20000,
    ),
    Row(
        "F18",
        "SQLite: the n-th call of the disk fails",
        (
            f"{_HERE}test_disk.py::test_a_disk_that_fails_at_any_call_loses_nothing_that_was_acknowledged",
        ),
        1000,
    ),
    Row(
        "F19",
        "SQLite: many processes at once",
        (
            f"{_HOST}many_processes_trigger_list_and_back_up_at_once",
            f"{_FILE}many_processes_write_at_once_and_nobody_is_told_to_wait",
        ),
        20,
    ),
    Row(
        "F20",
        "SQLite: damaged, foreign, unreadable files",
        (
            f"{_FILE}a_file_that_is_no_database_is_refused_and_left_as_it_is",
            f"{_FILE}a_database_that_was_cut_or_overwritten_is_refused",
            f"{_FILE}a_database_of_another_program_is_refused_and_left_as_it_is",
            f"{_FILE}a_place_that_cannot_be_used_is_refused_in_one_line",
            f"{_FILES}bytes_that_flipped_are_found_when_a_node_starts",
            f"{_FILES}on_a_read_only_disk_one_reads_and_does_not_write",
            f"{_FILES}what_belongs_to_another_user_is_refused",
            f"{_FILES}a_folder_is_no_store",
        ),
    ),
    Row(
        "F21",
        "two nodes on one file, the leader killed",
        (f"{_HOST}a_leader_that_is_killed_is_followed_at_once_on_its_host",),
        200,
    ),
    Row(
        "F22",
        "very much at once",
        (
            f"{_LIFE}a_long_queue_drains_and_what_is_due_meanwhile_is_not_held_up",
            f"{_CLUSTER}nodes_that_wake_together_do_not_stampede",
            f"{_HERE}test_burst.py::test_a_burst_is_written_before_its_second_and_leaves_the_lease_undisturbed",
        ),
    ),
    Row(
        "F23",
        "all nodes down for long",
        (
            f"{_LIFE}a_week_without_nodes_is_decided_at_once_and_every_slot_has_its_record",
            f"{_HERE}test_crash.py::test_an_outage_is_decided_by_each_misfire_policy",
        ),
    ),
    Row("F24", "handler ignores TERM", _TORTURE, 20),
    Row(
        "F25",
        "handler leaves processes behind",
        (
            *_TORTURE,
            f"{_HERE}test_torture.py::test_many_jobs_leave_memory_descriptors_and_processes_as_they_were",
        ),
        20,
    ),
    Row("F26", "handler's child holds its output open", _TORTURE, 20),
    Row("F27", "handler writes without end", _TORTURE, 3),
    Row("F28", "handler takes memory, CPU, processes, disk without end", _TORTURE),
    Row("F29", "handler ends in every other way", _TORTURE),
    Row(
        "F30",
        "one key, many callers at once",
        (f"{_HERE}test_keys.py::test_callers_with_one_key_get_one_job_at_once_and_ever_after",),
        1000,
    ),
    Row(
        "F31",
        "schedules edited, paused, removed while due",
        (f"{_LIFE}schedules_are_edited_paused_and_removed_while_they_are_due",),
        1000,
    ),
    Row(
        "F32",
        "node told to end, twice, or its terminal closed",
        (
            f"{_HOST}a_node_whose_terminal_is_closed_gives_its_jobs_back",
            f"{_CLUSTER}a_leader_hands_over",
            "tests/cli/test_run.py::test_a_node_that_is_told_to_stop_lets_its_jobs_end_and_exits_with_0",
            "tests/cli/test_run.py::test_a_second_signal_ends_a_node_at_once_and_its_job_is_given_back",
            "tests/cli/test_run.py::test_a_node_applies_its_files_at_the_start_and_on_hup",
        ),
        20,
    ),
    Row(
        "F33",
        "job that kills its node",
        (f"{_LIFE}a_job_that_kills_its_node_is_given_up_and_retried_once_by_hand",),
        5,
    ),
    Row(
        "F34",
        "stores of the version before, and after",
        ("tests/store/test_upgrade.py", "tests/store/test_upgrade_etcd.py"),
    ),
    Row("F35", "all of it at random, for long", ("tests/faults/test_soak.py",)),
)
