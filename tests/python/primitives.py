"""BLAKE3 and strict Ed25519 from their papers, in the standard library alone: slow, short, and nobody else's code."""

import hashlib

# --- BLAKE3, hash mode (section 2 of the paper) -------------------------------------------------------------

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
ROUND = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
MASK = 0xFFFFFFFF


def _compress(chaining, words, counter, length, flags):
    v = list(chaining) + list(IV[:4]) + [counter & MASK, counter >> 32, length, flags]
    m = list(words)
    for turn in range(7):
        for i, (a, b, c, d) in enumerate(ROUND):
            for word, turn_d, turn_b in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                v[a] = (v[a] + v[b] + word) & MASK
                x = v[d] ^ v[a]
                v[d] = (x >> turn_d | x << (32 - turn_d)) & MASK
                v[c] = (v[c] + v[d]) & MASK
                x = v[b] ^ v[c]
                v[b] = (x >> turn_b | x << (32 - turn_b)) & MASK
        if turn < 6:
            m = [m[i] for i in PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)]


def _words(block):
    block = block.ljust(64, b"\0")
    return [int.from_bytes(block[i:i + 4], "little") for i in range(0, 64, 4)]


def _chunk(data, counter):
    """Arguments of a chunk's last compression."""
    chaining = IV
    blocks = [data[i:i + 64] for i in range(0, len(data), 64)] or [b""]
    for i, block in enumerate(blocks):
        flags = (CHUNK_START if i == 0 else 0) | (CHUNK_END if i == len(blocks) - 1 else 0)
        last = (chaining, _words(block), counter, len(block), flags)
        chaining = _compress(*last)
    return last


def _tree(chunks, first):
    if len(chunks) == 1:
        return _chunk(chunks[0], first)
    half = 1
    while half * 2 < len(chunks):
        half *= 2
    left, right = _compress(*_tree(chunks[:half], first)), _compress(*_tree(chunks[half:], first + half))
    return (IV, left + right, 0, 64, PARENT)


def blake3(data):
    """32 bytes."""
    chunks = [data[i:i + 1024] for i in range(0, len(data), 1024)] or [b""]
    chaining, words, counter, length, flags = _tree(chunks, 0)
    return b"".join(w.to_bytes(4, "little") for w in _compress(chaining, words, counter, length, flags | ROOT))


# --- Ed25519 (RFC 8032 §5.1), strict ------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def _add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _decompress(data):
    """A point from its canonical encoding, or None."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def _compress_point(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _is_small(point):
    x, y, z, _ = _multiply(8, point)
    return x % P == 0 and (y - z) % P == 0


BASE = _decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def usable_key(key):
    """A canonical point, not of small order."""
    point = _decompress(key) if len(key) == 32 else None
    return point is not None and not _is_small(point)


def verify_ed25519(key, message, signature):
    """Strict: canonical, no small order on either side, no cofactor."""
    if len(signature) != 64 or not usable_key(key):
        return False
    r, s = _decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    if r is None or _is_small(r) or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    x, y, z, t = _multiply(k, _decompress(key))
    return _compress_point(_add(_multiply(s, BASE), (P - x, y, z, P - t))) == signature[:32]
