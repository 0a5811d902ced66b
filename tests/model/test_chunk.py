"""Chunks of output: cut, and told apart by their times."""

from synccron.model.chunk import Chunk, time_at, times_of

TIMES = ((0, 100), (4, 200), (10, 300))


def chunk(at: int, data: bytes) -> Chunk:
    return Chunk(job_id="j", attempt=1, at=at, data=data, times=times_of(TIMES, at, at + len(data)))


def test_a_byte_has_the_time_of_what_came_with_it_or_last_before_it() -> None:
    assert [time_at(TIMES, place) for place in (0, 3, 4, 9, 10, 99)] == [
        *(100, 100, 200, 200),
        *(300, 300),
    ]
    assert time_at((), 0) is None
    assert time_at(((5, 1),), 4) is None


def test_a_piece_keeps_the_times_that_its_bytes_have_and_no_others() -> None:
    assert chunk(1, b"ab").times == ((0, 100),)
    assert chunk(4, b"abcdef").times == ((4, 200),)
    assert chunk(3, b"abcdefgh").times == TIMES


def test_a_piece_is_read_in_runs_of_one_time() -> None:
    assert list(chunk(2, b"abcdefghij").moments()) == [
        (100, b"ab"),
        (200, b"cdefgh"),
        (300, b"ij"),
    ]
    assert list(Chunk(job_id="j", attempt=1, at=0, data=b"x").moments()) == [(None, b"x")]


def test_what_was_read_before_is_cut_off() -> None:
    whole = chunk(2, b"abcd")
    assert whole.after(0) == whole.after(2) == whole
    rest = whole.after(4)
    assert rest is not None
    assert (rest.at, rest.data) == (4, b"cd")
    assert whole.after(6) is None
