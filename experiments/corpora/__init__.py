"""Text as batches of tokens: local files and the user's own Python, or streams of C4 and OpenWebText."""

from experiments.corpora.batches import IGNORED, Batch
from experiments.corpora.opening import Data, open_data, require_text

__all__ = ["IGNORED", "Batch", "Data", "open_data", "require_text"]
