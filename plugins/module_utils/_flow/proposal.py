# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is proposed, as the actions of a plan: each with its reason, confidence, expected effect and limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._planning import moves
from .._planning.demand import RESOURCES
from .._planning.hot import Hot
from .._planning.plan import Action
from .._planning.policy import Policy
from .._planning.sizing import tenant_limits
from .._store.interface import Document
from .cells import Picture
from .tenants import difference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
else:
    try:
        import numpy as np
    except ImportError:  # the plugin that needs it says so (libraries.require)
        pass


@dataclass
class Proposal:
    """What a run proposes: the plan's document, without its id and times."""

    pict: Picture
    actions: list[Action] = field(default_factory=list)
    limits: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def add_resize(
    proposal: Proposal,
    target: Floats,
    reasons: tuple[str, ...],
    bites: tuple[str, ...],
    row: int,
    tenants: Mapping[str, Document],
    rule: Policy,
) -> None:
    """Add the resize of one tenant, with the limits that were reached and why."""
    entry = proposal.pict.entries[row]
    tenant = tenants[entry.name]
    values = [float(value) if np.isfinite(value) else None for value in target]
    limits = dict(zip(RESOURCES, values))
    made = tenant_limits(limits, float(tenant["memory"].get("low") or 0), int(tenant["priority"]), rule.sizing)
    before, after = difference(tenant, made)
    measured = any("forecast" not in reason for reason in reasons)
    proposal.actions.append(
        Action(
            "resize",
            entry.name,
            "; ".join(reasons),
            rule="resize",
            profile=entry.profile["key"],
            confidence=1.0 if measured else entry.confidence,
            before=before,
            after=after,
            effect={"vm": proposal.pict.keys[entry.vm]},
            limits=bites,
        )
    )


def add_moves(proposal: Proposal, step: moves.Step) -> None:
    """Add the moves of one step, which belong together."""
    pict = proposal.pict
    source = pict.keys[step.vm]
    kind = "consolidate" if step.kind == "empty" else "move"
    wording = "to empty" if step.kind == "empty" else "to relieve"
    for moved in step.moves:
        entry = pict.entries[moved.guest]
        target = pict.keys[moved.target]
        proposal.actions.append(
            Action(
                kind,
                entry.name,
                f"{wording} {source}: {step.reason}",
                rule=step.kind,
                group=f"{step.kind} {source}",
                profile=entry.profile["key"],
                confidence=1.0 if step.measured else entry.confidence,
                before={"vm": source},
                after={"vm": target},
                effect={
                    "peak_before": round(step.peak_before, 4),
                    "peak_after": round(step.peak_after, 4),
                    "target_peak_after": round(float(pict.cell.packer.used_of(moved.target).max()), 4),
                    "gain": round(step.gain, 4),
                    "move_seconds": round(moves.move_cost(pict.cell, moved.guest), 2),
                },
            )
        )


def add_new_vm(proposal: Proposal, stuck: Sequence[Hot]) -> None:
    """VMs that nothing could relieve: ask for a new one, once, with the reasons."""
    if not stuck:
        return
    pict = proposal.pict
    names = [pict.keys[one.vm] for one in stuck]
    reasons = "; ".join(f"{pict.keys[one.vm]} {one.why}" for one in stuck)
    forecast = {one.vm for one in stuck if not one.measured}
    proposal.actions.append(
        Action(
            "vm",
            "",
            f"no VM can take enough of what is too much: {reasons}",
            rule="relieve",
            group="new VM",
            confidence=min((entry.confidence for entry in pict.entries if entry.vm in forecast), default=1.0),
            after={"vms": 1},
            effect={"relieves": names},
        )
    )
