//! Checks that the house rules hold; everything is in `tests/`.
