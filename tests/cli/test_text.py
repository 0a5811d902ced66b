"""Schedule files that are written are read back as they were."""

import io

from hypothesis import example, given

from synccron.cli.files import read_files
from synccron.cli.text import HEAD, schedule_text
from synccron.model.definition import json_text
from synccron.model.schedule import Definition, Notify
from synccron.model.written import written
from tests.definitions import definitions
from tests.make import definition


def read(text: str) -> list[Definition]:
    with read_files(["-"], io.BytesIO(text.encode())) as spool:
        return list(spool)


@given(definitions())
@example(definition(run="a\n b\n\n\tc  \n\n"))
@example(definition(run="a: *b # c\\n'\"%"))
@example(definition(input=json_text({"012": "1e5", "<<": "~", "\x7f": "\U0001f600"})))
@example(definition(notify=(Notify(command="x"), Notify(webhook="http://a", headers={"B": "c"}))))
@example(definition(env={"A": "  x ", "B": "\x85\u2028", "C": "no"}))
def test_what_is_written_is_read_back_as_it_was(made: Definition) -> None:
    assert read(HEAD + schedule_text(made.id, written(made))) == [made]


def test_comments_stand_above_their_schedule() -> None:
    text = HEAD + schedule_text("a", written(definition(id="a")), ["why", ""])
    assert text.startswith("schedules:\n  # why\n  #\n  a:\n")
    assert read(text) == [definition(id="a")]


def test_a_file_looks_as_people_write_it() -> None:
    made = definition(
        id="backup", cron="30 2 * * *", run=("/bin/backup", "--all"), timeout=7_200_000
    )
    assert schedule_text(made.id, written(made)) == (
        '  backup:\n    cron: "30 2 * * *"\n    run: [/bin/backup, --all]\n    timeout: 2h\n'
    )
