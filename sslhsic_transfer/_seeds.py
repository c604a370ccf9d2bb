"""Seeds that depend on where they are used, so that stopping and resuming a run changes nothing."""

import hashlib


def mix_seed(*parts: int) -> int:
    """Derive one 63-bit seed from several integers, such as (seed, epoch, index); equal parts give equal seeds.

    Unlike ``seed + index``, neighboring parts give unrelated seeds, and different tuples do not share a stream.
    """
    text = ",".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
