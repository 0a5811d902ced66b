"""The text of systemd's files for a node: the unit, what is dropped in beside it, its user.

`install-service` writes them for a host, `doctor` compares what it finds with them, and
`python -m synccron.cli.unit FOLDER` writes the examples in `deploy/`. Each line that narrows what
jobs may do has the reason to take it back beside it.
"""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synccron.cli.place import FOLDER, MAIN, PASSWORD_FILE, STORE
from synccron.cli.place import USER as ETCD_USER
from synccron.model.time import SECOND, Duration, parse_duration

DRAIN: Duration = 30 * SECOND  # unless --drain is given
# Beyond the drain: attempts are told to end (15 s), what is killed is settled (5 s), the store.
AFTER_DRAIN: Duration = 30 * SECOND
RELOAD_SINCE = 253  # the version of systemd that has Type=notify-reload
USER = "synccron"
_SYSTEM = "systemd/system/"

_DO_NOT_EDIT = """\
# Written by `synccron install-service`, which writes it again: changes belong into a drop-in, by
# `systemctl edit {name}`.
"""

_HEAD = """\
[Unit]
Description=synccron node{of}
Documentation=man:synccron(1)
Wants=network-online.target
After=network-online.target time-sync.target
# A store that is away for a night is no reason to stop trying.
StartLimitIntervalSec=0

[Service]
# Tells when it is ready, and how it is: `systemctl status` shows `leader, epoch 7, 12 running`.
Type=notify
NotifyAccess=main
# Names the store. `synccron` on the command line reads the same file.
EnvironmentFile={folder}/{file}.env
ExecStart={command}
# Registers the files of --apply again.
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
# What it was told makes no sense: trying again would not mend that.
RestartPreventExitStatus=2
# It is fed only while every loop of the node really turns.
WatchdogSec=60
TimeoutStartSec=300

# To stop: TERM reaches the node alone, so that jobs may end in the drain ({drain}); what is left of
# the control group after that, or after this time, is killed.
KillMode=mixed
TimeoutStopSec={stop}

# Attempts have control groups of their own below this unit's.
Delegate=yes
TasksMax=infinity
LimitNOFILE=65536

StateDirectory=synccron
StateDirectoryMode=0700
UMask=0077
"""

_OWN_USER = """\
User={user}
Group={user}

# What jobs may not do. To take a line back for jobs that need it, set it anew in a drop-in.
# They may write below StateDirectory, /tmp and /var/tmp alone; ReadWritePaths=/srv/x adds a folder.
ProtectSystem=strict
# /home, /root and /run/user are {home}: =no for jobs in home directories.
ProtectHome={protect_home}
# /tmp is the node's own: =no for jobs that share files there with others.
PrivateTmp=yes
# No disks, no serial lines; /dev/null and its like stay: =no for backups of whole devices.
PrivateDevices=yes
# No sudo, no set-uid programs (this and the next two): =no, and `--user root` may be what you want.
NoNewPrivileges=yes
RestrictSUIDSGID=yes
CapabilityBoundingSet=
AmbientCapabilities=
# sysctl, modules, dmesg, the clock and the host's name: =no for jobs that set or load them.
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
# No containers, no unshare: =no for jobs that use podman or bubblewrap.
RestrictNamespaces=yes
# The network, and sockets of this host: AF_PACKET in a drop-in adds what `tcpdump` needs.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
# No real-time scheduling, no other personality (32-bit programs): =no.
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
# The calls of ordinary services; others give EPERM: SystemCallFilter= (empty) takes all back.
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallFilter=@chown
SystemCallErrorNumber=EPERM
# What a user leaves in shared memory goes with the service: =no for a PostgreSQL of the same user.
RemoveIPC=yes
# Not set, as something would break: ProtectControlGroups= (attempts have groups of their own),
# ProtectProc= and ProcSubset= (a node must see whether others on this host live),
# MemoryDenyWriteExecute= (Java, Node.js and PyPy compile as they run).
"""

_ROOT = """\
# Jobs run as root unless they name a `user`: nothing is narrowed here. Whoever can write the store
# is root on this host.
User=root
"""

_TAIL = """
[Install]
WantedBy=multi-user.target
"""

_RELOAD = """\
# For systemd {since} and later: `systemctl reload` returns when the files have been read.
[Service]
Type=notify-reload
ExecReload=
"""

_LOGIN = """\
# The node reads the password for etcd from a copy that only it can read.
[Service]
LoadCredential=etcd-password:{path}
"""

_ENVIRONMENT = (
    "# The store of this host's node: the unit reads this, and so does `synccron` on the command",
    "# line where neither --store nor SYNCCRON_STORE says otherwise.",
)

_SYSUSERS = f"""\
# The user that nodes run as, and jobs that name no other.
u {USER} - "synccron node" /var/lib/synccron
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A node as a service of a host.

    `template`: one unit for several stores, each with a file of its name. `options` are those of
    `synccron run`. `program` is the path of synccron.
    """

    program: str
    user: str = USER
    template: bool = False
    options: Sequence[str] = ()

    @property
    def drain(self) -> Duration:
        """Tell how long running jobs may go on at the end, in ms."""
        return drain_of(self.options)

    def unit(self) -> str:
        """Write the unit."""
        stop = -(-(self.drain + AFTER_DRAIN) // SECOND)
        values = {
            "of": " of %i" if self.template else "",
            "folder": FOLDER,
            "file": "%i" if self.template else MAIN,
            "command": self._command(),
            "drain": f"{self.drain / SECOND:g} s",
            "stop": stop,
        }
        return (
            _DO_NOT_EDIT.format(name="synccron@NAME" if self.template else "synccron")
            + _HEAD.format(**values)
            + (_ROOT if self.user == "root" else _OWN_USER.format(user=self.user, **self._home()))
            + _TAIL
        )

    def _command(self) -> str:
        words = [self.program, "run", "--log", "json", *self.options]
        return " ".join(_quoted(word) for word in words)

    def _home(self) -> dict[str, str]:
        # a program in a home directory could not be started otherwise
        if self.program.startswith(("/home/", "/root/", "/run/user/")):
            return {"home": "read-only, as synccron is there", "protect_home": "read-only"}
        return {"home": "empty to them", "protect_home": "yes"}


def files_of(
    service: Service,
    instance: str | None = None,
    *,
    version: int | None = None,
    password: str | None = None,
) -> dict[str, str]:
    """Write the unit and what belongs to it, by their paths in /etc.

    `instance` is one of several stores, if the unit is a template. `version` is systemd's (None:
    not known), `password` the file with etcd's password.
    """
    unit = unit_path(template=service.template)
    own = unit if instance is None else unit.replace("@", f"@{instance}")
    texts = {unit: service.unit()}
    if service.user == USER:
        texts["sysusers.d/synccron.conf"] = _SYSUSERS
    if version is not None and version >= RELOAD_SINCE:
        texts[f"{unit}.d/notify-reload.conf"] = _RELOAD.format(since=RELOAD_SINCE)
    if password is not None:
        texts[f"{own}.d/etcd-password.conf"] = _LOGIN.format(path=password)
    return texts


def unit_path(*, template: bool) -> str:
    """Name the unit's file in /etc."""
    return f"{_SYSTEM}synccron{'@' if template else ''}.service"


def drain_of(options: Sequence[str]) -> Duration:
    """Find the drain in options of `synccron run`, in ms. Raises ValueError."""
    given = "=".join(options).partition("--drain=")[2].partition("=")[0]
    return parse_duration(given) if given else DRAIN


def value_of(unit: str, key: str) -> str | None:
    """Find the last value of a key in a unit's text."""
    found = re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)
    return found[-1].strip() if found else None


def program_of(unit: str) -> str:
    """Find the program that a unit's text starts. Raises ValueError where it starts none."""
    words = shlex.split(value_of(unit, "ExecStart") or "")
    if not words:
        raise ValueError("it starts no program")
    return words[0]


def options_of(unit: str) -> list[str]:
    """Find the options of `synccron run` in a unit's text. Raises ValueError where it runs none."""
    words = shlex.split(value_of(unit, "ExecStart") or "")
    return words[words.index("run") + 1 :]


def _quoted(word: str) -> str:
    """Write a word of a command as systemd reads it: % and $ stand for themselves."""
    plain = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./$-]+", plain):
        return plain
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def examples() -> dict[str, str]:
    """Write the files of `deploy/` by their paths in it."""
    program = "/usr/local/bin/synccron"
    texts = files_of(
        Service(program=program), version=RELOAD_SINCE, password=f"{FOLDER}/etcd-password"
    )
    texts.update(files_of(Service(program=program, template=True)))
    texts["synccron/synccron.env"] = environment_file(None)
    return {path.removeprefix(_SYSTEM): text for path, text in texts.items()}


def environment_file(
    store: str | None, user: str | None = None, password: str | None = None, old: str = ""
) -> str:
    """Write the file that names a store, and how etcd is logged in to; `old` lines stay."""
    lines = old.splitlines() or [*_ENVIRONMENT, f"{STORE}=sqlite:///var/lib/synccron/synccron.db"]
    for name, value in ((STORE, store), (ETCD_USER, user), (PASSWORD_FILE, password)):
        if value is None:
            continue
        places = [n for n, line in enumerate(lines) if line.partition("=")[0].strip() == name]
        if places:
            lines[places[-1]] = f"{name}={value}"
        else:
            lines.append(f"{name}={value}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for path, text in examples().items():
        target = Path(sys.argv[1]) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
