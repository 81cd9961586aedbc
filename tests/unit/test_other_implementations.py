"""Our trees, proofs and signatures, checked by programs that share no code with us: pymerkle and openssl."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from pymerkle import InmemoryTree, InvalidProof, verify_inclusion
from pymerkle.proof import InclusionProof

from ledger.cosignatures import cosign
from ledger.growth import Edge, grow
from ledger.merkle import inclusion_proof, leaf_hash, root_hash
from ledger.notes import sign_note
from ledger.tiles import subtrees_in_tiles
from tests.sealing import KEY, WITNESSES

SIZES: Final = (1, 2, 3, 7, 8, 255, 256, 257, 1_000)


def entries(size: int) -> list[bytes]:
    return [n.to_bytes(32) for n in range(size)]


def theirs(size: int) -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for entry in entries(size):
        tree.append_entry(entry)
    return tree


@pytest.mark.parametrize("size", SIZES)
def test_pymerkle_gets_the_same_root(size: int) -> None:
    edge, _ = grow(Edge.empty(), entries(size))
    assert theirs(size).get_root() == edge.root


@pytest.mark.parametrize("size", SIZES)
def test_pymerkle_believes_our_proofs_from_tiles_and_not_their_tampered_twins(size: int) -> None:
    edge, files = grow(Edge.empty(), entries(size))
    subtree = subtrees_in_tiles(size, files.__getitem__)
    assert root_hash(size, subtree) == edge.root
    tree = theirs(size)
    for index in {0, size // 3, size // 2, size - 1}:
        leaf = leaf_hash(entries(size)[index])
        ours = inclusion_proof(index, size, subtree)
        shape = tree.prove_inclusion(index + 1).serialize()
        good = InclusionProof.deserialize(shape | {"path": [one.hex() for one in (leaf, *ours)]})
        verify_inclusion(leaf, edge.root, good, index=index + 1, size=size)
        if ours:
            wrong = [leaf, *ours[:-1], bytes(32)]
            bad = InclusionProof.deserialize(shape | {"path": [one.hex() for one in wrong]})
            with pytest.raises(InvalidProof):
                verify_inclusion(leaf, edge.root, bad, index=index + 1, size=size)


def openssl_believes(public: bytes, message: bytes, signature: bytes, folder: Path) -> bool:
    """Ed25519 as RFC 8410 writes the key and RFC 8032 checks the signature."""
    der = bytes.fromhex("302a300506032b6570032100") + public
    pem = f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----\n"
    (folder / "key.pem").write_text(pem)
    (folder / "message").write_bytes(message)
    (folder / "signature").write_bytes(signature)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(folder / "key.pem"), "-rawin"]
    command += ["-in", str(folder / "message"), "-sigfile", str(folder / "signature")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_openssl_believes_our_signatures_and_cosignatures_and_no_others(tmp_path: Path) -> None:
    text = f"{KEY.name}\n5\n{base64.b64encode(bytes(32)).decode()}\n"
    (signature,) = sign_note(text, KEY).signatures
    assert openssl_believes(KEY.verifier.public, text.encode(), signature.value, tmp_path)
    assert not openssl_believes(KEY.verifier.public, text.encode() + b"x", signature.value, tmp_path)
    given = cosign(text, WITNESSES[0], 1_679_315_147)
    stated = f"cosignature/v1\ntime 1679315147\n{text}".encode()
    assert given.value[:8] == (1_679_315_147).to_bytes(8)
    assert openssl_believes(WITNESSES[0].verifier.public, stated, given.value[8:], tmp_path)
    assert not openssl_believes(WITNESSES[0].verifier.public, text.encode(), given.value[8:], tmp_path)
