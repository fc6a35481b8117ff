"""Which Greenroom this is."""

from importlib.metadata import version

VERSION = version("greenroom")
