"""A request to a webhook, against a real server: what it sends, and what is made of the answer."""

import socket
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from synccron.clock import SystemClock
from synccron.handlers.webhook import Answer, post
from synccron.model.time import SECOND
from tests.certificates import certificates
from tests.hooks import Hook


def send(hook: Hook, timeout: int = 30 * SECOND, **headers: str) -> Answer:
    return post(hook.url, headers, b'{"event":"failure"}', timeout)


def test_a_notice_is_posted_as_json_with_the_headers_that_were_asked_for() -> None:
    with Hook(204) as hook:
        assert send(hook, Authorization="Bearer t") == Answer(None)
        (request,) = hook.requests
    assert request["path"] == "/hook?token=secret"
    assert request["body"] == {"event": "failure"}
    assert request["headers"]["content-type"] == "application/json"
    assert request["headers"]["authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("status", "again"), [(500, True), (503, True), (429, True), (404, False), (401, False)]
)
def test_an_answer_that_is_no_success_is_tried_again_where_that_may_help(
    status: int, again: bool
) -> None:
    with Hook(status) as hook:
        assert send(hook) == Answer(f"answered {status}", again=again)


@pytest.mark.parametrize("status", [301, 302, 307])
def test_no_redirect_is_followed_as_it_could_carry_secrets_elsewhere(status: int) -> None:
    with Hook(status) as hook:
        answer = send(hook, Authorization="Bearer t")
        assert answer == Answer(f"answered {status}: redirects are not followed")
        assert len(hook.requests) == 1


def test_a_server_that_does_not_answer_costs_no_more_than_the_timeout() -> None:
    with Hook() as hook:
        hook.answers = [hook.hold]
        assert send(hook, timeout=300) == Answer("no answer within 300ms", again=True)


def test_a_server_that_answers_byte_by_byte_costs_no_more_than_the_timeout() -> None:
    with Hook() as hook:

        def drip(handler: BaseHTTPRequestHandler) -> None:
            try:
                while not hook.closing.wait(0.02):
                    handler.wfile.write(b"X")
            except OSError:
                return

        hook.answers = [drip]
        clock = SystemClock()
        began = clock.monotonic()
        assert send(hook, timeout=400) == Answer("no answer within 400ms", again=True)
        assert clock.monotonic() - began < 30 * SECOND


def test_a_server_that_hangs_up_is_tried_again() -> None:
    with Hook() as hook:
        hook.answers = [lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)]
        assert send(hook).again


def test_a_port_where_nobody_listens_is_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        answer = post(f"http://127.0.0.1:{port}/", {}, b"{}", SECOND)
    assert answer == Answer("Connection refused", again=True)


def test_a_server_must_show_a_certificate_that_the_host_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates(tmp_path)
    own = tmp_path / "server.pem", tmp_path / "server.key"
    with Hook(200, certificate=own) as hook:
        refused = send(hook, Authorization="Bearer t")
        assert refused.error is not None
        assert "certificate verify failed" in refused.error.lower()
        assert hook.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert send(hook, Authorization="Bearer t") == Answer(None)


@pytest.mark.parametrize("url", ["ftp://host/", "http:///", "https://ho st/", "http://höst/", "x"])
def test_what_is_no_url_is_said_without_showing_it(url: str) -> None:
    answer = post(url, {}, b"{}", SECOND)
    assert answer == Answer("its URL or one of its headers is not fit for a request")


def test_a_header_that_cannot_be_sent_is_not_shown() -> None:
    with Hook() as hook:
        answer = send(hook, Authorization="Bearer secret\r\nX-Evil: 1")
        assert answer == Answer("its URL or one of its headers is not fit for a request")
        assert not hook.requests
