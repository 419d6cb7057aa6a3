"""Compares the sections of a report about one snapshot with its records.

report_state.py SNAPSHOT REPORT.html prints each section with its number of rows, and
each difference. It computes the rows from the NDJSON files, and shares no code with
oktasync.
"""

import datetime
import html.parser
import json
import os
import subprocess
import sys

OPEN = ("ACTIVE", "PASSWORD_EXPIRED", "RECOVERY", "LOCKED_OUT")


def records(folder, resource):
    path = os.path.join(folder, resource + ".ndjson.zst")
    if not os.path.exists(path):
        return None
    data = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    return [json.loads(line) for line in data.splitlines()]


class Report(html.parser.HTMLParser):
    """The cells of each section, by its id. The value is None if it isn't computed."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.sections, self.rows, self.cell = {}, None, None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "h2" and "id" in attrs:
            self.rows = self.sections.setdefault(attrs["id"], [])
            self.id = attrs["id"]
        elif tag == "p" and attrs.get("class") == "missing":
            self.sections[self.id] = None
        elif tag == "tr" and self.rows is not None:
            self.rows.append([])
        elif tag in ("td", "th"):
            self.cell = ""

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append(self.cell)
            self.cell = None


def time_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class Snapshot:
    def __init__(self, folder):
        with open(os.path.join(folder, "manifest.json")) as f:
            self.started = time_of(json.load(f)["read"]["started"])
        for resource in ("users", "factors", "groups", "group_members", "apps", "app_users"):
            setattr(self, resource, records(folder, resource))

    def days(self, text):
        return (self.started - time_of(text)).days if text else ""

    def older(self, text, days):
        return bool(text) and self.started - time_of(text) > datetime.timedelta(days=days)

    def row(self, user, *more):
        p = user["profile"]
        full = ((p.get("firstName") or "") + " " + (p.get("lastName") or "")).strip()
        cells = [p.get("login"), p.get("displayName") or full, user["status"], p.get("department"),
                 p.get("manager") or p.get("managerId"), user.get("lastLogin"), user.get("created"), *more, user["id"]]
        return ["" if c is None else str(c) for c in cells]

    def expected(self):
        """The rows of each section, with the time by which they are sorted."""
        result = {id: [] for id in ("no-factor", "dormant", "never-signed-in", "unused", "locked", "suspended",
                                    "deprovisioned-with-access", "no-manager", "manager-left")}
        active = {f["user_id"] for f in self.factors or [] if f["status"] == "ACTIVE"}
        held = self.held()
        for u in self.users:
            status, last, changed, created = u["status"], u.get("lastLogin"), u.get("statusChanged"), u.get("created")
            changed = changed or ""
            if status == "ACTIVE" and u["id"] not in active:
                result["no-factor"].append(("", self.row(u)))
            if status in OPEN and self.older(last, 90):
                result["dormant"].append((last, self.row(u, self.days(last))))
            if status in OPEN and not last:
                result["never-signed-in"].append((created, self.row(u, self.days(created))))
            since = changed or created
            if status in ("STAGED", "PROVISIONED") and self.older(since, 30):
                result["unused"].append((since, self.row(u, since, self.days(since))))
            for id, wanted in (("locked", "LOCKED_OUT"), ("suspended", "SUSPENDED")):
                if status == wanted:
                    result[id].append((changed, self.row(u, changed, self.days(changed))))
            groups, apps = held.get(u["id"], ([], []))
            if status == "DEPROVISIONED" and groups + apps:
                counts = ["" if self.group_members is None else len(groups), "" if self.app_users is None else len(apps)]
                names = (groups + apps)[:10]
                more = len(groups + apps) - len(names)
                text = "; ".join(names) + (f"; and {more} more" if more else "")
                result["deprovisioned-with-access"].append((changed, self.row(u, changed, self.days(changed), *counts, text)))
            manager = [u["profile"].get(a) for a in ("managerId", "manager") if u["profile"].get(a)]
            if status != "DEPROVISIONED" and not manager:
                result["no-manager"].append(("", self.row(u)))
            why = self.left(manager)
            if status != "DEPROVISIONED" and why:
                result["manager-left"].append(("", self.row(u, *why)))
        if self.factors is None:
            result["no-factor"] = None
        return result

    def held(self):
        """The names of the groups and apps of each user."""
        held = {}
        groups = {g["id"]: g for g in self.groups or []}
        for m in self.group_members or []:
            g = groups[m["group_id"]]
            if (g["type"], g["profile"]["name"]) != ("BUILT_IN", "Everyone"):
                held.setdefault(m["user_id"], ([], []))[0].append("group " + g["profile"]["name"])
        labels = {a["id"]: a["label"] for a in self.apps or []}
        for a in self.app_users or []:
            held.setdefault(a["user_id"], ([], []))[1].append("app " + labels[a["app_id"]])
        return held

    def statuses(self, text):
        """The statuses of the users that have an id or a name."""
        text = text.lower()
        for key in ("id", "login", "email", "employeeNumber", "name"):
            found = []
            for u in self.users:
                p = u["profile"]
                full = p.get("displayName") or ((p.get("firstName") or "") + " " + (p.get("lastName") or "")).strip()
                value = {"id": u["id"], "name": full}.get(key, p.get(key))
                if value and value.lower() == text:
                    found.append(u["status"])
            if found:
                return found
        return []

    def left(self, manager):
        for text in manager:
            found = self.statuses(text)
            if found:
                return (text, "DEPROVISIONED") if set(found) == {"DEPROVISIONED"} else None
        return (manager[0], "not recorded") if manager else None


def main():
    snapshot, report = Snapshot(sys.argv[1]), Report()
    with open(sys.argv[2], encoding="utf-8") as f:
        report.feed(f.read())
    different = False
    for id, rows in snapshot.expected().items():
        want = None if rows is None else [row for _, row in sorted(rows, key=lambda r: r[0] or "")]
        got = report.sections.get(id, "no section")
        if isinstance(got, list):
            got = got[1:]
        print(id, "not computed" if want is None else len(want))
        if got != want:
            different = True
            print(f"  the report has {len(got) if isinstance(got, list) else got}")
            for row in got or []:
                if row not in (want or []):
                    print("  only in the report: ", row)
            for row in want or []:
                if row not in (got or []):
                    print("  only in the records:", row)
    sys.exit(1 if different else 0)


main()
