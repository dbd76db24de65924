"""Fivetran's trigger, for a stub in Fivetran's place: its hook has the host as a constant."""

from __future__ import annotations

import os

from fivetran_provider_async.hooks import FivetranHook
from fivetran_provider_async.triggers import FivetranTrigger

FivetranHook.api_protocol = "http"
FivetranHook.api_host = os.environ["FIVETRAN_STUB"]

__all__ = ["FivetranTrigger"]
