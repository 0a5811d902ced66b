"""The tables, and the way to them from any earlier version. Forward only.

docs/store-layout.md explains the layout. A version that is released is never edited: what changes
is a further entry of `MIGRATIONS`, and adds to what there is wherever that is possible: columns
with defaults, tables and indexes are nothing to a program that does not know them.
"""

APPLICATION_ID = 0x53794372  # "SyCr", in the header of the file

_FIRST = """
-- The counters: marks of versions, fencing tokens, epochs. Each only grows.
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  mark INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  dead_letters_trimmed INTEGER NOT NULL DEFAULT 0,
  horizon INTEGER,
  last_tick_at INTEGER
) STRICT;
INSERT INTO meta (one, mark, fence) VALUES (1, 0, 0);

CREATE TABLE counters (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE leader (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch INTEGER NOT NULL,
  session TEXT,
  node TEXT
) STRICT;
INSERT INTO leader (one, epoch) VALUES (1, 0);

CREATE TABLE nodes (
  id TEXT PRIMARY KEY,
  session TEXT NOT NULL UNIQUE,
  record TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The definition is the one of the newest revision: (id, version) is there as long as this row.
CREATE TABLE schedules (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  paused INTEGER NOT NULL,
  paused_until INTEGER,
  pause_reason TEXT,
  needs TEXT NOT NULL,
  mod INTEGER NOT NULL,
  next INTEGER NOT NULL,
  decided_until INTEGER NOT NULL,
  history_from INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  retry_at INTEGER,
  last_slot INTEGER,
  last_error TEXT,
  cursor_mod INTEGER NOT NULL,
  due_at INTEGER GENERATED ALWAYS AS (
    CASE WHEN paused THEN NULL ELSE max(next, coalesce(retry_at, next)) END
  ) VIRTUAL
) STRICT;
CREATE INDEX schedule_due ON schedules (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX schedule_needs ON schedules (needs);
CREATE INDEX schedule_paused ON schedules (paused_until) WHERE paused = 1;

CREATE TABLE tombstones (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  decided_until INTEGER NOT NULL,
  mod INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revisions (
  seq INTEGER PRIMARY KEY,
  schedule_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  definition TEXT NOT NULL,
  at INTEGER NOT NULL,
  by TEXT NOT NULL,
  cursor INTEGER NOT NULL,
  tzdata TEXT NOT NULL,
  UNIQUE (schedule_id, version)
) STRICT;

-- `line` is what retention counts by: a schedule, or the jobs that were submitted to a handler.
-- `first` is 0 while a job that must run alone waits behind another of its schedule.
CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  schedule_id TEXT,
  state TEXT NOT NULL,
  run_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  needs TEXT NOT NULL,
  slot INTEGER,
  key TEXT,
  retry_of TEXT,
  input TEXT,
  revision INTEGER,
  alone INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  attempts TEXT NOT NULL,
  lost INTEGER NOT NULL,
  lateness INTEGER,
  retry_delay INTEGER,
  session TEXT,
  finished_at INTEGER,
  exit_code INTEGER,
  error TEXT,
  result TEXT,
  cancel_requested_at INTEGER,
  mod INTEGER NOT NULL,
  fence INTEGER,
  first INTEGER NOT NULL DEFAULT 1,
  phase TEXT GENERATED ALWAYS AS (
    CASE
      WHEN state = 'scheduled' THEN iif(kind = 'slot' AND revision IS NULL, 'intended', 'retrying')
      WHEN state IN ('queued', 'running') THEN state
      ELSE 'settled'
    END
  ) VIRTUAL,
  ready INTEGER GENERATED ALWAYS AS (first = 1 AND state IN ('scheduled', 'queued')) VIRTUAL,
  line TEXT GENERATED ALWAYS AS (coalesce(schedule_id, 'submit:' || needs)) VIRTUAL
) STRICT;
CREATE INDEX job_line ON jobs (line, seq);
CREATE INDEX job_unsettled ON jobs (schedule_id, phase, run_at, id) WHERE phase <> 'settled';
CREATE INDEX job_ready ON jobs (needs, ready, run_at, seq) WHERE phase <> 'settled';
CREATE INDEX job_phase ON jobs (phase, run_at, schedule_id) WHERE phase <> 'settled';
CREATE INDEX job_running ON jobs (session) WHERE state = 'running';
CREATE INDEX job_clock ON jobs (run_at - retry_delay) WHERE retry_delay IS NOT NULL;

CREATE TABLE outputs (
  job_id TEXT PRIMARY KEY,
  tail BLOB NOT NULL,
  truncated INTEGER NOT NULL
) STRICT;

CREATE TABLE steps (
  job_id TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (job_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE receipts (
  job_id TEXT PRIMARY KEY,
  at INTEGER NOT NULL,
  digest TEXT NOT NULL,
  state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX receipt_age ON receipts (at);

CREATE TABLE misses (
  seq INTEGER PRIMARY KEY,
  schedule_id TEXT NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  count INTEGER NOT NULL,
  reason TEXT NOT NULL,
  recorded_at INTEGER NOT NULL
) STRICT;
CREATE INDEX miss_schedule ON misses (schedule_id, last, seq);
CREATE INDEX miss_last ON misses (last, seq);

CREATE TABLE dead_letters (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  schedule_id TEXT,
  slot INTEGER,
  key TEXT,
  job_id TEXT,
  message TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  ts INTEGER NOT NULL,
  node TEXT,
  epoch INTEGER,
  needs TEXT NOT NULL,
  input TEXT
) STRICT;
CREATE INDEX dead_letter_schedule ON dead_letters (schedule_id, seq);
"""

_DECIDED_BY = """
-- Who decided: a leader (by) in its term (epoch), a node, or who gave a command.
ALTER TABLE jobs ADD COLUMN by TEXT;
ALTER TABLE jobs ADD COLUMN epoch INTEGER;
ALTER TABLE misses ADD COLUMN by TEXT;
ALTER TABLE misses ADD COLUMN epoch INTEGER;
ALTER TABLE schedules ADD COLUMN paused_by TEXT;
ALTER TABLE schedules ADD COLUMN paused_at INTEGER;
-- What is overdue although its next try is not: a dispatch that failed waits until `retry_at`.
CREATE INDEX schedule_retrying ON schedules (next) WHERE retry_at IS NOT NULL;
"""

_OVERLAP = """
-- `replaces` is 1 while a job still has to replace what is active before it. What has begun and was
-- queued again is before all others of its schedule.
ALTER TABLE jobs ADD COLUMN replaces INTEGER NOT NULL DEFAULT 0;
CREATE INDEX job_begun ON jobs (schedule_id) WHERE state = 'queued' AND fence IS NOT NULL;
"""

# What people are to be told; `failing` is how they know the schedule.
_NOTICES = """
ALTER TABLE schedules ADD COLUMN failing INTEGER NOT NULL DEFAULT 0;
CREATE TABLE notices (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  record TEXT NOT NULL,
  session TEXT,
  mod INTEGER NOT NULL
) STRICT;
"""

# `until` is in monotonic time of the host: a job is followed until then.
_CHUNKS = """
CREATE TABLE followers (
  job_id TEXT PRIMARY KEY,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE chunks (
  job_id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  at INTEGER NOT NULL,
  data BLOB NOT NULL,
  times TEXT NOT NULL,
  PRIMARY KEY (job_id, attempt, at)
) STRICT;
"""

_TURNS = """
-- `expires_at`: a queued slot that has not begun after this never does. `max_running`: so many
-- attempts of its schedule may hold a claim at once.
ALTER TABLE jobs ADD COLUMN expires_at INTEGER;
ALTER TABLE jobs ADD COLUMN max_running INTEGER;
CREATE INDEX job_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL AND state = 'queued';
-- With all that tells whether a job's schedule has its turn: what waits its turn is not looked up.
DROP INDEX job_ready;
CREATE INDEX job_ready ON jobs (needs, ready, run_at, seq, line, phase, replaces)
  WHERE phase <> 'settled';
"""

_DEEDS = """
CREATE TABLE deeds (
  seq INTEGER PRIMARY KEY,
  schedule_id TEXT,
  at INTEGER NOT NULL,
  record TEXT NOT NULL
) STRICT;
CREATE INDEX deed_schedule ON deeds (schedule_id, seq);
"""

# Entry n makes version n + 1 of version n.
MIGRATIONS: tuple[str, ...] = (_FIRST, _DECIDED_BY, _OVERLAP, _NOTICES, _CHUNKS, _TURNS, _DEEDS)
VERSION = len(MIGRATIONS)
# The version that a program must know at least to work on this layout, so that neighbouring
# versions share a file: an entry that takes away or changes meaning raises it to its own number.
NEEDED = 1
