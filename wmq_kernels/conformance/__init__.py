"""Small programs of all kinds, and the pack of them that other engines are checked with."""
