"""Checks an oktasync store, or the folder of one snapshot, without oktasync's code:
with sha256sum, ssh-keygen, zstd and Python's standard library.

    python3 check.py STORE [ALLOWED_SIGNERS PRINCIPAL]
    python3 check.py SNAPSHOT [ALLOWED_SIGNERS PRINCIPAL]

It prints what it checked and the first problem of each export. If there is a problem,
the exit status is 1. Without ALLOWED_SIGNERS, it checks signatures but accepts every
key. check_records.py, in the same folder, checks the files of one snapshot.
"""
import glob, os, sys, tempfile, urllib.parse

sys.dont_write_bytecode = True  # the folder of this script can be read-only
from check_records import Problem, canonical, check_snapshot, lines, parse, parse_line, read, require, run, sha256, time

EVENTS = set("started published unchanged quarantined released dropped failed cancelled".split() +
             "pruned repaired verified adopted review_recorded".split())


def plain(text):
    """text in one line, without characters that change a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def report(name, checked):
    print(plain(name) + ": " + ", ".join(f"{what} {n}" for what, n in checked.items()))


def note(text):
    print("note: " + plain(text), file=sys.stderr)


class Signers:
    """The accepted signers. Without a file, every key is accepted."""

    def __init__(self, file=None, principal=None):
        self.file, self.principal, self.warned = file, principal, False

    def check(self, data, signature, signed_by, namespace, where, at=None):
        with tempfile.NamedTemporaryFile() as f:
            f.write(signature)
            f.flush()
            command = ["ssh-keygen", "-Y", "check-novalidate", "-n", namespace, "-s", f.name]
            if self.file:
                command[2:3] = ["verify", "-f", self.file, "-I", self.principal]
                command += ["-O", "verify-time=" + at.strftime("%Y%m%d%H%M%SZ")] if at else []
            out = run(*command, where=where, input=data).decode()
        require(signed_by in out.split(), where, "the signature is by another key than signed_by")
        if not self.file and not self.warned:
            self.warned = True
            note("the signers are not checked; pass ALLOWED_SIGNERS and PRINCIPAL")


# The checkpoint: the signed statement that covers the journal and the newest
# snapshot. Its key must be accepted now.
def check_checkpoint(export, store_id, signers):
    where = os.path.join(export, "checkpoint")
    line, feed, signature = read(where).partition(b"\n")
    require(feed, where, "has no line")
    c = parse_line(line, where)
    require(c["format"] == "oktasync.checkpoint/2", where, "has another format")
    require(c["store_id"] == store_id, where, "belongs to another store")
    require(c["export"] == os.path.basename(export), where, "belongs to another export")
    require((c["signed_by"] is None) == (signature == b""), where, "only one of signature and signed_by is there")
    if c["signed_by"]:
        signers.check(line + b"\n", signature, c["signed_by"], "oktasync-checkpoint@v1", where)
    else:
        require(not signers.file, where, "is not signed")
        note(os.path.basename(export) + " is not signed, so a fully rewritten export would also pass")
    return c


# The journal: each line contains the digest of the line before. The checkpoint
# covers a number of lines and bytes, and the last of these lines. An event adopted
# accepts the lines before it.
def check_journal(export, c):
    where, covered = os.path.join(export, "journal.ndjson"), int(c["bytes"])
    data = read(where) if covered or os.path.exists(where) else b""
    require(len(data) >= covered, where, "lines that the checkpoint covers are missing")
    if len(data) > covered:
        note(f"{where}: the checkpoint doesn't cover the last {len(data) - covered} bytes: a run is unfinished")
    events, digests, end, broken = [], [None], 0, None
    for line in lines(data[:covered], where):
        at = f"{where}: line {len(digests)}"
        try:
            e = parse_line(line, at)
            require(e["previous_line_sha256"] == digests[-1], at, "doesn't follow the line before it")
            require(e["event"] in EVENTS and e["export"] == c["export"], at, "has another event or export")
            if e["event"] == "adopted" and e.get("journal_sha256") == sha256(data[:end]):
                broken = None
        except Problem as problem:
            e, broken = {"event": ""}, broken or problem
        events.append(e)
        digests.append(sha256(line + b"\n"))
        end += len(line) + 1
    if broken:
        raise broken
    same = len(events) == int(c["lines"]) and (digests[-1] or "") == c["line_sha256"]
    require(same, where, "is not the one that the checkpoint covers")
    return events, digests


# A manifest: its form and its signature. The key must be accepted at the time
# signed.
def check_manifest(folder, signers, accepted=0):
    where = os.path.join(folder, "manifest.json")
    data = read(where)
    (line,) = lines(data, where)
    m = parse_line(line, where)
    require(m["format"] == "oktasync.snapshot/2", where, "has another format")
    started, finished, signed = time(m["read"]["started"]), time(m["read"]["finished"]), time(m["signed"])
    require(started <= finished <= signed, where, "its times contradict each other")
    require(m["snapshot"] == started.strftime("%Y%m%dT%H%M%SZ"), where, "its name is not the time at which its read began")
    if m["signed_by"]:
        signers.check(data, read(where + ".sig"), m["signed_by"], "oktasync-snapshot@v1", where, signed)
    else:
        require(not signers.file or int(m["sequence"]) <= accepted, where, "is not signed")
    return m, sha256(data)


# The link of a manifest to the previous one and to the journal.
def check_link(export, folder, m, previous, store_id, digests):
    require(m["store_id"] == store_id and m["export"] == os.path.basename(export), folder, "belongs to another store or export")
    require(m["snapshot"] == os.path.basename(folder), folder, "belongs to another folder")
    before, digest = previous or ({"sequence": 0, "snapshot": ""}, None)
    require(int(m["sequence"]) == int(before["sequence"]) + 1, folder, "a snapshot before it is missing")
    link = {"snapshot": before["snapshot"], "manifest_sha256": digest} if previous else None
    require(m["previous"] == link, folder, "doesn't follow the snapshot before it")
    later = m["snapshot"] > before["snapshot"] and (not previous or time(m["signed"]) >= time(before["signed"]))
    require(later, folder, "is earlier than the snapshot before it")
    at = int(m["journal"]["lines"])
    require(at < len(digests) and m["journal"]["sha256"] == (digests[at] or ""), folder, "names a line that is not in the journal")


# The journal and the snapshots: each published one is there, or was pruned.
def check_events(export, events, manifests):
    pruned = {e["snapshot"]: e["manifest_sha256"] for e in events if e["event"] == "pruned"}
    for n, e in enumerate(events, 1):
        if e["event"] == "adopted":
            note(f"{export}: {e.get('user')} adopted problems on {e['time']}; oktasync verify prints them")
        if e["event"] == "published" and not any(later["event"] == "adopted" for later in events[n:]):
            folder, digest = manifests.get(e["snapshot"], ("", ""))
            require(folder, export, e["snapshot"], "was published, and is missing")
            require(digest == e["manifest_sha256"], folder, "is not the snapshot that was published")
            if "timestamp_sha256" in e:
                stamp = os.path.join(folder, "manifest.json.tsr")
                require(sha256(read(stamp)) == e["timestamp_sha256"], stamp, "is not the time stamp of the publish")
    known = {e.get("snapshot") for e in events if e["event"] in ("published", "adopted")}
    for name, (folder, digest) in manifests.items():
        require(os.path.dirname(folder) == export or pruned.get(name) == digest, folder, "the journal has no event pruned for it")
        require(name in known or any(e["event"] == "adopted" for e in events), folder, "the journal has no event published for it")


# The quarantined reads: those that the journal names and that were neither dropped nor
# released, with the digests of their files.
def check_quarantine(folder, events, checked):
    waiting = {}
    for n, e in enumerate(events):
        if e["event"] == "quarantined":
            waiting[e["snapshot"]] = e["read_sha256"], any(later["event"] == "adopted" for later in events[n:])
        elif e["event"] == "dropped":
            waiting.pop(e["snapshot"], None)
        elif e["event"] == "published":
            waiting = {name: read for name, read in waiting.items() if read[0] != e.get("read_sha256")}
    try:
        there = set(os.listdir(folder)) if os.path.lexists(folder) else set()
    except PermissionError:
        return note(folder + ": this user can't read it, so the quarantined reads were not checked")
    for name in sorted(there - set(waiting)):
        note(f"{folder}/{name}: no covered line of the journal names it, so it proves nothing")
    for name, (digest, adopted) in sorted(waiting.items()):
        try:
            check_read(os.path.join(folder, name), digest)
        except Problem as problem:
            if not adopted:
                raise
            note(f"adopted: {problem}")
        checked["quarantined"] = checked.get("quarantined", 0) + 1


def check_read(folder, digest):
    where = os.path.join(folder, "read.json")
    data = read(where)
    require(sha256(data) == digest, where, "is not the read that the journal names")
    (line,) = lines(data, where)
    files = {f["name"]: f["sha256"] for f in parse_line(line, where)["files"]}
    require(set(os.listdir(folder)) == set(files) | {"read.json"}, folder, "a file is missing or not in read.json")
    for name, expected in files.items():
        require(sha256(read(folder, name)) == expected, os.path.join(folder, name), "has another digest")


# The control totals: the counted numbers of members are those of the records.
def check_control(folder, m, records):
    where, control = os.path.join(folder, "manifest.json"), m.get("control", {})
    everyone, groups = control.get("everyone"), control.get("groups")
    require(not everyone or int(everyone["counted"]) == len(records["users"]), where, "control: has another number of users")
    if groups:
        members, ids = records["group_members"], [d["id"] for d in groups["different"]]
        counted = {id: sum(e["group_id"] == id for e in members) for id in ids}
        same = all(counted[d["id"]] == int(d["counted"]) != int(d["okta"]) for d in groups["different"])
        if int(groups["compared"]) == len(records["groups"]):
            same = same and int(groups["counted"]) == len(members)
        require(same, where, "control: has other numbers of members")


# The last read of each group: the transcript has the reads of this snapshot, and the
# snapshot before has the same line for the other groups.
def check_parents(folder, m, records, before):
    name = "group_members.parents.ndjson"
    if all(f["name"] != name for f in m["files"]):
        return None  # the next snapshot can carry nothing
    where, members, read_at = os.path.join(folder, name), {}, {}
    for edge in records["group_members"]:
        members.setdefault(edge["group_id"], []).append(canonical(edge).encode() + b"\n")
    for line in lines(read(folder, "requests.ndjson"), folder):
        request = parse_line(line, folder)
        url = urllib.parse.urlsplit(request["path"])
        first = request["resource"] == "group_members" and request["status"] == "200" and "after" not in urllib.parse.parse_qs(url.query)
        if first:
            read_at[urllib.parse.unquote(url.path.split("/")[4])] = request["time"]
    parents = {p["group_id"]: p for p in (parse_line(line, where) for line in lines(read(where), where))}
    require(list(parents) == [g["id"] for g in records["groups"]], where, "has other groups")
    for id, p in parents.items():
        edges = members.get(id, [])
        require((len(edges), sha256(b"".join(edges))) == (int(p["rows"]), p["sha256"]), where, id, "has other members")
        was_read = p["snapshot"] == m["snapshot"] and p["read"] == read_at.get(id)
        carried = id not in read_at and p["snapshot"] < m["snapshot"] and before is not None and p == before.get(id, p)
        require(was_read or carried, where, id, "was not read as the line says")
    carried = sum(int(p["rows"]) for p in parents.values() if p["snapshot"] != m["snapshot"])
    require(carried == int(m["resources"]["group_members"].get("carried", 0)), where, "the manifest has another number of carried members")
    return parents


# The changes files of a pruned snapshot: each is there, or an event pruned names it.
def check_kept(folder, m, events):
    removed = {file for e in events if e["event"] == "pruned" and e["snapshot"] == m["snapshot"] for file in e["files"]}
    for file in m["files"]:
        if file["name"].endswith(".changes.ndjson") and file["name"] not in removed:
            require(sha256(read(folder, file["name"])) == file["sha256"], folder, file["name"], "has another digest")


# An export. A problem of a snapshot up to the sequence accepted is a note, because a
# person has adopted it.
def check_export(export, store_id, signers):
    c = check_checkpoint(export, store_id, signers)
    events, digests = check_journal(export, c)
    accepted = max([int(e["new_head"].split(":")[0]) for e in events if e["event"] == "adopted"], default=0)
    folders = sorted(glob.glob(export + "/pruned/2*") + glob.glob(export + "/2*"), key=os.path.basename)
    manifests, previous, before, since, parents = {}, None, {}, None, {}
    checked = {"manifests": 0, "snapshots": 0, "records": 0, "changes": 0}
    for folder in folders:
        name = os.path.basename(folder)
        require(name not in manifests, folder, "is in two folders")
        if name > c["snapshot"]:
            note(folder + ": the checkpoint doesn't cover it, so it proves nothing")
            continue
        m, digest = check_manifest(folder, signers, accepted)
        base, before, carried, parents = before, {}, parents, {}
        try:
            check_link(export, folder, m, previous, store_id, digests)
            if os.path.dirname(folder) != export:
                check_kept(folder, m, events)
            else:
                before = check_snapshot(folder, m, base, since, checked)
                check_control(folder, m, before)
                parents = check_parents(folder, m, before, carried)
        except Problem as problem:
            if int(m["sequence"]) > accepted:
                raise
            note(f"adopted: {problem}")
        previous, since, checked["manifests"] = (m, digest), time(m["read"]["started"]), checked["manifests"] + 1
        manifests[name] = folder, digest
    m, digest = previous or ({"snapshot": "", "sequence": 0}, "")
    newest, covered = (m["snapshot"], int(m["sequence"]), digest), (c["snapshot"], int(c["sequence"]), c["manifest_sha256"])
    require(newest == covered, export, "the newest snapshot is not the one that the checkpoint covers")
    require(not previous or time(c["time"]) >= time(m["signed"]), export, "the checkpoint is earlier than the newest snapshot")
    check_events(export, events, manifests)
    latest = os.path.join(export, "latest")
    if os.path.islink(latest):
        require(os.readlink(latest) == c["snapshot"], latest, "doesn't lead to the newest snapshot")
    check_quarantine(os.path.join(os.path.dirname(export), ".quarantine", c["export"]), events, checked)
    report(c["export"], checked)


def check(path, signers):
    if os.path.exists(os.path.join(path, "manifest.json")):
        checked = {"snapshots": 0, "records": 0, "changes": 0}
        m, _ = check_manifest(path, signers)
        records = check_snapshot(path, m, {}, None, checked)
        check_control(path, m, records)
        check_parents(path, m, records, {})
        note("this is one snapshot: the chain and the journal were not checked")
        report(m["export"] + "@" + m["snapshot"], checked)
        return
    require(os.path.exists(os.path.join(path, "oktasync.json")), path, "is no store (oktasync.json) and no snapshot (manifest.json)")
    store = parse(read(path, "oktasync.json"))
    exports = [e for e in sorted(os.listdir(path)) if os.path.isdir(os.path.join(path, e)) and not e.startswith(".")]
    require(exports, path, "has no export")
    problems = [attempt(check_export, os.path.join(path, export), store["store_id"], signers) for export in exports]
    return "\n".join(filter(None, problems)) or None


def attempt(check, *args):
    """The result of check, or the problem that ended it."""
    try:
        return check(*args)
    except Problem as problem:
        return plain(f"problem: {problem}")
    except FileNotFoundError as error:
        return plain(f"problem: {error.filename}: is missing or not installed")
    except OSError as error:
        return plain(f"problem: {error.filename}: {error.strerror}")
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        return plain(f"problem: {args[0]}: a file doesn't have the expected form ({type(error).__name__})")


def main(args):
    if len(args) not in (1, 3):
        return "usage: python3 check.py STORE|SNAPSHOT [ALLOWED_SIGNERS PRINCIPAL]"
    return attempt(check, os.path.normpath(args[0]), Signers(*args[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
