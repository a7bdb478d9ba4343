"""Who vouches for a manifest: its own signature, or the signed list of a database's snapshots."""

from __future__ import annotations

from shared.domain import chain as chains
from shared.domain.chain import Chain
from shared.errors import Damaged, NotFound, Refused
from shared.storage.base import Storage
from shared.storage.signing import Signing, Verdict


def chain_key(database: str) -> str:
    return f"{database}/chain.json"


def put_chain(storage: Storage, signing: Signing, chain: Chain) -> None:
    """Signed, by our key, whoever signed what is there; Refused(signing_key_missing) for who cannot.

    Put only where it is not there like that.
    """
    signing.refuse_unable(f"the list of {chain.database}'s snapshots")
    key, body = chain_key(chain.database), signing.sign(chains.encode(chain))
    try:
        is_there = storage.get(key) == body
    except (NotFound, Damaged):
        is_there = False
    if not is_there:
        storage.put(key, body)


def get_chain(storage: Storage, signing: Signing, database: str) -> Chain | None:
    """None where there is none; Damaged unless it is signed by somebody known."""
    try:
        body = storage.get(chain_key(database))
    except NotFound as exc:
        if exc.code == "bucket_missing":
            raise
        return None
    if signing.verdict(body) is not Verdict.RIGHT:
        raise chains.damaged(database, "is not signed by a key that is known here")
    return chains.decode(body, database)


def refuse_untrusted(
    storage: Storage, signing: Signing, text: bytes, *, sha256: str, database: str, snapshot_id: str
) -> None:
    """Damaged(signature_wrong) of a manifest that was altered; Refused(signature_missing) of one that nobody
    known vouches for though somebody must. What is signed is its text, what is listed the hash of what is stored.
    """
    verdict = signing.verdict(text)
    if verdict is Verdict.WRONG:
        raise Damaged(
            f"the manifest of snapshot {snapshot_id} is not what was signed: somebody has altered it",
            code="signature_wrong",
            hint="restore another snapshot, and see who could write to the repository",
        )
    if not signing.required or verdict is Verdict.RIGHT:
        return
    if not is_listed(storage, signing, sha256, database=database, snapshot_id=snapshot_id):
        by_whom = "nobody" if verdict is Verdict.ABSENT else "somebody unknown here"
        raise Refused(
            f"the manifest of snapshot {snapshot_id} is signed by {by_whom}, and signing.required says that it"
            " must be by a known key",
            code="signature_missing",
            hint="add the key to signing.public_keys if you know whose it is; else restore another snapshot",
        )


def is_listed(storage: Storage, signing: Signing, sha256: str, *, database: str, snapshot_id: str) -> bool:
    """Whether the list names this very manifest: one from before there were signatures."""
    try:
        chain = get_chain(storage, signing, database)
    except Damaged:
        return False
    return chain is not None and chain.hashes.get(snapshot_id) == sha256
