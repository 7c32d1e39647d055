"""Why a model answers as it does: which parts of a picture speak for a class."""
