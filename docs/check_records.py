"""Checks the files of one snapshot for check.py: digests, records, CSV, transcript
and changes.
"""
import csv, datetime, hashlib, json, os, subprocess, unicodedata


class Problem(Exception):
    """A check that failed."""


def require(condition, *message):
    if not condition:
        raise Problem(": ".join(message))


class Number(str):
    """A number with the text that was written."""


def parse(data):
    def unique(pairs):
        require(len(dict(pairs)) == len(pairs), "an object has the same name twice")
        return dict(pairs)
    return json.loads(data, parse_int=Number, parse_float=Number, object_pairs_hook=unique)


def parse_line(line, where):
    """The value of a line of canonical JSON."""
    try:
        value = parse(line)
    except (ValueError, RecursionError):
        raise Problem(f"{where}: is not JSON") from None
    require(isinstance(value, dict) and canonical(value).encode() == line, where, "is not canonical JSON")
    return value


def canonical(value):
    """RFC 8785, except that numbers keep their text."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(canonical(n) + ":" + canonical(value[n]) for n in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def read(*path):
    path = os.path.join(*path)
    require(os.path.isfile(path) and not os.path.islink(path), path, "is missing, or not a plain file")
    with open(path, "rb") as f:
        return f.read()


def lines(data, where):
    require(data == b"" or data.endswith(b"\n"), where, "the last line is incomplete")
    return data.split(b"\n")[:-1]


def run(*command, where, **options):
    done = subprocess.run(command, capture_output=True, **options)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).decode(errors="replace").strip().split("\n")[-1]
        raise Problem(f"{where}: {command[0]}: {last}")
    return done.stdout


def time(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


# The files of a snapshot: the listed ones and no others, with their digests.
def check_files(folder, m):
    listed = {f["name"]: f for f in m["files"]}
    own = {"manifest.json", "SHA256SUMS"} | ({"manifest.json.sig"} if m["signed_by"] else set())
    require(set(os.listdir(folder)) - {"manifest.json.tsr"} == set(listed) | own, folder, "a file is missing or not in the manifest")
    run("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS", where=folder, cwd=folder)
    summed = dict(reversed(line.decode().split("  ")) for line in lines(read(folder, "SHA256SUMS"), folder))
    expected = {name: f["sha256"] for name, f in listed.items()}
    require(summed == {**expected, "manifest.json": sha256(read(folder, "manifest.json"))}, folder, "SHA256SUMS and the manifest differ")
    for name, f in listed.items():
        require(os.path.getsize(os.path.join(folder, name)) == int(f["bytes"]), folder, name, "has another size")
    return listed


# The columns of a resource: name and path. "a=b.c" is the column a with the path b.c.
def columns(text):
    return [tuple((word + "=" + word).split("=")[:2]) for word in text.split()]


# Each resource, parents before their children: the members that identify a record, the
# path of its name and the member of a change that has it, the known columns, and for an
# edge the resources of its two ends. A resource is counted by the member status, if any.
RESOURCES = {
    "users": dict(key=["id"], name="profile.login", label="login", status="status", open="profile", columns=columns(
        "login=profile.login email=profile.email firstName=profile.firstName lastName=profile.lastName status title=profile.title "
        "department=profile.department manager=profile.manager employeeNumber=profile.employeeNumber userType=profile.userType "
        "created activated lastLogin statusChanged passwordChanged id")),
    "groups": dict(key=["id"], name="profile.name", label="name", open="profile", columns=columns(
        "name=profile.name description=profile.description type created lastUpdated lastMembershipUpdated id")),
    "group_members": dict(key=["group_id", "user_id"], ends=["groups", "users"], columns=columns("group_name login group_id user_id")),
    "group_rules": dict(key=["id"], name="name", label="name", status="status", columns=columns(
        "name status expression=conditions.expression.value groupIds=actions.assignUserToGroups.groupIds created lastUpdated id")),
    "apps": dict(key=["id"], name="label", label="name", status="status", columns=columns(
        "label name status signOnMode implicitAssignment=settings.implicitAssignment created lastUpdated id")),
    "app_users": dict(key=["app_id", "user_id"], ends=["apps", "users"], status="status", columns=columns(
        "app_label login scope status username created lastUpdated statusChanged passwordChanged externalId syncState lastSync app_id user_id")),
    "app_groups": dict(key=["app_id", "group_id"], ends=["apps", "groups"], columns=columns(
        "app_label group_name priority lastUpdated app_id group_id")),
    "api_tokens": dict(key=["id"], name="name", label="name", columns=columns(
        "name clientName userId network tokenWindow created lastUpdated id")),
    "factors": dict(key=["user_id", "id"], ends=["users"], name="factorType", label="name", status="status", columns=columns(
        "login factorType provider vendorName status created lastUpdated user_id id")),
    "role_assignments": dict(key=["principal_type", "principal_id", "role_type", "role_id", "resource_set_id"], name="label", label="name",
        status="role_type", names=["login", "user_id", "group_name", "app_label"], columns=columns(
        "login user_id group_name app_label role_type label status targets permissions resources created principal_type principal_id role_id "
        "resource_set_id assignment_id")),
}
NAMES = {"users": "login", "groups": "group_name", "apps": "app_label"}  # columns of an edge


def key_of(resource, record):
    return "\0".join(record[name] for name in RESOURCES[resource]["key"])


# The records of a resource: canonical lines, sorted by key, with unique keys and the
# counts in the manifest.
def check_records(folder, m, listed, resource):
    name = resource + ".ndjson.zst"
    where = os.path.join(folder, name)
    content = run("zstd", "-q", "-dc", where, where=where)
    require(sha256(content) == listed[name]["content_sha256"], where, "has another content_sha256")
    records, by_status, last = [], {}, b""
    for n, line in enumerate(lines(content, where), 1):
        record = parse_line(line, f"{where}: line {n}")
        key = key_of(resource, record).encode()
        require(last < key, where, f"line {n} is not in order")
        last = key
        records.append(record)
        if "status" in RESOURCES[resource]:
            status = record[RESOURCES[resource]["status"]]
            by_status[status] = by_status.get(status, 0) + 1
    counts = m["resources"][resource]
    require(len(records) == int(counts["total"]) == int(listed[name]["rows"]), where, "the manifest has another number of records")
    require(by_status == {s: int(n) for s, n in counts.get("by_status", {}).items()}, where, "the manifest has other counts by status")
    return records


# The ends of edges: each parent is recorded, and the manifest counts the other ends
# that are not. It returns the records with the names of their ends.
def check_ends(folder, m, resource, records):
    spec = RESOURCES[resource]
    if resource == "role_assignments":
        return holders(records)
    if "ends" not in spec:
        return records[resource]
    where, named, unresolved = os.path.join(folder, resource + ".ndjson.zst"), [dict(r) for r in records[resource]], 0
    for member, end in zip(spec["key"], spec["ends"]):
        by_id = {r["id"]: r for r in records[end]} if end in records else None
        for record in named:
            found = by_id.get(record[member]) if by_id is not None else None
            require(found or member != spec["key"][0], where, record[member], "is not recorded")
            unresolved += by_id is not None and not found
            name = value_at(found or {}, RESOURCES[end]["name"])
            if name is not None:
                record[NAMES[end]] = name
    require(unresolved == int(m["resources"][resource].get("unresolved", 0)), where, "the manifest has another number of unresolved edges")
    return named


# The roles with the names of their holders. After the role of a group follows a row for
# each of its members.
def holders(records):
    names = {end: {r["id"]: value_at(r, RESOURCES[end]["name"]) for r in records.get(end, [])} for end in NAMES}
    rows = []
    for role in records["role_assignments"]:
        id = role["principal_id"]
        if role["principal_type"] == "USER":
            rows.append({**role, "user_id": id, "login": names["users"].get(id)})
        elif role["principal_type"] == "CLIENT":
            rows.append({**role, "app_label": names["apps"].get(id)})
        else:
            rows.append({**role, "group_name": names["groups"].get(id)})
            rows += [{**rows[-1], "user_id": m["user_id"], "login": names["users"].get(m["user_id"])}
                     for m in records.get("group_members", []) if m["group_id"] == id]
    return rows


# The transcript: for each resource, rows of all pages = records that were not carried +
# duplicates + outside.
def check_requests(folder, m):
    where = os.path.join(folder, "requests.ndjson")
    requests = [parse_line(line, where) for line in lines(read(where), where)]
    require(len(requests) == int(m["read"]["requests"]), where, "the manifest has another number of requests")
    require({r["resource"] for r in requests} <= set(m["resources"]) | {"token"}, where, "has a request for another resource")
    for resource, counts in m["resources"].items():
        none = counts.get("available") is False and int(counts["total"]) == 0
        require(none or "available" not in counts, where, "impossible counts of " + resource)
        rows = sum(int(r["rows"]) for r in requests if r["resource"] == resource)
        parts = sum(int(counts[n]) for n in ("total", "duplicates", "outside"))
        require(rows == int(counts["rows"]) == parts - int(counts.get("carried", 0)), where, "rows of " + resource + " are missing")
    require(not any(int(r["rows"]) for r in requests if r["resource"] == "token"), where, "a token request has rows")
    require(all(r["request_id"] for r in requests if r["status"] != "0"), where, "a request has no id")
    return requests


def cell(value):
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Number):
        seen = value.lstrip()
        while seen and (seen[0].isspace() or unicodedata.category(seen[0]) in ("Cc", "Cf")):
            seen = seen[1:]
        return "'" + value if value[:1] in ("'", "\t", "\r", "\n") or seen[:1] in tuple("=+-@＝＋－＠") else value
    return canonical(value)


def value_at(value, path):
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


# CSV = NDJSON: every value of every record in the right column, and no others.
def check_csv(folder, resource, records, attributes):
    spec = RESOURCES[resource]
    names = spec.get("names", []) + [NAMES[end] for end in spec.get("ends", [])]
    known = [(n, p) for n, p in spec["columns"]
             if p in spec["key"] + names + [spec.get("status")] or not covers(attributes["exclude"], p)]
    where = os.path.join(folder, resource + ".csv")
    with open(where, encoding="utf-8", newline="") as f:
        head, *rows = csv.reader(f, strict=True)
    opened = {spec.get("open")} | {prefix for _, p in known for prefix in prefixes(p)}
    if attributes["include"]:
        fixed = own = names + [p for p in attributes["include"] if p not in names]
    else:
        fixed = [p for _, p in known]
        own = list(dict.fromkeys(fixed + [p for record in records for p in values_of(record, opened)]))
    own, rest = own[:499], set(own[499:])
    paths = {header(spec, path): path for path in own}
    titles = [header(spec, path) for path in fixed]
    titles += sorted((title for title, path in paths.items() if path not in fixed), key=str.encode)
    require(head == titles + (["other"] if rest else []), where, "has other columns")
    require(len(rows) == len(records), where, "has another number of rows")
    for n, (record, row) in enumerate(zip(records, rows), 2):
        for title, text in zip(head, row, strict=True):
            value = value_at(record, paths.get(title, title))
            if title == "other":
                values = {path: v for path, v in values_of(record, opened).items() if path in rest}
                value = values or None
            require(text == cell(value), where, f"row {n}", title, "is not the value in the records")


# The header of the column for a path.
def header(spec, path):
    short = {p: n for n, p in spec["columns"]}
    taken = path == "other" or path in short.values() and path not in short
    return "." + path if taken else short.get(path, path)


# The paths of the objects that contain the value at path.
def prefixes(path):
    names = path.split(".")
    return [".".join(names[:n]) for n in range(1, len(names))]


# The values of a record that have columns, by path: all that are not null.
def values_of(record, opened, prefix=""):
    values = {}
    for name, value in record.items():
        path = prefix + name
        if isinstance(value, dict) and path in opened:
            values |= values_of(value, opened, path + ".")
        elif value is not None:
            values[path] = value
    return values


def covers(paths, path):
    return any(path == p or path.startswith(p + ".") for p in paths)


def without_nulls(value):
    if isinstance(value, dict):
        return {n: without_nulls(v) for n, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(v) for v in value]
    return value


def compare(before, after, ignore, path=""):
    """The paths that differ, and both values of each."""
    paths, was, now = [], {}, {}
    for name in set(before) | set(after):
        a, b, at = before.get(name), after.get(name), path + name
        if covers(ignore, at) or without_nulls(a) == without_nulls(b):
            continue
        nested = [without_nulls(v) if isinstance(v, dict) else v for v in (a, b)]
        if all(isinstance(v, dict) for v in nested) or None in nested and any(isinstance(v, dict) and v for v in nested):
            inside, x, y = compare(a or {}, b or {}, ignore, at + ".")
            paths += inside
            if x: was[name] = x
            if y: now[name] = y
            continue
        paths.append(at)
        if a is not None: was[name] = a
        if b is not None: now[name] = b
    return sorted(paths, key=str.encode), was, now


# The responses to requests by id: the proofs of removals.
def proofs(requests, resource):
    found = {}
    for r in requests:
        id, status = r["path"].rsplit("/", 1)[-1], r["status"]
        proof = {"request_id": r["request_id"], "http_status": status}
        if r["resource"] != resource or "?" in r["path"]:
            continue
        if status == "404" and r.get("error") == "E0000007":
            found[id] = {**proof, "okta_status": "E0000007"}
        elif status == "200" and r["rows"] == "1":
            found[id] = {**proof, **({"okta_status": r["okta_status"]} if "okta_status" in r else {})}
    return found


def kind(resource, op, before, after, paths, declared, since, proof, parent_exists):
    if resource == "role_assignments":
        return {"added": "granted", "changed": "changed", "removed": "revoked"}[op]
    if resource == "factors":
        return {"added": "listed", "changed": "changed", "removed": "not_listed"}[op]
    if "ends" in RESOURCES[resource]:
        gone = "revoked" if parent_exists or proof.get("http_status") == "404" else "not_listed"
        return {"added": "granted", "changed": "changed", "removed": gone}[op]
    if op == "removed":
        if proof.get("http_status") == "404": return "revoked" if resource == "api_tokens" else "deleted"
        if resource != "users" or not proof: return "not_listed"
        left = proof.get("okta_status") == "DEPROVISIONED" and before["status"] != "DEPROVISIONED"
        return "deactivated" if left else "out_of_scope"
    if resource != "users":
        if op == "added": return "created"
        if "status" in paths and "status" in RESOURCES[resource]:
            if after["status"] == "ACTIVE": return "activated"
            if before["status"] == "ACTIVE": return "deactivated"
        return "changed"
    if op == "added":
        if declared["include_deprovisioned"] and not declared["search"]: return "joined"
        if after.get("created") and datetime.datetime.fromisoformat(after["created"]) >= since: return "joined"
        return "into_scope" if declared["search"] else "reactivated"
    was, now = before["status"], after["status"]
    if "status" in paths:
        if was == "STAGED" and now != "DEPROVISIONED": return "activated"
        if now == "DEPROVISIONED": return "deactivated"
        if was == "DEPROVISIONED": return "reactivated"
        if now == "SUSPENDED": return "suspended"
        if was == "SUSPENDED": return "unsuspended"
    return "moved" if any(covers(declared["changes"]["moved"], p) for p in paths) else "changed"


# The number of changes, and of each op and kind, as in the manifest.
def check_counts(folder, m, resource, changes):
    stated, where = m["resources"][resource], os.path.join(folder, resource + ".changes.ndjson")
    count = lambda member: {v: sum(c[member] == v for c in changes) for v in {c[member] for c in changes}}
    ops = {"added": 0, "changed": 0, "removed": 0, **count("op")}
    require(ops == {op: int(stated[op]) for op in ops if op in stated}, where, "the manifest has other counts of changes")
    require(count("kind") == {k: int(n) for k, n in stated["kinds"].items()}, where, "the manifest has other kinds of changes")


# A removal has the proof that the requests have, and the kind that the proof shows.
def check_removal(resource, change, proof, parent_exists, where):
    stated = {name: change[name] for name in ("request_id", "http_status", "okta_status") if name in change}
    require(stated == proof, where, "the proof of a removal is not in requests.ndjson")
    expected = kind(resource, "removed", change["before"], None, [], {}, None, proof, parent_exists)
    require(change["kind"] == expected, where, f"a removal is {change['kind']}, and its proof shows {expected}")


# Changes = the difference of two successive snapshots under the declared rules.
# Without the records of the previous snapshot, only the counts and the removals are
# checked.
def check_changes(folder, m, resource, before, records, since, requests):
    where = os.path.join(folder, resource + ".changes.ndjson")
    if m["resources"][resource]["base"] != "previous":
        require(not os.path.exists(where), where, "there is no base")
        check_counts(folder, m, resource, [])
        return 0
    found = [parse_line(line, where) for line in lines(read(where), where)]
    check_counts(folder, m, resource, found)
    declared, spec = m["declared"][resource], RESOURCES[resource]
    parent = spec.get("ends", [None])[0]
    proved, parents = proofs(requests, parent or resource), {r["id"] for r in records.get(parent, [])}
    if before is None:
        for n, change in enumerate(found, 1):
            id = change["key"][spec["key"][0]]
            if change["op"] == "removed":
                check_removal(resource, change, {} if id in parents else proved.get(id, {}), id in parents, f"{where}: line {n}")
        return len(found)
    old, new = ({key_of(resource, r): r for r in side} for side in (before, records[resource]))
    expected = []
    for key in sorted(set(old) | set(new), key=str.encode):
        a, b, id = old.get(key), new.get(key), key.split("\0")[0]
        paths, was, now = compare(a or {}, b or {}, declared["changes"]["ignore"])
        op = "added" if a is None else "removed" if b is None else "changed"
        if op == "changed" and not paths:
            continue
        proof = proved.get(id, {}) if op == "removed" and id not in parents else {}
        change, name = op == "changed", value_at(b or a, spec.get("name", ""))
        expected.append({"op": op, "kind": kind(resource, op, a, b, paths, declared, since, proof, id in parents),
                         "key": {n: (b or a)[n] for n in spec["key"]}, **({spec["label"]: name} if name else {}),
                         "paths": paths if change else [], "before": was if change else a, "after": now if change else b, **proof})
    require(len(found) == len(expected), where, f"has {len(found)} changes, and the records have {len(expected)}")
    for n, (x, y) in enumerate(zip(found, expected), 1):
        require(x == y, where, f"line {n} is not the change between the records")
    return len(found)


# A snapshot, apart from the chain. before has the records of the previous one; of a
# resource that wasn't available then, those of the last available read.
def check_snapshot(folder, m, before, since, checked):
    listed, records = check_files(folder, m), {}
    requests = check_requests(folder, m)
    require(m["resources"] and set(m["resources"]) == set(m["declared"]) - {"formats"}, folder, "declared and resources differ")
    unknown = set(m["resources"]) - set(RESOURCES)
    require(not unknown, folder, "this version of check.py can't check " + ", ".join(sorted(unknown)))
    available = [r for r in RESOURCES if r in m["resources"] and "available" not in m["resources"][r]]
    for resource in available:
        records[resource] = check_records(folder, m, listed, resource)
        named = check_ends(folder, m, resource, records)
        if resource + ".csv" in listed:
            check_csv(folder, resource, named, m["declared"][resource]["attributes"])
        checked["changes"] += check_changes(folder, m, resource, before.get(resource), records, since, requests)
        checked["records"] += len(records[resource])
    checked["snapshots"] += 1
    return {**{r: before[r] for r in m["resources"] if r in before}, **records}
