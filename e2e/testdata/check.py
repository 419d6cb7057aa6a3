"""Check an oktasync store with sha256sum, ssh-keygen, zstd and Python's standard
library, without oktasync's code.

    python3 check.py STORE ALLOWED_SIGNERS PRINCIPAL

The comments describe the checks. The script prints the numbers of what it has
checked. It ends with status 1 at the first error.
"""
import csv, glob, hashlib, json, os, subprocess, sys, unicodedata


class Number(str):
    """A number that keeps its text."""


def parse(text):
    def unique(pairs):
        assert len(dict(pairs)) == len(pairs), "an object has a member twice"
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


# Journal: each line contains the digest of the previous one.
def check_journal(export):
    digests = [None]
    for line in lines(read(export, "journal.ndjson")):
        event = parse(line)
        assert canonical(event).encode() == line, "journal: not canonical"
        assert event["previous_line_sha256"] == digests[-1], "journal: a line has a wrong previous_line_sha256"
        digests.append(sha256(line + b"\n"))
    return digests


# Manifest: its format, its signature, and its place in the chain.
def check_manifest(folder, signers, principal, previous, journal):
    data = read(folder, "manifest.json")
    m = parse(data)
    assert canonical(m).encode() + b"\n" == data, folder + ": the manifest is not canonical"
    assert m["snapshot"] == os.path.basename(folder), folder + ": the manifest names another snapshot"
    with open(os.path.join(folder, "manifest.json"), "rb") as manifest:
        run("ssh-keygen", "-Y", "verify", "-f", signers, "-I", principal, "-n", "oktasync-snapshot@v1",
            "-s", os.path.join(folder, "manifest.json.sig"), stdin=manifest)
    if previous is None:
        assert m["sequence"] == "1" and m["previous"] is None, folder + ": the first snapshot has a predecessor"
    else:
        before, digest = previous
        assert int(m["sequence"]) == int(before["sequence"]) + 1, folder + ": a sequence number is missing"
        assert m["previous"] == {"snapshot": before["snapshot"], "manifest_sha256": digest}, folder + ": wrong digest or name of the previous snapshot"
        assert m["snapshot"] > before["snapshot"], folder + ": not later than the previous snapshot"
    assert m["journal"]["sha256"] == journal[int(m["journal"]["lines"])], folder + ": the journal differs from the manifest"
    return m, sha256(data)


# Files: exactly those in the manifest, each with its digest.
def check_files(folder, m):
    listed = {f["name"]: f for f in m["files"]}
    assert set(os.listdir(folder)) == set(listed) | {"manifest.json", "manifest.json.sig", "SHA256SUMS"}, folder + ": files are missing or not in the manifest"
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=folder)
    summed = dict(reversed(line.decode().split("  ")) for line in lines(read(folder, "SHA256SUMS")))
    assert summed.pop("manifest.json") == sha256(read(folder, "manifest.json"))
    assert summed == {name: f["sha256"] for name, f in listed.items()}, folder + ": SHA256SUMS and manifest differ"
    for name, f in listed.items():
        assert os.path.getsize(os.path.join(folder, name)) == int(f["bytes"]), name
    return listed


# Users: canonical lines, sorted by id, each id once, with the right counts.
def check_users(folder, m, listed):
    run("zstd", "-q", "-t", os.path.join(folder, "users.ndjson.zst"))
    content = run("zstd", "-q", "-dc", os.path.join(folder, "users.ndjson.zst"))
    assert sha256(content) == listed["users.ndjson.zst"]["content_sha256"], folder + ": the users differ from content_sha256"
    users, by_status = [], {}
    for line in lines(content):
        user = parse(line)
        assert canonical(user).encode() == line, folder + ": a user is not canonical"
        assert not users or users[-1]["id"].encode() < user["id"].encode(), folder + ": not sorted"
        users.append(user)
        by_status[user["status"]] = by_status.get(user["status"], 0) + 1
    written = m["resources"]["users"]
    assert len(users) == int(written["total"]) == int(listed["users.ndjson.zst"]["rows"])
    assert by_status == {status: int(n) for status, n in written["by_status"].items()}, folder + ": wrong counts by status"
    return users


# Transcript: the rows of all pages = users + duplicates + outside.
def check_requests(folder, m, users):
    requests = [parse(line) for line in lines(read(folder, "requests.ndjson"))]
    rows = sum(int(r["rows"]) for r in requests)
    r = m["read"]
    assert len(requests) == int(r["requests"]) and rows == int(r["rows"])
    assert rows == len(users) + int(r["duplicates"]) + int(r["outside"]), folder + ": rows are missing"
    assert all(r["request_id"] for r in requests if r["status"] != "0"), folder + ": a request without an id"


SHORT = {name: "profile." + name for name in "login email firstName lastName title department manager employeeNumber userType".split()}
SHORT.update({name: name for name in "status created activated lastLogin statusChanged passwordChanged id".split()})
FIRST = ("login email firstName lastName status title department manager employeeNumber userType "
         "created activated lastLogin statusChanged passwordChanged id").split()


def cell(value):
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Number):
        visible = value.lstrip()
        while visible and (visible[0].isspace() or unicodedata.category(visible[0]) in ("Cc", "Cf")):
            visible = visible[1:]
        return "'" + value if value[:1] in ("'", "\t", "\r", "\n") or visible[:1] in tuple("=+-@＝＋－＠") else value
    return canonical(value)


def value_at(value, path):
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


# CSV: the same values as NDJSON, in the right columns.
def check_csv(folder, users, attributes):
    with open(os.path.join(folder, "users.csv"), encoding="utf-8", newline="") as f:
        head, *rows = csv.reader(f, strict=True)
    if attributes["include"]:
        assert [SHORT.get(h, h) for h in head] == attributes["include"], folder + ": wrong columns"
    else:
        check_columns(folder, users, head)
    assert len(rows) == len(users), folder + ": wrong number of rows"
    for user, row in zip(users, rows):
        for name, text in zip(head, row, strict=True):
            value = value_at(user, SHORT.get(name, name))
            assert text == cell(value), f"{folder}: {user['id']} {name}: {text!r}, want {value!r}"


# Without included attributes: the well-known columns, then all others of the users.
def check_columns(folder, users, head):
    assert head[:len(FIRST)] == FIRST, folder + ": wrong columns"
    rest = set()
    for user in users:
        rest |= {"profile." + n for n, v in user["profile"].items() if v is not None}
        rest |= {n for n, v in user.items() if v is not None and n != "profile"}
    assert head[len(FIRST):] == sorted(rest - set(SHORT.values())), folder + ": wrong columns"


def covers(paths, path):
    return any(path == p or path.startswith(p + ".") for p in paths)


def without_nulls(value):
    if isinstance(value, dict):
        return {n: without_nulls(v) for n, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(v) for v in value]
    return value


def compare(before, after, ignore, path=""):
    """Return the paths that differ, and the values there before and after."""
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


def kind(before, after, paths, moved):
    was, now = before["status"], after["status"]
    if "status" in paths:
        if was == "STAGED" and now != "DEPROVISIONED": return "joined"
        if now == "DEPROVISIONED": return "deactivated"
        if was == "DEPROVISIONED": return "reactivated"
        if now == "SUSPENDED": return "suspended"
        if was == "SUSPENDED": return "unsuspended"
    return "moved" if any(covers(moved, p) for p in paths) else "changed"


# Changes: the difference of two snapshots under the declared rules.
def check_changes(folder, m, before, users):
    declared = m["declared"]["users"]["changes"]
    old, new = {u["id"]: u for u in before}, {u["id"]: u for u in users}
    expected, counts, kinds = [], {"added": 0, "changed": 0, "removed": 0}, {}
    for id in sorted(set(old) | set(new), key=str.encode):
        a, b = old.get(id), new.get(id)
        paths, was, now = compare(a or {}, b or {}, declared["ignore"])
        op = "added" if a is None else "removed" if b is None else "changed"
        if op == "changed" and not paths:
            continue
        k = {"added": "joined", "removed": "deleted"}.get(op) or kind(a, b, paths, declared["moved"])
        counts[op] += 1
        kinds[k] = kinds.get(k, 0) + 1
        expected.append((op, k, id, (b or a)["profile"]["login"], paths if op == "changed" else None, was if op == "changed" else a, now if op == "changed" else b))
    found = []
    for line in lines(read(folder, "users.changes.ndjson")):
        c = parse(line)
        assert canonical(c).encode() == line, folder + ": a change is not canonical"
        changed = c["op"] == "changed"
        found.append((c["op"], c["kind"], c["id"], c["login"], c["paths"] if changed else None, c.get("before"), c.get("after")))
    assert found == expected, f"{folder}: wrong changes:\n{found}\n{expected}"
    written = m["resources"]["users"]
    assert counts == {op: int(written[op]) for op in counts} and kinds == {k: int(n) for k, n in written["kinds"].items()}
    return len(found)


def check_export(export, signers, principal):
    journal = check_journal(export)
    folders = {os.path.basename(f): f for f in glob.glob(export + "/pruned/2*") + glob.glob(export + "/2*")}
    previous, before, checked = None, None, {"manifests": 0, "snapshots": 0, "users": 0, "changes": 0}
    for name in sorted(folders):
        folder = folders[name]
        m, digest = check_manifest(folder, signers, principal, previous, journal)
        previous, checked["manifests"] = (m, digest), checked["manifests"] + 1
        if os.path.dirname(folder) != export:
            before = None
            continue
        listed = check_files(folder, m)
        users = check_users(folder, m, listed)
        check_requests(folder, m, users)
        check_csv(folder, users, m["declared"]["users"]["attributes"])
        if before is not None:
            checked["changes"] += check_changes(folder, m, before, users)
        before = users
        checked["snapshots"] += 1
        checked["users"] += len(users)
    assert os.readlink(export + "/latest") == sorted(folders)[-1], "latest doesn't name the newest snapshot"
    print(os.path.basename(export) + ": " + ", ".join(f"{n} {what}" for what, n in checked.items()))


if __name__ == "__main__":
    store, signers, principal = sys.argv[1:]
    for export in sorted(os.listdir(store)):
        if os.path.isdir(os.path.join(store, export)) and not export.startswith("."):
            check_export(os.path.join(store, export), signers, principal)
