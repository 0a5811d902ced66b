"""What fuzzing begins with, and how it is spoilt: good texts of each kind, cut, doubled and mixed."""

from collections.abc import Sequence

from hypothesis import strategies as st

CRONS = (
    "* * * * *", "*/5 1-5,9 1 JAN-MAR MON", "0 0 L * *", "0 0 * * 5L", "0 0 * * MON#2", "H H * * *",
    "H(0-29)/10 * * * *", "0 30 2 * * *", "@daily", "@every 1h30m", "0 0 29 2 *", "0 0 15W * ?",
    "59 23 31 12 7", "@hourly", "0-59/7 */3 ? 1,2,3 SUN-SAT",
)  # fmt: skip
CRON_TOKENS = (
    *("*", "/", "-", ",", "#", "L", "W", "?", "H", "H(", ")", "@", "@every ", "0", "59", "60", "7"),
    *(" ", "\t", "\n", "\0", "JAN", "SUN", "mon", "-1", "1e9", "99999999999999999999", "٣", "²"),
    *("1-", "5/0", "*/0", "@reboot", "@yearly", "1h", "0s", "ms", "\u202e", "é"),
)
FILES = (
    "owner: web\ndefaults: {tz: Europe/Berlin}\nschedules:\n  a:\n    cron: '0 * * * *'\n"
    "    handler: clean\n    input: {scope: [1, 2.5, null, true, 'x']}\n    misfire: skip\n",
    "schedules:\n  b:\n    cron: '30 2 * * *'\n    run: [/bin/true, --all]\n    timeout: 2h\n"
    "    overlap: queue\n    retry: {max_attempts: 3, backoff: exponential, delay: 10s}\n"
    "    env: {A: '1'}\n    labels: {team: web}\n    node_labels: {gpu: a100}\n    start_within: 5m\n",
    '{"schedules": {"c": {"cron": "@every 90s", "run": "echo $HOME", "max_running": 2,'
    ' "limits": {"memory": "64MiB"}, "notify": [{"on": ["failure"], "webhook": "https://a.b/"}]}}}',
    "schedules:\n  d: {cron: '@daily', run: 'true', user: root, cwd: /tmp, enabled: false}\n",
)
FILE_TOKENS = (
    *(
        "schedules:",
        "defaults:",
        "owner:",
        "cron:",
        "run:",
        "  ",
        "\n",
        "\t",
        ": ",
        "- ",
        "? ",
        "|",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        '"',
        "#",
        "&a ",
        "*a",
        "!!python/object/apply:os.system ",
        "!x ",
    ),
    *(
        "<<: ",
        "---\n",
        "...\n",
        "%YAML 9.9\n",
        ">-\n",
        "\ufeff",
        "\0",
        "\u2028",
        "\x85",
        "yes",
        "on",
    ),
    *(
        ".inf",
        ".nan",
        "0o17",
        "0800",
        "12:30",
        "1_000",
        "~",
        "null",
        "9" * 400,
        "-0",
        "\\x",
        "é",
        "💥",
    ),
    *("tz: ", "retry: ", "notify: ", "limits: ", "input: ", "enabled: ", "2026-11-23"),
)
CRONTABS = (
    "SHELL=/bin/bash\nMAILTO=root\nPATH=/usr/bin\n# nightly\n30 2 * * * /usr/local/bin/backup --all\n",
    "CRON_TZ=Europe/Berlin\n*/5 * * * * cd /srv && ./sync.sh > /dev/null 2>&1\n@daily echo 50\\% done\n",
    "@reboot /usr/bin/start\n0 0 * * * root run-parts /etc/cron.daily\n5 4 * * sun a%b%c\n",
    "A = 'b c'\n  1,2 3-4 * jan-mar 1-5 x=1 y\n* * * * *\tz\n",
)
CRONTAB_TOKENS = (
    *(
        "* * * * * ",
        "@daily ",
        "@reboot ",
        "%",
        "\\%",
        "\n",
        "\r\n",
        "\t",
        "=",
        "'",
        '"',
        "#",
        "\\",
    ),
    *(
        "SHELL=",
        "MAILTO=",
        "CRON_TZ=",
        "TZ=",
        "HOME=",
        "PATH=",
        "LOGNAME=",
        "-",
        "~",
        "\0",
        "\x1b[",
    ),
    *("9" * 30, "é", "$(x)", "`x`", "; ", "&& ", "root ", "1-5/2", "0 0 30 2 * ", "* * * * 8 "),
)
LONGEST = 4000


def spoilt(texts: Sequence[str], tokens: Sequence[str]) -> st.SearchStrategy[str]:
    """Give texts that were good once, changed here and there; and now and then any text at all."""
    # Where, how much, and what instead: an empty token cuts.
    edit = st.tuples(
        st.integers(0, LONGEST),
        st.integers(0, 12),
        st.one_of(st.just(""), st.sampled_from(tokens), st.text(max_size=3), st.just("\x01again")),
    )

    def change(text: str, edits: list[tuple[int, int, str]]) -> str:
        for place, length, new in edits:
            start = place % (len(text) + 1)
            old = text[start : start + length]
            text = text[:start] + (old * 3 if new == "\x01again" else new) + text[start + length :]
        return text[:LONGEST]

    mixed = st.builds(change, st.sampled_from(texts), st.lists(edit, max_size=8))
    built = st.lists(st.sampled_from(tokens), max_size=12).map("".join)
    return st.one_of(mixed, mixed, built, st.text(max_size=80))
