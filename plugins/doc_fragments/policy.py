# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The policy option; module_utils/_planning/policy.py holds the values and their kinds."""

    DOCUMENTATION = r"""
options:
  policy:
    description:
      - The numbers that decisions depend on. What is left out has its default, which is named with its reason.
      - An unknown key, a value out of range and a policy that contradicts itself are refused.
    type: dict
    suboptions:
      packing:
        description: How the room of a VM is judged, and how the VM of a tenant is chosen.
        type: dict
        suboptions:
          windows:
            description:
              - >-
                Number of windows into which the horizon is divided; room is needed in each of them.
              - >-
                The default is V(24). An hour each separates day from night and keeps a thousand VMs quick to
                search.
            type: int
          horizon:
            description:
              - >-
                How far ahead room is needed.
              - >-
                The default is V(1d). A day sees every daily peak once.
            type: str
          fill:
            description:
              - >-
                Share of a capacity that the peak of all tenants together may reach.
              - >-
                The default is V(0.9). A tenth is left for what no forecast knows.
            type: float
          sigma:
            description:
              - >-
                Standard deviations of the pooled demand that must fit above its mean.
              - >-
                The default is V(3). Three leave a tenth of a percent of the time for a normal distribution.
            type: float
          correlation:
            description:
              - >-
                How far tenants of one workload vary together, V(0) not at all, V(1) in step.
              - >-
                The default is V(0.3). Replicas share their users, but not every burst.
            type: float
          novelty:
            description:
              - >-
                How much more a tenant counts that has one day of history, as a share; half of it with two days, a
                third with three.
              - >-
                The default is V(0.12). One day says little about the next; on real traces an eighth more kept
                overload below a tenth of a percent.
            type: float
          memory_overcommit:
            description:
              - >-
                How far the memory maxima of all tenants together may exceed the memory of the VM.
              - >-
                The default is V(1.5). Peaks at different hours share memory; what a tenant needs is protected by
                its low limit.
            type: float
          strategy:
            description:
              - >-
                V(pack) fills VMs one after the other, V(even) fills as few VMs evenly, V(spread) takes the
                emptiest.
              - >-
                The default is V(pack). Full VMs leave others free to be switched off.
            type: str
            choices: [pack, even, spread]
          proximity:
            description:
              - >-
                How much better a VM counts that holds what a tenant depends on or wants to be near; a third of it
                for its zone, two thirds for its host.
              - >-
                The default is V(0.2). Enough to win between VMs that fit about equally well, not enough to break
                up a good packing.
            type: float
          incumbent:
            description:
              - >-
                How much better the VM counts in which a tenant ran before.
              - >-
                The default is V(0.05). What it read is still cached there.
            type: float
      sizing:
        description: How the limits of a tenant follow from its forecast.
        type: dict
        suboptions:
          cpu_quantile:
            description:
              - >-
                The quantile of the CPU forecast by which a tenant is sized.
              - >-
                The default is V(0.95). CPU can be throttled for a moment without harm.
            type: float
          memory_quantile:
            description:
              - >-
                The quantile of the memory forecast by which a tenant is sized.
              - >-
                The default is V(0.99). Memory cannot be taken back without harm.
            type: float
          cpu_margin:
            description:
              - >-
                What is added to the CPU quantile, as a share of it.
              - >-
                The default is V(0.2). It keeps a tenant below the watermark at which it would be resized.
            type: float
          memory_margin:
            description:
              - >-
                What is added to the memory quantile, as a share of it.
              - >-
                The default is V(0.15). The margin that vertical autoscalers have settled on.
            type: float
          io_margin:
            description:
              - >-
                What is added to the I/O quantile, as a share of it.
              - >-
                The default is V(1). I/O comes in bursts.
            type: float
          distrust:
            description:
              - >-
                How much wider margins become when a forecast deserves no trust, as a share.
              - >-
                The default is V(0.5). A profile without a good backtest gets half as much again.
            type: float
          cpu_floor:
            description:
              - >-
                The least CPU limit.
              - >-
                The default is V(0.05). Below it a sandbox takes seconds to answer.
            type: str
          memory_floor:
            description:
              - >-
                The least memory limit, at least V(48MiB).
              - >-
                The default is V(64MiB). A gVisor sandbox needs about 48 MiB to live.
            type: str
          io_floor:
            description:
              - >-
                The least I/O limit, where there is one.
              - >-
                The default is V(1MB). Below it a sandbox takes long to start.
            type: str
          unknown_cpu:
            description:
              - >-
                CPU of a workload that nothing is known of, when no other profile is known either.
              - >-
                The default is V(0.25). A quarter of a core runs most scripts.
            type: str
          unknown_memory:
            description:
              - >-
                Memory of a workload that nothing is known of, when no other profile is known either.
              - >-
                The default is V(128MiB). Twice the floor.
            type: str
          class_quantile:
            description:
              - >-
                The quantile of the known profiles by which an unknown workload is sized; it is widened by 1 +
                1/days of history.
              - >-
                The default is V(0.9). Nine of ten newcomers fit at once.
            type: float
          pids:
            description:
              - >-
                The most processes of a tenant.
              - >-
                The default is V(256). gVisor needs about 60 for itself.
            type: int
      resize:
        description: When the limits of a tenant change in place, and by how much.
        type: dict
        suboptions:
          enabled:
            description:
              - >-
                Whether limits change at all.
              - >-
                The default is V(true). Resizing in place is the cheapest correction.
            type: bool
          lead:
            description:
              - >-
                How far ahead the forecast is asked before limits are raised.
              - >-
                The default is V(30m). Six checks of five minutes.
            type: str
          high:
            description:
              - >-
                Share of a limit above which it is raised.
              - >-
                The default is V(0.85). The rest is what a burst needs until the next run.
            type: float
          low:
            description:
              - >-
                Share of a limit below which it may be lowered.
              - >-
                The default is V(0.6). Far enough below the high watermark that a change does not bring the next
                one.
            type: float
          check:
            description:
              - >-
                Length of one check of the measured usage.
              - >-
                The default is V(5m). The usual interval of measurements.
            type: str
          up_after:
            description:
              - >-
                Checks in a row above the high watermark before a limit is raised.
              - >-
                The default is V(2). One check is noise.
            type: int
          down_after:
            description:
              - >-
                Checks in a row below the low watermark before a limit is lowered.
              - >-
                The default is V(6). Lowering can wait.
            type: int
          dead_band:
            description:
              - >-
                Changes smaller than this share of a limit are not made.
              - >-
                The default is V(0.1). They cost a run and gain nothing.
            type: float
          dead_band_cpu:
            description:
              - >-
                Changes of CPU smaller than this are not made.
              - >-
                The default is V(0.02). Less cannot be measured.
            type: str
          dead_band_memory:
            description:
              - >-
                Changes of memory smaller than this are not made.
              - >-
                The default is V(8MiB). Less is within the noise of the page cache.
            type: str
          dead_band_io:
            description:
              - >-
                Changes of I/O smaller than this are not made.
              - >-
                The default is V(500kB). Less is within the noise.
            type: str
          step_up:
            description:
              - >-
                The most that a limit grows in a run, as a share of it.
              - >-
                The default is V(1). Doubling reaches any size in a few runs, and no wrong forecast takes a VM at
                once.
            type: float
          step_down:
            description:
              - >-
                The most that a limit shrinks in a run, as a share of it.
              - >-
                The default is V(0.25). A mistake is small and is seen before the next step.
            type: float
          memory_keep:
            description:
              - >-
                Days whose 99 % quantile of memory is never cut off.
              - >-
                The default is V(7d). A week has every weekly job in it.
            type: str
          memory_keep_margin:
            description:
              - >-
                Memory is never cut below the present use times this.
              - >-
                The default is V(1.15). Cutting below use ends a sandbox.
            type: float
          pressure_cpu:
            description:
              - >-
                Share of CPU pressure above which the CPU limit is raised.
              - >-
                The default is V(0.2). A fifth of the time waiting is felt.
            type: float
          pressure_memory:
            description:
              - >-
                Share of memory pressure above which the memory limit is raised.
              - >-
                The default is V(0.1). Memory stalls hurt more than waiting for CPU.
            type: float
          pressure_io:
            description:
              - >-
                Share of I/O pressure above which the I/O limit is raised.
              - >-
                The default is V(0.2). A fifth of the time waiting is felt.
            type: float
          throttled:
            description:
              - >-
                Share of throttled periods above which the CPU limit is raised.
              - >-
                The default is V(0.1). Short bursts are throttled now and then by design.
            type: float
          cooldown:
            description:
              - >-
                How long after a resize no limit of the tenant is lowered.
              - >-
                The default is V(10m). Its effect must be seen first.
            type: str
      move:
        description: When tenants change their VM, and how many of them.
        type: dict
        suboptions:
          enabled:
            description:
              - >-
                Whether tenants are moved at all.
              - >-
                The default is V(true). Moves are guarded well enough.
            type: bool
          lead:
            description:
              - >-
                How far ahead the forecast is asked whether a VM becomes too full.
              - >-
                The default is V(30m). Moves take minutes.
            type: str
          quantile:
            description:
              - >-
                The quantile of the forecast that is held against the high watermark, from V(0.5).
              - >-
                The default is V(0.9). Nine of ten times it is not exceeded.
            type: float
          high:
            description:
              - >-
                Share of a capacity above which a VM is relieved; not below O(policy.packing.fill).
              - >-
                The default is V(0.95). What admission fills must not be moved at once.
            type: float
          low:
            description:
              - >-
                Share of a capacity below which a VM may be emptied.
              - >-
                The default is V(0.6). Fuller ones are not worth the moves.
            type: float
          hold:
            description:
              - >-
                Checks above the high watermark, of O(policy.move.hold_of), before a VM counts as too full.
              - >-
                The default is V(3). Bursts of one or two checks pass.
            type: int
          hold_of:
            description:
              - >-
                Number of checks looked at.
              - >-
                The default is V(5). Less than half an hour.
            type: int
          per_run:
            description:
              - >-
                The most moves in a run, as a share of the tenants; one is always allowed.
              - >-
                The default is V(0.05). A wrong plan stays small.
            type: float
          per_hour:
            description:
              - >-
                The most moves in an hour, as a share of the tenants.
              - >-
                The default is V(0.1). Two runs worth.
            type: float
          per_day:
            description:
              - >-
                The most moves in a day, as a share of the tenants.
              - >-
                The default is V(0.5). Half a move for each tenant and day is where users begin to complain.
            type: float
          inflow:
            description:
              - >-
                The most tenants that enter a VM in a run.
              - >-
                The default is V(2). Starting sandboxes takes CPU from those that are there.
            type: int
          cooldown:
            description:
              - >-
                How long a tenant stays after it was moved.
              - >-
                The default is V(6h). A quarter of a day keeps a tenant through any one peak.
            type: str
          return_within:
            description:
              - >-
                How long a tenant does not go back to where it came from.
              - >-
                The default is V(1d). A day, so that no daily rhythm turns into a daily move.
            type: str
          return_gain:
            description:
              - >-
                Unless the gain is this many times the gain of the move before; V(0) for never.
              - >-
                The default is V(0). People forgive a move, but not a way back.
            type: float
          min_gain:
            description:
              - >-
                The least improvement of the score of the VMs that are touched.
              - >-
                The default is V(0.05). Less is within the error of the forecast.
            type: float
          give_up_after:
            description:
              - >-
                Useless or failed moves of a tenant in a row after which it is left alone.
              - >-
                The default is V(2). Two are no accident.
            type: int
          backoff:
            description:
              - >-
                How long it is left alone then; it doubles with each further one.
              - >-
                The default is V(1h). An hour, then two, then four.
            type: str
          freeze:
            description:
              - >-
                Spans in UTC without moves, such as V(22:00-06:00) or V(mon-fri 08:00-18:00).
              - >-
                The default is an empty list. Empty, since only the site knows them.
            type: list
            elements: str
          pins:
            description:
              - >-
                Tenants or profiles that are never moved or removed for others.
              - >-
                The default is an empty list. Empty, since only the site knows them.
            type: list
            elements: str
      consolidation:
        description: When a whole VM is emptied.
        type: dict
        suboptions:
          enabled:
            description:
              - >-
                Whether VMs are emptied at all.
              - >-
                The default is V(true). Empty VMs can be switched off.
            type: bool
          ratio:
            description:
              - >-
                The least share of VM hours saved over the share of disruption caused.
              - >-
                The default is V(0.5). Half is what cluster autoscalers settled on.
            type: float
          lead:
            description:
              - >-
                No VM is emptied that is forecast to be busy, above C(move.low), within this time.
              - >-
                The default is V(30m). It would be needed again at once.
            type: str
          per_run:
            description:
              - >-
                The most VMs that a run empties.
              - >-
                The default is V(1). One, so that its effect is seen before the next.
            type: int
          headroom:
            description:
              - >-
                Whether the other VMs must keep room for all that the fullest of them holds.
              - >-
                The default is V(true). One VM can always be lost.
            type: bool
          fixed_cost:
            description:
              - >-
                Cost of any move.
              - >-
                The default is V(5s). Stop, start, and the run that does it.
            type: str
          bandwidth:
            description:
              - >-
                Bandwidth by which the memory of a tenant is turned into a cost of its move.
              - >-
                The default is V(100MB). A gigabit link.
            type: str
          priority_cost:
            description:
              - >-
                Additional cost of moving a tenant of priority 100; others in proportion.
              - >-
                The default is V(10s). Twice the fixed cost.
            type: str
          warmth_cost:
            description:
              - >-
                Cost of the caches that a tenant loses.
              - >-
                The default is V(30s). Half a minute until it is warm again.
            type: str
      shadow:
        description: Which shadows are worth holding, for how long, and how many of them.
        type: dict
        suboptions:
          enabled:
            description:
              - >-
                Whether shadows are held.
              - >-
                The default is V(true). They cost next to nothing.
            type: bool
          cap:
            description:
              - >-
                The most that all shadows together hold, as a share of the memory that tenants leave free.
              - >-
                The default is V(0.1). Tenants come first.
            type: float
          lead:
            description:
              - >-
                How long before the earliest expected moment a shadow is due, and after the latest it is given up.
              - >-
                The default is V(5m). The interval of the runs.
            type: str
          ahead:
            description:
              - >-
                Requests expected within this time get a shadow.
              - >-
                The default is V(2h). Beyond it, a later run is early enough.
            type: str
          ttl:
            description:
              - >-
                The longest that a shadow waits.
              - >-
                The default is V(2h). A wrong forecast costs two hours of a few MiB.
            type: str
          cold_start:
            description:
              - >-
                How long a cold start takes.
              - >-
                The default is V(3s). Measured for gVisor in a small VM.
            type: str
          memory:
            description:
              - >-
                What a frozen shadow holds.
              - >-
                The default is V(8MiB). Measured 1 to 2 MiB, with room to spare.
            type: str
          confidence:
            description:
              - >-
                The least chance that a scheduled request comes. Without a schedule the costs alone decide.
              - >-
                The default is V(0.5). More often used than not.
            type: float
          second_cost:
            description:
              - >-
                What a second of waiting for a cold start is worth, in gibibytes held for a second.
              - >-
                The default is V(60). A second that somebody waits is worth a minute of a gibibyte.
            type: float
      preempt:
        description: Who gives way when there is no room.
        type: dict
        suboptions:
          shadows:
            description:
              - >-
                Whether shadows are given up before a tenant is refused.
              - >-
                The default is V(true). A shadow is a guess, a request is not.
            type: bool
          tenants:
            description:
              - >-
                Whether tenants are removed for more important ones.
              - >-
                The default is V(false). It ends work, so the site must want it.
            type: bool
          priority_gap:
            description:
              - >-
                How much higher the priority must be.
              - >-
                The default is V(20). Neighbouring priorities do not fight.
            type: int
      plan:
        description: How long a plan stands, and how its effect is judged.
        type: dict
        suboptions:
          expires:
            description:
              - >-
                How long a recommended plan can be applied.
              - >-
                The default is V(1h). What was planned on an hour ago has changed.
            type: str
          verify_after:
            description:
              - >-
                Lead times after which the effect of a plan is judged.
              - >-
                The default is V(2). Two, so that the peak it was made for is over.
            type: float
          worse:
            description:
              - >-
                How much worse than without it a change may have made its VMs until it counts as a mistake.
              - >-
                The default is V(0.05). Less is noise.
            type: float
          rollback:
            description:
              - >-
                Whether a change that made things worse is taken back.
              - >-
                The default is V(true). What does not help is undone.
            type: bool
      overrides:
        description:
          - Other values for a cell, for the VMs whose label C(group) is given, or for a profile.
          - An override with several selectors applies where all of them do. Later ones win.
        type: list
        elements: dict
        suboptions:
          cell:
            description: The cell.
            type: str
          group:
            description: The group of VMs. It can set O(policy.packing.fill).
            type: str
          profile:
            description:
              - The profile.
              - It can set what belongs to a tenant, the sections C(sizing), C(resize), C(move) and C(shadow), but not
                what belongs to the cell, like watermarks, budgets and the cap of shadows.
            type: str
          set:
            description: The values, as sections with keys, like the policy itself.
            type: dict
            required: true
"""
