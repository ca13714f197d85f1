"""How well-known programs fail, in their own words: for commands that fail on purpose."""

from dataclasses import dataclass

from .troubles import Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One failure of one program."""

    name: str
    program: str
    rc: int  # its exit code
    stderr: str
    truth: Truth  # what a good gate should make of it

    def __str__(self) -> str:
        return self.name


_URL = "https://github.com/org/project.git"

GIT_DNS = Preset(
    name="GIT_DNS",
    program="git",
    rc=128,
    truth="transient",
    stderr=f"fatal: unable to access '{_URL}/': Could not resolve host: github.com\n",
)
GIT_TIMEOUT = Preset(
    name="GIT_TIMEOUT",
    program="git",
    rc=128,
    truth="transient",
    stderr=f"fatal: unable to access '{_URL}/': Failed to connect to github.com port 443 after 130521 ms: "
    "Connection timed out\n",
)
GIT_HUNGUP = Preset(
    name="GIT_HUNGUP",
    program="git",
    rc=128,
    truth="transient",
    stderr="send-pack: unexpected disconnect while reading sideband packet\n"
    "fatal: the remote end hung up unexpectedly\n",
)
GIT_503 = Preset(
    name="GIT_503",
    program="git",
    rc=128,
    truth="transient",
    stderr=f"fatal: unable to access '{_URL}/': The requested URL returned error: 503\n",
)
GIT_LOCKED = Preset(
    name="GIT_LOCKED",
    program="git",
    rc=128,
    truth="live-contention",
    stderr="fatal: Unable to create '/srv/project/.git/index.lock': File exists.\n"
    "\n"
    "Another git process seems to be running in this repository, e.g.\n"
    "an editor opened by 'git commit'. Please make sure all processes\n"
    "are terminated then try again. If it still fails, a git process\n"
    "may have crashed in this repository earlier:\n"
    "remove the file manually to continue.\n",
)
GIT_AUTH = Preset(
    name="GIT_AUTH",
    program="git",
    rc=128,
    truth="permanent",
    stderr="remote: Invalid username or token. Password authentication is not supported for Git operations.\n"
    f"fatal: Authentication failed for '{_URL}/'\n",
)
PIP_503 = Preset(
    name="PIP_503",
    program="pip",
    rc=1,
    truth="transient",
    stderr="ERROR: HTTP error 503 while getting https://files.example.org/packages/project-1.0-py3-none-any.whl\n"
    "ERROR: Could not install requirement project because of HTTP error 503 Server Error: Service Unavailable for url: "
    "https://files.example.org/packages/project-1.0-py3-none-any.whl for URL "
    "https://files.example.org/packages/project-1.0-py3-none-any.whl\n",
)
NPM_ECONNRESET = Preset(
    name="NPM_ECONNRESET",
    program="npm",
    rc=1,
    truth="transient",
    stderr="npm error code ECONNRESET\n"
    "npm error syscall read\n"
    "npm error errno ECONNRESET\n"
    "npm error network read ECONNRESET\n"
    "npm error network This is a problem related to network connectivity.\n"
    "npm error network In most cases you are behind a proxy or have bad network settings.\n"
    "npm error network\n"
    "npm error network If you are behind a proxy, please make sure that the\n"
    "npm error network 'proxy' config is set properly.  See: 'npm help config'\n",
)
SSH_255 = Preset(
    name="SSH_255",
    program="ssh",
    rc=255,
    truth="transient",
    stderr="ssh: connect to host github.com port 22: Connection timed out\n",
)
DOCKER_TOOMANY = Preset(
    name="DOCKER_TOOMANY",
    program="docker",
    rc=1,
    truth="transient",
    stderr="Error response from daemon: toomanyrequests: You have reached your pull rate limit. "
    "You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit\n",
)

PRESETS = {
    preset.name: preset
    for preset in (
        GIT_DNS,
        GIT_TIMEOUT,
        GIT_HUNGUP,
        GIT_503,
        GIT_LOCKED,
        GIT_AUTH,
        PIP_503,
        NPM_ECONNRESET,
        SSH_255,
        DOCKER_TOOMANY,
    )
}
