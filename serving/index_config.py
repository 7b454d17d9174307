"""The settings of the index of item vectors. Reading a manifest needs them, but not FAISS."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Metric(StrEnum):
    """The meaning of a score."""

    INNER_PRODUCT = "inner_product"
    COSINE = "cosine"


class IndexKind(StrEnum):
    """The search method; all but `FLAT` and `EXACT` are approximate."""

    FLAT = "flat"
    HNSW = "hnsw"
    IVF = "ivf"
    EXACT = "exact"


class IndexConfig(BaseModel):
    """Flat up to `flat_up_to` items, `large` above: HNSW (Malkov & Yashunin 2016) or IVF (Jégou et al. 2011)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: Metric = Field(Metric.INNER_PRODUCT, description="inner_product or cosine")
    flat_up_to: int = Field(50_000, ge=0, description="items up to which search is exact")
    large: IndexKind = Field(IndexKind.HNSW, description="hnsw or ivf above that")
    hnsw_links: int = Field(32, ge=2, description="links of a node")
    hnsw_build_effort: int = Field(200, ge=1, description="candidates examined when a node is linked")
    hnsw_search_effort: int = Field(256, ge=1, description="candidates examined in a search, at least 2 k")
    ivf_cells_per_root: float = Field(4.0, gt=0, description="cells = this times the root of the number of items")
    ivf_probed_share: float = Field(0.1, gt=0, le=1, description="share of cells that a search examines")

    def kind(self, items: int) -> IndexKind:
        """The kind of index for this number of items."""
        return IndexKind.FLAT if items <= self.flat_up_to else self.large
