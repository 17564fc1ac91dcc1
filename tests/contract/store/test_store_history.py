# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of usage and requests: one behaviour on every kind of store."""

from __future__ import annotations

import math
import random
from array import array
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import (
    Counts,
    RequestBatch,
    Store,
    UsageBatch,
)

NAN = math.nan
MIDNIGHT = datetime(2026, 3, 2, tzinfo=timezone.utc)
BASE = MIDNIGHT.timestamp()
ALWAYS = (datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2200, 1, 1, tzinfo=timezone.utc))


def usage(profile: str, rows: list[tuple[float, float]], tenant: str = "", **more: list[float]) -> UsageBatch:
    times, cpu = [BASE + row[0] for row in rows], [row[1] for row in rows]
    values = {"cpu": array("d", cpu), **{metric: array("d", column) for metric, column in more.items()}}
    return UsageBatch(profile, tenant, array("d", times), values)


def plain(batch: UsageBatch) -> dict[str, Any]:
    """A batch with None for what is missing, to be compared."""

    def column(values: array[float]) -> list[float | None]:
        return [None if math.isnan(value) else value for value in values]

    return {
        "series": (batch.profile, batch.tenant),
        "times": [time - BASE for time in batch.times],
        **{metric: column(values) for metric, values in batch.values.items()},
    }


def test_samples_merge(store: Store) -> None:
    first = usage("web", [(600, 0.3), (0, 0.1), (300, NAN), (600, 0.3)], memory=[3.0, NAN, NAN, NAN])
    assert store.append_usage([first]) == Counts(new=2, same=2)
    assert store.append_usage([first]) == Counts(same=4)
    more = usage("web", [(0, 0.1), (300, 0.2), (600, 0.4)], memory=[1.0, NAN, 3.0])
    assert store.append_usage([more]) == Counts(new=2, replaced=1)
    (batch,) = store.read_usage(["web"], *ALWAYS)
    assert plain(batch) == {
        "series": ("web", ""), "times": [0, 300, 600], "cpu": [0.1, 0.2, 0.4], "memory": [1.0, None, 3.0]
    }  # fmt: skip
    assert batch.peaks == {metric: batch.values[metric] for metric in ("cpu", "memory")} or math.isnan(
        batch.peaks["memory"][1]
    )


def test_numbers_come_back_exactly(store: Store) -> None:
    source = random.Random(7)
    columns = {
        "cpu": [source.random() * 64 for _turn in range(300)],
        "memory": [float(source.randrange(2**53)) for _turn in range(300)],
        "io_read": [round(source.random() * 1e6, 3) for _turn in range(300)],
        "io_write": [source.choice([0.0, 1e-9, 123456789.125, NAN]) for _turn in range(300)],
    }
    times = [BASE + 300 * number + source.randrange(1000) / 1000 for number in range(300)]
    batch = UsageBatch("web", "", array("d", times), {metric: array("d", column) for metric, column in columns.items()})
    store.append_usage([batch])
    (found,) = store.read_usage(["web"], *ALWAYS)
    assert list(found.times) == times
    for metric, column in columns.items():
        assert found.values[metric].tobytes() == array("d", column).tobytes(), metric


def test_ranges_tenants_and_metrics(store: Store) -> None:
    week = [(3600.0 * hour, float(hour)) for hour in range(24 * 7)]
    store.append_usage(
        [
            usage("b", week, io_read=[1.0] * len(week)),
            usage("a", week, "a_2"),
            usage("a", week, "a_1"),
            usage("a", week[:3]),
            usage("c", week[:1]),
        ]
    )
    start, end = MIDNIGHT + timedelta(days=2, hours=5), MIDNIGHT + timedelta(days=4, hours=1)
    found = list(store.read_usage(["c", "b", "a", "none"], start, end))
    assert [(batch.profile, batch.tenant) for batch in found] == [("a", "a_1"), ("a", "a_2"), ("b", "")]
    assert [list(batch.values["cpu"]) for batch in found] == [[float(hour) for hour in range(53, 97)]] * 3
    assert set(found[2].values) == {"cpu", "io_read"}
    every = list(store.read_usage(["a", "b"], *ALWAYS, tenant="", metrics=["io_read"]))
    assert [(batch.profile, sorted(batch.values)) for batch in every] == [("a", []), ("b", ["io_read"])]
    (one,) = store.read_usage(["a"], *ALWAYS, tenant="a_2")
    assert one.tenant == "a_2"
    assert list(store.read_usage([], *ALWAYS)) == []
    assert list(store.read_usage(["a"], end, end)) == []


def test_many_series_in_one_call(store: Store) -> None:
    names = [f"p{number:03}" for number in range(430)]
    counts = store.append_usage(usage(name, [(0, 1.0), (86400, 2.0)]) for name in names)
    assert counts == Counts(new=860)
    found = list(store.read_usage(names, *ALWAYS))
    assert [batch.profile for batch in found] == names
    assert all(list(batch.values["cpu"]) == [1.0, 2.0] for batch in found)


@pytest.mark.parametrize(
    "batch",
    [
        UsageBatch("Web", "", array("d", [BASE]), {"cpu": array("d", [1])}),
        UsageBatch("web", "a b", array("d", [BASE]), {"cpu": array("d", [1])}),
        UsageBatch("web", "", array("d", [BASE]), {"gpu": array("d", [1])}),
        UsageBatch("web", "", array("d", [BASE]), {"cpu": array("d", [1, 2])}),
        UsageBatch("web", "", array("d", [BASE]), {"cpu": array("d", [math.inf])}),
        UsageBatch("web", "", array("d", [NAN]), {"cpu": array("d", [1])}),
        UsageBatch("web", "", array("d", [-1]), {"cpu": array("d", [1])}),
        UsageBatch("web", "", array("d", [1e12]), {"cpu": array("d", [1])}),
    ],
)
def test_bad_batches_are_refused(store: Store, batch: UsageBatch) -> None:
    with pytest.raises(InputError):
        store.append_usage([batch])
    assert store.newest() is None


def test_requests_are_kept_once(store: Store) -> None:
    times = array("d", [BASE + 5.25, BASE, BASE, BASE + 86400])
    given = RequestBatch("web", times, ["", "", "", "r1"], [{}, {"a": 1}, {"a": 2, "b": {"c": [1]}}, {"a": 1}])
    assert store.append_requests([given]) == Counts(new=4)
    assert store.append_requests([given]) == Counts(same=4)
    assert store.append_requests([RequestBatch("web", array("d", [BASE]))]) == Counts(new=1)
    corrected = RequestBatch("web", array("d", [BASE + 86401]), ["r1"], [{"a": 1}])
    assert store.append_requests([corrected]) == Counts(replaced=1)
    (found,) = store.read_requests(["web", "none"], *ALWAYS)
    assert [time - BASE for time in found.times] == [0, 0, 0, 5.25, 86401]
    assert found.ids == ["", "", "", "", "r1"]
    assert found.parameters == [{"a": 1}, {"a": 2, "b": {"c": [1]}}, {}, {}, {"a": 1}]
    (newest,) = store.read_requests(["web"], *ALWAYS, newest=2)
    assert [time - BASE for time in newest.times] == [5.25, 86401]
    assert list(store.read_requests(["web"], MIDNIGHT + timedelta(days=3), ALWAYS[1])) == []
    (part,) = store.read_requests(["web"], MIDNIGHT + timedelta(seconds=1), MIDNIGHT + timedelta(days=1), newest=9)
    assert list(part.times) == [BASE + 5.25]


def test_a_day_of_very_many_requests(store: Store) -> None:
    times = array("d", [BASE + number * 2 for number in range(43_000)])
    batch = RequestBatch("busy", times, [f"r{number}" for number in range(43_000)])
    assert store.append_requests([batch]) == Counts(new=43_000)
    assert store.append_requests([batch]) == Counts(same=43_000)
    (found,) = store.read_requests(["busy"], *ALWAYS)
    assert found.times == times
    assert found.ids == batch.ids
    (newest,) = store.read_requests(["busy"], *ALWAYS, newest=3)
    assert newest.ids == ["r42997", "r42998", "r42999"]


def test_downsampling_keeps_means_and_maxima(store: Store) -> None:
    rows = [(300.0 * slot, float(slot % 12 if slot < 288 else 100)) for slot in range(288 * 3)]
    store.append_usage([usage("web", rows), usage("web", [(7200 * n, 1.0) for n in range(24)], "web_1")])
    store.append_requests([RequestBatch("web", array("d", [BASE, BASE + 86400 * 2]))])
    before = MIDNIGHT + timedelta(days=2)
    long_ago = MIDNIGHT - timedelta(days=900)
    done = store.compact(before, long_ago, MIDNIGHT + timedelta(days=1))
    assert done == {"downsampled": 4, "removed": 1}
    assert store.compact(before, long_ago, MIDNIGHT + timedelta(days=1)) == {"downsampled": 0, "removed": 0}
    (batch,) = store.read_usage(["web"], *ALWAYS, tenant="")
    assert len(batch.times) == 24 + 24 + 288
    assert [time - BASE for time in batch.times[:3]] == [0, 3600, 7200]
    assert list(batch.values["cpu"][:24]) == [5.5] * 24
    assert list(batch.peaks["cpu"][:24]) == [11.0] * 24
    assert list(batch.values["cpu"][48:]) == [100.0] * 288
    # what comes late is left out where its hour is known, and kept where it is not
    late = usage("web", [(60, 50.0), (86400 * 2 + 60, 50.0)], "")
    assert store.append_usage([late]) == Counts(new=1, late=1)
    gap = usage("web", [(3600, 9.0), (3900, 11.0)], "web_1")
    assert store.append_usage([gap]) == Counts(new=2)
    (mixed,) = store.read_usage(["web"], MIDNIGHT, MIDNIGHT + timedelta(hours=3), tenant="web_1")
    assert plain(mixed) == {"series": ("web", "web_1"), "times": [0, 3600, 3900, 7200], "cpu": [1.0, 9.0, 11.0, 1.0]}
    assert store.compact(before, long_ago, long_ago)["downsampled"] == 1
    (folded,) = store.read_usage(["web"], MIDNIGHT, MIDNIGHT + timedelta(hours=3), tenant="web_1")
    assert plain(folded) == {"series": ("web", "web_1"), "times": [0, 3600, 7200], "cpu": [1.0, 10.0, 1.0]}
    assert list(folded.peaks["cpu"]) == [1.0, 11.0, 1.0]
    # a metric that an old hour never had
    assert store.append_usage([usage("web", [(0, NAN)], "web_1", memory=[5.0])]) == Counts(late=1)


def test_old_days_are_removed(store: Store) -> None:
    store.append_usage([usage("web", [(86400.0 * day, 1.0) for day in range(10)])])
    store.append_requests([RequestBatch("web", array("d", [BASE + 86400 * day for day in range(10)]))])
    assert store.newest() == MIDNIGHT + timedelta(days=10)
    done = store.compact(MIDNIGHT + timedelta(days=8), MIDNIGHT + timedelta(days=4), MIDNIGHT + timedelta(days=9))
    assert done == {"downsampled": 4, "removed": 4 + 9}
    (batch,) = store.read_usage(["web"], *ALWAYS)
    assert [time - BASE for time in batch.times] == [86400.0 * day for day in range(4, 10)]
    (requests,) = store.read_requests(["web"], *ALWAYS)
    assert list(requests.times) == [BASE + 86400 * 9]


def test_a_day_that_was_removed_and_begun_again_is_not_written_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = array("d", [BASE])
    store.append_usage([usage("web", [(0, 1.0)])])
    store.append_requests([RequestBatch("web", moment, ["r0"])])
    save, before = store._save, []

    def late(table: str, buckets: Any) -> Any:
        """What another run does between this one's reading a day and its writing it."""
        if table not in before:
            before.append(table)
            store.delete_history("web")
            store.append_usage([usage("web", [(60, 2.0)])])
            store.append_requests([RequestBatch("web", moment, ["r1"])])
        return save(table, buckets)

    monkeypatch.setattr(store, "_save", late)
    store.append_usage([usage("web", [(120, 3.0)])])
    (batch,) = store.read_usage(["web"], *ALWAYS)
    assert [time - BASE for time in batch.times] == [60, 120]
    before.clear()
    store.append_requests([RequestBatch("web", moment, ["r2"])])
    (requests,) = store.read_requests(["web"], *ALWAYS)
    assert requests.ids == ["r1", "r2"]


def test_the_history_of_a_profile_is_removed_alone(store: Store) -> None:
    for profile in ("web", "web_2"):
        store.append_usage([usage(profile, [(0, 1.0), (86400, 1.0)]), usage(profile, [(0, 1.0)], "t")])
        store.append_requests([RequestBatch(profile, array("d", [BASE]))])
    assert store.delete_history("web") == 4
    assert store.delete_history("web") == 0
    assert [(batch.profile, batch.tenant) for batch in store.read_usage(["web", "web_2"], *ALWAYS)] == [
        ("web_2", ""),
        ("web_2", "t"),
    ]
    assert [batch.profile for batch in store.read_requests(["web", "web_2"], *ALWAYS)] == ["web_2"]
    assert store.append_usage([usage("web", [(0, 1.0)])]) == Counts(new=1)
