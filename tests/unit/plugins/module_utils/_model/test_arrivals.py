# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrival periodicity on schedules whose truth is known."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._model import arrivals, calendars
from ansible_collections.predictive.tenancy.plugins.module_utils._model.types import ArrivalModel, Schedule
from hypothesis import given, settings
from hypothesis import strategies as st

DAY = 86400.0
MONDAY = datetime(2026, 1, 5, tzinfo=timezone.utc).timestamp()
PERIODS = [47.0, 60.0, 133.7, 300.0, 777.0, 900.0, 3600.0, 21600.0, 86400.0]


def seconds(*when: int) -> float:
    return datetime(*when, tzinfo=timezone.utc).timestamp()


def train(rng, period, count, jitter=0.05, missing=0.05, extra=0.1, start=MONDAY):
    times = start + np.arange(count) * period + rng.normal(0, jitter * period, count)
    times = times[rng.random(count) >= missing]
    chance = rng.uniform(times.min(), times.max(), rng.poisson(extra * count))
    return np.sort(np.concatenate([times, chance]))


def clock(zone, days, hours, start, count, jitter=0.0, rng=None):
    first = int(start // DAY)
    times = [
        calendars.to_utc(day * DAY + hour * 3600, zone)
        for day in range(first, first + count)
        if (day + 3) % 7 in days
        for hour in hours
    ]
    noise = rng.normal(0, jitter, len(times)) if rng is not None else 0.0
    return np.sort(np.array(times) + noise)


def one(times, zone="UTC", now=None):
    times = np.asarray(times, dtype=float)
    return arrivals.detect([times], now=times.max() + 1 if now is None else now, timezones=[zone])[0]


def test_noisy_trains_are_found_with_their_period():
    rng = np.random.default_rng(1)
    truth = PERIODS * 12
    models = arrivals.detect([train(rng, period, 200) for period in truth], now=MONDAY + 200 * DAY)
    # Long silent ones have stopped; judge each at its own end.
    models = [one(train(rng, period, 200)) for period in truth]
    right = [m.period is not None and abs(m.period / p - 1) < 0.01 for m, p in zip(models, truth)]
    assert np.mean(right) >= 0.95


def test_chance_arrivals_are_not_periodic():
    rng = np.random.default_rng(2)
    wrong = 0
    for count in (8, 30, 200):
        series = [np.sort(rng.uniform(0, 5 * DAY, count)) for _turn in range(200)]
        wrong += sum(model.expects for model in arrivals.detect(series, now=5 * DAY))
    assert wrong <= 0.02 * 600


def test_a_daily_rhythm_of_chance_arrivals_is_not_a_schedule():
    rng = np.random.default_rng(3)
    times = np.sort(rng.uniform(MONDAY, MONDAY + 20 * DAY, 3000))
    times = times[rng.random(len(times)) < (1 + np.cos(times % DAY / DAY * 2 * np.pi)) / 2]
    assert one(times).kind == "aperiodic"


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_arrivals_are_unknown(count):
    model = arrivals.detect([MONDAY + np.arange(count) * 60.0], now=MONDAY + DAY)[0]
    assert (model.kind, model.period, model.expects) == ("unknown", None, False)


def test_working_days_at_nine_follow_the_local_clock_over_the_change_to_summer_time():
    times = clock("Europe/Berlin", range(5), [9], seconds(2026, 2, 16), 35)
    model = one(times, "Europe/Berlin")
    assert model.kind == "calendar"
    assert model.rules[0].days == (0, 1, 2, 3, 4)
    assert model.rules[0].second == 9 * 3600
    # The change is on Sunday 2026-03-29: nine o'clock is 08:00 UTC before and 07:00 UTC after it.
    coming = arrivals.next_arrivals(model, seconds(2026, 3, 27), seconds(2026, 3, 31))
    assert [item[0] for item in coming] == [seconds(2026, 3, 27, 8), seconds(2026, 3, 30, 7)]


def test_working_days_at_nine_follow_the_local_clock_over_the_change_to_winter_time():
    times = clock("America/New_York", range(5), [9], seconds(2026, 9, 7), 45)
    model = one(times, "America/New_York")
    # The change is on Sunday 2026-11-01: nine o'clock is 13:00 UTC before and 14:00 UTC after it.
    coming = arrivals.next_arrivals(model, seconds(2026, 10, 30), seconds(2026, 11, 3))
    assert [item[0] for item in coming] == [seconds(2026, 10, 30, 13), seconds(2026, 11, 2, 14)]


def test_every_quarter_of_an_hour_in_office_hours():
    times = clock("UTC", range(5), np.arange(9, 17, 0.25), MONDAY, 26)
    model = one(times)
    assert model.schedules[0].period == 900
    assert model.schedules[0].days == (0, 1, 2, 3, 4)
    assert model.schedules[0].hours == tuple(range(9, 17))
    night = seconds(2026, 2, 2)
    coming = [item[0] for item in arrivals.next_arrivals(model, night, night + DAY)]
    assert len(coming) == 32
    assert coming[0] == night + 9 * 3600


FRIDAY_EVENING = MONDAY + 4 * DAY + 17 * 3600


def office(period=60.0, **fields):
    """Every minute of working days from 9 to 17."""
    days, hours = (0, 1, 2, 3, 4), tuple(range(9, 17))
    given = {"days": days, "hours": hours, **fields}
    found = Schedule(period, MONDAY, 0.0, 1.0, 1.0, 0.9, False, 99, (0.0,) * 9, **given)
    return ArrivalModel("periodic", period=period, schedules=(found,))


@pytest.mark.parametrize("most", [1, 100, 1000, 2400, 10000])
def test_most_counts_arrivals_and_not_the_slots_between_them(most):
    week = arrivals.next_arrivals(office(), FRIDAY_EVENING, FRIDAY_EVENING + 7 * DAY, most=most)
    assert len(week) == min(most, 5 * 8 * 60)
    assert week[0][0] == MONDAY + 7 * DAY + 9 * 3600
    whole = arrivals.next_arrivals(office(), FRIDAY_EVENING, FRIDAY_EVENING + 7 * DAY, most=10**6)
    assert week == whole[:most]


def test_a_century_of_minutes_is_asked_for_quickly_and_in_little_memory():
    tracemalloc.start()
    begin = time.process_time()
    found = arrivals.next_arrivals(office(), FRIDAY_EVENING, FRIDAY_EVENING + 36500 * DAY, most=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 1000
    assert peak < 2 * 1024**2
    assert time.process_time() - begin < 2
    never = office(period=DAY, hours=(3,))
    assert arrivals.next_arrivals(never, FRIDAY_EVENING, FRIDAY_EVENING + 36500 * DAY, most=1000) == []


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([600.0, 3600.0, 5400.0, 6 * 3600.0]),
    st.sets(st.integers(0, 6)),
    st.sets(st.integers(0, 23)),
    st.integers(0, 400),
    st.integers(1, 60),
    st.sampled_from(["UTC", "Europe/Berlin"]),
)
def test_fewer_are_the_first_of_more(period, days, hours, span, most, zone):
    model = replace(office(period, days=tuple(sorted(days)), hours=tuple(sorted(hours))), timezone=zone)
    start = FRIDAY_EVENING + 70 * DAY  # the clock changes within the span
    every = arrivals.next_arrivals(model, start, start + span * 3600, most=10**6)
    assert arrivals.next_arrivals(model, start, start + span * 3600, most=most) == every[:most]
    local = [datetime.fromtimestamp(middle, tz=calendars.zone(zone)) for middle, _low, _high in every]
    assert all((not days or one.weekday() in days) and (not hours or one.hour in hours) for one in local)


def test_bursts_are_one_arrival():
    rng = np.random.default_rng(4)
    bursts = [MONDAY + i * 600 + rng.normal(0, 20) + rng.exponential(2, rng.integers(2, 7)).cumsum() for i in range(80)]
    model = one(np.concatenate(bursts))
    assert model.period == pytest.approx(600, rel=0.01)


def test_two_minutes_of_an_hour_are_two_schedules():
    hours = MONDAY + np.arange(100) * 3600
    model = one(np.sort(np.concatenate([hours + 300, hours + 1500])))
    coming = [item[0] - hours[-1] for item in arrivals.next_arrivals(model, hours[-1] + 3600, hours[-1] + 7200)]
    assert coming == pytest.approx([3900, 5100], abs=1)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Sydney"])
def test_two_hours_of_a_day_are_two_schedules_and_not_half_a_day(zone):
    times = clock(zone, range(7), [8, 17.5], MONDAY, 40)
    coming = [item[0] for item in arrivals.next_arrivals(one(times, zone), times[-1] + 60, times[-1] + 2 * DAY + 60)]
    expected = clock(zone, range(7), [8, 17.5], times[-1] - DAY, 6)
    assert coming == pytest.approx(
        expected[(expected > times[-1] + 60) & (expected < times[-1] + 2 * DAY + 60)], abs=60
    )


@pytest.mark.parametrize("periods", [(300, 420), (300, 660), (420, 3600), (660, 900)])
def test_superposed_schedules_keep_their_own_narrow_intervals(periods):
    rng = np.random.default_rng(6)
    end = MONDAY + 2.4 * DAY
    times = np.sort(np.concatenate([np.arange(MONDAY + 77 * place, end, p) for place, p in enumerate(periods)]))
    model = one(times + rng.normal(0, 2, len(times)))
    assert model.kind == "several"
    assert tuple(sorted(round(item.period) for item in model.schedules)) == periods
    assert max(item.jitter for item in model.schedules) < 8


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", (2026, 3, 29)),
        ("Europe/Berlin", (2026, 10, 25)),
        ("America/New_York", (2026, 3, 8)),
        ("America/New_York", (2026, 11, 1)),
        ("Australia/Lord_Howe", (2026, 4, 5)),
    ],
)
@pytest.mark.parametrize("after", [-10, 0, 10])
def test_cron_like_times_survive_both_changes_of_the_clock(zone, change, after):
    # Learned before, across and after the change; the next week is foretold to the second in every case.
    start = seconds(*change) - (30 - after) * DAY
    times = clock(zone, (0, 2, 4), [6.5], start, 40)
    seen, later = times[times < start + 30 * DAY], times[times >= start + 30 * DAY]
    model = one(seen, zone, now=start + 30 * DAY)
    assert model.rules[0].days == (0, 2, 4)
    coming = [item[0] for item in arrivals.next_arrivals(model, start + 30 * DAY, start + 37 * DAY)]
    assert coming == pytest.approx([item for item in later if item < start + 37 * DAY], abs=1)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.integers(20_000, 24_000),
    st.integers(0, 86_399),
)
def test_local_times_come_back_from_utc_unless_the_clock_skips_them(zone, day, second):
    local = day * DAY + second
    instant = calendars.to_utc(local, zone)
    there = datetime.fromtimestamp(instant, tz=timezone.utc).astimezone(calendars.zone(zone))
    back = instant + there.utcoffset().total_seconds()
    assert back == local or 0 < back - local <= 3600


def test_a_schedule_that_stopped_is_not_expected():
    model = one(MONDAY + np.arange(100) * 300.0, now=MONDAY + 200 * 300.0)
    assert not model.expects


def held(level, make, workloads=60, ahead=25):
    """The part of later arrivals that come within their interval, and how many were looked at."""
    rng = np.random.default_rng(5)
    inside = total = 0
    for _turn in range(workloads):
        times = make(rng)
        seen, later = times[:-ahead], times[-ahead:]
        model = one(seen)
        coming = arrivals.next_arrivals(model, seen[-1] + 120, later[-1] + 120, level)
        for (_expected, low, high), came in zip(coming, later):
            inside += low <= came <= high
            total += 1
    return inside / total, total


CLOCKS = {
    "normal": lambda rng: MONDAY + np.arange(145) * 600.0 + rng.normal(0, 30, 145),
    "late": lambda rng: MONDAY + np.arange(145) * 600.0 + rng.exponential(20, 145),
    "few": lambda rng: MONDAY + np.arange(45) * 600.0 + rng.normal(0, 30, 45),
}


@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_intervals_hold_what_they_promise(kind, level):
    part, total = held(level, CLOCKS[kind])
    assert total > 1000
    assert level - 0.07 <= part <= level + 0.06


def test_intervals_of_a_loop_that_drifts_widen_with_the_distance():
    def loop(rng):
        return MONDAY + np.cumsum(600 + rng.normal(0, 15, 150))

    part, total = held(0.8, loop, ahead=8)
    assert total > 400
    assert 0.7 <= part <= 0.9
    model = one(loop(np.random.default_rng(1)))
    coming = arrivals.next_arrivals(model, model.last + 60, model.last + 6000)
    widths = [high - low for _expected, low, high in coming]
    assert widths == sorted(widths)
    assert widths[-1] > 2 * widths[0]


def test_documents_come_back_as_they_were():
    model = one(clock("Europe/Berlin", range(5), [9], MONDAY, 40), "Europe/Berlin")
    assert ArrivalModel.from_document(model.document()) == model
    model = one(MONDAY + np.arange(50) * 300.0)
    assert ArrivalModel.from_document(model.document()) == model


def test_bad_input_is_named():
    with pytest.raises(InputError, match="series 1"):
        arrivals.detect([np.arange(9.0), np.array([1.0, np.nan])], now=0)
    with pytest.raises(InputError, match="Mars"):
        arrivals.detect([np.arange(9.0)], now=0, timezones=["Mars/Olympus"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 2e9, allow_nan=False), max_size=60),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.randoms(use_true_random=False),
)
def test_any_times_in_any_order_give_one_model(times, zone, random):
    shuffled = list(times)
    random.shuffle(shuffled)
    first, second = arrivals.detect([np.array(times), np.array(shuffled)], now=2e9, timezones=[zone, zone])
    assert first == second
    assert 0 <= first.confidence <= 1
    assert 0 <= first.fill <= 1
    for expected, low, high in arrivals.next_arrivals(first, 2e9, 2e9 + 7 * DAY, most=50):
        assert low <= expected <= high
        assert 2e9 <= expected < 2e9 + 7 * DAY


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(PERIODS), st.integers(-4, 4))
def test_later_history_moves_the_expectation_with_it(seed, period, weeks):
    times = train(np.random.default_rng(seed), period, 60)
    shift = weeks * 7 * DAY
    first, second = one(times), one(times + shift)
    assert first.kind == second.kind
    if first.period is not None:
        assert second.period == pytest.approx(first.period, rel=1e-6)
