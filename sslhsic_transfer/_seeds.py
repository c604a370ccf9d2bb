"""Random streams that are a function of where they are used, so that stopping and resuming changes nothing."""

import hashlib


def mix_seed(*parts: int) -> int:
    """One 63-bit seed from several integers, such as (seed, epoch, index); equal parts give equal seeds.

    Unlike ``seed + index``, neighbouring parts give unrelated seeds, and no two tuples share a stream by construction.
    """
    text = ",".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
