PRAGMA application_id = 1400456050;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE counters (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "counters" VALUES('trigger_submitted',4);
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
INSERT INTO "dead_letters" VALUES(1,'eff51ac2de31','job','fails',NULL,'k1','manual:fails:k1','exit status 3',1,1795561032777,'n1',NULL,'run',NULL);
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
INSERT INTO "jobs" VALUES(1,'every-second:20261124T225710Z','slot','every-second','completed',1795561030000,1795561029811,'run',1795561030000,NULL,NULL,NULL,1,0,1,'[{"attempt":1,"error":null,"exit_code":0,"fence":1,"finished_at":1795561030011,"node":"n1","outcome":"completed","started_at":1795561030000}]',0,0,NULL,NULL,1795561030011,0,NULL,NULL,NULL,24,1,1);
INSERT INTO "jobs" VALUES(2,'every-second:20261124T225711Z','slot','every-second','completed',1795561031000,1795561030801,'run',1795561031000,NULL,NULL,NULL,1,0,1,'[{"attempt":1,"error":null,"exit_code":0,"fence":2,"finished_at":1795561031007,"node":"n1","outcome":"completed","started_at":1795561031000}]',0,0,NULL,NULL,1795561031007,0,NULL,NULL,NULL,28,2,1);
INSERT INTO "jobs" VALUES(3,'every-second:20261124T225712Z','slot','every-second','completed',1795561032000,1795561031800,'run',1795561032000,NULL,NULL,NULL,1,0,1,'[{"attempt":1,"error":null,"exit_code":0,"fence":3,"finished_at":1795561032010,"node":"n1","outcome":"completed","started_at":1795561032000}]',0,0,NULL,NULL,1795561032010,0,NULL,NULL,NULL,32,3,1);
INSERT INTO "jobs" VALUES(4,'manual:fails:k1','manual','fails','failed',1795561032766,1795561032766,'run',NULL,'k1',NULL,NULL,1,0,1,'[{"attempt":1,"error":"exit status 3","exit_code":3,"fence":4,"finished_at":1795561032777,"node":"n1","outcome":"failed","started_at":1795561032769}]',0,3,NULL,NULL,1795561032777,3,'exit status 3',NULL,NULL,35,4,1);
INSERT INTO "jobs" VALUES(5,'every-second:20261124T225713Z','slot','every-second','completed',1795561033000,1795561032800,'run',1795561033000,NULL,NULL,NULL,1,0,1,'[{"attempt":1,"error":null,"exit_code":0,"fence":5,"finished_at":1795561033015,"node":"n1","outcome":"completed","started_at":1795561033000}]',0,0,NULL,NULL,1795561033015,0,NULL,NULL,NULL,39,5,1);
INSERT INTO "jobs" VALUES(6,'manual:backup:deploy-42','manual','backup','completed',1795561033079,1795561033079,'run',NULL,'deploy-42',NULL,'{"a":1}',1,1,3,'[{"attempt":1,"error":null,"exit_code":0,"fence":6,"finished_at":1795561033093,"node":"n1","outcome":"completed","started_at":1795561033083}]',0,4,NULL,NULL,1795561033093,0,NULL,NULL,NULL,42,6,1);
INSERT INTO "jobs" VALUES(7,'manual:hangs:h1','manual','hangs','running',1795561033485,1795561033485,'run',NULL,'h1',NULL,NULL,1,0,1,'[{"attempt":1,"error":null,"exit_code":null,"fence":7,"finished_at":null,"node":"n1","outcome":null,"started_at":1795561033492}]',0,7,NULL,'7d1001ceefbd5eb3d7a509ce661840b8',NULL,NULL,NULL,NULL,NULL,44,7,1);
INSERT INTO "jobs" VALUES(8,'manual:retries:r1','manual','retries','scheduled',1795564633728,1795561033713,'run',NULL,'r1',NULL,NULL,1,0,5,'[{"attempt":1,"error":"exit status 4","exit_code":4,"fence":8,"finished_at":1795561033728,"node":"n1","outcome":"failed","started_at":1795561033717}]',0,4,3600000,NULL,NULL,4,'exit status 4',NULL,NULL,47,8,1);
INSERT INTO "jobs" VALUES(9,'every-second:20261124T225714Z','slot','every-second','completed',1795561034000,1795561033801,'run',1795561034000,NULL,NULL,NULL,1,0,1,'[{"attempt":1,"error":null,"exit_code":0,"fence":9,"finished_at":1795561034006,"node":"n1","outcome":"completed","started_at":1795561034000}]',0,0,NULL,NULL,1795561034006,0,NULL,NULL,NULL,51,9,1);
INSERT INTO "jobs" VALUES(10,'every-second:20261124T225715Z','slot','every-second','completed',1795561035000,1795561034800,'run',1795561035000,NULL,NULL,NULL,1,0,1,'[{"attempt":1,"error":null,"exit_code":0,"fence":10,"finished_at":1795561035006,"node":"n1","outcome":"completed","started_at":1795561035000}]',0,0,NULL,NULL,1795561035006,0,NULL,NULL,NULL,55,10,1);
INSERT INTO "jobs" VALUES(11,'submit:billing:invoice:s1','submit',NULL,'queued',1795561038010,1795561038010,'billing:invoice',NULL,'s1',NULL,'{"x":1}',0,0,1,'[]',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,61,NULL,1);
CREATE TABLE leader (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch INTEGER NOT NULL,
  session TEXT,
  node TEXT
) STRICT;
INSERT INTO "leader" VALUES(1,1,'7d1001ceefbd5eb3d7a509ce661840b8','n1');
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  mark INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  dead_letters_trimmed INTEGER NOT NULL DEFAULT 0,
  horizon INTEGER,
  last_tick_at INTEGER
) STRICT;
INSERT INTO "meta" VALUES(1,61,10,0,1794956230811,NULL);
CREATE TABLE misses (
  seq INTEGER PRIMARY KEY,
  schedule_id TEXT NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  count INTEGER NOT NULL,
  reason TEXT NOT NULL,
  recorded_at INTEGER NOT NULL
) STRICT;
CREATE TABLE nodes (
  id TEXT PRIMARY KEY,
  session TEXT NOT NULL UNIQUE,
  record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "nodes" VALUES('n1','7d1001ceefbd5eb3d7a509ce661840b8','{"concurrency":16,"counters":{"dispatch_dlq":0,"dispatch_failed":0,"dispatch_retried":0,"dispatch_skipped":0,"dispatch_submitted":7,"leader_changes":1,"tick_errors":0,"trigger_failed":0,"trigger_rejected":0,"trigger_submitted":0},"host":"host","id":"n1","labels":{},"last_seen_at":null,"live":true,"offers":["run"],"pid":32368,"running":1,"session":"7d1001ceefbd5eb3d7a509ce661840b8","started_at":1795561029759,"ticked_at":1795561035805,"tzdata":"2026f","version":"0.1.0"}');
CREATE TABLE outputs (
  job_id TEXT PRIMARY KEY,
  tail BLOB NOT NULL,
  truncated INTEGER NOT NULL
) STRICT;
INSERT INTO "outputs" VALUES('manual:fails:k1',X'62726F6B656E0A',0);
INSERT INTO "outputs" VALUES('manual:backup:deploy-42',X'6261636B65642075700A',0);
CREATE TABLE receipts (
  job_id TEXT PRIMARY KEY,
  at INTEGER NOT NULL,
  digest TEXT NOT NULL,
  state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "receipts" VALUES('manual:backup:deploy-42',1795561033079,'015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862','completed');
INSERT INTO "receipts" VALUES('manual:fails:k1',1795561032766,'','failed');
INSERT INTO "receipts" VALUES('manual:hangs:h1',1795561033485,'','running');
INSERT INTO "receipts" VALUES('manual:retries:r1',1795561033713,'','scheduled');
INSERT INTO "receipts" VALUES('submit:billing:invoice:s1',1795561038010,'5041bf1f713df204784353e82f6a4a535931cb64f1f4b4a5aeaffcb720918b22','queued');
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
INSERT INTO "revisions" VALUES(1,'backup',1,'{"cron":"30 2 * * *","cwd":"/tmp","enabled":true,"env":{"LEVEL":"9"},"handler":null,"id":"backup","input":"null","kill_after":10000,"labels":{"team":"ops"},"max_catch_up_runs":100,"max_dispatch_failures":5,"misfire":"catch_up_one","misfire_grace":60000,"on_lost":"rerun","overlap":"skip","retry":{"backoff":"exponential","delay":10000,"max_attempts":3,"max_delay":600000},"run":["/bin/echo","backed up"],"strict_handlers":true,"timeout":7200000,"tz":"Europe/Berlin","user":null}',1795561029119,'root@host',1795570200000,'2026f');
INSERT INTO "revisions" VALUES(2,'every-second',1,'{"cron":"@every 1s","cwd":null,"enabled":true,"env":{},"handler":null,"id":"every-second","input":"null","kill_after":10000,"labels":{},"max_catch_up_runs":100,"max_dispatch_failures":5,"misfire":"catch_up_all","misfire_grace":60000,"on_lost":"rerun","overlap":"allow","retry":{"backoff":"fixed","delay":1000,"max_attempts":1,"max_delay":600000},"run":"true","strict_handlers":true,"timeout":null,"tz":"Europe/Berlin","user":null}',1795561029119,'root@host',1795561030000,'2026f');
INSERT INTO "revisions" VALUES(3,'fails',1,'{"cron":"0 0 1 1 *","cwd":null,"enabled":true,"env":{},"handler":null,"id":"fails","input":"null","kill_after":10000,"labels":{},"max_catch_up_runs":100,"max_dispatch_failures":5,"misfire":"skip","misfire_grace":60000,"on_lost":"rerun","overlap":"allow","retry":{"backoff":"fixed","delay":1000,"max_attempts":1,"max_delay":600000},"run":"echo broken; exit 3","strict_handlers":true,"timeout":null,"tz":"Europe/Berlin","user":null}',1795561029119,'root@host',1798758000000,'2026f');
INSERT INTO "revisions" VALUES(4,'hangs',1,'{"cron":"0 0 1 1 *","cwd":null,"enabled":true,"env":{},"handler":null,"id":"hangs","input":"null","kill_after":10000,"labels":{},"max_catch_up_runs":100,"max_dispatch_failures":5,"misfire":"skip","misfire_grace":60000,"on_lost":"rerun","overlap":"allow","retry":{"backoff":"fixed","delay":1000,"max_attempts":1,"max_delay":600000},"run":"sleep 1000","strict_handlers":true,"timeout":null,"tz":"Europe/Berlin","user":null}',1795561029119,'root@host',1798758000000,'2026f');
INSERT INTO "revisions" VALUES(5,'retries',1,'{"cron":"0 0 1 1 *","cwd":null,"enabled":true,"env":{},"handler":null,"id":"retries","input":"null","kill_after":10000,"labels":{},"max_catch_up_runs":100,"max_dispatch_failures":5,"misfire":"skip","misfire_grace":60000,"on_lost":"rerun","overlap":"allow","retry":{"backoff":"fixed","delay":3600000,"max_attempts":5,"max_delay":600000},"run":"exit 4","strict_handlers":true,"timeout":null,"tz":"Europe/Berlin","user":null}',1795561029119,'root@host',1798758000000,'2026f');
INSERT INTO "revisions" VALUES(6,'handled',1,'{"cron":"0 6 1 * *","cwd":null,"enabled":true,"env":{},"handler":"no.such:thing","id":"handled","input":"{\"currency\":\"EUR\",\"list\":[1,2.5,null,\"\\u00fc\"]}","kill_after":10000,"labels":{},"max_catch_up_runs":100,"max_dispatch_failures":5,"misfire":"skip","misfire_grace":60000,"on_lost":"fail","overlap":"allow","retry":{"backoff":"fixed","delay":1000,"max_attempts":1,"max_delay":600000},"run":null,"strict_handlers":true,"timeout":null,"tz":"Europe/Berlin","user":null}',1795561029119,'root@host',1796101200000,'2026f');
INSERT INTO "revisions" VALUES(7,'sleeping',1,'{"cron":"*/5 * * * *","cwd":null,"enabled":false,"env":{},"handler":null,"id":"sleeping","input":"null","kill_after":10000,"labels":{},"max_catch_up_runs":100,"max_dispatch_failures":5,"misfire":"skip","misfire_grace":60000,"on_lost":"rerun","overlap":"allow","retry":{"backoff":"fixed","delay":1000,"max_attempts":1,"max_delay":600000},"run":"true","strict_handlers":true,"timeout":null,"tz":"Europe/Berlin","user":null}',1795561029119,'root@host',1795561200000,'2026f');
INSERT INTO "revisions" VALUES(8,'removed',1,'{"cron":"* * * * *","cwd":null,"enabled":true,"env":{},"handler":null,"id":"removed","input":"null","kill_after":10000,"labels":{},"max_catch_up_runs":100,"max_dispatch_failures":5,"misfire":"skip","misfire_grace":60000,"on_lost":"rerun","overlap":"allow","retry":{"backoff":"fixed","delay":1000,"max_attempts":1,"max_delay":600000},"run":"true","strict_handlers":true,"timeout":null,"tz":"Europe/Berlin","user":null}',1795561029119,'root@host',1795561080000,'2026f');
INSERT INTO "revisions" VALUES(9,'every-second',2,'{"cron":"@every 1h","cwd":null,"enabled":true,"env":{},"handler":null,"id":"every-second","input":"null","kill_after":10000,"labels":{},"max_catch_up_runs":100,"max_dispatch_failures":5,"misfire":"skip","misfire_grace":60000,"on_lost":"rerun","overlap":"allow","retry":{"backoff":"fixed","delay":1000,"max_attempts":1,"max_delay":600000},"run":["true"],"strict_handlers":true,"timeout":null,"tz":"UTC","user":null}',1795561035930,'root@host',1795561200000,'2026f');
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
INSERT INTO "schedules" VALUES('backup',1,1795561029119,1795561029119,0,NULL,NULL,'run',1,1795570200000,1795561029119,1795561029119,0,NULL,NULL,NULL,2);
INSERT INTO "schedules" VALUES('every-second',2,1795561029119,1795561035930,0,NULL,NULL,'run',58,1795561200000,1795561035930,1795561029119,0,NULL,1795561036000,NULL,59);
INSERT INTO "schedules" VALUES('fails',1,1795561029119,1795561029560,1,4102444800000,'holiday','run',18,1798758000000,1795561029119,1795561029119,0,NULL,NULL,NULL,19);
INSERT INTO "schedules" VALUES('hangs',1,1795561029119,1795561029119,0,NULL,NULL,'run',7,1798758000000,1795561029119,1795561029119,0,NULL,NULL,NULL,8);
INSERT INTO "schedules" VALUES('retries',1,1795561029119,1795561029119,0,NULL,NULL,'run',9,1798758000000,1795561029119,1795561029119,0,NULL,NULL,NULL,10);
INSERT INTO "schedules" VALUES('handled',1,1795561029119,1795561029119,0,NULL,NULL,'no.such:thing',11,1796101200000,1795561029119,1795561029119,0,NULL,NULL,NULL,12);
INSERT INTO "schedules" VALUES('sleeping',1,1795561029119,1795561029119,1,NULL,NULL,'run',13,1795561200000,1795561029119,1795561029119,0,NULL,NULL,NULL,14);
CREATE TABLE steps (
  job_id TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (job_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE tombstones (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  decided_until INTEGER NOT NULL,
  mod INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "tombstones" VALUES('removed',1,1795561029348,17);
CREATE INDEX schedule_due ON schedules (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX schedule_needs ON schedules (needs);
CREATE INDEX schedule_paused ON schedules (paused_until) WHERE paused = 1;
CREATE INDEX job_line ON jobs (line, seq);
CREATE INDEX job_unsettled ON jobs (schedule_id, phase, run_at, id) WHERE phase <> 'settled';
CREATE INDEX job_ready ON jobs (needs, ready, run_at, seq) WHERE phase <> 'settled';
CREATE INDEX job_phase ON jobs (phase, run_at, schedule_id) WHERE phase <> 'settled';
CREATE INDEX job_running ON jobs (session) WHERE state = 'running';
CREATE INDEX job_clock ON jobs (run_at - retry_delay) WHERE retry_delay IS NOT NULL;
CREATE INDEX receipt_age ON receipts (at);
CREATE INDEX miss_schedule ON misses (schedule_id, last, seq);
CREATE INDEX miss_last ON misses (last, seq);
CREATE INDEX dead_letter_schedule ON dead_letters (schedule_id, seq);
COMMIT;
