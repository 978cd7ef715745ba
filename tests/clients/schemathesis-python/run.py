"""Schemathesis with the arguments of this script, as its program does it."""

from schemathesis.cli import schemathesis

schemathesis()
