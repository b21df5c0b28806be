"""A second verifier of dossiers: python verify_dossier.py FILE KEY [WITNESS ...]

KEY is a verifier key, `name+hex(key id)+base64`, or a file that holds one. Exit 0: verified; 6:
refused, with the reason. It needs the standard library and `cryptography`, shares no code with
ro_platform, and follows docs/reference/dossier.md.
"""

import base64, hashlib, json, re, sys
from collections import namedtuple
from decimal import Decimal
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SAFE, LARGEST, NIL = 2**53 - 1, 1 << 28, hashlib.sha256().digest()
DOCUMENTS = "checkpoint entries.jsonl manifest.json proofs.json refs.json statement.json".split()
NAMED, BUILD = "config/{config_name}/{config_version}", "urn:ro-platform:run:v0"
OTHERS = r"|(configs|receipts)/[0-9a-f]{64}\.json|artifacts/[0-9a-f]{64}"
FIELDS = "seq kind body subject".split()
ENTRY = {*FIELDS, *"key actor recorded_at_utc mentions correlation_ids".split()}
MOVES = {None: "QUEUED RUNNING REFUSED", "QUEUED": "RUNNING CANCELED LOST REFUSED"}
MOVES["RUNNING"] = "SUCCEEDED FAILED CANCELED LOST"
Key = namedtuple("Key", "name id public")
sha256 = lambda data: hashlib.sha256(data).hexdigest()
leaf = lambda data: hashlib.sha256(b"\0" + data).digest()  # RFC 9162, section 2.1
node = lambda left, right: hashlib.sha256(b"\1" + left + right).digest()
identity = lambda *parts: sha256("\n".join(parts).encode())[:32]

def need(holds, reason):
    if not holds:
        raise ValueError(reason)

def b64(text):
    need(base64.b64encode(data := base64.b64decode(text, validate=True)).decode() == text, "base64")
    return data

def number(value):  # RFC 8785, section 3.2.2.3
    need(isinstance(value, float) or abs(value) <= SAFE, "an integer beyond 2^53-1")
    exact = (Decimal(repr(value)) + 0).normalize()
    if not value or 1e-6 <= abs(value) < 1e21:
        return f"{exact:f}"
    sign, (first, *rest), exponent = exact.as_tuple()
    text = f"{first}.{''.join(map(str, rest))}".rstrip(".")
    return f"{'-' * sign}{text}e{exponent + len(rest):+d}"

def jcs(value):  # RFC 8785
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list):
        return f"[{','.join(map(jcs, value))}]"
    pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
    return f"{{{','.join(f'{jcs(key)}:{jcs(item)}' for key, item in pairs)}}}"

def document(data, what):
    value = json.loads(data.decode(), parse_int=lambda n: (int, float)[abs(float(n)) > SAFE](n))
    need(jcs(value).encode() == data, f"{what} is not in canonical form")
    return value

def root_of(leaves):
    half = 1 << max(len(leaves) - 1, 1).bit_length() - 1
    return node(root_of(leaves[:half]), root_of(leaves[half:])) if leaves[1:] else [*leaves, NIL][0]

def climb(found, index, size, path):  # the root that a path leads to, from a leaf upwards
    if size == 1:
        need(not path, "a proof is too long")
        return found
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return node(climb(found, index, half, path[:-1]), path[-1])
    return node(path[-1], climb(found, index - half, size - half, path[:-1]))

def header(name, size):  # POSIX ustar, in the one form that a dossier has
    start = name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2
    start += b"%011o\0" % size + b"00000000000\0"
    end = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
    return start + b"%06o\0 " % (sum(start) + 256 + sum(end)) + end

def members(data):  # The bytes of each member; written again, they must give the very same file.
    found, place, name = {}, 0, re.compile("|".join(map(re.escape, DOCUMENTS)) + OTHERS)
    while data[place : place + 512] != bytes(512):
        block = data[place : place + 512]
        need(re.fullmatch(rb"[0-7]{11}\0", block[124:136]), "it is cut off, or no tar file")
        size, start = int(block[124:135], 8), place + 512
        found[block[:100].rstrip(b"\0").decode("ascii")] = data[start : start + size]
        place = start + size + -size % 512
    again = [header(n, len(m)) + m + bytes(-len(m) % 512) for n, m in sorted(found.items())]
    need(b"".join(again) + bytes(1024) == data, "the file is not in its one form")
    need(all(map(name.fullmatch, found)) and set(DOCUMENTS) <= set(found), "its members' names")
    need(all(len(m) <= LARGEST or n.startswith("a") for n, m in found.items()), "it is too large")
    return found

def read_key(text):
    name, key_id, public = text.strip().split("+", 2)
    key = sha256(f"{name}\n".encode() + (data := b64(public)))[:8]
    need((key, data[0]) == (key_id, 1), "it is no verifier key")
    return Key(name, key_id, Ed25519PublicKey.from_public_bytes(data[1:]))

def open_statement(data, key):  # DSSE 1.0, in-toto Statement v1
    envelope, kind = document(data, "statement.json"), "application/vnd.in-toto+json"
    text, sig = envelope["payload"], envelope["signatures"][0]["sig"]
    signatures = [{"keyid": f"{key.name}+{key.id}", "sig": sig}]
    expected = dict(payload=text, payloadType=kind, signatures=signatures)
    need(envelope == expected, "statement.json is no envelope with one signature of that key")
    payload = b64(text)
    pae = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    key.public.verify(b64(sig), pae)
    return payload, document(payload, "the statement")

def open_checkpoint(note, keys):  # C2SP signed-note and tlog-checkpoint
    text, blank, lines = note.decode().rpartition("\n\n")
    need(len(note) <= 1 << 20 and not re.search(r"[\0-\x09\x0b-\x1f]", note.decode()), "no note")
    need(blank and lines.endswith("\n") and lines.count("\n") <= 100, "the checkpoint's signatures")
    signed = []
    for line in lines[:-1].split("\n"):
        found = re.fullmatch(r"— ([^\s+]+) (\S+)", line)
        need(found and len(data := b64(found[2])) > 4, f"{line!r} is no signature line")
        for key in (key for key in keys if (key.name, key.id) == (found[1], data[:4].hex())):
            key.public.verify(data[4:], f"{text}\n".encode())
            signed.append(key)
    need(sorted(key[:2] for key in signed) == sorted(key[:2] for key in keys), "its signers")
    origin, size, root, *extensions = text.split("\n")
    need(origin == keys[0].name and all(extensions), "the checkpoint is of another log")
    need(re.fullmatch(r"0|[1-9][0-9]{0,18}", size) and len(b64(root)) == 32, "no checkpoint")
    return int(size), b64(root)

def read_entries(found, size, root):
    paths, data, last = document(found["proofs.json"], "proofs.json"), found["entries.jsonl"], -1
    need(data.endswith(b"\n"), "entries.jsonl does not end with a line feed")
    entries = [(document(line, "an entry"), line) for line in data[:-1].split(b"\n")]
    for entry, line in entries:
        seq = entry["seq"]
        need(set(entry) <= ENTRY and isinstance(seq, int), f"entry {seq} is no entry")
        names = entry.get("mentions", ())
        need(not any(name.startswith("draft/") for name in names), f"entry {seq} is of a draft")
        need(last < seq < size, f"entry {seq} is out of order, there twice, or not in the log")
        need(all(re.fullmatch("[0-9a-f]{64}", step) for step in paths[str(seq)]), "no hashes")
        path, last = [bytes.fromhex(step) for step in paths[str(seq)]], seq
        need(climb(leaf(line), seq, size, path) == root, f"entry {seq} is not in the log")
    need(len(paths) == len(entries), "there are proofs of entries that are not there")
    return entries

def check_records(own, touching, run, fingerprint):  # each whole, sealed, linked; the last seal
    begun, seal, number = [], None, 0
    for entry, line in own:
        kind, body, seq = entry["kind"], entry["body"], entry["seq"]
        ours = (body.get("run_id"), body.get("manifest_fingerprint")) == (run, fingerprint)
        if kind == "run_sealed":
            touched = [hashed for place, hashed in touching.items() if place < seq]
            said = [body.get(name) for name in "record count touched first previous".split()]
            fits = said == [number + 1, len(begun), len(touched), begun[0][0], seal and seal["seq"]]
            need(fits, f"seal {seq}: its record, or what touched the run, is not complete")
            need(ours and entry["subject"] == f"run/{run}", f"seal {seq} is another run's")
            roots = [root_of([leaf(item) for _, item in begun]).hex(), root_of(touched).hex()]
            need([body["root"], body["touched_root"]] == roots, f"seal {seq}: its entries")
            begun, seal, number = [], entry, number + 1
            continue
        need((kind == "run_reopened") == bool(seal and not begun), f"entry {seq} is in no record")
        if kind == "run_reopened":
            link = ours and (body["record"], body["sealed"]) == (number + 1, seal["seq"])
            need(link, f"the reopening {seq} does not link to the seal before it")
        begun.append((seq, line))
    need(seal and not begun, "there are entries that are not sealed")
    return seal

def check_work(own, found, run, fingerprint):  # in order; references and receipts
    states, numbers, refs, receipts = {}, {}, {}, {}
    for seq, kind, body, subject in (map(e.get, FIELDS) for e, _ in own):
        if kind == "attempt_transition":
            attempt, job = body["attempt_id"], identity("ro/job/v0", run, body["unit"])
            named = (body["job_id"], attempt, body["manifest_fingerprint"])
            of = identity("ro/attempt/v0", job, str(body["number"]))
            need(named == (job, of, fingerprint), f"entry {seq} names another attempt")
            need(body["status"] in MOVES.get(states.get(attempt), "").split(), f"entry {seq}: move")
            numbers[job] = numbers.get(job, 0) + (attempt not in states)
            need(body["number"] <= numbers[job], f"entry {seq}: an attempt before it is missing")
            states[attempt] = body["status"]
        elif kind == "artifact_bound":
            ref, name = body["artifact"], body["artifact"]["ref"]
            place = re.escape(f"refs/{body['asset']}/fingerprint={fingerprint}/rev=")
            need(re.fullmatch(rf"{place}\d{{6}}\.json", name), f"entry {seq}: its place")
            about = [body["manifest_fingerprint"], subject] == [fingerprint, f"artifact/{name}"]
            need(about, f"entry {seq} is about something else")
            need(states.get(body["attempt_id"]) == "RUNNING", f"entry {seq}: nothing was running")
            need(refs.setdefault(name, ref) == ref, f"{name} is bound twice over")
        elif kind == "gate_receipt":
            digest = body["receipt"]["digest"]
            receipt = document(data := found[f"receipts/{digest}.json"], "a receipt")
            scope, ours = receipt["scope"], {"run_id": run, "manifest_fingerprint": fingerprint}
            need(len(data) == body["receipt"]["size_bytes"], f"the receipt of entry {seq}")
            said = {n: receipt[n] for n in ("gate_id", "status", "rule_digest")} | scope | ours
            said |= {"subject_digest": receipt["subject"]["digest"]}
            need(scope.items() >= ours.items() and receipt["attempt_id"] in states, f"entry {seq}")
            need(body | said == body | {"run_id": run}, f"entry {seq} is another verdict")
            receipts[body["receipt"]["ref"], digest] = receipt
    need(not set(states.values()) & {"QUEUED", "RUNNING"}, "an attempt did not end")
    for item in (receipt["subject"] for receipt in receipts.values()):
        need(refs.get(item["ref"], {}).get("digest") == item["digest"], "a verdict is on nothing")
    return [refs[name] for name in sorted(refs)], receipts

def check_context(context, touching, pins, assets):  # it touched the run, or explains it
    events = {identity("ro/admin/v0", "publish_config", name) for name in pins}
    events |= {e["body"].get("admin_event_id") for e in context if e["seq"] in touching} - {None}
    published = set()
    for seq, kind, body, _ in (map(e.get, FIELDS) for e in context):
        if kind == "config_published" and seq not in touching:
            published.add(name := NAMED.format(**body["version"]))
            known = pins.get(name) == body["version"]["digest"]
        elif kind == "gate_set_declared":
            known = body["asset"] in assets
        else:
            known = kind in ("admin_event", "pass_revoked") and body["admin_event_id"] in events
        need(known or seq in touching, f"entry {seq} ({kind}) has nothing to do with the run")
    need(published == set(pins), "the publication of a config is missing")

def check_bytes(found, folder, expected):  # exactly these: sizes by SHA-256
    end = "" if folder == "artifacts" else ".json"
    names = {name for name in found if name.startswith(f"{folder}/")}
    need(names == {f"{folder}/{digest}{end}" for digest in expected}, f"{folder}: not what belongs")
    for digest, size in expected.items():
        data = found[f"{folder}/{digest}{end}"]
        need(sha256(data) == digest and size in (None, len(data)), f"{digest}: its bytes")
        need(not end or jcs(document(data, digest)), digest)

def artifacts(found, refs, receipts, inside, withheld):  # the bytes that belong into it
    evidence = [item["evidence"] for item in receipts.values() if "evidence" in item]
    known = {ref["digest"]: ref for ref in evidence + refs if ref.get("digest")}
    need(inside in (True, False) and set(withheld) <= set(known if inside else ()), "withheld")
    wanted = {}
    for digest in set(known) - set(withheld) if inside else ():
        wanted[digest] = known[digest].get("size_bytes")
        if known[digest].get("media_type") == "application/vnd.ro.tree+json":
            tree = json.loads(found[f"artifacts/{digest}"])
            wanted |= {member["digest"]: member["size_bytes"] for member in tree["members"]}
    return wanted

def statement(key, manifest, pins, own, seal, refs, receipts, rest):
    resource = lambda name, digest: {"name": name, "digest": {"sha256": digest}}
    inputs = [(f"input/{i['name']}", i["ref"]["digest"]) for i in manifest.get("inputs", [])]
    definition = {"buildType": BUILD, "externalParameters": {"manifest": manifest}}
    definition["resolvedDependencies"] = [resource(*item) for item in (*inputs, *pins.items())]
    first, last = own[0][0]["recorded_at_utc"], seal["recorded_at_utc"]
    details = {"builder": {"id": f"urn:ro-platform:log:{key.name}"}}
    details["metadata"] = {"invocationId": rest["run_id"], "startedOn": first, "finishedOn": last}
    details["byproducts"] = [resource(*item) for item in sorted(receipts)]
    subjects = [resource(ref["ref"], ref["digest"]) for ref in refs]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects or [resource("manifest.json", rest["manifest_fingerprint"])],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": definition, "runDetails": details, "ro_dossier": rest},
    }

def verify(path, key, witnesses=()):
    found = members(path.read_bytes())
    payload, said = open_statement(found["statement.json"], key)
    inside, withheld = (said["predicate"]["ro_dossier"][n] for n in ("with_artifacts", "withheld"))
    size, root = open_checkpoint(found["checkpoint"], [key, *witnesses])
    manifest, fingerprint = document(found["manifest.json"], "it"), sha256(found["manifest.json"])
    run, versions = identity("ro/run/v0", fingerprint), manifest.get("config_versions", [])
    pins = {NAMED.format(**version): version["digest"] for version in versions}
    check_bytes(found, "configs", dict.fromkeys(pins.values()))
    entries = read_entries(found, size, root)
    own = [pair for pair in entries if pair[0]["correlation_ids"].get("run_id") == run]
    context = [entry for entry, _ in entries if "run_id" not in entry["correlation_ids"]]
    need(len(own) + len(context) == len(entries), "it has another run's entry")
    touching = {e["seq"]: leaf(t) for e, t in entries if f"touched/{run}" in e.get("mentions", ())}
    seal = check_records(own, touching, run, fingerprint)
    (said,) = (entry["body"] for entry, _ in own if entry["kind"] == "run_registered")
    parameters = sha256(jcs(manifest.get("parameters", {})).encode())
    same = (said["manifest_fingerprint"], said["workload"]) == (fingerprint, manifest["workload"])
    need(same and said["parameter_hash"] == parameters, "another manifest is registered")
    refs, receipts = check_work(own, found, run, fingerprint)
    need(found["refs.json"] == jcs(refs).encode(), "refs.json is not what was bound")
    assets = {ref["ref"].removeprefix("refs/").rpartition("/fingerprint=")[0] for ref in refs}
    check_context(context, touching, pins, assets)
    check_bytes(found, "receipts", {digest: None for _, digest in receipts})
    check_bytes(found, "artifacts", artifacts(found, refs, receipts, inside, withheld))
    rest = {"kind": "ro.dossier.v0", "manifest_fingerprint": fingerprint, "withheld": withheld}
    rest |= {
        "run_id": run,
        "checkpoint": {"size": size, "root": root.hex()},
        "with_artifacts": inside,
    }
    rest["members"] = {name: sha256(found[name]) for name in found if name != "statement.json"}
    expected = statement(key, manifest, pins, own, seal, refs, receipts, rest)
    need(jcs(expected).encode() == payload, "the statement or a member is not what was signed")
    return f"verified: run {run}, {len(entries)} entries, {len(refs)} artifacts, log size {size}"

if __name__ == "__main__":
    path, *keys = sys.argv[1:]
    try:
        keys = [read_key(Path(key).read_text() if Path(key).is_file() else key) for key in keys]
        print(verify(Path(path), keys[0], keys[1:]))
    except OSError as error:
        sys.exit(f"{path} cannot be read: {error}")
    except Exception as error:  # what no sense can be made of is refused, too
        print(f"refused: {str(error) or 'a signature is not genuine'}", file=sys.stderr)
        sys.exit(6)
