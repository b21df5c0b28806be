"""What was handed in is wrong (exit 3), or names what does not exist (exit 4)."""

from __future__ import annotations

from ro_platform.errors.base import RunOperateError


class InvalidInputError(RunOperateError):
    """The caller's document, reference or argument is not acceptable as it stands."""

    code = "RO_INVALID_INPUT"
    exit_code = 3
    advice = "Correct what the message names; nothing was done."


class DocumentSyntaxError(InvalidInputError):
    """A file is not the YAML or JSON it should be (or uses what JSON cannot express)."""

    code = "RO_DOCUMENT_SYNTAX"
    advice = "Correct the file where the message points."


class NotCanonicalError(InvalidInputError):
    """A value has no RFC 8785 form: NaN, an infinity, an unsafe integer, a lone surrogate."""

    code = "RO_NOT_CANONICAL"
    advice = "Write large integers as decimal strings, and leave out what JSON cannot say."


class CodeNotCanonicalError(InvalidInputError):
    """What a gate judges by has no canonical form, so its rule cannot be told."""

    code = "RO_CODE_NOT_CANONICAL"
    advice = "Read such a value from a pinned config, or give the gate a code_version of its own."


class ContractError(InvalidInputError):
    """A document does not follow its contract: an unknown, missing or ill-typed field."""

    code = "RO_CONTRACT"
    advice = "Compare the document with its object in the contracts reference."


class VolatileFieldError(InvalidInputError):
    """A clock, host, user or environment value stands where it would enter an identity."""

    code = "RO_VOLATILE_FIELD"
    advice = "Remove it, or name it for what it is about: an identity has no clock, host or user."


class InputMismatchError(InvalidInputError):
    """An input file's bytes are not those that the manifest names by digest."""

    code = "RO_INPUT_MISMATCH"
    advice = "Restore the file, or name its new digest: that is another run."


class CodeChangedError(InvalidInputError):
    """What stands was made by other code or packages than now, and that was to be refused."""

    code = "RO_CODE_CHANGED"
    advice = "Run it without --strict, or with --recompute-changed: that is another manifest."


class InputMissingError(InvalidInputError):
    """An input that the manifest names cannot be found by its ref nor in the store."""

    code = "RO_INPUT_MISSING"
    advice = "Put the file where the manifest's ref says."


class UnknownWorkloadError(InvalidInputError):
    """The manifest names a workload that this deployment does not have."""

    code = "RO_UNKNOWN_WORKLOAD"
    advice = "Name a workload that the code location defines."


class VersionNotPinnedError(InvalidInputError):
    """A run asked for a config that its manifest does not pin (or pins under other content)."""

    code = "RO_VERSION_NOT_PINNED"
    advice = "Add the config with version and digest to the manifest's config_versions."


class RunConfigError(InvalidInputError):
    """A launch gives Dagster a run config that the code location does not give that job."""

    code = "RO_RUN_CONFIG"
    advice = "Write the value into the job's config, the manifest or a pinned config."


class EncodingError(InvalidInputError):
    """A value cannot be encoded (or decoded) by any deterministic encoding."""

    code = "RO_ENCODING"
    advice = "Return a table, JSON, bytes, a file or a folder, as the message says."


class SourceChangedError(InvalidInputError):
    """A file or folder changed while it was being stored, so its bytes would be torn."""

    code = "RO_SOURCE_CHANGED"
    advice = "Write the file under a temporary name, rename it, and only then hand it on."


class NoValueError(EncodingError):
    """A step handed over nothing for an asset that something governed needs."""

    code = "RO_NO_VALUE"
    advice = "Return what the step made, or MaterializeResult(value=...)."


class SettingsError(InvalidInputError):
    """A setting of the deployment is missing, malformed or contradicts another."""

    code = "RO_SETTINGS"
    advice = "Correct the setting that the message names."


class LedgerOutdatedError(SettingsError):
    """The ledger is one of an older release, and has to be migrated before it is used."""

    code = "RO_LEDGER_OUTDATED"
    advice = "Run `ro ledger migrate`: it touches no entry, and adds one that says so."


class BundleRefusedError(InvalidInputError):
    """An engine's bundle cannot be judged: malformed, empty, unsafe, unsealed, or no such law."""

    code = "RO_BUNDLE_REFUSED"
    advice = (
        "Bring a sealed bundle that holds what it lists; `ro gate verify` says what is "
        "wrong with it."
    )


class DraftError(InvalidInputError):
    """A store, a ledger or a dossier is a draft's, which counts for nothing governed."""

    code = "RO_DRAFT"
    advice = "Run the manifest without --draft: what that makes is governed."


class NotFoundError(RunOperateError):
    """Nothing by that name, digest or number is recorded here."""

    code = "RO_NOT_FOUND"
    exit_code = 4
    advice = (
        "Look for it in the list of its kind, such as `ro artifact list` or `ro manifest list`."
    )


class ArtifactNotFoundError(NotFoundError):
    """No artifact is bound (or no blob stored) at that address."""

    code = "RO_ARTIFACT_NOT_FOUND"
    advice = "See `ro artifact list`; materialize the asset for that manifest first."


class ManifestNotRegisteredError(NotFoundError):
    """No manifest with that fingerprint has been registered."""

    code = "RO_MANIFEST_NOT_REGISTERED"
    advice = "Register it with `ro manifest register`."


class ConfigNotFoundError(NotFoundError):
    """No such config, or not in that version."""

    code = "RO_CONFIG_NOT_FOUND"
    advice = "See `ro config list`, or publish it with `ro config publish`."
