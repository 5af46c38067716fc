"""Sector ciphers in dm-crypt's terms, key derivation, and LUKS1's anti-forensic split. No I/O."""
