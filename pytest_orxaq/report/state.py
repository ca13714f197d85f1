"""The state of repository, machine and command as facts."""

from ..model import Exit, GitState, Machine
from .tone import Tone
from .view import Fact, Listed
from .words import brief, count, number, percent, seconds, size


_PATHS = 100
_TIGHT, _CRITICAL = 0.75, 0.92


def _gauge(name: str, value: str, share: float) -> Fact:
    tone = Tone.BAD if share >= _CRITICAL else Tone.WARN if share >= _TIGHT else Tone.QUIET
    return Fact(name=name, value=value, share=min(1.0, max(0.0, share)), tone=tone)


def git_facts(git: GitState) -> tuple[Fact, ...]:
    """Commit and branch, and where the work tree stands against them."""
    facts = [
        Fact(name="Work tree", value=git.top),
        Fact(name="Branch", value=git.branch or "none: HEAD is detached"),
        Fact(name="Commit", value=f"{git.commit} {brief(git.subject)}".strip() or "none yet"),
        Fact(name="Changes", value=f"{count(len(git.dirty), 'path')} changed or untracked" if git.dirty else "none"),
    ]
    if git.last_pass:
        since = f"{count(len(git.changed), 'path')} changed since" if git.changed else "nothing changed since"
        facts.append(Fact(name="Last pass here", value=f"{git.last_pass}, {since}"))
    else:
        facts.append(Fact(name="Last pass here", value="none known"))
    return tuple(facts)


def git_paths(git: GitState) -> tuple[Listed, ...]:
    """The changed paths."""
    lists = (
        ("Changed or untracked now", git.dirty),
        ("Changed since the last pass", git.changed if git.last_pass else ()),
    )
    return tuple(
        Listed(title=title, names=tuple(brief(path) for path in paths[:_PATHS]), more=max(0, len(paths) - _PATHS))
        for title, paths in lists
        if paths
    )


def machine_facts(machine: Machine) -> tuple[Fact, ...]:
    """What the machine is, and how hard pressed it was."""
    facts = [Fact(name="Platform", value=machine.platform), Fact(name="Python", value=machine.python)]
    if machine.load:
        load = " ".join(f"{value:.2f}" for value in machine.load)
        facts.append(_gauge("Load", f"{load} on {count(machine.cpus, 'CPU')}", machine.load[0] / max(1, machine.cpus)))
    elif machine.cpus:
        facts.append(Fact(name="CPUs", value=number(machine.cpus)))
    if machine.memory_total and machine.memory_available is not None:
        used = 1 - machine.memory_available / machine.memory_total
        said = f"{size(machine.memory_available)} of {size(machine.memory_total)} available"
        facts.append(_gauge("Memory", said, used))
    if machine.disk_total and machine.disk_free is not None:
        said = f"{size(machine.disk_free)} of {size(machine.disk_total)} free"
        facts.append(_gauge("Disk", said, 1 - machine.disk_free / machine.disk_total))
    for resource, waited in machine.pressure:
        facts.append(
            _gauge(f"Pressure: {brief(resource, 20)}", f"{waited:.1f} % of the last 10 s stalled", waited / 100)
        )
    return tuple(fact for fact in facts if fact.value)


def resource_facts(exit: Exit) -> tuple[Fact, ...]:
    """What a command used, and what it had to wait for."""
    used = exit.resources
    facts = []
    if used.peak_memory is not None:
        facts.append(Fact(name="Peak memory", value=f"{size(used.peak_memory)} (by {used.method})"))
    if exit.duration > 0:
        busy = used.cpu / exit.duration
        facts.append(Fact(name="CPU", value=f"{seconds(used.cpu)}, {busy:.1f} cores on average"))
    if used.processes:
        facts.append(Fact(name="Processes", value=f"{number(used.processes)} at most at once"))
    if used.stall:
        for name, share in (("CPU", used.stall.cpu), ("memory", used.stall.memory), ("disk", used.stall.io)):
            facts.append(_gauge(f"Stalled on {name}", f"{percent(share)} of the time", share))
    if used.oom_kills:
        said = f"{count(used.oom_kills, 'process', 'processes')} killed for memory by the kernel"
        facts.append(Fact(name="Out of memory", value=said, tone=Tone.BAD))
    return tuple(facts)
