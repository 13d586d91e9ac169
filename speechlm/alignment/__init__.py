"""When each word of a recording is said, where its transcript says which words there are."""
