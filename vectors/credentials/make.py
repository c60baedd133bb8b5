#!/usr/bin/env python3
"""Writes the vectors beside it: an implementation of docs/formats/credentials.md that shares no code with Mira.

Every key, nonce and identifier is derived from its purpose, so a second run writes the same bytes. A vault of one's own needs
random ones. Needs PyNaCl and argon2-cffi.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import re

import argon2.low_level
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as xchacha20poly1305

HERE = pathlib.Path(__file__).parent
PASSPHRASE = "correct horse battery staple"
TIME = "2026-11-24T07:05:09Z"


def fixed(purpose, length):
    """Bytes that stand where a real writer has random ones."""
    return hashlib.shake_256(b"mira-vectors:" + purpose.encode()).digest(length)


def b64(data):
    return base64.b64encode(data).decode()


def hkdf(root, salt, info):
    extracted = hmac.digest(salt or bytes(32), root, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def fields(*texts):
    encoded = [text.encode() for text in texts]
    return b"".join(len(text).to_bytes(4, "big") + text for text in encoded)


def keyfile_line(root):
    return f"mira-keyfile-1:{b64(root)}\n"


class Vault:
    """What is in a document, and the root key that it is written under."""

    def __init__(self, tag, secrets, provider, root, backend="file", generation=7):
        self.tag, self.root = tag, root
        vault = fixed(f"{tag} vault", 16)
        self.vault, self.salt = vault.hex(), vault
        self.document = {
            "format": "mira-credentials",
            "version": 1,
            "vault": self.vault,
            "generation": generation,
            "backend": backend,
            "provider": provider,
            "key_check": hkdf(root, b"", b"mira-credentials/1/key-check").hex(),
            "scopes": [],
            "secrets": [],
        }
        if backend == "file":
            scopes = dict.fromkeys(scope for scope, *_ in secrets)
            self.document["scopes"] = [self.scope(scope) for scope in scopes]
        self.document["secrets"] = [self.secret(*secret, backend) for secret in secrets]

    def scope_key(self, scope):
        return fixed(f"{self.tag} key {scope}", 32)

    def scope(self, scope):
        nonce = fixed(f"{self.tag} scope nonce {scope}", 24)
        wrapping = hkdf(self.root, self.salt, b"mira-credentials/1/wrapping-key")
        beside = fields("mira-credentials/1/scope-key", self.vault, scope)
        wrapped = xchacha20poly1305(self.scope_key(scope), beside, nonce, wrapping)
        return {"scope": scope, "nonce": b64(nonce), "wrapped_key": b64(wrapped)}

    def secret(self, scope, name, label, kind, version, value, backend):
        entry = {
            "id": fixed(f"{self.tag} id {scope} {name}", 16).hex(),
            "scope": scope,
            "name": name,
            "label": label,
            "kind": kind,
            "created": TIME,
            "updated": "2026-11-25T00:00:00Z" if version > 1 else TIME,
            "version": version,
        }
        if backend == "file":
            nonce = fixed(f"{self.tag} nonce {scope} {name}", 24)
            texts = [str(entry[field]) for field in entry]
            beside = fields("mira-credentials/1/value", self.vault, *texts)
            entry["nonce"] = b64(nonce)
            entry["ciphertext"] = b64(xchacha20poly1305(value, beside, nonce, self.scope_key(scope)))
        return entry

    def text(self, document=None):
        """The file, under a MAC that holds."""
        text = json.dumps(document or self.document, indent=2, ensure_ascii=False)
        covered = text.removesuffix("\n}") + ",\n"
        key = hkdf(self.root, self.salt, b"mira-credentials/1/mac-key")
        return f'{covered}  "mac": "{hmac.digest(key, covered.encode(), "sha256").hex()}"\n}}\n'

    def changed(self, change):
        """The file with a change of the document, under a MAC that holds."""
        document = json.loads(json.dumps(self.document))
        change(document)
        return self.text(document)


SECRETS = [
    ("user", "AWS_SECRET_ACCESS_KEY", "AWS, “prod”", "token", 3, b"canary-aws/+\"\\"),
    ("user", "DATABASE_URL", "Database", "url", 1, "postgres://mira:päss@db/mira".encode()),
    ("user", "SIGNING_KEY", "Signing key", "private-key", 1, b"-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n"),
    ("mcp/github", "GITHUB_TOKEN", "GITHUB_TOKEN", "token", 1, b"\xff\xfe not UTF-8"),
    ("mcp/gitlab", "GITHUB_TOKEN", "GITHUB_TOKEN", "token", 1, b"another"),
    ("instance/7f3a.b-c_d", "PASSWORD", "Password", "password", 9007199254740991, b"x"),
]


def good():
    """Each good vector: its name, how it is opened, its vault and its secrets."""
    root = fixed("root key", 32)
    salt = fixed("salt", 16)
    cheapest = {"kdf": "argon2id", "memory_kib": 19456, "iterations": 2, "parallelism": 1, "salt": b64(salt)}
    derived = argon2.low_level.hash_secret_raw(
        PASSPHRASE.encode(), salt, 2, 19456, 1, 32, argon2.low_level.Type.ID, version=0x13
    )
    two_lines = keyfile_line(fixed("the next root key", 32)) + keyfile_line(root)
    return [
        ("keyfile", {"keyfile": keyfile_line(root)}, Vault("keyfile", SECRETS, {"keyfile": {}}, root), SECRETS),
        ("keyfile-of-two-lines", {"keyfile": two_lines}, Vault("two lines", SECRETS[:1], {"keyfile": {}}, root), SECRETS[:1]),
        ("empty", {"keyfile": keyfile_line(root)}, Vault("empty", [], {"keyfile": {}}, root, generation=1), []),
        ("passphrase", {"passphrase": PASSPHRASE}, Vault("passphrase", SECRETS[:2], {"passphrase": cheapest}, derived), SECRETS[:2]),
        ("keyring", {"keyring": root.hex()}, Vault("keyring", SECRETS[:2], {"keyring": {}}, root), SECRETS[:2]),
        ("keychain-backend", {"keyfile": keyfile_line(root)}, Vault("keychain", SECRETS, {"keyfile": {}}, root, "keychain"), SECRETS),
    ]


def bad(vault, passphrase, empty):
    """Each fault: its name, the kind of refusal, and the text. Those of kind `format` have a MAC that holds where they can."""
    whole = vault.text()
    mac = re.search(r'"mac": "(.)', whole).start(1)

    def put(*path):
        *folders, last, value = path

        def change(document):
            for folder in folders:
                document = document[folder]
            document[last] = value

        return vault.changed(change)

    def unsigned(change):
        """As somebody changes it who has no key: the MAC stays."""
        document = json.loads(whole)
        change(document)
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def swap_values(document):
        one, other = document["secrets"][3], document["secrets"][4]
        for field in ("nonce", "ciphertext"):
            one[field], other[field] = other[field], one[field]

    def swap_keys(document):
        one, other = document["scopes"][1], document["scopes"][2]
        for field in ("nonce", "wrapped_key"):
            one[field], other[field] = other[field], one[field]

    def cost(field, value):
        return passphrase.changed(lambda d: d["provider"]["passphrase"].update({field: value}))

    def reversed_list(name):
        return vault.changed(lambda d: d[name].reverse())

    def remove_scope_of_last(document):
        document["scopes"].pop()

    another = Vault("another", SECRETS, {"keyfile": {}}, fixed("another root key", 32))
    mac_line = whole[mac - 10 :].removesuffix("\n}\n")
    mac_first = "{\n" + mac_line + "," + whole[1 : mac - 12] + "\n}\n"
    at, padded = next((at, one["ciphertext"]) for at, one in enumerate(vault.document["secrets"]) if one["ciphertext"].endswith("=="))
    trailing = padded[:-3] + chr(ord(padded[-3]) + 1) + "=="
    return [
        ("mac-flipped", "tampered", whole[:mac] + format(int(whole[mac], 16) ^ 1, "x") + whole[mac + 1 :]),
        ("mac-upper-case", "format", whole[:mac] + whole[mac:].upper()),
        ("mac-missing", "format", json.dumps(vault.document, indent=2, ensure_ascii=False) + "\n"),
        ("mac-line-with-blank", "format", whole.replace("\n}\n", "\n} \n")),
        ("mac-not-last", "format", mac_first),
        ("mac-of-another-key", "tampered", whole[:mac] + another.text()[-68:]),
        ("entry-removed", "tampered", unsigned(lambda d: d["secrets"].pop(1))),
        ("entry-renamed", "tampered", unsigned(lambda d: d["secrets"][0].update(name="AWS_SECRET_KEY"))),
        ("entry-relabelled", "tampered", unsigned(lambda d: d["secrets"][0].update(label="Database"))),
        ("entry-made-older", "tampered", unsigned(lambda d: d["secrets"][0].update(version=2))),
        ("entries-swapped-between-scopes", "tampered", unsigned(swap_values)),
        ("scope-keys-swapped", "tampered", unsigned(swap_keys)),
        ("entry-duplicated", "format", unsigned(lambda d: d["secrets"].insert(0, d["secrets"][0]))),
        ("generation-raised", "tampered", unsigned(lambda d: d.update(generation=8))),
        ("key-check-flipped", "tampered", unsigned(lambda d: d.update(key_check="0" * 64))),
        ("white-space-added", "tampered", whole.replace('"version": 1,', '"version":  1,', 1)),
        ("entry-renamed-under-a-right-mac", "value", put("secrets", 0, "name", "AWS_SECRET_KEY")),
        ("entry-relabelled-under-a-right-mac", "value", put("secrets", 0, "label", "Database")),
        ("entries-swapped-under-a-right-mac", "value", vault.changed(swap_values)),
        ("scope-keys-swapped-under-a-right-mac", "value", vault.changed(swap_keys)),
        ("unknown-field", "format", put("note", "")),
        ("unknown-field-of-a-secret", "format", put("secrets", 0, "value", "x")),
        ("repeated-field", "format", whole.replace('"backend"', '"generation": 7,\n  "backend"', 1)),
        ("missing-field", "format", vault.changed(lambda d: d.pop("generation"))),
        ("null-ciphertext", "format", put("secrets", 0, "ciphertext", None)),
        ("duplicate-name", "format", put("secrets", 0, "name", "DATABASE_URL")),
        ("duplicate-id", "format", put("secrets", 0, "id", vault.document["secrets"][1]["id"])),
        ("secrets-out-of-order", "format", reversed_list("secrets")),
        ("scopes-out-of-order", "format", reversed_list("scopes")),
        ("scope-without-key", "format", vault.changed(remove_scope_of_last)),
        ("scope-without-secret", "format", vault.changed(lambda d: d["secrets"].pop())),
        ("newer-version", "newer", vault.changed(lambda d: d.update(version=2, more=[]))),
        ("version-zero", "format", put("version", 0)),
        ("another-format", "format", put("format", "mira-recovery")),
        ("generation-zero", "format", put("generation", 0)),
        ("generation-beyond-2-53", "format", put("generation", 2**53)),
        ("name-with-dash", "format", put("secrets", 0, "name", "AWS-SECRET")),
        ("label-with-escape", "format", put("secrets", 0, "label", "\x1b[2J")),
        ("unknown-kind", "format", put("secrets", 0, "kind", "Token")),
        ("time-with-fraction", "format", put("secrets", 0, "created", "2026-11-24T07:05:09.5Z")),
        ("time-with-offset", "format", put("secrets", 0, "created", "2026-11-24T08:05:09+01:00")),
        ("base64-without-padding", "format", put("secrets", at, "ciphertext", padded.rstrip("="))),
        ("base64-with-trailing-bits", "format", put("secrets", at, "ciphertext", trailing)),
        ("ciphertext-too-short", "format", put("secrets", 0, "ciphertext", b64(bytes(16)))),
        ("nonce-too-short", "format", put("secrets", 0, "nonce", b64(bytes(12)))),
        ("keychain-with-scope-keys", "format", put("backend", "keychain")),
        ("unknown-provider", "format", put("provider", {"tpm": {}})),
        ("two-providers", "format", put("provider", {"keyfile": {}, "keyring": {}})),
        ("keyfile-relative-path", "format", put("provider", {"keyfile": {"path": "root.key"}})),
        ("argon2-absurd-cost", "format", cost("memory_kib", 2**32 - 1)),
        ("argon2-absurd-iterations", "format", cost("iterations", 2**31)),
        ("argon2-too-cheap", "format", cost("iterations", 1)),
        ("argon2-other-kdf", "format", cost("kdf", "argon2d")),
        ("truncated", "truncated", whole[: len(whole) // 2]),
        ("last-newline-missing", "format", whole[:-1]),
        ("byte-order-mark", "format", "\ufeff" + whole),
        ("empty-file", "truncated", ""),
        ("wrong-key", "wrong-key", another.text()),
        ("another-vault", "tampered", empty.text().replace(empty.vault, vault.vault)),
    ]


def value_of(value):
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": b64(value)}


def main():
    vectors = {"good": [], "bad": []}
    vaults = {}
    for name, key, vault, secrets in good():
        vaults[name] = vault
        (HERE / f"{name}.json").write_bytes(vault.text().encode())
        listed = [
            {"scope": s, "name": n, "label": l, "kind": k, "version": v, **value_of(value)} for s, n, l, k, v, value in secrets
        ]
        vectors["good"].append({"file": f"{name}.json", "key": key, "generation": vault.document["generation"], "secrets": listed})
    root = {"keyfile": keyfile_line(vaults["keyfile"].root)}
    for name, refusal, text in bad(vaults["keyfile"], vaults["passphrase"], vaults["empty"]):
        key = {"passphrase": PASSPHRASE} if name.startswith("argon2") else root
        (HERE / f"{name}.json").write_bytes(text.encode())
        vectors["bad"].append({"file": f"{name}.json", "key": key, "refusal": refusal})
    (HERE / "vectors.json").write_text(json.dumps(vectors, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
