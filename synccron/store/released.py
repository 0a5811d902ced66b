"""The fields that each record had when its layout was first released.

These are always written. A field that came later is left out while it has its default: so a node of
the version before reads everything that uses nothing new, and two neighbouring versions work on one
store. The default of such a field is a promise for good: what lacks the field means it.
"""

from collections.abc import Mapping

_RECORDS = {
    "Attempt": "attempt node fence started_at finished_at outcome exit_code error",
    "Cursor": "next decided_until history_from failures retry_at last_slot last_error mod",
    "DeadLetter": "id kind schedule_id slot key job_id message attempts ts node epoch needs input",
    "Definition": "id cron tz run handler input misfire max_catch_up_runs misfire_grace overlap"
    " timeout kill_after retry on_lost env cwd user labels strict_handlers max_dispatch_failures"
    " enabled",
    "Job": "id kind schedule_id state run_at created_at needs slot key retry_of input revision"
    " alone max_attempts attempts lost lateness retry_delay session finished_at exit_code error"
    " result cancel_requested_at mod",
    "Kept": "at digest line nonce state",
    "Lead": "node session ttl lease",
    "Meta": "schema incarnation fence_base epoch_base",
    "Miss": "schedule_id first last count reason recorded_at follows",
    "Node": "id session host pid version started_at tzdata concurrency offers labels running"
    " counters ticked_at last_seen_at live",
    "Retry": "max_attempts backoff delay max_delay",
    "Revision": "schedule_id version definition at by cursor tzdata",
    "Seat": "node pid start boot",
    "Standing": "definition version created_at updated_at paused paused_until pause_reason",
    "Sums": "counters last_tick_at dead_letters_trimmed horizon",
    "Tombstone": "id version decided_until mod",
}
FIRST: Mapping[str, frozenset[str]] = {
    name: frozenset(names.split()) for name, names in _RECORDS.items()
}
