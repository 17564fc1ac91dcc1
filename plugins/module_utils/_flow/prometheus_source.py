# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements from Prometheus as records of history."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import SplitResult, unquote, urlencode, urlsplit, urlunsplit

from ansible.module_utils.urls import open_url

from .._core.errors import InputError
from .._core.units import parse_duration, parse_time
from .._metrics.prometheus import Fetch, Range, Series, shown
from .history_reader import Record


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # urllib tells more, but with the password in it
        pass
    raise InputError(
        "it cannot be used", item="the url of a prometheus source", hint="write it like https://prometheus.example.org"
    )


def secrets(options: Mapping[str, Any]) -> set[str]:
    """What of a source's URL must not be shown: the password in it, or all of it where it cannot be read."""
    try:
        password = _split(options["url"]).password
    except InputError:
        return {options["url"]}
    return {password, unquote(password)} if password else set()


def fetcher(options: Mapping[str, Any]) -> Fetch:
    """A function that asks with the credentials and TLS options of a source; they are in no message."""
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    if options.get("token"):
        headers["Authorization"] = f"Bearer {options['token']}"
    given = _split(options["url"])
    user = options.get("username") or (unquote(given.username) if given.username else None)
    password = options.get("password") or (unquote(given.password) if given.password else None)

    def fetch(url: str, fields: Mapping[str, str]) -> tuple[int, bytes]:
        parts = urlsplit(url)
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        try:
            answer = _opened(
                bare,
                data=urlencode(fields),
                headers=headers,
                method="POST",
                timeout=parse_duration(options["timeout"]),
                validate_certs=options["validate_certs"],
                ca_path=options.get("ca_path"),
                url_username=user,
                url_password=password,
                force_basic_auth=bool(user),
                http_agent="predictive.tenancy",
            )
            return int(answer.getcode()), answer.read()
        except (HTTPException, EOFError, zlib.error) as error:
            raise OSError(f"what answers is no HTTP server, or broke off ({type(error).__name__}: {error})") from error

    return fetch


def _opened(url: str, **options: Any) -> Any:
    try:
        return open_url(url, **options)
    except HTTPError as error:
        return error  # an answer too, which says in its body what is wrong


def sources(options: Mapping[str, Any], number: int, now: datetime) -> list[tuple[str, Callable[[], Iterator[Record]]]]:
    """``(name, records)`` of each query of one Prometheus. Raises InputError."""
    fetch = fetcher(options)
    step = parse_duration(options["step"])
    end = parse_time(options["end"]) if options["end"] else now
    start = _start(options["start"], end)
    found: list[tuple[str, Callable[[], Iterator[Record]]]] = []
    for place, query in enumerate(options["queries"]):
        name = f"prometheus[{number}].queries[{place}]"
        if not query.get("workload_label") and not any(
            query.get(key) for key in ("workload", "profile", "tenant_label")
        ):
            raise InputError(
                "nothing says which workload the points belong to", item=name, hint="give workload or workload_label"
            )
        wanted = partial(
            Range, options["url"], query["query"], start.timestamp(), end.timestamp(), step, bool(query["counter"])
        )
        found.append((f"{name} {shown(options['url'])}", partial(_records, wanted, query, name, fetch)))
    return found


def _start(given: str, end: datetime) -> datetime:
    """A time, or how long before the end."""
    if re.fullmatch(r"[0-9.]+\s*[a-z]+", given.strip()):
        return end - timedelta(seconds=parse_duration(given))
    return parse_time(given)


def _origin(labels: Mapping[str, str], query: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What a series belongs to: the fields of its records. Raises InputError when a label is missing."""
    origin = {key: str(query[key]) for key in ("workload", "profile") if query.get(key)}
    for key in ("workload", "tenant"):
        label = query.get(f"{key}_label")
        if label and not labels.get(label):
            raise InputError(f"the series has no label {label!r}", hint="choose another label, or keep it in the query")
        if label:
            origin[key] = labels[label]
    return tuple(origin.items())


def _records(wanted: Callable[[], Range], query: Mapping[str, Any], name: str, fetch: Fetch) -> Iterator[Record]:
    for part in wanted().series(fetch):
        sums: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
        for series in part:
            try:
                points = sums.setdefault(_origin(series.labels, query), {})
            except InputError as error:
                yield Record(f"{name} {series.labels}", {}, str(error))
                continue
            _add(points, series, query["scale"])
        for origin, points in sums.items():
            for time, value in points.items():
                yield Record(f"{name} {dict(origin)}", {**dict(origin), "time": time, query["metric"]: value})


def _add(points: dict[float, float], series: Series, scale: float) -> None:
    for time, value in zip(series.times, series.values):
        if not math.isnan(value):
            points[time] = points.get(time, 0.0) + value * scale
