"""SRTP by RFC 3711 and RFC 7714, without libsrtp, to compare with."""

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from telephony.sdp import Suite


def stream(key, salt, ssrc, index, size):
    """The AES-CM keystream (RFC 3711 section 4.1.1)."""
    start = int.from_bytes(salt) << 16 ^ ssrc << 64 ^ index << 16
    cipher = Cipher(algorithms.AES(key), modes.CTR(start.to_bytes(16))).encryptor()
    return cipher.update(bytes(size))


def derive(key, salt, label, size):
    """The key derivation with a rate of 0 (RFC 3711 section 4.3); GCM's salt ends in zeros."""
    wide = int.from_bytes(salt.ljust(14, b"\0")) ^ label << 48
    return stream(key, wide.to_bytes(14), 0, 0, size)


def xor(one, other):
    return bytes(a ^ b for a, b in zip(one, other, strict=False))


class Reference:
    """One key's SRTP and SRTCP, sending."""

    def __init__(self, key):
        self.gcm = key.suite in {Suite.AEAD_AES_128_GCM, Suite.AEAD_AES_256_GCM}
        self.tag = 4 if key.suite is Suite.AES_CM_128_HMAC_SHA1_32 else 10
        cut = len(key.material) - (12 if self.gcm else 14)
        self.key, self.salt = key.material[:cut], key.material[cut:]

    def _keys(self, first):
        size = len(self.key)
        cipher, auth, salt = (
            derive(self.key, self.salt, first + n, length)
            for n, length in enumerate((size, 20, 12 if self.gcm else 14))
        )
        return cipher, auth, salt

    def rtp(self, packet, roc=0):
        cipher, auth, salt = self._keys(0)
        head, body = packet[:12], packet[12:]
        ssrc, sequence = int.from_bytes(head[8:12]), int.from_bytes(head[2:4])
        if self.gcm:
            nonce = xor((ssrc << 48 | roc << 16 | sequence).to_bytes(12), salt)
            return head + AESGCM(cipher).encrypt(nonce, body, head)
        sealed = head + xor(body, stream(cipher, salt, ssrc, roc << 16 | sequence, len(body)))
        mac = hmac.new(auth, sealed + roc.to_bytes(4), hashlib.sha1).digest()
        return sealed + mac[: self.tag]

    def rtcp(self, packet, index):
        cipher, auth, salt = self._keys(3)
        head, body = packet[:8], packet[8:]
        ssrc, word = int.from_bytes(head[4:8]), (1 << 31 | index).to_bytes(4)
        if self.gcm:
            nonce = xor((ssrc << 48 | index).to_bytes(12), salt)
            return head + AESGCM(cipher).encrypt(nonce, body, head + word) + word
        sealed = head + xor(body, stream(cipher, salt, ssrc, index, len(body))) + word
        return sealed + hmac.new(auth, sealed, hashlib.sha1).digest()[:10]
