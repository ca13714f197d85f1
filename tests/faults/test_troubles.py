"""What a test has of its faults: seed and chance, log, what is armed, peace; and how it comes into pytest's reports."""

import json
import random
import re
import xml.etree.ElementTree as ET

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults import FaultEvent, Faults


# ---------------------------------------------------------------- log


def test_the_log_is_in_the_order_of_time(faults: Faults) -> None:
    """What other processes tell stands between what happened here, by the machine's clock; equal ones are alike."""
    faults.note("one", "transient", "first")
    told = FaultEvent(kind="other", truth="permanent", detail="between", at=faults.log[0].at)
    faults.listen(lambda: [told])
    faults.note("two", "environment")
    assert [event.kind for event in faults.log] == ["one", "other", "two"]
    assert [str(event) for event in faults.log] == [
        "one: first [transient]",
        "other: between [permanent]",
        "two [environment]",
    ]
    assert told == FaultEvent(kind="other", truth="permanent", detail="between", at=-1)


# ---------------------------------------------------------------- armed


def test_what_is_armed_fires(faults: Faults) -> None:
    """An armed fault counts how often it fired, wherever that is counted; one of your own fires by its name."""
    mine = faults.arm("mine", what="breaks the second call", required=False)
    counted = faults.arm("counted", times=lambda: 2)
    assert (mine.times, counted.times) == (0, 2)
    faults.fired("mine", "the second call")
    assert mine.times == 1
    assert [str(event) for event in faults.log] == ["mine: the second call [transient]"]
    assert not faults.unfired()
    with pytest.raises(UsageError, match=r"(?s)No fault of the kind 'mien' is armed\..*Armed are: mine, counted\."):
        faults.fired("mien")


def test_what_never_fired_fails_the_test(pytester: pytest.Pytester) -> None:
    """A required fault that nothing came upon fails a test that passed, and adds nothing to one that failed."""
    pytester.makepyfile(
        """
        def test_passes(faults):
            faults.arm("the fire", what="burns once")
            faults.arm("the flood", required=False)
            assert faults.unfired() == ["the fire: burns once"]

        def test_fails(faults):
            faults.arm("the fire")
            assert False
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(passed=1, errors=1, failed=1)
    result.stdout.fnmatch_lines(["Never fired: the fire: burns once. *required=False allows that."])
    result.stdout.no_fnmatch_line("Never fired: the flood*")


# ---------------------------------------------------------------- chance


CHANCE = """
    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_chance(faults, number, record_property):
        places = [f"{place}{[faults.buggify(place, p_active=0.5, p_fire=0.5) for _ in range(20)]}" for place in "abc"]
        with open("drawn.txt", "a") as file:
            print(number, faults.seed, faults.rng.random(), *places, file=file)
"""


def drawn(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """What chance made of the tests, sorted."""
    (pytester.path / "drawn.txt").unlink(missing_ok=True)
    assert pytester.runpytest_subprocess(*arguments).ret == 0
    return sorted((pytester.path / "drawn.txt").read_text().splitlines())


def test_chance_follows_the_seed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one seed each test draws the same, in any order, on any worker, alone or among others; with another, other things."""
    pytester.makepyfile(CHANCE)
    first = drawn(pytester, "--orxaq-fault-seed=7")
    assert len({line.split(maxsplit=1)[1] for line in first}) == 4
    assert drawn(pytester, "--orxaq-fault-seed=7", "-p", "randomly", "-p", "xdist", "-n2") == first
    assert drawn(pytester, "--orxaq-fault-seed=7", "-p", "no:randomly", "-k", "2 or 3") == first[2:]
    monkeypatch.setenv("ORXAQ_FAULT_SEED", "7")
    assert drawn(pytester) == first
    assert drawn(pytester, "--orxaq-fault-seed=8") != first


def test_workers_share_a_seed_that_was_drawn(pytester: pytest.Pytester) -> None:
    """Without a seed one is drawn for all workers, and a group's name, which only workers append, changes nothing."""
    pytester.makepyfile(CHANCE.replace("@pytest", "@pytest.mark.xdist_group('g')\n    @pytest", 1))
    lines = drawn(pytester, "-n2", "--dist=loadgroup")
    (seed,) = {line.split()[1] for line in lines}
    assert drawn(pytester, f"--orxaq-fault-seed={seed}") == lines


def test_places_do_not_depend_on_each_other(faults: Faults, tmp_path: Path) -> None:
    """A place that is asked more often, or not at all, changes nothing at another."""

    def asked(times: int) -> list[bool]:
        again = Faults(seed=3, name="t", folder=tmp_path, leftovers=faults.leftovers, require=False)
        for _ in range(times):
            again.buggify("other")
        return [again.buggify("place", p_active=1, p_fire=0.5) for _ in range(30)]

    assert asked(0) == asked(5)
    assert {True, False} == set(asked(0))
    assert not faults.buggify("never", p_active=0)
    assert faults.buggify("always", p_active=1, p_fire=1)
    assert [str(event) for event in faults.log] == ["buggify: always [transient]"]
    with pytest.raises(UsageError, match="p_fire is a probability, from 0 to 1, and not 25"):
        faults.buggify("place", p_fire=25)


@pytest.mark.parametrize("told", ["x", "-1", "1.5", "٣"])
def test_a_seed_that_is_none(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    """It is refused in words before any test runs, wherever it was said."""
    pytester.makepyfile("def test_one(): pass")
    result = pytester.runpytest_inprocess(f"--orxaq-fault-seed={told}")
    assert result.ret == 4
    monkeypatch.setenv("ORXAQ_FAULT_SEED", told)
    again = pytester.runpytest_inprocess()
    assert again.ret == 4
    for words in (result.stderr.str(), again.stderr.str()):
        assert f"the seed of faults must be a whole number from 0, not {told!r}" in words


# ---------------------------------------------------------------- peace


def test_peace(faults: Faults, isolated_git: Callable[..., object], live_git_lock: Callable[..., object]) -> None:
    """Healing ends everything that is in the way, the last first, as often as it is asked for."""
    order: list[int] = []
    for number in range(3):
        faults.on_heal(lambda number=number: order.append(number))  # type: ignore[misc]
    lock = live_git_lock(isolated_git())
    faults.heal()
    faults.heal()
    assert order == [2, 1, 0] * 2
    assert not lock.held  # type: ignore[attr-defined]


def test_everything_is_undone_whatever_fails(faults: Faults, tmp_path: Path) -> None:
    """One step that cannot be undone keeps no other from it, and log and counts outlive what told them."""
    own = Faults(seed=1, name="t", folder=tmp_path, leftovers=faults.leftovers, require=False)
    undone: list[str] = []
    told = [FaultEvent(kind="told", truth="transient", detail="", at=0.0)]
    own.listen(lambda: list(told))
    arm = own.arm("counted", times=lambda: len(told))
    own.stack.callback(undone.append, "first")
    own.stack.callback(lambda: 1 / 0)
    own.stack.callback(told.clear)
    with pytest.raises(ZeroDivisionError):
        own.close()
    assert undone == ["first"]
    assert ([event.kind for event in own.log], arm.times) == (["told"], 1)


def test_rooms_are_apart(faults: Faults, tmp_path: Path) -> None:
    """Each is new, and stands below one folder of the test's that its own files do not meet."""
    one, two = faults.new_room(), faults.new_room()
    assert one != two
    assert list(one.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {".orxaq"}


def test_what_cannot_be_made_here(pytester: pytest.Pytester) -> None:
    """A test whose fault this machine cannot make is skipped with the reason, or fails where faults are required."""
    pytester.makepyfile("def test_one(faults): faults.lacks('There is no trouble here.')")
    skipped = pytester.runpytest_inprocess("-rs")
    skipped.assert_outcomes(skipped=1)
    skipped.stdout.fnmatch_lines(["SKIPPED * There is no trouble here."])
    required = pytester.runpytest_inprocess("--orxaq-require-faults")
    required.assert_outcomes(failed=1)
    required.stdout.fnmatch_lines(["There is no trouble here. (--orxaq-require-faults)"])


# ---------------------------------------------------------------- reports


def test_a_failure_names_its_faults(pytester: pytest.Pytester) -> None:
    """Where a test with faults fails, in whatever phase, they stand in a section, in order, with the seed; elsewhere they do not."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def broken(faults):
            faults.note("early", "transient", "in the setup")
            raise OSError

        def test_setup(broken): pass

        def test_call(faults):
            faults.note("one", "transient", "first")
            faults.note("two", "stale-state")
            assert False

        def test_passes(faults):
            faults.note("quiet", "transient")

        def test_other(): assert False
        """
    )
    result = pytester.runpytest_inprocess("--orxaq-fault-seed=5", "-p", "no:randomly")
    result.assert_outcomes(errors=1, failed=2, passed=1)
    result.stdout.fnmatch_lines(["orxaq: faults with seed 5"])
    sections = re.findall(r"(?m)^-+ faults \(pytest-orxaq\) -+\n((?:.+\n)+?)(?=[-_=]{3})", result.stdout.str())
    assert sections == [
        "1. early: in the setup [transient]\nThe same again: --orxaq-fault-seed=5\n",
        "1. one: first [transient]\n2. two [stale-state]\nThe same again: --orxaq-fault-seed=5\n",
    ]


def test_the_seed_that_was_drawn_is_said(pytester: pytest.Pytester) -> None:
    """It stands above the tests if one of them has faults, and nothing does if none has."""
    pytester.makepyfile(test_a="def test_one(stale_git_lock): pass")
    assert "orxaq: faults with seed " in pytester.runpytest_inprocess("-p", "no:randomly").stdout.str()
    pytester.makepyfile(test_a="def test_one(tmp_path): pass")
    assert "faults" not in pytester.runpytest_inprocess("-p", "no:randomly").stdout.str()


def test_many_events_are_cut_in_the_middle(pytester: pytest.Pytester) -> None:
    """Of a thousand the first and the last are shown, with their numbers, and how many are left out."""
    pytester.makepyfile("def test_one(faults): [faults.note('k', 'transient', str(n)) for n in range(1000)]; assert 0")
    text = pytester.runpytest_inprocess().stdout.str()
    assert "25. k: 24 [transient]\n… 950 more …\n976. k: 975 [transient]" in text


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_properties_of_the_case(pytester: pytest.Pytester, workers: list[str]) -> None:
    """JUnit has a property for the seed and one for each fault, in order, also from a worker; other tests have none."""
    pytester.makepyfile(
        """
        def test_faulty(faults, record_property):
            record_property("own", "1")
            faults.note("one", "transient", "<&>")
            faults.note("two", "stale-state")

        def test_other(): pass
        """
    )
    pytester.runpytest_subprocess("--junitxml=out.xml", "--orxaq-fault-seed=9", "-p", "no:randomly", *workers)
    cases = {case.get("name"): case for case in ET.parse(pytester.path / "out.xml").iter("testcase")}  # noqa: S314 - our own
    found = [(p.get("name"), p.get("value")) for p in cases["test_faulty"].iter("property")]
    assert found == [
        ("own", "1"),
        ("orxaq.fault_seed", "9"),
        ("orxaq.fault", "1. one: <&> [transient]"),
        ("orxaq.fault", "2. two [stale-state]"),
    ]
    assert not list(cases["test_other"].iter("property"))


def test_the_global_chance_is_left_alone(pytester: pytest.Pytester) -> None:
    """Who seeds Python's own generator finds it as it was: loading and using faults draws nothing from it."""
    pytester.makepyfile(
        """
        import json, random

        def test_one(faults):
            faults.rng.random(), faults.buggify("x")
            json.dump(random.random(), open("out.json", "w"))
        """,
        conftest="import random\nrandom.seed(1)",
    )
    pytester.runpytest_subprocess("-p", "no:randomly")
    assert json.loads((pytester.path / "out.json").read_text()) == random.Random(1).random()  # noqa: S311 - compared
