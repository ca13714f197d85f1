"""A scripted server and a port that refuses: what real clients meet, byte by byte, and that nothing of it is left."""

import contextlib
import datetime as dt
import errno
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults import (
    Drip,
    Faults,
    FaultServer,
    Garbage,
    Git,
    Hang,
    Ok,
    Redirect,
    Refuse,
    Reset,
    Slow,
    Status,
    TcpServer,
    Truncate,
)
from pytest_orxaq.faults.steps import Step


BOUND = 30  # seconds after which a client counts as hung
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a port can be closed and kept on Linux only")


def curl(*arguments: str) -> tuple[int, str]:
    """Run curl; its code and what it printed."""
    command = ["curl", "-sS", "--noproxy", "", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, check=False)
    return done.returncode, done.stdout


def fetch(url: str) -> bytes:
    """GET by urllib, with no proxy of the environment's."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=BOUND) as answer:
        body: bytes = answer.read()
    return body


def failure(url: str) -> BaseException:
    """What urllib raises, without its wrapping."""
    with pytest.raises((OSError, http.client.HTTPException)) as caught:
        fetch(url)
    if isinstance(caught.value, urllib.error.HTTPError):
        caught.value.add_note(caught.value.read().decode())
        caught.value.close()
    reason = getattr(caught.value, "reason", None)
    return reason if isinstance(reason, BaseException) else caught.value


def raw(server: FaultServer | TcpServer, request: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") -> tuple[bytes, int]:
    """What a plain socket gets until the end, and the number of the error that it ends with; 0: a proper end."""
    got = b""
    with socket.create_connection((server.host, server.port), BOUND) as client:
        client.sendall(request)
        try:
            while data := client.recv(65536):
                got += data
        except OSError as error:
            return got, error.errno or -1
    return got, 0


def read(client: socket.socket) -> bytes:
    """What comes until the end."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def exchange(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    """Ask on a connection that there is."""
    connection.request("GET", "/")
    return connection.getresponse()


def details(faults: Faults) -> list[str]:
    """The troubles so far."""
    return [event.detail for event in faults.log]


# ---------------------------------------------------------------- refused


def test_a_port_that_refuses(refused_port: int, faults: Faults) -> None:
    """Connections are refused, by address and by name; nobody can take the port, however they ask."""
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, refused_port), BOUND)
    for option in (None, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, ""), (socket.AF_INET6, "::1")):
            with contextlib.suppress(OSError), socket.socket(family) as other:
                if option is not None:
                    other.setsockopt(socket.SOL_SOCKET, option, 1)
                with pytest.raises(OSError, match=r".") as refused:
                    other.bind((host, refused_port))
                assert refused.value.errno in {errno.EADDRINUSE, errno.EADDRNOTAVAIL}
    assert isinstance(failure(f"http://127.0.0.1:{refused_port}/"), ConnectionRefusedError)
    assert curl(f"http://127.0.0.1:{refused_port}/")[0] == 7
    assert [str(event) for event in faults.log] == ["refused_port: connections are refused [transient]"]


def test_a_port_taken_at_the_other_address(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that is taken at ::1 is passed over, and without IPv6 one of 127.0.0.1 is enough."""
    from pytest_orxaq.faults import ports

    real = socket.socket.bind
    asked: list[object] = []

    def bind(one: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == "::1":
            asked.append(address)
            raise OSError(errno.EADDRINUSE if len(asked) == 1 else errno.EADDRNOTAVAIL, "made up")
        real(one, address)

    monkeypatch.setattr(socket.socket, "bind", bind)
    port = ports.hold_refusing(faults.stack)
    assert len(asked) == 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), BOUND)


def test_the_port_is_let_go(pytester: pytest.Pytester) -> None:
    """After the test, also one that fails, the port is free."""
    pytester.makepyfile(
        "from pathlib import Path\n"
        "def test_one(refused_port, fault_server): Path('ports').write_text(f'{refused_port} {fault_server.port}'); 1 / 0"
    )
    pytester.runpytest_inprocess().assert_outcomes(failed=1)
    for port in map(int, (pytester.path / "ports").read_text().split()):
        with socket.socket() as free:
            free.bind(("127.0.0.1", port))


# ---------------------------------------------------------------- steps


def test_all_is_well_by_default(fault_server: FaultServer, faults: Faults) -> None:
    """Without a script each request is answered, and nothing is in the log."""
    assert fault_server.url == f"http://127.0.0.1:{fault_server.port}"
    assert fetch(fault_server.url) == b""
    assert curl(f"{fault_server.url}/x") == (0, "")
    assert [(one.method, one.path) for one in fault_server.requests] == [("GET", "/"), ("GET", "/x")]
    assert details(faults) == []


def test_well_said(fault_server: FaultServer) -> None:
    """A body, as text or bytes, and headers of one's own; HEAD gets the length and no body."""
    fault_server.script(Ok("tëxt", {"X-One": "1"}), Ok(b"\x00\xff"), Ok("", {"Content-Length": "0"}), then=Ok("last"))
    with urllib.request.urlopen(fault_server.url, timeout=BOUND) as answer:  # noqa: S310 - ours
        assert (answer.status, answer.reason, answer.headers["X-One"]) == (200, "OK", "1")
        assert answer.read() == "tëxt".encode()
    assert fetch(fault_server.url) == b"\x00\xff"
    assert raw(fault_server, b"GET / HTTP/1.0\r\n\r\n")[0].count(b"Content-Length") == 1
    head, end = raw(fault_server, b"HEAD / HTTP/1.0\r\n\r\n")
    assert b"Content-Length: 4\r\n" in head
    assert head.endswith(b"\r\n\r\n")
    assert end == 0
    assert fetch(fault_server.url) == b"last"


MOMENT = dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.timezone(dt.timedelta(hours=1)))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (None, None),
        (3, "3"),
        (0.2, "1"),
        (0, "0"),
        ("soon", "soon"),
        (MOMENT, "Wed, 02 Jan 2030 02:04:05 GMT"),
    ],
)
def test_a_status(after: str | float | dt.datetime | None, said: str | None, fault_server: FaultServer) -> None:
    """The status with its reason and body, and Retry-After in whole seconds, as a date, as it was said, or not at all."""
    fault_server.script(Status(503, after, "busy"))
    error = failure(fault_server.url)
    assert isinstance(error, urllib.error.HTTPError)
    assert (error.code, error.reason, error.headers["Retry-After"]) == (503, "Service Unavailable", said)
    assert error.__notes__ == ["busy"]
    assert fetch(fault_server.url) == b""


def test_statuses_without_a_body_or_a_name(fault_server: FaultServer) -> None:
    """204 and 304 have no body nor length, and a number that nobody has named is sent as it is."""
    fault_server.script(Status(204, body="none"), Status(599))
    assert raw(fault_server, b"GET / HTTP/1.0\r\n\r\n")[0] == b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    assert raw(fault_server, b"GET / HTTP/1.0\r\n\r\n")[0].startswith(b"HTTP/1.1 599 \r\n")


def test_a_reset_is_one(fault_server: FaultServer) -> None:
    """ECONNRESET before any byte, or after the bytes of the body that were asked for; then there is a new connection."""
    fault_server.script(Reset(), Reset(after=5), Reset(), Reset(), then=Ok("1234567890"))
    assert raw(fault_server) == (b"", errno.ECONNRESET)
    got, end = raw(fault_server)
    assert got.endswith(b"Content-Length: 10\r\nConnection: keep-alive\r\n\r\n12345")
    assert end == errno.ECONNRESET
    assert isinstance(failure(fault_server.url), ConnectionResetError)
    assert curl(fault_server.url)[0] == 56
    assert fetch(fault_server.url) == b"1234567890"


def test_a_body_that_is_cut(fault_server: FaultServer) -> None:
    """Fewer bytes than announced, and a proper end: urllib and curl say that something is missing."""
    fault_server.script(Truncate(3, 10), Truncate(3), Truncate(0), Truncate(4, 9), then=Ok("12345"))
    got, end = raw(fault_server)
    assert (got.partition(b"\r\n\r\n")[2], end) == (b"123", 0)
    assert b"Content-Length: 10\r\n" in got
    error = failure(fault_server.url)
    assert isinstance(error, http.client.IncompleteRead)
    assert (error.partial, error.expected) == (b"123", 2)
    assert curl(fault_server.url) == (18, "")
    assert curl(fault_server.url) == (18, "1234")


def test_bytes_that_are_made_up(fault_server: FaultServer) -> None:
    """Where there is no body to cut, there are as many bytes as are asked for."""
    fault_server.script(Truncate(7), Reset(after=3))
    got, _ = raw(fault_server)
    assert (got.partition(b"\r\n\r\n")[2], b"Content-Length: 8\r\n" in got) == (b".......", True)
    assert raw(fault_server)[0].endswith(b"...")


def test_slow_and_dripping(fault_server: FaultServer, faults: Faults) -> None:
    """What comes late or slowly comes in full; after a wait comes the step that is to follow."""
    fault_server.script(
        Slow(0.01), Slow(0.01, Status(500)), Drip(5000, "x" * 300), Drip(1e6), Slow(0, Reset()), then=Ok("y" * 50)
    )
    assert fetch(fault_server.url) == b"y" * 50
    assert isinstance(failure(fault_server.url), urllib.error.HTTPError)
    assert fetch(fault_server.url) == b"x" * 300
    assert fetch(fault_server.url) == b"y" * 50
    assert isinstance(failure(fault_server.url), ConnectionResetError)
    assert details(faults) == [
        "slow(0.01)",
        "slow(0.01), then status(500)",
        "drip(5000)",
        "drip(1e+06)",
        "slow(0), then reset",
    ]


def test_a_client_times_out(fault_server: FaultServer) -> None:
    """A server that hangs, is slow or drips makes a client's own timeout fire, and a server that waits sees it go."""
    fault_server.script(Hang(), Slow(3600), Drip(1, "x" * 3600))
    for _ in range(3):
        with socket.create_connection((fault_server.host, fault_server.port), BOUND) as client:
            client.settimeout(0.05)
            client.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            with pytest.raises(TimeoutError):
                read(client)


def test_garbage(fault_server: FaultServer) -> None:
    """What is sent is no answer: urllib and curl say so, and the bytes are those that were asked for."""
    fault_server.script(Garbage(), Garbage("SSH-2.0-x\r\n"), Garbage(b"\x16\x03"))
    assert isinstance(failure(fault_server.url), http.client.BadStatusLine)
    assert raw(fault_server) == (b"SSH-2.0-x\r\n", 0)
    assert raw(fault_server) == (b"\x16\x03", 0)


def test_redirections(fault_server: FaultServer, faults: Faults) -> None:
    """One leads on, a loop never ends: urllib and curl give up; when healed, the loop is well too."""
    fault_server.script(Redirect(to="/there"), Ok("there"), Redirect(loop=True), Redirect(loop=True))
    assert fetch(f"{fault_server.url}/here") == b"there"
    assert [one.path for one in fault_server.requests] == ["/here", "/there"]
    assert "infinite loop" in str(failure(fault_server.url))
    assert curl("-L", "--max-redirs", "7", fault_server.url)[0] == 47
    assert details(faults) == ["redirect", "redirect(loop)", "redirect(loop)"]
    faults.heal()
    assert fetch(f"{fault_server.url}{fault_server.requests[-1].path}") == b""


@linux_only
def test_a_port_that_refuses_for_a_while(fault_server: FaultServer, faults: Faults) -> None:
    """From the answer before on connections are refused, kept ones end too; the port stays the same, and nobody else's."""
    fault_server.script(Ok("first"), Refuse(), Refuse(3600), Ok("second"), Refuse())
    kept, other = (http.client.HTTPConnection(fault_server.host, fault_server.port, timeout=BOUND) for _ in range(2))
    other.connect()
    kept.request("GET", "/")
    answer = kept.getresponse()
    assert (answer.read(), answer.headers["Connection"]) == (b"first", "close")
    for _ in range(3):
        assert isinstance(failure(fault_server.url), ConnectionRefusedError)
    assert curl(fault_server.url)[0] == 7
    with pytest.raises(ConnectionError):
        exchange(other)
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind((fault_server.host, fault_server.port))
    fault_server.reopen()
    assert isinstance(failure(fault_server.url), ConnectionRefusedError)
    fault_server.reopen()
    assert fetch(fault_server.url) == b"second"
    assert isinstance(failure(fault_server.url), ConnectionRefusedError)
    faults.heal()
    assert fetch(fault_server.url) == b""
    assert details(faults) == ["refuse", "refuse(3600)", "refuse"]


@linux_only
def test_refusing_for_a_time(fault_server: FaultServer, faults: Faults) -> None:
    """After its seconds the port is open by itself, one after the other; curl comes through by retrying."""
    fault_server.script(Refuse(0.05), Refuse(0.05), then=Ok("up"))
    assert isinstance(failure(fault_server.url), ConnectionRefusedError)
    assert curl("--retry", "20", "--retry-delay", "1", "--retry-connrefused", fault_server.url) == (0, "up")
    assert details(faults) == ["refuse(0.05)", "refuse(0.05)"]


@linux_only
def test_refusing_for_good(fault_server: FaultServer) -> None:
    """Once a script has come to it there is no way in but by hand, or by another script."""
    fault_server.script("1*ok->refuse")
    assert fetch(fault_server.url) == b""
    for _ in range(2):
        assert isinstance(failure(fault_server.url), ConnectionRefusedError)
    fault_server.reopen()
    assert fetch(fault_server.url) == b""
    assert isinstance(failure(fault_server.url), ConnectionRefusedError)
    fault_server.script("1*status(500)", required=False)
    assert isinstance(failure(fault_server.url), urllib.error.HTTPError)


# ---------------------------------------------------------------- scripts


def test_scripts_in_words(fault_server: FaultServer, faults: Faults) -> None:
    """A plan names each step, counts it, and says what holds from then on."""
    fault_server.script("2*status(503,7)->reset->truncate(2,9)->garbage(x)->slow(0)->drip(9999,ab)->redirect(/r)->ok")
    found = [failure(fault_server.url) for _ in range(5)]
    assert [type(one).__name__ for one in found] == [
        "HTTPError",
        "HTTPError",
        "ConnectionResetError",
        "IncompleteRead",
        "BadStatusLine",
    ]
    assert isinstance(found[0], urllib.error.HTTPError)
    assert found[0].headers["Retry-After"] == "7"
    assert [fetch(fault_server.url) for _ in range(4)] == [b"", b"ab", b"", b""]
    assert fault_server.requests[-2].path == "/r"
    assert len(details(faults)) == 8
    fault_server.script("1*redirect(loop)->hang", required=False)
    assert "infinite loop" in str(failure(fault_server.url))


def test_what_follows_a_script(fault_server: FaultServer, faults: Faults) -> None:
    """``then`` holds for good; another script takes the place of the one before."""
    fault_server.script(Ok("a"), then=Status(500))
    assert fetch(fault_server.url) == b"a"
    for _ in range(3):
        assert isinstance(failure(fault_server.url), urllib.error.HTTPError)
    fault_server.script(then=Ok("b"))
    assert fetch(fault_server.url) == b"b"
    assert details(faults) == ["status(500)"] * 3


def test_paths_have_scripts_of_their_own(fault_server: FaultServer, faults: Faults) -> None:
    """A route's requests, with any query, take its steps and none of the server's."""
    fault_server.script(Status(500), then=Ok("server"))
    fault_server.route("/sick").script(Status(502), then=Ok("route"))
    assert "502" in str(failure(f"{fault_server.url}/sick?x=1"))
    assert fetch(f"{fault_server.url}/sick") == b"route"
    assert "500" in str(failure(f"{fault_server.url}/sick/not"))
    assert fetch(f"{fault_server.url}/") == b"server"
    assert details(faults) == ["/sick: status(502)", "status(500)"]


def test_steps_that_nobody_took(pytester: pytest.Pytester) -> None:
    """A script that was not served to its end fails the test, with the step that was to come, unless it is allowed to."""
    pytester.makepyfile(
        """
        import urllib.request
        from pytest_orxaq.faults import Ok, Reset, Status

        def test_one(fault_server):
            fault_server.script(Ok(), Status(503), Reset())
            fault_server.route("/a").script(then=Status(500))
            fault_server.route("/b").script(Reset(), required=False)
            fault_server.route("/c").script(then=Ok())
            fault_server.tcp("1*hang")
            urllib.request.urlopen(fault_server.url).close()
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "Never fired: fault_server: status(503), step 2 of 3. *",
            "Never fired: fault_server: /a: status(500), step 1 of 1. *",
            "Never fired: fault_server: tcp: hang, step 1 of 1. *",
        ]
    )
    assert result.stdout.str().count("\nNever fired: ") == 3


def test_many_clients_at_once(fault_server: FaultServer, faults: Faults) -> None:
    """Each step is taken once, whoever comes first, and every request is on record."""
    fault_server.script("40*status(503)->20*reset->ok")

    def ask(number: int) -> str:
        try:
            return fetch(f"{fault_server.url}/{number}").decode()
        except urllib.error.HTTPError as error:
            error.close()
            return "HTTPError"
        except OSError as error:
            return type(getattr(error, "reason", error)).__name__

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(100)))
    assert {one: found.count(one) for one in set(found)} == {"HTTPError": 40, "ConnectionResetError": 20, "": 40}
    assert sorted(int(one.path[1:]) for one in fault_server.requests) == list(range(100))
    assert details(faults) == ["status(503)"] * 40 + ["reset"] * 20


# ---------------------------------------------------------------- requests


def test_requests_are_on_record(fault_server: FaultServer) -> None:
    """Method, path, headers in any case, body and moment; bodies in parts, and those that wait for leave to be sent."""
    request = urllib.request.Request(f"{fault_server.url}/p?q=1", b"body", {"X-Own": "yes"}, method="PUT")  # noqa: S310 - ours
    urllib.request.urlopen(request, timeout=BOUND).close()  # noqa: S310 - ours
    connection = http.client.HTTPConnection(fault_server.host, fault_server.port, timeout=BOUND)
    connection.request("POST", "/parts", iter([b"one", b"two"]), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    connection.getresponse().read()
    connection.close()
    assert curl("-H", "Expect: 100-continue", "--data-binary", "large", fault_server.url)[0] == 0
    parts = (
        b"POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n0\r\nT: 1\r\n\r\n"
    )
    assert raw(fault_server, parts)[1] == 0
    put, post, large, trailed = fault_server.requests
    assert trailed.body == b"ab"
    assert (put.method, put.path, put.place, put.headers["x-own"], put.body) == ("PUT", "/p?q=1", "/p", "yes", b"body")
    assert (post.body, large.body) == (b"onetwo", b"large")
    assert 0 <= put.at <= post.at <= large.at


def test_connections_are_kept(fault_server: FaultServer) -> None:
    """Requests on one connection count each; it ends when the client says so, with HTTP/1.0, and with a reset."""
    fault_server.script(Ok("a"), Status(500), Ok("c"), Reset(), then=Ok("z"))
    connection = http.client.HTTPConnection(fault_server.host, fault_server.port, timeout=BOUND)
    connection.connect()
    ours = connection.sock.getsockname()
    for status in (200, 500, 200):
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, connection.sock.getsockname()) == (status, ours)
    connection.request("GET", "/")
    with pytest.raises(ConnectionResetError):
        connection.getresponse()
    connection.close()
    two = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    got, end = raw(fault_server, two)
    assert (got.count(b"HTTP/1.1 200 OK"), end) == (2, 0)
    assert len(fault_server.requests) == 6


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
    ],
)
def test_what_is_no_request(request_: bytes, fault_server: FaultServer) -> None:
    """It is told so, takes no step, and is not on record."""
    fault_server.script(Status(500), required=False)
    got, _ = raw(fault_server, request_)
    assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert not fault_server.requests


def test_a_client_that_goes_in_the_middle(fault_server: FaultServer) -> None:
    """Half a request takes no step; the server goes on."""
    for part in (b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf", b"GET / HT"):
        with socket.create_connection((fault_server.host, fault_server.port), BOUND) as client:
            client.sendall(part)
            client.shutdown(socket.SHUT_WR)
            while client.recv(100):
                pass
    assert fetch(fault_server.url) == b""
    assert len(fault_server.requests) == 1


# ---------------------------------------------------------------- proxies


def test_ports_are_free_after_a_kill(pytester: pytest.Pytester) -> None:
    """Of a test run that is killed outright nothing holds a port."""
    pytester.makepyfile(
        """
        import sys

        def test_hangs(fault_server, refused_port):
            print("PORTS", fault_server.port, refused_port, flush=True)
            sys.stdin.read()
        """
    )
    command = [sys.executable, "-m", "pytest", "-s"]
    with subprocess.Popen(command, cwd=pytester.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        ports = next(line for line in run.stdout if "PORTS" in line).partition("PORTS")[2].split()
        run.kill()
        run.wait(BOUND)
    for port in ports:
        with socket.socket() as free:
            free.bind(("127.0.0.1", int(port)))


@pytest.fixture
def origin(fault_server: FaultServer, faults: Faults) -> FaultServer:
    """A server that all is well with, behind ``fault_server``."""
    server = FaultServer(faults)
    fault_server.proxy(server.url)
    return server


def test_passed_on(fault_server: FaultServer, origin: FaultServer) -> None:
    """Method, path, query, headers and body go to upstream, and its answer comes back, whatever it is."""
    origin.script(Ok("real", {"X-From": "origin"}), Status(404, body="none"), Status(204))
    command = ["-X", "PATCH", "-d", "data", "-H", "X-Own: 1", "-D", "-"]
    code, said = curl(*command, f"{fault_server.url}/a/b?c=d")
    assert (code, said.startswith("HTTP/1.1 200 OK"), said.endswith("real")) == (0, True, True)
    assert "X-From: origin" in said
    (got,) = origin.requests
    assert (got.method, got.path, got.body, got.headers["x-own"]) == ("PATCH", "/a/b?c=d", b"data", "1")
    error = failure(fault_server.url)
    assert isinstance(error, urllib.error.HTTPError)
    assert (error.code, error.__notes__) == (404, ["none"])
    assert raw(fault_server, b"GET / HTTP/1.0\r\n\r\n")[0].startswith(b"HTTP/1.1 204 ")


def test_faults_on_the_way(fault_server: FaultServer, origin: FaultServer) -> None:
    """Upstream's answer is cut, reset and dripped; what is answered in its place never reaches it."""
    origin.script(then=Ok("0123456789"))
    fault_server.script(Truncate(4), Reset(after=6), Drip(1e5), Slow(0.01), Ok("own"), Status(503), Garbage())
    assert curl(fault_server.url) == (18, "0123")
    assert curl(fault_server.url) == (56, "012345")
    assert [fetch(fault_server.url) for _ in range(3)] == [b"0123456789", b"0123456789", b"own"]
    assert curl(fault_server.url)[0] == 0
    assert curl(fault_server.url)[0] == 1
    assert fetch(fault_server.url) == b"0123456789"
    assert len(origin.requests) == 5


def test_as_a_clients_proxy(fault_server: FaultServer, origin: FaultServer) -> None:
    """A client that has it as its proxy reaches upstream for any name, and no other machine; routes go by the path."""
    origin.script(then=Ok("real"))
    fault_server.script(Reset())
    fault_server.route("/sick").script(Status(502))
    through = ["-x", fault_server.url, "http://registry.invalid"]
    assert curl(*through)[0] == 56
    assert curl(*through) == (0, "real")
    assert curl(*through[:2], "-f", "http://registry.invalid/sick?x")[0] == 22
    assert fault_server.requests[1].path == "http://registry.invalid/"
    assert origin.requests[0].path == "/"


def test_tunnels(fault_server: FaultServer, origin: FaultServer) -> None:
    """CONNECT is a request like others; a tunnel ends at upstream, whole, cut, reset or slow."""
    origin.script(then=Ok("0123456789" * 10))
    fault_server.script("1*status(503)->reset->ok->reset(100)->truncate(100)->drip(99999)->slow(0)->garbage->ok")
    through = ["-p", "-x", fault_server.url, "http://registry.invalid/x"]
    codes = [curl(*through)[0] for _ in range(7)]
    assert codes == [56, 56, 0, 56, 18, 0, 0]
    assert curl(*through)[0] != 0  # garbage
    assert curl(*through) == (0, "0123456789" * 10)
    assert {one.method for one in fault_server.requests} == {"CONNECT"}
    assert {one.path for one in fault_server.requests} == {"registry.invalid:80"}


def test_upstream_that_is_not_there(fault_server: FaultServer, refused_port: int) -> None:
    """The client is told 502, a tunnel comes to nothing, and without an upstream CONNECT is no tunnel."""
    alone = b"CONNECT a:1 HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert raw(fault_server, alone)[0].startswith(b"HTTP/1.1 405 ")
    fault_server.proxy(f"http://127.0.0.1:{refused_port}/base")
    error = failure(fault_server.url)
    assert isinstance(error, urllib.error.HTTPError)
    assert (error.code, "refused" in error.__notes__[0]) == (502, True)
    assert raw(fault_server, b"CONNECT a:1 HTTP/1.1\r\n\r\n") == (b"", 0)


# ---------------------------------------------------------------- any protocol


def test_without_http(fault_server: FaultServer, faults: Faults) -> None:
    """A step is for a connection: greeted, reset, cut, hung up on; what was said is on record."""
    server = fault_server.tcp(
        Ok("220 hello\r\n"), Reset(), Reset(3), Truncate(4), Garbage("?"), Drip(1e5, "slow"), Slow(0)
    )

    def talk(words: bytes) -> tuple[bytes, int]:
        got = b""
        try:  # a reset may be there before the connection is
            with socket.create_connection((server.host, server.port), BOUND) as client:
                client.sendall(words)
                client.shutdown(socket.SHUT_WR)
                while data := client.recv(100):
                    got += data
        except OSError as error:
            return got, error.errno or -1
        return got, 0

    assert talk(b"EHLO") == (b"220 hello\r\n", 0)
    got, end = talk(b"")
    assert (got, end in {errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE}) == (b"", True)
    assert talk(b"")[0] in {b"...", b""}  # a reset may be faster than who reads
    assert talk(b"") == (b"....", 0)
    assert talk(b"") == (b"?", 0)
    assert talk(b"QUIT") == (b"slow", 0)
    assert talk(b"NOOP") == (b"", 0)
    assert server.connections == 7
    assert server.received == [b"EHLO", b"QUIT", b"NOOP"]
    assert details(faults) == [
        f"tcp: {step}" for step in ("reset", "reset(3)", "truncate(4)", "garbage", "drip(100000)", "slow(0)")
    ]


def test_any_protocol_passed_on(fault_server: FaultServer) -> None:
    """Bytes go both ways to upstream until both have said all, or as many as were asked for have come back."""
    fault_server.script(then=Ok("0123456789"))
    whole = len(raw(fault_server, b"GET / HTTP/1.0\r\n\r\n")[0])
    server = fault_server.tcp(
        Truncate(5), Reset(6), Drip(1e5), Hang(), upstream=(fault_server.host, fault_server.port)
    )  # fmt: skip
    url = f"http://{server.host}:{server.port}"
    assert raw(server, b"GET / HTTP/1.0\r\n\r\n") == (b"HTTP/", 0)
    assert raw(server, b"GET / HTTP/1.0\r\n\r\n") == (b"HTTP/1", errno.ECONNRESET)
    assert len(raw(server, b"GET / HTTP/1.0\r\n\r\n")[0]) == whole
    assert curl("--max-time", "0.2", url)[0] == 28
    assert curl(url) == (0, "0123456789")
    assert server.received == []


# ---------------------------------------------------------------- peace, clean-up


def test_peace_ends_what_waits(fault_server: FaultServer, faults: Faults) -> None:
    """Healing closes what hangs, lets the rest come at once, and drops what the script had left."""
    fault_server.script(Hang(), Slow(3600), Slow(3600, Reset()), Drip(1, "x" * 3600), *[Reset()] * 3, required=False)
    with ThreadPoolExecutor(4) as pool:
        waiting = []
        for number in range(1, 5):
            waiting.append(pool.submit(raw, fault_server, b"GET / HTTP/1.0\r\n\r\n"))
            wait_until(lambda number=number: len(details(faults)) == number)  # type: ignore[misc]
        faults.heal()
        hung, slow, other, dripped = (one.result(BOUND) for one in waiting)
    assert hung == (b"", 0)
    assert slow[0].startswith(b"HTTP/1.1 200 OK")
    assert other[0].startswith(b"HTTP/1.1 200 OK")
    assert dripped[0].endswith(b"x" * 3600)
    assert fetch(fault_server.url) == b""
    fault_server.script(Status(500))
    assert isinstance(failure(fault_server.url), urllib.error.HTTPError)


def wait_until(reached: Callable[[], bool]) -> None:
    """Wait until something is so; fail if it never is."""
    until = time.monotonic() + BOUND
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.002)


LEAVING = """
    import socket
    import pytest
    from pytest_orxaq.faults import Drip, Hang, Ok, Refuse, Slow

    SOCKETS = []

    @pytest.fixture(autouse=True)
    def clients():
        yield
        while SOCKETS:
            SOCKETS.pop().close()

    def come(port, words=b"GET / HTTP/1.1\\r\\n\\r\\n"):
        SOCKETS.append(socket.create_connection(("127.0.0.1", port)))
        SOCKETS[-1].sendall(words)

    @pytest.mark.parametrize("way", ["fails", "interrupted"])
    def test_leaves(way, fault_server, refused_port, faults):
        fault_server.script(Hang(), Slow(3600), Drip(1, "x" * 99), Slow(0), then=Refuse(3600))
        for _ in range(3):
            come(fault_server.port)
        while len(faults.log) < 4:
            pass
        come(fault_server.port, b"")
        come(fault_server.port, b"GET / HT")
        other = fault_server.tcp("hang", upstream=("127.0.0.1", fault_server.port))
        come(other.port)
        silent = fault_server.tcp("ok", upstream=("127.0.0.1", other.port))
        come(silent.port)
        come(fault_server.port)
        while len(faults.log) < 7:
            pass
        if way == "interrupted":
            raise KeyboardInterrupt
        assert False
"""


def test_nothing_is_left(pytester: pytest.Pytester) -> None:
    """Clients that hang, say nothing or half a word, relays, refusals: no thread and no open socket after the test, however it ends."""
    pytester.makepyfile(LEAVING)
    before, files = set(threading.enumerate()), len(os.listdir("/dev/fd"))
    result = pytester.runpytest_inprocess("-p", "no:randomly", "-k", "fails", "-n0")
    result.assert_outcomes(failed=1, deselected=1)
    left = {one for one in threading.enumerate() if one not in before}
    assert not left
    assert len(os.listdir("/dev/fd")) <= files
    interrupted = pytester.runpytest_subprocess("-p", "no:randomly", "-k", "interrupted")
    assert interrupted.ret == 2


def test_servers_of_many_workers(pytester: pytest.Pytester) -> None:
    """Each test has its own port, on several workers at once, and the same log in every repetition."""
    pytester.makepyfile(
        """
        import urllib.request, urllib.error, pytest

        @pytest.mark.parametrize("number", range(12))
        def test_one(number, fault_server, faults):
            fault_server.script("2*status(503)->ok")
            for _ in range(2):
                with pytest.raises(urllib.error.HTTPError) as caught:
                    urllib.request.urlopen(fault_server.url)
                caught.value.close()
            urllib.request.urlopen(fault_server.url).close()
            assert [str(event) for event in faults.log] == ["fault_server: status(503) [transient]"] * 2
        """
    )
    pytester.runpytest_subprocess("-n3").assert_outcomes(passed=12)


# ---------------------------------------------------------------- real clients


def test_git_meets_it(fault_server: FaultServer, isolated_git: Callable[..., Git], tmp_path: Path) -> None:
    """A real git fails at 503 at once, at a reset, and at an answer cut short; over a good proxy of its own it clones."""
    repo = isolated_git()
    repo("update-server-info")
    files = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
        cwd=repo.dir,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with files:
        try:
            assert files.stdout is not None
            port = files.stdout.readline().split(" port ")[1].split()[0]
            fault_server.proxy(f"http://127.0.0.1:{port}")
            fault_server.script(Status(503, 1), Reset(), Truncate(5), Garbage())
            said = [repo("clone", fault_server.url, str(tmp_path / f"c{number}"), check=False) for number in range(5)]
        finally:
            files.terminate()
    assert [one.returncode for one in said] == [128] * 4 + [0]
    assert "503" in said[0].stderr
    assert fault_server.requests[0].headers["User-Agent"].startswith("git/")


def test_pip_retries_over_it(fault_server: FaultServer, tmp_path: Path) -> None:
    """A real pip comes through 503 and a reset by its own retries."""
    fault_server.script(Status(503), Reset(), then=Ok("<html></html>", {"Content-Type": "text/html"}))
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--isolated",
        "--disable-pip-version-check",
        "--retries",
        "3",
        "--no-deps",
        "-d",
        str(tmp_path),
    ]
    done = subprocess.run(
        [*command, "-i", f"{fault_server.url}/simple", "not-there-at-all"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "No matching distribution found" in done.stderr, done.stderr
    assert [one.path for one in fault_server.requests] == ["/simple/not-there-at-all/"] * 3


# ---------------------------------------------------------------- wrong words


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Status(99), "There is no status 99."),
        (lambda: Status(True), "There is no status True."),
        (lambda: Status(503, dt.datetime(2030, 1, 1)), "retry_after has no time zone."),  # noqa: DTZ001 - the mistake
        (lambda: Reset(-1), "after=-1 is not possible."),
        (lambda: Truncate(-2), "after=-2 is not possible."),
        (lambda: Truncate(5, 5), "Nothing is missing: 5 bytes are sent, and 5 are announced."),
        (lambda: Slow(-1), "seconds=-1 is not possible."),
        (lambda: Slow(float("nan")), "seconds=nan is not possible."),
        (lambda: Drip(0), "bytes_per_s=0 is not possible."),
        (lambda: Redirect(""), "A redirection goes somewhere, or"),
        (lambda: Redirect(to="/x", loop=True), "A redirection goes somewhere, or round in a loop."),
        (lambda: Refuse(-2), "seconds=-2 is not possible."),
    ],
)
def test_steps_that_make_no_sense(make: Callable[[], Step], said: str) -> None:
    """They are refused where they are made."""
    with pytest.raises(UsageError) as refused:
        make()
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.script("statuss(503)"), "The plan 'statuss(503)' says 'statuss'. Did you mean 'status'?\nWhat can happen: "),
        (lambda s: s.script("status"), "The plan 'status' says status: status takes 1 to 2 in brackets."),
        (lambda s: s.script("slow"), "The plan 'slow' says slow: slow takes 1 in brackets."),
        (lambda s: s.script("hang(3)"), "The plan 'hang(3)' says hang(3): hang takes 0 in brackets."),
        (lambda s: s.script("status(x)"), "The plan 'status(x)' says status(x).\nIn brackets stands a whole number, a text"),
        (lambda s: s.script("99999*ok"), "The plan '99999*ok' has 99,999 steps."),
        (lambda s: s.script(*[Ok()] * 10_001), "The script has 10,001 steps."),
        (lambda s: s.script("ok", then=Ok()), "The plan 'ok' says all of it."),
        (lambda s: s.script(503), "503 is no step of a script.\nThere are: Ok(…), "),
        (lambda s: s.script(Ok(), "reset"), "'reset' is no step of a script."),
        (lambda s: s.script(Slow(1, Refuse())), "There is no step of the server, after a wait 'Refuse'."),
        (lambda s: s.route("/x").script(Refuse()), "There is no step of /x 'Refuse'."),
        (lambda s: s.route("x"), "The path 'x' does not begin with a slash."),
        (lambda s: s.tcp(Status(503)), "There is no step of tcp 'Status'."),
        (lambda s: s.proxy("https://x"), "'https://x' cannot be passed on to."),
        (lambda s: s.proxy("127.0.0.1:80"), "'127.0.0.1:80' cannot be passed on to."),
    ],
)  # fmt: skip
def test_wrong_words_fail_at_the_call(
    call: Callable[[FaultServer], None], said: str, fault_server: FaultServer
) -> None:
    """What cannot be read or done is said at once, and the server goes on as it was."""
    with pytest.raises(UsageError) as refused:
        call(fault_server)
    assert str(refused.value).startswith(said)
    assert fetch(fault_server.url) == b""


@pytest.mark.parametrize("code", [400, 401, 404, 422, 499])
def test_who_asked_wrongly_need_not_ask_again(code: int) -> None:
    """An answer that says that the request is wrong says it the next time too."""
    assert Status(code).truth == "permanent"


@pytest.mark.parametrize("code", [204, 302, 408, 425, 429, 500, 503])
def test_other_statuses_pass(code: int) -> None:
    """Too early, too often, or the server's own trouble: later it may be over."""
    assert Status(code).truth == "transient"
