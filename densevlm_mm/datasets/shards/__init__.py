"""Tar shards with images: where their members are, and how they are read and made."""

from densevlm_mm.datasets.shards.index import Member, ShardIndex
from densevlm_mm.datasets.shards.indexing import index_shards
from densevlm_mm.datasets.shards.packing import pack_images
from densevlm_mm.datasets.shards.shard_files import ShardFiles

__all__ = ["Member", "ShardFiles", "ShardIndex", "index_shards", "pack_images"]
