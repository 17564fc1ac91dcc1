# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server that behaves as AWX 24.6 does in what the collection awx.awx uses of it: names are unique, relations
must exist, secrets are written and never read, a template's playbook must be in its project, required survey answers
must be given to schedules and workflow nodes. What it refuses it refuses with status 400 and a reason, as AWX does."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SECRET = "$encrypted$"
# Kinds, and the fields that make one unique beside its name.
UNIQUE = {
    "organizations": (),
    "instance_groups": (),
    "execution_environments": (),
    "credential_types": (),
    "credentials": ("organization", "credential_type"),
    "projects": ("organization",),
    "inventories": ("organization",),
    "inventory_sources": ("inventory",),
    "job_templates": ("organization",),
    "workflow_job_templates": ("organization",),
    "workflow_job_template_nodes": ("workflow_job_template", "identifier"),
    "workflow_approval_templates": ("id",),
    "schedules": ("unified_job_template",),
}
RELATIONS = {
    "organization": "organizations",
    "credential_type": "credential_types",
    "project": "projects",
    "source_project": "projects",
    "inventory": "inventories",
    "execution_environment": "execution_environments",
    "default_environment": "execution_environments",
    "workflow_job_template": "workflow_job_templates",
    "credential": "credentials",
}
TEMPLATES = ("job_templates", "workflow_job_templates", "projects", "inventory_sources", "workflow_approval_templates")


class Refused(Exception):
    """A request that AWX refuses."""


class Awx:
    """The objects of an AWX. ``playbooks`` are the files of its projects; ``writes`` counts what changed anything."""

    def __init__(self, playbooks: Iterable[str]) -> None:
        self.playbooks = set(playbooks)
        self.objects: dict[str, dict[int, dict[str, Any]]] = {kind: {} for kind in UNIQUE}
        self.links: dict[tuple[str, int, str], list[int]] = {}
        self.surveys: dict[int, dict[str, Any]] = {}
        self.secrets: dict[int, dict[str, Any]] = {}
        self.writes: list[str] = []
        self.number = 0
        for kind, name in (("organizations", "Default"), ("instance_groups", "north hall")):
            self.create(kind, {"name": name})
        self.writes.clear()

    # -- what tests ask -----------------------------------------------------------------------------------------------
    def named(self, kind: str) -> dict[str, dict[str, Any]]:
        return {one.get("name") or one["identifier"]: one for one in self.objects[kind].values()}

    def linked(self, kind: str, name: str, link: str) -> list[str]:
        one = self.named(kind)[name]
        target = "workflow_job_template_nodes" if link.endswith("_nodes") else link
        found = (self.objects[target][number] for number in self.links.get((kind, one["id"], link), []))
        return [item.get("name") or item["identifier"] for item in found]

    # -- what AWX does ------------------------------------------------------------------------------------------------
    def template(self, number: int) -> dict[str, Any]:
        for kind in TEMPLATES:
            if number in self.objects[kind]:
                return self.objects[kind][number]
        raise Refused({"unified_job_template": [f'Invalid pk "{number}" - object does not exist.']})

    def shown(self, kind: str, one: dict[str, Any]) -> dict[str, Any]:
        """An object as the API shows it."""
        url = f"/api/v2/{kind}/{one['id']}/"
        related = {name: f"{url}{name}/" for name in ("survey_spec", "credentials", "instance_groups")}
        told = {**one, "url": url, "type": kind.rstrip("s"), "related": related, "summary_fields": {}}
        if kind == "credentials":
            told["inputs"] = {**one.get("inputs", {}), **dict.fromkeys(self.secrets.get(one["id"], ()), SECRET)}
        if kind == "projects":
            related["current_update"] = None
            told.update(status="successful", scm_revision="a" * 40)
        if kind == "workflow_job_template_nodes" and one.get("unified_job_template"):
            related["unified_job_template"] = self.address(one["unified_job_template"])
            told["summary_fields"] = {"unified_job_template": {"unified_job_type": self.type(one)}}
        return told

    def address(self, number: int) -> str:
        kind = next(kind for kind in TEMPLATES if number in self.objects[kind])
        return f"/api/v2/{kind}/{number}/"

    def type(self, node: dict[str, Any]) -> str:
        approval = node["unified_job_template"] in self.objects["workflow_approval_templates"]
        return "workflow_approval" if approval else "job"

    def check(self, kind: str, one: dict[str, Any]) -> None:
        for field, target in RELATIONS.items():
            if one.get(field) is not None and one[field] not in self.objects[target]:
                raise Refused({field: [f'Invalid pk "{one[field]}" - object does not exist.']})
        fields = ("name", *UNIQUE[kind])
        same = [
            other
            for other in self.objects[kind].values()
            if other["id"] != one["id"] and all(other.get(field) == one.get(field) for field in fields)
        ]
        if same:
            raise Refused({"__all__": [f"{kind} with this {' and '.join(fields)} already exists."]})
        if kind == "job_templates" and one.get("playbook") not in self.playbooks:
            raise Refused({"playbook": ["Playbook not found for project."]})
        if kind == "credential_types" and "{{" not in json.dumps(one.get("injectors", {})):
            raise Refused({"injectors": ["an injector that names no field: was it templated before it came here?"]})
        if kind in ("schedules", "workflow_job_template_nodes") and one.get("unified_job_template"):
            self.answered(one)
        if kind == "schedules" and not re.match(
            r"DTSTART:\d{8}T\d{6}Z RRULE:FREQ=\w+;INTERVAL=\d+$", one.get("rrule", "")
        ):
            raise Refused({"rrule": ["a valid rrule needs DTSTART, FREQ and INTERVAL."]})

    def answered(self, one: dict[str, Any]) -> None:
        target = self.template(one["unified_job_template"])
        questions = self.surveys.get(target["id"], {}).get("spec", [])
        given = one.get("extra_data") or {}
        missing = [q["variable"] for q in questions if q["required"] and q["variable"] not in given]
        if missing:
            raise Refused({"variables_needed_to_start": [f"'{name}' value missing" for name in missing]})

    def create(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        self.number += 1
        one = {"id": self.number, "description": "", **data}
        self.check(kind, one)
        self.keep(kind, one)
        return one

    def update(self, kind: str, number: int, data: dict[str, Any]) -> dict[str, Any]:
        one = {**self.objects[kind][number], **data}
        self.check(kind, one)
        self.keep(kind, one)
        return one

    def keep(self, kind: str, one: dict[str, Any]) -> None:
        if kind == "credentials":
            fields = self.objects["credential_types"][one["credential_type"]]["inputs"]["fields"]
            hidden = {field["id"] for field in fields if field.get("secret")}
            given = one.get("inputs", {})
            self.secrets[one["id"]] = {key: value for key, value in given.items() if key in hidden}
            one = {**one, "inputs": {key: value for key, value in given.items() if key not in hidden}}
        self.objects[kind][one["id"]] = one
        self.writes.append(f"{kind} {one.get('name') or one.get('identifier')}")

    def survey(self, number: int, spec: dict[str, Any]) -> None:
        for question in spec["spec"]:
            wanted = {"question_name", "question_description", "variable", "type", "required", "default", "choices"}
            if not wanted <= set(question):
                raise Refused({"error": f"survey question lacks {sorted(wanted - set(question))}"})
            if question["type"] == "multiplechoice" and question["default"] not in question["choices"]:
                raise Refused({"error": "the default is no choice"})
        self.surveys[number] = spec
        self.writes.append(f"survey {number}")

    def link(self, key: tuple[str, int, str], data: dict[str, Any]) -> None:
        present = self.links.setdefault(key, [])
        if data.get("disassociate"):
            present.remove(data["id"])
        elif data["id"] not in present:
            present.append(data["id"])
        self.writes.append(f"link {key}")


class Handler(BaseHTTPRequestHandler):
    """The HTTP side."""

    awx: Awx
    lock = threading.Lock()

    def log_message(self, *_arguments: object) -> None:
        """Nothing: tests print what matters."""

    def reply(self, status: int, body: Any = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-API-Product-Name", "AWX")
        self.send_header("X-API-Product-Version", "24.6.1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self) -> dict[str, Any]:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def serve(self, method: str) -> None:
        data = self.body() if method in ("POST", "PATCH") else {}
        parts = urlsplit(self.path)
        words = parts.path.removeprefix("/api/v2/").strip("/").split("/")
        if self.headers.get("Authorization") != "Bearer token-of-a-test":
            self.reply(401, {"detail": "Authentication credentials were not provided."})
            return
        with self.lock:
            try:
                self.reply(*self.answer(method, words, parse_qs(parts.query), data))
            except Refused as refused:
                self.reply(400, refused.args[0])
            except KeyError:
                self.reply(404, {"detail": "Not found."})

    def answer(
        self, method: str, words: list[str], query: dict[str, list[str]], data: dict[str, Any]
    ) -> tuple[int, Any]:
        awx, kind = self.awx, words[0]
        if kind == "ping":
            return 200, {"version": "24.6.1"}
        if kind == "unified_job_templates":
            everything = [(name, one) for name in TEMPLATES for one in awx.objects[name].values()]
            return listing([awx.shown(name, one) for name, one in everything], query)
        if len(words) == 1:
            if method == "POST":
                return 201, awx.shown(kind, awx.create(kind, data))
            return listing([awx.shown(kind, one) for one in awx.objects[kind].values()], query)
        one = awx.objects[kind][int(words[1])]
        if len(words) == 2:
            if method == "PATCH":
                one = awx.update(kind, one["id"], data)
            return 200, awx.shown(kind, one)
        return self.sub(method, kind, one, words[2], data)

    def sub(self, method: str, kind: str, one: dict[str, Any], name: str, data: dict[str, Any]) -> tuple[int, Any]:
        awx = self.awx
        if name == "survey_spec":
            if method == "POST":
                awx.survey(one["id"], data)
            return 200, awx.surveys.get(one["id"], {})
        if name == "create_approval_template":
            approval = awx.create("workflow_approval_templates", data)
            awx.update(kind, one["id"], {"unified_job_template": approval["id"]})
            return 201, awx.shown("workflow_approval_templates", approval)
        key = (kind, one["id"], name)
        if method == "POST":
            awx.link(key, data)
            return 204, None
        target = "workflow_job_template_nodes" if name.endswith("_nodes") else name
        return listing([awx.shown(target, awx.objects[target][number]) for number in awx.links.get(key, [])], {})

    def do_GET(self) -> None:
        self.serve("GET")

    def do_POST(self) -> None:
        self.serve("POST")

    def do_PATCH(self) -> None:
        self.serve("PATCH")


def listing(items: list[dict[str, Any]], query: dict[str, list[str]]) -> tuple[int, Any]:
    """A page of the items whose fields equal what is asked for."""

    def fits(item: dict[str, Any]) -> bool:
        asked = {key: values[0] for key, values in query.items() if key not in ("page_size", "page", "order_by")}
        either = {key.removeprefix("or__"): asked.pop(key) for key in list(asked) if key.startswith("or__")}
        return all(str(item.get(key)) == value for key, value in asked.items()) and (
            not either or any(str(item.get(key)) == value for key, value in either.items())
        )

    found = [item for item in items if fits(item)]
    return 200, {"count": len(found), "next": None, "previous": None, "results": found}


def start(awx: Awx) -> ThreadingHTTPServer:
    """Serve it on a free port of the loopback."""
    handler = type("Bound", (Handler,), {"awx": awx})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
