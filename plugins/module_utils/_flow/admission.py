# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run of ``tenant_admit``: options in, results, desired state and shadows out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from .._core.changes import ChangeSet, result
from .._core.errors import TenancyError
from .._core.units import format_time, parse_duration
from .._planning.policy_reader import read_policy
from .._store.interface import Document, Store
from . import desired, requests, vms
from .admit import Admitter
from .decisions import Outcome
from .profiles import Profiles
from .requests import Wanted
from .shadows import Shadows, served


def admit_requests(store: Store, options: Mapping[str, Any], now: datetime, *, dry: bool) -> dict[str, Any]:
    """Admit what ``options`` (of the module) ask for. Raises InputError for a bad policy, VM or duration; what is
    wrong with one request is in its result."""
    cell = options["cell"]
    policy = read_policy(options["policy"], cell=cell)
    span = parse_duration(options["expected"]) if options["expected"] else None
    vm_changes, documents = vms.bring(store, cell, options["vms"] or [], dry=dry)
    profiles = Profiles(store, now, dry=dry)
    wanted, errors = requests.read_all(options["requests"] or [], profiles)
    known = list(store.find("profiles")) if span is not None or policy.shadow.enabled else []
    if span is not None:
        given = {one.tenant for one in wanted}
        due = requests.expected(known, now, span, partial(_running, store, wanted))
        wanted += [one for one in due if one.tenant not in given]
    admitter = Admitter(store, cell, policy, now, dry, documents)
    admitter.run(wanted)
    until = _served(admitter, known, wanted, now)
    shadows = Shadows(store, cell, policy, now, dry, admitter.documents, until, admitter.shadows)
    shadows.run(known)
    return _answer(admitter, shadows, vm_changes, wanted, errors)


def _running(store: Store, wanted: Sequence[Wanted], profile: str) -> set[str]:
    """The tenants of a profile that run in any cell, or will by what is asked for now."""
    asked = {one.tenant: one.state for one in wanted if one.profile["key"] == profile}
    there = {one["key"]: one["state"] for one in store.find("tenants", {"profile": profile})}
    return {name for name, state in {**there, **asked}.items() if state != "absent"}


def _served(
    admitter: Admitter, profiles: Sequence[Document], wanted: Sequence[Wanted], now: datetime
) -> dict[str, float]:
    """Until when the requests of each profile with a tenant are served: until the expected one that it was admitted
    for has come."""
    until = served(admitter.tenants.values(), profiles, now)
    for one in wanted:
        if one.expected_at is not None and one.profile["key"] in until:
            until[one.profile["key"]] = one.expected_at
    return until


def _row(outcome: Outcome) -> dict[str, Any]:
    changes = ChangeSet(outcome.name)
    vm = outcome.document["vm"] if outcome.document else None
    for action in outcome.actions:
        changes.add(action, "vm", None if action != "remove" else vm, vm if action != "remove" else None)
    if outcome.created_profile:
        changes.add("create", "profile", None, outcome.profile)
    return result(
        changes,
        profile=outcome.profile,
        created_profile=outcome.created_profile,
        vm=vm if "remove" not in outcome.actions else None,
        claim=outcome.claim,
        reason=outcome.reason,
        limits=outcome.limits,
        sized_by=(outcome.document or {}).get("sized_by") or "",
    )


def _answer(
    admitter: Admitter,
    shadows: Shadows,
    vm_changes: Sequence[ChangeSet],
    wanted: Sequence[Wanted],
    errors: Sequence[tuple[str, TenancyError]],
) -> dict[str, Any]:
    blank: dict[str, Any] = {
        "profile": "", "created_profile": False, "vm": None, "claim": None, "reason": "", "limits": [], "sized_by": "",
    }  # fmt: skip
    order = [one.tenant for one in wanted]
    repaired = [name for name in admitter.outcomes if name not in order]
    rows = [_row(admitter.outcomes[name]) for name in [*order, *sorted(repaired)] if name in admitter.outcomes]
    rows += [result(ChangeSet(name), f"{name}: {error}", **blank) for name, error in errors]
    shadow_rows = [
        {
            "name": one["key"],
            "profile": one["profile"],
            "vm": one["vm"],
            "tier": one["tier"],
            "expected_at": format_time(one["expected_at"]),
            "expires_at": format_time(one["expires_at"]),
            "chance": one["chance"],
            "changed": one["key"] in shadows.changed,
        }
        for one in shadows.waiting
    ]
    differences = [
        {"before_header": item.name, "after_header": item.name, **item.diff} for item in vm_changes if item.changed
    ]
    differences += [
        {"before_header": row["name"], "after_header": row["name"], **row["diff"]} for row in rows if row["changed"]
    ]
    return {
        "results": rows,
        "changed": bool(differences or shadows.changed or shadows.freed),
        "diff": differences,
        "vm_results": [result(item) for item in vm_changes],
        "desired": desired.desired(admitter.tenants.values(), admitter.documents),
        "shadows": desired.desired_shadows(shadows.waiting, admitter.documents),
        "shadow_results": shadow_rows,
        "refused_shadows": shadows.refused,
    }
