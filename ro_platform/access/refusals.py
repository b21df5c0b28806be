"""The entry that says that somebody was refused: one draft for commands, the gateway and launches.

What a stranger sent may be in its words, so they are cut to one line of a limited length, and the
operation to a name.
"""

from __future__ import annotations

import re
from datetime import datetime

from ro_platform.contracts.access import AccessRefused
from ro_platform.contracts.attempt import CorrelationIds
from ro_platform.contracts.ledger import EntryKind
from ro_platform.kernel.clock import utc_text
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger

_MOST_WORDS = 1000
_MOST_NAME = 128


def access_refusal_draft(
    *,
    operation: str,
    actor: str | None,
    source: str,
    code: str,
    why: str,
    moment: datetime,
    by: str,
    subject: str | None = None,
    key: str | None = None,
    count: int = 1,
    ids: CorrelationIds | None = None,
) -> EntryDraft:
    """The draft. ``actor`` is None where nobody was authenticated; then ``by`` signs the entry.
    Its subject is ``access/<actor or source>`` unless told otherwise."""
    body = AccessRefused(
        operation=re.sub(r"[^A-Za-z0-9_.\-]+", "_", operation)[:_MOST_NAME] or "unnamed",
        actor=actor,
        source=source,
        code=code,
        reason=" ".join(why.split())[:_MOST_WORDS],
        count=count,
        observed_at_utc=utc_text(moment),
    )
    return EntryDraft(
        EntryKind.ACCESS_REFUSED,
        subject or names.access_subject(actor or source),
        actor or by,
        body,
        key=key,
        correlation_ids=ids or CorrelationIds(),
    )


def record_once(ledger: Ledger, draft: EntryDraft) -> None:
    """Append a draft that has a key, unless the log has an entry with it: again changes nothing."""
    key = draft.key
    assert key is not None, "without a key nothing says which entry it would be"
    ledger.append_with(lambda log: [] if log.find(key) else [draft])
