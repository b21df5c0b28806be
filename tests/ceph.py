"""A real S3 server for tests: Ceph's gateway over one monitor and one store, which is in memory.

Without its packages the tests that ask for it are skipped, or fail, as those of PostgreSQL are.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.servers import free_port, require

PACKAGES = ("radosgw", "ceph-mon", "ceph-osd")
"""Debian's, and each has the program of its name."""
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
START_SECONDS = 60
CLUSTER = "6c1fd8c2-0d4b-4a08-9c55-5d1c5b5c9e3a"
ACCOUNTS = {"owner": "secret-of-the-owner", "plane": "secret-of-the-plane"}
"""The access key of each, which is its name, and the secret key."""
REGION = "us-east-1"

SETTINGS = """
[global]
fsid = {cluster}
mon_initial_members = a
mon_host = {monitor}
ms_bind_msgr1 = false
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
keyring = {folder}/keyring
auth_allow_insecure_global_id_reclaim = false
run_dir = {folder}
crash_dir = {folder}
admin_socket =
pid_file =
log_file =
log_to_stderr = true
mon_cluster_log_file =
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
osd_mon_report_interval = 1
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_dynamic_resharding = false
rgw_override_bucket_index_max_shards = 1
rgw_data_log_num_shards = 1
rgw_gc_max_objs = 1
rgw_lc_max_objs = 1
rgw_thread_pool_size = 16
rgw_run_sync_thread = false
"""
KEYS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
    "client.rgw": {"mon": "allow rw", "osd": "allow rwx"},
}


@cache
def _client(url: str, account: str) -> Any:
    import boto3  # here: the root conftest.py imports this module for every test

    return boto3.Session().client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=account,
        aws_secret_access_key=ACCOUNTS[account],
    )


@dataclass(frozen=True)
class S3Server:
    """One running server. Of its two accounts, ``owner`` owns the buckets."""

    port: int

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self, account: str = "owner") -> dict[str, str]:
        """What makes boto3 use that account, whatever the tester's own settings are."""
        return {
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": ACCOUNTS[account],
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }

    def client(self, account: str = "owner") -> Any:
        """boto3's, as that account."""
        return _client(self.url, account)

    def new_bucket(self, *, locked: bool = False) -> str:
        """A bucket that nobody used; ``locked``: for a day nothing can be deleted from it."""
        name, client = f"b-{secrets.token_hex(8)}", self.client()
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=locked)
        if locked:
            kept = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
            client.put_object_lock_configuration(
                Bucket=name,
                ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": kept},
            )
        return name


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A fresh server, until the block ends. Skips or fails where Ceph is not installed.

    Its processes die with the one that started them, also where that is killed.
    """
    for package in PACKAGES:
        require(package, package)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="ro-ceph-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = S3Server(free_port())
        cluster = _Cluster(folder, server)
        stack.callback(cluster.stop)
        cluster.start()
        yield server


class _Cluster:
    """A monitor, a store and the gateway, brought up as in Ceph's "Manual Deployment"."""

    def __init__(self, folder: Path, server: S3Server) -> None:
        self._folder = folder
        self._server = server
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start it, and wait until it answers."""
        monitor = f"[v2:127.0.0.1:{free_port()}]"
        self._file("ceph.conf").write_text(
            SETTINGS.format(
                cluster=CLUSTER, folder=self._folder, monitor=monitor, port=self._server.port
            )
        )
        keys, monmap = str(self._file("keyring")), str(self._file("monmap"))
        for name, allowed in KEYS.items():
            caps = [word for pair in allowed.items() for word in ("--cap", *pair)]
            create = [] if self._file("keyring").exists() else ["--create-keyring"]
            self._run("ceph-authtool", *create, keys, "--gen-key", "-n", name, *caps)
        self._run("monmaptool", "--create", "--fsid", CLUSTER, "--addv", "a", monitor, monmap)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keys)
        self._serve("ceph-mon", "-i", "a")
        self._run("ceph", "osd", "create", CLUSTER, "0")
        self._file("osd").mkdir()
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", CLUSTER)
        self._serve("ceph-osd", "-i", "0")
        # Before the gateway runs: both would make the pools, and one wait for seconds.
        for name, secret in ACCOUNTS.items():
            account = ("--uid", name, "--display-name", name)
            pair = ("--access-key", name, "--secret-key", secret)
            self._run("radosgw-admin", "-n", "client.rgw", "user", "create", *account, *pair)
        self._serve("radosgw", "-n", "client.rgw")
        self._wait()

    def stop(self) -> None:
        """End its processes at once: what they hold is not needed."""
        for process in reversed(self._running):
            process.kill()
            process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self._server.port), timeout=1).close()
                return
            if time.monotonic() > deadline or any(one.poll() is not None for one in self._running):
                raise RuntimeError(f"Ceph did not start:\n{self._said()}")
            time.sleep(0.02)

    def _said(self) -> str:
        logs = sorted(self._folder.glob("*.log"))
        return "\n".join(f"{log.name}:\n{log.read_text()[-2000:]}" for log in logs)

    def _file(self, name: str) -> Path:
        return self._folder / name

    def _serve(self, program: str, *words: str) -> None:
        # A test that is killed takes the servers along.
        bound = ("setpriv", "--pdeathsig", "KILL", "--")
        with self._file(f"{program}.log").open("wb") as log:
            self._running.append(
                subprocess.Popen(
                    [*bound, *self._words(program, *words), "-f"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    **self._surroundings(),
                )
            )

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            self._words(program, *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=START_SECONDS,
            check=False,
            **self._surroundings(),
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode()[-1000:]}\n{self._said()}")

    def _words(self, program: str, *words: str) -> list[str]:
        configured = [] if program in {"ceph-authtool", "monmaptool"} else ["-c", "ceph.conf"]
        return [program, *configured, *words]

    def _surroundings(self) -> dict[str, Any]:
        # Nothing of the tester's own: CEPH_ARGS, or a Python path that Debian's `ceph` would take.
        return {"cwd": self._folder, "env": {"PATH": PATH, "HOME": str(self._folder)}}
