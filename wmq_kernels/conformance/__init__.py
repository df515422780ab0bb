"""Check other engines: small programs of all kinds, and the pack of them."""
