"""A bucket as a witness, on a real S3 server: who can replace a note, what each failure says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Barrier, Thread
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ro_platform.checkpoints.witnesses.s3 import PROBE, S3Witness
from ro_platform.errors import (
    CheckpointRefusedError,
    NotFoundError,
    RunOperateError,
    SettingsError,
    StoreNotWritableError,
)
from tests.ceph import ACCOUNTS, REGION, S3Server
from tests.endpoints import ForgetfulGateway, WebPage
from tests.servers import TcpProxy, free_port

ORIGIN = "ro-platform/test"
NAMES = [f"{ORIGIN}/{size:020d}.note" for size in (1, 20, 300)]
NOTE, OTHER = b"a note\n", b"another note\n"
RIGHTS = {
    "s3:PutObject": "arn:aws:s3:::{bucket}/*",
    "s3:GetObjectVersion": "arn:aws:s3:::{bucket}/*",
    "s3:ListBucketVersions": "arn:aws:s3:::{bucket}",
}


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own for a test, and its server."""

    server: S3Server
    name: str

    def witness(self, url: str = "", *, seconds: float = 30.0, name: str = "") -> S3Witness:
        """The witness in it, as a new process opens it."""
        url = url or self.server.url
        return S3Witness(
            name or self.name, "here", endpoint_url=url, region=REGION, timeout_seconds=seconds
        )

    def objects(self) -> dict[str, bytes]:
        """What a plain listing and a plain get show of it, without the object of the probe."""
        client = self.server.client()
        listed = client.list_objects_v2(Bucket=self.name).get("Contents", [])
        keys = [item["Key"] for item in listed if not item["Key"].endswith(PROBE)]
        return {key: client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys}

    def say(self, effect: str, *actions: str, accounts: tuple[str, ...] = ("owner",)) -> None:
        """A policy: those accounts may, or may not, do these."""
        said = [
            {
                "Effect": effect,
                "Principal": {"AWS": [f"arn:aws:iam:::user/{account}" for account in accounts]},
                "Action": [action],
                "Resource": [RIGHTS[action].format(bucket=self.name)],
            }
            for action in actions
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": said})
        self.server.client().put_bucket_policy(Bucket=self.name, Policy=policy)


@pytest.fixture(autouse=True)
def as_owner(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 finds the owner's credentials."""
    become("owner", s3, monkeypatch)


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    """Without versions."""
    return Bucket(s3, s3.new_bucket())


@pytest.fixture
def locked(s3: S3Server) -> Bucket:
    """With Object Lock in compliance mode, which means versions too."""
    return Bucket(s3, s3.new_bucket(locked=True))


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[TcpProxy]:
    """A way to the server that can lose requests and replies."""
    with TcpProxy(s3.port) as between:
        yield between


def become(account: str, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take on that account."""
    for name, value in server.environment(account).items():
        monkeypatch.setenv(name, value)


def through(proxy: TcpProxy) -> str:
    """The endpoint behind the proxy."""
    return f"http://127.0.0.1:{proxy.port}"


# --- no note is ever replaced ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bucket", "locked"])
def test_of_eight_forks_at_one_size_one_is_kept_and_seven_are_conflicts(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Whatever the order: each loser is told, and everybody reads the winner."""
    place: Bucket = request.getfixturevalue(kind)
    told: list[bytes | None] = []
    start = Barrier(8)

    def hand_over(note: bytes) -> None:
        witness = place.witness()
        witness.names(ORIGIN)
        start.wait()
        try:
            witness.keep(NAMES[0], note)
            told.append(note)
        except CheckpointRefusedError:
            told.append(None)

    writers = [Thread(target=hand_over, args=(b"fork %d\n" % one,)) for one in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    (winner,) = [note for note in told if note is not None]
    assert len(told) == 8
    assert place.witness().read(NAMES[0]) == winner


def test_a_fork_is_reported_as_one_and_the_first_note_stays(bucket: Bucket) -> None:
    """The error has its code, says where, and what to do."""
    bucket.witness().keep(NAMES[0], NOTE)
    with pytest.raises(CheckpointRefusedError) as caught:
        bucket.witness().keep(NAMES[0], OTHER)
    assert caught.value.code == "RO_CHECKPOINT_REFUSED"
    assert f"s3://{bucket.name}/here" in caught.value.message
    assert "the log was forked" in caught.value.message
    assert "keep both" in caught.value.next_step
    assert bucket.objects() == {f"here/{NAMES[0]}": NOTE}


def test_what_object_lock_keeps_nobody_deletes(locked: Bucket) -> None:
    """Not the owner either, nor with a bypass of governance."""
    locked.witness().keep(NAMES[0], NOTE)
    client, key = locked.server.client(), f"here/{NAMES[0]}"
    (version,) = client.list_object_versions(Bucket=locked.name, Prefix=key)["Versions"]
    for more in ({}, {"BypassGovernanceRetention": True}):
        with pytest.raises(ClientError, match="AccessDenied"):
            client.delete_object(
                Bucket=locked.name, Key=key, VersionId=version["VersionId"], **more
            )
    assert locked.witness().read(NAMES[0]) == NOTE


def test_a_delete_marker_hides_nothing_from_us(locked: Bucket) -> None:
    """Object Lock permits one: a plain listing is empty then, and ours is not."""
    locked.witness().keep(NAMES[0], NOTE)
    locked.server.client().delete_object(Bucket=locked.name, Key=f"here/{NAMES[0]}")
    assert locked.objects() == {}
    witness = locked.witness()
    assert witness.names(ORIGIN) == [NAMES[0]]
    assert witness.read(NAMES[0]) == NOTE
    with pytest.raises(CheckpointRefusedError):
        witness.keep(NAMES[0], OTHER)
    witness.keep(NAMES[0], NOTE)


def test_a_newer_version_put_past_us_changes_nothing(locked: Bucket) -> None:
    """Somebody with the same rights writes another note over it: the first one counts."""
    witness = locked.witness()
    for name in NAMES:
        witness.keep(name, NOTE)
        for content in (OTHER, b"and another\n"):
            locked.server.client().put_object(Bucket=locked.name, Key=f"here/{name}", Body=content)
    assert set(locked.objects().values()) == {b"and another\n"}
    later = locked.witness()
    assert later.names(ORIGIN) == NAMES
    for one in (witness, later):
        assert [one.read(name) for name in NAMES] == [NOTE] * 3
    with pytest.raises(CheckpointRefusedError):
        later.keep(NAMES[0], OTHER)


def test_an_endpoint_that_ignores_if_none_match_is_found_out_and_gets_nothing(
    bucket: Bucket,
) -> None:
    """It is a bad setting, said before the first note is put there, and each time."""
    with ForgetfulGateway(bucket.server) as gateway:
        witness = bucket.witness(gateway.url)
        for _ in range(2):
            with pytest.raises(SettingsError, match="ignored If-None-Match") as caught:
                witness.keep(NAMES[0], NOTE)
        assert caught.value.code == "RO_SETTINGS"
        assert "Object Lock" in caught.value.next_step
        assert witness.names(ORIGIN) == []
    assert bucket.objects() == {}


def test_versions_make_up_for_an_endpoint_that_ignores_if_none_match(locked: Bucket) -> None:
    """There the second object is a newer version, and the first one counts."""
    with ForgetfulGateway(locked.server) as gateway:
        locked.witness(gateway.url).keep(NAMES[0], NOTE)
        with pytest.raises(CheckpointRefusedError):
            locked.witness(gateway.url).keep(NAMES[0], OTHER)
    assert locked.witness().read(NAMES[0]) == NOTE


def test_a_bucket_whose_versions_were_suspended_has_to_refuse_too(bucket: Bucket) -> None:
    """Then a second object would replace the first, so the header has to be kept."""
    for status in ("Enabled", "Suspended"):
        bucket.server.client().put_bucket_versioning(
            Bucket=bucket.name, VersioningConfiguration={"Status": status}
        )
    with ForgetfulGateway(bucket.server) as gateway, pytest.raises(SettingsError):
        bucket.witness(gateway.url).keep(NAMES[0], NOTE)
    assert bucket.objects() == {}


def test_the_rights_in_the_guide_suffice_and_do_not_erase(
    locked: Bucket, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plane's own account, in a bucket of another one, which audits and cannot erase either."""
    locked.say("Allow", *RIGHTS, accounts=("plane", "owner"))
    become("plane", s3, monkeypatch)
    witness = locked.witness()
    for name in NAMES:
        witness.keep(name, NOTE)
    assert witness.names(ORIGIN) == NAMES
    assert witness.read(NAMES[1]) == NOTE
    with pytest.raises(NotFoundError):
        witness.read(f"{ORIGIN}/{7:020d}.note")
    become("owner", s3, monkeypatch)
    auditor = locked.witness()
    assert auditor.names(ORIGIN) == NAMES
    assert auditor.read(NAMES[1]) == NOTE
    key = f"here/{NAMES[0]}"
    (version,) = s3.client().list_object_versions(Bucket=locked.name, Prefix=key)["Versions"]
    for account in ("plane", "owner"):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.client(account).delete_object(
                Bucket=locked.name, Key=key, VersionId=version["VersionId"]
            )


# --- what each failure says -----------------------------------------------------------------------


def told(call: Callable[[], Any]) -> RunOperateError:
    """The one error, which is ours and quotes no secret."""
    with pytest.raises(RunOperateError) as caught:
        call()
    error = caught.value
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert error.next_step
    for text in (str(error), *error.diagnostics().values()):
        assert not any(secret in text for secret in (*ACCOUNTS.values(), "wrong-secret"))
        assert "botocore" not in text
    return error


def both(witness: S3Witness) -> tuple[RunOperateError, RunOperateError]:
    """What it says to a note and to a question."""
    return told(lambda: witness.keep(NAMES[0], NOTE)), told(lambda: witness.names(ORIGIN))


def test_a_wrong_secret(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials are not accepted."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    for error in both(bucket.witness()):
        assert error.code == "RO_BACKEND_UNAVAILABLE"
        assert f"s3://{bucket.name}/here does not serve" in error.message
        assert "does not accept the credentials (SignatureDoesNotMatch)" in error.message
        assert "AWS_SECRET_ACCESS_KEY" in error.next_step


def test_an_unknown_account(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, under the endpoint's own word for it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    for error in both(bucket.witness()):
        assert "does not accept the credentials (InvalidAccessKeyId)" in error.message


def test_no_credentials(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nowhere that boto3 looks."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for error in both(bucket.witness()):
        assert error.code == "RO_BACKEND_UNAVAILABLE"
        assert "there are no credentials for it" in error.message


def test_a_missing_bucket(bucket: Bucket) -> None:
    """It is not created by us."""
    for error in both(bucket.witness(name="not-there")):
        assert error.code == "RO_BACKEND_UNAVAILABLE"
        assert "there is no such bucket at that endpoint (NoSuchBucket)" in error.message
        assert "Create it" in error.next_step


def test_a_bucket_that_denies_writing(bucket: Bucket) -> None:
    """By a policy, to its owner as well: what is there can still be read."""
    bucket.witness().keep(NAMES[0], NOTE)
    bucket.say("Deny", "s3:PutObject")
    error = told(lambda: bucket.witness().keep(NAMES[1], NOTE))
    assert isinstance(error, StoreNotWritableError)
    assert error.code == "RO_STORE_NOT_WRITABLE"
    assert "it denies PutObject (AccessDenied)" in error.message
    assert "s3:PutObject" in error.next_step
    assert bucket.witness().read(NAMES[0]) == NOTE


def test_a_bucket_that_denies_reading(bucket: Bucket) -> None:
    """Both ways of it are named."""
    bucket.witness().keep(NAMES[0], NOTE)
    bucket.say("Deny", "s3:ListBucketVersions")
    error = told(lambda: bucket.witness().names(ORIGIN))
    assert "it denies ListObjectVersions (AccessDenied)" in error.message
    bucket.say("Deny", "s3:GetObjectVersion", "s3:PutObject")
    error = told(lambda: bucket.witness().read(NAMES[0]))
    assert "it denies GetObject (AccessDenied)" in error.message
    assert "s3:GetObjectVersion" in error.next_step


def test_a_server_that_is_down(bucket: Bucket) -> None:
    """Nobody listens there."""
    for error in both(bucket.witness(f"http://127.0.0.1:{free_port()}")):
        assert error.code == "RO_BACKEND_UNAVAILABLE"
        assert error.retryable
        assert "its endpoint cannot be reached" in error.message


def test_a_server_that_does_not_answer_in_time(bucket: Bucket, proxy: TcpProxy) -> None:
    """The wait ends; once it answers again, the same witness serves."""
    witness = bucket.witness(through(proxy), seconds=0.3)
    proxy.lose("silence", at=b"HTTP/1.1", times=100)
    for error in both(witness):
        assert error.code == "RO_BACKEND_UNAVAILABLE"
        assert "it did not answer within 0.3 seconds" in error.message
    proxy.lose("", at=b"", times=0)
    witness.keep(NAMES[0], NOTE)
    assert bucket.objects() == {f"here/{NAMES[0]}": NOTE}


def test_connections_that_are_cut(bucket: Bucket, proxy: TcpProxy) -> None:
    """Now and then is repeated unseen; for good is an error, and nothing was put there."""
    witness = bucket.witness(through(proxy))
    proxy.lose("request", at=b"HTTP/1.1", times=100)
    for error in both(witness):
        assert error.code == "RO_BACKEND_UNAVAILABLE"
        assert "its endpoint cannot be reached" in error.message
    proxy.lose("request", at=NAMES[0].encode(), times=1)
    witness.keep(NAMES[0], NOTE)
    assert bucket.objects() == {f"here/{NAMES[0]}": NOTE}


@pytest.mark.parametrize("kind", ["bucket", "locked"])
def test_a_put_whose_reply_was_lost_counts_once(
    kind: str, proxy: TcpProxy, request: pytest.FixtureRequest
) -> None:
    """The client repeats it, and finds that what is there is this one."""
    place: Bucket = request.getfixturevalue(kind)
    proxy.lose("reply", at=f"PUT /{place.name}/here/{NAMES[0]}".encode())
    place.witness(through(proxy)).keep(NAMES[0], NOTE)
    assert place.witness().names(ORIGIN) == [NAMES[0]]
    assert place.witness().read(NAMES[0]) == NOTE


def test_an_endpoint_that_is_not_s3(bucket: Bucket) -> None:
    """A web page that answers everything is not taken for a bucket."""
    with WebPage() as page:
        for error in both(bucket.witness(page.url)):
            assert error.code == "RO_BACKEND_UNAVAILABLE"
