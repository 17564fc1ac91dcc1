# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lookup answers, without ansible-core around it."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import pytest
from ansible_collections.predictive.tenancy.plugins.module_utils._flow import forecasts
from ansible_collections.predictive.tenancy.plugins.module_utils._model.types import ArrivalModel, Schedule

FRIDAY = datetime(2026, 1, 9, 17, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("levels", "middle"),
    [
        ((0.5, 0.95), "0.5"),
        ((0.05, 0.5), "0.5"),
        ((0.1, 0.45, 0.9, 0.95), "0.45"),
        ((0.9, 0.99), "0.9"),
        ((0.5,), "0.5"),
    ],
)
def test_the_mean_is_that_of_the_series_nearest_to_the_median(levels: tuple[float, ...], middle: str) -> None:
    asked = forecasts.span(FRIDAY, 86400.0, 3600.0, levels)
    usage = np.random.default_rng(1).gamma(2.0, 1.0, 24 * 14)
    answer = forecasts.inline("series", None, usage, asked, FRIDAY)
    assert answer["mean"] == pytest.approx(np.mean(answer["quantiles"][middle]))
    assert answer["peak"] == pytest.approx(np.max(answer["quantiles"][f"{levels[-1]:g}"]))


def test_a_schedule_of_office_hours_is_expected_again_after_the_weekend() -> None:
    monday = datetime(2026, 1, 5, tzinfo=timezone.utc).timestamp()
    residuals, days, hours = (0.0,) * 9, (0, 1, 2, 3, 4), tuple(range(9, 17))
    every_minute = Schedule(60.0, monday, 0.0, 1.0, 1.0, 0.9, False, 99, residuals, days, hours)
    model = ArrivalModel("periodic", period=60.0, schedules=(every_minute,))
    asked = forecasts.span(FRIDAY, 7 * 86400.0, 300.0, (0.5, 0.95))
    answer = forecasts.requests(model.document(), asked, FRIDAY)
    assert answer is not None
    assert answer["next"][0]["expected"] == "2026-01-12T09:00:00Z"
    assert len(answer["next"]) == 1000
