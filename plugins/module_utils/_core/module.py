# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AnsibleModule as the collection's modules use it: what is wrong inside a list names the item of the list, and values
of sandboxes' environments are neither logged nor part of a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

_SHOWN = 3
_ENVIRONMENT = "env"
_HIDDEN = "(hidden)"
_LABELS = ("name", "id", "key", "path", "profile", "workload", "tenant", "vm")


def _label(item: Mapping[str, Any]) -> str:
    named = [str(item[key]) for key in _LABELS if isinstance(item.get(key), (str, int))]
    return f" ({named[0][:60]})" if named else ""


def _given(value: Any) -> Any:
    # ansible-core fills in None for what is missing, which would pass for given.
    if isinstance(value, Mapping):
        return {key: _given(item) for key, item in value.items() if item is not None}
    return [_given(item) for item in value] if isinstance(value, list) else value


def bad_items(spec: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[str]:
    """``profiles[1] (web)`` for each item of a list of dictionaries that its argument spec refuses."""
    for option, described in spec.items():
        given = params.get(option)
        if described.get("elements") != "dict" or "options" not in described or not isinstance(given, list):
            continue
        for index, item in enumerate(given):
            if not isinstance(item, Mapping):
                yield f"{option}[{index}]"
            elif ArgumentSpecValidator(deepcopy(described["options"])).validate(_given(item)).error_messages:
                yield f"{option}[{index}]{_label(item)}"


def without_secrets(value: Any) -> Any:
    """Options as they may be shown: of an environment its names. ``no_log`` would hide its values wherever they occur
    in a result, which for values like 1 or web is nearly everywhere."""
    if isinstance(value, Mapping):
        return {key: _names(item) if key == _ENVIRONMENT else without_secrets(item) for key, item in value.items()}
    return [without_secrets(item) for item in value] if isinstance(value, (list, tuple)) else value


def _names(environment: Any) -> Any:
    if isinstance(environment, Mapping):
        return dict.fromkeys(environment, _HIDDEN)
    return None if environment is None else _HIDDEN


class TenancyModule(AnsibleModule):
    """ansible-core says which key or value inside a list is wrong, not in which item; this says it. And ansible-core
    writes all options to the machine's log and into the result (``invocation``, which a registered variable and AWX
    keep); this leaves the values of environments out."""

    params: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        self._accepted = False
        super().__init__(**options)
        self._accepted = True

    def fail_json(self, msg: str, **kwargs: Any) -> None:
        """Fail; where items of a list were refused, they stand before the message."""
        found = [] if self._accepted else list(bad_items(self.argument_spec, self.params))
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            msg = f"{', '.join(found[:_SHOWN])}{more}: {msg} (nothing was done: correct it and run again)"
        super().fail_json(msg=msg, **self._with_invocation(kwargs))

    def exit_json(self, **kwargs: Any) -> None:
        """Leave the module with a result."""
        super().exit_json(**self._with_invocation(kwargs))

    def _with_invocation(self, result: dict[str, Any]) -> dict[str, Any]:
        return {"invocation": {"module_args": without_secrets(self.params)}, **result}

    def _log_invocation(self, *args: Any, **kwargs: Any) -> None:
        # It logs self.params and takes nothing else; what it will take in a later release goes through.
        given: dict[str, Any] = self.params
        self.params = without_secrets(given)
        try:
            super()._log_invocation(*args, **kwargs)
        finally:
            self.params = given
