"""Lines by which known programs say that the machine, the network or another git is to blame; and make's own words.

A retry is bought with these, so each rule is anchored to the form in which the program itself prints its
complaint. A word such as "timeout" alone proves nothing: tests print it too. What a retry cannot mend (not
found, not allowed, an expired certificate) must match no rule.
"""

import re

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache


_LONGEST_LINE = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Transient trouble that was recognised."""

    id: str
    program: str
    line: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one program prints one kind of transient trouble."""

    id: str
    program: str
    needle: str  # cheap to look for, and in every line that the pattern matches
    pattern: str  # of the whole line
    advice: str
    matches: tuple[str, ...]  # examples, which the tests hold the pattern to
    misses: tuple[str, ...] = ()
    before: str = ""  # words that must stand somewhere above the line


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeFailure:
    """A recipe that failed, in make's words."""

    target: str
    code: int | None
    signal_name: str | None
    ignored: bool
    line: str


@cache
def _shape(pattern: str) -> re.Pattern[str]:
    # Compiled at first use: most starts of the program read no output at all.
    return re.compile(pattern)


def _lines_with(text: str, needle: str) -> Iterator[tuple[int, str]]:
    """Lines that contain the needle, each once, with their offsets; monstrous lines are left out."""
    at = text.find(needle)
    while at >= 0:
        start = text.rfind("\n", 0, at) + 1
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if end - start <= _LONGEST_LINE:
            yield start, _shape(r"\x1b\[[0-?]*[ -/]*[@-~]").sub("", text[start:end]).strip()
        at = text.find(needle, end)


# ---------------------------------------------------------------- git's locks


# strerror(EEXIST), as glibc has it: git translates the sentence around the path, and this word with it.
_EXISTS = (
    *(
        "File exists",
        "Die Datei existiert bereits",
        "Datei existiert bereits",
        "Le fichier existe",
        "El fichero ya existe",
    ),
    *("El archivo ya existe", "File già esistente", "Il file esiste", "O ficheiro existe", "Arquivo existe"),
    *("Bestand bestaat al", "Plik istnieje", "Filen existerar", "Soubor již existuje", "Dosya var", "Файл существует"),
    *("ファイルが存在します", "파일이 있습니다", "文件已存在", "檔案已存在"),
)
_EXISTS_IN_ANY = "|".join(map(re.escape, _EXISTS))
_LOCK_FILE = rf"\.lock['\"”“»’][^:：]{{0,80}}[:：] ?(?:{_EXISTS_IN_ANY})[.。]?$"
_CONFIG_LOCK = r"^(?:error|fatal): could not lock config file .+: File exists$"
_REF_RACE = r"^(?:error|fatal): (?:.*: )?cannot lock ref '[^']+': is at [0-9a-f]+ but expected [0-9a-f]+$"
_SIBLING = r"^Another git process seems to be running in this repository.*"


def git_lock_complaint(text: str) -> str:
    """The last line by which git said that a lock file, or another git, is in its way; empty if none."""
    found = (-1, "")
    for needle, pattern in (
        (".lock", _LOCK_FILE),
        ("could not lock config file", _CONFIG_LOCK),
        ("cannot lock ref '", _REF_RACE),
        ("Another git process", _SIBLING),
    ):
        for offset, line in _lines_with(text, needle):
            if offset > found[0] and _shape(pattern).search(line):
                found = (offset, line)
    return found[1]


# ---------------------------------------------------------------- make


_MAKE = r"(?:\S*[\\/])?[\w-]*make(?:\.exe)?(?:\[\d+\])?:"
_SIGNALS = {
    "Hangup": "SIGHUP",
    "Interrupt": "SIGINT",
    "Quit": "SIGQUIT",
    "Illegal instruction": "SIGILL",
    "Trace/breakpoint trap": "SIGTRAP",
    "Aborted": "SIGABRT",
    "Abort trap": "SIGABRT",
    "Bus error": "SIGBUS",
    "Floating point exception": "SIGFPE",
    "Killed": "SIGKILL",
    "User defined signal 1": "SIGUSR1",
    "Segmentation fault": "SIGSEGV",
    "User defined signal 2": "SIGUSR2",
    "Broken pipe": "SIGPIPE",
    "Alarm clock": "SIGALRM",
    "Terminated": "SIGTERM",
    "CPU time limit exceeded": "SIGXCPU",
    "File size limit exceeded": "SIGXFSZ",
}


def make_failures(text: str) -> tuple[MakeFailure, ...]:
    """Every recipe that make said has failed, in order."""
    found = []
    for _, line in _lines_with(text, "make"):
        match = _shape(_MAKE + r" (?:\*\*\* )?\[(?:[^\]]*:\d+: )?(.+)\] (.+)").fullmatch(line)
        failure = match and _failure(match[1], match[2], line)
        if failure:
            found.append(failure)
    return tuple(found)


def _failure(target: str, said: str, line: str) -> MakeFailure | None:
    ignored = bool(re.search(r" \([^()]*\)$", said)) and "***" not in line
    if match := _shape(r"[^\s:]+ (\d{1,3})(?: \(\S+\))?").fullmatch(said):  # Error 2, in any language
        return MakeFailure(target=target, code=int(match[1]), signal_name=None, ignored=ignored, line=line)
    word = _shape(r"(?:: \d+)?(?: \([^()]*\)){0,2}$").sub("", said)  # macOS appends the number
    if word in _SIGNALS:
        ignored = ignored and not said.endswith("(core dumped)")
        return MakeFailure(target=target, code=None, signal_name=_SIGNALS[word], ignored=ignored, line=line)
    return None


def missing_target(text: str) -> str:
    """The line by which make said that there is nothing that it could make; empty if none."""
    shapes = (
        ("No rule to make target", _MAKE + r" \*\*\* No rule to make target .+\. +Stop\."),
        ("no makefile found", _MAKE + r" \*\*\* No targets specified and no makefile found\. +Stop\."),
        ("*** No targets.", _MAKE + r" \*\*\* No targets\. +Stop\."),
    )
    for needle, pattern in shapes:
        for _, line in _lines_with(text, needle):
            if _shape(pattern).fullmatch(line):
                return line
    return ""


def nothing_done(text: str, target: str) -> str:
    """The line by which make said that it ran nothing for this target; empty if none."""
    name = rf"[`'‘]?{re.escape(target)}['’]?"
    pattern = _MAKE + rf" (?:{name} is up to date\.|Nothing to be done for {name}\.)"
    for needle in (" is up to date.", "Nothing to be done for "):
        for _, line in _lines_with(text, needle):
            if re.fullmatch(pattern, line):
                return line
    return ""


# ---------------------------------------------------------------- transient trouble


def transient_line(text: str) -> Signature | None:
    """The last line in which a program complained of trouble that may pass by itself."""
    last: tuple[int, Signature] | None = None
    for rule in RULES:
        for offset, line in _lines_with(text, rule.needle):
            if (last and offset <= last[0]) or not _shape(rule.pattern).fullmatch(line):
                continue
            if rule.before and text.find(rule.before, 0, offset) < 0:
                continue
            last = offset, Signature(id=rule.id, program=rule.program, line=line, advice=rule.advice)
    return last[1] if last else None


_NETWORK = "The network or the remote side failed; try again, and look at the connection, proxy and DNS if it stays."
_BUSY = "The remote side is overloaded or limits requests; wait, then try again."

# libcurl's words, as git prints them.
_CURL_TROUBLE = (
    r"(?:Could not resolve (?:host|proxy).*|Failed to connect to \S+ port \d+.*|Couldn't connect to server"
    r"|Connection timed out.*|Operation timed out.*|Recv failure: .*|Send failure: .*|Empty reply from server"
    r"|(?:\S+ )?SSL_(?:connect|read|write):? .*|gnutls_handshake\(\) failed: .*|GnuTLS recv error.*|TLS connect error.*"
    r"|transfer closed with .*|HTTP/2 stream \d+ was not closed cleanly.*|Proxy CONNECT aborted.*"
    r"|Received HTTP code 50[234] from proxy after CONNECT|Failure when receiving data from the peer.*)"
)
_NODE_CODES = (
    r"(?:ECONNRESET|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ESOCKETTIMEDOUT|ERR_SOCKET_TIMEOUT|EPIPE|ENETUNREACH|EHOSTUNREACH)"
)

RULES: tuple[Rule, ...] = (
    Rule(
        id="git-http",
        program="git",
        needle="unable to access '",
        pattern=rf"(?:fatal|error): unable to access '[^']*': {_CURL_TROUBLE}",
        advice=_NETWORK,
        matches=(
            "fatal: unable to access 'https://example.org/x.git/': Could not resolve host: example.org",
            "fatal: unable to access 'https://example.org/x/': Failed to connect to example.org port 443 after 12 ms: Couldn't connect to server",
            "fatal: unable to access 'https://example.org/x/': OpenSSL SSL_read: Connection reset by peer, errno 104",
            "fatal: unable to access 'https://example.org/x/': gnutls_handshake() failed: The TLS connection was non-properly terminated.",
        ),
        misses=(
            "fatal: unable to access 'https://example.org/x.git/': The requested URL returned error: 404",
            "fatal: unable to access 'https://example.org/x.git/': SSL certificate problem: certificate has expired",
            "fatal: unable to access '/home/x/.config/git/config': Permission denied",
        ),
    ),
    Rule(
        id="git-http-status",
        program="git",
        needle="The requested URL returned error: ",
        pattern=r"(?:fatal: unable to access '[^']*'|error): (?:RPC failed; .*)?The requested URL returned error: (?:429|50[0234])(?: .*)?",
        advice=_BUSY,
        matches=(
            "fatal: unable to access 'https://example.org/x.git/': The requested URL returned error: 503",
            "fatal: unable to access 'https://example.org/x.git/': The requested URL returned error: 429",
            "error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502",
        ),
        misses=(
            "fatal: unable to access 'https://example.org/x.git/': The requested URL returned error: 403",
            "fatal: unable to access 'https://example.org/x.git/': The requested URL returned error: 401",
        ),
    ),
    Rule(
        id="git-rpc",
        program="git",
        needle="RPC failed; ",
        pattern=r"error: RPC failed; (?:curl (?:18|28|52|55|56|92) .*|HTTP (?:429|50[0234]) .*)",
        advice=_NETWORK,
        matches=(
            "error: RPC failed; curl 56 GnuTLS recv error (-54): Error in the pull function.",
            "error: RPC failed; curl 92 HTTP/2 stream 5 was not closed cleanly: CANCEL (err 8)",
        ),
        misses=("error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413",),
    ),
    Rule(
        id="git-hang-up",
        program="git",
        needle="fatal: ",
        pattern=r"fatal: (?:the remote end hung up unexpectedly|early EOF|fetch-pack: unexpected disconnect while reading sideband packet"
        r"|unable to connect to \S+:|unable to look up \S+ \(port \d+\) \(.*\))",
        advice=_NETWORK,
        matches=(
            "fatal: the remote end hung up unexpectedly",
            "fatal: early EOF",
            "fatal: fetch-pack: unexpected disconnect while reading sideband packet",
            "fatal: unable to look up example.org (port 9418) (Temporary failure in name resolution)",
        ),
        misses=(
            "fatal: repository 'https://example.org/x.git/' not found",
            "fatal: Could not read from remote repository.",
            "fatal: Authentication failed for 'https://example.org/x.git/'",
        ),
    ),
    Rule(
        id="ssh-connect",
        program="ssh",
        needle="ssh: ",
        pattern=r"ssh: (?:connect to host \S+ port \d+: (?:Connection (?:timed out|refused|reset by peer)|Operation timed out"
        r"|No route to host|Network is unreachable)|Could not resolve hostname \S+: .*)",
        advice=_NETWORK,
        matches=(
            "ssh: connect to host example.org port 22: Connection timed out",
            "ssh: Could not resolve hostname example.org: Temporary failure in name resolution",
            "ssh: connect to host example.org port 22: Network is unreachable",
        ),
        misses=("ssh: connect to host example.org port 22: Permission denied",),
    ),
    Rule(
        id="ssh-exchange",
        program="ssh",
        needle="kex_exchange_identification: ",
        pattern=r"kex_exchange_identification: (?:Connection closed by remote host|read: Connection reset by peer|client sent invalid .*)",
        advice=_BUSY,
        matches=(
            "kex_exchange_identification: Connection closed by remote host",
            "kex_exchange_identification: read: Connection reset by peer",
        ),
    ),
    Rule(
        id="ssh-closed",
        program="ssh",
        needle="Connection ",
        pattern=r"Connection (?:closed|reset) by \S+ port \d+",
        advice=_NETWORK,
        matches=("Connection closed by 192.0.2.1 port 22", "Connection reset by 192.0.2.1 port 22"),
        misses=("Connection closed by the user", "Connection refused"),
    ),
    Rule(
        id="curl",
        program="curl",
        needle="curl: (",
        # Numbers of libcurl-errors(3): resolve, connect, partial file, time-out, TLS connect, empty reply, send, receive, HTTP/2.
        pattern=r"curl: \((?:5|6|7|16|18|28|35|52|55|56|92)\) .+",
        advice=_NETWORK,
        matches=(
            "curl: (6) Could not resolve host: example.org",
            "curl: (28) Connection timed out after 10001 milliseconds",
            "curl: (56) Recv failure: Connection reset by peer",
        ),
        misses=(
            "curl: (22) The requested URL returned error: 404",
            "curl: (60) SSL certificate problem: certificate has expired",
            "curl: (3) URL using bad/illegal format or missing URL",
        ),
    ),
    Rule(
        id="curl-status",
        program="curl",
        needle="curl: (22) ",
        pattern=r"curl: \(22\) The requested URL returned error: (?:429|50[0234])(?: .*)?",
        advice=_BUSY,
        matches=(
            "curl: (22) The requested URL returned error: 503 Service Unavailable",
            "curl: (22) The requested URL returned error: 429",
        ),
        misses=("curl: (22) The requested URL returned error: 404 Not Found",),
    ),
    Rule(
        id="wget",
        program="wget",
        needle="wget: unable to resolve host address",
        pattern=r"wget: unable to resolve host address [‘'`\"].+[’'\"]",
        advice=_NETWORK,
        matches=("wget: unable to resolve host address ‘example.org’",),
    ),
    Rule(
        id="wget-status",
        program="wget",
        needle=" ERROR ",
        pattern=r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ERROR (?:429|50[0234]): .+",
        advice=_BUSY,
        matches=("2026-01-02 03:04:05 ERROR 503: Service Unavailable.",),
        misses=("2026-01-02 03:04:05 ERROR 404: Not Found.", "2026-01-02 03:04:05,123 ERROR app: 503"),
    ),
    Rule(
        id="pip-oserror",
        program="pip",
        needle="ERROR: Could not install packages due to an OSError: ",
        pattern=r"ERROR: Could not install packages due to an OSError: (?:HTTPS?ConnectionPool\(host=.*(?:Max retries exceeded|Read timed out).*"
        r"|\('Connection (?:aborted|broken).*)",
        advice=_NETWORK,
        matches=(
            "ERROR: Could not install packages due to an OSError: HTTPSConnectionPool(host='files.example.org', port=443): Read timed out. (read timeout=15)",
            "ERROR: Could not install packages due to an OSError: HTTPSConnectionPool(host='files.example.org', port=443): Max retries exceeded with url: /x.whl (Caused by NewConnectionError('Failed to establish a new connection'))",
        ),
        misses=(
            "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/usr/lib/x'",
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        ),
    ),
    Rule(
        id="pip-read-timeout",
        program="pip",
        needle="Read timed out.",
        pattern=r"pip\._vendor\.(?:urllib3|requests)\.exceptions\.(?:ReadTimeoutError|ReadTimeout|ConnectionError): HTTPS?ConnectionPool\(host='[^']+', port=\d+\): Read timed out\..*",
        advice=_NETWORK,
        matches=(
            "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(host='files.example.org', port=443): Read timed out.",
        ),
        misses=(
            "requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='api.example.org', port=443): Read timed out.",
        ),
    ),
    Rule(
        id="pip-status",
        program="pip",
        needle="ERROR: HTTP error ",
        pattern=r"ERROR: HTTP error (?:429|50[0234]) while getting .+",
        advice=_BUSY,
        matches=("ERROR: HTTP error 503 while getting https://files.example.org/x.whl",),
        misses=("ERROR: HTTP error 404 while getting https://files.example.org/x.whl",),
    ),
    Rule(
        id="pip-no-index",
        program="pip",
        needle="(from versions: none)",
        pattern=r"ERROR: Could not find a version that satisfies the requirement .+ \(from versions: none\)",
        advice=_NETWORK,
        # Without the retries above it, the index has answered: there is no such package.
        before="WARNING: Retrying (Retry(total=0, ",
        matches=(
            (
                "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection "
                "broken by 'NewConnectionError('...: Failed to establish a new connection')': /simple/x/\n"
                "ERROR: Could not find a version that satisfies the requirement x (from versions: none)"
            ),
        ),
        misses=("ERROR: Could not find a version that satisfies the requirement x (from versions: none)",),
    ),
    Rule(
        id="uv-request",
        program="uv",
        needle="error sending request for url (",
        pattern=r"(?:[×├╰│─▶> ]*)(?:Caused by: |error: )?error sending request for url \(https?://.+\)",
        advice=_NETWORK,
        matches=("  Caused by: error sending request for url (https://index.example/simple/x/)",),
    ),
    Rule(
        id="uv-fetch-status",
        program="uv",
        needle="HTTP status server error (",
        pattern=r"(?:[×├╰│─▶> ]*)(?:Caused by: |error: )?HTTP status server error \(50[0234] [^)]*\) for url \(https?://.+\)",
        advice=_BUSY,
        matches=(
            "  Caused by: HTTP status server error (503 Service Unavailable) for url (https://index.example/simple/x/)",
        ),
        misses=("  Caused by: HTTP status client error (404 Not Found) for url (https://index.example/simple/x/)",),
    ),
    Rule(
        id="poetry",
        program="poetry",
        needle="All attempts to connect to ",
        pattern=r"All attempts to connect to \S+ failed\.",
        advice=_NETWORK,
        matches=("All attempts to connect to index.example failed.",),
    ),
    Rule(
        id="npm-code",
        program="npm",
        needle=" code E",
        pattern=rf"npm (?:ERR!|error) code {_NODE_CODES}",
        advice=_NETWORK,
        matches=("npm ERR! code ECONNRESET", "npm error code EAI_AGAIN", "npm error code ETIMEDOUT"),
        misses=("npm error code E404", "npm error code ERESOLVE", "npm ERR! code ELIFECYCLE", "npm error code E401"),
    ),
    Rule(
        id="npm-status",
        program="npm",
        needle="npm ",
        pattern=r"npm (?:ERR!|error) code E(?:429|50[0234])",
        advice=_BUSY,
        matches=("npm error code E503", "npm ERR! code E429"),
        misses=("npm error code E403",),
    ),
    Rule(
        id="yarn",
        program="yarn",
        needle="error An unexpected error occurred: ",
        pattern=rf'error An unexpected error occurred: ".*(?:{_NODE_CODES}|Request failed \\"(?:429|50[0234]) [^"]*).*"\.',
        advice=_NETWORK,
        matches=(
            'error An unexpected error occurred: "https://registry.yarnpkg.com/x: getaddrinfo EAI_AGAIN registry.yarnpkg.com".',
        ),
        misses=('error An unexpected error occurred: "https://registry.yarnpkg.com/x: Not found".',),
    ),
    Rule(
        id="pnpm",
        program="pnpm",
        needle="ERR_PNPM_META_FETCH_FAIL",
        pattern=rf".{{0,20}}ERR_PNPM_META_FETCH_FAIL +GET \S+: .*{_NODE_CODES}.*",
        advice=_NETWORK,
        matches=(
            "ERR_PNPM_META_FETCH_FAIL  GET https://registry.example/x: request to https://registry.example/x failed, reason: getaddrinfo EAI_AGAIN registry.example",
        ),
    ),
    Rule(
        id="apt-fetch",
        program="apt",
        needle="E: Failed to fetch ",
        pattern=r"E: Failed to fetch \S+ +.*(?:Connection timed out|Connection failed|Could not connect|Temporary failure resolving|Unable to connect"
        r"|Connection reset by peer|Hash Sum mismatch|Error reading from server|Undetermined Error| 50[0234]  |File has unexpected size).*",
        advice=_NETWORK,
        matches=(
            "E: Failed to fetch http://deb.example.org/x.deb  Could not connect to deb.example.org:80 (192.0.2.1), connection timed out",
            "E: Failed to fetch http://deb.example.org/x.deb  Temporary failure resolving 'deb.example.org'",
            "E: Failed to fetch http://deb.example.org/x.deb  503  Service Unavailable [IP: 192.0.2.1 80]",
        ),
        misses=("E: Failed to fetch http://deb.example.org/x.deb  404  Not Found [IP: 192.0.2.1 80]",),
    ),
    Rule(
        id="apt-lock",
        program="apt",
        needle="E: Could not get lock ",
        pattern=r"E: Could not get lock \S+\. It is held by process \d+ \(.*\)",
        advice="Another package manager is at work; wait for its end.",
        matches=("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1234 (apt-get)",),
        misses=("E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)",),
    ),
    Rule(
        id="docker-daemon",
        program="docker",
        needle="Error response from daemon: ",
        pattern=r"(?:docker: )?Error response from daemon: (?:Get \"?https?://\S+: .*(?:i/o timeout|Client\.Timeout exceeded.*|TLS handshake timeout"
        r"|connection re(?:set by peer|fused)|no such host|server misbehaving|EOF|context deadline exceeded.*)"
        r"|toomanyrequests: .*|received unexpected HTTP status: 50[0234] .*)",
        advice=_NETWORK,
        matches=(
            'Error response from daemon: Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout',
            "docker: Error response from daemon: toomanyrequests: You have reached your pull rate limit.",
            "Error response from daemon: received unexpected HTTP status: 503 Service Unavailable",
        ),
        misses=(
            "Error response from daemon: manifest for x:1 not found: manifest unknown: manifest unknown",
            "Error response from daemon: pull access denied for x, repository does not exist",
        ),
    ),
    Rule(
        id="cargo-retry",
        program="cargo",
        needle="spurious network error",
        pattern=r"warning: spurious network error \(0 tries remaining\): .+",
        advice=_NETWORK,
        matches=(
            "warning: spurious network error (0 tries remaining): [28] Timeout was reached (Connection timed out)",
        ),
        misses=("warning: spurious network error (2 tries remaining): [28] Timeout was reached",),
    ),
    Rule(
        id="cargo-download",
        program="cargo",
        needle="(Could not resolve host",
        pattern=r"\[6\] (?:Couldn't|Could not) resolve host(?: name)? \(Could not resolve host: \S+\)",
        advice=_NETWORK,
        matches=("[6] Couldn't resolve host name (Could not resolve host: index.crates.io)",),
    ),
    Rule(
        id="go-proxy",
        program="go",
        needle=": dial tcp",
        pattern=r"(?:go: .*|\S+\.go:\d+:\d+: .*)Get \"https?://[^\"]+\": dial tcp:? .*(?:i/o timeout|connection refused|connection reset by peer"
        r"|no such host|server misbehaving|Temporary failure in name resolution|network is unreachable)",
        advice=_NETWORK,
        matches=(
            'go: example.org/x@v1.0.0: Get "https://proxy.golang.org/example.org/x/@v/v1.0.0.mod": dial tcp: lookup proxy.golang.org: i/o timeout',
        ),
        misses=("    x_test.go:8: dial tcp 127.0.0.1:80: connection refused",),
    ),
    Rule(
        id="go-proxy-status",
        program="go",
        needle="reading https://",
        pattern=r"go: .*: reading https://\S+: (?:429 Too Many Requests|50[0234] .+)",
        advice=_BUSY,
        matches=(
            "go: example.org/x@v1.0.0: reading https://proxy.golang.org/example.org/x/@v/v1.0.0.mod: 502 Bad Gateway",
        ),
        misses=(
            "go: example.org/x@v1.0.0: reading https://proxy.golang.org/example.org/x/@v/v1.0.0.mod: 404 Not Found",
        ),
    ),
    Rule(
        id="maven-transfer",
        program="Maven",
        needle="Could not transfer artifact ",
        pattern=r"\[ERROR\] .*Could not transfer artifact \S+ from/to \S+ \(\S+\): .*(?:Connect(?:ion)? timed out|Connection reset|Read timed out"
        r"|Connection refused|Temporary failure in name resolution|Remote host terminated the handshake|status code: (?:429|50[0234])"
        r"|Premature end of Content-Length.*).*",
        advice=_NETWORK,
        matches=(
            "[ERROR] Failed to execute goal on project x: Could not transfer artifact org.x:x:pom:1 from/to central (https://repo.maven.apache.org/maven2): Connect timed out -> [Help 1]",
        ),
        misses=(
            "[ERROR] Failed to execute goal on project x: Could not transfer artifact org.x:x:pom:1 from/to central (https://repo.maven.apache.org/maven2): status code: 401, reason phrase: Unauthorized (401) -> [Help 1]",
        ),
    ),
    Rule(
        id="gradle-get",
        program="Gradle",
        needle="Could not GET '",
        pattern=r"> Could not GET '\S+'\. (?:Received status code (?:429|50[0234]) from server: .*|.*(?:timed out|Connection reset).*)",
        advice=_NETWORK,
        matches=(
            "> Could not GET 'https://repo.maven.apache.org/maven2/x.pom'. Received status code 503 from server: Service Unavailable",
        ),
        misses=(
            "> Could not GET 'https://repo.maven.apache.org/maven2/x.pom'. Received status code 401 from server: Unauthorized",
        ),
    ),
    Rule(
        id="bundler",
        program="bundler",
        needle="Could not reach host ",
        pattern=r"Could not reach host \S+\. Check your network connection and try again\.",
        advice=_NETWORK,
        matches=("Could not reach host index.rubygems.org. Check your network connection and try again.",),
    ),
    Rule(
        id="composer",
        program="composer",
        needle="curl error ",
        pattern=r"(?:.*)curl error (?:6|7|28|35|52|56) while downloading https?://\S+: .+",
        advice=_NETWORK,
        matches=(
            "curl error 28 while downloading https://repo.packagist.org/packages.json: Operation timed out after 10000 milliseconds",
        ),
        misses=(
            "curl error 60 while downloading https://repo.packagist.org/packages.json: SSL certificate problem: certificate has expired",
        ),
    ),
    Rule(
        id="conda",
        program="conda",
        needle="CondaHTTPError: HTTP ",
        pattern=r"CondaHTTPError: HTTP (?:000 CONNECTION FAILED|429 .*|50[0234] .*) for url <\S+>",
        advice=_NETWORK,
        matches=(
            "CondaHTTPError: HTTP 000 CONNECTION FAILED for url <https://repo.anaconda.com/pkgs/main/linux-64/x.conda>",
        ),
        misses=("CondaHTTPError: HTTP 404 NOT FOUND for url <https://repo.anaconda.com/pkgs/main/linux-64/x.conda>",),
    ),
    Rule(
        id="pre-commit-urlopen",
        program="urllib",
        needle="urllib.error.URLError: ",
        pattern=r"urllib\.error\.URLError: <urlopen error \[Errno -3\] Temporary failure in name resolution>",
        advice=_NETWORK,
        before="pre_commit",
        matches=(
            "pre_commit/store.py\nurllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
        ),
        misses=("urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",),
    ),
    Rule(
        id="rustup",
        program="rustup",
        needle="error: could not download file from ",
        pattern=r"error: could not download file from 'https://\S+' to '.+': .*(?:timed out|reset|resolve).*",
        advice=_NETWORK,
        matches=(
            "error: could not download file from 'https://static.rust-lang.org/dist/channel-rust-stable.toml.sha256' to '/tmp/x': error sending request: operation timed out",
        ),
        misses=("error: could not download file from 'https://static.rust-lang.org/x' to '/tmp/x': permission denied",),
    ),
)
