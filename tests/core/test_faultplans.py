"""Plans of trouble in words: read, counted, written, and refused with what may have been meant."""

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.core.faultplans import MOST, OK, Plan, Step, parse
from pytest_orxaq.errors import UsageError


KNOWN = ("fail", "hang", "signal", "ok")

steps = st.builds(
    Step,
    name=st.sampled_from(KNOWN),
    arguments=st.lists(st.text("abc0123456789 .-", min_size=1).map(str.strip).filter(bool), max_size=3).map(tuple),
    count=st.integers(1, 50),
)
plans = st.builds(Plan, steps=st.lists(steps, max_size=5).map(tuple), then=steps.map(lambda step: Step(name=step.name)))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ok", ["ok", "ok"]),
        ("fail", ["fail", "fail", "fail"]),
        ("1*fail", ["fail", "ok", "ok"]),
        ("2*fail(128)->ok", ["fail(128)", "fail(128)", "ok", "ok"]),
        ("fail->2*hang->signal(KILL)", ["fail", "hang", "hang", "signal(KILL)", "signal(KILL)"]),
        (" 1 * fail ( 1 , two words ) -> hang ", ["fail(1,two words)", "hang", "hang"]),
        ("fail()->ok", ["fail", "ok"]),
    ],
)
def test_what_happens_at_each_call(text: str, names: list[str]) -> None:
    """A step holds for as many calls as it counts, the last one from then on, and after a counted one all goes well."""
    plan = parse(text, KNOWN)
    found = [plan.at(number) for number in range(1, len(names) + 1)]
    assert [f"{step.name}({','.join(step.arguments)})" if step.arguments else step.name for step in found] == names
    assert plan.at(10**9) == plan.at(plan.length + 1) == plan.then


@given(plans)
def test_written_and_read_again(plan: Plan) -> None:
    """A plan's own words describe it: at every call the same happens."""
    again = parse(str(plan), KNOWN)
    for number in range(1, plan.length + 3):
        one, other = plan.at(number), again.at(number)
        assert (one.name, one.arguments) == (other.name, other.arguments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The plan '' cannot be read: a step is missing."),
        ("fail->->ok", "a step is missing"),
        ("fail(1", "'fail(1' is no step"),
        ("2 fail", "'2 fail' is no step"),
        ("fail(a(b))", "is no step"),
        ("-1*fail", "is no step"),
        ("fial", "says 'fial'. Did you mean 'fail'?\nWhat can happen: fail, hang, ok, signal."),
        ("explode", "says 'explode'.\nWhat can happen: fail, hang, ok, signal."),
        ("0*fail", "counts to 0.\nA count is from 1 to 1,000,000."),
        (f"{MOST + 1}*fail", "counts to 1000001."),
    ],
)
def test_what_cannot_be_read(text: str, words: str) -> None:
    """The plan, the place in it, and what there is."""
    with pytest.raises(UsageError) as caught:
        parse(text, KNOWN)
    assert words in str(caught.value)


def test_the_largest_count() -> None:
    """A million calls are a plan still, and cost no memory."""
    plan = parse(f"{MOST}*fail", ("fail",))
    assert (plan.at(MOST).name, plan.at(MOST + 1)) == ("fail", OK)
    assert plan.length == MOST
