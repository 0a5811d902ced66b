"""The schedule file that `synccron example` prints."""

EXAMPLE = """\
# A schedule file. Check it with `synccron validate jobs.yaml`,
# apply it with `synccron register -f jobs.yaml`, as often as you like.

owner: web-team                  # for --prune and against others' mistakes; may be left out

defaults:                        # any field; each schedule may have its own instead
  tz: UTC

schedules:
  backup:                        # the schedule's id
    cron: "30 2 * * *"           # quoted; six fields have seconds first; see `synccron next backup`
    tz: Europe/Berlin
    run: ["/usr/local/bin/backup", "--all"]   # executed as it stands; plain text goes to /bin/sh
    timeout: 2h                  # then TERM, and KILL after kill_after (10s)
    overlap: skip                # never two at once; the default, allow, runs them side by side
    misfire: catch_up_one        # a reboot at 02:30 must not lose the night
    retry: {max_attempts: 3, backoff: exponential, delay: 10s}
    labels: {team: ops}

  cleanup-hourly:
    cron: "H * * * *"            # a minute that is picked by the id, and stays
    run: 'find /tmp/cache -mtime +7 -delete'
    timeout: 10m

  invoices:
    cron: "0 6 1 * *"
    handler: billing:invoice     # a Python function, or an entry point of synccron.handlers
    input: {currency: EUR}       # given to each run
    on_lost: fail                # never run again by itself when its node died
    enabled: false               # registered, but paused
"""
