#!/usr/bin/env python3
"""Compares the sections about a period in an HTML report with the files of a store.

usage: report_period.py EXPORT_DIR FROM TO REPORT.html

It reads the changes files, the records of the last snapshot and the journal, and shares no
code with oktasync. It prints the number of rows of each section, and each difference.
"""

import json
import os
import sys

sys.dont_write_bytecode = True
from report_state import Report, records, time_of

folder, first, last, report = sys.argv[1:]


def lines(*path):
    try:
        with open(os.path.join(folder, *path), encoding="utf-8") as f:
            return [json.loads(line) for line in f]
    except FileNotFoundError:
        return None


def path(record, dotted):
    for name in dotted.split("."):
        record = record.get(name) if isinstance(record, dict) else None
    return record


def value(record, dotted):
    found = path(record, dotted)
    return "none" if found is None else json.dumps(found, ensure_ascii=False, separators=(",", ":"))


last = os.path.basename(os.path.realpath(os.path.join(folder, last)))
pruned = os.path.join(folder, "pruned")
names = [n for n in os.listdir(folder) if n.endswith("Z")] + (os.listdir(pruned) if os.path.isdir(pruned) else [])
manifests = {}
for name in sorted(set(names)):
    where = name if os.path.isdir(os.path.join(folder, name)) else os.path.join("pruned", name)
    if first <= name <= last:
        with open(os.path.join(folder, where, "manifest.json"), encoding="utf-8") as f:
            manifests[name] = json.load(f)
        manifests[name]["where"] = where
period = [n for n in manifests if n > first]


def changes(*resources):
    for name in period:
        for resource in resources:
            for change in lines(manifests[name]["where"], resource + ".changes.ndjson") or []:
                yield name, resource, change


# Records of the last snapshot.
users = {u["id"]: u for u in records(os.path.join(folder, last), "users")}
groups = {g["id"]: g for g in records(os.path.join(folder, last), "groups")}
apps = {a["id"]: a for a in records(os.path.join(folder, last), "apps")}
everyone = [g["id"] for g in groups.values() if g["type"] == "BUILT_IN" and path(g, "profile.name") == "Everyone"]
edges = [(e["user_id"], "group") for e in records(os.path.join(folder, last), "group_members") if e["group_id"] not in everyone]
edges += [(e["user_id"], "app") for e in records(os.path.join(folder, last), "app_users")]

# Names of removed records.
name_of, removed = {}, {}
for name, resource, c in changes("users", "groups", "apps"):
    if c["op"] == "removed":
        removed[c["key"]["id"]] = c["before"]
        name_of[c["key"]["id"]] = c.get("login") or c.get("name")
for found, label in ((users, "profile.login"), (groups, "profile.name"), (apps, "label")):
    for key, record in found.items():
        name_of[key] = path(record, label)


def person(c):
    user = users.get(c["key"]["id"]) or removed[c["key"]["id"]]
    first_last = (str(path(user, "profile.firstName") or "") + " " + str(path(user, "profile.lastName") or "")).strip()
    return {
        "login": path(user, "profile.login"),
        "name": path(user, "profile.displayName") or first_last,
        "department": path(user, "profile.department") or "",
        "manager": path(user, "profile.manager") or path(user, "profile.managerId") or "",
        "status": user["status"] if c["key"]["id"] in users else "",
    }


def moved_paths(name, c):
    moved = manifests[name]["declared"]["users"]["changes"]["moved"]
    return [p for p in c["paths"] if any(p == m or p.startswith(m + ".") for m in moved)]


def changed(c, paths):
    return "; ".join(f"{p}: {value(c['before'], p)} -> {value(c['after'], p)}" for p in paths)


def days(start, end):
    return str((time_of(end) - time_of(start)).days) if start and end else ""


expected = {"administrator-changes": [], "leavers": [], "joiners": [], "movers": [], "manager-changes": [], "access-changes": [], "reads": [], "declarations": []}

ended = {}
for name, resource, c in changes("group_members", "app_users"):
    if c["op"] == "removed" and c["key"].get("group_id") not in everyone:
        ended[c["key"]["user_id"]] = manifests[name]["read"]["started"]

suspended = {}
for name, resource, c in changes("users"):
    user, kind = c["key"]["id"], c["kind"]
    row = dict(person(c), seen_in=name)
    if kind == "suspended":
        suspended[user] = c["after"]["statusChanged"]
    if kind in ("joined", "activated", "reactivated"):
        after = c["after"]
        at = {"joined": after.get("activated") or after.get("created"), "activated": after.get("activated"), "reactivated": after.get("statusChanged")}[kind]
        expected["joiners"].append(dict(row, event=kind, at_okta=at or ""))
    if kind in ("unsuspended", "reactivated"):
        suspended.pop(user, None)
    if kind == "moved":
        paths = moved_paths(name, c)
        section = "manager-changes" if set(paths) <= {"profile.manager", "profile.managerId"} else "movers"
        expected[section].append(dict(row, changes=changed(c, paths)))
    if kind in ("deactivated", "deleted"):
        before = c["before"]
        if before["status"] == "SUSPENDED":
            suspended[user] = before["statusChanged"]
        elif before["status"] != "DEPROVISIONED":
            suspended.pop(user, None)
        at = before["statusChanged"] if before["status"] == "DEPROVISIONED" else (c["after"] or {}).get("statusChanged", "")
        held = [kind for who, kind in edges if who == user]
        count = lambda noun: [] if noun not in held else [f"{held.count(noun)} {noun}" + ("s" if held.count(noun) > 1 else "")]
        expected["leavers"].append(dict(
            row, event=kind, suspended_at=suspended.get(user, ""), deactivated_at=at, days_suspended=days(suspended.get(user), at),
            access_ended_at="" if held else ended.get(user, "none in the period"), still_assigned=", ".join(count("group") + count("app")) or "0"))

for name, resource, c in changes("role_assignments"):
    whole = c["after"] or c["before"]
    scope = "" if "targets" not in whole else "targets" if whole["targets"] else "ALL"
    if c["key"]["resource_set_id"]:
        scope = "resource set"
    expected["administrator-changes"].append({
        "holder": name_of.get(c["key"]["principal_id"], c["key"]["principal_id"]), "holder_type": c["key"]["principal_type"].lower(), "event": c["kind"],
        "role": c["name"], "role_type": c["key"]["role_type"], "scope": scope, "changes": changed(c, c["paths"]),
        "at_okta": whole.get("created", "") if c["kind"] == "granted" else "", "seen_in": name})

ends = {"group_members": ("group", "user"), "app_users": ("app", "user"), "app_groups": ("app", "group")}
for name, resource, c in changes("group_members", "app_users", "app_groups"):
    if c["op"] == "changed":
        continue
    parent, other = ends[resource]
    whole = c["after"] or c["before"]
    at = {"group_members": None, "app_users": "created", "app_groups": "lastUpdated"}[resource] if c["op"] == "added" else None
    expected["access-changes"].append({
        "holder": name_of[c["key"][other + "_id"]], "holder_type": other, "event": c["kind"], "target": name_of[c["key"][parent + "_id"]], "target_type": parent,
        "via": {"USER": "direct", "GROUP": "group"}[whole["scope"]] if resource == "app_users" else "", "at_okta": whole.get(at) or "" if at else "", "seen_in": name})

# The journal.
journal = lines("journal.ndjson")
start = [i for i, e in enumerate(journal) if e["event"] == "published" and e["snapshot"] == first][0]
end = [i for i, e in enumerate(journal) if e["event"] == "published" and e["snapshot"] == last][0]
inside = journal[start + 1 : end + 1]
for e in inside:
    if e["event"] in ("published", "unchanged", "failed", "quarantined", "cancelled"):
        expected["reads"].append({"at": e["time"], "outcome": e["event"], "snapshot": e.get("snapshot", ""), "reason": e.get("error", "")})


def flat(prefix, object):
    for name, value in object.items():
        if isinstance(value, dict):
            yield from flat(prefix + name + ".", value)
        else:
            yield prefix + name, json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def facts(m):
    found = {"declared " + k: v for k, v in flat("", m["declared"])}
    tool = m["tool"]
    found["tool"] = f"{tool['name']} {tool['version']}, commit {tool['commit']}"
    found["client_id"], found["scopes"] = m["client"]["client_id"], " ".join(m["client"]["scopes"])
    found["dpop"], found["signing key"] = str(m["client"]["dpop"]).lower(), m["signed_by"] or "none"
    return found


circumstances = []
for before, after in zip(list(manifests.values()), list(manifests.values())[1:]):
    was, now = facts(before), facts(after)
    for key in sorted(set(was) | set(now)):
        if was.get(key) != now.get(key):
            circumstances.append({"at": after["signed"], "snapshot": after["snapshot"], "what": key, "before": was.get(key, ""), "after": now.get(key, ""), "by": "", "reason": ""})
    if after["run"]["override"]:
        o = after["run"]["override"]
        circumstances.append({"at": after["signed"], "snapshot": after["snapshot"], "what": "guard override", "before": "", "after": o["guard"], "by": o["user"], "reason": o["reason"]})
for e in inside + [e for e in journal[end + 1 :] if first <= e.get("snapshot", "") <= last]:
    if e["event"] in ("adopted", "pruned", "dropped"):
        circumstances.append({"at": e["time"], "snapshot": e.get("snapshot", ""), "what": e["event"], "before": "", "after": e.get("new_head", ""), "by": e.get("user", ""), "reason": e.get("reason", "")})
expected["declarations"] = sorted(circumstances, key=lambda row: row["at"])

with open(report, encoding="utf-8") as f:
    page = f.read()
tables = Report()
tables.feed(page)
problems = 0
for section, rows in expected.items():
    columns, *cells = tables.sections[section] or [[]]
    found = [dict(zip(columns[:-1], row)) for row in cells]  # without the key
    print(section, len(found))
    for where, some, others in (("report", found, rows), ("files", rows, found)):
        for row in some:
            if row not in others:
                problems += 1
                print(f"  in the {where} only:", row)
    if len(found) != len(rows):
        problems += 1
        print("  rows:", len(found), "expected:", len(rows))
reads = page.split('<h2 id="reads">')[1].split("<table>")[0]
for event in ("published", "unchanged", "failed", "quarantined", "cancelled"):
    n = len([row for row in expected["reads"] if row["outcome"] == event])
    if f" {n} {event}" not in reads:
        problems += 1
        print(f"the section reads doesn't state {n} {event}")
everything = changes("users", "group_members", "app_users", "app_groups", "role_assignments")
print("events", " ".join(sorted({f"{resource}.{c['kind']}" for _, resource, c in everything})))
sys.exit(1 if problems else 0)
