"""Fivetran's trigger, which sends its requests to a local stub.

The host is a constant in Fivetran's hook, and cannot be changed by a setting.
"""

from __future__ import annotations

import os

from fivetran_provider_async.hooks import FivetranHook
from fivetran_provider_async.triggers import FivetranTrigger

FivetranHook.api_protocol = "http"
FivetranHook.api_host = os.environ["FIVETRAN_STUB"]

__all__ = ["FivetranTrigger"]
