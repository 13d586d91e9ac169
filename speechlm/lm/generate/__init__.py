"""Generation: prompts in, tokens out; samplers and codebook patterns."""
