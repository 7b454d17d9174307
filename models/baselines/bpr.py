"""Bayesian personalised ranking (Rendle et al. 2009, arXiv:1205.2618), by the `implicit` library."""

from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.recommender_base import ModelFitError
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_matrix

from contracts.errors import PeerFailed
from evaluation.rankings import Rows
from evaluation.top_k import Scores, ScoresOf


class BprConfig(BaseModel):
    """Settings of BPR."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(64, ge=1, description="length of a user and an item vector")
    learning_rate: float = Field(0.05, gt=0)
    regularization: float = Field(0.01, ge=0, description="weight of the vectors' squared length")
    epochs: int = Field(100, ge=1, description="passes over all positives")


def bpr_scores(liked: csr_matrix, config: BprConfig, *, seed: int, threads: int = 1) -> ScoresOf:
    """Inner products of vectors that rank a positive item above a random one.

    It trains in one thread, whatever `threads` is: several threads overwrite each other's steps and no two runs are
    alike. Raises `PeerFailed` where the steps were too large.
    """
    del threads
    model = BayesianPersonalizedRanking(
        factors=config.embedding_size,
        learning_rate=config.learning_rate,
        regularization=config.regularization,
        iterations=config.epochs,
        num_threads=1,
        random_state=seed,
    )
    try:
        model.fit(liked, show_progress=False)
    except ModelFitError as diverged:
        raise PeerFailed(f"bpr: {diverged} with {config!r}; set a smaller learning_rate") from diverged

    def scores_of(user_rows: Rows) -> Scores:
        scores: Scores = model.user_factors[user_rows] @ model.item_factors.T  # their last column is the item's bias
        return scores

    return scores_of
