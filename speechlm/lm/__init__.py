"""The unit language model: text tokens and speech units in one sequence."""
