"""Every key handler keeps one contract; a new one is a new subclass here."""

from __future__ import annotations

import random
import traceback

import pytest

from cryptlv.ciphers.spec import check_key_bits, parse_cipher_spec
from cryptlv.errors import CredentialError, CryptlvError, KeystoreError, WrongCredential
from cryptlv.host.system import make_environment
from cryptlv.keys.handler import PASSPHRASE, VOLUME_KEY, KeystoreAttributes, KeystoreDraft, KeystoreRequest
from cryptlv.keys.registry import find_handler
from cryptlv.secret import Passphrase, VolumeKey

ENV = make_environment("test")


class KeyHandlerConformance:
    """Subclasses name the handler and a credential that fits it."""

    name: str
    credential: bytes
    request = KeystoreRequest()

    def made(self) -> tuple[KeystoreAttributes, bytes, bytes]:
        """Attributes, image and volume key of a new keystore."""
        handler = find_handler(self.name)
        draft = handler.draft(self.request)
        image, key = handler.create(draft, Passphrase(self.credential), ENV, "u")
        with key, key.reveal() as view:
            return self.attributes(draft), image, bytes(view)

    @staticmethod
    def attributes(draft: KeystoreDraft) -> KeystoreAttributes:
        """What the metadata will say of it."""
        fields = ("handler", "cipher", "key_size_bits", "key_hash", "extra")
        return KeystoreAttributes(**{field: getattr(draft, field) for field in fields})

    def test_it_is_called_by_its_name_and_says_what_to_ask_for(self) -> None:
        handler = find_handler(self.name)
        assert handler.name == self.name
        assert handler.credential_kind in (PASSPHRASE, VOLUME_KEY)

    def test_drafts_say_what_will_be_stored_and_are_repeatable(self) -> None:
        handler = find_handler(self.name)
        draft = handler.draft(self.request)
        assert draft == handler.draft(self.request)
        assert draft.handler == self.name
        assert len(self.made()[1]) == draft.image_bytes

    def test_the_credential_gives_the_key_back(self) -> None:
        attributes, image, key = self.made()
        with find_handler(self.name).unlock(attributes, image, Passphrase(self.credential)) as found:
            assert found.matches(VolumeKey(key))
            assert len(found) * 8 == attributes.key_size_bits

    def test_the_cipher_is_known_without_a_credential(self) -> None:
        attributes, image, key = self.made()
        parameters = find_handler(self.name).parameters(attributes, image)
        check_key_bits(parse_cipher_spec(parameters.cipher), len(key) * 8)
        assert parameters.key_size_bits == len(key) * 8

    def test_another_credential_gives_no_key(self) -> None:
        attributes, image, _ = self.made()
        with pytest.raises((WrongCredential, CredentialError)):
            find_handler(self.name).unlock(attributes, image, Passphrase(self.credential + b"x"))

    def test_neither_image_nor_attributes_nor_errors_hold_a_secret(self) -> None:
        attributes, image, key = self.made()
        for secret in (key, self.credential):
            assert secret not in image
            assert secret not in repr(attributes).encode("utf-8", "surrogateescape")
        try:
            find_handler(self.name).unlock(attributes, image, Passphrase(self.credential + b"x"))
        except CryptlvError as error:
            text = "".join(traceback.format_exception(error))
            assert repr(self.credential)[2:-1] not in text
            assert key.hex() not in text

    def test_damaged_images_and_attributes_are_only_ever_our_errors(self) -> None:
        attributes, image, _ = self.made()
        handler = find_handler(self.name)
        rng = random.Random(3)
        for _ in range(60):
            damaged = bytearray(image[: rng.choice((len(image), rng.randrange(len(image) + 1)))])
            for _ in range(rng.randint(0, 3)):
                if damaged:
                    damaged[rng.randrange(min(len(damaged), 600))] = rng.randrange(256)
            odd = attributes.replace(
                cipher=rng.choice((attributes.cipher, "", "x", "aes-xts-plain64\x00")),
                key_size_bits=rng.choice((attributes.key_size_bits, 0, 7, 2**70)),
            )
            try:
                handler.parameters(odd, bytes(damaged))
            except CryptlvError as error:
                assert "\x00" not in str(error)

    def test_no_image_where_one_is_needed_is_said(self) -> None:
        attributes, image, _ = self.made()
        if image:
            with pytest.raises(KeystoreError):
                find_handler(self.name).unlock(attributes, b"", Passphrase(self.credential))


class TestPlain(KeyHandlerConformance):
    """The credential is the key."""

    name = "plain"
    credential = bytes(range(100, 164))


class TestLuks1(KeyHandlerConformance):
    """A LUKS1 header."""

    name = "luks1"
    credential = b"correct horse battery staple"
    request = KeystoreRequest(force_iterations=1000)


class TestLuks2(KeyHandlerConformance):
    """A LUKS2 header."""

    name = "luks2"
    credential = b"correct horse battery staple"
    request = KeystoreRequest(pbkdf_memory_kib=64, force_iterations=4)


class TestHashed(KeyHandlerConformance):
    """Nothing is stored: any passphrase gives a key, and only the right one gives the right key."""

    name = "hashed"
    credential = b"correct horse battery staple"

    def test_another_credential_gives_no_key(self) -> None:
        attributes, image, key = self.made()
        with find_handler(self.name).unlock(attributes, image, Passphrase(self.credential + b"x")) as found:
            assert not found.matches(VolumeKey(key))
