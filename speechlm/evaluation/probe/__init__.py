"""What units know: of phones, which they should, and of speakers, which they need not."""
