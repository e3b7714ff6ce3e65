"""PKCE (RFC 7636)."""

from __future__ import annotations

import re

from zaikio_oauth.web.flow import generate_code_verifier, s256_code_challenge


def test_the_challenge_is_that_of_the_rfcs_example() -> None:
    """RFC 7636, appendix B, gives a code verifier and its challenge."""
    assert (
        s256_code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
        == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_verifiers_are_unique_and_well_formed() -> None:
    """A code verifier has 43 to 128 unreserved characters (RFC 7636 §4.1)."""
    verifiers = {generate_code_verifier() for _ in range(100)}

    assert len(verifiers) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in verifiers)
