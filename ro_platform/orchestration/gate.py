"""``@gate``: an ordinary blocking asset check whose verdict is bound to exact bytes and a rule.

Use it where ``@dg.asset_check(blocking=True)`` stood; every argument of ``asset_check`` passes
through. What it adds: the configs that the check reads (thresholds live there), the check's code
version, and a receipt for every verdict, PASS or FAIL, which the read guard asks for.
"""

import functools
import hashlib
import inspect
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from ro_platform.config.settings import Settings
from ro_platform.contracts import (
    BoundRef,
    CorrelationIds,
    GateReceipt,
    GateRule,
    GateScope,
    GateStatus,
    ReceiptRecorded,
)
from ro_platform.errors import ArtifactNotFoundError, EncodingError, IntegrityError, SettingsError
from ro_platform.gates.receipts import rule_digest
from ro_platform.kernel.clock import utc_text
from ro_platform.orchestration.dagster_private import step_key_of
from ro_platform.orchestration.failures import shown_by_dagster
from ro_platform.orchestration.partitions import MANIFESTS, unit_of
from ro_platform.orchestration.sessions import StepSession, require_session
from ro_platform.plane import DAGSTER_ACTOR, Plane, shared_plane
from ro_platform.runs.scope import RunScope, only_declared_configs

GATE_METADATA = "ro/gate"

Check = Callable[..., dg.AssetCheckResult]


def gate(
    *,
    asset: dg.AssetKey | dg.AssetsDefinition | str | Sequence[str],
    name: str | None = None,
    configs: tuple[str, ...] = (),
    code_version: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> Callable[[Check], dg.AssetChecksDefinition]:
    """Make a check function a gate of an asset.

    ``configs`` are the only configs it may read. ``code_version`` says when its logic changes, so
    that verdicts of older logic go stale; left out, it is a digest of the function's source.
    """

    def decorate(check: Check) -> dg.AssetChecksDefinition:
        key = dg.AssetKey.from_coercible_or_definition(asset)
        check_name: str = name or check.__name__
        rule = GateRule(
            gate_id=gate_id(key, check_name),
            code_version=code_version or _source_version(check),
            configs=tuple(sorted(configs)),
        )
        unit = f"{unit_of(key)}#{check_name}"

        @functools.wraps(check)
        def judge(*args: Any, **kwargs: Any) -> dg.AssetCheckResult:
            with shown_by_dagster():
                judgement = _Judgement(dg.AssetCheckExecutionContext.get(), key, rule, unit)
                return judgement.of(functools.partial(check, *args, **kwargs))

        with warnings.catch_warnings():
            # Dagster 1.13 calls partitioned checks a preview; the receipt does not rest on them.
            warnings.simplefilter("ignore", dg.PreviewWarning)
            return dg.asset_check(
                asset=asset,
                name=check_name,
                blocking=True,
                metadata={**(metadata or {}), GATE_METADATA: rule.to_json_value()},
                **{"partitions_def": MANIFESTS, **options},
            )(judge)

    return decorate


def gate_id(asset: dg.AssetKey, check_name: str) -> str:
    """The gate's name in receipts: the asset key's parts and the check's name, joined by dots."""
    return ".".join((*asset.path, check_name))


def rule_of(spec: dg.AssetCheckSpec) -> GateRule | None:
    """The rule of a check that :func:`gate` made; None for any other check."""
    declared = spec.metadata.get(GATE_METADATA)
    if declared is None:
        return None
    return GateRule(**{**declared, "configs": tuple(declared.get("configs", ()))})


class _Judgement:
    """One evaluation of one gate: which bytes, under which rule, by which attempt."""

    def __init__(
        self, context: dg.AssetCheckExecutionContext, asset: dg.AssetKey, rule: GateRule, unit: str
    ) -> None:
        if not context.has_partition_key:
            raise EncodingError(
                f"gate {rule.gate_id!r} was started without a single manifest as its partition.",
                next_step="Start it for one partition at a time.",
            )
        self.plane: Plane = shared_plane(Settings.load())
        self.asset = unit_of(asset)
        self.rule = rule
        self.dagster_run_id = context.run.run_id
        self.session: StepSession = require_session(
            self.plane, self.dagster_run_id, step_key_of(context)
        )
        self.session.code_version = rule.code_version
        self.scope: RunScope = self.plane.scope(context.partition_key)
        attempt = self.session.attempt(self.scope.fingerprint, unit)
        if attempt is None:
            raise SettingsError(f"gate {rule.gate_id!r} has no attempt of its own in this step.")
        self.attempt_id = attempt.attempt_id
        self.subject = self.session.loaded(self.asset) or self._bound()

    def of(self, check: Callable[[], dg.AssetCheckResult]) -> dg.AssetCheckResult:
        """Let the check judge, write the receipt, and say what it is bound to."""
        self.plane.gates.amend(self.asset, self.rule, actor=DAGSTER_ACTOR)
        digest = rule_digest(self.rule, self.scope.manifest)
        with only_declared_configs(frozenset(self.rule.configs)):
            result = check()
        if not isinstance(result, dg.AssetCheckResult):
            raise EncodingError(
                f"gate {self.rule.gate_id!r} returned a {type(result).__name__}.",
                next_step="Return a dagster AssetCheckResult.",
            )
        if self._bound().digest != self.subject.digest:
            raise IntegrityError(
                f"asset {self.asset!r} was bound anew while gate {self.rule.gate_id!r} judged it.",
                next_step="Evaluate the gate again: its verdict would be about older bytes.",
            )
        recorded = self._record(GateStatus.PASS if result.passed else GateStatus.FAIL, digest)
        return dg.AssetCheckResult(
            passed=result.passed,
            severity=dg.AssetCheckSeverity.ERROR,  # a gate's FAIL binds, whatever it is called
            description=result.description,
            metadata={**(result.metadata or {}), **_shown(recorded)},
        )

    def _bound(self) -> BoundRef:
        ref = self.plane.store.binding(self.asset, self.scope.fingerprint)
        if ref is None:
            raise ArtifactNotFoundError(
                f"asset {self.asset!r} has no artifact for gate {self.rule.gate_id!r} to judge.",
                next_step="Materialize the asset for this manifest first.",
                manifest_fingerprint=self.scope.fingerprint,
            )
        return ref

    def _record(self, status: GateStatus, digest: str) -> ReceiptRecorded:
        receipt = GateReceipt(
            gate_id=self.rule.gate_id,
            status=status,
            subject=self.subject,
            scope=GateScope(
                asset=self.asset,
                manifest_fingerprint=self.scope.fingerprint,
                run_id=self.scope.run_id,
            ),
            rule_digest=digest,
            attempt_id=self.attempt_id,
            produced_at_utc=utc_text(self.plane.clock()),
        )
        return self.plane.receipts.record(
            receipt,
            actor=DAGSTER_ACTOR,
            correlation_ids=CorrelationIds(
                run_id=self.scope.run_id, dagster_run_id=self.dagster_run_id
            ),
        )


def _shown(recorded: ReceiptRecorded) -> dict[str, Any]:
    """What the Dagster UI shows beside the verdict."""
    return {
        "ro/verdict": recorded.status.value,
        "ro/subject_sha256": recorded.subject_digest,
        "ro/rule_digest": recorded.rule_digest,
        "ro/receipt_sha256": recorded.receipt.digest,
        "ro/receipt": recorded.receipt.ref,
    }


def _source_version(check: Check) -> str:
    try:
        source = textwrap.dedent(inspect.getsource(check))
    except (OSError, TypeError):
        raise SettingsError(
            f"gate {getattr(check, '__name__', check)!r} has no source to take a version from.",
            next_step="Give it a code_version.",
        ) from None
    return f"src-{hashlib.sha256(source.encode()).hexdigest()[:16]}"
