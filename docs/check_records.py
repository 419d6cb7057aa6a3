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


# The records of a resource: canonical lines, sorted by id, with unique ids and the
# counts in the manifest.
def check_records(folder, m, listed, resource):
    name = resource + ".ndjson.zst"
    where = os.path.join(folder, name)
    content = run("zstd", "-q", "-dc", where, where=where)
    require(sha256(content) == listed[name]["content_sha256"], where, "has another content_sha256")
    records, by_status = [], {}
    for n, line in enumerate(lines(content, where), 1):
        record = parse_line(line, f"{where}: line {n}")
        require(not records or records[-1]["id"].encode() < record["id"].encode(), where, f"line {n} is not in order")
        records.append(record)
        if resource == "users":
            by_status[record["status"]] = by_status.get(record["status"], 0) + 1
    counts = m["resources"][resource]
    require(len(records) == int(counts["total"]) == int(listed[name]["rows"]), where, "the manifest has another number of records")
    if resource == "users":
        require(by_status == {s: int(n) for s, n in counts["by_status"].items()}, where, "the manifest has other counts by status")
    return records


# The transcript: for each resource, rows of all pages = records + duplicates +
# outside.
def check_requests(folder, m):
    where = os.path.join(folder, "requests.ndjson")
    requests = [parse_line(line, where) for line in lines(read(where), where)]
    require(len(requests) == int(m["read"]["requests"]), where, "the manifest has another number of requests")
    require({r["resource"] for r in requests} <= set(m["resources"]) | {"token"}, where, "has a request for another resource")
    for resource, counts in m["resources"].items():
        rows = sum(int(r["rows"]) for r in requests if r["resource"] == resource)
        parts = sum(int(counts[n]) for n in ("total", "duplicates", "outside"))
        require(rows == int(counts["rows"]) == parts, where, "rows of " + resource + " are missing")
    require(not any(int(r["rows"]) for r in requests if r["resource"] == "token"), where, "a token request has rows")
    require(all(r["request_id"] for r in requests if r["status"] != "0"), where, "a request has no id")
    return requests


# The known columns of each resource, with their paths.
COLUMNS = {
    "users": [(n, "profile." + n) for n in "login email firstName lastName".split()] + [("status", "status")] +
             [(n, "profile." + n) for n in "title department manager employeeNumber userType".split()] +
             [(n, n) for n in "created activated lastLogin statusChanged passwordChanged id".split()],
    "groups": [("name", "profile.name"), ("description", "profile.description")] +
              [(n, n) for n in "type created lastUpdated lastMembershipUpdated id".split()],
}


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
    short = dict(COLUMNS[resource])
    short_name = {path: name for name, path in COLUMNS[resource]}
    where = os.path.join(folder, resource + ".csv")
    with open(where, encoding="utf-8", newline="") as f:
        head, *rows = csv.reader(f, strict=True)
    own = attributes["include"] or all_paths(resource, records)
    own, rest = own[:499], set(own[499:])
    names = [short_name.get(path, path) for path in own]
    if not attributes["include"]:
        known = [name for name, _ in COLUMNS[resource]]
        names = known + sorted(name for name in names if name not in known)
    require(head == names + (["other"] if rest else []), where, "has other columns")
    require(len(rows) == len(records), where, "has another number of rows")
    for n, (record, row) in enumerate(zip(records, rows), 2):
        for name, text in zip(head, row, strict=True):
            value = value_at(record, short.get(name, name))
            if name == "other":
                values = {path: v for path, v in values_of(record).items() if path in rest}
                value = values or None
            require(text == cell(value), where, f"row {n}", name, "is not the value in the records")


# The values of a record that have columns, by path: all that are not null.
def values_of(record):
    values = {}
    for name, value in record.items():
        inside = value if name == "profile" and isinstance(value, dict) else None
        for path, v in {name: value}.items() if inside is None else {"profile." + n: v for n, v in inside.items()}.items():
            if v is not None:
                values[path] = v
    return values


# The paths of columns where no attributes are named: the known ones, then all that
# the records have, in the order in which they appear.
def all_paths(resource, records):
    paths = dict.fromkeys(path for _, path in COLUMNS[resource])
    for record in records:
        paths |= dict.fromkeys(values_of(record))
    return list(paths)


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


def kind(resource, op, before, after, paths, declared, since, proof):
    if op == "removed":
        if proof.get("http_status") == "404": return "deleted"
        if resource != "users" or not proof: return "not_listed"
        left = proof.get("okta_status") == "DEPROVISIONED" and before["status"] != "DEPROVISIONED"
        return "deactivated" if left else "out_of_scope"
    if resource != "users":
        return {"added": "created", "changed": "changed"}[op]
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


# Changes = the difference of two successive snapshots under the declared rules.
# Without the records of the previous snapshot, only the counts are checked.
def check_changes(folder, m, resource, before, after, since, requests):
    where = os.path.join(folder, resource + ".changes.ndjson")
    if m["resources"][resource]["base"] != "previous":
        require(not os.path.exists(where), where, "there is no base")
        check_counts(folder, m, resource, [])
        return 0
    found = [parse_line(line, where) for line in lines(read(where), where)]
    check_counts(folder, m, resource, found)
    if before is None:
        return len(found)
    declared, label = m["declared"][resource], {"users": "login", "groups": "name"}[resource]
    proved = proofs(requests, resource)
    old, new = {r["id"]: r for r in before}, {r["id"]: r for r in after}
    expected = []
    for id in sorted(set(old) | set(new), key=str.encode):
        a, b = old.get(id), new.get(id)
        paths, was, now = compare(a or {}, b or {}, declared["changes"]["ignore"])
        op = "added" if a is None else "removed" if b is None else "changed"
        if op == "changed" and not paths:
            continue
        proof = proved.get(id, {}) if op == "removed" else {}
        change = op == "changed"
        expected.append({"op": op, "kind": kind(resource, op, a, b, paths, declared, since, proof), "key": {"id": id},
                         label: (b or a)["profile"][label], "paths": paths if change else [],
                         "before": was if change else a, "after": now if change else b, **proof})
    require(len(found) == len(expected), where, f"has {len(found)} changes, and the records have {len(expected)}")
    for n, (x, y) in enumerate(zip(found, expected), 1):
        require(x == y, where, f"line {n} is not the change between the records")
    return len(found)


# A snapshot, apart from the chain. before has the records of the previous one.
def check_snapshot(folder, m, before, since, checked):
    listed, records = check_files(folder, m), {}
    requests = check_requests(folder, m)
    require(m["resources"] and set(m["resources"]) == set(m["declared"]) - {"formats"}, folder, "declared and resources differ")
    for resource in m["resources"]:
        require(resource in COLUMNS, folder, "this version of check.py can't check " + resource)
        records[resource] = check_records(folder, m, listed, resource)
        if resource + ".csv" in listed:
            check_csv(folder, resource, records[resource], m["declared"][resource]["attributes"])
        checked["changes"] += check_changes(folder, m, resource, before.get(resource), records[resource], since, requests)
        checked["records"] += len(records[resource])
    checked["snapshots"] += 1
    return records
