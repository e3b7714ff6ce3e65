"""The grants that we hold: get, find, renew and revoke them."""
