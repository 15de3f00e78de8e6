"""Fetching what configs need: weights, annotations and images, each from where it is published."""

from densevlm_mm.downloads.archives import unpack
from densevlm_mm.downloads.table import Download, find_download, known_downloads
from densevlm_mm.downloads.transfer import UnreachableError, fetch

__all__ = ["Download", "UnreachableError", "fetch", "find_download", "known_downloads", "unpack"]
