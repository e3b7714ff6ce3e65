"""The grants that we hold: issue, find, refresh, revoke and clean them up."""
