"""Where the processes of one repository share what they know."""

import hashlib
import os

from collections.abc import Mapping
from pathlib import Path

from ..errors import MachineError
from ..repository.places import first_line, git_folder_at
from ..system import state as states


def shared_folder(start: Path, environ: Mapping[str, str]) -> Path | None:
    """The repository's common folder for state, made if it is missing; None where there is no repository or no place.

    Starts no process: a call that has just failed is no time to wait for git.
    """
    own = next((found for top in (start, *start.parents) if (found := git_folder_at(top / ".git"))), None)
    if own is None:
        return None
    common = Path(os.path.realpath(own / (first_line(own / "commondir") or ".")))
    id = hashlib.sha256(os.fsencode(common)).hexdigest()
    try:
        state = states.open_state(own / "orxaq", common / "orxaq", environ, repository_id=id)
    except MachineError:
        return None
    states.discard(state)  # one that does not last is nobody else's
    return state.common if state.lasting else None
