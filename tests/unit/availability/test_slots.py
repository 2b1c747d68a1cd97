"""Slots on masks against a plain sweep, and what the rules promise."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.availability.model import (
    SLOT_GRID,
    Buffers,
    BusySpan,
    BusyStatus,
    HeldSpan,
    Obstacle,
    Quorum,
    Schedule,
    SlotRules,
    Unknown,
    UnknownReason,
    WorkingHours,
)
from shared.availability.slots import (
    evaluate_span,
    explain_unavailable,
    find_slots,
    nearest_to,
)
from shared.availability.views import (
    busy_spans,
    unknown_spans,
    why_unknown,
    without_own_session,
)
from shared.timespan import TimeSpan
from tests.unit.availability.slot_oracle import Person, at, instants, schedules_of, sweep, view_of

HOUR = timedelta(hours=1)
ZONES = [UTC, *map(ZoneInfo, ("Europe/Berlin", "America/New_York", "Asia/Kathmandu"))]
ZONES += map(ZoneInfo, ("Australia/Lord_Howe", "Pacific/Chatham", "Africa/Casablanca"))
# A Sunday on which clocks change: forward in Europe and in America, back in the south.
DAYS = [at(f"{day}T00:00") for day in ("2026-03-28", "2026-10-24", "2026-04-04", "2026-11-01")]


@st.composite
def spans(draw: st.DrawFn, day: datetime, minutes: int = 1) -> TimeSpan:
    start = draw(st.integers(-300, 2880 // minutes - 1)) * minutes
    lasting = draw(st.integers(1, 600 // minutes)) * minutes
    return TimeSpan.lasting(day + timedelta(minutes=start), timedelta(minutes=lasting))


@st.composite
def hours(draw: st.DrawFn) -> WorkingHours:
    zone = draw(st.one_of(st.sampled_from(ZONES), st.none()))
    times = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 15, 30, 59]))
    days = draw(st.frozensets(st.integers(0, 6), min_size=3))
    return WorkingHours(days, draw(times), draw(times), zone, str(zone))


BUFFERS = st.builds(Buffers, *[st.integers(0, 24).map(lambda n: n * SLOT_GRID)] * 2)


@st.composite
def people(draw: st.DrawFn, day: datetime) -> list[Person]:
    busy = st.builds(BusySpan, spans(day), st.sampled_from(BusyStatus))
    return [
        Person(
            f"p{n}@contoso.com",
            busy=draw(st.one_of(*[st.lists(busy, max_size=4)] * 4, st.none())),
            hidden=draw(st.one_of(st.just([]), st.lists(spans(day), max_size=2))),
            held=draw(st.lists(st.builds(HeldSpan, spans(day), BUFFERS), max_size=2)),
            hours=draw(st.one_of(st.none(), hours())),
        )
        for n in range(draw(st.integers(1, 4)))
    ]


@st.composite
def questions(
    draw: st.DrawFn,
) -> tuple[list[Person], TimeSpan, SlotRules, TimeSpan, Quorum]:
    day = draw(st.sampled_from(DAYS))
    known = draw(people(day))
    window = TimeSpan(
        day + SLOT_GRID * draw(st.integers(0, 12)), day + SLOT_GRID * draw(st.integers(300, 500))
    )
    within = TimeSpan(
        window.start + timedelta(minutes=draw(st.integers(0, 200))),
        window.end - timedelta(minutes=draw(st.integers(0, 200))),
    )
    rules = SlotRules(
        duration=SLOT_GRID * draw(st.integers(3, 30)),
        step=timedelta(minutes=draw(st.sampled_from([5, 10, 15, 30, 60]))),
        earliest_start=day + timedelta(minutes=draw(st.integers(-500, 1000))),
        latest_start=day + timedelta(minutes=draw(st.integers(1500, 4000))),
        buffer_before=SLOT_GRID * draw(st.integers(0, 6)),
        buffer_after=SLOT_GRID * draw(st.integers(0, 6)),
        tentative_is_busy=draw(st.booleans()),
        zone=draw(st.sampled_from(ZONES)),
    )
    addresses = [p.address for p in known]
    quorum = Quorum(
        draw(st.frozensets(st.sampled_from(addresses), min_size=1)),
        at_least=draw(st.one_of(st.none(), st.integers(1, len(known)))),
        include_unknown=draw(st.booleans()),
    )
    return known, window, rules, within, quorum


@settings(max_examples=150)
@given(question=questions(), told_by=st.sampled_from(["view", "items", "both"]))
def test_slots_are_those_of_a_plain_sweep_and_all_else_is_explained(
    question: tuple[list[Person], TimeSpan, SlotRules, TimeSpan, Quorum], told_by: str
) -> None:
    known, window, rules, within, quorum = question
    schedules, held = schedules_of(known, window, told_by=told_by)

    slots = find_slots(schedules, window, rules, within=within, quorum=quorum, held=held)
    unavailable = explain_unavailable(
        schedules, window, rules, within=within, quorum=quorum, held=held
    )

    assert slots == sweep(known, window, rules, within, quorum)
    assert all(refusal.obstacles for refusal in unavailable)
    offered, refused = {s.span.start for s in slots}, [r.start for r in unavailable]
    assert refused == sorted(set(refused))
    assert not offered & set(refused)
    # Together they are the starts that nothing but people and time could forbid.
    anytime = replace(
        rules,
        earliest_start=window.start,
        latest_start=window.end,
        buffer_before=timedelta(),
        buffer_after=timedelta(),
    )
    candidates = sweep([Person("x")], window, anytime, within, Quorum(frozenset("x")))
    assert offered | set(refused) == {slot.span.start for slot in candidates}


@settings(max_examples=60)
@given(question=questions())
def test_offered_slots_can_be_taken_and_others_name_obstacles(
    question: tuple[list[Person], TimeSpan, SlotRules, TimeSpan, Quorum],
) -> None:
    known, window, rules, within, quorum = question
    quorum = Quorum(quorum.required)
    schedules, held = schedules_of(known, window, told_by="view")
    for slot in find_slots(schedules, window, rules, within=within, quorum=quorum, held=held):
        evaluation = evaluate_span(schedules, window, slot.span, rules, quorum=quorum, held=held)
        assert not evaluation.obstacles
        assert not evaluation.unknown_required
        assert not quorum.required & set(evaluation.outside_hours)
    for refusal in explain_unavailable(
        schedules, window, rules, within=within, quorum=quorum, held=held
    ):
        span = TimeSpan.lasting(refusal.start, rules.duration)
        evaluation = evaluate_span(schedules, window, span, rules, quorum=quorum, held=held)
        told = dict(refusal.obstacles)
        forbidding = {Obstacle.BUSY, Obstacle.HELD, Obstacle.BUFFER}
        assert dict(evaluation.obstacles) == {o: who for o, who in told.items() if o in forbidding}
        assert evaluation.unknown_required == told.get(Obstacle.UNKNOWN, ())


@settings(max_examples=100)
@given(busy=st.lists(st.builds(BusySpan, spans(DAYS[0]), st.sampled_from(BusyStatus)), max_size=6))
def test_items_say_what_a_view_says(busy: list[BusySpan]) -> None:
    window = TimeSpan.lasting(DAYS[0], 30 * HOUR)
    view = Schedule("a", view=view_of(busy, window))
    items = Schedule("a", items=tuple(busy))
    assert busy_spans(items, window) == busy_spans(view, window)
    told = busy_spans(items, window)
    assert all(one.span.end <= two.span.start for one, two in pairwise(told))
    assert view_of(told, window) == view.view


# --- by example

MONDAY = at("2026-03-02T00:00")
NINE = MONDAY + 9 * HOUR
MORNING = TimeSpan.lasting(NINE, 3 * HOUR)


def some_rules(**changes: object) -> SlotRules:
    rules = SlotRules(
        duration=HOUR,
        step=timedelta(minutes=30),
        earliest_start=MONDAY - 24 * HOUR,
        latest_start=MONDAY + 90 * 24 * HOUR,
    )
    return replace(rules, **changes)  # type: ignore[arg-type]  # a builder's keywords


def a_view(*busy: tuple[int, int], digit: str = "2", window: TimeSpan = MORNING) -> str:
    """Return a view of *window*, busy from and to so many minutes after its start."""
    cells = ["0"] * (window.duration // SLOT_GRID)
    for start, end in busy:
        for cell in range(start // 5, end // 5):
            cells[cell] = digit
    return "".join(cells)


def starts(schedules: list[Schedule], rules: SlotRules, **more: object) -> list[str]:
    slots = find_slots(schedules, MORNING, rules, **more)  # type: ignore[arg-type]  # the same
    return [f"{slot.span.start:%H:%M}" for slot in slots]


def test_a_slot_ends_with_the_window() -> None:
    assert starts([Schedule("a", view=a_view())], some_rules()) == [
        "09:00",
        "09:30",
        "10:00",
        "10:30",
        "11:00",
    ]


def test_a_busy_stretch_blocks_what_touches_it_inside_only() -> None:
    schedules = [Schedule("a", view=a_view((60, 75))), Schedule("b", view=a_view())]
    assert starts(schedules, some_rules(step=timedelta(minutes=15))) == [
        "09:00",
        "10:15",
        "10:30",
        "10:45",
        "11:00",
    ]


@pytest.mark.parametrize(("digit", "count"), [("0", 5), ("4", 5), ("1", 0), ("2", 0), ("3", 0)])
def test_digits(digit: str, count: int) -> None:
    assert len(starts([Schedule("a", view=digit * 36)], some_rules())) == count


def test_a_digit_that_nobody_knows_is_not_free() -> None:
    schedule = Schedule("a", view="7" * 36)
    assert starts([schedule], some_rules()) == []
    assert busy_spans(schedule, MORNING) == []
    assert why_unknown(schedule, MORNING) == Unknown(UnknownReason.NO_ANSWER)


@pytest.mark.parametrize("digit", ["5", "9", "x", "é", " "])
def test_beside_a_digit_that_nobody_knows_the_others_count(digit: str) -> None:
    schedule = Schedule("a", view="2" * 6 + digit * 3 + "0" * 27)
    assert starts([schedule], some_rules(step=timedelta(minutes=15)))[0] == "09:45"
    assert busy_spans(schedule, MORNING) == [
        BusySpan(TimeSpan.lasting(NINE, HOUR / 2), BusyStatus.BUSY)
    ]
    assert unknown_spans(schedule, MORNING) == [TimeSpan.lasting(NINE + HOUR / 2, HOUR / 4)]
    assert why_unknown(schedule, MORNING) is None
    (first, *_) = explain_unavailable([schedule], MORNING, some_rules())
    assert first.obstacles == ((Obstacle.BUSY, ("a",)), (Obstacle.UNKNOWN, ("a",)))


def test_unknown_time_is_offered_only_where_another_one_is_known() -> None:
    schedules = [
        Schedule("a", view="5" * 18 + "0" * 18),
        Schedule("b", view="0" * 9 + "5" * 9 + "0" * 18),
    ]
    everybody = Quorum(frozenset("ab"), include_unknown=True)
    rules = some_rules(duration=HOUR / 2)
    slots = find_slots(schedules, MORNING, rules, quorum=everybody)
    assert [(f"{s.span.start:%H:%M}", s.confirmed_for, s.unknown_for) for s in slots] == [
        ("09:00", ("b",), ("a",)),
        ("10:30", ("a", "b"), ()),
        ("11:00", ("a", "b"), ()),
        ("11:30", ("a", "b"), ()),
    ]


@pytest.mark.parametrize(
    ("view", "items"),
    [
        ("0" * 36, [(MORNING, BusyStatus.BUSY)]),
        ("2" * 36, []),
        ("5" * 36, [(MORNING, BusyStatus.BUSY)]),
        ("5" * 36, [(MORNING, BusyStatus.TENTATIVE)]),
        ("1" * 36, [(MORNING, BusyStatus.BUSY)]),
    ],
)
def test_where_view_and_items_contradict_the_safe_one_counts(
    view: str, items: list[tuple[TimeSpan, BusyStatus]]
) -> None:
    schedule = Schedule("a", view=view, items=tuple(BusySpan(*item) for item in items))
    assert starts([schedule], some_rules(tentative_is_busy=False)) == []


def test_tentative_can_count_as_free() -> None:
    schedules = [Schedule("a", view=a_view((0, 90), digit="1"))]
    assert starts(schedules, some_rules()) == ["10:30", "11:00"]
    assert len(starts(schedules, some_rules(tentative_is_busy=False))) == 5


def test_an_unknown_person_is_not_free() -> None:
    schedules = [
        Schedule("a", view=a_view()),
        Schedule("b", unknown=Unknown(UnknownReason.NO_ACCESS, "ErrorNoFreeBusyAccess")),
    ]
    assert starts(schedules, some_rules()) == []
    (first, *_) = explain_unavailable(schedules, MORNING, some_rules())
    assert first.obstacles == ((Obstacle.UNKNOWN, ("b",)),)

    everybody = Quorum(frozenset("ab"), include_unknown=True)
    (slot, *_) = find_slots(schedules, MORNING, some_rules(), quorum=everybody)
    assert (slot.confirmed_for, slot.unknown_for) == (("a",), ("b",))


def test_when_everybody_is_unknown_nothing_is_offered() -> None:
    schedules = [Schedule(x, unknown=Unknown(UnknownReason.NO_ACCESS)) for x in "ab"]
    quorum = Quorum(frozenset("ab"), include_unknown=True)
    assert starts(schedules, some_rules(), quorum=quorum) == []
    (first, *_) = explain_unavailable(schedules, MORNING, some_rules(), quorum=quorum)
    assert first.obstacles == ((Obstacle.UNKNOWN, ("a", "b")),)


def test_what_a_short_view_lacks_is_unknown() -> None:
    short = Schedule("a", view="0" * 35)
    assert why_unknown(short, MORNING) is None
    assert unknown_spans(short, MORNING) == [
        TimeSpan(MORNING.end - timedelta(minutes=5), MORNING.end)
    ]
    assert starts([short], some_rules()) == ["09:00", "09:30", "10:00", "10:30"]
    assert starts([Schedule("a", view="0" * 40)], some_rules()) == starts(
        [Schedule("a", view="0" * 36)], some_rules()
    )
    assert busy_spans(short, MORNING) == []


def test_optional_participant_does_not_block_but_is_reported() -> None:
    schedules = [Schedule("a", view=a_view()), Schedule("b", view=a_view((0, 90)))]
    slots = find_slots(schedules, MORNING, some_rules(), quorum=Quorum(frozenset("a")))
    assert [slot.confirmed_for for slot in slots] == [("a",)] * 3 + [("a", "b")] * 2


def test_at_least_so_many_of_a_group() -> None:
    schedules = [
        Schedule("a", view=a_view()),
        Schedule("b", view=a_view((0, 90))),
        Schedule("c", view=a_view((90, 180))),
    ]
    two = Quorum(frozenset("a"), at_least=2)
    slots = find_slots(schedules, MORNING, some_rules(), quorum=two)
    assert [(f"{s.span.start:%H:%M}", s.confirmed_for) for s in slots] == [
        ("09:00", ("a", "c")),
        ("09:30", ("a", "c")),
        ("10:30", ("a", "b")),
        ("11:00", ("a", "b")),
    ]
    (refusal,) = explain_unavailable(schedules, MORNING, some_rules(), quorum=two)
    assert refusal.obstacles == ((Obstacle.BUSY, ("b", "c")),)


def test_notice_and_horizon_are_obstacles_of_nobody() -> None:
    rules = some_rules(earliest_start=NINE + HOUR, latest_start=NINE + 1.5 * HOUR)
    schedules = [Schedule("a", view=a_view())]
    assert starts(schedules, rules) == ["10:00", "10:30"]
    assert [r.obstacles for r in explain_unavailable(schedules, MORNING, rules)] == [
        ((Obstacle.NOTICE, ()),),
        ((Obstacle.NOTICE, ()),),
        ((Obstacle.HORIZON, ()),),
    ]


def test_buffers_are_free_time_outside_working_hours_if_need_be() -> None:
    wide = MORNING.widened(HOUR, HOUR)
    nine_to_noon = WorkingHours(frozenset(range(7)), time(9), time(12), UTC, "UTC")
    schedule = Schedule("a", view=a_view((0, 45), window=wide), hours=nine_to_noon)
    rules = some_rules(buffer_before=timedelta(minutes=30), buffer_after=timedelta(minutes=30))
    slots = find_slots([schedule], wide, rules, within=MORNING)
    assert [f"{s.span.start:%H:%M}" for s in slots] == ["09:30", "10:00", "10:30", "11:00"]
    (first,) = explain_unavailable([schedule], wide, rules, within=MORNING)
    assert first.obstacles == ((Obstacle.BUFFER, ("a",)),)


def test_a_buffer_that_was_not_read_is_unknown() -> None:
    rules = some_rules(buffer_before=timedelta(minutes=30))
    assert starts([Schedule("a", view=a_view())], rules)[0] == "09:30"
    (first,) = explain_unavailable([Schedule("a", view=a_view())], MORNING, rules)
    assert first.obstacles == ((Obstacle.UNKNOWN, ("a",)),)

    rules = some_rules(buffer_after=timedelta(minutes=5))
    (last,) = explain_unavailable([Schedule("a", view=a_view())], MORNING, rules)
    assert (last.start, last.obstacles) == (NINE + 2 * HOUR, ((Obstacle.UNKNOWN, ("a",)),))


def test_hold_of_another_session_blocks() -> None:
    held = {"a": [HeldSpan(TimeSpan.lasting(NINE, HOUR))], "somebody else": [HeldSpan(MORNING)]}
    schedules = [Schedule("a", view=a_view())]
    assert starts(schedules, some_rules(), held=held) == ["10:00", "10:30", "11:00"]
    (first, *_) = explain_unavailable(schedules, MORNING, some_rules(), held=held)
    assert first.obstacles == ((Obstacle.HELD, ("a",)),)


@pytest.mark.parametrize(
    ("zone", "first"),
    [("UTC", "09:00"), ("Asia/Kathmandu", "09:15"), ("Asia/Kolkata", "09:30")],
)
def test_hourly_slots_start_at_full_hours_where_they_are_looked_at(zone: str, first: str) -> None:
    rules = some_rules(step=HOUR, zone=ZoneInfo(zone))
    assert starts([Schedule("a", view=a_view())], rules)[0] == first


def test_slots_lie_in_a_window_off_the_grid() -> None:
    within = TimeSpan(NINE + timedelta(minutes=1), MORNING.end - timedelta(seconds=1))
    assert starts([Schedule("a", view=a_view())], some_rules(), within=within) == [
        "09:30",
        "10:00",
        "10:30",
    ]


def test_a_window_too_short_has_no_slots() -> None:
    tiny = TimeSpan.lasting(NINE, SLOT_GRID)
    assert find_slots([Schedule("a", view="0")], tiny, some_rules()) == []
    assert explain_unavailable([Schedule("a", view="0")], tiny, some_rules()) == []


def test_a_window_off_the_grid_cannot_have_been_read() -> None:
    with pytest.raises(ValueError, match="multiples of 5"):
        find_slots([], MORNING.widened(timedelta(minutes=1), timedelta()), some_rules())


def test_alternatives_are_the_nearest_and_not_the_time_itself() -> None:
    slots = find_slots([Schedule("a", view=a_view())], MORNING, some_rules())
    found = nearest_to(slots, NINE + HOUR, 3)
    assert [f"{slot.span.start:%H:%M}" for slot in found] == ["09:30", "10:30", "09:00"]


def test_working_hours_do_not_forbid_a_given_time_but_busy_time_does() -> None:
    never = WorkingHours(frozenset(), time(9), time(17), UTC, "UTC")
    schedules = [
        Schedule("a", view=a_view(), hours=never),
        Schedule("b", view=a_view((60, 90))),
        Schedule("c", unknown=Unknown(UnknownReason.NOT_FOUND)),
    ]
    quorum = Quorum(frozenset("ab"))
    evaluation = evaluate_span(
        schedules, MORNING, TimeSpan.lasting(NINE, HOUR), some_rules(), quorum=quorum
    )
    assert not evaluation.obstacles
    assert (evaluation.unknown_for, evaluation.unknown_required) == (("c",), ())
    assert evaluation.outside_hours == ("a",)

    later = TimeSpan.lasting(NINE + HOUR, HOUR)
    evaluation = evaluate_span(schedules, MORNING, later, some_rules(), quorum=quorum)
    assert evaluation.obstacles == ((Obstacle.BUSY, ("b",)),)


def test_only_what_was_read_can_be_checked() -> None:
    with pytest.raises(ValueError, match="inside the window"):
        evaluate_span([], MORNING, TimeSpan.lasting(MORNING.end, HOUR), some_rules())


def test_a_session_to_be_moved_is_not_in_its_own_way() -> None:
    window, own = MORNING, TimeSpan.lasting(NINE, HOUR)
    schedule = Schedule("a", view=a_view((0, 60)))
    assert starts([without_own_session(schedule, own, window)], some_rules())[0] == "09:00"
    away = Schedule("a", view=a_view((0, 60), digit="3"))
    assert without_own_session(away, own, window).view == away.view
    items = Schedule("a", items=(BusySpan(own, BusyStatus.BUSY),))
    assert busy_spans(without_own_session(items, own, window), window) == []
    unknown = Schedule("a", unknown=Unknown(UnknownReason.NO_ANSWER))
    assert without_own_session(unknown, own, window) == unknown


def test_a_session_to_be_moved_hides_nothing_that_the_items_tell() -> None:
    window, own = MORNING, TimeSpan.lasting(NINE, HOUR)
    other = BusySpan(TimeSpan.lasting(NINE + HOUR / 2, HOUR), BusyStatus.BUSY)
    cells = window.duration // SLOT_GRID
    before = (own.start - window.start) // SLOT_GRID
    view = "0" * before + "2" * 18 + "0" * (cells - before - 18)
    items = (BusySpan(own, BusyStatus.TENTATIVE), other)
    moving = without_own_session(Schedule("a", view=view, items=items), own, window)
    assert [busy.span for busy in busy_spans(moving, window)] == [other.span]
    # Unknown time stays unknown, also under the session.
    unread = Schedule("a", view="5" * cells, items=items[:1])
    assert why_unknown(without_own_session(unread, own, window), window) is not None


def test_an_all_day_session_to_be_moved_hides_nothing_else() -> None:
    window = MORNING
    own, other = (
        BusySpan(window, BusyStatus.BUSY),
        BusySpan(TimeSpan.lasting(NINE, HOUR), BusyStatus.BUSY),
    )
    full = "2" * (window.duration // SLOT_GRID)

    def left(*items: BusySpan, view: str | None = full) -> list[TimeSpan]:
        schedule = Schedule("a", view=view, items=items)
        moving = without_own_session(schedule, window, window, is_all_day=True)
        return [busy.span for busy in busy_spans(moving, window)]

    assert left(own) == []
    assert left(own, other) == left(own, other, view=None) == [other.span]
    # A second entry of the same day, and a view alone: nothing can be said to be free.
    assert left(own, own) == left() == left(other) == [window]
    away = BusySpan(window, BusyStatus.OUT_OF_OFFICE)
    assert left(away, view=full.replace("2", "3")) == [window]


def test_a_quorum_requires_a_participant() -> None:
    with pytest.raises(ValueError, match="at least one participant"):
        Quorum(frozenset())


def test_every_five_minutes_of_six_weeks_is_explained_quickly() -> None:
    window = TimeSpan.lasting(MONDAY, timedelta(days=42))
    office = WorkingHours(frozenset(range(5)), time(9), time(17), ZoneInfo("Europe/Berlin"), "x")
    view = ("0" * 100 + "2" * 44) * 84
    schedules = [Schedule(f"p{n}", view=view, hours=office) for n in range(20)]
    rules = some_rules(step=SLOT_GRID)
    unavailable = explain_unavailable(schedules, window, rules)
    slots = find_slots(schedules, window, rules)
    assert len(unavailable) + len(slots) == len(instants(window, SLOT_GRID)) - HOUR // SLOT_GRID + 1
