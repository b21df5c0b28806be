"""What was handed in is wrong (exit 3), or names what does not exist (exit 4)."""

from __future__ import annotations

from ro_platform.errors.base import RunOperateError


class InvalidInputError(RunOperateError):
    """The caller's document, reference or argument is not acceptable as it stands."""

    code = "RO_INVALID_INPUT"
    exit_code = 3


class DocumentSyntaxError(InvalidInputError):
    """A file is not the YAML or JSON it should be (or uses what JSON cannot express)."""

    code = "RO_DOCUMENT_SYNTAX"


class NotCanonicalError(InvalidInputError):
    """A value has no RFC 8785 form: NaN, an infinity, an unsafe integer, a lone surrogate."""

    code = "RO_NOT_CANONICAL"


class CodeNotCanonicalError(InvalidInputError):
    """What a gate judges by has no canonical form, so its rule cannot be told."""

    code = "RO_CODE_NOT_CANONICAL"


class ContractError(InvalidInputError):
    """A document does not follow its contract: an unknown, missing or ill-typed field."""

    code = "RO_CONTRACT"


class VolatileFieldError(InvalidInputError):
    """A clock, host, user or environment value stands where it would enter an identity."""

    code = "RO_VOLATILE_FIELD"


class InputMismatchError(InvalidInputError):
    """An input file's bytes are not those that the manifest names by digest."""

    code = "RO_INPUT_MISMATCH"


class CodeChangedError(InvalidInputError):
    """What stands was made by other code or packages than now, and that was to be refused."""

    code = "RO_CODE_CHANGED"


class InputMissingError(InvalidInputError):
    """An input that the manifest names cannot be found by its ref nor in the store."""

    code = "RO_INPUT_MISSING"


class UnknownWorkloadError(InvalidInputError):
    """The manifest names a workload that this deployment does not have."""

    code = "RO_UNKNOWN_WORKLOAD"


class VersionNotPinnedError(InvalidInputError):
    """A run asked for a config that its manifest does not pin (or pins under other content)."""

    code = "RO_VERSION_NOT_PINNED"


class RunConfigError(InvalidInputError):
    """A launch gives Dagster a run config that the code location does not give that job."""

    code = "RO_RUN_CONFIG"


class EncodingError(InvalidInputError):
    """A value cannot be encoded (or decoded) by any deterministic encoding."""

    code = "RO_ENCODING"


class SourceChangedError(InvalidInputError):
    """A file or folder changed while it was being stored, so its bytes would be torn."""

    code = "RO_SOURCE_CHANGED"


class NoValueError(EncodingError):
    """A step handed over nothing for an asset that something governed needs."""

    code = "RO_NO_VALUE"


class SettingsError(InvalidInputError):
    """A setting of the deployment is missing, malformed or contradicts another."""

    code = "RO_SETTINGS"


class LedgerOutdatedError(SettingsError):
    """The ledger is one of an older release, and has to be migrated before it is used."""

    code = "RO_LEDGER_OUTDATED"


class BundleRefusedError(InvalidInputError):
    """An engine's bundle cannot be judged: malformed, empty, unsafe, unsealed, or no such law."""

    code = "RO_BUNDLE_REFUSED"


class DraftError(InvalidInputError):
    """A store, a ledger or a dossier is a draft's, which counts for nothing governed."""

    code = "RO_DRAFT"


class NotFoundError(RunOperateError):
    """Nothing by that name, digest or number is recorded here."""

    code = "RO_NOT_FOUND"
    exit_code = 4


class ArtifactNotFoundError(NotFoundError):
    """No artifact is bound (or no blob stored) at that address."""

    code = "RO_ARTIFACT_NOT_FOUND"


class ManifestNotRegisteredError(NotFoundError):
    """No manifest with that fingerprint has been registered."""

    code = "RO_MANIFEST_NOT_REGISTERED"


class ConfigNotFoundError(NotFoundError):
    """No such config, or not in that version."""

    code = "RO_CONFIG_NOT_FOUND"
