"""``@gate``: an ordinary blocking asset check whose verdict is bound to exact bytes and a rule.

Use it where ``@dg.asset_check(blocking=True)`` stood; every argument of ``asset_check`` passes
through. What it adds: the configs that the check reads (thresholds live there), the check's code
version, and a receipt for every verdict, PASS or FAIL, which the read guard asks for. A result of
severity WARN is a PASS that is on record as a warning, as Dagster does not let it block either.
"""

import asyncio
import contextvars
import functools
import inspect
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ro_platform import errors
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
from ro_platform.dagster_private.definitions import function_of
from ro_platform.dagster_private.running import step_key_of
from ro_platform.gates.made import artifact_of
from ro_platform.gates.receipts import rule_digest
from ro_platform.kernel.clock import utc_text
from ro_platform.orchestration.failures import shown_by_dagster
from ro_platform.orchestration.listings import keep_listings
from ro_platform.orchestration.names import require_gate_name, require_rule_names
from ro_platform.orchestration.partitions import MANIFEST_TAGS, MANIFESTS, ByManifest, unit_of
from ro_platform.orchestration.rules import Gate, refuse_config
from ro_platform.orchestration.sessions import (
    StepSession,
    declarations_of,
    judging,
    require_session,
)
from ro_platform.plane import DAGSTER_ACTOR, Plane, shared_plane
from ro_platform.runs.scope import RunScope, only_declared_configs

GATE_METADATA = "ro/gate"
_FIRST = {"dagster/priority": "1"}
"""A gate starts before the other checks of its asset, which wait for its verdict."""

Check = Callable[..., Any]


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

    >>> import dagster as dg
    >>> from ro_platform import MANIFESTS, gate
    >>> @dg.asset(partitions_def=MANIFESTS)
    ... def orders() -> dict[str, int]:
    ...     return {"count": 3}
    >>> @gate(asset=orders)
    ... def orders_are_many(orders: dict[str, int]) -> dg.AssetCheckResult:
    ...     return dg.AssetCheckResult(passed=orders["count"] > 2)
    >>> [key.name for key in orders_are_many.check_keys]
    ['orders_are_many']

    The check runs as Dagster runs a blocking asset check. Its verdict becomes a receipt about
    exactly these bytes, and without a PASS no other step reads them.

    ``configs`` are the only configs it may read. ``code_version`` says when its logic changes, so
    that verdicts of older logic go stale; left out, the rule is the digest of all that it reads.
    Other ``options`` are those of :func:`dagster.asset_check`.

    Raises :class:`SettingsError` for a name that no receipt can hold and for a check that takes run
    config. A crash while it judges leaves no verdict, and the artifact unread.
    """

    def decorate(check: Check) -> dg.AssetChecksDefinition:
        key = dg.AssetKey.from_coercible_or_definition(asset)
        check_name: str = name or check.__name__
        require_rule_names(check_name, configs=configs, code_version=code_version)
        gate_id = require_gate_name(key, check_name)
        declared = Gate(gate_id, check, tuple(sorted(configs)), code_version)
        refuse_config(check, gate_id, options)
        unit = f"{unit_of(key)}#{check_name}"

        @functools.wraps(check)
        def judge(*args: Any, **kwargs: Any) -> Any:
            with shown_by_dagster():
                context = dg.AssetCheckExecutionContext.get()
                return _GateStep(context, declared, made, key, unit).judged(check, args, kwargs)

        judge.ro_gate = declared  # type: ignore[attr-defined]  # where `rule_of` finds it

        with warnings.catch_warnings():
            # Dagster 1.13 calls partitioned checks a preview; the receipt does not rest on them.
            warnings.simplefilter("ignore", dg.PreviewWarning)
            made = dg.asset_check(
                asset=asset,
                name=check_name,
                blocking=True,
                metadata={**(metadata or {}), GATE_METADATA: _shown_rule(declared)},
                **{
                    "partitions_def": MANIFESTS,
                    **options,
                    "op_tags": {**_FIRST, **(options.get("op_tags") or {})},
                    # Nothing is left open: without a schema, Dagster takes any config.
                    "config_schema": {},
                },
            )(judge)
        return made

    return decorate


def rule_of(
    definition: dg.AssetsDefinition, resources: Mapping[str, Any] | None = None
) -> GateRule | None:
    """The rule of a check that :func:`gate` made, with the resources that it is given; None for
    any other check.

    Raises :class:`CodeNotCanonicalError` for what it judges by and cannot be listed, and
    :class:`SettingsError` for a resource that a launch would set.
    """
    declared = getattr(function_of(definition), "ro_gate", None)
    if not isinstance(declared, Gate) or not isinstance(definition, dg.AssetChecksDefinition):
        return None
    return declared.rule(definition, resources or {})


def _shown_rule(declared: Gate) -> dict[str, Any]:
    """What the Dagster UI shows of a gate; a rule that is listed is in `ro gate explain`."""
    version = {"code_version": declared.code_version} if declared.code_version else {}
    return {"gate_id": declared.gate_id, "configs": list(declared.configs), **version}


class _Judgement:
    """One evaluation of one gate on one manifest's artifact: which bytes, under which rule."""

    def __init__(self, step: "_GateStep", fingerprint: str) -> None:
        self.step = step
        self.plane = step.plane
        self.rule = step.rule
        self.scope: RunScope = self.plane.scope(fingerprint)
        attempt = step.session.attempt(fingerprint, step.unit)
        if attempt is None:
            raise errors.SettingsError(
                f"gate {self.rule.gate_id!r} has no attempt of its own in this step."
            )
        self.attempt_id = attempt.attempt_id
        self.subject = step.session.loaded(step.asset, fingerprint) or self._bound()

    def of(self, check: Callable[[], dg.AssetCheckResult]) -> "_Verdict":
        """Let the check judge, and write the receipt."""
        digest = rule_digest(self.rule, self.scope.manifest)
        with (
            only_declared_configs(frozenset(self.rule.configs)),
            judging(self.scope.fingerprint) as evidence,
        ):
            result = _answer(check())
        if not isinstance(result, dg.AssetCheckResult):
            raise errors.EncodingError(
                f"gate {self.rule.gate_id!r} returned a {type(result).__name__}.",
                next_step="Return a dagster AssetCheckResult.",
            )
        if self._bound().digest != self.subject.digest:
            raise errors.IntegrityError(
                f"asset {self.step.asset!r} was bound anew while gate {self.rule.gate_id!r} judged "
                "it.",
                next_step="Evaluate the gate again: its verdict would be about older bytes.",
            )
        return _Verdict(result, self._record(result, digest, next(iter(evidence), None)), evidence)

    def _bound(self) -> BoundRef:
        ref = artifact_of(self.plane.ledger, self.step.asset, self.scope.fingerprint)
        if ref is None:
            raise errors.ArtifactNotFoundError(
                f"asset {self.step.asset!r} has no artifact for gate {self.rule.gate_id!r} to "
                "judge.",
                next_step="Materialize the asset for this manifest first.",
                manifest_fingerprint=self.scope.fingerprint,
            )
        return ref

    def _record(
        self, result: dg.AssetCheckResult, digest: str, evidence: BoundRef | None
    ) -> ReceiptRecorded:
        warned = _is_warning(result)
        receipt = GateReceipt(
            gate_id=self.rule.gate_id,
            status=GateStatus.PASS if result.passed or warned else GateStatus.FAIL,
            warned=True if warned else None,
            subject=self.subject,
            scope=GateScope(
                asset=self.step.asset,
                manifest_fingerprint=self.scope.fingerprint,
                run_id=self.scope.run_id,
            ),
            rule_digest=digest,
            attempt_id=self.attempt_id,
            produced_at_utc=utc_text(self.plane.clock()),
            evidence=evidence,
        )
        return self.plane.receipts.record(
            receipt,
            actor=DAGSTER_ACTOR,
            correlation_ids=CorrelationIds(
                run_id=self.scope.run_id, dagster_run_id=self.step.dagster_run_id
            ),
        )


@dataclass(frozen=True)
class _Verdict:
    """What a check said of one artifact, and the record of it."""

    result: dg.AssetCheckResult
    recorded: ReceiptRecorded
    evidence: Sequence[BoundRef]

    def shown(self) -> dict[str, Any]:
        """What the Dagster UI shows beside the verdict."""
        recorded = self.recorded
        kept = [dg.MetadataValue.path(ref.ref) for ref in self.evidence]
        return {
            **(self.result.metadata or {}),
            "ro/verdict": f"{recorded.status.value}{' (warned)' if recorded.warned else ''}",
            "ro/subject_sha256": recorded.subject_digest,
            "ro/rule_digest": recorded.rule_digest,
            "ro/receipt_sha256": recorded.receipt.digest,
            "ro/receipt": dg.MetadataValue.path(recorded.receipt.ref),
            **({"ro/evidence": kept[0]} if kept else {}),
        }


class _GateStep:
    """One step of one gate: usually one manifest, in a run over a range one after the other."""

    def __init__(
        self,
        context: dg.AssetCheckExecutionContext,
        gate: Gate,
        made: dg.AssetChecksDefinition,
        asset: dg.AssetKey,
        unit: str,
    ) -> None:
        if not MANIFEST_TAGS & context.run.tags.keys():
            raise errors.EncodingError(
                f"gate {gate.gate_id!r} was started without a manifest as its partition.",
                next_step="Start it for a partition of its asset.",
            )
        self.plane: Plane = shared_plane(Settings.load())
        self.asset = unit_of(asset)
        self.unit = unit
        self.dagster_run_id = context.run.run_id
        _refuse_launch_config(context, gate.gate_id)
        rule = declarations_of(self.dagster_run_id).rule(self.asset, gate.gate_id)
        self.rule = rule or gate.rule(made, {})
        gate.require_resources(self.rule, context.job_def.resource_defs)
        self.session: StepSession = require_session(
            self.plane, self.dagster_run_id, step_key_of(context)
        )
        self.session.code_versions[unit] = self.rule.code_version
        self.fingerprints = [
            attempt.manifest_fingerprint
            for attempt in self.session.attempts
            if attempt.unit == unit
        ]

    def judged(self, check: Check, args: Sequence[Any], loaded: Mapping[str, Any]) -> Any:
        """The check's result over all manifests of the step; it passes if each does."""
        keep_listings(self.plane, [self.rule])
        self.plane.gates.amend(self.asset, self.rule, actor=DAGSTER_ACTOR)
        verdicts: dict[str, _Verdict] = {}
        for fingerprint in self.fingerprints:
            values = {name: _of_manifest(value, fingerprint) for name, value in loaded.items()}
            judge = functools.partial(check, *args, **values)
            verdicts[fingerprint] = _Judgement(self, fingerprint).of(judge)
        results = [verdict.result for verdict in verdicts.values()]
        return dg.AssetCheckResult(
            passed=all(result.passed for result in results),
            severity=_severity(results),
            description=_description(verdicts),
            metadata=_shown(verdicts),
        )


def _refuse_launch_config(context: dg.AssetCheckExecutionContext, gate_id: str) -> None:
    """Refuse to judge with a resource that the launch configures: its fields are in the rule."""
    run_config: Mapping[str, Any] = context.run.run_config or {}
    configured = run_config.get("resources") or {}
    used = context.op_execution_context.op_def.required_resource_keys
    if taken := sorted(key for key in configured if key in used and configured[key]):
        raise errors.InvalidInputError(
            f"gate {gate_id!r} was started with run config for the resource {taken[0]!r}, which "
            "it judges by.",
            next_step="Start it without: the code gives the resource its values.",
            gate=gate_id,
        )


def _answer(result: Any) -> Any:
    """What a check answers, whether it returns, yields or awaits it, as Dagster lets it."""
    if inspect.iscoroutine(result):
        return _awaited(result)
    if inspect.isasyncgen(result):
        return _awaited(_yielded(result))
    if inspect.isgenerator(result):
        answers = list(result)
        return answers[0] if len(answers) == 1 else answers
    return result


def _awaited(result: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine answers. Under a loop that runs already, as in a notebook, it gets a thread
    with a loop of its own, and with the context of this one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(result)
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(contextvars.copy_context().run, asyncio.run, result).result()


async def _yielded(results: Any) -> Any:
    answers = [result async for result in results]
    return answers[0] if len(answers) == 1 else answers


def _is_warning(result: dg.AssetCheckResult) -> bool:
    return not result.passed and result.severity == dg.AssetCheckSeverity.WARN


def _severity(results: Sequence[dg.AssetCheckResult]) -> dg.AssetCheckSeverity:
    """One FAIL binds, whatever else only warns."""
    failed = [result for result in results if not result.passed]
    only_warned = bool(failed) and all(map(_is_warning, failed))
    return dg.AssetCheckSeverity.WARN if only_warned else dg.AssetCheckSeverity.ERROR


def _description(verdicts: Mapping[str, _Verdict]) -> str | None:
    if len(verdicts) == 1:
        return next(iter(verdicts.values())).result.description
    failed = [fp for fp, verdict in verdicts.items() if not verdict.result.passed]
    return f"{len(failed)} of {len(verdicts)} manifests: {', '.join(failed)}" if failed else None


def _shown(verdicts: Mapping[str, _Verdict]) -> dict[str, Any]:
    if len(verdicts) == 1:
        return next(iter(verdicts.values())).shown()
    rows = [
        dg.TableRecord(
            {
                "manifest": fingerprint,
                "verdict": verdict.recorded.status.value,
                "subject_sha256": verdict.recorded.subject_digest,
                "receipt": verdict.recorded.receipt.ref,
            }
        )
        for fingerprint, verdict in verdicts.items()
    ]
    return {"ro/verdicts": dg.MetadataValue.table(rows)}


def _of_manifest(value: Any, fingerprint: str) -> Any:
    return value[fingerprint] if isinstance(value, ByManifest) else value
