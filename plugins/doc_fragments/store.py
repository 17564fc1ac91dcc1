# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The store option; _flow/arguments.py holds the argument spec that it mirrors."""

    DOCUMENTATION = r"""
options:
  store:
    description:
      - Where profiles, history, tenants and plans are kept.
      - C(sqlite:///path/store.db) is the embedded store, C(mongodb://...) a MongoDB server.
      - The default is C(store.db) in the user's state directory, C($XDG_STATE_HOME/predictive.tenancy).
      - If it is not set, the environment variable E(TENANCY_STORE) is used.
        Give a MongoDB URI with a password that way, so that it is in no playbook.
    type: str
requirements:
  - pymongo >= 4.6 for a C(mongodb://) store
"""
