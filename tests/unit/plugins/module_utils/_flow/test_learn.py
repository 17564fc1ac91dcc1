# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Learning from the real embedded store, and the forecasts that are served from it."""

from __future__ import annotations

import json
from array import array
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import forecasts, learn, profiles, usage_series
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import RequestBatch, UsageBatch

NOW = datetime(2026, 2, 2, tzinfo=timezone.utc)
DAY = 86400.0


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite://{tmp_path}/store.db") as opened:
        for name in ("web", "batch", "new"):
            profiles.ensure(opened, {"name": name, "bounds": {"memory": {"max": "300MiB"}}}, NOW, dry=False)
        times = NOW.timestamp() - 10 * DAY + np.arange(10 * 288) * 300.0
        rng = np.random.default_rng(0)
        cpu = 1 + np.sin(2 * np.pi * times / DAY) + rng.normal(0, 0.05, times.size).clip(-0.2, 0.2)
        memory = np.full(times.size, 256e6) + rng.normal(0, 20e6, times.size)
        opened.append_usage(
            [UsageBatch("web", "", array("d", times), {"cpu": array("d", cpu), "memory": array("d", memory)})]
        )
        opened.append_requests([RequestBatch("batch", array("d", NOW.timestamp() - 900.0 * np.arange(1, 300)[::-1]))])
        yield opened


def learned(store, now=NOW, names=("web", "batch", "new"), dry=False):
    return list(learn.learn(store, list(names), now, dry=dry))


def test_check_do_do_again_check_again(store):
    assert [one.changes.changed for one in learned(store, dry=True)] == [True, True, False]
    assert store.get("profiles", "web")["learned_at"] is None
    assert [one.changes.changed for one in learned(store)] == [True, True, False]
    version = store.get("profiles", "web")["version"]
    assert [one.changes.changed for one in learned(store)] == [False, False, False]
    assert [one.changes.changed for one in learned(store, dry=True)] == [False, False, False]
    assert store.get("profiles", "web")["version"] == version


def test_what_is_stored(store):
    learned(store)
    web, batch = store.get("profiles", "web"), store.get("profiles", "batch")
    assert batch["arrival"]["kind"] == "periodic"
    assert batch["arrival"]["period"] == 900
    pattern = web["patterns"]["cpu"]
    assert pattern["period"] == DAY
    assert pattern["start"] == NOW
    assert pattern["mase"] < 1
    assert pattern["days"] == pytest.approx(10, abs=0.1)
    stored = store.get_arrays(["forecast/web/cpu"])["forecast/web/cpu"]
    assert stored.dtype == "<f4"
    assert stored.shape == (len(pattern["quantiles"]), pattern["horizon"])
    values = np.frombuffer(stored.data, stored.dtype).reshape(stored.shape)
    truth = 1 + np.sin(2 * np.pi * (NOW.timestamp() + np.arange(432) * 300) / DAY)
    assert np.abs(values[2] - truth).mean() < 0.05
    # The profile's bound is the physical maximum.
    assert web["patterns"]["memory"]["peak"] <= 300 * 2**20


def test_the_previous_forecast_is_scored_before_a_new_one_is_made(store):
    learned(store)
    times = NOW.timestamp() + np.arange(36) * 300.0
    store.append_usage([UsageBatch("web", "", array("d", times), {"cpu": array("d", [5.0] * 36)})])
    one = learned(store, NOW + timedelta(hours=3), ["web"])[0]
    pattern = one.document["patterns"]["cpu"]
    assert pattern["last_error"] == pytest.approx(5 - 1.7, abs=0.6)
    assert pattern["online"]["scored"] == 36
    assert pattern["online"]["coverage"] == 0
    assert pattern["online"]["widen"] > 1.1
    assert pattern["start"] == NOW + timedelta(hours=3)


def test_the_demand_of_a_tenant_is_the_mean_over_tenants(store):
    times = array("d", NOW.timestamp() - DAY + np.arange(288) * 300.0)
    for tenant, level in (("a", 1.0), ("b", 3.0)):
        store.append_usage([UsageBatch("new", tenant, times, {"cpu": array("d", [level] * 288)})])
    usage = usage_series.read(store, ["new"], NOW)
    assert [one.metric for one in usage] == ["cpu"]
    assert np.nanmin(usage[0].values) == np.nanmax(usage[0].values) == 2.0


def test_an_unknown_profile_and_another_writer(store):
    results = learned(store, names=["nobody", "web"])
    assert "nobody" in results[0].error
    assert results[1].error == ""

    class Racing:
        """The real store, in which someone else changes the profile just before the write."""

        def __getattr__(self, name):
            return getattr(store, name)

        def put_many(self, kind, documents):
            document = store.get("profiles", "web")
            if document["priority"] == 50:
                store.update("profiles", {**document, "priority": 99})
            return store.put_many(kind, documents)

    one = learned(Racing(), NOW + timedelta(hours=1), ["web"])[0]
    assert one.error == ""
    assert store.get("profiles", "web")["priority"] == 99
    assert store.get("profiles", "web")["patterns"]["cpu"]["start"] == NOW + timedelta(hours=1)


def test_forecasts_are_plain_and_come_from_the_store_where_it_covers(store):
    learned(store)
    short = forecasts.span(NOW + timedelta(minutes=7), 86400, 3600, [0.5, 0.95])
    answers = forecasts.forecasts(store, ["web", "new", "batch"], NOW + timedelta(minutes=7), short)
    assert json.loads(json.dumps(answers, allow_nan=False)) == answers
    assert answers[0]["cpu"]["source"] == "stored"
    assert len(answers[0]["cpu"]["quantiles"]["0.95"]) == 24
    assert answers[0]["io_read"] is None
    assert answers[1]["cpu"] is None
    expected = [item["expected"] for item in answers[2]["requests"]["next"]]
    assert expected[:2] == ["2026-02-02T00:15:00Z", "2026-02-02T00:30:00Z"]
    far = forecasts.span(NOW, 7 * 86400, 3600, [0.5, 0.999])
    answer = forecasts.forecasts(store, ["web"], NOW, far)[0]["cpu"]
    assert answer["source"] == "computed"
    assert len(answer["quantiles"]["0.999"]) == 168
    # Unchanged inputs: the very lists of the cache.
    assert forecasts.forecasts(store, ["web"], NOW, far)[0]["cpu"]["quantiles"] is answer["quantiles"]


def test_inline_series_are_forecast_once_whatever_their_order(monkeypatch):
    asked = forecasts.span(NOW, 86400, 3600, [0.5, 0.95])
    times = NOW.timestamp() - np.arange(1, 10 * 24 + 1)[::-1] * 3600.0
    values = 2 + np.sin(2 * np.pi * times / DAY)
    made = []
    real = forecasts.forecast
    monkeypatch.setattr(forecasts, "forecast", lambda *args, **more: made.append(1) or real(*args, **more))
    first = forecasts.inline("a", times, values, asked, NOW)
    order = np.random.default_rng(0).permutation(times.size)
    again = forecasts.inline("b", times[order], values[order], asked, NOW)
    assert {**first, "name": "b"} == again
    assert len(made) == 1
    # Any other value, bound or question is another forecast.
    forecasts.inline("a", times, values + 0.1, asked, NOW)
    forecasts.inline("a", times, values, asked, NOW, 2.0)
    forecasts.inline("a", times, values, forecasts.span(NOW, 43200, 3600, [0.5]), NOW)
    assert len(made) == 4


def test_new_history_is_forecast_anew(store):
    far = forecasts.span(NOW, 7 * 86400, 3600, [0.5])
    first = forecasts.forecasts(store, ["web"], NOW, far)[0]["cpu"]
    assert first["source"] == "computed"
    late = array("d", [NOW.timestamp() - 300.0])
    store.append_usage([UsageBatch("web", "east", late, {"cpu": array("d", [9.0])})])
    second = forecasts.forecasts(store, ["web"], NOW, far)[0]["cpu"]
    assert second["quantiles"] != first["quantiles"]


def test_what_cannot_be_asked_for_is_refused(store):
    for bad in ((0, 300, [0.5]), (3600, 0, [0.5]), (3600, 300, []), (3600, 300, [0.9, 0.5]), (9e9, 1, [0.5])):
        with pytest.raises(InputError):
            forecasts.span(NOW, *bad)
    with pytest.raises(InputError, match="nobody"):
        forecasts.forecasts(store, ["nobody"], NOW, forecasts.span(NOW, 3600, 300, [0.5]))


def test_a_new_profile_begins_with_the_forecast_of_what_it_is_like(store):
    rng = np.random.default_rng(1)
    profiles.ensure(store, {"name": "young"}, NOW, dry=False)
    profiles.ensure(store, {"name": "other"}, NOW, dry=False)
    times = NOW.timestamp() - 10 * DAY + np.arange(10 * 288) * 300.0
    store.append_usage([UsageBatch("other", "", array("d", times), {"cpu": array("d", rng.gamma(1, 9, times.size))})])
    young = times[-80:]
    wave = 1.05 * (1 + np.sin(2 * np.pi * young / DAY) + rng.normal(0, 0.05, young.size).clip(-0.2, 0.2))
    memory = rng.normal(256e6, 20e6, young.size)
    store.append_usage(
        [UsageBatch("young", "", array("d", young), {"cpu": array("d", wave), "memory": array("d", memory)})]
    )
    first = {one.name: one for one in learned(store, names=["other", "web", "young"])}
    # What is known is written first, so it is a later run that finds it.
    assert first["young"].document["match"]["profile"] is None
    assert store.get("profiles", "web")["features"]["days"] == pytest.approx(10, abs=0.1)
    store.update("profiles", {**store.get("profiles", "young"), "match": None})
    later = learned(store, NOW + timedelta(minutes=5), ["young"])[0]
    assert later.document["match"]["profile"] == "web"
    assert later.document["match"]["stage"] == 2
    pattern = later.document["patterns"]["cpu"]
    assert pattern["model"] == "like web"
    stored = store.get_arrays(["forecast/young/cpu"])["forecast/young/cpu"]
    middle = np.frombuffer(stored.data, stored.dtype).reshape(stored.shape)[2]
    # The cycle of its match, though it has seen a third of a day itself.
    truth = 1 + np.sin(2 * np.pi * (NOW.timestamp() + 300 + np.arange(432) * 300) / DAY)
    assert np.corrcoef(middle, truth)[0, 1] > 0.95
