"""Where the processes of one repository share what they know of the outside."""

import hashlib
import os

from collections.abc import Mapping
from pathlib import Path

from ..errors import MachineError
from ..repository.places import first_line, git_folder_at
from ..system import state as states


BREAKERS = "breakers.db"


def state_at(environ: Mapping[str, str]) -> states.State:
    """The state of the repository that we are in, else one of this user's for everything outside of any.

    Starts no process: a call that is about to be made is no time to wait for git. Raises MachineError where there is
    no place that lasts.
    """
    state = _state(environ)
    if not state.lasting:
        states.discard(state)  # nobody else would find it
        raise MachineError("; ".join(state.notes))
    return state


def _state(environ: Mapping[str, str]) -> states.State:
    own = next((found for top in _tops() if (found := git_folder_at(top / ".git"))), None)
    if own is None:
        nowhere = Path(os.sep)
        return states.open_state(nowhere, nowhere, environ, repository_id="elsewhere", within_git=False)
    common = Path(os.path.realpath(own / (first_line(own / "commondir") or ".")))
    id = hashlib.sha256(os.fsencode(common)).hexdigest()
    return states.open_state(own / "orxaq", common / "orxaq", environ, repository_id=id)


def _tops() -> tuple[Path, ...]:
    try:
        here = Path.cwd()
    except OSError:  # it has been deleted
        return ()
    return (here, *here.parents)
