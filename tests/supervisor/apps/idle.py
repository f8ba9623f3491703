"""An application without a workflow."""

from __future__ import annotations
