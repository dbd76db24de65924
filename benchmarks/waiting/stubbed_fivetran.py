"""Fivetran's trigger, directed to a local stub. Its hook has no setting for the host, only a constant."""

from __future__ import annotations

import os

from fivetran_provider_async.hooks import FivetranHook
from fivetran_provider_async.triggers import FivetranTrigger

FivetranHook.api_protocol = "http"
FivetranHook.api_host = os.environ["FIVETRAN_STUB"]

__all__ = ["FivetranTrigger"]
