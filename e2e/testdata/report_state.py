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
        for resource in ("users", "factors", "groups", "group_members", "apps", "app_users", "role_assignments"):
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

    def administrators(self):
        """The paths to admin roles, without the columns that need earlier snapshots."""
        if self.role_assignments is None:
            return None
        rows = []
        users = {u["id"]: u for u in self.users}
        groups = {g["id"]: g["profile"]["name"] for g in self.groups}
        apps = {a["credentials"]["oauthClient"]["client_id"]: a["label"] for a in self.apps if (a.get("credentials") or {}).get("oauthClient")}
        for r in self.role_assignments:
            scope = "resource set" if r.get("resource_set_id") else "targets" if r.get("targets") else "ALL"
            kind, id = r["principal_type"], r["principal_id"]

            def add(holder, name, user, via, group):
                rows.append([str(c or "") for c in (holder, name, r.get("label"), scope, via, group, user and user["status"],
                                                   user and user.get("lastLogin"), kind, r["role_type"], r.get("status"))])

            def add_user(id, via, group):
                user = users[id]
                login, name = self.row(user)[:2]
                add(login, name, user, via, group)

            if kind == "USER":
                add_user(id, "direct", "")
            elif kind == "CLIENT":
                add(apps.get(id, id), apps.get(id), None, "direct", "")
            else:
                add(groups[id], "", None, "direct", groups[id])
                for m in self.group_members:
                    if m["group_id"] == id:
                        add_user(m["user_id"], "group", groups[id])
        return rows

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
    paths = snapshot.administrators()
    shown = report.sections["administrators"]
    print("administrators", "not computed" if paths is None else len(paths))
    if shown is not None:  # without note, first_seen, absent_in, granted_at_okta and key
        shown = [r[:8] + r[12:15] for r in shown[1:]]
    if (shown is None) != (paths is None) or paths and sorted(shown) != sorted(paths):
        different = True
        for row in shown or []:
            if row not in (paths or []):
                print("  only in the report: ", row)
        for row in paths or []:
            if row not in (shown or []):
                print("  only in the records:", row)
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


if __name__ == "__main__":
    main()
