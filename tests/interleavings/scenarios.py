"""Who does what at the same time."""

from __future__ import annotations

from tests.interleavings.explorer import Scenario
from tests.interleavings.world import Process

TWO: Scenario = {"a": Process.find_active, "b": Process.find_active}
THREE: Scenario = {**TWO, "c": Process.find_active}
WORKERS: Scenario = {"a": Process.get, "b": Process.get}
AHEAD: Scenario = {"a": Process.renew_ahead, "b": Process.renew_ahead}
AHEAD_AND_NOW: Scenario = {"a": Process.renew_ahead, "b": Process.find_active}
LOGOUT: Scenario = {"a": Process.find_active, "b": Process.log_out}
