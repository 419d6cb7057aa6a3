"""Check an oktasync store without oktasync's code: with sha256sum, ssh-keygen, zstd
and Python's standard library.

    python3 check.py STORE ALLOWED_SIGNERS PRINCIPAL

The comments describe the checks. The script prints what it has checked. It exits
with status 1 at the first error.
"""
import csv, datetime, glob, hashlib, json, os, subprocess, sys, unicodedata


class Number(str):
    """A number with the text that was written."""


def parse(text):
    def unique(pairs):
        assert len(dict(pairs)) == len(pairs), "a name twice in an object"
        return dict(pairs)
    return json.loads(text, parse_int=Number, parse_float=Number, object_pairs_hook=unique)


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
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def lines(data):
    assert data == b"" or data.endswith(b"\n"), "the last line has no line feed"
    return data.split(b"\n")[:-1]


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, **options).stdout


# The journal: each line has the digest of the one before.
def check_journal(export):
    digests = [None]
    for line in lines(read(export, "journal.ndjson")):
        event = parse(line)
        assert canonical(event).encode() == line, "journal: not canonical"
        assert event["previous_line_sha256"] == digests[-1], "journal: the chain is broken"
        digests.append(sha256(line + b"\n"))
    return digests


# A manifest: its form, its signature and its link to the previous one.
def check_manifest(folder, signers, principal, previous, journal):
    data = read(folder, "manifest.json")
    m = parse(data)
    assert canonical(m).encode() + b"\n" == data, folder + ": the manifest is not canonical"
    assert m["snapshot"] == os.path.basename(folder), folder + ": belongs elsewhere"
    with open(os.path.join(folder, "manifest.json"), "rb") as manifest:
        run("ssh-keygen", "-Y", "verify", "-f", signers, "-I", principal, "-n", "oktasync-snapshot@v1",
            "-s", os.path.join(folder, "manifest.json.sig"), stdin=manifest)
    if previous is None:
        assert m["sequence"] == "1" and m["previous"] is None, folder + ": not the first"
    else:
        before, digest = previous
        assert int(m["sequence"]) == int(before["sequence"]) + 1, folder + ": a sequence is missing"
        assert m["previous"] == {"snapshot": before["snapshot"], "manifest_sha256": digest}, folder + ": the chain is broken"
        assert m["snapshot"] > before["snapshot"], folder + ": not later"
    assert m["journal"]["sha256"] == journal[int(m["journal"]["lines"])], folder + ": another journal"
    return m, sha256(data)


# The files of a snapshot: the listed ones and no others, with their digests.
def check_files(folder, m):
    listed = {f["name"]: f for f in m["files"]}
    assert set(os.listdir(folder)) == set(listed) | {"manifest.json", "manifest.json.sig", "SHA256SUMS"}, folder + ": other files"
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=folder)
    summed = dict(reversed(line.decode().split("  ")) for line in lines(read(folder, "SHA256SUMS")))
    assert summed.pop("manifest.json") == sha256(read(folder, "manifest.json"))
    assert summed == {name: f["sha256"] for name, f in listed.items()}, folder + ": SHA256SUMS and manifest differ"
    for name, f in listed.items():
        assert os.path.getsize(os.path.join(folder, name)) == int(f["bytes"]), name
    return listed


# The records of a resource: canonical lines, sorted by id, with unique ids and the
# right count.
def check_records(folder, m, listed, resource):
    name = resource + ".ndjson.zst"
    run("zstd", "-q", "-t", os.path.join(folder, name))
    content = run("zstd", "-q", "-dc", os.path.join(folder, name))
    assert sha256(content) == listed[name]["content_sha256"], folder + ": other " + resource
    records, by_status = [], {}
    for line in lines(content):
        record = parse(line)
        assert canonical(record).encode() == line, folder + ": a record is not canonical"
        assert not records or records[-1]["id"].encode() < record["id"].encode(), folder + ": not sorted"
        records.append(record)
        if resource == "users":
            by_status[record["status"]] = by_status.get(record["status"], 0) + 1
    counts = m["resources"][resource]
    assert len(records) == int(counts["total"]) == int(listed[name]["rows"])
    if resource == "users":
        assert by_status == {status: int(n) for status, n in counts["by_status"].items()}, folder + ": other counts by status"
    return records


# The transcript: for each resource, rows of all pages = records + duplicates +
# outside.
def check_requests(folder, m):
    requests = [parse(line) for line in lines(read(folder, "requests.ndjson"))]
    assert len(requests) == int(m["read"]["requests"])
    assert {r["resource"] for r in requests} <= set(m["resources"]) | {"token"}, folder + ": a request for another resource"
    for resource, counts in m["resources"].items():
        rows = sum(int(r["rows"]) for r in requests if r["resource"] == resource)
        assert rows == int(counts["rows"]) == sum(int(counts[n]) for n in ("total", "duplicates", "outside")), folder + ": rows are missing"
    assert not any(int(r["rows"]) for r in requests if r["resource"] == "token"), folder + ": a token request with rows"
    assert all(r["request_id"] for r in requests if r["status"] != "0"), folder + ": a request without an id"


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
    with open(os.path.join(folder, resource + ".csv"), encoding="utf-8", newline="") as f:
        head, *rows = csv.reader(f, strict=True)
    own = attributes["include"] or all_paths(resource, records)
    own, rest = own[:499], set(own[499:])
    names = [short_name.get(path, path) for path in own]
    if not attributes["include"]:
        known = [name for name, _ in COLUMNS[resource]]
        names = known + sorted(name for name in names if name not in known)
    assert head == names + (["other"] if rest else []), folder + ": other columns"
    assert len(rows) == len(records), folder + ": other rows"
    for record, row in zip(records, rows):
        for name, text in zip(head, row, strict=True):
            value = value_at(record, short.get(name, name))
            if name == "other":
                values = {path: v for path, v in values_of(record).items() if path in rest}
                value = values or None
            assert text == cell(value), f"{folder}: {record['id']} {name}: {text!r} is not {value!r}"


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
def proofs(folder, resource):
    found = {}
    for r in map(parse, lines(read(folder, "requests.ndjson"))):
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


# Changes = the difference of two successive snapshots under the declared rules.
def check_changes(folder, m, resource, before, after, since):
    declared, label = m["declared"][resource], {"users": "login", "groups": "name"}[resource]
    proved = proofs(folder, resource)
    old, new = {r["id"]: r for r in before}, {r["id"]: r for r in after}
    expected, counts, kinds = [], {"added": 0, "changed": 0, "removed": 0}, {}
    for id in sorted(set(old) | set(new), key=str.encode):
        a, b = old.get(id), new.get(id)
        paths, was, now = compare(a or {}, b or {}, declared["changes"]["ignore"])
        op = "added" if a is None else "removed" if b is None else "changed"
        if op == "changed" and not paths:
            continue
        proof = proved.get(id, {}) if op == "removed" else {}
        k = kind(resource, op, a, b, paths, declared, since, proof)
        counts[op] += 1
        kinds[k] = kinds.get(k, 0) + 1
        change = op == "changed"
        expected.append({"op": op, "kind": k, "key": {"id": id}, label: (b or a)["profile"][label],
                         "paths": paths if change else [], "before": was if change else a, "after": now if change else b, **proof})
    found = []
    for line in lines(read(folder, resource + ".changes.ndjson")):
        c = parse(line)
        assert canonical(c).encode() == line, folder + ": a change is not canonical"
        found.append(c)
    assert found == expected, f"{folder}: other changes:\n{found}\n{expected}"
    stated = m["resources"][resource]
    assert counts == {op: int(stated[op]) for op in counts} and kinds == {k: int(n) for k, n in stated["kinds"].items()}
    return len(found)


def check_export(export, signers, principal):
    journal = check_journal(export)
    folders = {os.path.basename(f): f for f in glob.glob(export + "/pruned/2*") + glob.glob(export + "/2*")}
    previous, before, since, checked = None, None, None, {"manifests": 0, "snapshots": 0, "records": 0, "changes": 0}
    for name in sorted(folders):
        folder = folders[name]
        m, digest = check_manifest(folder, signers, principal, previous, journal)
        previous, checked["manifests"] = (m, digest), checked["manifests"] + 1
        if os.path.dirname(folder) != export:
            before = None
            continue
        listed = check_files(folder, m)
        check_requests(folder, m)
        assert m["resources"] and set(m["resources"]) == set(m["declared"]) - {"formats"}, folder + ": other resources"
        records = {}
        for resource in m["resources"]:
            records[resource] = check_records(folder, m, listed, resource)
            check_csv(folder, resource, records[resource], m["declared"][resource]["attributes"])
            if before is not None:
                assert resource in before and m["resources"][resource]["base"] == "previous", folder + ": another base"
                checked["changes"] += check_changes(folder, m, resource, before[resource], records[resource], since)
            checked["records"] += len(records[resource])
        before, since = records, datetime.datetime.fromisoformat(m["read"]["started"])
        checked["snapshots"] += 1
    assert os.readlink(export + "/latest") == sorted(folders)[-1], "latest leads elsewhere"
    print(os.path.basename(export) + ": " + ", ".join(f"{n} {what}" for what, n in checked.items()))


if __name__ == "__main__":
    store, signers, principal = sys.argv[1:]
    for export in sorted(os.listdir(store)):
        if os.path.isdir(os.path.join(store, export)) and not export.startswith("."):
            check_export(os.path.join(store, export), signers, principal)
