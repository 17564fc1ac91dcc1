# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: forecast
short_description: Forecast what workloads will use, and when they will be asked for
version_added: 0.1.0
description:
  - For each profile that is named, quantile series of CPU, memory and I/O, the next expected requests with intervals,
    and how far all that may be trusted. Without a name, for all profiles of the store.
  - The stored forecast of a learned profile is read where it covers what is asked for, else one is made from the
    history in the store.
  - What is made is kept within a task of one host alone, since ansible-core gives each of them a process of its own.
    Set a fact to use it in several tasks.
  - With O(series) or O(requests) the same model runs on data that is given inline, and no store is needed.
  - It runs on the controller and never changes anything.
author:
  - predictive.tenancy contributors (@predictive-tenancy)
options:
  _terms:
    description: Names of profiles.
    type: list
    elements: str
  store:
    description:
      - Where profiles and their history are kept, C(sqlite:///path/store.db) or C(mongodb://...).
      - The default is C(store.db) in the user's state directory, C($XDG_STATE_HOME/predictive.tenancy).
    type: str
    env:
      - name: TENANCY_STORE
    ini:
      - section: predictive_tenancy
        key: store
    vars:
      - name: tenancy_store
  horizon:
    description: How far to look ahead, like V(24h) or V(7d).
    type: str
    default: 24h
    env:
      - name: TENANCY_FORECAST_HORIZON
    ini:
      - section: predictive_tenancy
        key: forecast_horizon
    vars:
      - name: tenancy_forecast_horizon
  step:
    description: The length of one step, like V(5m).
    type: str
    default: 5m
    env:
      - name: TENANCY_FORECAST_STEP
    ini:
      - section: predictive_tenancy
        key: forecast_step
    vars:
      - name: tenancy_forecast_step
  quantiles:
    description: The quantiles, ascending, between 0 and 1.
    type: list
    elements: float
    default: [0.5, 0.95]
    env:
      - name: TENANCY_FORECAST_QUANTILES
    ini:
      - section: predictive_tenancy
        key: forecast_quantiles
    vars:
      - name: tenancy_forecast_quantiles
  level:
    description: The part of expected requests that come within their intervals.
    type: float
    default: 0.8
    env:
      - name: TENANCY_FORECAST_LEVEL
    ini:
      - section: predictive_tenancy
        key: forecast_level
    vars:
      - name: tenancy_forecast_level
  now:
    description: The present time, as UTC ISO 8601. The default is the clock. Replays and tests set it.
    type: str
    vars:
      - name: tenancy_now
  series:
    description:
      - Usage to forecast instead of that of profiles. A list of numbers, one per O(step) up to now, or of
        mappings with C(time) and C(value) in any order; a number that is null or empty is a missing sample.
      - A mapping of names to such lists gives one result for each.
    type: raw
  upper:
    description: The physical maximum of O(series), which no quantile exceeds.
    type: float
  requests:
    description: Times of requests to find the schedule of, instead of those of profiles.
    type: list
    elements: raw
  timezone:
    description: The time zone in which the schedule of O(requests) is kept, like V(Europe/Berlin).
    type: str
    default: UTC
requirements:
  - numpy >= 1.24
  - pymongo >= 4.6 for a C(mongodb://) store
seealso:
  - module: predictive.tenancy.workload_observe
  - module: predictive.tenancy.workload_profile
"""

EXAMPLES = r"""
- name: Show what the next day of a series will be
  ansible.builtin.debug:
    msg: "{{ lookup('predictive.tenancy.forecast', series=[1, 2, 3, 1, 2, 3, 1, 2, 3], step='8h').quantiles }}"

- name: Show when the next requests of a schedule are expected
  vars:
    times: ['2026-01-05T09:00:00Z', '2026-01-06T09:00:00Z', '2026-01-07T09:00:00Z', '2026-01-08T09:00:00Z',
            '2026-01-09T09:00:00Z', '2026-01-10T09:00:00Z', '2026-01-11T09:00:00Z']
  ansible.builtin.debug:
    msg: "{{ lookup('predictive.tenancy.forecast', requests=times, now=times[-1], horizon='3d').requests }}"

- name: Show the CPU peak that all profiles of the store will need tomorrow
  ansible.builtin.debug:
    msg: "{{ item.name }} {{ (item.cpu | default({}, true)).peak | default('no history') }}"
  loop: "{{ query('predictive.tenancy.forecast', horizon='24h', step='5m', quantiles=[0.5, 0.95]) }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
_raw:
  description:
    - One mapping per profile. A metric without history is null.
    - For O(series) one mapping per series, which holds what is under RV(_raw[].cpu) here, and C(name).
    - For O(requests) one mapping with RV(_raw[].requests).
  type: list
  elements: dict
  contains:
    name:
      description: The name of the profile or of the series.
      type: str
      returned: always
      sample: web
    workload:
      description: The workload of the profile.
      type: str
      returned: for a profile
      sample: web
    learned_at:
      description: When the profile was learned; null before.
      type: str
      returned: for a profile
      sample: "2026-01-31T09:00:00Z"
    confidence:
      description: How far the forecasts of the profile may be trusted, 0 to 1; null before it is learned.
      type: float
      returned: for a profile
      sample: 0.83
    requests:
      description: When requests come; null before anything was learned.
      type: dict
      returned: for a profile, or with O(requests)
      contains:
        kind:
          description: V(periodic), V(calendar), V(several), V(aperiodic) or V(unknown).
          type: str
          returned: always
          sample: periodic
        period:
          description: Seconds; null where there is none.
          type: float
          returned: always
          sample: 86400.0
        jitter:
          description: The standard deviation around the schedule in seconds.
          type: float
          returned: always
          sample: 12.5
        fill:
          description: The part of the scheduled times at which a request came.
          type: float
          returned: always
          sample: 0.98
        confidence:
          description: How far the schedule may be trusted, 0 to 1.
          type: float
          returned: always
          sample: 0.93
        timezone:
          description: The time zone in which the schedule is kept.
          type: str
          returned: always
          sample: UTC
        rate:
          description: Arrivals per second.
          type: float
          returned: always
          sample: 0.0033
        burst:
          description: Requests per arrival.
          type: float
          returned: always
          sample: 1.0
        events:
          description: The number of arrivals seen.
          type: int
          returned: always
          sample: 412
        last:
          description: The newest arrival; null without any.
          type: str
          returned: always
          sample: "2026-01-31T09:00:00Z"
        level:
          description: The part of expected requests that come within their intervals.
          type: float
          returned: always
          sample: 0.8
        next:
          description: The expected requests within the horizon, at most the first thousand.
          type: list
          elements: dict
          returned: always
          contains:
            expected:
              description: The expected time.
              type: str
              returned: always
              sample: "2026-01-31T09:05:00Z"
            low:
              description: The begin of the interval.
              type: str
              returned: always
              sample: "2026-01-31T09:04:40Z"
            high:
              description: The end of the interval.
              type: str
              returned: always
              sample: "2026-01-31T09:05:20Z"
    cpu:
      description:
        - The forecast of CPU in cores.
        - RV(_raw[].memory), RV(_raw[].io_read) and RV(_raw[].io_write) look the same.
      type: dict
      returned: for a profile
      contains:
        unit:
          description: The unit.
          type: str
          returned: for a profile
          sample: cores
        start:
          description: The begin of the first step.
          type: str
          returned: always
          sample: "2026-01-31T09:00:00Z"
        step:
          description: The length of a step in seconds.
          type: float
          returned: always
          sample: 300.0
        quantiles:
          description: The series of each quantile, by its level.
          type: dict
          returned: always
          sample: {"0.5": [0.21, 0.24], "0.95": [0.4, 0.46]}
        mean:
          description: The mean of the series whose quantile is nearest to 0.5.
          type: float
          returned: always
          sample: 0.22
        peak:
          description: The maximum of the highest series.
          type: float
          returned: always
          sample: 0.46
        model:
          description: The model that the backtest chose.
          type: str
          returned: always
          sample: median_7+rise_now_3
        period:
          description: The season in seconds; null where there is none.
          type: float
          returned: always
          sample: 86400.0
        second_period:
          description: A second season in seconds; null where there is none.
          type: float
          returned: always
          sample: 604800.0
        mase:
          description: The error of the backtest as a part of the seasonal naive forecast's; null without one.
          type: float
          returned: always
          sample: 0.71
        pinball:
          description: The mean pinball loss of the backtest at .5, .9 and .95; null without one.
          type: float
          returned: always
          sample: 0.03
        coverage:
          description: The part of actual values at or below the .95 quantile in the backtest; null without one.
          type: float
          returned: always
          sample: 0.95
        last_error:
          description: The mean absolute error of the previous stored forecast against what came; null without one.
          type: float
          returned: always
          sample: 0.04
        days:
          description: Days of history.
          type: float
          returned: always
          sample: 27.5
        confidence:
          description: How far the forecast may be trusted, 0 to 1.
          type: float
          returned: always
          sample: 0.83
        source:
          description: V(stored), V(computed) or V(inline).
          type: str
          returned: always
          sample: stored
    memory:
      description: The forecast of memory in bytes.
      type: dict
      returned: for a profile
    io_read:
      description: The forecast of bytes read per second.
      type: dict
      returned: for a profile
    io_write:
      description: The forecast of bytes written per second.
      type: dict
      returned: for a profile
"""

import atexit
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.predictive.tenancy.plugins.module_utils._core import libraries
from ansible_collections.predictive.tenancy.plugins.module_utils._core.errors import InputError, TenancyError
from ansible_collections.predictive.tenancy.plugins.module_utils._core.plain import plain
from ansible_collections.predictive.tenancy.plugins.module_utils._core.units import parse_duration, parse_time
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import forecasts, inline
from ansible_collections.predictive.tenancy.plugins.module_utils._flow.arguments import store_uri
from ansible_collections.predictive.tenancy.plugins.module_utils._model import arrivals
from ansible_collections.predictive.tenancy.plugins.module_utils._store.connect import open_store
from ansible_collections.predictive.tenancy.plugins.module_utils._store.interface import Store

# One connection per process and store: a task may ask many times, in a loop or a template. The next task has a process
# of its own.
_stores: dict[tuple[int, str], Store] = {}


def _opened(uri: str) -> Store:
    key = (os.getpid(), uri)
    if key not in _stores:
        _stores[key] = open_store(uri, read_only=True)
        atexit.register(_stores[key].close)
    return _stores[key]


class LookupModule(LookupBase):
    """Forecasts of stored profiles, or of data given inline."""

    def run(
        self, terms: list[Any] | None, variables: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """The forecasts as plain JSON values. Raises AnsibleLookupError."""
        try:
            self._refuse_unknown(kwargs)
            self.set_options(var_options=variables, direct=kwargs)
            libraries.require("numpy")
            return self._answers([str(plain(term)) for term in self._flatten(terms or [])])
        except TenancyError as error:
            raise AnsibleLookupError(f"predictive.tenancy.forecast: {error}") from error

    def _refuse_unknown(self, given: Mapping[str, Any]) -> None:
        known = constants.config.get_configuration_definitions("lookup", self._load_name)
        unknown = sorted(set(given) - set(known))
        if unknown:
            names = ", ".join(sorted(name for name in known if not name.startswith("_")))
            raise InputError(f"there is no option {unknown[0]!r}", hint=f"the options are {names}")

    def _option(self, name: str) -> Any:
        return plain(self.get_option(name))

    def _answers(self, names: list[str]) -> list[dict[str, Any]]:
        given = self._option("now")
        now = parse_time(given) if given is not None else datetime.now(timezone.utc)
        asked = forecasts.span(
            now,
            parse_duration(self._option("horizon")),
            parse_duration(self._option("step")),
            self._option("quantiles"),
            self._option("level"),
        )
        series, times = self._option("series"), self._option("requests")
        if series is None and times is None:
            store = _opened(store_uri(self._option("store")))
            return forecasts.forecasts(store, names or store.keys("profiles"), now, asked)
        if names:
            raise InputError(f"profiles ({names[0]}, ...) and data given inline exclude each other")
        answers = []
        if series is not None:
            for name, one in inline.named(series).items():
                read = inline.read_series(name, one)
                answers.append(forecasts.inline(name, *read, asked, now, self._option("upper")))
        if times is not None:
            zone = self._option("timezone")
            model = arrivals.detect([inline.read_times(times)], now=now.timestamp(), timezones=[zone])[0]
            answers.append({"name": "requests", "requests": forecasts.requests(model.document(), asked, now)})
        return answers
